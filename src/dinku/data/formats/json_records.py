"""Records of JSON files, each with its place: an array of records, or a record a line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from dinku.data.conll import foreign
from dinku.data.corpus import Sentence
from dinku.errors import DinkuError
from dinku.files import content, written

_BLANK = re.compile(r"[ \t\r\n]*")
_FIRST = 200  # records by which a file is recognized


def records(path: Path) -> Iterator[tuple[str, Any]]:
    """(place, record) for each record of a file, which is UTF-8. A place is *file:line*.

    Raises `DinkuError` where it isn't JSON. An array is read whole, lines as they are wanted.
    """
    text = decoded(path)
    # A line may itself be an array, as in spaCy's ["text", {"entities": …}].
    found = _in_array(text, str(path)) if re.match(r"\s*\[\s*([\[{\]]|\Z)", text) else _in_lines(text, str(path))
    yield from found


def decoded(path: Path) -> str:
    """The text of a file in UTF-8, without a byte-order mark. Raises `DinkuError` for what isn't text."""
    data = content(path)
    foreign(data, str(path))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DinkuError("isn't UTF-8", where=f"{path}:{line}", remedy="save the file as UTF-8 text") from None


def first_records(path: Path) -> list[Any]:
    """The first records of a file; those before the first error, if there is one."""
    out: list[Any] = []
    try:
        for _, record in islice(records(path), _FIRST):
            out.append(record)
    except DinkuError:
        return out
    return out


def _in_array(text: str, name: str) -> Iterator[tuple[str, Any]]:
    decoder = json.JSONDecoder()
    at, line, counted = text.index("[") + 1, 1, 0
    while True:
        at = _after_blanks(text, at)
        line, counted = line + text.count("\n", counted, at), at
        where = f"{name}:{line}"
        if text[at : at + 1] == "]":
            if text[at + 1 :].strip():
                raise DinkuError("goes on after its list of records", where=where, remedy="keep one list")
            return
        try:
            record, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise _not_json(error, name, where) from None
        yield where, record
        at = _after_blanks(text, at)
        if text[at : at + 1] == ",":
            at += 1
        elif text[at : at + 1] != "]":
            line = text.count("\n", 0, at) + 1
            raise DinkuError("isn't JSON (a comma or ] is missing)", where=f"{name}:{line}", remedy="export it again")


def _in_lines(text: str, name: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{name}:{number}"
            try:
                yield where, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise _not_json(error, name, where) from None


def _not_json(error: Exception, name: str, where: str) -> DinkuError:
    reason = error.msg if isinstance(error, json.JSONDecodeError) else "it is nested too deeply"
    if isinstance(error, json.JSONDecodeError) and error.lineno > 1 and "\n" in error.doc:
        where = f"{name}:{error.lineno}"
    remedy = "write a list of records, or a record in every line"
    return DinkuError(f"isn't JSON ({reason[0].lower()}{reason[1:]})", where=where, remedy=remedy)


def _after_blanks(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def is_marks(value: Any, *names: str) -> bool:
    """Whether a value is a list of objects that have all these keys, and isn't empty."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(e, dict) and all(n in e for n in names) for e in value)
    )


def is_triples(value: Any) -> bool:
    """Whether a value is a list of [start, end, label], and isn't empty."""
    return isinstance(value, list) and bool(value) and all(isinstance(e, list) and len(e) == 3 for e in value)


def entries(value: Any, names: Sequence[str], where: str, what: str) -> list[list[Any]]:
    """The values under ``names`` of each object in a list, or of each list as it is. Raises `DinkuError` for anything else."""
    out = []
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, dict) and all(name in each for name in names):
            out.append([each[name] for name in names])
        elif isinstance(each, list) and len(each) == len(names):
            out.append(each)
        else:
            shape = ", ".join(names)
            problem = f"one of its {what} is {json.dumps(each, ensure_ascii=False)[:80]}"
            raise DinkuError(problem, where=where, remedy=f"give each as {{{shape}}} or [{shape}]")
    return out


def as_object(record: Any, where: str) -> dict[str, Any]:
    """A record that is an object. Raises `DinkuError` for another."""
    if not isinstance(record, dict):
        raise DinkuError("isn't an object", where=where, remedy="write every record as {…}")
    return record


def write_lines(path: Path, sentences: Iterable[Sentence], record: Callable[[Sentence], Any]) -> None:
    """Write a record a line, as UTF-8; the file appears whole or not at all."""
    with written(path) as file:
        for sentence in sentences:
            file.write(json.dumps(record(sentence), ensure_ascii=False, default=str).encode() + b"\n")
