"""Figures of a report, as SVG and PNG with the same bytes from the same rows."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from typing import Any, NamedTuple
from xml.sax.saxutils import escape, quoteattr

from dinku.claims.compare import scope
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
            figure.savefig(file, format=kind, dpi=150, metadata=metadata)
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
    figure.suptitle("\n".join(_within(line, figure.get_figwidth(), 13) for line in lines), fontsize=13)


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
    """F1 of one table as a figure: the mean over languages at the left, then every language."""
    import matplotlib
    from matplotlib.figure import Figure

    names = table.languages if len(table.languages) > 1 else []
    columns = (len(names) + 1) // 2
    recipes = [] if table.is_grid else [cell.label for cell in table.cells]  # a line each, with its label at the left
    margin = 0.09 * max(map(len, recipes), default=0)
    with matplotlib.rc_context(_SETTINGS):
        size = (6.4 + max(0.0, margin - 2) + 2.3 * columns, max(5.6, 1.8 + 0.25 * len(recipes)))
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.add_gridspec(2, 1 + columns, width_ratios=[2.4] + [1.0] * columns)
        left = figure.add_subplot(grid[:, 0])
        small: list[Any] = []
        for i in range(len(names)):
            alike = {"sharey": left, "sharex": small[0] if small else None}  # only the outer ones have numbers
            small.append(figure.add_subplot(grid[i // columns, 1 + i % columns], **alike))
        draw = _draw_lines if table.is_grid else _draw_dots
        draw(left, table, "")
        left.set_title("mean over languages" if names else ", ".join(table.languages), fontsize=12)
        for axes, name in zip(small, names, strict=True):
            draw(axes, table, name)
            axes.set_title(name, fontsize=12, y=1.0)  # a place of its own, which takes long to find
            axes.label_outer()
        notes = [scope(table.quality), "with 95 % intervals"]
        if table.is_grid and any(len(c.runs) == 1 for c in table.cells):
            notes.append("open marks: a single seed")
        _head(figure, title, "; ".join(notes))
        handles, labels = left.get_legend_handles_labels()
        if handles:
            columns = min(4, _abreast(figure, labels, size=12))
            figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
        return _saved(figure, "curves")


def fronts(table: Table, title: str) -> dict[str, bytes]:
    """F1 against each cost, a mark for each recipe; steps join the Pareto front. Empty if there are no costs."""
    import matplotlib
    from matplotlib.figure import Figure

    if not table.fronts:
        return {}
    arms = list(dict.fromkeys(cell.arm for front in table.fronts for cell, _ in front.points))
    marks = [mark for _, mark in _STYLES]
    styles = {arm: (_STYLES[i % 6][0], marks[(i + i // 6) % 6]) for i, arm in enumerate(arms)}
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(7.0 * len(table.fronts), 6.2 + 0.12 * len(arms)), layout="constrained")
        panels = figure.subplots(1, len(table.fronts), squeeze=False, sharey=True)[0]
        labels: dict[str, str] = {}
        for i, (axes, front) in enumerate(zip(panels, table.fronts, strict=True)):
            labels |= _draw_front(axes, front, styles, f"front-{i}")
        notes = [scope(table.quality), "means over languages with 95 % intervals", "joined: beaten by no other"]
        if any(front.cpu for front in table.fronts):
            notes.append("grey: the clock's own noise")
        _head(figure, title, "; ".join(notes))
        for arm, (colour, mark) in styles.items():
            panels[0].plot([], [], mark, color=colour, label=arm)
        columns = min(3 * len(table.fronts), _abreast(figure, arms, size=10))
        figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=10)
        saved = _saved(figure, "front")
    return saved | {"front.svg": _titled(saved["front.svg"], labels)}


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


def _draw_front(axes: Any, front: ParetoFront, styles: Mapping[str, tuple[str, str]], name: str) -> dict[str, str]:
    """Draw a mark for each recipe, and return its label by its id."""
    labels: dict[str, str] = {}
    best = front.best
    axes.step(
        [x for _, x in best], [c.f1.value for c, _ in best], where="post", color="#888888", linewidth=1.4, zorder=1
    )
    if front.cpu:
        axes.axvspan(*front.noise, color="#eeeeee", zorder=0)
    for cell, x in front.points:
        colour, mark = styles[cell.arm]
        axes.plot([x, x], [cell.f1.low, cell.f1.high], color=colour, linewidth=1, alpha=0.5)
        on = any(cell is c for c, _ in best)
        gid = f"{name}-{len(labels)}"
        labels[gid] = f"{cell.label}: {cell.task.score} {cell}, {x:.3g} {front.cost}" + ", beaten by no other" * on
        axes.plot(
            [x],
            [cell.f1.value],
            mark,
            color=colour,
            markerfacecolor=colour if on else "white",
            markersize=9 if on else 7,
            markeredgewidth=1.5,
            gid=gid,
        )
    costs = [x for _, x in front.points]
    if max(costs) > 4 * min(costs):
        axes.set_xscale("log")
        for ticks in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            ticks("{x:g}")
    axes.set_xlabel(front.cost)
    axes.set_ylabel(front.points[0][0].task.measure)
    return labels


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
        for fill, several in ((colour, True), ("white", False)):
            if points := [(at, f1) for at, f1, repeated in own if repeated == several]:
                axes.plot(
                    *zip(*points, strict=True),
                    mark,
                    color=colour,
                    markerfacecolor=fill,
                    markersize=5 if language else 8,
                    markeredgewidth=1.5,
                    clip_on=False,
                )
        if not language:
            axes.fill_between(x, [c.f1.low for c in cells], [c.f1.high for c in cells], color=colour, alpha=0.15, lw=0)
    axes.set_xlim(-2, 100)
    axes.set_ylim(0, 100)
    axes.set_xticks((0, 50) if language else range(0, 101, 20))
    axes.set_yticks(range(0, 101, 20))
    axes.set_xlabel("sparsity, %")
    axes.set_ylabel(table.task.measure)


def _draw_dots(axes: Any, table: Table, language: str) -> None:
    """F1 of every recipe, a line each; the mean with its interval."""
    for i, cell in enumerate(table.cells):
        value = cell.by_language[language] if language else cell.f1.value
        axes.plot([value], [i], "o", color=_STYLES[0][0], markersize=5 if language else 8)
        if not language:
            axes.plot([cell.f1.low, cell.f1.high], [i, i], color=_STYLES[0][0], linewidth=2)
    axes.set_yticks(range(len(table.cells)), [cell.label for cell in table.cells])
    axes.set_ylim(len(table.cells) - 0.5, -0.5)
    axes.set_xlabel(table.task.measure)
