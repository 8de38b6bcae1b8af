"""Text as typed → words with their offsets, as annotators of news text set them apart.

A word is a run of letters, marks and digits. Apostrophes, hyphens, full stops and the like belong to it where they stand
between two of these (*m'owo*, *U.S*, *3.5*, *Akwa-Ibom*), an apostrophe also at its head (*'yan*). Every other visible
character is a word of its own.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

_APOSTROPHES = "'‘’ʼ"
_INNER = frozenset(_APOSTROPHES + "`´.,-‐‑·@_/:&")
# Of `_kind`: w within a word, a apostrophe, i between parts of a word, j joins and is never seen, s stands alone.
_WORD = re.compile(r"(?:(?<!w)a)?w+(?:[aij]w+)*|[ais]")


@cache
def _kind(character: str) -> str:
    if character in _INNER:
        return "a" if character in _APOSTROPHES else "i"
    category = unicodedata.category(character)
    if category[0] in "LMN":
        return "w"
    return "j" if category == "Cf" else " " if category[0] in "ZC" else "s"


def words(text: str) -> list[tuple[int, int]]:
    """Where each word of a text begins and ends; nothing visible lies outside of them."""
    return [found.span() for found in _WORD.finditer("".join(map(_kind, text)))]
