"""One self-contained HTML page from the parts of a report: no request, readable on a phone, in the dark and without script."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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
            out.append((" ".join(self.sentence.words[span.start : span.end]), span.label))
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
