"""One self-contained HTML page from the parts of a report: no request, readable on a phone, in the dark and without script."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dinku.data.corpus import Sentence
from dinku.data.spans import Span


class Grid(NamedTuple):
    """A table. ``heat`` says that cells which begin with a number hold F1 in points, to be shaded by it."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    heat: bool = False


Part = str | Grid  # a paragraph, heading or image of Markdown, or a table


class Example(NamedTuple):
    """A sentence and what a tagger found in it."""

    sentence: Sentence
    found: Sequence[Span]

    @property
    def parts(self) -> list[tuple[str, str]]:
        """(text, label) in order; the label is empty outside entities."""
        out, at = [], 0
        for span in sorted(self.found, key=lambda s: s.start):
            out += [(" ".join(self.sentence.words[at : span.start]), "")] if span.start > at else []
            out.append((span.text(self.sentence.words), span.label))
            at = span.end
        return [*out, (" ".join(self.sentence.words[at:]), "")]


def html(
    title: str,
    parts: Sequence[Part],
    *,
    figures: Mapping[str, bytes],
    examples: Sequence[Example] = (),
    contents: bool = False,
) -> str:
    """Paragraphs and headings (``## …``) as Markdown has them, tables, and where an image stands that SVG of ``figures``.

    Text is escaped; of Markdown's own marks only ``**bold**`` is known. ``contents`` puts links to the headings of the first
    rank (``## …``) on top.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup, escape

    def inline(text: str) -> Markup:
        return Markup(re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", str(escape(text))))

    def figure(image: str) -> Markup:
        svg = figures[image.rpartition("(")[2].removesuffix(")")].decode()
        return Markup(svg[svg.index("<svg") :])

    def width(image: str) -> str:
        """What a figure is drawn for: on a wider page it stays so wide, lest a narrow one fill several screens."""
        found = re.search(r'width="([\d.]+pt)"', figure(image))
        return found[1] if found else "100%"

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"inline": inline, "warmth": _warmth, "figure": figure, "width": width}
    environment.tests["grid"] = lambda part: isinstance(part, Grid)
    template = environment.from_string((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))
    shown: dict[str, Any] = {"title": title, "parts": parts, "examples": examples, "contents": contents}
    return template.render(**shown)


def _warmth(cell: str) -> str:
    """The number that a cell begins with as a percentage for a style sheet; empty where it begins with none."""
    number = re.match(r"\d+(\.\d+)?(?= |$)", cell)
    return f"{min(100.0, float(number[0])):.0f}%" if number else ""


def markdown(title: str, content: Sequence[Part]) -> str:
    text = (_table(part.head, part.rows) if isinstance(part, Grid) else part for part in content)
    return "\n\n".join([f"# {title}", *text]) + "\n"


_TEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


_TEX |= {
    "−": "$-$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "…": r"\ldots{}",
    "<": "$<$",
    ">": "$>$",
    "[": "{[}",
}


def latex(content: Sequence[Part]) -> str:
    r"""The tables, each under the heading that it stands beneath; plain LaTeX for ``\input``, which needs no package."""
    out, heading = [], ""
    for part in content:
        if isinstance(part, str):
            heading = part.lstrip("# ") if part.startswith("#") else heading
            continue
        kinds = [
            "p{.35\\linewidth}" if max(map(len, column)) > 40 else "r" if i and _numbers(column) else "l"
            for i, column in enumerate(zip(*part.rows, strict=True))
        ]
        lines = [" & ".join(map(_tex, line)) + r" \\" for line in (part.head, *part.rows)]
        table = [
            rf"\caption{{{_tex(heading)}}}",
            rf"\begin{{tabular}}{{{''.join(kinds)}}}",
            r"\hline",
            lines[0],
            r"\hline",
        ]
        table += [*lines[1:], r"\hline", r"\end{tabular}"]
        out.append("\n".join([r"\begin{table}", *table, r"\end{table}"]))
    return "\n\n".join(out) + "\n"


def _tex(text: str) -> str:
    return re.sub(r"\*\*(.+?)\*\*", r"\\textbf{\1}", "".join(_TEX.get(c, c) for c in text))


def _numbers(cells: Iterable[str]) -> bool:
    return all(not cell or cell[0] in "-+−0123456789" for cell in cells)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown; columns but the first are to the right where they hold numbers."""
    names, *lines = [[cell.replace("|", "\\|") for cell in row] for row in (head, *rows)]
    marks = ["--:" if i and _numbers(line[i] for line in lines) else ":--" for i in range(len(head))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (names, marks, *lines))
