"""IOB2 tags ↔ spans over words.

A *tag* stands on one word (``B-PER``), a *label* names a kind of entity (``PER``), and a *span* is half-open: it
holds the words ``start``, …, ``end - 1``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from dinku.errors import DinkuError, plural


class Span(NamedTuple):
    """The words from ``start`` up to, but not including, ``end``, counted from 0, under one label."""

    start: int
    end: int
    label: str


def spans(tags: Sequence[str], *, strict: bool = False) -> list[Span]:
    """The spans that a sentence's tags mean, from left to right.

    By default this is conlleval's reading, and seqeval's: an orphan ``I-X`` opens a span. With ``strict`` it is that
    of IOB2, and of seqeval's ``mode="strict"``: only ``B-X`` opens one, so an orphan ``I-X`` belongs to none. In both,
    ``I-Y`` ends a span of ``X``. A tag that isn't IOB2 raises ``DinkuError``.
    """
    found: list[Span] = []
    start, label = 0, ""
    for place, tag in enumerate(tags):
        if label and tag[:2] == "I-" and tag[2:] == label:
            continue
        if label:
            found.append(Span(start, place, label))
            label = ""
        if tag == "O":
            continue
        if not is_iob2_tag(tag):
            raise DinkuError(f"{tag!r} is no IOB2 tag", where=f"word {place}", remedy="write tags as O, B-X or I-X")
        if tag[0] == "B" or not strict:
            start, label = place, tag[2:]
    if label:
        found.append(Span(start, len(tags), label))
    return found


def tags(spans: Iterable[Span], length: int) -> tuple[str, ...]:
    """The IOB2 tags of a sentence of ``length`` words, from spans in any order.

    A span that is empty, leaves the sentence, overlaps another, or whose label can't stand in a tag raises
    ``DinkuError``.
    """
    written = ["O"] * length
    for start, end, label in spans:
        where = f"span {start}–{end} {label}"
        if not 0 <= start < end <= length:
            raise DinkuError(
                f"doesn't lie within {plural(length, 'word')}", where=where, remedy="give 0 <= start < end <= words"
            )
        if not is_iob2_tag(f"B-{label}"):
            raise DinkuError(f"{label!r} can't stand in a tag", where=where, remedy="give a label without white space")
        if any(tag != "O" for tag in written[start:end]):
            raise DinkuError("overlaps another span", where=where, remedy="keep one of the two: IOB2 is flat")
        written[start:end] = [f"B-{label}"] + [f"I-{label}"] * (end - start - 1)
    return tuple(written)


def is_iob2_tag(tag: str) -> bool:
    """Whether it is ``O``, or ``B-`` or ``I-`` and a label, which holds no white space."""
    return tag == "O" or (tag[:2] in ("B-", "I-") and len(tag) > 2 and tag.split() == [tag])


def orphans(tags: Sequence[str]) -> int:
    """How many ``I-X`` follow neither ``B-X`` nor ``I-X``: what strict and default reading differ on."""
    return sum(tag[0] == "I" and before[2:] != tag[2:] for before, tag in pairwise(("O", *tags)))
