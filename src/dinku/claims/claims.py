"""The paper's claims C1 to C7 (arXiv 2404.04759) as predicates over rows: holds, fails, undecided or not measured.

They are about text as it is in languages that were trained on; `dinku.claims.questions` has the others. The largest set of rows that
may be compared (`dinku.claims.compare`) is judged, and named.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import Any, Literal

import numpy as np

from dinku.claims.compare import (
    DENSE,
    FLOOR,
    Compared,
    Evidence,
    Place,
    Run,
    contrast,
    evaluated_on,
    most,
    noise,
    order,
    parts,
    percent,
    pruned_to,
    ratio,
    scope,
    shaping,
    trained_on,
    whole_runs,
)
from dinku.claims.lessons import Left, Lesson, Rivals, rivals
from dinku.digests import canonical
from dinku.errors import plural
from dinku.scoring.counts import Floats
from dinku.scoring.significance import holm
from dinku.study.results import Results, in_order
from dinku.study.rows import Row

Judgement = Literal["holds", "fails", "undecided", "not measured"]
SAID = {
    "C1": 'Pruned before fine-tuning, a model is "fairly consistent with the dense model up to 60 %" sparsity.',
    "C2": "At high sparsity, pruning before fine-tuning is more stable and predictable than pruning after it.",
    "C3": "Distillation makes models 22–31 % smaller for about 1–2 % of average F1.",
    "C4": "A large teacher makes the best student overall; a base teacher passes on more of what it knows.",
    "C5": "LLM.int8() takes 64.08 % off the size and 52.3 % off the inference time, for 4.7 % of average F1.",
    "C6": "LLM.int8() is generally better than dynamic quantization, in all languages.",
    "C7": "Inference time falls as sparsity rises, with a wide spread between languages.",
}
SAVED, FASTER, LOST = 0.62, 0.5, 0.047  # of size, time and F1: what C5 asks; the paper's are 0.6408, 0.477 and 0.047
MARGIN = 2.0  # F1 points: what "fairly consistent" is taken to mean
SEEDS = 3  # fewer say nothing about another seed, so nothing is judged by them


@dataclass(frozen=True)
class Verdict:
    """What rows say about one claim. ``measured`` and ``interval`` are F1 points, but for C7, a ratio of times, Q2, a rank
    correlation, and N2 and N3, points of the percentage of F1 that is kept."""

    claim: str
    said: str
    verdict: Judgement
    measured: float | None
    interval: tuple[float, float] | None
    rows: tuple[str, ...]
    found: str

    def document(self) -> dict[str, Any]:
        return {
            "claim": self.claim,
            "verdict": self.verdict,
            "measured": self.measured,
            "interval": list(self.interval) if self.interval else None,
            "rows": list(self.rows),
            "said": self.said,
            "found": self.found,
        }


def judged(rows: Sequence[Row], results: Results) -> list[Verdict]:
    """A verdict on each of these claims, in the paper's order, by those of the rows that are of clean text in languages that were
    trained on."""
    rows = [row for row in in_order(rows) if row.seen and not row.perturbation]
    evidence = Evidence.of(rows, results)
    lessons, left = Lesson.all(rows, results)
    found = {
        "C1": _consistent(evidence),
        "C2": _stable(evidence),
        "C3": _cheap(lessons, left),
        "C4": _best_teacher(lessons, left),
        "C5": _smaller(Quantized.all(rows, results, "QuantizeLLMInt8", None), rows),
        "C6": _better(Quantized.all(rows, results, "QuantizeLLMInt8", "QuantizeDynamic")),
        "C7": _faster(rows),
    }
    return [found.get(claim) or unmeasured(claim, SAID[claim]) for claim in SAID]


def _nothing(claim: str, left: Left) -> Verdict | None:
    """Not measured, though there are rows that one might have taken for it."""
    if not left.reasons:
        return None
    return Verdict(claim, SAID[claim], "not measured", None, None, (), f"No row here measures it. {left}")


def _cheap(lessons: Sequence[Lesson], left: Left) -> Verdict | None:
    """C3: students at least 22 % smaller than their teacher (parameters), minus it, mean over languages of F1.

    Students are the teacher with less in its layers: none with another vocabulary, and none of a teacher that does worse than
    it, or than a smaller encoder that had no teacher. It holds where one of at most 33 % that has three seeds loses less than 2
    points (`non_inferior`, one-sided at 2.5 %, after Holm's correction for as many as there are), and fails where there are
    such students and each has the upper end of its interval below −2; else it is undecided. What is reported is the best of
    them, or where there is none the best of those that are smaller still.
    """
    left = left.copy()
    small = []
    for lesson in lessons:
        if reason := lesson.other or lesson.weak:
            left.add(reason, lesson.title)
        elif lesson.smaller < 0.22:
            left.add("less than 22 % smaller than its teacher", lesson.title)
        else:
            small.append((lesson, lesson.loss()))
    if not small:
        return _nothing("C3", left)
    meant = [(lesson, c) for lesson, c in small if lesson.smaller <= 0.33]
    enough = [(lesson, c) for lesson, c in meant if c.seeds >= SEEDS]
    at = max((c for _, c in enough or meant or small), key=lambda c: c.difference)
    verdict: Judgement = "undecided"
    chances = holm([lesson.chance_of_losing(MARGIN) for lesson, _ in enough])
    if any(chance < 0.025 for chance in chances):
        verdict = "holds"
    elif enough and len(enough) == len(meant) and all(c.high < -MARGIN for _, c in enough):
        verdict = "fails"
    each = "; ".join(f"{100 * lesson.smaller:.0f} % smaller ({lesson.title}) {c}" for lesson, c in small)
    told = [f"Students minus their teachers, F1 points: {each}.", spread_told(c for _, c in small)]
    if not enough:
        told.append(f"No student of 22 to 33 % fewer parameters has {SEEDS} seeds, too few to judge by.")
    return _of_lessons("C3", verdict, at, told, [lesson for lesson, _ in small], left)


def _best_teacher(lessons: Sequence[Lesson], left: Left) -> Verdict | None:
    """C4: students built alike and distilled alike, of the largest teacher minus those of the smallest, mean F1.

    Two students make a pair where they have the same layers, heads and weights, the same distillation but for which layers they
    were cut from, the same training after it, data and text; their runs are paired by seed. A pair holds where it has three
    seeds, the interval lies above 0 and the smaller teacher's student keeps a larger part of its teacher's F1, and fails where
    the interval lies below 0, or that part is smaller. The claim holds or fails where all pairs of most seeds do, else it is
    undecided; what is reported is the first of these.
    """
    left = left.copy()
    found = rivals(lessons, left)
    if not found:
        return _nothing("C4", left)
    judged = [pair for pair in found if pair.at.seeds == found[0].at.seeds]
    verdicts = {_of_rivals(pair) for pair in judged}
    told = [" ".join(map(str, found)), spread_told(pair.at for pair in found)]
    if found[0].at.seeds < SEEDS:
        told.append(f"They have fewer than {SEEDS} seeds, too few to judge by.")
    verdict: Judgement = verdicts.pop() if len(verdicts) == 1 else "undecided"
    return _of_lessons(
        "C4", verdict, found[0].at, told, [lesson for pair in found for lesson in (pair.large, pair.base)], left
    )


def _of_rivals(pair: Rivals) -> Judgement:
    more = pair.base.kept > pair.large.kept
    if pair.at.seeds < SEEDS:
        return "undecided"
    if pair.at.low > 0 and more:
        return "holds"
    return "fails" if pair.at.high < 0 or (pair.at.low > 0 and not more) else "undecided"


def _of_lessons(
    claim: str, verdict: Judgement, at: Compared, told: Sequence[str], lessons: Sequence[Lesson], left: Left
) -> Verdict:
    runs = [run for lesson in lessons for run in (*lesson.student, *lesson.teacher)]
    return stated(claim, SAID[claim], verdict, at, told, runs, after=str(left))


@dataclass(frozen=True)
class Quantized:
    """Taggers quantized by one recipe, and what they are held against, run by run with the same seed: what they were made
    from, or the same quantized otherwise."""

    first: tuple[Run, ...]
    second: tuple[Run, ...]

    @classmethod
    def all(cls, rows: Iterable[Row], results: Results, method: str, other: str | None) -> list[Quantized]:
        """Recipes that end in ``method``, beside those that end in ``other`` instead, or in the step before.

        Those with most seeds come first, then those that were only fine-tuned before. Encoders and corpora are never mixed.
        """
        found: dict[tuple[int, str, str], list[tuple[Run, Run]]] = defaultdict(list)
        for place, group in enumerate(parts(r for r in rows if r.kind == "quality")):
            runs = whole_runs(group, results)
            known: dict[tuple[str, int], list[Run]] = defaultdict(list)
            for run in runs:
                if other is None or _last(run) == other:
                    known[canonical(run.steps[: len(run.steps) - (other is not None)]), run.seed].append(run)
            for run in runs:
                before = canonical(run.steps[:-1])
                if _last(run) == method and (beside := known.get((before, run.seed))):
                    found[place, before, canonical(run.steps[-1])].append((beside[0], run))
        pairs = [cls(tuple(a for a, _ in p), tuple(b for _, b in p)) for _, p in sorted(found.items())]
        return sorted(pairs, key=lambda q: (-len(q.second), len(q.second[0].steps)))

    def difference(self) -> Compared:
        return contrast(self.first, self.second)

    def verdict(self, claim: str, verdict: Judgement, told: Sequence[str]) -> Verdict:
        return stated(claim, SAID[claim], verdict, self.difference(), told, (*self.first, *self.second))


def _last(run: Run) -> str:
    return next(iter(run.steps[-1])) if run.steps else ""


def _smaller(quantized: Sequence[Quantized], rows: Sequence[Row]) -> Verdict | None:
    """C5: taggers after `QuantizeLLMInt8` beside what they were made from: bytes on disk, time, mean F1.

    It holds where at least 62 % of the bytes go, the interval of the median ratio of times lies at or below a half, and, with
    three seeds and 20 points of F1 to lose from, the lower end of the change in F1 is above −4.7 % of it. It fails where fewer
    bytes go, the ratio's interval lies above a half, or with three seeds the upper end is below −4.7 %; else, or where there
    is no time, it is undecided. The ratio's interval is from 1000 draws of points, a language and a seed each, on one machine.
    """
    if not quantized:
        return None
    pair = quantized[0]
    at, dense = pair.difference(), float(np.mean([run.mean for run in pair.first]))
    limit, enough = -LOST * dense, at.seeds >= SEEDS
    sizes = [(a.bytes_disk, b.bytes_disk) for a, b in zip(pair.first, pair.second, strict=True)]
    saved = min((1 - b / a for a, b in sizes if a and b), default=None)
    made = {(b.address, a.address) for a, b in zip(pair.first, pair.second, strict=True)}
    timed = [r for r in rows if r.latency and (r.address, r.latency.reference) in made]
    timed = most(timed, lambda r: r.environment.machine)
    time, (low, high) = _median(np.array([ratio(r) for r in timed])) if timed else (None, (0.0, 1.0))
    bad = saved is not None and saved < SAVED, time is not None and low > FASTER, enough and at.high < limit
    good = (
        saved is not None and saved >= SAVED,
        time is not None and high <= FASTER,
        enough and at.low > limit and dense >= FLOOR,
    )
    verdict: Judgement = "fails" if any(bad) else "holds" if all(good) else "undecided"
    told = [f"LLM.int8() minus the same tagger before it, F1 points: {at}, of {dense:.2f}.", spread_told([at])]
    if saved is not None:
        a, b = next((a, b) for a, b in sizes if a and b)
        told.insert(0, f"{100 * saved:.1f} % smaller on disk, {a / 1e6:.1f} to {b / 1e6:.1f} MB.")
    if time is None:
        told.append("Its time hasn't been measured.")
    else:
        where = timed[0].environment
        told.append(
            f"Time over the time before it: {time:.3f} [{low:.3f}, {high:.3f}], {plural(len(timed), 'point')} on one "
            f"machine ({where.cpu}, {plural(where.threads, 'thread')})."
        )
    if not enough:
        told.append(f"It has fewer than {SEEDS} seeds, too few to judge F1 by.")
    return pair.verdict("C5", verdict, told)


def _median(points: Floats) -> tuple[float, tuple[float, float]]:
    """The median and its bootstrap interval."""
    drawn = np.random.default_rng(0).integers(0, len(points), (1000, len(points)))
    low, high = np.quantile(np.median(points[drawn], axis=1), [0.025, 0.975])
    return float(np.median(points)), (float(low), float(high))


def _better(quantized: Sequence[Quantized]) -> Verdict | None:
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
        by[language] = Compared.of(first, second)
    verdict: Judgement = "undecided"
    if enough and at.low > 0 and all(c.difference > 0 for c in by.values()):
        verdict = "holds"
    elif enough and (at.high < 0 or any(c.high < 0 for c in by.values())):
        verdict = "fails"
    least = min(by, key=lambda language: by[language].difference)
    ahead = sum(c.difference > 0 for c in by.values())
    told = [
        f"LLM.int8() minus dynamic, F1 points: {at}; ahead in {ahead} of {plural(len(by), 'language')}, least in {least}: "
        f"{by[least]}.",
        spread_told([at]),
    ]
    if not enough:
        told.append(f"They have fewer than {SEEDS} seeds, too few to judge by.")
    return pair.verdict("C6", verdict, told)


def _consistent(evidence: Evidence) -> Verdict | None:
    """C1: *before* at s against *dense*, mean over languages of F1, at every measured s in (0, 0.6].

    It holds where at each of them the interval's lower end is above −2 points, and fails where at one of them that has
    three seeds in both the upper end is below −2; else, or where 60 % itself has fewer than three seeds in both or the dense
    tagger has less than 20 points to lose from, it is undecided. What is reported is the difference at 60 %.
    """
    pairs: dict[float, tuple[Place, Place]] = {s: (DENSE, ("before", s)) for s in evidence.levels("before") if s <= 0.6}
    compared = {s: c for s, (a, b) in pairs.items() if (c := evidence.compare(a, b))}
    if not compared:
        return None
    at = compared.get(0.6)
    dense = float(np.mean([run.mean for run in evidence.runs[DENSE].values()]))
    enough = at is not None and at.seeds >= SEEDS
    judged = enough and dense >= FLOOR
    verdict: Judgement = "undecided"
    if judged and all(c.low > -MARGIN for c in compared.values()):
        verdict = "holds"
    elif judged and any(c.high < -MARGIN and c.seeds >= SEEDS for c in compared.values()):
        verdict = "fails"
    told = [
        f"Before minus dense, F1 points of {dense:.2f}, margin {MARGIN:g}: {levels_told(compared)}.",
        spread_told(compared.values()),
    ]
    if not enough:
        told.append(f"60 % has fewer than {SEEDS} seeds in both, too few to judge by.")
    if dense < FLOOR:
        told.append(f"Less than {FLOOR:g} F1 is too little to lose from to judge by.")
    return _of_pruning("C1", verdict, at, told, evidence, [pairs[s] for s in compared])


def _stable(evidence: Evidence) -> Verdict | None:
    """C2: *before* minus *after*, mean over languages of F1, at each measured s of at least 0.7.

    Mean F1 stands in for "stable and predictable"; the spread over languages and seeds is told beside it.

    Judged at the highest of them that has three seeds in both: it holds where the interval's lower end is above 0,
    fails where the upper end is below 0, else it is undecided. Where none has three seeds it is undecided, and the
    highest is reported.
    """
    pairs: dict[float, tuple[Place, Place]] = {
        s: (("after", s), ("before", s)) for s in evidence.levels("before") if s >= 0.7
    }
    compared = {s: c for s, (a, b) in pairs.items() if (c := evidence.compare(a, b))}
    if not compared:
        return None
    enough = [s for s, c in compared.items() if c.seeds >= SEEDS]
    level = max(enough or compared)
    at = compared[level]
    verdict: Judgement = "undecided"
    if enough and at.low > 0:
        verdict = "holds"
    elif enough and at.high < 0:
        verdict = "fails"
    told = [f"Before minus after, F1 points: {levels_told(compared)}.", spread_told(compared.values())]
    if not enough:
        told.append(f"No level has {SEEDS} seeds in both, too few to judge by.")
    before, after = _spread(evidence, ("before", level)), _spread(evidence, ("after", level))
    if before is not None and after is not None:
        what = f"Standard deviation of the loss against dense at {percent(level)}, over languages and seeds"
        told.append(f"{what}: before {before:.2f}, after {after:.2f}.")
    recovered: Place = ("after with recovery", level)
    used = [pairs[s] for s in compared]
    if gain := evidence.compare(("before", level), recovered):
        told.append(f"After with recovery, at as many epochs, minus before at {percent(level)}: {gain}.")
        used.append((("before", level), recovered))
    used += [(DENSE, ("before", level)), (DENSE, ("after", level))]
    return _of_pruning("C2", verdict, at, told, evidence, used)


def _spread(evidence: Evidence, place: Place) -> float | None:
    pairs = evidence.both(DENSE, place)
    losses = [dense.f1[language] - f1 for dense, run in pairs for language, f1 in run.f1.items()]
    return stdev(losses) if len(losses) > 1 else None


def _faster(rows: Sequence[Row]) -> Verdict | None:
    """C7: the time of a pruned tagger over that of the dense one, on one machine.

    A point is a language and a recipe: the median over rounds of that ratio, against the sparsity measured in the
    linear layers. The slope is that of least squares, its interval from 1000 draws of points; the noise band holds 95 %
    of the ratios, over all rounds and points, of the dense tagger to itself. It holds where the slope's interval lies
    below 0 and the median ratio of the points of at least 90 % below the band; fails where that median is within or
    above the band; else, or where there is no point of 90 %, it is undecided. What is reported is the slope, the change
    of the ratio from 0 to 100 %.
    """
    timed = [r for r in rows if r.latency and (place := order(r.recipe)) and place[0] != "dense"]
    if not timed:
        return None
    here = most(parts(timed)[0], lambda r: r.environment.machine)
    measured = {r.address: r.size.sparsity for r in rows if r.size}
    x = np.array([measured.get(r.address, pruned_to(r)) for r in here])
    y = np.array([ratio(r) for r in here])
    low, high = noise(here)
    slope, interval = _slope(x, y)
    sparse = np.round(x, 3) >= 0.9
    top = float(np.median(y[sparse])) if sparse.any() else None
    verdict: Judgement = "undecided"
    if top is not None and top >= low:
        verdict = "fails"
    elif top is not None and interval and interval[1] < 0:
        verdict = "holds"
    told = [f"The dense tagger against itself: {low:.3f} to {high:.3f}."]
    if interval:
        ends = f"[{interval[0]:+.3f}, {interval[1]:+.3f}]"
        told.insert(0, f"Slope of time over dense time against sparsity: {slope:+.3f} {ends}.")
    if top is None:
        told.append("No recipe of at least 90 % has been timed.")
    else:
        by = {
            name: float(np.median([v for v, at, r in zip(y, sparse, here, strict=True) if at and r.language == name]))
            for name in sorted({r.language for r, at in zip(here, sparse, strict=True) if at})
        }
        least, highest = min(by, key=by.__getitem__), max(by, key=by.__getitem__)
        told.append(
            f"Median ratio at 90 % and more: {top:.3f}, from {by[least]:.3f} ({least}) to {by[highest]:.3f} ({highest})."
        )
    environment = here[0].environment
    told.append(f"{len(here)} points on one machine ({environment.cpu}, {plural(environment.threads, 'thread')}).")
    found = " ".join([*told, provenance(here, sum(r.kind == "latency" for r in rows) - len(here))])
    return Verdict("C7", SAID["C7"], verdict, slope, interval, tuple(sorted({r.address for r in here})), found)


def _slope(x: Floats, y: Floats) -> tuple[float | None, tuple[float, float] | None]:
    """The least-squares slope and its bootstrap interval; none where ``x`` is but one value."""
    if len(set(x)) < 2:
        return None, None
    drawn = np.random.default_rng(0).integers(0, len(x), (1000, len(x)))
    at = np.concatenate([np.arange(len(x))[None], drawn])
    across, along = x[at] - x[at].mean(1, keepdims=True), y[at] - y[at].mean(1, keepdims=True)
    spread = (across**2).sum(1)
    slopes = (across * along).sum(1)[spread > 0] / spread[spread > 0]  # a draw of one sparsity has none
    low, high = np.quantile(slopes[1:], [0.025, 0.975])
    return float(slopes[0]), (float(low), float(high))


def unmeasured(claim: str, said: str) -> Verdict:
    return Verdict(claim, said, "not measured", None, None, (), "No row here measures it.")


def stated(
    claim: str,
    said: str,
    verdict: Judgement,
    at: Compared | None,
    told: Sequence[str],
    runs: Iterable[Run],
    *,
    left_out: int = 0,
    after: str = "",
) -> Verdict:
    """A verdict with the rows that it stands on, and on what they were measured."""
    used = {(run.address, run.rows[0].corpus): run for run in runs}
    rows = [row for key in sorted(used) for row in used[key].rows]
    found = " ".join(filter(None, [*told, provenance(rows, left_out), after]))
    interval, addresses = (at.low, at.high) if at else None, tuple(sorted({row.address for row in rows}))
    return Verdict(claim, said, verdict, at.difference if at else None, interval, addresses, found)


def _of_pruning(
    claim: str,
    verdict: Judgement,
    at: Compared | None,
    told: Sequence[str],
    evidence: Evidence,
    pairs: Sequence[tuple[Place, Place]],
) -> Verdict:
    runs = [run for a, b in pairs for pair in evidence.both(a, b) for run in pair]
    return stated(claim, SAID[claim], verdict, at, told, runs, left_out=evidence.left_out)


def levels_told(compared: dict[float, Compared]) -> str:
    return "; ".join(f"{percent(s)} {c}" for s, c in sorted(compared.items(), reverse=True))


def spread_told(compared: Iterable[Compared]) -> str:
    """How the intervals were made, said of what there is."""
    said = "Intervals of 95 % are over seeds and over sentences within languages"
    if all(c.seeds >= SEEDS for c in compared):
        return f"{said}."
    return f"{said}; with 2 seeds they say little about another seed, and with 1, being over sentences alone, nothing."


def provenance(rows: Sequence[Row], left_out: int) -> str:
    """On what encoder, corpus, languages and seeds."""
    first = min(rows, key=lambda r: r.address)
    languages, seeds = sorted({r.language for r in rows}), len({r.seed for r in rows})
    shapes = [shaping(row.recipe) for row in rows]
    bases = sorted({(str(row.recipe["base"]), row.base_digest[:12]) for row in rows})
    # What all begin with is the encoder they are about; what only some do is what they are compared in.
    made = ", ".join(next(iter(step)) for step in shapes[0] if all(step in shape for shape in shapes))
    own = ["afriberta" in base.lower() for base, _ in bases]
    other = ", of which not all are the paper's AfriBERTa"
    if not any(own):
        other = f", {'another encoder' if len(bases) == 1 else 'other encoders'} than the paper's AfriBERTa"
    evaluated = "" if evaluated_on(first) == trained_on(first) else f", evaluated on {evaluated_on(first)}"
    said = (
        f"Measured on {' and '.join(f'{base} (sha256 {digest})' for base, digest in bases)}"
        f"{made and f' after {made}'}{'' if all(own) else other}, "
        f"trained on {trained_on(first)}{evaluated}: "
        f"{', '.join(languages)}; {scope(rows)}; {plural(seeds, 'seed')}."
    )
    if left_out:
        said += f" {plural(left_out, 'row')} of other bases, corpora, machines, recipes or unfinished runs left out."
    return said
