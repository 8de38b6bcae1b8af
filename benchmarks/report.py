"""How long a report over many made-up rows takes, with where the time goes.

python benchmarks/report.py --rows 10000 [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import hashlib
import pstats
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from dinku.digests import canonical
from dinku.machine import environment
from dinku.report import build
from dinku.scoring.counts import Counts
from dinku.study.archive import Archive
from dinku.study.definition import Study
from dinku.study.results import Results, _line, totals
from dinku.study.rows import Row, Size

LANGUAGES = ("amh", "hau", "ibo", "kin", "lug", "luo", "pcm", "swa", "wol", "yor")
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
LABELS = ("DATE", "LOC", "ORG", "PER")
SENTENCES = 500


def made(folder: Path, rows: int) -> Results:
    """Rows of dense, before and after at ten levels in ten languages, as many seeds as it takes."""
    results = Results(folder)
    folder.mkdir(parents=True)
    counts_of: dict[str, bytes] = {}
    draw, here = np.random.default_rng(0), environment(1)
    lines: list[bytes] = []
    golds = {language: draw.poisson(0.5, (SENTENCES, len(LABELS), 1)) for language in LANGUAGES}
    recipes = [("dense", None), *((arm, level) for level in LEVELS for arm in ("before", "after"))]
    for seed in range(rows):
        for arm, level in recipes:
            tune, cut = {"FineTune": {"epochs": 3, "tags": ["O"]}}, {"Sparsify": {"sparsity": level}}
            steps = [tune] if level is None else [cut, tune] if arm == "before" else [tune, cut]
            recipe = {"base": "made", "corpus": "masakhaner:all", "steps": steps, "seed": seed, "label_on": "first"}
            address = hashlib.sha256(canonical(recipe).encode()).hexdigest()
            for language in LANGUAGES:
                gold = golds[language]
                table = np.concatenate([gold, gold, draw.binomial(gold, 0.8)], axis=2)
                words = np.full(SENTENCES, 20, np.int64)
                counts = Counts(LABELS, (language,) * SENTENCES, words, table, table)
                zeros = round(1000 * (level or 0))
                row = Row(
                    kind="quality",
                    study=folder.name,
                    arm=arm,
                    values={} if level is None else {"sparsity": level},
                    recipe=recipe,
                    base_digest="0" * 64,
                    address=address,
                    seed=seed,
                    corpus=f"masakhaner:all ({language})",
                    language=language,
                    split="test",
                    fingerprint=hashlib.sha256(language.encode()).hexdigest(),
                    sentences=SENTENCES,
                    sentences_in_split=SENTENCES,
                    spans=totals(counts),
                    size=Size(
                        parameters=5000,
                        nonzero=5000 - zeros,
                        linear=1000,
                        linear_nonzero=1000 - zeros,
                        bytes_disk=20_000,
                        bytes_download=18_000 - zeros,
                    ),
                    environment=here,
                )
                counts_of[row.counts_file] = counts.to_bytes()
                lines.append(_line(row))
                if len(lines) == rows:
                    Archive(folder / "counts.archive").append(counts_of)
                    (folder / "rows.jsonl").write_bytes(b"".join(lines))
                    return results
    raise AssertionError("unreachable")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--sort", default="cumulative", help="what the profile is sorted by")
    options = parser.parse_args()
    blocks: list[dict[str, Any]] = [{"arm": arm, "steps": []} for arm in ("dense", "before", "after")]
    study = {"name": "made", "title": "Made-up rows", "base": "made", "corpus": "masakhaner:all", "recipes": blocks}
    with tempfile.TemporaryDirectory() as folder:
        results = made(Path(folder) / "made", options.rows)
        profile, start, spent = cProfile.Profile(), time.perf_counter(), time.process_time()
        if options.profile:
            profile.enable()
        build.write(Study.model_validate(study), results, Path(folder) / "out")
        profile.disable()
        seconds, busy = time.perf_counter() - start, time.process_time() - spent
        weight = (Path(folder) / "out" / "report.html").stat().st_size
        print(
            f"{options.rows:,} rows: {seconds:.2f} s, of which {busy:.2f} s busy; the page weighs {weight / 1e3:,.0f} kB"
        )
        if options.profile:
            pstats.Stats(profile).sort_stats(options.sort).print_stats(60)


if __name__ == "__main__":
    main()
