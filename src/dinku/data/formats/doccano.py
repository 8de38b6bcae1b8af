"""doccano's JSONL: a text and its labels a line, in the forms of its present and its earlier versions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dinku.data.corpus import Sentence
from dinku.data.formats.format import Format, all_labelled, by_records
from dinku.data.formats.json_records import as_object, entries, is_marks, is_triples, records, write_lines
from dinku.data.formats.reading import Collected, keys_of, marks_of
from dinku.errors import DinkuError

_LISTS = ("label", "labels", "entities", "annotations")  # the key of the spans, by version and by kind of project
_TEXTS = ("text", "data")
OWN = (*_LISTS, *_TEXTS)  # keys that are doccano's


def _claims(record: Any) -> bool:
    if not isinstance(record, dict) or not any(isinstance(record.get(name), str) for name in _TEXTS):
        return False
    dated = any(is_marks(record.get(name), "label", "start_offset", "end_offset") for name in _LISTS)
    return dated or any(is_triples(record.get(name)) for name in ("label", "labels"))


def _read(into: Collected) -> None:
    names = into.how.names(str(into.path))
    for where, value in records(into.path):
        record = as_object(value, where)
        text = next((name for name in _TEXTS if name in record), "")
        spans = next((name for name in _LISTS if name in record), "")
        if not text or not spans:
            lacks = "label" if text else "text"
            raise DinkuError(f"has no {lacks}", where=where, remedy='write {"text": "…", "label": [[0, 3, "PER"]]}')
        marks = entries(record[spans], ("start_offset", "end_offset", "label"), where, "labels")
        keys = {name: each for name, each in record.items() if name not in (text, spans)}
        into.text(record[text], [(a, b, _named(label, names)) for a, b, label in marks], where, keys)


def _named(label: Any, names: dict[int, str]) -> Any:
    return names.get(label, label) if type(label) is int else label


def _record(sentence: Sentence) -> dict[str, Any]:
    """A sentence as doccano imports it, with its other keys."""
    text, marks = marks_of(sentence)
    return keys_of(sentence, *OWN) | {"text": text, "label": [list(mark) for mark in marks]}


def _write(sentences: Iterable[Sentence], path: Path) -> None:
    all_labelled(sentences, path)
    write_lines(path, sentences, _record)


FORMAT = Format("doccano", "doccano JSONL", (".jsonl", ".json"), by_records(_claims), _read, _write, words=False)
