"""Budget: the limits that a compressed tagger is to keep, read from what people write and checked against what is measured."""

from __future__ import annotations

import re

from dinku.errors import DinkuError


def share(text: str | float, *, where: str) -> float:
    """A part of a whole, from *95%* or 0.95; raises `DinkuError` for what isn't above 0 and at most 1.

    >>> share("95%", where="--keep"), share(0.5, where="keep")
    (0.95, 0.5)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*", str(text))
    value = float(found[1]) / (100 if found[2] else 1) if found else 0.0
    if not 0 < value <= 1:
        raise DinkuError(f"is {str(text)!r}", where=where, remedy="give a percentage above 0, such as 95%")
    return value
