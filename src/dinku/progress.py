"""How work in progress reports what it is doing, how much of it is done, and how much there is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]  # (what is being done, how much is done, of how much)
Count = Callable[
    [int, int], None
]  # the same for work that doesn't know what it is part of: partial(progress, "tagging")


def silent(what: str, done: int, total: int) -> None:
    """Report to nobody."""
