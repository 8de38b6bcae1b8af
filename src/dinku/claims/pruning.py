"""C1, C2 and C7: pruning before and after fine-tuning, and what it does to time."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import stdev

import numpy as np

from dinku.claims.compare import FLOOR, Difference, Evidence, noise, percent, ratio
from dinku.claims.measurements import Measurements, most
from dinku.claims.recipes import DENSE, Place
from dinku.claims.verdict import (
    MARGIN,
    SEEDS,
    Judgement,
    Verdict,
    brief,
    interval_note,
    list_levels,
    measured_on,
    provenance,
    stated,
)
from dinku.errors import plural
from dinku.scoring.counts import Floats


def judge_c1(evidence: Evidence) -> Verdict | None:
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
    notes = [
        f"Before minus dense, F1 points of {dense:.2f}, margin {MARGIN:g}: {list_levels(compared)}.",
        interval_note(compared.values()),
    ]
    if not enough:
        notes.append(f"60 % has fewer than {SEEDS} seeds in both, too few to judge by.")
    if dense < FLOOR:
        notes.append(f"Less than {FLOOR:g} F1 is too little to lose from to judge by.")
    level = _deciding(compared, verdict)
    used = [pairs[s] for s in compared]
    return pruning_verdict("C1", verdict, at, notes, evidence, used, deciding=(level, compared[level]))


def _deciding(compared: dict[float, Difference], verdict: Judgement) -> float:
    """The level that C1's verdict hangs on: the highest that fails it, or else the highest."""
    failing = [s for s, c in compared.items() if c.high < -MARGIN and c.seeds >= SEEDS]
    return max(failing if verdict == "fails" else compared)


def judge_c2(evidence: Evidence) -> Verdict | None:
    """C2: *before* minus *after*, mean over languages of F1, at each measured s of at least 0.7.

    Mean F1 stands in for "stable and predictable"; the spread over languages and seeds is reported beside it.

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
    notes = [f"Before minus after, F1 points: {list_levels(compared)}.", interval_note(compared.values())]
    if not enough:
        notes.append(f"No level has {SEEDS} seeds in both, too few to judge by.")
    before, after = _spread(evidence, ("before", level)), _spread(evidence, ("after", level))
    if before is not None and after is not None:
        what = f"Standard deviation of the loss against dense at {percent(level)}, over languages and seeds"
        notes.append(f"{what}: before {before:.2f}, after {after:.2f}.")
    recovered: Place = ("after with recovery", level)
    used = [pairs[s] for s in compared]
    if gain := evidence.compare(("before", level), recovered):
        notes.append(f"After with recovery, at as many epochs, minus before at {percent(level)}: {gain}.")
        used.append((("before", level), recovered))
    used += [(DENSE, ("before", level)), (DENSE, ("after", level))]
    return pruning_verdict("C2", verdict, at, notes, evidence, used, deciding=(level, at))


def _spread(evidence: Evidence, place: Place) -> float | None:
    pairs = evidence.both(DENSE, place)
    losses = [dense.f1[language] - f1 for dense, run in pairs for language, f1 in run.f1.items()]
    return stdev(losses) if len(losses) > 1 else None


def judge_c7(measurements: Measurements) -> Verdict | None:
    """C7: the time of a pruned tagger over that of the dense one, on one machine.

    A point is a language and a recipe: the median over rounds of that ratio, against the sparsity measured in the
    linear layers. The slope is that of least squares, its interval from 1000 draws of points; the noise band holds 95 %
    of the ratios, over all rounds and points, of the dense tagger to itself. It holds where the slope's interval lies
    below 0 and the median ratio of the points of at least 90 % below the band; fails where that median is within or
    above the band; else, or where there is no point of 90 %, it is undecided. What is reported is the slope, the change
    of the ratio from 0 to 100 %.
    """
    steps, rows = measurements.steps, measurements.rows
    timed = measurements.where(lambda r: r.latency is not None and steps(r).order not in (None, "dense"))
    if not timed.rows:
        return None
    here = most(timed.comparable[0].rows, lambda r: r.environment.machine)
    measured = {r.address: r.size.sparsity for r in rows if r.size}
    x = np.array([measured.get(r.address, (steps(r).place or DENSE)[1]) for r in here])
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
    notes = [f"The dense tagger against itself: {low:.3f} to {high:.3f}."]
    if interval:
        ends = f"[{interval[0]:+z.3f}, {interval[1]:+z.3f}]"
        notes.insert(0, f"Slope of time over dense time against sparsity: {slope:+z.3f} {ends}.")
    if top is None:
        notes.append("No recipe of at least 90 % has been timed.")
    else:
        by = {
            name: float(np.median([v for v, at, r in zip(y, sparse, here, strict=True) if at and r.language == name]))
            for name in sorted({r.language for r, at in zip(here, sparse, strict=True) if at})
        }
        least, highest = min(by, key=by.__getitem__), max(by, key=by.__getitem__)
        notes.append(
            f"Median ratio at 90 % and more: {top:.3f}, from {by[least]:.3f} ({least}) to {by[highest]:.3f} ({highest})."
        )
    environment = here[0].environment
    notes.append(f"{len(here)} points on one machine ({environment.cpu}, {plural(environment.threads, 'thread')}).")
    left = sum(r.kind == "latency" for r in rows) - len(here)
    return Verdict(
        "C7",
        verdict,
        slope,
        interval,
        tuple(sorted({r.address for r in here})),
        " ".join([*notes, provenance(here, left)]),
        number="" if top is None else f"×{top:.2f}",
        decides="no recipe of 90 %" if top is None else f"time at 90 %: ×{top:.2f}, noise {low:.2f} to {high:.2f}",
        on=f"{measured_on(here)}, {environment.cpu}",
        keys=frozenset(r.key for r in here),
        left_out={"times of other recipes, corpora or machines": left} if left else {},
    )


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


def pruning_verdict(
    claim: str,
    verdict: Judgement,
    at: Difference | None,
    notes: Sequence[str],
    evidence: Evidence,
    pairs: Sequence[tuple[Place, Place]],
    *,
    deciding: tuple[float, Difference],
) -> Verdict:
    runs = [run for a, b in pairs for pair in evidence.both(a, b) for run in pair]
    level, shown = deciding
    return stated(
        claim,
        verdict,
        at,
        notes,
        runs,
        number=f"{shown.difference:+z.1f}",
        decides=f"{percent(level)}: {brief(shown)}",
        left_out=evidence.left_out,
    )
