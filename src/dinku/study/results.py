"""The rows of a study: appended to a file as they come, and read back from it.

A study's folder ``results/<study>/`` holds

- ``rows.jsonl``: one row on each line;
- ``counts.archive``: the counts by sentence of each row, so that any paired test can be made later (`dinku.study.archive`); in
  older folders, ``counts/`` has a file for each row, which is read as well;
- ``answers/``: the tag of each word; may be missing;
- ``failures.jsonl``: the steps that failed and haven't succeeded since;
- ``study.json``: the study;
- ``current.json``: the study's definition as of its last run (`dinku.study.current`).

Counts are stored, and ratios are derived from them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from errno import EACCES, ENOTDIR
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from dinku.errors import DinkuError
from dinku.files import content, locked, os_errors_as_dinku, written
from dinku.scoring.answers import Answers
from dinku.scoring.counts import AGAIN, Counts, count
from dinku.study.archive import Archive
from dinku.study.rows import Failure, Row

_Kind = TypeVar("_Kind", Row, Failure)


@dataclass(frozen=True)
class Results:
    """The rows of one study in a folder of their own."""

    folder: Path

    @property
    def _file(self) -> Path:
        return self.folder / "rows.jsonl"

    def rows(self) -> list[Row]:
        """All rows in the order of their keys, each key once. A last line that a kill cut short is ignored.

        Raises `DinkuError` for a line that isn't a row, and for lines that contradict each other about the same fact.
        """
        state = self._file.stat() if self._file.exists() else None
        version = (state.st_mtime_ns, state.st_ctime_ns, state.st_ino, state.st_size) if state else None
        if self._known.get("version") != version or version is None:
            self._known.update(version=version, rows=[row for _, row in sorted(self._read().items())])
        return list(self._known["rows"])

    @cached_property
    def _known(self) -> dict[str, Any]:
        """The rows that `rows` read last, and the version of the file."""
        return {}

    def complete(self) -> frozenset[tuple[str, ...]]:
        """The keys of complete rows: quality rows need their counts."""
        rows, archived = self.rows(), self._archive.names
        old = self._old_counts.stat().st_mtime_ns if self._old_counts.exists() else None
        version = (self._known.get("version"), self._archive.version, old)
        if self._known.get("complete_version") != version or version[0] is None:
            entries = os.scandir(self._old_counts) if old else ()
            there = {*archived, *(entry.name for entry in entries if entry.is_file())}
            keys = frozenset(row.key for row in rows if row.kind != "quality" or row.counts_file in there)
            self._known.update(complete_version=version, complete=keys)
        found: frozenset[tuple[str, ...]] = self._known["complete"]
        return found

    def _read(self) -> dict[tuple[str, ...], Row]:
        known: dict[tuple[str, ...], Row] = {}
        lines: dict[tuple[str, ...], int] = {}
        for number, row in self._records(self._file, Row, self._known.setdefault("lines", {})):
            key = row.key
            first, other = lines.setdefault(key, number), known.setdefault(key, row)
            if other is not row:
                known[key] = min(other, row, key=_line)  # whichever line stands first
            if other.spans != row.spans:
                problem = f"contradicts line {first} about the same fact"
                raise DinkuError(problem, where=f"{self._file}:{number}", remedy="remove the line that is wrong")
        return known

    def _records(self, file: Path, kind: type[_Kind], seen: dict[bytes, _Kind]) -> Iterator[tuple[int, _Kind]]:
        """The lines of a file with their numbers; blank ones, and a last one that was cut short, left out.

        ``seen`` keeps the row of each line, so that a run that adds rows doesn't parse the others again.
        """
        lines: list[bytes] = []
        with (
            os_errors_as_dinku(file, reading=True),
            suppress(FileNotFoundError),
        ):  # the file of failures is removed when the last one is mended
            lines = content(file).split(b"\n")
        for number, line in enumerate(lines, 1):
            if not line.strip() or (number == len(lines) and not _is_whole(line)):
                continue
            where = f"{file}:{number}"
            if line in seen:
                yield number, seen[line]
                continue
            try:
                row = kind.model_validate_json(line)
            except ValidationError as error:
                first = error.errors()[0]
                problem, remedy = f"is damaged ({first['msg']})", "restore it, or remove the line"
                if first["type"] != "json_invalid":
                    at = "".join(f"{part}: " for part in [".".join(map(str, first["loc"]))] if part)
                    problem = f"isn't a row of this version of dinku ({at}{first['msg']})"
                    remedy = "read it with the version that wrote it, or move the file away"
                raise DinkuError(problem, where=where, remedy=remedy) from None
            if row.study != self.folder.name:
                problem = f"is a row of the study {row.study!r}"
                raise DinkuError(problem, where=where, remedy=f"keep it in a folder named {row.study}")
            yield number, seen.setdefault(line, row)

    @property
    def _failed(self) -> Path:
        return self.folder / "failures.jsonl"

    def failures(self) -> list[Failure]:
        """The steps that failed and haven't succeeded since, in the order of their addresses."""
        return sorted((f for _, f in self._records(self._failed, Failure, {})), key=lambda failure: failure.address)

    def fail(self, failure: Failure) -> Failure:
        """Record a failure; it replaces an earlier one at its address and counts its attempts on."""
        with locked(self.folder / ".lock"):
            known = {other.address: other for other in self.failures()}
            attempts = known[failure.address].attempts if failure.address in known else 0
            known[failure.address] = failure = failure.model_copy(update={"attempts": attempts + 1})
            self._keep(known.values())
        return failure

    def mend(self, addresses: Collection[str]) -> None:
        """Drop the failures at addresses whose step has succeeded."""
        if any(failure.address in addresses for failure in self.failures()):
            with locked(self.folder / ".lock"):
                self._keep([failure for failure in self.failures() if failure.address not in addresses])

    def _keep(self, failures: Collection[Failure]) -> None:
        if failures:
            with written(self._failed) as file:
                file.writelines(_line(failure) for failure in failures)
        else:
            self._failed.unlink(missing_ok=True)

    def add(self, row: Row, counts: Counts | None = None, answers: Answers | None = None) -> None:
        """Append a row, after its answers and counts. Does nothing if a row with its key is there with its counts.

        A row whose counts are missing is replaced, as the new measurement may differ.
        """
        self.add_all([(row, counts, answers)])

    def add_all(self, measured: Sequence[tuple[Row, Counts | None, Answers | None]]) -> None:
        """`add` several rows of different keys, and write each file once."""
        with locked(self.folder / ".lock"):
            missing = {row.key for row in self._missing([row for row, _, _ in measured])}
            new = [each for each in measured if each[0].key in missing]
            if not new:
                return
            for row, _, answers in new:
                if answers is not None:
                    self._keep_answers(row, answers)
            if counted := {row.counts_file: counts.to_bytes() for row, counts, _ in new if counts is not None}:
                self._archive.append(counted)
            self._append([row for row, _, _ in new])

    def extend(self, other: Results) -> int:
        """Append the complete rows of another folder that aren't complete here, after their counts and answers; and the failures
        of steps that didn't fail here. Returns the number of rows."""
        with locked(self.folder / ".lock"):
            new = self._missing([row for row in other.rows() if other.has_counts(row)])
            quality = [row for row in new if row.kind == "quality"]
            for row in quality:
                if (answers := other.answers(row)) is not None:
                    self._keep_answers(row, answers)
            self._archive.append({row.counts_file: other.counts(row).to_bytes() for row in quality})
            self._append(new)
            if failures := other.failures():
                self._keep({failure.address: failure for failure in (*failures, *self.failures())}.values())
        return len(new)

    def _missing(self, rows: Sequence[Row]) -> list[Row]:
        """Those of the rows that aren't here with their counts. Rows that are here without counts are removed."""
        here = {row.key: row for row in self.rows()}
        missing = [row for row in rows if row.key not in here or not self.has_counts(here[row.key])]
        if lost := {row.key for row in missing} & here.keys():
            with written(self._file) as file:
                file.writelines(_line(row) for row in here.values() if row.key not in lost)
        return missing

    @cached_property
    def _archive(self) -> Archive:
        """The counts, by the name of their row."""
        return Archive(self.folder / "counts.archive")

    @property
    def _old_counts(self) -> Path:
        """The folder with a file of counts for each row that older versions wrote; it is only read."""
        return self.folder / "counts"

    def _keep_answers(self, row: Row, answers: Answers) -> None:
        with os_errors_as_dinku(self.folder):
            (self.folder / "answers").mkdir(exist_ok=True)
        answers.save(self.folder / "answers" / row.counts_file)

    def _append(self, rows: Sequence[Row]) -> None:
        with os_errors_as_dinku(self._file), open(self._file, "ab+") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
            if file.read() not in (b"", b"\n"):
                before, end, last = self._file.read_bytes().rpartition(b"\n")
                if _is_whole(last):
                    file.write(b"\n")
                else:
                    file.truncate(len(before) + len(end))  # a line that a kill cut short
            file.writelines(map(_line, rows))
            file.flush()
            os.fsync(file.fileno())

    def check_writable(self) -> None:
        """Raise `DinkuError`, of status 1, if rows can't be written; creates nothing."""
        place = next(path for path in (self.folder, *self.folder.absolute().parents) if path.exists())
        with os_errors_as_dinku(self.folder):
            if not place.is_dir():
                raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR))
            if not os.access(place, os.W_OK | os.X_OK):
                raise PermissionError(EACCES, os.strerror(EACCES))

    def describe(self, study: str) -> None:
        """Keep the study itself beside its rows, as ``study.json``, so that they can be read without its file."""
        file = self.folder / "study.json"
        if file.exists() and file.read_text(encoding="utf-8") == study:
            return
        with locked(self.folder / ".lock"), written(file) as out:
            out.write(study.encode())

    def has_counts(self, row: Row) -> bool:
        """Whether the counts behind a row exist; without them a quality row isn't complete."""
        name = row.counts_file
        return row.kind != "quality" or name in self._archive.names or (self._old_counts / name).is_file()

    def counts(self, row: Row) -> Counts:
        """The counts by sentence behind a quality row; raises `DinkuError` if they are missing or contradict the row."""
        name = row.counts_file
        kept = self._counted.get(name)
        if kept and kept[0] == row.spans:
            return kept[1]
        where = f"{self._archive.path}{os.sep}{name}"
        if (data := self._archive.get(name)) is not None:
            counts = Counts.from_bytes(data, where=where, checked=True)  # by the archive
        elif (old := self._old_counts / name).exists():
            where = str(old)
            counts = Counts.load(old)
        else:
            raise DinkuError("isn't there", where=where, remedy=AGAIN)
        if totals(counts) != row.spans:
            raise DinkuError("doesn't add up to its row", where=where, remedy=AGAIN)
        self._counted[name] = row.spans, counts
        return counts

    @cached_property
    def _counted(self) -> dict[str, tuple[Any, Counts]]:
        """The counts read so far, with the totals of their rows, because a report asks for them repeatedly."""
        return {}

    def answers(self, row: Row) -> Answers | None:
        """The tag of each word, or ``None`` if answers weren't saved; raises `DinkuError` if they contradict the row."""
        path = self.folder / "answers" / row.counts_file
        if not path.is_file():
            return None
        answers = Answers.load(path)
        if row.kind != "quality" or totals(count(answers.gold, answers.found, task=row.task_of)) != row.spans:
            raise DinkuError("doesn't add up to its row", where=str(path), remedy="restore the file, or remove it")
        return answers


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Rows in the order of their keys, so that results don't depend on the order in which they were written."""
    return sorted(rows, key=lambda row: row.key)


def _line(row: Row | Failure) -> bytes:
    return row.model_dump_json(exclude_none=True).encode() + b"\n"


def _is_whole(line: bytes) -> bool:
    """Whether a last line without a line break is complete nevertheless."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def totals(counts: Counts) -> dict[str, dict[str, tuple[int, int, int]]]:
    """Gold, predicted and correct spans by reading and label, over all sentences."""
    return {
        reading: {label: (n[0], n[1], n[2]) for label, n in zip(counts.labels, table, strict=True)}
        for reading, table in zip(("default", "strict"), counts.totals_of_both(), strict=True)
    }


def documents(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [json.loads(row.model_dump_json(exclude_none=True)) for row in rows]
