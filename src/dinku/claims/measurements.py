"""Measurements: rows with the counts behind them, grouped into runs and into sets that may be compared.

Recipes are told apart by what they did, not by what their arms are called, so any study can be judged. Rows of different bases,
corpora or training aren't mixed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from dinku.claims.recipes import Steps
from dinku.digests import canonical
from dinku.scoring.answers import Answers
from dinku.scoring.counts import Counts
from dinku.study.current import standing
from dinku.study.results import Results, in_order
from dinku.study.rows import Row, Size


@dataclass(frozen=True)
class Run:
    """One recipe with one seed, measured on every language."""

    rows: tuple[Row, ...]
    counts: Counts
    recipe: Steps

    @property
    def address(self) -> str:
        return self.rows[0].address

    @property
    def seed(self) -> int:
        return self.rows[0].seed

    @property
    def steps(self) -> list[dict[str, Any]]:
        return list(self.recipe.steps)

    @property
    def text(self) -> str | None:
        """The folder of text that its recipe names, whether or not a step reads it."""
        return self.rows[0].recipe.get("text")

    @property
    def title(self) -> str:
        return self.rows[0].title

    @property
    def parameters(self) -> int:
        return self._size.parameters if self._size else 0

    @property
    def linear(self) -> int:
        """The number of weights in the layers' matrices, whatever the vocabulary."""
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


@dataclass(frozen=True, eq=False)
class Measurements:
    """Rows of one study with the counts behind them. Each grouping is made once, when it is first asked for."""

    rows: tuple[Row, ...]
    results: Results
    _steps: dict[str, Steps] = field(default_factory=dict, repr=False)  # by address; shared by all subsets
    _names: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict, repr=False)
    _sums: dict[tuple[Hashable, ...], Counts] = field(default_factory=dict, repr=False)

    @classmethod
    def current(cls, results: Results) -> Measurements:
        """The rows of the study as it is now."""
        return cls(tuple(standing(results)[0]), results)

    def of(self, rows: Iterable[Row]) -> Measurements:
        """These rows of the same study."""
        return replace(self, rows=tuple(rows))

    def where(self, condition: Callable[[Row], bool]) -> Measurements:
        """The rows that meet a condition; where all do, the same object, whose groupings are known."""
        rows = tuple(filter(condition, self.rows))
        return self if len(rows) == len(self.rows) else self.of(rows)

    def within(self, languages: Collection[str]) -> Measurements:
        """The rows in some languages."""
        return self.where(lambda row: row.language in languages)

    @cached_property
    def quality(self) -> Measurements:
        """The rows that hold F1."""
        return self.where(lambda row: row.kind == "quality")

    @cached_property
    def clean(self) -> Measurements:
        """The rows of text as it is, not perturbed."""
        return self.where(lambda row: not row.perturbation)

    @cached_property
    def seen(self) -> Measurements:
        """The rows in languages that were trained on."""
        return self.where(lambda row: row.seen)

    def steps(self, row: Row) -> Steps:
        """The steps of a row's recipe, the same object for all rows of one recipe."""
        if row.address not in self._steps:
            self._steps[row.address] = Steps(row.recipe["steps"])
        return self._steps[row.address]

    def name(self, row: Row) -> tuple[str, str]:
        """The arm of a row's recipe and the grid's values, which all its seeds share."""
        key = row.address, row.arm
        if key not in self._names:
            self._names[key] = row.arm, canonical(row.values)
        return self._names[key]

    def _name_and_seed(self, row: Row) -> tuple[str, str, int]:
        return *self.name(row), row.seed

    def answers(self, row: Row) -> Answers | None:
        """See `Results.answers`."""
        return self.results.answers(row)

    def counts(self, rows: Sequence[Row]) -> Counts:
        """The counts behind quality rows as one, in their order; the same object for the same rows."""
        if len(rows) == 1:
            return self.results.counts(rows[0])
        key = tuple(row.key for row in rows)
        if key not in self._sums:
            self._sums[key] = Counts.total([self.results.counts(row) for row in rows])
        return self._sums[key]

    @cached_property
    def runs(self) -> list[Run]:
        """The runs that are measured on every language that has quality rows, in the order of their seeds."""
        languages = {row.language for row in self.quality.rows}
        runs = []
        for group in grouped(self.quality.rows, lambda r: r.address):
            if {row.language for row in group} == languages:
                group.sort(key=lambda r: (r.language, r.split, r.perturbation, r.fingerprint))
                runs.append(Run(tuple(group), self.counts(group), self.steps(group[0])))
        return by_seed(runs)

    @cached_property
    def comparable(self) -> list[Measurements]:
        """Sets of rows that may be compared: of one base, one corpus to train on, one to evaluate on, one split, perturbed alike.

        Sets evaluated on what they were trained on come first, then the largest. Where two recipes share a name, as after a
        change to a study, their training parts them, and so does the train split that they learnt from; where neither does, the
        commoner recipe is kept. Of a recipe that was carried out again the run with the newest methods is kept: never two of a
        seed. Of each language the sentences that most rows are about are kept.
        """
        groups: list[list[Row]] = []
        for group in grouped(in_order(self.rows), setting):
            clashing = any(len({r.address for r in named}) > 1 for named in grouped(group, self._name_and_seed))
            for same in grouped(group, lambda r: self.steps(r).training) if clashing else [group]:
                groups += _by_content(same)
        sets = []
        for group in groups:
            group = [r for named in grouped(group, self.name) for r in most(named, lambda r: self.steps(r).protocol)]
            group = [r for same in grouped(group, self._name_and_seed) for r in _newest(same)]
            spoken = grouped(group, lambda r: (r.kind, r.language))
            sets.append(self.of(r for same in spoken for r in most(same, lambda r: r.fingerprint)))
        return sorted(sets, key=lambda s: (s.rows[0].evaluated_on != s.rows[0].trained_on, -len(s.rows)))


def by_seed(runs: Iterable[Run]) -> list[Run]:
    """Runs in the order in which a bootstrap draws them: seeds in another order would give another interval."""
    return sorted(runs, key=lambda run: (run.seed, run.address))


def grouped(rows: Iterable[Row], key: Callable[[Row], Hashable]) -> list[list[Row]]:
    """Rows grouped by a key. Groups are in the order of the keys as text, so they don't depend on the order of rows."""
    groups: dict[Hashable, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return [groups[k] for k in sorted(groups, key=str)]


def most(rows: Iterable[Row], key: Callable[[Row], Hashable]) -> list[Row]:
    """The rows of the commonest key."""
    return max(grouped(rows, key), key=len, default=[])


def setting(row: Row) -> tuple[str, ...]:
    """The properties that rows must share to be comparable."""
    label_on = str(row.recipe.get("label_on", "first"))
    return row.base_digest, row.trained_on, row.evaluated_on, row.split, label_on, row.perturbation


def learnt_from(row: Row) -> str:
    """The fingerprint of the train split; empty where it wasn't recorded.

    It is that of the last training, which reads tags: an earlier one may have read the words alone, which have another.
    """
    return next((each.consumes["train"] for each in reversed(row.trainings) if "train" in each.consumes), "")


def _by_content(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows grouped by their train split; rows without one, or that don't record it, join the largest group."""
    known = Counter(learnt for row in rows if (learnt := learnt_from(row)))
    commonest = max(sorted(known), key=known.__getitem__, default="")
    return grouped(rows, lambda r: learnt_from(r) or commonest)


def _newest(rows: Iterable[Row]) -> list[Row]:
    """Of the rows of one recipe and seed, those of one address: the one with the newest versions of methods."""
    return max(grouped(rows, lambda r: r.address), key=lambda g: (sorted(g[0].versions.items()), len(g)))
