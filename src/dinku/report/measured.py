"""What a table's recipes score, weigh and take, and which of them no other beats, as parts of a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean, median

from dinku.claims.compare import noise, ratio, scope
from dinku.errors import plural
from dinku.report.parts import Grid, Part, Ref
from dinku.report.tables import Cell, Table, level_label


def f1(table: Table, *, drawn: bool) -> list[Part]:
    """Mean F1, and for arms over a grid of sparsity F1 by language; ``drawn`` says that there is a figure of it."""
    task, strictly = table.task, table.task.schemes  # the strict reading is one of entities
    figure = [f"![{task.heading} and what was done](curves.svg)"] if drawn else []
    means = (
        f"{'Default span F1' if strictly else task.heading}, mean over languages, with its 95 % interval over seeds (×n, where "
        f"there are several) and sentences{'; strict F1 beside it' * strictly}."
    )
    if not table.is_grid:
        cells = [[Ref(c.label, to=table.anchor(c)), str(c), *[f"{c.strict:.1f}"] * strictly] for c in table.cells]
        by = [[c.label, *(f"{c.by_language[name]:.1f}" for name in table.languages)] for c in table.cells]
        head = ["recipe", task.score, *["strict"] * strictly]
        return [f"### {task.heading}", means, *figure, Grid(head, cells), Grid([task.score, *table.languages], by)]
    levels = sorted({level for line in table.arms.values() for level in line})
    head = ["sparsity", *(name for arm in table.arms for name in (arm, *["strict"] * strictly))]
    rows = []
    for level in levels:
        at = [line.get(level) for line in table.arms.values()]
        linked = ((Ref(str(c), to=table.anchor(c)), f"{c.strict:.1f}") if c else ("", "") for c in at)
        rows.append([level_label(level), *(text for pair in linked for text in pair[: 1 + strictly])])
    zero = " 0 is the dense tagger, one and the same for every arm." if table.dense else ""
    out: list[Part] = [f"### {task.heading}", means + zero, *figure, Grid(head, rows)]
    for arm, line in table.arms.items():
        out += [f"#### {arm}, by language", _by_language(line, table)]
    return out


def _by_language(line: Mapping[float, Cell], table: Table) -> Grid:
    """Default F1 of one arm, a language a row: the one that loses most, on average over sparsities, first."""
    dense = table.dense
    head = ["", *(level_label(level) for level in sorted(line)), *(["mean loss"] if dense else [])]
    loss = {
        name: fmean(dense.by_language[name] - c.by_language[name] for c in line.values() if c is not dense)
        if dense
        else 0
        for name in table.languages
    }
    rows = []
    for name in sorted(loss, key=lambda name: (-loss[name], name)):
        f1 = [f"{line[level].by_language[name]:.1f}" for level in sorted(line)]
        rows.append([name, *f1, *([f"{loss[name]:z.1f}"] if dense else [])])
    return Grid(head, rows)


def _by_sparsity(cells: Iterable[Cell]) -> list[Cell]:
    return sorted(cells, key=lambda c: c.sparsity)


def sizes(table: Table) -> list[Part]:
    """What files weigh: medians over seeds."""
    rows = []
    for cell in _by_sparsity(table.cells):
        sizes = [run.rows[0].size for run in cell.runs if run.rows[0].size]
        if sizes:
            rows.append(
                [
                    cell.label,
                    f"{median(s.parameters for s in sizes):,.0f}",
                    f"{100 * median(s.sparsity for s in sizes):.2f} %",
                    f"{median(s.nonzero for s in sizes):,.0f}",
                    f"{median(s.bytes_disk for s in sizes) / 1e6:.1f}",
                    f"{median(s.bytes_download for s in sizes) / 1e6:.1f}",
                ]
            )
    head = ["recipe", "parameters", "zeros in linear layers", "not zero", "MB on disk", "MB as a zstd download"]
    return ["### Size", Grid(head, rows)] if rows else []


def times(table: Table, *, drawn: bool) -> list[Part]:
    """Time over the dense tagger's time, a table a machine; ``drawn`` says that there may be a figure of it."""
    costs = any(front.cpu for front in table.fronts)
    out: list[Part] = [f"![{table.task.heading} against time](times.svg)"] if drawn and costs else []
    for recipes in table.timed.values():
        timed = [row for same in recipes.values() for row in same]
        low, high = noise(timed)
        out.append(
            f"{timed[0].environment.cpu}, {plural(timed[0].environment.threads, 'thread')}; {scope(timed)}, one by one. "
            "Seconds over the dense tagger's seconds, median over rounds and then over languages. The dense tagger "
            f"against itself: {low:.3f} to {high:.3f} in 95 % of rounds."
        )
        rows = []
        at = {cell.label: i for i, cell in enumerate(_by_sparsity(table.cells))}
        for label, same in sorted(recipes.items(), key=lambda item: (at.get(item[0], len(at)), item[0])):
            ratios = sorted((ratio(row), row.language) for row in same)
            (least, fast), (most, slow) = ratios[0], ratios[-1]
            middle = median(value for value, _ in ratios)
            beyond = "faster" if middle < low else "slower" if middle > high else "within noise"
            rows.append([label, f"{middle:.3f}", f"{least:.3f} ({fast})", f"{most:.3f} ({slow})", beyond])
        out.append(Grid(["recipe", "time", "least", "most", ""], rows))
    return ["### Time", *out] if out else []


def fronts(table: Table) -> list[Part]:
    """The recipes that none beats, by each cost, and where there is a dense tagger what they keep of its F1."""
    out: list[Part] = []
    score = table.task.score
    for front in table.fronts:
        dense = next((cost for cell, cost in front.points if cell is table.dense), 0.0)
        head = ["recipe", score, front.cost]
        head += [f"% of the dense {score}", "times less"] if dense and table.dense else []
        rows = []
        for cell, cost in front.best:
            rows.append([Ref(cell.label, to=table.anchor(cell)), str(cell), f"{cost:.2f}"])
            if dense and table.dense:
                rows[-1] += [f"{100 * cell.f1.value / max(table.dense.f1.value, 1e-9):.1f}", f"{dense / cost:.2f}"]
        low, high = front.noise
        where = f", on {front.cpu}, whose clock alone makes {low:.3f} to {high:.3f} of 1" if front.cpu else ""
        out.append(f"By {front.cost}{where}: {len(rows)} of {plural(len(front.points), 'recipe')}.")
        out.append(Grid(head, rows))
    if not out:
        return []
    note = f"Recipes that no other beats: none has as much {score} for less, or more {score} for no more. Means are compared, so "
    note += "that neighbours may differ by chance."
    return ["### Pareto front", note, *out]
