"""Figures of a report, as SVG and PNG with the same bytes from the same rows."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle, pairwise
from typing import Any, NamedTuple
from xml.sax.saxutils import escape, quoteattr

from dinku.claims.compare import scope
from dinku.report.kinds import kind_of_cell
from dinku.report.tables import ParetoFront, Table

# Okabe and Ito's palette, which colour-blind readers can tell apart, and a mark for each.
_STYLES = [("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#E69F00", "v"), ("#56B4E9", "P")]
_FONT = "DejaVu Sans"  # comes with matplotlib, so the same everywhere
_SETTINGS = {
    "svg.hashsalt": "dinku",  # else the ids within an SVG are drawn anew each time
    "font.family": _FONT,
    "font.size": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.edgecolor": "#888888",
    "text.parse_math": False,  # a study's own words are no formulas
}


class Matrix(NamedTuple):
    """F1 in points of one kind of tagger by what it was trained on and by what it tags, [source, target]; or another figure
    from 0 to 100 by two things."""

    title: str
    sources: Sequence[str]
    targets: Sequence[str]
    f1: Mapping[tuple[str, str], float]

    def minus(self, other: Matrix) -> Matrix:
        """The differences in what both have."""
        both = {key: value - other.f1[key] for key, value in self.f1.items() if key in other.f1}
        return Matrix(f"{self.title} minus {other.title}", self.sources, self.targets, both)


def _saved(figure: Any, name: str) -> dict[str, bytes]:
    """A figure as files."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    out = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # `undrawn` says so in the report
        figure.get_layout_engine().execute(figure)
        figure.set_layout_engine(
            "none"
        )  # which is laid out now; to save it would lay it out and draw it again for each format
        for kind, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
            file = io.BytesIO()
            fast = (
                {"pil_kwargs": {"compress_level": 2}} if kind == "png" else {}
            )  # a third of the time, and hardly larger
            figure.savefig(file, format=kind, dpi=150, metadata=metadata, **fast)
            out[f"{name}.{kind}"] = file.getvalue()
    return out


def undrawn(texts: Iterable[str]) -> str:
    """The characters that the figures' font lacks; each is drawn as a box."""
    from matplotlib.font_manager import findfont, get_font

    known = get_font(findfont(_FONT)).get_charmap()
    return "".join(sorted({c for text in texts for c in text if ord(c) not in known}))


def heat(
    matrices: Sequence[Matrix], title: str, *, name: str = "transfer", axes: tuple[str, str] = ("trained on", "tagged")
) -> dict[str, bytes]:
    """Matrices side by side. Below each but the first (or, of two, at the right) stands its difference from the first."""
    import matplotlib
    from matplotlib.figure import Figure

    first = matrices[0]
    shown = [(matrix, False) for matrix in matrices]
    more = [(matrix.minus(first), True) for matrix in matrices[1:]]
    lines = [shown, more] if len(matrices) > 2 else [shown + more]
    columns = max(map(len, lines))
    across = max(1.8, 0.55 * len(first.targets))  # of the squares alone, in inches
    labels = 0.085 * max((len(name) for name in first.sources), default=0)
    width, height = 0.8 + max(labels, 1.2) + across, 1.6 + 0.45 * len(first.sources)
    with matplotlib.rc_context(_SETTINGS | {"axes.grid": False}):
        figure = Figure(figsize=(width * columns, height * len(lines) + 0.6), layout="constrained")
        panels = figure.subplots(len(lines), columns, squeeze=False)
        for places, line in zip(panels, lines, strict=True):
            empty = columns - len(line)
            for axis in places[:empty]:
                axis.set_axis_off()
            for axis, (matrix, differences) in zip(places[empty:], line, strict=True):
                _draw_heat(axis, matrix, differences=differences)
                axis.set_title(_within(matrix.title, across, 11), fontsize=11)
                axis.set_ylabel(axes[0])
                axis.set_xlabel(axes[1])
        _head(figure, title)
        return _saved(figure, name)


def _head(figure: Any, *lines: str) -> None:
    """Set a figure's title and notes, with line breaks so that none is cut off: layout doesn't keep text within a figure."""
    figure.suptitle("\n".join(_within(line, figure.get_figwidth(), 12) for line in lines), fontsize=12)


def _within(text: str, inches: float, size: float) -> str:
    """Text broken into lines of that width."""
    return textwrap.fill(text, max(8, int(inches / (0.6 * size / 72))))


def _draw_heat(axes: Any, matrix: Matrix, *, differences: bool) -> None:
    """A square a source and target with its number in it; white where it wasn't measured."""
    values = [[matrix.f1.get((s, t), float("nan")) for t in matrix.targets] for s in matrix.sources]
    most = max((abs(value) for value in matrix.f1.values()), default=1.0) or 1.0
    low, high, colours = (-most, most, "PuOr") if differences else (0, 100, "Blues")
    axes.imshow(values, cmap=colours, vmin=low, vmax=high, aspect="auto")
    for (source, target), value in matrix.f1.items():
        dark = value > 60 if not differences else abs(value) > 0.7 * most
        place = matrix.targets.index(target), matrix.sources.index(source)
        number = f"{value:+z.0f}" if differences else f"{value:.0f}"
        axes.text(*place, number, ha="center", va="center", fontsize=9, color="white" if dark else "black")
    axes.set_xticks(range(len(matrix.targets)), matrix.targets, rotation=45, ha="right", fontsize=10)
    axes.set_yticks(range(len(matrix.sources)), matrix.sources, fontsize=10)


def curves(table: Table, title: str) -> dict[str, bytes]:
    """F1 of one table as a figure. Over a grid of sparsity: the means of all arms, and where there are few, each arm by language;
    else, or where arms are too many for a legend, a line a recipe, its languages as small marks."""
    import matplotlib
    from matplotlib.figure import Figure

    lines = table.is_grid and len(table.arms) <= _MANY
    arms = list(table.arms) if lines and len(table.arms) <= _FEW and len(table.languages) > 1 else []
    recipes = [] if lines else [cell.label for cell in table.cells]
    margin = 0.085 * max(map(len, recipes), default=0)
    with matplotlib.rc_context(_SETTINGS):
        size = (6.2 + max(0.0, margin - 2) + 3.2 * len(arms), max(4.8, 1.8 + 0.25 * len(recipes)))
        figure = Figure(figsize=size, layout="constrained")
        left, *others = figure.subplots(
            1, 1 + len(arms), squeeze=False, sharey=True, width_ratios=[1.8] + [1.0] * len(arms)
        )[0]
        draw = _draw_lines if lines else _draw_dots
        draw(left, table)
        if lines:
            left.set_title("mean over languages" if len(table.languages) > 1 else table.languages[0], fontsize=12)
        for axes, arm, (colour, _) in zip(others, arms, cycle(_STYLES), strict=False):
            _draw_languages(axes, table, arm, colour)
            axes.set_title(_within(f"{arm}, each language", 3.2, 12), fontsize=12)
        notes = [scope(table.quality), "with 95 % intervals"]
        if not lines and len(table.languages) > 1:
            notes.append("small marks: languages")
        if lines and any(len(c.runs) == 1 for c in table.cells):
            notes.append("open marks: a single seed")
        _head(figure, title, "; ".join(notes))
        handles, labels = left.get_legend_handles_labels()
        if handles:
            columns = min(4, _abreast(figure, labels, size=12))
            figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
        return _saved(figure, "curves")


_FEW, _MANY = 3, 12  # arms: how many have panels of their own, and how many lines


def fronts(table: Table, title: str) -> dict[str, bytes]:
    """F1 against size (*front*) and against time (*times*), a mark for each recipe; steps join the Pareto front, whose recipes
    are named. Empty if there are no costs."""
    by_size = [front for front in table.fronts if not front.cpu]
    by_time = [front for front in table.fronts if front.cpu]
    out: dict[str, bytes] = {}
    for name, own in (("front", by_size), ("times", by_time)):
        out |= _front_figure(table, own, title, name) if own else {}
    return out


def _front_figure(table: Table, panels: Sequence[ParetoFront], title: str, name: str) -> dict[str, bytes]:
    import matplotlib
    from matplotlib.figure import Figure

    kinds = {id(cell): kind_of_cell(cell, table) for front in panels for cell, _ in front.points}
    names = list(dict.fromkeys(kinds.values()))
    marks = [mark for _, mark in _STYLES]
    styles = {kind: (_STYLES[i % 6][0], marks[(i + i // 6) % 6]) for i, kind in enumerate(names)}
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(6.4 * len(panels), 4.9 + 0.2 * len(names) / 2), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        labels: dict[str, str] = {}
        for i, (place, front) in enumerate(zip(axes, panels, strict=True)):
            labels |= _draw_front(place, front, table, {c: styles[k] for c, k in kinds.items()}, f"{name}-{i}")
        notes = [scope(table.quality), "means over languages with 95 % intervals", "joined: beaten by no other"]
        if panels[0].cpu:
            notes.append("grey: the clock's own noise")
        _head(figure, title, "; ".join(notes))
        for kind, (colour, mark) in styles.items():
            axes[0].plot([], [], mark, color=colour, label=kind)
        columns = min(3 * len(panels), _abreast(figure, names, size=10))
        figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=10)
        saved = _saved(figure, name)
    return saved | {f"{name}.svg": _titled(saved[f"{name}.svg"], labels)}


def _abreast(figure: Any, labels: Sequence[str], *, size: float) -> int:
    """How many labels of a legend fit side by side, each with its mark; nothing would keep longer ones within the figure."""
    longest = size / 72 * (0.52 * max(map(len, labels)) + 3.5)
    return max(1, int(figure.get_figwidth() / longest))


def _titled(svg: bytes, labels: Mapping[str, str]) -> bytes:
    """An SVG whose groups with these ids have labels, for tooltips, keyboards and screen readers."""
    text = svg.decode()
    for name, said in labels.items():
        label = escape(said)
        text = text.replace(
            f'<g id="{name}">',
            f'<g id="{name}" class="point" tabindex="0" role="img" aria-label={quoteattr(said)}><title>{label}</title>',
        )
    return text.encode()


def _draw_front(
    axes: Any, front: ParetoFront, table: Table, styles: Mapping[int, tuple[str, str]], name: str
) -> dict[str, str]:
    """Draw a mark for each recipe, and return its label by its id; ``styles`` are by the identity of cells."""
    labels: dict[str, str] = {}
    best = front.best
    least = max(min(c.f1.low for c, _ in front.points), max(c.f1.value for c, _ in front.points) - _DEPTH)
    axes.step(
        [x for _, x in best], [c.f1.value for c, _ in best], where="post", color="#888888", linewidth=1.4, zorder=1
    )
    if front.cpu:
        axes.axvspan(*front.noise, color="#eeeeee", zorder=0)
    below = 0
    for cell, x in front.points:
        colour, mark = styles[id(cell)]
        on = any(cell is c for c, _ in best)
        gid = f"{name}-{len(labels)}"
        labels[gid] = f"{cell.label}: {cell.task.score} {cell}, {x:.3g} {front.cost}" + ", beaten by no other" * on
        y = max(cell.f1.value, least)
        if low := y > cell.f1.value:
            below += 1
        else:
            axes.plot([x, x], [max(cell.f1.low, least), cell.f1.high], color=colour, linewidth=1, alpha=0.5)
        axes.plot(
            [x],
            [y],
            mark,
            color=colour,
            markerfacecolor=colour if on else "white",
            markersize=9 if on else 5 if low else 7,
            markeredgewidth=1.5,
            alpha=0.6 if low else 1,
            gid=gid,
            clip_on=False,
        )
    costs = [x for _, x in front.points]
    if max(costs) > 4 * min(costs):
        axes.set_xscale("log")
        for ticks in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            ticks("{x:g}")
    highest = max(c.f1.high for c, _ in front.points)
    axes.set_ylim(least - 0.02 * (highest - least), highest + 0.14 * (highest - least) + 0.1)
    lower = f"\nat the lower edge: {below} below {least:.0f} {table.task.score}" if below else ""
    axes.set_xlabel(front.cost + lower)
    axes.set_ylabel(table.task.measure)
    _name_points(axes, front, table)
    return labels


_DEPTH = 30.0  # F1 points below the best that the figure of costs shows; what is lower stands at its edge


def _name_points(axes: Any, front: ParetoFront, table: Table) -> None:
    """Write their labels beside the dense tagger and the recipes that none beats, where they hide nothing."""
    place = axes.transScale + axes.transLimits  # from data to parts of the axes, whatever the layout
    marks = [(tuple(place.transform((x, cell.f1.value))), cell) for cell, x in front.points]
    named = [(at, cell) for at, cell in marks if cell is table.dense or any(cell is c for c, _ in front.best)]
    taken = [(x - 0.015, y - 0.02, x + 0.015, y + 0.02) for (x, y), _ in marks]
    line = [at for at, cell in sorted(marks, key=lambda mark: mark[0]) if any(cell is c for c, _ in front.best)]
    for (x, y), (right, top) in pairwise(line):  # the steps of the front
        taken += [(x, y - 0.004, right, y + 0.004), (right - 0.003, y, right + 0.003, top)]
    for (x, y), cell in sorted(named, key=lambda each: (each[1] is not table.dense, -each[1].f1.value)):
        text = cell.label if len(cell.label) <= 40 else f"{cell.label[:38]}…"
        wide, high = 0.0135 * len(text), 0.05
        spots = [
            (left, y + up)
            for up in (0, 0.05, -0.05, 0.1, -0.1, 0.15, -0.15, -0.2, -0.25, -0.3)
            for left in (x + 0.03, x - 0.03 - wide, x - wide / 2)
        ]
        boxes = [(left, at - high / 2, left + wide, at + high / 2) for left, at in spots]
        free = [box for box in boxes if _within_axes(box) and not any(_overlap(box, other) for other in taken)]
        if free:
            taken.append(free[0])
            axes.annotate(
                text, (x, y), (free[0][0], free[0][1] + high / 2), "axes fraction", "axes fraction",
                va="center", fontsize=9, color="#333333",
                arrowprops={"arrowstyle": "-", "color": "#999999", "lw": 0.6} if abs(free[0][1] + high / 2 - y) > 0.07 else None,
            )  # fmt: skip


_Box = tuple[float, float, float, float]  # left, bottom, right and top


def _within_axes(box: _Box) -> bool:
    return box[0] > -0.02 and box[1] > 0 and box[2] < 1.04 and box[3] < 1.02


def _overlap(a: _Box, b: _Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _draw_lines(axes: Any, table: Table) -> None:
    """Mean F1 against sparsity, a line an arm with its interval as a band; an open mark is a single seed."""
    if table.dense:
        axes.axhline(table.dense.f1.value, color="#444444", linestyle=(0, (4, 3)), linewidth=1.4, label="dense")
    for (arm, line), (colour, mark) in zip(table.arms.items(), cycle(_STYLES)):
        cells = [line[level] for level in sorted(line)]
        x, y = [100 * level for level in sorted(line)], [c.f1.value for c in cells]
        axes.plot(x, y, color=colour, linewidth=2)
        axes.plot([], [], color=colour, marker=mark, linewidth=2, label=arm)
        own = [(at, f1, len(c.runs) > 1) for at, f1, c in zip(x, y, cells, strict=True) if c is not table.dense]
        for fill, several in ((colour, True), ("white", False)):
            if points := [(at, f1) for at, f1, repeated in own if repeated == several]:
                axes.plot(
                    *zip(*points, strict=True),
                    mark,
                    color=colour,
                    markerfacecolor=fill,
                    markersize=8,
                    markeredgewidth=1.5,
                    clip_on=False,
                )
        axes.fill_between(x, [c.f1.low for c in cells], [c.f1.high for c in cells], color=colour, alpha=0.15, lw=0)
    _sparsity(axes, range(0, 101, 20))
    axes.set_ylabel(table.task.measure)


def _draw_languages(axes: Any, table: Table, arm: str, colour: str) -> None:
    """F1 of one arm against sparsity, a thin line a language, and the mean."""
    line = table.arms[arm]
    levels = sorted(line)
    x = [100 * level for level in levels]
    for name in table.languages:
        axes.plot(x, [line[level].by_language[name] for level in levels], color=colour, linewidth=1, alpha=0.45)
    axes.plot(x, [line[level].f1.value for level in levels], color=colour, linewidth=2.4)
    _sparsity(axes, (0, 50, 100))
    axes.tick_params(labelleft=False)


def _sparsity(axes: Any, ticks: Iterable[int]) -> None:
    axes.set_xlim(-2, 100)
    axes.set_ylim(0, 100)
    axes.set_xticks(list(ticks))
    axes.set_yticks(range(0, 101, 20))
    axes.set_xlabel("sparsity, %")


def _draw_dots(axes: Any, table: Table) -> None:
    """F1 of every recipe, a line each: the mean with its interval, and its languages as small marks."""
    colour, rows = _STYLES[0][0], range(len(table.cells))
    if len(table.languages) > 1:
        every = [(cell.by_language[name], i) for i, cell in enumerate(table.cells) for name in table.languages]
        axes.plot(*zip(*every, strict=True), "|", color="#777777", markersize=6, alpha=0.6)
    axes.hlines(rows, [c.f1.low for c in table.cells], [c.f1.high for c in table.cells], color=colour, linewidth=2)
    axes.plot([c.f1.value for c in table.cells], rows, "o", color=colour, markersize=7)
    axes.set_yticks(rows, [cell.label for cell in table.cells])
    axes.set_ylim(len(table.cells) - 0.5, -0.5)
    axes.set_xlabel(table.task.measure)
