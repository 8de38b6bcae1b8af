"""The golden files: what addresses, verdicts and tables are, so that a change of the code can't change them unseen.

``python tests/golden.py`` writes them again; look at the difference before you commit it.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

from dinku.data.unlabelled import Text
from dinku.method import Data
from dinku.report.build import Report
from dinku.report.parts import Grid
from dinku.study.definition import BUILT_IN, Study
from dinku.study.results import Results
from dinku.testing import tiny_corpus, tiny_text

ROOT = Path(__file__).parent.parent
FOLDER = Path(__file__).parent / "golden"
STUDIES = [*(str(path) for path in sorted((ROOT / "studies").glob("*.yaml"))), *BUILT_IN]
RESULTS = sorted(path.parent for path in (ROOT / "results").glob("*/rows.jsonl"))


def addresses(name: str, text: Path) -> dict[str, str]:
    """The address of each recipe of a study, as if it were of one base, corpus and text."""
    tiny_text(text)
    for language in ("hau", "swa", "wol", "yor"):
        (text / f"{language}.txt").write_bytes((text / "one.txt").read_bytes())
    data = Data(tiny_corpus(), tiny_corpus(seed=1, split="dev"), Text.open(str(text)))
    out = {}
    for entry in Study.read(name).entries():
        recipe = entry.recipe
        label = " | ".join([entry.arm, recipe.base, recipe.corpus, json.dumps(entry.values), f"seed {recipe.seed}"])
        out[label] = recipe.resolved(data)[0].addresses("0" * 64, data)[-1][:16]
    return out


def _rounded(verdict: dict[str, Any]) -> dict[str, Any]:
    """A verdict without its rows, its numbers to as many digits as every processor agrees on."""
    at, interval = verdict["measured"], verdict["interval"]
    numbers = {
        "measured": at if at is None else round(at, 6),
        "interval": interval and [round(end, 6) for end in interval],
    }
    return {key: value for key, value in verdict.items() if key != "rows"} | numbers


def found(folder: Path) -> dict[str, Any]:
    """What the rows of a study come to: their digest, the ledger and the tables of the report."""
    results = Results(folder)
    facts = [[*row.key, row.spans, row.size and row.size.model_dump()] for row in results.rows()]
    report = Report.of(Study.read(folder / "study.json"), results)
    return {
        "rows": hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest(),
        "verdicts": [_rounded(each.document()) for each in report.verdicts],
        "tables": [[list(part.head), *map(list, part.rows)] for part in report.parts if isinstance(part, Grid)],
    }


def written(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, indent=0) + "\n"


def golden() -> dict[str, str]:
    """The golden files by name."""
    with tempfile.TemporaryDirectory() as folder:
        studies = {Path(name).stem: addresses(name, Path(folder) / str(i)) for i, name in enumerate(STUDIES)}
    return {"studies.json": written(studies)} | {f"results/{f.name}.json": written(found(f)) for f in RESULTS}


if __name__ == "__main__":
    for name, text in golden().items():
        (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / name).write_text(text, encoding="utf-8")
