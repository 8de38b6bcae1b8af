"""What a format is: its name, how a file of it is recognized, its reader and its writer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dinku.data.corpus import Sentence
from dinku.data.formats.json_records import first_records
from dinku.data.formats.reading import Collected
from dinku.data.task import NER, Task
from dinku.errors import DinkuError
from dinku.files import reading

_START = 1 << 16  # bytes by which a file is recognized


@dataclass(frozen=True)
class Head:
    """The beginning of a file, by which formats recognize it."""

    path: Path

    @cached_property
    def data(self) -> bytes:
        """The first bytes; none of a folder."""
        if self.path.is_dir():
            return b""
        with reading(self.path) as file:
            return file.read(_START)

    @cached_property
    def lines(self) -> list[str]:
        """The first lines that aren't blank, without the last, which may be cut."""
        text = self.data.decode("utf-8-sig", "replace")
        found = [line for line in text.splitlines() if line.strip()]
        return found[:200] if len(self.data) < _START else found[:-1][:200]

    @cached_property
    def records(self) -> list[Any]:
        """The first records of a JSON file, or of a file of a JSON value a line; none of another file."""
        return first_records(self.path) if self.data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[") else []


@dataclass(frozen=True)
class Format:
    """A format of files.

    ``name`` is what ``--from`` and ``--to`` call it · ``suffixes`` are the ends of its files' names, the first that of a file
    that is written, empty for a folder · ``recognizes`` says from the beginning of a file whether it is one · ``read`` gives its
    records to `Collected` · ``write`` writes sentences to a path; ``None`` if dinku only reads the format · ``words`` says
    whether the format keeps where the words of a text begin and end · ``tasks`` are those whose tags it can write.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    recognizes: Callable[[Head], bool]
    read: Callable[[Collected], None]
    write: Callable[[Iterable[Sentence], Path], None] | None = None
    words: bool = True
    tasks: tuple[Task, ...] = (NER,)


def by_records(claims: Callable[[Any], bool]) -> Callable[[Head], bool]:
    """Recognizes a JSON file by any of its first records."""
    return lambda head: any(map(claims, head.records))


def all_labelled(sentences: Iterable[Sentence], path: Path) -> None:
    """Raise `DinkuError` if a sentence has no tags, which a format of marked spans can't say."""
    for number, sentence in enumerate(sentences, 1):
        if sentence.tags is None:
            raise DinkuError(f"sentence {number} has no tags", where=str(path), remedy="tag it first")
