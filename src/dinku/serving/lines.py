"""Lines to tag from files of any size: typed text, CoNLL or JSON lines, read one by one as they are needed."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, Self

from pydantic_core import from_json

from dinku.data.conll import foreign, stream
from dinku.data.corpus import Sentence
from dinku.data.spans import is_tag
from dinku.data.task import Task
from dinku.data.word_boundaries import joined, words
from dinku.errors import DinkuError, brief
from dinku.scoring.tagging import Tagging

LONGEST = 1 << 24  # bytes of the longest line; without line breaks, a file isn't text and would fill the memory


@dataclass
class Source:
    """A stream of bytes, with its name for errors and its ``size`` if known; ``read`` is called with the number of bytes read."""

    name: str
    file: BinaryIO
    size: int = 0
    read: Callable[[int], None] = lambda _: None

    def lines(self) -> Iterator[tuple[str, bytes]]:
        """(place, line without its end) for each line. Raises `DinkuError` for a line that is far too long."""
        number = 0
        while line := self.file.readline(LONGEST + 1):
            number += 1
            if len(line) > LONGEST:
                problem = f"is longer than {LONGEST >> 20} MB"
                raise DinkuError(problem, where=f"{self.name}:{number}", remedy="give it a sentence a line")
            self.read(len(line))
            yield f"{self.name}:{number}", line.removesuffix(b"\n").removesuffix(b"\r")


@contextmanager
def opened(file: Path | None) -> Iterator[Source]:
    """A file, or stdin if none or ``-`` is given. Raises `DinkuError` if it can't be read."""
    if file is None or str(file) == "-":
        if sys.stdin is None:  # as in `dinku predict model <&-`
            raise DinkuError("is closed", where="stdin", remedy="name a file, or send text there")
        yield Source("stdin", sys.stdin.buffer)
        return
    try:
        handle = open(file, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise DinkuError(f"can't be read ({error.strerror})", where=str(file), remedy="name a file, or -") from None
    with handle:
        about = os.fstat(handle.fileno())
        yield Source(str(file), handle, about.st_size if stat.S_ISREG(about.st_mode) else 0)


def kind_of(file: Path | None) -> Literal["conll", "jsonl", "typed"]:
    """The kind of a file, by its suffix."""
    return _KINDS.get(file.suffix.lower(), "typed") if file else "typed"


_KINDS: dict[str, Literal["conll", "jsonl"]] = {
    **dict.fromkeys((".jsonl", ".ndjson"), "jsonl"),
    **dict.fromkeys((".conll", ".bio", ".iob"), "conll"),
}


def typed(source: Source) -> Iterator[Line]:
    """One typed sentence for each line. Raises `DinkuError` if the first lines are JSON or CoNLL instead of text."""
    lines = (text for _, text in _decoded(source))
    first = list(islice(lines, 4))
    _check_typed([text for text in first if text.strip()], source.name)
    return (Line.typed(text) for text in chain(first, lines))


def _check_typed(first: Sequence[str], name: str) -> None:
    """Refuse text whose markup would be tagged: JSON, and three or more lines of a word and its tag."""
    if first and re.match(r"\s*(\{\s*(\"|$)|\[\s*(\{|$))", first[0]):
        problem = "holds JSON, whose braces would be tagged as words"
        raise DinkuError(problem, where=name, remedy='read it as JSON lines, with {"text": "…"} for each sentence')
    columns = [line.split("\t" if "\t" in line else None) for line in first]
    widths = {len(row) for row in columns}
    if len(first) > 2 and len(widths) == 1 and min(widths) > 1 and all(is_tag(row[-1].strip()) for row in columns):
        problem = "holds CoNLL, whose tags would be tagged as words"
        raise DinkuError(problem, where=name, remedy="read it as CoNLL")


def jsonl(source: Source) -> Iterator[Line]:
    """One JSON object for each line, whose *text* is read and whose other keys are returned; blank lines are skipped."""
    for where, text in _decoded(source):
        if text.strip():
            given = _parsed(text, where)
            line = given.get("text") if isinstance(given, dict) else None
            if not isinstance(line, str):
                raise DinkuError("isn't an object with a text", where=where, remedy='write {"text": "…"} in every line')
            yield Line.typed(line).with_keys(given)


def conll(source: Source) -> Iterator[Line]:
    """The sentences of CoNLL text, with words from the first column; see `dinku.data.conll.parse`."""
    return (Line.joined(sentence.words) for sentence in stream(_decoded(source, conll=True), source.name))


def _decoded(source: Source, *, conll: bool = False) -> Iterator[tuple[str, str]]:
    for number, (where, line) in enumerate(source.lines()):
        if conll and not number:
            foreign(line, source.name)
        if b"\0" in line:
            raise DinkuError("holds a NUL byte", where=where, remedy="give it text")
        try:
            text = line.decode("utf-8" if number else "utf-8-sig")
        except UnicodeDecodeError:
            raise DinkuError("isn't UTF-8", where=where, remedy="convert it to UTF-8") from None
        for part in text.split("\r") if conll else [text]:  # in which a lone CR also ends a line
            yield where, part


def _parsed(text: str, where: str) -> Any:
    try:
        return from_json(text)
    except ValueError as error:
        reason = str(error).rpartition(" at line ")[0] or str(error)
        raise DinkuError(f"isn't JSON ({reason})", where=where, remedy="write an object in every line") from None


@dataclass(frozen=True)
class Line:
    """A text as given, and the places of its words."""

    text: str
    spans: tuple[tuple[int, int], ...]
    keys: Mapping[str, Any] = field(default_factory=dict)  # the keys that came with the text, and go with the answer

    @classmethod
    def typed(cls, text: str) -> Self:
        """A typed text with words by `dinku.data.word_boundaries`. Raises `DinkuError` if it isn't text."""
        if not isinstance(text, str):
            raise DinkuError(f"{brief(text)} isn't text", where="the text", remedy="give it as a str")
        return cls(text, tuple(words(text)))

    @classmethod
    def joined(cls, given: Sequence[str]) -> Self:
        """Given words, joined by blanks."""
        return cls(*joined(given))

    def with_keys(self, keys: Mapping[str, Any]) -> Self:
        return replace(self, keys=keys)

    @property
    def sentence(self) -> Sentence:
        return Sentence(tuple(self.text[a:b] for a, b in self.spans))

    def read_for(self, task: Task) -> Sentence:
        """The sentence as a model of that task reads it: texts with one label are split at blanks."""
        return self.sentence if task.each == "word" else Sentence(tuple(self.text.split()))

    def answer(self, found: Tagging) -> dict[str, Any]:
        """The answer for the line as JSON: its keys, *text* and *entities*; of other tasks *words* or *classes*."""
        return {**self.keys, "text": self.text, found.task.answer: self.entities(found)}

    def entities(self, found: Tagging) -> list[dict[str, Any]]:
        """Entities, or words with their labels, with character offsets into the text as given; of a whole text its label."""
        if found.task.each != "word":
            return [{"label": span.label, "score": probability} for span, probability in found.entities()]
        out = []
        for span, probability in found.entities():
            start, end = self.spans[span.start][0], self.spans[span.end - 1][1]
            entity = {"start": start, "end": end, "label": span.label, "text": self.text[start:end]}
            out.append({**entity, "score": probability})
        return out
