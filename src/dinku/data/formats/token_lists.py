"""JSONL with two lists a line, ``tokens`` and ``ner_tags``, as data sets for the library datasets have it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from dinku.data import task
from dinku.data.corpus import Sentence
from dinku.data.formats.format import Format, all_labelled, by_records
from dinku.data.formats.json_records import as_object, records, write_lines
from dinku.data.formats.names import namer
from dinku.data.formats.reading import Collected, keys_of
from dinku.errors import DinkuError

TOKENS, TAGS = ("tokens", "words"), ("ner_tags", "tags", "ner", "labels", "ner_labels")


def columns(names: Collection[str]) -> tuple[str, str] | None:
    """The keys of words and of tags among others, if both are there."""
    found = [next((name for name in known if name in names), "") for known in (TOKENS, TAGS)]
    return (found[0], found[1]) if all(found) else None


def _claims(record: Any) -> bool:
    if not isinstance(record, dict) or not (named := columns(record)):
        return False
    lists = [record[name] for name in named]
    return all(isinstance(each, list) and not any(isinstance(e, dict | list) for e in each) for each in lists)


def _read(into: Collected) -> None:
    namers: dict[str, Any] = {}
    for where, value in records(into.path):
        record = as_object(value, where)
        if not (named := columns(record)):
            remedy = 'write {"tokens": ["Ade"], "ner_tags": ["B-PER"]}'
            raise DinkuError("has no tokens or no ner_tags", where=where, remedy=remedy)
        tokens, tags = named
        if tags not in namers:
            namers[tags] = namer(into.path, into.how, tags)
        keys = {name: each for name, each in record.items() if name not in named}
        into.tagged(record[tokens], namers[tags](record[tags], where), where, keys)


def _record(sentence: Sentence) -> dict[str, Any]:
    keys = keys_of(sentence, *TOKENS, *TAGS)
    return keys | {"tokens": list(sentence.words), "ner_tags": list(sentence.tags or ())}


def _write(sentences: Iterable[Sentence], path: Path) -> None:
    all_labelled(sentences, path)
    write_lines(path, sentences, _record)


FORMAT = Format(
    "jsonl",
    "JSONL of tokens and ner_tags",
    (".jsonl", ".json"),
    by_records(_claims),
    _read,
    _write,
    tasks=(task.NER, task.TAGS),
)
