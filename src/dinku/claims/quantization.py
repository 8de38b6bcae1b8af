"""C5 and C6: LLM.int8() and dynamic int8."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dinku.claims.compare import FLOOR, Difference, contrast, ratio
from dinku.claims.measurements import Measurements, Run, most
from dinku.claims.verdict import SEEDS, Judgement, Verdict, brief, interval_note, stated
from dinku.digests import canonical
from dinku.errors import plural
from dinku.scoring.counts import Floats
from dinku.study.rows import Row

FASTER, LOST = 0.5, 0.047  # of time and F1: what C5 asks; the paper's are 0.477 and 0.047
SHORT = 0.005  # of size: by how much files may fall short of arithmetic, which leaves out scales and headers


@dataclass(frozen=True)
class Quantized:
    """Taggers quantized by one recipe (``second``), and those they are compared with, run by run with the same seed (``first``):
    the taggers they were made from, or the same taggers quantized by another method."""

    first: tuple[Run, ...]
    second: tuple[Run, ...]

    @classmethod
    def all(cls, measurements: Measurements, method: str, other: str | None) -> list[Quantized]:
        """Recipes that end in ``method``, each paired with the recipe that ends in ``other`` instead, or lacks its last step.

        Those with most seeds come first, then those that were only fine-tuned before. Encoders and corpora are never mixed.
        """
        found: dict[tuple[int, str, str], list[tuple[Run, Run]]] = defaultdict(list)
        for place, comparable in enumerate(measurements.quality.comparable):
            known: dict[tuple[str, int], list[Run]] = defaultdict(list)
            for run in comparable.runs:
                if other is None or _last(run) == other:
                    known[canonical(run.steps[: len(run.steps) - (other is not None)]), run.seed].append(run)
            for run in comparable.runs:
                before = canonical(run.steps[:-1])
                if _last(run) == method and (beside := known.get((before, run.seed))):
                    found[place, before, canonical(run.steps[-1])].append((beside[0], run))
        pairs = [cls(tuple(a for a, _ in p), tuple(b for _, b in p)) for _, p in sorted(found.items())]
        return sorted(pairs, key=lambda q: (-len(q.second), len(q.second[0].steps)))

    def difference(self) -> Difference:
        return contrast(self.first, self.second)

    def verdict(
        self, claim: str, verdict: Judgement, notes: Sequence[str], *, number: str = "", decides: str = ""
    ) -> Verdict:
        runs = (*self.first, *self.second)
        return stated(claim, verdict, self.difference(), notes, runs, number=number, decides=decides)


def _last(run: Run) -> str:
    return next(iter(run.steps[-1])) if run.steps else ""


def judge_c5(quantized: Sequence[Quantized], rows: Sequence[Row]) -> Verdict | None:
    """C5: taggers after `QuantizeLLMInt8` beside what they were made from: bytes on disk, time, mean F1.

    What the bytes should come to is the shape's own arithmetic (`_size_clause`), which gives AfriBERTa-large the paper's 64 %.
    It holds where they come within half a point of that, the interval of the median ratio of times lies at or below a half, and,
    with three seeds and 20 points of F1 to lose from, the lower end of the change in F1 is above −4.7 % of it. It fails where
    fewer bytes go, the ratio's interval lies above a half, or with three seeds the upper end is below −4.7 %; else, or where
    there is no time, it is undecided. The ratio's interval is from 1000 draws of points, a language and a seed
    each, on one machine.
    """
    if not quantized:
        return None
    pair = quantized[0]
    at, dense = pair.difference(), float(np.mean([run.mean for run in pair.first]))
    limit, enough = -LOST * dense, at.seeds >= SEEDS
    made = {(b.address, a.address) for a, b in zip(pair.first, pair.second, strict=True)}
    timed = [r for r in rows if r.latency and (r.address, r.latency.reference) in made]
    clauses = [
        _size_clause(pair),
        _time_clause(most(timed, lambda r: r.environment.machine)),
        Clause(
            "F1",
            (at.low > limit and dense >= FLOOR) if enough else None,
            enough and at.high < limit,
            brief(at),
            f"LLM.int8() minus the same tagger before it, F1 points: {at}, of {dense:.2f}; asked for is more than {limit:.2f}.",
        ),
    ]
    failing = [clause for clause in clauses if clause.fails]
    verdict: Judgement = "fails" if failing else "holds" if all(clause.holds for clause in clauses) else "undecided"
    open_ = [clause for clause in clauses if not clause.holds]
    which = failing or open_
    said = f"What {'fails' if failing else 'is open'}: {', '.join(clause.name for clause in which)}." if which else ""
    notes = [said, *(clause.found for clause in clauses), interval_note([at])]
    if not enough:
        notes.append(f"It has fewer than {SEEDS} seeds, too few to judge F1 by.")
    shown = [f"{clause.name} {clause.number}{clause.mark}" for clause in clauses]
    number = f"{which[0].name} {which[0].number}".removesuffix(" ?") if which else brief(at).partition(" ")[0]
    return pair.verdict("C5", verdict, notes, number=number, decides=", ".join(shown))


@dataclass(frozen=True)
class Clause:
    """One of the things that C5 asks for. ``holds`` is ``None`` where there is too little to say so by."""

    name: str
    holds: bool | None
    fails: bool
    number: str
    found: str

    @property
    def mark(self) -> str:
        return " (fails)" if self.fails else "" if self.holds else " (open)"


def _size_clause(pair: Quantized) -> Clause:
    """The bytes that go, of the seed that falls shortest of arithmetic: that of the weights, of which the linear layers' take a
    byte instead of four, and all others as many as the method's ``rest``."""
    found = []
    for a, b in zip(pair.first, pair.second, strict=True):
        if a.bytes_disk and b.bytes_disk:
            rest = 2 * (a.parameters - a.linear) * (b.steps[-1]["QuantizeLLMInt8"].get("rest", "float16") == "float16")
            found.append((1 - b.bytes_disk / a.bytes_disk, (3 * a.linear + rest) / a.bytes_disk, a, b))
    if not found:
        return Clause("size", None, False, "?", "Its size hasn't been measured.")
    saved, should, a, b = min(found, key=lambda of: of[0] - of[1])
    note = f"{100 * saved:.1f} % smaller on disk, {a.bytes_disk / 1e6:.1f} to {b.bytes_disk / 1e6:.1f} MB; "
    note += f"this shape's arithmetic says {100 * should:.1f} %."
    return Clause("size", saved >= should - SHORT, saved < should - SHORT, f"-{100 * saved:.0f} %", note)


def _time_clause(timed: Sequence[Row]) -> Clause:
    """Time over the time before it, on one machine."""
    if not timed:
        return Clause("time", None, False, "?", "Its time hasn't been measured.")
    time, (low, high) = _median(np.array([ratio(r) for r in timed]))
    where = timed[0].environment
    note = f"Time over the time before it: {time:.3f} [{low:.3f}, {high:.3f}], {plural(len(timed), 'point')} on one "
    note += f"machine ({where.cpu}, {plural(where.threads, 'thread')}); asked for is {FASTER:g}."
    return Clause("time", high <= FASTER, low > FASTER, f"×{time:.2f}", note)


def _median(points: Floats) -> tuple[float, tuple[float, float]]:
    """The median and its bootstrap interval."""
    drawn = np.random.default_rng(0).integers(0, len(points), (1000, len(points)))
    low, high = np.quantile(np.median(points[drawn], axis=1), [0.025, 0.975])
    return float(np.median(points)), (float(low), float(high))


def judge_c6(quantized: Sequence[Quantized]) -> Verdict | None:
    """C6: the same taggers after `QuantizeLLMInt8` minus after `QuantizeDynamic`, mean over languages of F1, three seeds.

    It holds where the interval lies above 0 and each language's difference, the mean over seeds, does, too; it fails where
    the interval lies below 0, or one language's does; else it is undecided.
    """
    if not quantized:
        return None
    pair = quantized[0]
    at, enough = pair.difference(), len(pair.second) >= SEEDS
    by = {}
    for language in sorted(pair.second[0].f1):
        first, second = ([run.counts.only(language) for run in runs] for runs in (pair.first, pair.second))
        by[language] = Difference.of(first, second)
    verdict: Judgement = "undecided"
    if enough and at.low > 0 and all(c.difference > 0 for c in by.values()):
        verdict = "holds"
    elif enough and (at.high < 0 or any(c.high < 0 for c in by.values())):
        verdict = "fails"
    least = min(by, key=lambda language: by[language].difference)
    ahead = sum(c.difference > 0 for c in by.values())
    notes = [
        f"LLM.int8() minus dynamic, F1 points: {at}; ahead in {ahead} of {plural(len(by), 'language')}, least in {least}: "
        f"{by[least]}.",
        interval_note([at]),
    ]
    if not enough:
        notes.append(f"They have fewer than {SEEDS} seeds, too few to judge by.")
    return pair.verdict("C6", verdict, notes)
