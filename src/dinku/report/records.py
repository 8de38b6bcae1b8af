"""Rows as flat records: filtered, grouped, and laid out as a table, CSV or Parquet. Rows of several folders as one."""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from statistics import fmean, median
from types import SimpleNamespace
from typing import Any, NamedTuple

from dinku.claims.compare import ratio
from dinku.errors import DinkuError, nearest, plural
from dinku.files import written
from dinku.methods.registry import outdated
from dinku.scoring.counts import averaged
from dinku.study.current import Current
from dinku.study.results import Results
from dinku.study.rows import Row, Size

Record = dict[str, Any]
_APART = ("outdated", "split", "perturbation", "seen", "evaluated_on")  # what no mean may mix
_SIZES = frozenset([*Size.model_fields, "linear_sparsity"])
_SHORT = {"f1": "f1_default", "time": "ratio_to_dense", "download": "bytes_download", "disk": "bytes_disk"}


def records(rows: Iterable[Row], current: Mapping[str, Current] | None = None) -> list[Record]:
    """A flat record a row, quality first; F1, or a row's task's measure, in 0…1, seconds as medians over rounds.

    ``current`` holds what each study now says, by its name: what a row is of otherwise is in the column *outdated*, as are older
    versions of methods.
    """
    known = current or {}
    rows = sorted(rows, key=lambda row: row.kind, reverse=True)
    return [_record(row, known.get(row.study, Current())) for row in rows]


def _record(row: Row, current: Current) -> Record:
    where, recipe = row.environment, row.recipe
    line: Record = {"kind": row.kind, "study": row.study, "arm": row.arm}
    for key, value in sorted(row.values.items()):
        line[f"values.{key}"] = value
    line |= {
        "base": recipe["base"],
        "base_digest": row.base_digest,
        "trained_on": recipe["corpus"],
        "address": row.address,
        "seed": row.seed,
        "corpus": row.corpus,
        "language": row.language,
        "split": row.split,
        "fingerprint": row.fingerprint,
        "sentences": row.sentences,
        "sentences_in_split": row.sentences_in_split,
        "perturbation": row.perturbation,
        "seen": row.seen,
        "evaluated_on": row.evaluated_on,
    }
    line |= row.target.model_dump(exclude={"trained"}) if row.target else {}
    line |= {"cpu": where.cpu, "threads": where.threads, "commit": where.commit or "", "dirty": where.dirty}
    line["outdated"] = ", ".join(dict.fromkeys(filter(None, (current.otherwise(row), outdated(row.versions)))))
    if row.task:
        line["task"] = row.task
    for reading, table in (row.spans or {}).items():
        gold = predicted = correct = 0
        for of in table.values():
            gold, predicted, correct = gold + of[0], predicted + of[1], correct + of[2]
        f1 = averaged(table.values(), row.task_of) if row.task else 2 * correct / max(1, gold + predicted)
        line[f"f1_{reading}"] = f1
        line[f"gold_{reading}"], line[f"predicted_{reading}"], line[f"correct_{reading}"] = gold, predicted, correct
    if row.size:
        line |= row.size.__dict__
        line["linear_sparsity"] = row.size.sparsity
    if row.latency:
        line |= {f"seconds_{name}": median(getattr(row.latency, name)) for name in ("subject", "dense", "again")}
        line["ratio_to_dense"] = ratio(row)
    return line


class Merged(NamedTuple):
    """The rows of several folders, each fact once; and conflicts, where two folders disagree: (row, folder, other folder)."""

    rows: list[Row]
    conflicts: list[tuple[Row, Path, Path]]


def merged(folders: Sequence[Results]) -> Merged:
    """Rows of one key once, the first folder's. Where another's counts differ that is a conflict."""
    kept: dict[tuple[str, ...], tuple[Row, Path]] = {}
    conflicts = []
    for results in folders:
        for row in results.rows():
            first, folder = kept.setdefault(row.key, (row, results.folder))
            if first.spans != row.spans:
                conflicts.append((row, folder, results.folder))
    return Merged([kept[key][0] for key in sorted(kept)], conflicts)


def check_alike(folders: Sequence[Results]) -> None:
    """Raise `DinkuError`, of status 1, where two folders hold different counts of one fact: one isn't what its address says."""
    if conflicts := merged(folders).conflicts:
        row, first, second = conflicts[0]
        problem = f"{plural(len(conflicts), 'fact')} with other counts in {second}, such as {row_label(row)}"
        raise DinkuError(
            problem, where=str(first), remedy="measure them again in one place, or leave one out", status=1
        )


def merge(folders: Sequence[Results], target: Results) -> tuple[int, int]:
    """Add the rows of several folders to a further one, with the counts and answers behind them, and what failed.

    Says how many rows were new, and how many were left out as no folder has the counts behind them. Raises `DinkuError` before
    anything is written, as `check_alike` does.
    """
    check_alike([target, *folders])
    new = sum(target.extend(results) for results in folders)
    there = {row.key for row in target.rows()}
    return new, len({row.key for results in folders for row in results.rows()} - there)


def row_label(row: Row) -> str:
    """A row's recipe, seed, language, split and perturbation, to name it in messages."""
    return " ".join(filter(None, (row.title, f"seed {row.seed}", row.language, row.split, row.perturbation)))


def chosen(found: Sequence[Record], conditions: Iterable[str]) -> list[Record]:
    """Records that meet all conditions ``column=value``; of several on one column, any.

    Raises `DinkuError` for a condition that is none, or on a column that no record has.
    """
    wanted: dict[str, list[str]] = defaultdict(list)
    for condition in conditions:
        name, sign, value = condition.partition("=")
        if not sign:
            raise DinkuError(f"{condition!r} is no condition", where="where", remedy="write column=value")
        wanted[column(found, name, where="where")].append(value)
    return [r for r in found if all(any(_is(r.get(name), v) for v in values) for name, values in wanted.items())]


def unmet(found: Sequence[Record], conditions: Iterable[str]) -> str:
    """For the first condition that no record meets: what its column holds, and what may have been meant."""
    for condition in conditions:
        name, _, value = condition.partition("=")
        key = column(found, name, where="where")
        if not any(_is(record.get(key), value) for record in found):
            every = sorted({plain(record.get(key)) for record in found} - {""})
            there = ", ".join(every[:12]) + " …" * (len(every) > 12)
            return f"{nearest(value, every)}{key} holds {there or 'nothing'}"
    return "each is met by some row, but no row meets all"


def _is(value: Any, text: str) -> bool:
    if isinstance(value, bool):
        return text.lower() in (("true", "1", "yes") if value else ("false", "0", "no"))
    if not isinstance(value, int | float):
        return plain(value).lower() == text.lower()
    try:
        return value == float(text)
    except ValueError:
        return False


def column(found: Iterable[Record], name: str, *, where: str) -> str:
    """The column that a name means: itself, a grid's value, or a short name for it."""
    there = columns(found)
    for key in (name, f"values.{name}", _SHORT.get(name, "")):
        if key in there:
            return key
    remedy = f"{nearest(name, [*there, *_SHORT])}choose of {', '.join(there)}"
    raise DinkuError(f"there is no column {name}", where=where, remedy=remedy)


def parted(found: Sequence[Record], by: Sequence[str], value: str, across: str | None = None) -> list[str]:
    """The columns to group by so that no mean mixes what isn't comparable: ``by``, and those of `_APART` that groups differ in.

    Languages that a tagger was trained on are told from those that it never saw, clean text from perturbed, and so on. A size
    is the same on any text.
    """
    by = [column(found, name, where="by") for name in by]
    value = column(found, value, where="value")
    over = column(found, across, where="across") if across else None
    apart = _APART[:1] if value in _SIZES else _APART
    for name in (name for name in apart if name not in (*by, over)):
        within: dict[tuple[str, ...], set[str]] = defaultdict(set)
        for record in (record for record in found if record.get(value) is not None):
            group = tuple(plain(record.get(each)) for each in (*by, *filter(None, [over])))
            within[group].add(plain(record.get(name)))
        if any(len(kinds) > 1 for kinds in within.values()):
            by.append(name)
    return by


def grouped(found: Sequence[Record], by: Sequence[str], value: str, across: str | None = None) -> list[Record]:
    """The mean of a column over records that are equal ``by`` others, and how many there are; ``across`` makes a column of each
    of its values. Records without the value are left out. Groups that aren't of one kind are parted (`parted`)."""
    by = parted(found, by, value, across)
    value = column(found, value, where="value")
    if not all(isinstance(r[value], int | float) for r in found if r.get(value) is not None):
        raise DinkuError(f"{value} is no number", where="value", remedy="choose a column of numbers, such as f1")
    over = column(found, across, where="across") if across else None
    groups: dict[tuple[str, ...], dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in found:
        if record.get(value) is not None:
            groups[tuple(plain(record.get(name)) for name in by)][plain(record.get(over)) if over else value].append(
                record
            )
    kinds = {plain(record.get(over)): record.get(over) for record in found} if over else {value: value}
    names = sorted({name for group in groups.values() for name in group}, key=lambda name: _sortable(kinds[name]))
    # A value may be named as one of the other columns is.
    heads = {name: f"{over or 'mean'}={name}" if name in (*by, "rows") else name for name in names}
    out = []
    for group in groups.values():
        first = next(iter(group.values()))[0]
        line = {name: first.get(name) for name in by}
        line |= {heads[name]: fmean(r[value] for r in group[name]) if name in group else None for name in names}
        out.append(line | {"rows": sum(map(len, group.values()))})
    return sorted(out, key=lambda line: [_sortable(line[name]) for name in by])


def _sortable(value: Any) -> tuple[int, float, str]:
    number = isinstance(value, int | float)
    return (0, float(value), "") if number else (1, 0.0, plain(value))


def plain(value: Any) -> str:
    """A cell's text."""
    return "" if value is None else json.dumps(value) if isinstance(value, list | bool) else str(value)


def columns(found: Iterable[Record]) -> list[str]:
    """The columns of records, in the order in which they come."""
    kinds = dict.fromkeys(map(tuple, found))  # most records have the same
    return list(dict.fromkeys(chain.from_iterable(kinds)))


def as_csv(found: Sequence[Record]) -> str:
    """CSV, a line a record.

    Text that a spreadsheet would take for a formula, as it begins with ``=``, ``+``, ``-``, ``@``, a tab or a line break, has a
    ``'`` put before it; so has text that begins with that and a ``'`` already. Numbers stay numbers. Whoever reads a cell
    back drops one ``'`` where nothing but ``'`` stands before such a character.
    """
    heads = columns(found)
    lines: list[str] = []
    file = SimpleNamespace(write=lambda line: lines.append(line.removesuffix("\r\n")))
    writer = csv.writer(file, lineterminator="\r\n")  # with which a CR in a cell is quoted
    writer.writerow(map(_no_formula, heads))
    writer.writerows(
        [_no_formula(cell) if cell.__class__ is str and cell[:1] in _FIRST else cell for cell in map(record.get, heads)]
        for record in found
    )
    return "\n".join([*lines, ""])


_FIRST = frozenset("'=+-@\t\r\n")  # of such a cell; most cells need no closer look
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")


def _no_formula(cell: Any) -> Any:
    """A cell that no spreadsheet computes."""
    if not isinstance(cell, str) or cell[:1] not in _FIRST or not _FORMULA.match(cell) or _NUMBER.fullmatch(cell):
        return cell
    return f"'{cell}"


def write_parquet(found: Sequence[Record], path: Path) -> None:
    """Parquet, a row a record; a column that mixes kinds, as a grid's values may, is text. Needs pyarrow."""
    import pyarrow
    from pyarrow import parquet

    data = {name: [record.get(name) for record in found] for name in columns(found)}
    for name, cells in data.items():
        kinds = {type(cell) for cell in cells if cell is not None}
        if not (kinds <= {int, float} or len(kinds) < 2) or list in kinds:
            data[name] = [None if cell is None else plain(cell) for cell in cells]
    with written(path) as file:
        parquet.write_table(pyarrow.table(data), file)
