"""JSONL of spaCy and Prodigy: texts with spans or entities in characters, with Prodigy's tokens and answers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dinku.data.corpus import Sentence
from dinku.data.formats.format import Format, all_labelled, by_records
from dinku.data.formats.json_records import as_object, entries, is_marks, is_triples, records, write_lines
from dinku.data.formats.reading import Collected, keys_of, marks_of, text_of
from dinku.errors import DinkuError, brief

_NAMES = ("start", "end", "label")
_LISTS = ("spans", "entities")


def _claims(record: Any) -> bool:
    given = _unpaired(record)
    if not isinstance(given, dict) or not isinstance(given.get("text"), str):
        return False
    marked = any(is_marks(given.get(name), *_NAMES) for name in _LISTS) or is_triples(given.get("entities"))
    return marked or given is not record or "_input_hash" in given


def _unpaired(record: Any) -> Any:
    """spaCy 2's pair of a text and its annotations as one object; any other record as it is."""
    if isinstance(record, list) and len(record) == 2 and isinstance(record[1], dict) and "entities" in record[1]:
        return record[1] | {"text": record[0]}
    return record


def _read(into: Collected) -> None:
    for where, value in records(into.path):
        record = as_object(_unpaired(value), where)
        if record.get("answer", "accept") != "accept":
            into.left_out(where, "example not accepted", "examples not accepted")
            continue
        spans = next((name for name in _LISTS if name in record), "")
        if "text" not in record or not (spans or "answer" in record):
            lacks = "spans" if "text" in record else "text"
            remedy = 'write {"text": "…", "spans": [{"start": 0, "end": 3, "label": "PER"}]}'
            raise DinkuError(f"has no {lacks}", where=where, remedy=remedy)
        marks = [(a, b, label) for a, b, label in entries(record.get(spans) or [], _NAMES, where, "spans")]
        keys = {name: each for name, each in record.items() if name not in ("text", "tokens", *_LISTS)}
        into.text(record["text"], marks, where, keys, _tokens(record, where))


def _tokens(record: dict[str, Any], where: str) -> list[tuple[int, int]] | None:
    """The words that Prodigy's tokens are; those of white space alone are none."""
    if "tokens" not in record:
        return None
    text, out, last = record["text"], [], 0
    for start, end in entries(record["tokens"], ("start", "end"), where, "tokens"):
        if type(start) is not int or type(end) is not int or not last <= start < end <= len(text):
            problem = f"the token {brief(start)}–{brief(end)} doesn't follow the one before it in the text"
            raise DinkuError(problem, where=where, remedy="export it again, or leave the tokens out")
        last = end
        if text[start:end].strip():
            out.append((start, end))
    return out


def _record(sentence: Sentence) -> dict[str, Any]:
    text, marks = marks_of(sentence)
    offsets = text_of(sentence)[1]
    tokens = [{"text": text[a:b], "start": a, "end": b, "id": i} for i, (a, b) in enumerate(offsets)]
    spans = [dict(zip(_NAMES, mark, strict=True)) for mark in marks]
    return keys_of(sentence, "text", "tokens", *_LISTS) | {"text": text, "tokens": tokens, "spans": spans}


def _write(sentences: Iterable[Sentence], path: Path) -> None:
    all_labelled(sentences, path)
    write_lines(path, sentences, _record)


FORMAT = Format("prodigy", "JSONL of spaCy and Prodigy", (".jsonl", ".json"), by_records(_claims), _read, _write)
