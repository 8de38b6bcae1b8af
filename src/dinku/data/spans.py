"""IOB2 tags ↔ spans over words.

A *tag* stands on one word (``B-PER``), a *label* names a kind of entity (``PER``), and a *span* is half-open: it
holds the words ``start``, …, ``end - 1``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from dinku.errors import DinkuError, plural, shown


class Span(NamedTuple):
    """The words from ``start`` up to, but not including, ``end``, counted from 0, under one label.

    >>> from dinku import Span
    >>> Span(0, 2, "PER").label
    'PER'
    """

    start: int
    end: int
    label: str

    def text(self, words: Sequence[str]) -> str:
        """The words that the span covers in a sentence, with blanks between them.

        >>> Span(0, 2, "PER").text(["Ada", "Obi", "sings"])
        'Ada Obi'
        """
        return " ".join(words[self.start : self.end])

    def name(self, words: Sequence[str]) -> str:
        """The entity's name by which it is looked up elsewhere: the same in any letter case.

        >>> Span(0, 2, "PER").name(["Ada", "OBI", "sings"])
        'ada obi'
        """
        return folded(words[self.start : self.end])


def folded(name: Sequence[str]) -> str:
    """An entity's name from its words: the same in any letter case."""
    return " ".join(name).casefold()


def spans(tags: Sequence[str], *, strict: bool = False) -> list[Span]:
    """The spans that a sentence's tags mean, from left to right.

    By default this is conlleval's reading, and seqeval's: an orphan ``I-X`` opens a span. With ``strict`` it is that
    of IOB2, and of seqeval's ``mode="strict"``: only ``B-X`` opens one, so an orphan ``I-X`` belongs to none. In both,
    ``I-Y`` ends a span of ``X``. A tag that isn't IOB2 raises ``DinkuError``.
    """
    result: list[Span] = []
    start, label = 0, ""
    for place, tag in enumerate(tags):
        if label and tag[:2] == "I-" and tag[2:] == label:
            continue
        if label:
            result.append(Span(start, place, label))
            label = ""
        if tag == "O":
            continue
        if not is_iob2_tag(tag):
            raise DinkuError(f"{tag!r} isn't an IOB2 tag", where=f"word {place}", remedy="write tags as O, B-X or I-X")
        if tag[0] == "B" or not strict:
            start, label = place, tag[2:]
    if label:
        result.append(Span(start, len(tags), label))
    return result


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
                f"doesn't lie within the {plural(length, 'word')}", where=where, remedy="give 0 <= start < end <= words"
            )
        if not is_iob2_tag(f"B-{label}"):
            raise DinkuError(f"{label!r} can't stand in a tag", where=where, remedy="give a label without white space")
        if any(tag != "O" for tag in written[start:end]):
            raise DinkuError("overlaps another span", where=where, remedy="keep one of the two: IOB2 is flat")
        written[start:end] = [f"B-{label}"] + [f"I-{label}"] * (end - start - 1)
    return tuple(written)


def is_iob2_tag(tag: str) -> bool:
    """Whether a tag is ``O``, or ``B-`` or ``I-`` and a label without white space and control characters."""
    return tag == "O" or (tag[:2] in ("B-", "I-") and len(tag) > 2 and tag.split() == [tag] == [shown(tag)])


def orphans(tags: Sequence[str]) -> int:
    """The number of ``I-X`` after neither ``B-X`` nor ``I-X``, which the default and the strict reading treat differently."""
    return sum(tag[0] == "I" and before[2:] != tag[2:] for before, tag in pairwise(("O", *tags)))


Scheme = Literal["IOB2", "IO", "IOB1", "BIOES", "BILOU"]
# The letters for a span's last word and for its only word, by which two schemes are recognised.
_LAST: dict[str, Scheme] = {"E": "BIOES", "S": "BIOES", "L": "BILOU", "U": "BILOU"}


def is_tag(tag: str) -> bool:
    """Whether a tag belongs to any `Scheme`."""
    return is_iob2_tag(tag) or (tag[:1] in _LAST and is_iob2_tag(f"B{tag[1:]}"))


def scheme_of(tagged: Iterable[Sequence[str]], known: Iterable[str]) -> Scheme:
    """The scheme in which the sentences of a whole file are tagged; ``known`` are the tags that occur.

    ``E-`` or ``S-`` means BIOES, ``L-`` or ``U-`` BILOU. Otherwise a ``B-X`` that doesn't follow a word of an ``X`` means
    IOB2, since IOB1 has none there; so an IOB2 file with orphans is still IOB2. If every span begins with ``I-``, except
    those that directly follow a span with the same label, the scheme is IOB1, or IO if there is no ``B-`` at all. Raises
    `DinkuError` for a file with tags of both BIOES and BILOU.
    """
    last = sorted({tag[0] for tag in known} & _LAST.keys())
    if schemes := {_LAST[letter]: letter for letter in last}:
        if len(schemes) > 1:
            problem = f"mixes tags of BIOES ({schemes['BIOES']}-) and of BILOU ({schemes['BILOU']}-)"
            raise DinkuError(problem, remedy="write all tags in one scheme, best in IOB2")
        return next(iter(schemes))
    begun = orphaned = False
    for tags in tagged:
        for before, tag in pairwise(("O", *tags)):
            follows = before[2:] == tag[2:]
            if tag[0] == "B":
                if not follows:
                    return "IOB2"
                begun = True
            orphaned |= tag[0] == "I" and not follows
    return "IOB2" if not orphaned else "IOB1" if begun else "IO"


def as_iob2(tags: Sequence[str]) -> tuple[str, ...]:
    """The tags of a sentence in another `Scheme` as IOB2, with the same spans.

    A tag that continues a span after its last word, such as ``I-X`` after ``E-X``, begins another span, as in seqeval's default
    reading.
    """
    out = []
    for before, tag in pairwise(("O", *tags)):
        continues = before[2:] == tag[2:] and before[0] in "BI" and tag[0] in "IEL"
        out.append(tag if tag == "O" else f"{'I' if continues else 'B'}{tag[1:]}")
    return tuple(out)


def in_scheme(tags: Sequence[str], scheme: Scheme) -> tuple[str, ...]:
    """The spans of a sentence's IOB2 tags, written in another `Scheme`.

    IO can't tell two spans of one label that follow each other from one.

    >>> in_scheme(("B-PER", "I-PER", "B-LOC"), "BIOES")
    ('B-PER', 'E-PER', 'S-LOC')
    """
    out = []
    for before, tag, after in zip(("O", *tags), tags, (*tags[1:], "O"), strict=False):
        begins = tag[0] == "B" or before[2:] != tag[2:]
        ends = after[0] != "I" or after[2:] != tag[2:]
        if tag == "O":
            out.append(tag)
            continue
        if scheme in ("BIOES", "BILOU"):
            inner, last, only = "IES" if scheme == "BIOES" else "ILU"
            letter = only if begins and ends else "B" if begins else last if ends else inner
        elif scheme == "IOB1":
            letter = "B" if begins and before[2:] == tag[2:] else "I"
        else:
            letter = "I" if scheme == "IO" or not begins else "B"
        out.append(letter + tag[1:])
    return tuple(out)


def label_of(tag: str) -> str:
    """The label of a tag, whose first letter and hyphen say where in a span it stands; empty for ``O``."""
    return "" if tag == "O" else tag[2:] if tag[1:2] == "-" else tag
