"""Recomputes two numbers of each study from the counts behind its rows, and finds them in the study's report.

``python scripts/recount.py REPORTS [RESULTS]`` reads ``RESULTS/<study>/rows.jsonl`` and ``counts.archive``, and looks the
numbers up in ``REPORTS/<study>/report.md``, as `dinku report --out REPORTS` writes it: the mean F1 of the recipe with most
rows, and the F1 of a recipe in its worst language. It shares no code with dinku, so that a fault there can't hide here: F1 is
2 × correct / (gold + predicted) over the spans of a language, in percent, its mean taken over languages and then over seeds.
"""

from __future__ import annotations

import io
import json
import re
import struct
import sys
import zlib
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

RECORD = struct.Struct("<8sHIII")  # mark, lengths of name, packed and unpacked data, checksum


def archive(path: Path) -> dict[str, bytes]:
    """The records of an archive that isn't damaged, by name."""
    held, at, out = path.read_bytes(), 0, {}
    while at < len(held):
        mark, name, packed, length, _ = RECORD.unpack_from(held, at)
        if mark != b"\x89dinku\r\n":
            raise ValueError(f"{path}: no record at byte {at}")
        start = at + RECORD.size + name
        data = zlib.decompress(held[start : start + packed])
        if len(data) != length:
            raise ValueError(f"{path}: the record at byte {at} is cut short")
        out[held[start - name : start].decode()] = data
        at = start + packed
    return out


def f1(data: bytes) -> float:
    """Default F1 of one row's counts, in percent."""
    spans = np.load(io.BytesIO(data), allow_pickle=False)["default"].astype(
        int
    )  # [sentence, label, gold, predicted, correct]
    gold, predicted, correct = (int(spans[..., i].sum()) for i in range(3))
    return 200 * correct / (gold + predicted) if gold + predicted else 0.0


def recipes(folder: Path) -> dict[tuple[str, ...], dict[int, dict[str, float]]]:
    """F1 of clean text by recipe and what it is evaluated on, by seed and language."""
    counts = archive(folder / "counts.archive")
    out: dict[tuple[str, ...], dict[int, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for line in (folder / "rows.jsonl").read_text(encoding="utf-8").splitlines():
        row: dict[str, Any] = json.loads(line)
        if row["kind"] == "quality" and not row.get("perturbation"):
            name = f"{row['address'][:24]}-{row['language']}-{row['split']}-{row['fingerprint'][:8]}.npz"
            text = row.get("source") or re.sub(r"( \(\d+ of \d+\))+$", "", row["corpus"]).removesuffix(
                f" ({row['language']})"
            )
            key = (
                row["arm"],
                json.dumps(row["values"], sort_keys=True),
                row["recipe"]["base"],
                row["recipe"]["corpus"],
                text,
            )
            out[key][row["seed"]][row["language"]] = f1(counts[name])
    return out


def numbers(folder: Path) -> dict[str, str]:
    """Two numbers, as a report prints them, by what they are."""
    found = recipes(folder)
    whole = {key: seeds for key, seeds in found.items() if len({tuple(sorted(of)) for of in seeds.values()}) == 1}
    most = max(whole, key=lambda key: (sum(map(len, whole[key].values())), key))
    last = max(whole, key=lambda key: (key[4] == key[3], key))
    mean = np.mean([np.mean(list(of.values())) for of in whole[most].values()])
    by_language = {
        la: float(np.mean([of[la] for of in whole[last].values()])) for la in next(iter(whole[last].values()))
    }
    worst = min(by_language, key=lambda la: (by_language[la], la))
    return {
        f"{' '.join(most[:2])}, mean on {most[4]}": f"{mean:.1f}",
        f"{' '.join(last[:2])}, {worst} on {last[4]}": f"{by_language[worst]:.1f}",
    }


def main() -> int:
    """Print a line a number; 1 where one isn't in its report."""
    reports, results = Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "results")
    missing = 0
    for folder in sorted(path.parent for path in results.glob("*/rows.jsonl")):
        page = (reports / folder.name / "report.md").read_text(encoding="utf-8")
        for what, number in numbers(folder).items():
            arm = what.partition(" {")[0]
            own = [line for line in page.splitlines() if line.lstrip("|* ").startswith(arm)]
            there = any(re.search(rf"(?<![\d.]){re.escape(number)}(?!\d)", line) for line in own)
            missing += not there
            print(f"{folder.name:28}{number:>6}  {'in the report' if there else 'NOT IN THE REPORT'}: {what}")
    return min(missing, 1)


if __name__ == "__main__":
    sys.exit(main())
