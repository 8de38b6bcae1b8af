"""The one type of error: what is wrong, where, and what to do about it; and helpers to word messages."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any


class DinkuError(Exception):
    """A failure in one line: ``where: problem; remedy``.

    ``status`` is the exit status of a command that fails with it: 2 if the request or an input was wrong (the default), 1 if the
    work itself failed.

    >>> from dinku import DinkuError
    >>> print(DinkuError("isn't a folder", where="my-tagger", remedy="name the folder that holds config.json"))
    my-tagger: isn't a folder; name the folder that holds config.json
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


# Escape sequences and other control characters, marks of text direction, and halves of surrogate pairs, which can't be encoded.
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(text: str) -> str:
    r"""A text with its control characters, except line ends and tabs, escaped as in Python: ``\x1b``."""
    return text if text.isprintable() else CONTROLS.sub(lambda match: ascii(match[0])[1:-1], text)


def nearest(word: str, known: Iterable[str]) -> str:
    """The beginning of a remedy for a typing mistake: *did you mean X?*, or nothing if no known word is similar."""
    lower = {each.lower(): each for each in known}
    close = get_close_matches(word.lower(), lower, n=1)
    return f"did you mean {lower[close[0]]}? " if close else ""


def reason(error: BaseException) -> str:
    """The first line of another library's error message, or the name of the error's class if the message is empty."""
    lines = str(error).split("\n")
    return lines[0].strip()[:160] or type(error).__name__


def plural(n: int, thing: str, things: str = "") -> str:
    """A count with its noun, *1 row* or *2 rows*; ``things`` is the plural unless that is ``thing`` with an s."""
    return f"{n:,} {thing}" if n == 1 else f"{n:,} {things or f'{thing}s'}"


def brief(value: Any) -> str:
    """A value in at most 200 characters, for a message."""
    text = reprlib.repr(value)
    return text if len(text) <= 200 else f"{text[:199]}…"


def check_count(value: Any, name: str, *, where: str) -> None:
    """Raise `DinkuError` unless a value is a whole number of 1 or more."""
    if type(value) is not int or value < 1:
        raise DinkuError(f"{name} is {brief(value)}", where=where, remedy="give a whole number, 1 or more")
