"""The words of plain text with their offsets, split as MasakhaNER's annotators did.

A word is a run of letters, marks, digits and apostrophes, which may also begin or end it (*'yan*, *n'afọ*, *ng'*). Every
other visible character is a word of its own, including hyphens and full stops between letters, Ethiopic wordspaces (፡),
and, as in the Chinese test set, each Han character.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from itertools import accumulate, pairwise

VERSION = 2  # of these rules; it rises when they change, because what is learnt from text depends on them
_APOSTROPHES = frozenset("'‘’ʼ`´")
# The kinds of `_kind`: w stands within a word, j is invisible and joins, s stands alone.
_WORD = re.compile(r"w+(?:j+w+)*|s")


@cache
def _kind(character: str) -> str:
    if character in _APOSTROPHES:
        return "w"
    category = unicodedata.category(character)
    if category == "Lo" and unicodedata.name(character, "").startswith("CJK "):
        return "s"
    if category[0] in "LMN":
        return "w"
    return "j" if category == "Cf" else " " if category[0] in "ZC" else "s"


def words(text: str) -> list[tuple[int, int]]:
    """The start and end of each word of a text; every visible character lies within a word."""
    return [match.span() for match in _WORD.finditer("".join(map(_kind, text)))]


def joined(words: Sequence[str]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Words joined by blanks, and the start and end of each.

    >>> joined(["Ade", "ba"])
    ('Ade ba', ((0, 3), (4, 6)))
    """
    ends = accumulate((len(word) + 1 for word in words), initial=0)
    return " ".join(words), tuple((start, end - 1) for start, end in pairwise(ends))
