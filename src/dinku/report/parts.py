"""What a report consists of, whatever it is written as: paragraphs, tables, judged claims, and what is folded away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Self, TypeAlias

from dinku.data.corpus import Sentence
from dinku.data.spans import Span


class Ref(str):
    """A cell's text that leads to a place of the page (``to``), or is such a place itself (``name``)."""

    to: str
    name: str

    def __new__(cls, text: str, *, to: str = "", name: str = "") -> Self:
        made = super().__new__(cls, text)
        made.to, made.name = to, name
        return made


class Grid(NamedTuple):
    """A table. The first cell of a row may have a second line, which is set smaller.

    As *cards* it shows a row below the other on a narrow screen. In *differences* cells hold F1 in points minus the dense
    tagger's, to be shaded by sign and size, the lowest one outlined.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    form: Literal["", "cards", "differences"] = ""


class Chip(NamedTuple):
    """A fact in a few words; ``tone`` says how it is meant."""

    text: str
    tone: Literal["", "holds", "fails", "undecided", "warning"] = ""


class Chips(NamedTuple):
    """Facts side by side."""

    chips: Sequence[Chip]


class Claim(NamedTuple):
    """A judged claim in one line: what was found here (``ours``) beside what the paper says; ``details`` are all that the
    verdict rests on, a paragraph each. ``verdict`` may be of several studies, such as ``fails in 3 of 4``."""

    name: str
    title: str
    mark: str
    verdict: str
    ours: str
    paper: str
    details: Sequence[str]
    anchor: str

    @property
    def tone(self) -> str:
        return self.verdict.split(" ")[0]


class Ledger(NamedTuple):
    """Judged claims; ``paper`` says whether they are the paper's own, so that its numbers stand beside what was found."""

    claims: Sequence[Claim]
    paper: bool

    @property
    def grid(self) -> Grid:
        head = ["claim", "verdict", "found here", *(["the paper"] if self.paper else [])]
        rows = [
            [f"{c.name} {c.title}", f"**{c.verdict}**", c.ours, *([c.paper] if self.paper else [])] for c in self.claims
        ]
        return Grid(head, rows)


class Fold(NamedTuple):
    """Parts that are shown when asked for, under a line that says what they are; ``printed`` in LaTeX too."""

    title: str
    parts: Sequence[Part]
    printed: bool = False


class Lead(str):
    """The paragraph that a report begins with."""


Part: TypeAlias = "str | Grid | Chips | Ledger | Fold"  # a string is a paragraph, heading or image of Markdown


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


class Page(NamedTuple):
    """A report: what is to be seen first, the ledger, and all else, which has a list of contents."""

    title: str
    first: Sequence[Part]
    ledger: Sequence[Part]
    rest: Sequence[Part]

    @property
    def parts(self) -> list[Part]:
        return [*self.first, *self.ledger, *self.rest]
