"""Rows → runs that may be compared, and what they say of one another.

Recipes are told apart by what they did, not by what their arms are called, so any study can be judged. Rows of different bases,
corpora or training aren't mixed.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import takewhile
from operator import is_
from statistics import median
from typing import Any, Literal

import numpy as np

from dinku.digests import canonical
from dinku.errors import plural
from dinku.method import Category
from dinku.methods.registry import category_of
from dinku.scoring.counts import Counts
from dinku.scoring.significance import Interval, paired
from dinku.study.recipe import title_of
from dinku.study.results import Results, in_order
from dinku.study.rows import Row, Size

Order = Literal["dense", "before", "after", "after with recovery"]
Place = tuple[Order, float]  # when a recipe prunes, and to what sparsity
_ORDERS: dict[str, Order] = {"F+": "dense", "SF+": "before", "F+S": "after", "F+SF+": "after with recovery"}
DENSE: Place = ("dense", 0.0)


@dataclass(frozen=True)
class Run:
    """One recipe with one seed, measured on every language."""

    rows: tuple[Row, ...]
    counts: Counts

    @property
    def address(self) -> str:
        return self.rows[0].address

    @property
    def seed(self) -> int:
        return self.rows[0].seed

    @property
    def steps(self) -> list[dict[str, Any]]:
        return list(self.rows[0].recipe["steps"])

    @property
    def text(self) -> str | None:
        """The folder of text that its recipe names, whether it reads it or not."""
        return self.rows[0].recipe.get("text")

    @property
    def title(self) -> str:
        return title(self.rows[0])

    @property
    def parameters(self) -> int:
        return self._size.parameters if self._size else 0

    @property
    def linear(self) -> int:
        """The weights in the layers' matrices, whatever the vocabulary."""
        return self._size.linear if self._size else 0

    @property
    def bytes_disk(self) -> int:
        return self._size.bytes_disk if self._size else 0

    @cached_property
    def _size(self) -> Size | None:
        return next((r.size for r in self.rows if r.size), None)

    @cached_property
    def f1(self) -> dict[str, float]:
        """F1 in points, by language."""
        return {language: 100 * s.f1 for language, s in self.counts.by_language().items()}

    @property
    def mean(self) -> float:
        """Mean F1 over languages, in points."""
        return float(np.mean(list(self.f1.values())))


FLOOR = 20.0  # F1 points: what has a lower dense F1 has little to lose, and isn't judged
_PARTED: deque[tuple[list[Row], list[list[Row]]]] = deque(maxlen=4)  # claims ask for the parts of the very same rows


def parts(rows: Iterable[Row]) -> list[list[Row]]:
    """Rows that may be compared: of one base, one corpus to train on, one to evaluate on, one split, perturbed alike.

    Those evaluated on what they were trained on come first, then the most.

    Where two recipes go by one name, as after a change to a study, their training parts them; where it doesn't, the
    commoner one is kept. So does what they learnt from, where a corpus changed under its name. Of one that was carried out again
    the run with the newest methods is kept: never two of a seed. Of each language the sentences that most rows are about are.
    """
    rows = list(rows)
    for known, found in _PARTED:
        if len(known) == len(rows) and all(map(is_, known, rows)):
            return [[*group] for group in found]
    groups = []
    for group in grouped(in_order(rows), setting):
        clashing = any(len({r.address for r in named}) > 1 for named in grouped(group, _name))
        for same in grouped(group, training) if clashing else [group]:
            groups += _by_content(same)
    kept = []
    for group in groups:
        group = [r for named in grouped(group, lambda r: (r.arm, canonical(r.values))) for r in most(named, _protocol)]
        group = [r for same in grouped(group, _name) for r in _newest(same)]
        spoken = grouped(group, lambda r: (r.kind, r.language))
        kept.append([r for same in spoken for r in most(same, lambda r: r.fingerprint)])
    kept.sort(key=lambda g: (evaluated_on(g[0]) != trained_on(g[0]), -len(g)))
    _PARTED.append((rows, [[*group] for group in kept]))
    return kept


def whole_runs(rows: Iterable[Row], results: Results) -> list[Run]:
    """The runs that have been measured on every language that there are quality rows of, in the order of their seeds."""
    quality = [r for r in rows if r.kind == "quality"]
    languages = {r.language for r in quality}
    runs = []
    for group in grouped(quality, lambda r: r.address):
        if {r.language for r in group} == languages:
            group = sorted(group, key=lambda r: (r.language, r.split, r.perturbation, r.fingerprint))
            runs.append(Run(tuple(group), results.total(group)))
    return by_seed(runs)


def by_seed(runs: Iterable[Run]) -> list[Run]:
    """Runs in the order in which a bootstrap draws them: seeds in another order would give another interval."""
    return sorted(runs, key=lambda run: (run.seed, run.address))


def mean_f1(runs: Sequence[Run]) -> Interval:
    """Mean over languages and seeds, in points; its interval, over seeds and sentences, is that of the difference from finding
    nothing."""
    counts = [run.counts for run in by_seed(runs)]
    gold = np.array([1, 0, 0])
    nothing = replace(counts[0], default=counts[0].default * gold, strict=counts[0].strict * gold)
    found = paired([nothing], counts, average="languages")
    return Interval(*(100 * value for value in found[:3]))


def trained_on(row: Row) -> str:
    return str(row.recipe["corpus"])


def evaluated_on(row: Row) -> str:
    """The corpus that a row's sentences come from, without the notes on which of them they are."""
    return row.evaluated_on


def scope(rows: Iterable[Row]) -> str:
    """Sentences, never hiding that they are n of N, nor that they are the embedded sample's."""
    told = {(r.language, r.fingerprint): r for r in rows}.values()
    some, all_ = sum(r.sentences for r in told), sum(r.sentences_in_split for r in told)
    of = "" if some == all_ else f"{some:,} of "
    sample = " (the embedded sample, no real corpus)" if is_sample(told) else ""
    splits = " and ".join(sorted({r.split for r in told}))
    return f"{of}{plural(all_, f'{splits} sentence')}{sample}"


def is_sample(rows: Iterable[Row]) -> bool:
    """Whether the embedded sample was trained or evaluated on."""
    return any(name.startswith("sample:") for r in rows for name in (trained_on(r), evaluated_on(r)))


def order(recipe: dict[str, Any]) -> Place | None:
    """When a recipe prunes, and to what sparsity; ``None`` for recipes that do anything else as well.

    Steps that make another encoder of the base come first, if at all, and are no matter here (`shaping`). Zeros that a later
    fine-tuning gives up (``keep_zeros=False``) are no pruning; fine-tuning that prunes is something else.
    """
    steps = [next(iter(step.items())) for step in recipe["steps"][len(shaping(recipe)) :]]
    kinds = [category_of(name) for name, _ in steps]
    word = "".join(
        "S" if kind == "sparsity" else "F" if kind == "training" and not fields.get("sparsity") else "?"
        for kind, (_, fields) in zip(kinds, steps, strict=True)
    )
    sparsity = float(steps[word.index("S")][1].get("sparsity", 0.0)) if "S" in word else 0.0
    kept = all(fields.get("keep_zeros", True) for _, fields in steps[word.find("S") + 1 :])
    found = _order(word)
    return (found, sparsity) if found and (found == "dense" or (sparsity and kept)) else None


@cache
def _order(word: str) -> Order | None:
    """When steps prune, of which each is a letter: one that fine-tunes, one that prunes, or any other."""
    return next((name for pattern, name in _ORDERS.items() if re.fullmatch(pattern, word)), None)


def shaping(recipe: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps that a recipe begins with and that make another encoder of its base."""
    return list(takewhile(lambda step: category_of(next(iter(step))) == "structure", recipe["steps"]))


@dataclass(frozen=True)
class Compared:
    """F1 of one set of runs minus that of another, in points, over the seeds that both have."""

    seeds: int
    difference: float
    low: float
    high: float

    @classmethod
    def of(cls, first: Sequence[Counts], second: Sequence[Counts]) -> Compared:
        """The second minus the first, a pair a seed, mean over languages; seeds are drawn again along with the sentences."""
        found = paired(first, second, average="languages")
        return cls(len(first), *(100 * value for value in (found.difference, found.low, found.high)))

    def __str__(self) -> str:
        return f"{self.difference:+.2f} [{self.low:+.2f}, {self.high:+.2f}] ({plural(self.seeds, 'seed')})"


def contrast(first: Sequence[Run], second: Sequence[Run]) -> Compared:
    """The second minus the first, run by run."""
    pairs = sorted(zip(first, second, strict=True), key=lambda pair: (pair[0].seed, pair[0].address, pair[1].address))
    return Compared.of([a.counts for a, _ in pairs], [b.counts for _, b in pairs])


@dataclass(frozen=True)
class Evidence:
    """The runs that may be compared, by when they prune, to what sparsity, and seed; and how many rows that leaves out."""

    runs: dict[Place, dict[int, Run]]
    left_out: int

    @classmethod
    def of(cls, rows: Sequence[Row], results: Results) -> Evidence:
        """The largest set with one training; of each order its commonest recipe, all pruned in one way."""
        quality = [r for r in rows if r.kind == "quality"]
        known = [r for part in parts(quality)[:1] for r in part if order(r.recipe)]
        trained = most(known, training)
        way = {_pruning(r) for r in most([r for r in trained if _pruning(r)], _pruning)}
        chosen = []
        for same in grouped([r for r in trained if _pruning(r) in {"", *way}], _when):
            chosen += most(same, _protocol)
        runs: dict[Place, dict[int, Run]] = defaultdict(dict)
        for run in whole_runs(chosen, results):
            if place := order(run.rows[0].recipe):
                runs[place][run.seed] = run
        used = sum(len(run.rows) for seeds in runs.values() for run in seeds.values())
        return cls(dict(runs), len(quality) - used)

    def levels(self, which: Order) -> list[float]:
        return sorted(level for name, level in self.runs if name == which)

    def both(self, a: Place, b: Place) -> list[tuple[Run, Run]]:
        """The runs of both with the same seed."""
        left, right = self.runs.get(a, {}), self.runs.get(b, {})
        return [(left[seed], right[seed]) for seed in sorted(left.keys() & right.keys())]

    def compare(self, a: Place, b: Place) -> Compared | None:
        """``b`` minus ``a`` over seeds that both have."""
        pairs = self.both(a, b)
        return contrast(*zip(*pairs, strict=True)) if pairs else None


def is_dense(row: Row) -> bool:
    """Whether it is of a tagger that was fine-tuned and no more, or that nothing was done to."""
    place = order(row.recipe)
    return not row.recipe["steps"] or (place is not None and place[0] == "dense")


def title(row: Row) -> str:
    return title_of(row.arm, row.values)


def ratio(row: Row) -> float:
    """The median over rounds of time over the dense tagger's time."""
    assert row.latency is not None
    return median(a / b for a, b in zip(row.latency.subject, row.latency.dense, strict=True))


def noise(rows: Iterable[Row]) -> tuple[float, float]:
    """The band that holds 95 % of the ratios of the dense tagger's time to its own."""
    ratios = [a / b for r in rows if r.latency for a, b in zip(r.latency.again, r.latency.dense, strict=True)]
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)


def pruned_to(row: Row) -> float:
    """The sparsity that a recipe asks for."""
    place = order(row.recipe)
    return place[1] if place else 0.0


def percent(sparsity: float) -> str:
    return f"{100 * sparsity:.4g} %"


def grouped(rows: Iterable[Row], key: Callable[[Row], Hashable]) -> list[list[Row]]:
    """Rows of one key together, keys in the order of their text, whatever the order of rows."""
    groups: dict[Hashable, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return [groups[k] for k in sorted(groups, key=str)]


def most(rows: Iterable[Row], key: Callable[[Row], Hashable]) -> list[Row]:
    """The rows of the commonest key."""
    return max(grouped(rows, key), key=len, default=[])


def setting(row: Row) -> tuple[str, ...]:
    label_on = str(row.recipe.get("label_on", "first"))
    return row.base_digest, trained_on(row), evaluated_on(row), row.split, label_on, row.perturbation


def _when(row: Row) -> Hashable:
    place = order(row.recipe)
    return place and place[0]


def _name(row: Row) -> Hashable:
    return row.arm, canonical(row.values), row.seed


def learnt_from(row: Row) -> str:
    """The fingerprint of the train split, as far as that was kept.

    It is that of the last training, which reads tags: an earlier one may have read the words alone, which have another.
    """
    return next((each.consumes["train"] for each in reversed(row.trainings) if "train" in each.consumes), "")


def _by_content(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows that learnt from one train split together; what learnt nothing, or didn't keep from what, with the most."""
    known = Counter(learnt for row in rows if (learnt := learnt_from(row)))
    commonest = max(sorted(known), key=known.__getitem__, default="")
    return grouped(rows, lambda r: learnt_from(r) or commonest)


def _newest(rows: Iterable[Row]) -> list[Row]:
    """Of rows of one recipe and seed those of one address."""
    return max(grouped(rows, lambda r: r.address), key=lambda g: (sorted(g[0].versions.items()), len(g)))


def of_category(steps: Iterable[dict[str, Any]], category: Category) -> list[tuple[str, dict[str, Any]]]:
    """The methods of one category among steps, each by its name and fields."""
    return [(name, fields) for step in steps for name, fields in step.items() if category_of(name) == category]


def training(row: Row) -> str:
    """Of what encoder, how the first fine-tuning was done, and the epochs of all of them."""
    trainings = [fields for _, fields in of_category(row.recipe["steps"], "training")]
    first = {key: value for key, value in (trainings or [{}])[0].items() if key not in ("epochs", "tags")}
    return canonical([shaping(row.recipe), first, sum(fields.get("epochs", 0) for fields in trainings)])


def _pruning(row: Row) -> str:
    """In what way weights are pruned; empty for what isn't."""
    pruned = of_category(row.recipe["steps"], "sparsity")
    ways = [[name, {k: v for k, v in fields.items() if k != "sparsity"}] for name, fields in pruned]
    return canonical(ways) if ways else ""


def _protocol(row: Row) -> str:
    """The steps, but for the sparsity."""
    return canonical(
        [
            [name, {k: v for k, v in fields.items() if k not in ("sparsity", "tags")}]
            for step in row.recipe["steps"]
            for name, fields in step.items()
        ]
    )
