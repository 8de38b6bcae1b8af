"""One error type: what is wrong, where, and what to do about it."""

from __future__ import annotations


class DinkuError(Exception):
    """A failure told in one line: ``where: problem; remedy``.

    ``status`` is the exit status of the command that meets it: 2 where the request or the input was wrong (the
    default), 1 where the work itself failed.
    """

    def __init__(self, problem: str, *, where: str = "", remedy: str = "", status: int = 2) -> None:
        self.problem, self.where, self.remedy, self.status = problem, where, remedy, status
        text = f"{where}: {problem}" if where else problem
        super().__init__(" ".join((f"{text}; {remedy}" if remedy else text).split()))
