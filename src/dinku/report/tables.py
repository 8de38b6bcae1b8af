"""Cells and tables: the rows of a study that may be compared, by arm and grid values, with all their seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, median
from typing import NamedTuple

from dinku.claims.compare import Difference, contrast, mean_f1, noise, percent, ratio
from dinku.claims.measurements import Measurements, Run
from dinku.data.task import NER, Task
from dinku.digests import canonical
from dinku.scoring.significance import Interval
from dinku.study.definition import Study, Value
from dinku.study.results import in_order
from dinku.study.rows import Row


@dataclass(frozen=True)
class Cell:
    """An arm at certain values, with all its seeds."""

    arm: str
    values: Mapping[str, Value]
    runs: tuple[Run, ...]

    @property
    def sparsity(self) -> float:
        """The grid's value of that name; 0 where there is no such number."""
        value = self.values.get("sparsity")
        return float(value) if isinstance(value, int | float) else 0.0

    @property
    def label(self) -> str:
        return label_of(self.arm, self.values)

    @property
    def task(self) -> Task:
        """What was measured."""
        return self.runs[0].counts.task

    @cached_property
    def f1(self) -> Interval:
        """Mean over languages and seeds, in points."""
        return mean_f1(self.runs)

    @cached_property
    def strict(self) -> float:
        """Mean strict F1 over languages and seeds, in points."""
        return 100 * fmean(s.f1 for run in self.runs for s in run.counts.by_language(strict=True).values())

    @cached_property
    def by_language(self) -> dict[str, float]:
        return {name: fmean(run.f1[name] for run in self.runs) for name in self.runs[0].f1}

    def __str__(self) -> str:
        seeds = f" ×{len(self.runs)}" if len(self.runs) > 1 else ""
        return f"{self.f1.value:.1f} [{self.f1.low:.1f}, {self.f1.high:.1f}]{seeds}"


class ParetoFront(NamedTuple):
    """Cells of a table, each with its cost. For times also the processor, and the band of ratios that its noise alone makes."""

    cost: str
    points: Sequence[tuple[Cell, float]]
    cpu: str = ""
    noise: tuple[float, float] = (1.0, 1.0)

    @property
    def best(self) -> list[tuple[Cell, float]]:
        """The cells on the Pareto front, the cheapest first: no other has as much F1 for less, or more F1 for as much."""
        out: list[tuple[Cell, float]] = []
        for cell, cost in sorted(self.points, key=lambda point: (point[1], -point[0].f1.value)):
            if not out or cell.f1.value > out[-1][0].f1.value:
                out.append((cell, cost))
        return out


@dataclass(frozen=True)
class Table:
    """Rows that may be compared, as cells in the order of the study."""

    measurements: Measurements
    cells: tuple[Cell, ...]
    reference: str = ""  # the arm that a study itself measures others against

    @classmethod
    def of(cls, study: Study, measurements: Measurements) -> Table:
        arms = list(dict.fromkeys(block.arm for block in study.recipes))
        arms += sorted({row.arm for row in measurements.rows} - set(arms))
        runs: dict[str, list[Run]] = defaultdict(list)
        for run in measurements.runs:
            runs[canonical([run.rows[0].arm, run.rows[0].values])].append(run)
        cells = [Cell(same[0].rows[0].arm, same[0].rows[0].values, tuple(same)) for same in runs.values()]
        cells.sort(key=lambda c: (arms.index(c.arm), _sortable(c.values)))
        return cls(measurements, tuple(cells), study.latency.reference if study.latency else "")

    @cached_property
    def rows(self) -> list[Row]:
        return in_order(self.measurements.rows)

    @property
    def task(self) -> Task:
        """What was measured."""
        return self.cells[0].task if self.cells else NER

    @cached_property
    def dense(self) -> Cell | None:
        """The cell that others are compared with: the study's own reference, or the recipe that only trains."""
        plain = [cell for cell in self.cells if not cell.values]
        named = (cell for cell in plain if cell.arm == self.reference)
        return next(named, next((cell for cell in plain if cell.runs[0].recipe.is_dense), None))

    def pairs(self, cell: Cell) -> list[tuple[Run, Run]]:
        """The runs of the dense tagger and of a cell with the same seed."""
        return paired_runs(self.dense, cell) if self.dense else []

    def difference(self, cell: Cell) -> Difference | None:
        """Mean F1 minus the dense tagger's of the same seeds; ``None`` where there is nothing to compare with."""
        if id(cell) not in self._differences:
            pairs = self.pairs(cell) if cell is not self.dense else []
            self._differences[id(cell)] = contrast(*zip(*pairs, strict=True)) if pairs else None
        return self._differences[id(cell)]

    @cached_property
    def _differences(self) -> dict[int, Difference | None]:
        return {}  # by the identity of cells, which live as long as this: two arms may have one label

    def differences_by_language(self, cell: Cell) -> dict[str, float]:
        """F1 minus the dense tagger's of the same seeds, in points; empty where there is nothing to compare with."""
        pairs = self.pairs(cell) if cell is not self.dense else []
        return {name: fmean(b.f1[name] - a.f1[name] for a, b in pairs) for name in self.languages} if pairs else {}

    def worst(self, cell: Cell) -> str:
        """The language that loses most against the dense tagger, with its loss; or else the one with the lowest F1."""
        if lost := self.differences_by_language(cell):
            name = min(lost, key=lambda name: (lost[name], name))
            return f"{name} {lost[name]:+z.1f}"
        name = min(cell.by_language, key=lambda name: (cell.by_language[name], name))
        return f"{name} {cell.by_language[name]:.1f}"

    @staticmethod
    def megabytes(cell: Cell) -> float:
        """The zstd download in MB, the median of seeds; 0 where it isn't known."""
        sizes = [run.rows[0].size for run in cell.runs if run.rows[0].size]
        return median(size.bytes_download for size in sizes) / 1e6 if sizes else 0.0

    def time(self, cell: Cell) -> float:
        """Seconds over the dense tagger's, the median of rows on the first machine that timed it; 0 where none did."""
        own = next((recipes[cell.label] for recipes in self.timed.values() if cell.label in recipes), [])
        return median(map(ratio, own)) if own else 0.0

    def anchor(self, cell: Cell) -> str:
        """The place on a page that has a cell's runs, with the beginning of their address."""
        row = cell.runs[0].rows[0]
        return f"{row.study}-{row.address[:8]}-{row.fingerprint[:4]}"

    @cached_property
    def is_grid(self) -> bool:
        """Whether arms differ in sparsity alone, so that they are columns of one table and curves of one figure."""
        rest = [c for c in self.cells if c is not self.dense]
        return bool(rest) and all(
            set(c.values) == {"sparsity"} and isinstance(c.values["sparsity"], int | float) for c in rest
        )

    @cached_property
    def arms(self) -> dict[str, dict[float, Cell]]:
        """The cells of each arm by sparsity, the dense one at 0 of every arm."""
        out: dict[str, dict[float, Cell]] = {}
        for cell in self.cells:
            if cell is not self.dense:
                out.setdefault(cell.arm, {0.0: self.dense} if self.dense else {})[cell.sparsity] = cell
        return out

    @cached_property
    def quality(self) -> list[Row]:
        return [row for row in self.rows if row.kind == "quality"]

    @cached_property
    def languages(self) -> list[str]:
        return sorted({row.language for row in self.quality})

    @cached_property
    def timed(self) -> dict[str, dict[str, list[Row]]]:
        """The rows that hold times, by machine and by the label of their cell."""
        out: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
        for row in self.rows:
            if row.latency:
                out[row.environment.machine][label_of(row.arm, row.values)].append(row)
        return {machine: dict(out[machine]) for machine in sorted(out)}

    @cached_property
    def fronts(self) -> list[ParetoFront]:
        """F1 against bytes to download, and on each machine against time; those where there are two cells to compare."""
        downloads = [(c, size) for c in self.cells if (size := self.megabytes(c))]
        out = [ParetoFront("MB as a zstd download", downloads)]
        for recipes in self.timed.values():
            timed = [row for same in recipes.values() for row in same]
            against = {row.latency.reference for row in timed if row.latency}
            itself = {c.label: 1.0 for c in self.cells if against.intersection(run.address for run in c.runs)}
            times = itself | {label: median(map(ratio, same)) for label, same in recipes.items()}
            points = [(c, times[c.label]) for c in self.cells if c.label in times]
            out.append(ParetoFront("time over the dense tagger's", points, timed[0].environment.cpu, noise(timed)))
        return [front for front in out if len(front.points) > 1]

    @property
    def unfinished(self) -> int:
        """How many recipes haven't been measured on every language yet."""
        done = {run.address for cell in self.cells for run in cell.runs}
        return len({row.address for row in self.quality} - done)


def paired_runs(first: Cell, second: Cell) -> list[tuple[Run, Run]]:
    """The runs of two cells with the same seed."""
    left, right = ({run.seed: run for run in of.runs} for of in (first, second))
    return [(left[seed], right[seed]) for seed in sorted(left.keys() & right.keys())]


def _sortable(values: Mapping[str, Value]) -> list[tuple[str, int, float, str]]:
    """Numbers by size, before words, before lists by length."""
    out = []
    for key, value in sorted(values.items()):
        rank, size = (2, len(value)) if isinstance(value, list) else (1, 0) if isinstance(value, str) else (0, value)
        out.append((key, rank, float(size), str(value)))
    return out


def level_label(sparsity: float) -> str:
    return percent(sparsity) if sparsity else "0"


def label_of(arm: str, values: Mapping[str, Value]) -> str:
    words = (percent(v) if k == "sparsity" and isinstance(v, int | float) else f"{k} {v}" for k, v in values.items())
    return " ".join([arm, *words])
