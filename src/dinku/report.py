"""A page, tables, a flat file and a figure from the rows of a study. Pure: the same rows in any order give the same bytes."""

from __future__ import annotations

import csv
import io
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle
from pathlib import Path
from statistics import mean, median
from typing import Any

from dinku.claims import (
    Run,
    evaluated_on,
    is_sample,
    mean_f1,
    noise,
    order,
    parts,
    percent,
    ratio,
    scope,
    trained_on,
    whole_runs,
)
from dinku.errors import DinkuError
from dinku.files import told, written
from dinku.page import Example, Grid, html
from dinku.questions import ledger
from dinku.recipe import canonical
from dinku.results import Results, Row
from dinku.score import Interval
from dinku.study import Study, Value

Part = str | Grid  # a paragraph, heading or image of Markdown, or a table

# Okabe and Ito's palette, which colour-blind readers can tell apart, and a mark for each.
_STYLES = [("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#E69F00", "v"), ("#56B4E9", "P")]


def write(study: Study, results: Results, out: Path, *, examples: Sequence[Example] = ()) -> list[Path]:
    """Write ``report.html``, ``report.md``, ``rows.csv``, ``curves.svg`` and ``curves.png`` into a folder, each whole or
    not at all. The page alone shows ``examples``: it is self-contained, and may be sent to anyone who may see those.

    Raises `DinkuError` where there is nothing to show yet, or, of status 1, where the system refuses to write.
    """
    rows = results.rows()
    tables = [table for part in parts(rows) if (table := Table.of(study, part, results)).cells]
    if not tables:
        problem = "has no rows to report" if not rows else "has no recipe measured on every language yet"
        raise DinkuError(problem, where=str(results.folder), remedy="run `dinku run STUDY` first")
    title, content = _title(study, rows), _content(tables, rows, results)
    curves = _curves(tables[0], _title(study, tables[0].rows))
    files = {
        "report.html": html(title, content, figure=curves["curves.svg"], examples=examples).encode(),
        "report.md": _markdown(title, content).encode(),
        "rows.csv": _flat(rows).encode(),
        **curves,
    }
    with told(out):
        out.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        with written(out / name) as file:
            file.write(data)
    return [out / name for name in files]


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
        return _label(self.arm, self.values)

    @cached_property
    def f1(self) -> Interval:
        """Mean over languages and seeds, in points."""
        return mean_f1(self.runs)

    @cached_property
    def strict(self) -> float:
        languages = [s.f1 for run in self.runs for s in run.counts.by_language(strict=True).values()]
        return 100 * mean(languages)

    @cached_property
    def by_language(self) -> dict[str, float]:
        return {name: mean(run.f1[name] for run in self.runs) for name in self.runs[0].f1}

    def __str__(self) -> str:
        seeds = f" ×{len(self.runs)}" if len(self.runs) > 1 else ""
        return f"{self.f1.value:.1f} [{self.f1.low:.1f}, {self.f1.high:.1f}]{seeds}"


@dataclass(frozen=True)
class Table:
    """Rows that may be compared, as cells in the order of the study."""

    rows: tuple[Row, ...]
    cells: tuple[Cell, ...]

    @classmethod
    def of(cls, study: Study, rows: Sequence[Row], results: Results) -> Table:
        arms = list(dict.fromkeys(block.arm for block in study.recipes))
        arms += sorted({row.arm for row in rows} - set(arms))
        runs: dict[str, list[Run]] = defaultdict(list)
        for run in whole_runs(rows, results):
            runs[canonical([run.rows[0].arm, run.rows[0].values])].append(run)
        cells = [Cell(same[0].rows[0].arm, same[0].rows[0].values, _by_seed(same)) for same in runs.values()]
        return cls(tuple(rows), tuple(sorted(cells, key=lambda c: (arms.index(c.arm), _sortable(c.values)))))

    @cached_property
    def dense(self) -> Cell | None:
        """What nothing was done to but training."""
        return next((c for c in self.cells if not c.values and _is_dense(c)), None)

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

    @property
    def quality(self) -> list[Row]:
        return [row for row in self.rows if row.kind == "quality"]

    @cached_property
    def languages(self) -> list[str]:
        return sorted({row.language for row in self.quality})

    @property
    def unfinished(self) -> int:
        """How many recipes haven't been measured on every language yet."""
        done = {run.address for cell in self.cells for run in cell.runs}
        return len({row.address for row in self.quality} - done)


def _by_seed(runs: Sequence[Run]) -> tuple[Run, ...]:
    return tuple(sorted(runs, key=lambda run: (run.rows[0].seed, run.address)))


def _sortable(values: Mapping[str, Value]) -> list[tuple[str, int, float, str]]:
    """Numbers by size, before words, before lists by length."""
    out = []
    for key, value in sorted(values.items()):
        rank, size = (2, len(value)) if isinstance(value, list) else (1, 0) if isinstance(value, str) else (0, value)
        out.append((key, rank, float(size), str(value)))
    return out


def _is_dense(cell: Cell) -> bool:
    place = order(cell.runs[0].rows[0].recipe)
    return place is not None and place[0] == "dense"


def _content(tables: Sequence[Table], rows: Sequence[Row], results: Results) -> list[Part]:
    """Everything a report says, in order, whatever it is written as."""
    out: list[Part] = []
    for table in tables:
        here = table.rows[0]
        out.append(
            f"Base {here.recipe['base']} (sha256 {here.base_digest[:12]}), trained on {trained_on(here)}, evaluated on "
            f"{evaluated_on(here)}: {', '.join(table.languages)}; {scope(table.quality)}. {_origin(table.rows)}"
        )
        if table is tables[0]:
            out.append("![F1 and what was done](curves.svg)")
        out += _f1(table)
        if table.unfinished:
            out.append(f"Left out until they are measured on every language: {_number(table.unfinished, 'recipe')}.")
        out += _sizes(table)
        out += _times(table)
    if left := len(rows) - sum(len(table.rows) for table in tables):
        out.append(
            f"Left out, being of recipes that changed or aren't finished, or about other sentences: {_number(left, 'row')}."
        )
    cells = [[v.claim, f"**{v.verdict}**", v.said, v.found] for v in ledger(results)]
    return [
        *out,
        "## The paper's claims (arXiv 2404.04759)",
        Grid(["claim", "verdict", "the paper says", "found"], cells),
    ]


def _markdown(title: str, content: Sequence[Part]) -> str:
    text = (_table(part.head, part.rows) if isinstance(part, Grid) else part for part in content)
    return "\n\n".join([f"# {title}", *text]) + "\n"


def _title(study: Study, rows: Iterable[Row]) -> str:
    return f"{study.title} (sample)" if is_sample(rows) else study.title


def _origin(rows: Iterable[Row]) -> str:
    """Where and from what code rows were measured."""
    places = sorted({f"{r.environment.cpu}, {_number(r.environment.threads, 'thread')}" for r in rows})
    commits = sorted(
        {(r.environment.commit or "unknown")[:12] + (" with changes" if r.environment.dirty else "") for r in rows}
    )
    return f"Measured on {'; '.join(places)}; dinku at commit {', '.join(commits)}."


def _f1(table: Table) -> list[Part]:
    """Mean F1, and for arms over a grid of sparsity F1 by language."""
    means = (
        "Default span F1, mean over languages, with its 95 % interval over seeds (×n, where there are several) and "
        "sentences; strict F1 beside it."
    )
    if not table.is_grid:
        cells = [[cell.label, str(cell), f"{cell.strict:.1f}"] for cell in table.cells]
        by = [[c.label, *(f"{c.by_language[name]:.1f}" for name in table.languages)] for c in table.cells]
        return ["## F1", means, Grid(["recipe", "F1", "strict"], cells, True), Grid(["F1", *table.languages], by, True)]
    levels = sorted({level for line in table.arms.values() for level in line})
    head = ["sparsity", *(name for arm in table.arms for name in (arm, "strict"))]
    rows = []
    for level in levels:
        at = [line.get(level) for line in table.arms.values()]
        rows.append([_level(level), *(t for c in at for t in ((str(c), f"{c.strict:.1f}") if c else ("", "")))])
    zero = " 0 is the dense tagger, one and the same for every arm." if table.dense else ""
    out: list[Part] = ["## F1", means + zero, Grid(head, rows, True)]
    for arm, line in table.arms.items():
        out += [f"### {arm}, by language", _by_language(line, table)]
    return out


def _by_language(line: Mapping[float, Cell], table: Table) -> Grid:
    """Default F1 of one arm, a language a row: the one that loses most, on average over sparsities, first."""
    dense = table.dense
    head = ["", *(_level(level) for level in sorted(line)), *(["mean loss"] if dense else [])]
    loss = {
        name: mean(dense.by_language[name] - c.by_language[name] for c in line.values() if c is not dense)
        if dense
        else 0
        for name in table.languages
    }
    rows = []
    for name in sorted(loss, key=lambda name: (-loss[name], name)):
        f1 = [f"{line[level].by_language[name]:.1f}" for level in sorted(line)]
        rows.append([name, *f1, *([f"{loss[name]:.1f}"] if dense else [])])
    return Grid(head, rows, True)


def _by_sparsity(cells: Iterable[Cell]) -> list[Cell]:
    return sorted(cells, key=lambda c: c.sparsity)


def _sizes(table: Table) -> list[Part]:
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
    return ["## Size", Grid(head, rows)] if rows else []


def _times(table: Table) -> list[Part]:
    """Time over the dense tagger's time, a table a machine."""
    machines: dict[str, list[Row]] = defaultdict(list)
    for row in table.rows:
        if row.latency:
            machines[row.environment.machine].append(row)
    out: list[Part] = []
    for machine in sorted(machines):
        timed = machines[machine]
        low, high = noise(timed)
        out.append(
            f"{timed[0].environment.cpu}, {_number(timed[0].environment.threads, 'thread')}; {scope(timed)}, one by one. "
            "Seconds over the dense tagger's seconds, median over rounds and then over languages. The dense tagger "
            f"against itself: {low:.3f} to {high:.3f} in 95 % of rounds."
        )
        recipes: dict[str, list[Row]] = defaultdict(list)
        for row in timed:
            recipes[_label(row.arm, row.values)].append(row)
        rows = []
        at = {cell.label: i for i, cell in enumerate(_by_sparsity(table.cells))}
        for label, same in sorted(recipes.items(), key=lambda item: (at.get(item[0], len(at)), item[0])):
            ratios = sorted((ratio(row), row.language) for row in same)
            (least, fast), (most, slow) = ratios[0], ratios[-1]
            middle = median(value for value, _ in ratios)
            beyond = "faster" if middle < low else "slower" if middle > high else "within noise"
            rows.append([label, f"{middle:.3f}", f"{least:.3f} ({fast})", f"{most:.3f} ({slow})", beyond])
        out.append(Grid(["recipe", "time", "least", "most", ""], rows))
    return ["## Time", *out] if out else []


def _level(sparsity: float) -> str:
    return percent(sparsity) if sparsity else "0"


def _label(arm: str, values: Mapping[str, Value]) -> str:
    told = (percent(v) if k == "sparsity" and isinstance(v, int | float) else f"{k} {v}" for k, v in values.items())
    return " ".join([arm, *told])


def _number(n: int, thing: str) -> str:
    return f"{n:,} {thing}" if n == 1 else f"{n:,} {thing}s"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown; columns but the first are to the right where they hold numbers."""
    lines = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    marks = [
        "--:" if i and all(not line[i] or line[i][0] in "-+0123456789" for line in lines) else ":--"
        for i in range(len(head))
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, marks, *lines))


def _flat(rows: Sequence[Row]) -> str:
    """CSV, a line a row; F1 in 0…1, seconds as medians over rounds."""
    lines = [_line(row) for row in sorted(rows, key=lambda row: row.kind, reverse=True)]  # quality first
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(dict.fromkeys(key for line in lines for key in line)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return file.getvalue()


def _line(row: Row) -> dict[str, Any]:
    line: dict[str, Any] = {"kind": row.kind, "study": row.study, "arm": row.arm}
    line |= {f"values.{key}": value for key, value in sorted(row.values.items())}
    line |= {"base": row.recipe["base"], "base_digest": row.base_digest, "trained_on": trained_on(row)}
    same = ("address", "seed", "corpus", "language", "split", "fingerprint", "sentences", "sentences_in_split")
    line |= {key: getattr(row, key) for key in same}
    where = row.environment
    line |= {"cpu": where.cpu, "threads": where.threads, "commit": where.commit or "", "dirty": where.dirty}
    for reading, table in (row.spans or {}).items():
        gold, predicted, correct = (sum(n[i] for n in table.values()) for i in range(3))
        line[f"f1_{reading}"] = 2 * correct / (gold + predicted) if gold + predicted else 0.0
        line |= {f"gold_{reading}": gold, f"predicted_{reading}": predicted, f"correct_{reading}": correct}
    if row.size:
        line |= row.size.model_dump() | {"linear_sparsity": row.size.sparsity}
    if row.latency:
        line |= {f"seconds_{name}": median(getattr(row.latency, name)) for name in ("subject", "dense", "again")}
        line["ratio_to_dense"] = ratio(row)
    return line


def _curves(table: Table, title: str) -> dict[str, bytes]:
    """F1 of one table as a figure: the mean over languages at the left, then every language."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings = {
        "svg.hashsalt": "dinku",  # else the ids within an SVG are drawn anew each time
        "font.family": "DejaVu Sans",  # comes with matplotlib, so the same everywhere
        "font.size": 12,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#e4e4e4",
        "axes.edgecolor": "#888888",
    }
    names = table.languages if len(table.languages) > 1 else []
    columns = (len(names) + 1) // 2
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(6.4 + 2.3 * columns, 5.6), layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(2, 1 + columns, width_ratios=[2.4] + [1.0] * columns)
        left = figure.add_subplot(grid[:, 0])
        small = [figure.add_subplot(grid[i // columns, 1 + i % columns], sharey=left) for i in range(len(names))]
        draw = _draw_lines if table.is_grid else _draw_dots
        draw(left, table, "")
        left.set_title("mean over languages" if names else ", ".join(table.languages), fontsize=12)
        for axes, name in zip(small, names, strict=True):
            draw(axes, table, name)
            axes.set_title(name, fontsize=12)
            axes.label_outer()
        notes = [scope(table.quality), "with 95 % intervals"]
        if table.is_grid and any(len(c.runs) == 1 for c in table.cells):
            notes.append("open marks: a single seed")
        lines = [textwrap.fill(text, round(10 * figure.get_figwidth())) for text in (title, "; ".join(notes))]
        figure.suptitle("\n".join(lines), fontsize=13)
        handles, labels = left.get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
        out = {}
        for kind, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
            file = io.BytesIO()
            figure.savefig(file, format=kind, dpi=150, metadata=metadata)
            out[f"curves.{kind}"] = file.getvalue()
    return out


def _draw_lines(axes: Any, table: Table, language: str) -> None:
    """F1 against sparsity, a line an arm. The mean has its interval as a band; an open mark is a single seed."""
    if table.dense:
        value = table.dense.by_language[language] if language else table.dense.f1.value
        axes.axhline(value, color="#444444", linestyle=(0, (4, 3)), linewidth=1.4, label="dense")
    for (arm, line), (colour, mark) in zip(table.arms.items(), cycle(_STYLES)):
        cells = [line[level] for level in sorted(line)]
        x = [100 * level for level in sorted(line)]
        y = [c.by_language[language] if language else c.f1.value for c in cells]
        axes.plot(x, y, color=colour, linewidth=2 if not language else 1.6)
        axes.plot([], [], color=colour, marker=mark, linewidth=2, label=arm)
        own = [(at, f1, len(c.runs) > 1) for at, f1, c in zip(x, y, cells, strict=True) if c is not table.dense]
        for at, f1, several in own:
            fill = colour if several else "white"
            size = 5 if language else 8
            axes.plot(
                [at],
                [f1],
                mark,
                color=colour,
                markerfacecolor=fill,
                markersize=size,
                markeredgewidth=1.5,
                clip_on=False,
            )
        if not language:
            axes.fill_between(x, [c.f1.low for c in cells], [c.f1.high for c in cells], color=colour, alpha=0.15, lw=0)
    axes.set_xlim(-2, 100)
    axes.set_ylim(0, 100)
    axes.set_xticks((0, 50) if language else range(0, 101, 20))
    axes.set_xlabel("sparsity, %")
    axes.set_ylabel("span F1")


def _draw_dots(axes: Any, table: Table, language: str) -> None:
    """F1 of every recipe, a line each; the mean with its interval."""
    for i, cell in enumerate(table.cells):
        value = cell.by_language[language] if language else cell.f1.value
        axes.plot([value], [i], "o", color=_STYLES[0][0], markersize=5 if language else 8)
        if not language:
            axes.plot([cell.f1.low, cell.f1.high], [i, i], color=_STYLES[0][0], linewidth=2)
    axes.set_yticks(range(len(table.cells)), [cell.label for cell in table.cells])
    axes.set_ylim(len(table.cells) - 0.5, -0.5)
    axes.set_xlabel("span F1")
