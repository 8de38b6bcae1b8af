"""Intervals and tests: whether one run is better than another, or no worse."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal, NamedTuple, Self, get_args

import numpy as np
from numpy.typing import NDArray

from dinku.errors import DinkuError, plural
from dinku.scoring.counts import Counts, Floats, Ints, check_same, narrowed, same_gold

Average = Literal["micro", "languages"]


class Interval(NamedTuple):
    """A score and the ends of its interval."""

    value: float
    low: float
    high: float


class Paired(NamedTuple):
    """How much better the second run is, the ends of that difference's interval, and a two-sided p-value."""

    difference: float
    low: float
    high: float
    p_value: float


class NonInferior(NamedTuple):
    """How much better the second run is, its lower bound, the margin, whether it holds, and a one-sided p-value."""

    difference: float
    low: float
    margin: float
    holds: bool
    p_value: float


class Correlation(NamedTuple):
    """Spearman's rho, the ends of its interval, a two-sided p-value, and the number of languages."""

    rho: float
    low: float
    high: float
    p_value: float
    languages: int


def interval(
    runs: Sequence[Counts],
    *,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    strict: bool = False,
    average: Average = "micro",
) -> Interval:
    """The mean F1 of runs, one a seed over the same sentences, with its percentile bootstrap interval.

    Seeds are drawn, and sentences within each language (Efron & Tibshirani 1993, chapter 13). The draws are those of `paired`
    against a run that predicts nothing. ``average`` is *micro* over all sentences, or *languages* for the mean of the languages'
    F1. Raises `DinkuError` as `paired` does.
    """
    only_gold = np.array([1, 0, 0])
    nothing = [replace(run, default=run.default * only_gold, strict=run.strict * only_gold) for run in runs[:1]]
    found = paired(nothing, runs, draws=draws, level=level, seed=seed, strict=strict, average=average)
    return Interval(found.difference, found.low, found.high)


def paired(
    a: Sequence[Counts],
    b: Sequence[Counts],
    *,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    strict: bool = False,
    average: Average = "micro",
) -> Paired:
    """F1 of ``b`` minus F1 of ``a`` by a hierarchical bootstrap; each holds one run for each seed, all over the same sentences.

    Each draw takes seeds with replacement, and then sentences within each language, the same for all runs. If both sides have
    equally many seeds, these are taken as pairs and drawn together. F1 is averaged over seeds. The p-value is two-sided:
    twice the smaller share of draws on either side of zero, with one added to each count
    (Berg-Kirkpatrick et al. 2012; Davison & Hinkley 1997, 4.2).

    With a single seed, the result only holds for these two models, not for other seeds. If seeds differ by more than
    sentences do, few seeds make the test too confident: with 3 to 5 seeds, simulated runs of equal skill differed
    significantly at 5 % in up to about 18 % of cases, and in under 5 % if seeds differed little.

    Raises `DinkuError` if the runs aren't over the same sentences, or for fewer than one draw, or an unknown level or average.
    """
    return _two_sided(*_differences(a, b, draws=draws, level=level, seed=seed, strict=strict, average=average), level)


def non_inferior(
    a: Sequence[Counts],
    b: Sequence[Counts],
    margin: float,
    *,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    strict: bool = False,
    average: Average = "micro",
) -> NonInferior:
    """Whether ``b`` loses less than ``margin`` of F1 against ``a``, which is what "without loss" claims.

    The draws and the warning are those of `paired`. The test is one-sided: ``low`` is the lower bound of the
    difference at ``level``, and ``p_value`` the share of draws in which ``b`` loses the margin or more, with one added to each
    count. Non-inferiority holds if ``low`` is above minus the margin; an insignificant difference alone doesn't show it.
    Raises `DinkuError` as `paired` does, and for a margin that isn't positive.
    """
    if not 0 < margin < 1:
        problem = f"the margin is {margin}"
        raise DinkuError(problem, where="non_inferior", remedy="give the F1 that may be lost, such as 0.01")
    difference, differences = _differences(a, b, draws=draws, level=level, seed=seed, strict=strict, average=average)
    low = float(np.quantile(differences, 1 - level))
    p_value = (int((differences <= -margin).sum()) + 1) / (draws + 1)
    return NonInferior(difference, low, margin, low > -margin, p_value)


def f1_kept(
    first: tuple[Sequence[Counts], Sequence[Counts]],
    second: tuple[Sequence[Counts], Sequence[Counts]],
    *,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    average: Average = "micro",
) -> Paired:
    """How much more of its F1 the ``second`` pair of runs keeps than the ``first``; negative if it keeps less.

    A pair holds the runs before and after compression on one text, one run for each seed. The part kept is mean F1 after over
    mean F1 before, or 1 if F1 before is 0. The draws are those of `paired`: seeds are drawn once for all four, and sentences
    once for all texts with the same languages and gold spans in order, such as a text and its perturbed version. Raises
    `DinkuError` if the runs of one aren't over the same sentences, or the four don't have equally many seeds.
    """
    sides = (*first, *second)
    if len({*map(len, sides)}) > 1 or not sides[0]:
        problem = f"there are {', '.join(str(len(side)) for side in sides)} seeds"
        raise DinkuError(problem, where="f1_kept", remedy="give as many runs of each, one or more")
    random = np.random.default_rng(seed)
    texts: list[tuple[Counts, _Draws]] = []
    values, drawn = [], []
    for side in sides:
        for run in side:
            _check_draws(run, draws, level, average)
            if not same_gold(side[0], run):
                raise DinkuError(
                    "the runs aren't over the same sentences", where="f1_kept", remedy="compare runs on one text"
                )
        weights = next((w for text, w in texts if same_gold(text, side[0])), None)
        if weights is None:
            texts.append((side[0], weights := _Draws.of(random, side[0], draws)))
        whole, f1 = _f1_drawn(side, weights, False, average)
        values.append(whole.mean())
        drawn.append(f1)
    chosen, at = random.integers(0, len(sides[0]), (draws, len(sides[0]))), np.arange(draws)[:, None]
    means = [np.append(value, f1[chosen, at].mean(1)) for value, f1 in zip(values, drawn, strict=True)]
    kept_first, kept_second = (
        np.divide(after, before, out=np.ones_like(after), where=before > 0) for before, after in (means[:2], means[2:])
    )
    more = kept_second - kept_first
    return _two_sided(float(more[0]), more[1:], level)


def _two_sided(value: float, drawn: Floats, level: float) -> Paired:
    """A difference with its interval and its two-sided p-value, from draws."""
    _, low, high = _interval(value, drawn, level)
    tail = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return Paired(value, low, high, min(1.0, 2 * (tail + 1) / (len(drawn) + 1)))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for multiple testing (Holm 1979), which controls the family-wise error rate; in the given order."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = least
    return adjusted


def rank_correlation(
    x: Sequence[float], y: Sequence[float], *, draws: int = 10_000, level: float = 0.95, seed: int = 0
) -> Correlation:
    """Spearman's rank correlation of two values of each language, ties sharing their mean rank.

    The interval is a percentile bootstrap over languages, the p-value two-sided by permutation. Ten languages are few: a
    true correlation of 0.6 is missed more often than found, and languages of one family aren't independent. Raises
    `DinkuError` for fewer than four languages, unequally many values, or values that don't vary.
    """
    if len(x) != len(y) or len(x) < 4:
        problem = f"{len(x)} and {len(y)} values"
        raise DinkuError(problem, where="rank_correlation", remedy="give two values for each of four languages or more")
    both = np.array([x, y], np.float64)
    if not np.isfinite(both).all() or (np.ptp(both, axis=1) == 0).any():
        problem = "values that don't vary, or aren't numbers"
        raise DinkuError(problem, where="rank_correlation", remedy="give what differs between languages")
    random = np.random.default_rng(seed)
    rho = float(_spearman(both[:, None])[0])
    drawn = _spearman(both[:, random.integers(0, len(x), (draws, len(x)))])
    shuffled = random.permuted(np.tile(both[1], (draws, 1)), axis=1)
    chance = _spearman(np.stack([np.broadcast_to(both[0], shuffled.shape), shuffled]))
    low, high = np.nanquantile(
        drawn, [(1 - level) / 2, (1 + level) / 2]
    )  # a draw that repeats one language has no correlation
    p_value = (int((np.abs(chance) >= abs(rho) - 1e-12).sum()) + 1) / (draws + 1)
    return Correlation(rho, float(low), float(high), p_value, len(x))


def _spearman(pairs: Floats) -> Floats:
    """[2, draw, language] → [draw]; NaN for a draw that doesn't vary."""
    below = (pairs[..., None, :] < pairs[..., :, None]).sum(-1)
    upto = (pairs[..., None, :] <= pairs[..., :, None]).sum(-1)
    ranks = (below + upto).astype(np.float64)
    ranks -= ranks.mean(-1, keepdims=True)
    size = np.sqrt((ranks**2).sum(-1).prod(0))
    return np.divide(ranks.prod(0).sum(-1), size, out=np.full(size.shape, np.nan), where=size > 0)


def _differences(
    a: Sequence[Counts], b: Sequence[Counts], *, draws: int, level: float, seed: int, strict: bool, average: Average
) -> tuple[float, Floats]:
    """The difference of `paired`, and [draw] the difference in each draw."""
    if not a or not b:
        raise DinkuError("there is a run without seeds", where="paired", remedy="give counts for both")
    for other in (*a, *b):
        check_same(a[0], other)
    _check_draws(a[0], draws, level, average)
    random = np.random.default_rng(seed)
    drawn = _Draws.of(random, a[0], draws)
    whole, f1 = zip(*(_f1_drawn(runs, drawn, strict, average) for runs in (a, b)), strict=True)
    chosen_a = random.integers(0, len(a), (draws, len(a)))
    chosen_b = chosen_a if len(a) == len(b) else random.integers(0, len(b), (draws, len(b)))
    at = np.arange(draws)[:, None]
    differences = f1[1][chosen_b, at].mean(1) - f1[0][chosen_a, at].mean(1)
    return float(np.mean(whole[1]) - np.mean(whole[0])), differences


class _Draws(NamedTuple):
    """For each language, [draw, sentence] how often each of its sentences is drawn; ``key`` identifies the draws."""

    key: Hashable
    weights: tuple[NDArray[Any], ...]

    @classmethod
    def of(cls, random: np.random.Generator, counts: Counts, draws: int) -> Self:
        """The next draws of a generator. Runs over equally many sentences share the draws of one seed."""
        state = random.bit_generator.state
        key = (*state["state"].values(), tuple(map(len, counts._by_language.values())), draws)
        weights, after = _weights_from(*key)
        random.bit_generator.state = after
        return cls(key, weights)


@lru_cache(maxsize=8)  # some 5 MB each: a thousand draws of five thousand sentences, a byte a number
def _weights_from(
    state: int, inc: int, sizes: tuple[int, ...], draws: int
) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    """The weights that a generator in this state draws for languages with so many sentences, and its state afterwards."""
    random = np.random.default_rng()
    random.bit_generator.state = {**random.bit_generator.state, "state": {"state": state, "inc": inc}}
    weights = tuple(narrowed(_weights(random, n, draws)) for n in sizes)
    return weights, dict(random.bit_generator.state)


def _f1_drawn(runs: Sequence[Counts], drawn: _Draws, strict: bool, average: Average) -> tuple[Floats, Floats]:
    """[seed] the F1 of runs over the same sentences, and [seed, draw] their F1 in each draw."""
    labels = tuple(sorted({label for run in runs for label in run.labels}))
    by_label = runs[0].task.average != "micro"
    totals_of = [
        (run.over(labels)._totals_by_label(strict=strict) if by_label else run._totals(strict=strict)).values()
        for run in runs
    ]
    whole = _f1([np.stack(of) for of in zip(*totals_of, strict=True)], average, by_label=by_label)
    key = (drawn.key, strict, average)
    new = list({id(run): run for run in runs if key not in run._f1_of}.values())
    if new and by_label:
        for run in new:
            flat = run.over(labels)._flat(strict=strict)
            places = runs[0]._by_language.values()
            sums = [w.astype(np.float64) @ flat[rows] for w, rows in zip(drawn.weights, places, strict=True)]
            run._f1_of[key] = _f1([each.reshape(len(each), len(labels), 3) for each in sums], average, by_label=True)
    elif new:
        spans = [run._spans(strict=strict) for run in new]
        # [sentence, 1 + seed × 2]: gold spans, which all seeds share, then the predicted and the correct spans of each seed.
        tables = np.concatenate([spans[0][:, :1], *(each[:, 1:] for each in spans)], axis=1)
        # Sums of whole numbers are exact in single precision, too, as long as they stay below 2^24.
        kind = np.float32 if len(tables) * tables.max(initial=0) < 2**24 else np.float64
        tables = tables.astype(kind)
        # All seeds in one product, because most of the time is spent reading the weights.
        groups = runs[0]._by_language.values()
        totals = [w.astype(kind) @ tables[rows] for w, rows in zip(drawn.weights, groups, strict=True)]
        found = _f1([_with_gold(each, len(new)) for each in totals], average)
        for run, f1 in zip(new, np.ascontiguousarray(found.T), strict=True):
            run._f1_of[key] = f1
    return whole, np.stack([run._f1_of[key] for run in runs])


def _with_gold(totals: NDArray[Any], seeds: int) -> NDArray[Any]:
    """[draw, seed, 3] from [draw, 1 + seed × 2], gold first."""
    out = np.empty((len(totals), seeds, 3), totals.dtype)
    out[..., :1], out[..., 1:] = totals[:, None, :1], totals[:, 1:].reshape(len(totals), seeds, 2)
    return out


def _weights(random: np.random.Generator, n: int, draws: int) -> Ints:
    """[draw, sentence]: how often each of ``n`` sentences is drawn."""
    # Drawing sentences and counting them is several times as fast as drawing multinomial numbers.
    taken = random.integers(0, n, (draws, n)) + np.arange(draws)[:, None] * n
    return np.bincount(taken.ravel(), minlength=draws * n).reshape(draws, n)


def _f1(totals: Sequence[NDArray[Any]], average: Average, *, by_label: bool = False) -> Floats:
    """F1 from the totals [..., 3] of each language; with ``by_label``, the weighted F1 from [..., label, 3]."""
    ratio = _weighted if by_label else _ratio
    if average == "languages":
        return np.asarray(np.mean([ratio(t) for t in totals], axis=0))
    return ratio(np.sum(totals, axis=0))


def _weighted(totals: NDArray[Any]) -> Floats:
    """The mean F1 of labels by how often gold has them, from [..., label, 3] totals."""
    gold = np.asarray(totals, np.float64)[..., 0]
    whole = gold.sum(-1)
    return np.divide((_ratio(totals) * gold).sum(-1), whole, out=np.zeros_like(whole), where=whole > 0)


def _ratio(totals: NDArray[Any]) -> Floats:
    """The F1 of ``_scores``, to the bit, from [..., 3] totals."""
    gold, predicted, correct = np.moveaxis(np.asarray(totals, np.float64), -1, 0)
    precision, recall = (np.divide(correct, of, out=np.zeros_like(of), where=of > 0) for of in (predicted, gold))
    both = precision + recall
    return np.divide(2.0 * precision * recall, both, out=np.zeros_like(both), where=both > 0)


def _interval(value: float, drawn: Floats, level: float) -> Interval:
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def _check_draws(counts: Counts, draws: int, level: float, average: str) -> None:
    if not len(counts):
        raise DinkuError("there is no sentence to draw from", where="bootstrap", remedy="score at least one")
    if draws < 1:
        raise DinkuError(f"can't draw {plural(draws, 'time')}", where="bootstrap", remedy="ask for at least one draw")
    if not 0 < level < 1:
        raise DinkuError(f"level {level} isn't within 0…1", where="bootstrap", remedy="give 0.95 for 95 %")
    if average not in get_args(Average):
        raise DinkuError(f"no average {average!r}", where="bootstrap", remedy=f"one of {', '.join(get_args(Average))}")
