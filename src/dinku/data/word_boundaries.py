"""Text as typed → words with their offsets, as MasakhaNER's annotators set them apart.

A word is a run of letters, marks, digits and apostrophes, also at its head and end (*'yan*, *n'afọ*, *ng'*). Every other
visible character is a word of its own, a hyphen or a full stop between letters too, and so is each Han character, as in the
Chinese test set. Ethiopic wordspaces (፡) are words, as other punctuation is.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

VERSION = 2  # of these rules, which rises as they change: what is learnt from text depends on them
_APOSTROPHES = frozenset("'‘’ʼ`´")
# Of `_kind`: w within a word, j joins and is never seen, s stands alone.
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
    """Where each word of a text begins and ends; nothing visible lies outside of them."""
    return [found.span() for found in _WORD.finditer("".join(map(_kind, text)))]
