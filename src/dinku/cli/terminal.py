"""Output of commands: tables that fit the terminal, one JSON document, and progress on stderr.

Labels, arms, titles, file names and texts come from other people, so control characters in them are escaped.
"""

from __future__ import annotations

import builtins
import json
import re
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from dinku.errors import CONTROLS, shown
from dinku.progress import Progress


def print(text: object = "", *, file: TextIO | None = None, flush: bool = False) -> None:
    """Print a line for people, with control characters escaped; see `dinku.errors.shown`."""
    builtins.print(shown(str(text)), file=file, flush=flush)


def print_data(text: str) -> None:
    """Print a line for programs: unchanged, unless it goes to a terminal."""
    builtins.print(shown(text) if sys.stdout.isatty() else text)


def print_json(value: Any) -> None:
    """Print one line of JSON, valid also if stdout isn't UTF-8."""
    builtins.print(_json(value))


def print_list(values: Iterable[Any]) -> None:
    """Print a JSON array with a line for each value, as soon as the next one is known."""
    lead = "["
    for value in values:
        builtins.print(lead)
        builtins.print(_json(value), end="")
        lead = ","
    builtins.print("\n]" if lead == "," else "[]")


def _json(value: Any) -> str:
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    text = json.dumps(value, ensure_ascii=not unicode)
    return CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)  # which occur in JSON only within strings


PAGE = 100  # columns of text that is read, though no terminal shows it


def wrapped(text: str, *, indent: str = "") -> None:
    """Print a paragraph no wider than the terminal or, elsewhere, than `PAGE`; lines after the first are indented."""
    lines = textwrap.wrap(shown(text), max(_room(PAGE), 40), subsequent_indent=indent, break_on_hyphens=False)
    builtins.print("\n".join(lines))


def fits(head: list[str], rows: list[list[str]]) -> bool:
    """Whether a table has room in the terminal or, elsewhere, in `PAGE`, with no word folded."""
    from rich.cells import cell_len

    widths = (max(map(cell_len, column)) for column in zip(head, *rows, strict=True))
    return _width(dict(enumerate(widths))) <= _room(PAGE)


def _room(elsewhere: int) -> int:
    """The width of the terminal; ``elsewhere`` where there is none."""
    from rich.console import Console

    console = Console()
    return console.width if console.is_terminal else elsewhere


def table(head: list[str], rows: list[list[str]], *, title: str, lead: int = 1, elsewhere: int = sys.maxsize) -> None:
    """Print a table that is no wider than the terminal or, where there is none, than ``elsewhere``.

    Words are folded; columns that still don't fit follow below, after the first ``lead`` columns once more if there is room.
    Numbers stay whole.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    head, rows, title = [*map(shown, head)], [[*map(shown, row)] for row in rows], shown(title)
    words = [not any(_is_number(row[i]) for row in rows) for i in range(len(head))]
    room = _room(elsewhere)
    for columns in _blocks(_widths(head, rows, words, room), words, room, lead):
        made = Table(title=escape(title), title_justify="left")
        for i, width in columns.items():
            made.add_column(escape(head[i]), justify="left" if words[i] else "right", width=width, overflow="fold")
        for row in rows:
            made.add_row(*(escape(row[i]) for i in columns))
        Console(width=max(_width(columns), 1)).print(made)
        title = ""


def _is_number(cell: str) -> bool:
    """Whether a cell begins with a number, and has no word but a unit after it."""
    return cell[:1].isdigit() and not re.search(r"[^\W\d_]{3}", cell)


_NARROW = 16  # the widest column of words before folding


def _widths(head: list[str], rows: list[list[str]], words: list[bool], room: int) -> list[int]:
    """The width of each column: its content's, or less if the table is too wide, but never less than its numbers need."""
    from rich.cells import cell_len

    cells = [[name, *(row[i] for row in rows)] for i, name in enumerate(head)]
    widths = [max(map(cell_len, column)) for column in cells]
    least = [
        min(width, _NARROW) if left else max(map(cell_len, [*column[1:], *column[0].split()]))
        for width, left, column in zip(widths, words, cells, strict=True)
    ]
    while _width(dict(enumerate(widths))) > room and (wider := [i for i, w in enumerate(widths) if w > least[i]]):
        widths[max(wider, key=lambda i: widths[i] - least[i])] -= 1
    return widths


def _blocks(widths: list[int], words: list[bool], room: int, named: int) -> Iterator[dict[int, int]]:
    """Blocks of columns, by number with their widths, as many as fit side by side.

    The leading columns, ``named`` of them and further ones of words in the first half of the room, are repeated in each block.
    """
    lead = dict(enumerate(widths[: max(1, named)]))
    if _width(lead) + max(widths) + 3 > room:
        lead = {0: widths[0]}
    while len(lead) < len(widths) and words[len(lead)] and _width(lead | {len(lead): widths[len(lead)]}) <= room // 2:
        lead[len(lead)] = widths[len(lead)]
    block = dict(lead)
    for i, width in list(enumerate(widths))[len(lead) :]:
        if len(block) > len(lead) and _width(block | {i: width}) > room:
            yield block
            block = dict(lead)
        block[i] = width
    yield block


def _width(columns: dict[int, int]) -> int:
    """The width of a whole table: each column with its blanks and the rule before it, and the last rule."""
    return sum(width + 3 for width in columns.values()) + 1


def duration(seconds: float) -> str:
    """A time for people, in seconds, minutes, hours or days."""
    minutes = round(seconds / 60)
    if minutes >= 48 * 60:
        return f"{minutes / (24 * 60):,.0f} days"
    return (
        f"{minutes // 60} h {minutes % 60} min"
        if minutes >= 60
        else f"{minutes} min"
        if minutes
        else f"{seconds:.0f} s"
    )


@contextmanager
def watching() -> Iterator[Progress]:
    """Progress on stderr: a bar on a terminal, otherwise a line for each new activity, and at times one on how far it is."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines()
        return
    columns = [TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.completed}/{task.total}")]
    with Bar(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=shown(what), completed=done, total=total or None)

        yield show


class _Lines:
    """Progress as lines. What stands before the first comma names an activity; what follows may change all the time."""

    EVERY = 10.0  # seconds

    def __init__(self) -> None:
        self.activity, self.said = "", ""
        self.started = self.at = 0.0
        self.first = 0

    def __call__(self, what: str, done: int, total: int) -> None:
        now, activity = time.monotonic(), what.partition(",")[0]
        if activity != self.activity:
            self.activity, self.started, self.first = activity, now, done
        elif what == self.said or now - self.at < self.EVERY:
            return
        self.said, self.at = what, now
        left = ""
        if total and done > self.first:  # a training that is continued doesn't begin at 0
            seconds = (now - self.started) / (done - self.first) * (total - done)
            left = f" ({done / total:.0%}, {duration(seconds)} left)"
        print(what + left, file=sys.stderr, flush=True)
