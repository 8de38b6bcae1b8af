"""Comparisons of runs: differences of F1 with their intervals, and runs arranged by when they prune."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from dinku.claims.measurements import Measurements, Run, by_seed, grouped, most, setting
from dinku.claims.recipes import Order, Place
from dinku.errors import plural
from dinku.scoring.counts import Counts
from dinku.scoring.significance import Interval, interval, paired
from dinku.study.rows import Row

FLOOR = 20.0  # F1 points: what has a lower dense F1 has little to lose, and isn't judged


def mean_f1(runs: Sequence[Run]) -> Interval:
    """Mean F1 over languages and seeds, in points, with its interval over seeds and sentences."""
    found = interval([run.counts for run in by_seed(runs)], average="languages")
    return Interval(*(100 * value for value in found))


def scope(rows: Iterable[Row]) -> str:
    """How many sentences rows are about, out of how many in the split, and whether they are the embedded sample's."""
    texts = {(r.language, r.fingerprint): r for r in rows}.values()
    some, all_ = sum(r.sentences for r in texts), sum(r.sentences_in_split for r in texts)
    part = "" if some == all_ else f"{some:,} of "
    sample = " (the embedded sample, no real corpus)" if is_sample(texts) else ""
    splits = " and ".join(sorted({r.split for r in texts}))
    return f"{part}{plural(all_, f'{splits} sentence')}{sample}"


def is_sample(rows: Iterable[Row]) -> bool:
    """Whether the embedded sample was trained or evaluated on."""
    return any(name.startswith("sample:") for r in rows for name in (r.trained_on, r.evaluated_on))


@dataclass(frozen=True)
class Difference:
    """F1 of one set of runs minus that of another, in points, over the seeds that both have."""

    seeds: int
    difference: float
    low: float
    high: float

    @classmethod
    def of(cls, first: Sequence[Counts], second: Sequence[Counts]) -> Difference:
        """The second minus the first, a pair a seed, mean over languages; seeds are drawn again along with the sentences."""
        found = paired(first, second, average="languages")
        return cls(len(first), *(100 * value for value in (found.difference, found.low, found.high)))

    def __str__(self) -> str:
        return f"{self.difference:+z.2f} [{self.low:+z.2f}, {self.high:+z.2f}] ({plural(self.seeds, 'seed')})"


def contrast(first: Sequence[Run], second: Sequence[Run]) -> Difference:
    """The second minus the first, run by run."""
    pairs = sorted(zip(first, second, strict=True), key=lambda pair: (pair[0].seed, pair[0].address, pair[1].address))
    return Difference.of([a.counts for a, _ in pairs], [b.counts for _, b in pairs])


@dataclass(frozen=True)
class Evidence:
    """Runs that may be compared, by when they prune and to what sparsity, and by seed; and why how many rows were left out."""

    runs: dict[Place, dict[int, Run]]
    left_out: Mapping[str, int]

    @classmethod
    def of(cls, measurements: Measurements) -> Evidence:
        """The largest comparable set with one training; of each order its commonest recipe, all pruned in one way."""
        steps, quality = measurements.steps, measurements.quality
        known = [row for part in quality.comparable[:1] for row in part.rows if steps(row).place]
        trained = most(known, lambda row: steps(row).training)
        pruned = most([row for row in trained if steps(row).pruning], lambda row: steps(row).pruning)
        ways = {"", *(steps(row).pruning for row in pruned[:1])}
        chosen: list[Row] = []
        for same in grouped([row for row in trained if steps(row).pruning in ways], lambda row: steps(row).order):
            chosen += most(same, lambda row: steps(row).protocol)
        runs: dict[Place, dict[int, Run]] = defaultdict(dict)
        for run in quality.of(chosen).runs:
            if place := run.recipe.place:
                runs[place][run.seed] = run
        used = {row.key for seeds in runs.values() for run in seeds.values() for row in run.rows}
        home = known[0] if known else None
        left: Counter[str] = Counter()
        for row in quality.rows:
            if row.key not in used:
                named = steps(row)
                left[
                    (_elsewhere(row, home) if home else "")
                    or ("a recipe that does something else than prune and fine-tune" if not named.place else "")
                    or ("trained otherwise" if trained and named.training != steps(trained[0]).training else "")
                    or ("pruned otherwise" if named.pruning not in ways else "")
                    or "not measured on every language, or another recipe or sentences than most by that name"
                ] += 1
        return cls(dict(runs), dict(left.most_common()))

    def levels(self, which: Order) -> list[float]:
        return sorted(level for name, level in self.runs if name == which)

    def both(self, a: Place, b: Place) -> list[tuple[Run, Run]]:
        """The runs of both with the same seed."""
        left, right = self.runs.get(a, {}), self.runs.get(b, {})
        return [(left[seed], right[seed]) for seed in sorted(left.keys() & right.keys())]

    def compare(self, a: Place, b: Place) -> Difference | None:
        """``b`` minus ``a`` over seeds that both have."""
        pairs = self.both(a, b)
        return contrast(*zip(*pairs, strict=True)) if pairs else None


def _elsewhere(row: Row, home: Row) -> str:
    """How a row's setting differs from another's; empty where it doesn't."""
    names = ("another base", "trained on other text", "evaluated on other text", "another split", "other labelling")
    differs = zip((*names, "perturbed text"), setting(row), setting(home), strict=True)
    return next((name for name, a, b in differs if a != b), "")


def ratio(row: Row) -> float:
    """The median over rounds of time over the dense tagger's time."""
    assert row.latency is not None
    return median(a / b for a, b in zip(row.latency.subject, row.latency.dense, strict=True))


def noise(rows: Iterable[Row]) -> tuple[float, float]:
    """The band that holds 95 % of the ratios of the dense tagger's time to its own."""
    ratios = [a / b for r in rows if r.latency for a, b in zip(r.latency.again, r.latency.dense, strict=True)]
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)


def percent(sparsity: float) -> str:
    return f"{100 * sparsity:.4g} %"
