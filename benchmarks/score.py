"""How long scoring takes, beside seqeval: ``python benchmarks/score.py [--words 1000000] [--json]``.

Both get the same lists of tag strings in one process, taking turns; of each the best of three rounds counts. dinku
always counts both readings. So "default" compares it with seqeval's default `f1_score` alone, and "both" with that and
its strict one. Their F1 must be equal to the last bit, or there is no result.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2

from dinku.scoring.counts import count

ROUNDS = 3
LABELS = ("PER", "LOC", "ORG", "DATE")


def generated(words: int, seed: int = 0) -> tuple[list[list[str]], list[list[str]]]:
    """Gold and predicted tags: sentences of 25 words on average, a tenth of the words in spans of 1 to 3 words, and
    predictions drawn anew for a twentieth of the words. Orphans occur in both."""
    random = np.random.default_rng(seed)
    tags = np.array(["O", *(f"{prefix}-{label}" for label in LABELS for prefix in "BI")], dtype=object)
    code = np.zeros(words, np.int64)
    starts = np.flatnonzero(random.random(words) < 0.05)
    kinds, lengths = random.integers(0, 4, len(starts)), random.integers(1, 4, len(starts))
    for offset in (2, 1, 0):  # beginnings last, for they overwrite what an earlier span would continue with
        inside = (lengths > offset) & (starts + offset < words)
        code[starts[inside] + offset] = 1 + 2 * kinds[inside] + (offset > 0)
    other = np.where(random.random(words) < 0.05, random.integers(0, 9, words), code)
    ends = np.cumsum(np.clip(random.gamma(4.0, 25 / 4, words // 10).astype(np.int64), 1, 120))
    cuts = ends[ends < words]
    gold, predicted = ([part.tolist() for part in np.split(tags[codes], cuts)] for codes in (code, other))
    return gold, predicted


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--words", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    asked = parser.parse_args()
    gold, predicted = generated(asked.words)
    counts = count(gold, predicted)
    default = f1_score(gold, predicted)
    strict = f1_score(gold, predicted, mode="strict", scheme=IOB2)
    if (counts.scores().f1, counts.scores(strict=True).f1) != (default, strict):
        raise SystemExit("the two disagree on F1: there is nothing to compare")
    contestants: dict[str, Callable[[], object]] = {
        "dinku": lambda: count(gold, predicted),
        "seqeval default": lambda: f1_score(gold, predicted),
        "seqeval strict": lambda: f1_score(gold, predicted, mode="strict", scheme=IOB2),
    }
    best = dict.fromkeys(contestants, float("inf"))
    for _ in range(ROUNDS):
        for name, work in contestants.items():
            best[name] = min(best[name], seconds(work))
    both = best["seqeval default"] + best["seqeval strict"]
    ratios = {"default": best["seqeval default"] / best["dinku"], "both": both / best["dinku"]}
    if asked.json:
        print(json.dumps({"words": asked.words, "sentences": len(gold), "seconds": best, "ratios": ratios}))
        return
    print(f"{asked.words} words, {len(gold)} sentences, best of {ROUNDS}")
    for name, taken in best.items():
        print(f"{name:<16}{taken:8.3f} s")
    for name, ratio in ratios.items():
        print(f"{name + ' reading' * (name == 'default'):<16}{ratio:8.1f} times as fast")


if __name__ == "__main__":
    main()
