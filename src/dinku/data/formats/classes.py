"""Texts with one label each: CSV or TSV with a row a text, whose columns are named in the first row, and JSONL."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dinku.data.corpus import Sentence
from dinku.data.formats.format import Format, Head, all_labelled, by_records
from dinku.data.formats.json_records import as_object, decoded, records, write_lines
from dinku.data.formats.reading import Collected, How, keys_of, text_of
from dinku.data.task import CLASSES
from dinku.errors import DinkuError, plural
from dinku.files import written

# Names of columns, in lower case, in the order in which they are looked for.
TEXT = ("text", "tweet", "sentence", "utterance", "content", "review", "comment", "document", "headline")
LABEL = ("label", "class", "category", "sentiment", "topic", "intent", "labels")


def columns(names: Collection[str], how: How) -> tuple[list[str], str] | None:
    """The columns of the text and of the label, by what was asked or by their usual names; ``None`` if one isn't there."""
    lower = {name.strip().lower(): name for name in reversed([*names])}
    texts = how.text.split() or [next((name for name in TEXT if name in lower), "")]
    label = how.label or next((name for name in LABEL if name in lower), "")
    found = [lower.get(name.lower(), "") for name in (*texts, label)]
    return (found[:-1], found[-1]) if all(found) and found[-1] not in found[:-1] else None


def _lacking(names: Sequence[str], where: str) -> DinkuError:
    problem = f"has the columns {', '.join(names)}"
    remedy = "name them text and label, or say which they are: text=NAME&label=NAME"
    return DinkuError(problem, where=where, remedy=remedy)


def take(into: Collected, row: dict[str, Any], named: tuple[list[str], str], where: str) -> None:
    """Give a row's text and label to what is read; several texts are joined by blanks."""
    texts, label = named
    lacking = [name for name in (*texts, label) if row.get(name) is None]
    if lacking:
        raise DinkuError(f"has no {lacking[0]}", where=where, remedy="give each text a label, and each label a text")
    parts = [row[name] for name in texts]
    text = parts[0] if len(parts) == 1 else " ".join(map(str, parts))
    keys = {name: value for name, value in row.items() if name not in (*texts, label)}
    into.classified(text, row[label], where, keys)


def _cells(path: Path, how: How) -> Iterator[tuple[int, list[str]]]:
    """(last line, cells) for each row. Cells of CSV may stand in quotes and then hold line breaks; those of TSV may if asked."""
    text = decoded(path).lstrip("\r\n")
    first = text.partition("\n")[0]
    delimiter = max("\t,;", key=first.count)
    if how.quotes == "no" or (delimiter == "\t" and how.quotes != "yes"):
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        yield from ((number, line.split(delimiter)) for number, line in enumerate(lines, 1) if line.strip())
        return
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    limit = csv.field_size_limit(1 << 24)
    try:
        yield from ((rows.line_num, row) for row in rows if any(map(str.strip, row)))
    except csv.Error as error:
        remedy = "save it as CSV once more, cells with quotes in quotes, or read it with quotes=no"
        raise DinkuError(f"isn't CSV ({error})", where=f"{path}:{rows.line_num}", remedy=remedy) from None
    finally:
        csv.field_size_limit(limit)


def _recognizes_csv(head: Head) -> bool:
    if head.path.suffix not in (".csv", ".tsv") or not head.lines:
        return False
    first = head.lines[0].lstrip("\ufeff")
    names = [name.strip('"') for name in first.split(max("\t,;", key=first.count))]
    return columns(names, How()) is not None


def _read_csv(into: Collected) -> None:
    rows = _cells(into.path, into.how)
    _, head = next(rows, (0, []))
    where = f"{into.path}:1"
    if not (named := columns(head, into.how)):
        raise _lacking(head, where)
    if twice := next((name for name in (*named[0], named[1]) if head.count(name) > 1), ""):
        raise DinkuError(f"has two columns {twice!r}", where=where, remedy="keep one: a text has one label")
    for number, row in rows:
        where = f"{into.path}:{number}"
        if len(row) != len(head):
            problem = f"has {plural(len(row), 'column')} where the first row has {len(head)}"
            remedy = (
                "give a text one label, and quote cells that hold the delimiter or a line break (quotes=yes in a TSV)"
            )
            raise DinkuError(problem, where=where, remedy=remedy)
        take(into, dict(zip(head, row, strict=True)), named, where)


def _write_csv(sentences: Iterable[Sentence], path: Path) -> None:
    all_labelled(sentences, path)
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["text", "label"])
    rows.writerows([text_of(s)[0], *(s.tags or ())] for s in sentences)
    with written(path) as file:
        file.write(text.getvalue().encode())


def _claims(record: Any) -> bool:
    if not isinstance(record, dict) or not (named := columns(record, How())):
        return False
    texts, label = named
    value = record[label]
    single = isinstance(value, str | int) or (isinstance(value, list) and all(isinstance(e, str) for e in value))
    return isinstance(record[texts[0]], str) and single and value != []


def _read_jsonl(into: Collected) -> None:
    for where, value in records(into.path):
        record = as_object(value, where)
        if not (named := columns(record, into.how)):
            raise _lacking([*record], where)
        take(into, record, named, where)


def _record(sentence: Sentence) -> dict[str, Any]:
    return keys_of(sentence, "text", "label") | {"text": text_of(sentence)[0], "label": (sentence.tags or ("",))[0]}


def _write_jsonl(sentences: Iterable[Sentence], path: Path) -> None:
    all_labelled(sentences, path)
    write_lines(path, sentences, _record)


CSV = Format(
    "csv-classes",
    "CSV or TSV, a text and its label a row",
    (".csv", ".tsv"),
    _recognizes_csv,
    _read_csv,
    _write_csv,
    tasks=(CLASSES,),
)
JSONL = Format(
    "jsonl-classes",
    "JSONL of text and label",
    (".jsonl", ".json"),
    by_records(_claims),
    _read_jsonl,
    _write_jsonl,
    tasks=(CLASSES,),
)
