"""One error type: what is wrong, where, and what to do about it."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any


class DinkuError(Exception):
    """A failure told in one line: ``where: problem; remedy``.

    ``status`` is the exit status of the command that meets it: 2 where the request or the input was wrong (the
    default), 1 where the work itself failed.

    >>> from dinku import DinkuError
    >>> print(DinkuError("is no folder", where="my-tagger", remedy="name the folder that holds config.json"))
    my-tagger: is no folder; name the folder that holds config.json
    """

    def __init__(self, problem: str, *, where: str = "", remedy: str = "", status: int = 2) -> None:
        self.problem, self.where, self.remedy, self.status = problem, where, remedy, status
        text = f"{where}: {problem}" if where else problem
        super().__init__(shown(" ".join((f"{text}; {remedy}" if remedy else text).split())))


@contextmanager
def located(where: str) -> Iterator[None]:
    """Put ``where`` before the place that errors raised within the block name."""
    try:
        yield
    except DinkuError as error:
        inner = f"{where}: {error.where}" if error.where else where
        raise DinkuError(error.problem, where=inner, remedy=error.remedy, status=error.status) from None


# Escape sequences and other controls, and what turns the direction of text; half a surrogate pair can't be encoded at all.
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(text: str) -> str:
    """A text with whatever a terminal would obey, line ends and tabs aside, written as it is in Python: ``\\x1b``."""
    return text if text.isprintable() else CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


def nearest(word: str, known: Iterable[str]) -> str:
    """The beginning of a remedy for a typing mistake: *did you mean X?*, or nothing where none of the known ones is near."""
    lower = {each.lower(): each for each in known}
    close = get_close_matches(word.lower(), lower, n=1)
    return f"did you mean {lower[close[0]]}? " if close else ""


def reason(error: BaseException) -> str:
    """The first line of what another library said was wrong, or where it said nothing the kind of its error."""
    lines = str(error).split("\n")
    return lines[0].strip()[:160] or type(error).__name__


def plural(n: int, thing: str, things: str = "") -> str:
    """A count with its noun, *1 row* or *2 rows*; ``things`` is the plural where it isn't ``thing`` with an s."""
    return f"{n:,} {thing}" if n == 1 else f"{n:,} {things or f'{thing}s'}"


def brief(value: Any) -> str:
    """A value as a message shows it, however large it is."""
    text = reprlib.repr(value)
    return text if len(text) <= 200 else f"{text[:199]}…"


def check_count(value: Any, name: str, *, where: str) -> None:
    """Raise `DinkuError` for what is no whole number of 1 or more."""
    if type(value) is not int or value < 1:
        raise DinkuError(f"{name} is {brief(value)}", where=where, remedy="give a whole number, 1 or more")
