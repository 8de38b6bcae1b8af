"""Label Studio's JSON, tasks with their annotations, and its JSON-MIN, which has one list of labels a task.

Label Studio counts offsets in UTF-16 units, as its page's JavaScript does, whereas files that Python programs made for it
often count characters. The text that stands in each result says which was counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dinku.data.corpus import Sentence
from dinku.data.formats.format import Format, all_labelled, by_records
from dinku.data.formats.json_records import as_object, is_marks, records
from dinku.data.formats.reading import Collected, Mark, check_text, keys_of, marks_of
from dinku.errors import DinkuError, brief
from dinku.files import written

_ANSWERS = ("annotations", "completions")  # the second was its name before version 1.0
_ABOUT_MIN = ("annotator", "annotation_id", "lead_time")  # keys that JSON-MIN adds to the data


def _claims(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    if isinstance(record.get("data"), dict):
        return any(isinstance(record.get(name), list) for name in (*_ANSWERS, "predictions"))
    return any(is_marks(value, "start", "end", "labels") for value in record.values()) or any(
        name in record for name in _ABOUT_MIN
    )


def _read(into: Collected) -> None:
    for where, value in records(into.path):
        record = as_object(value, where)
        if isinstance(record.get("data"), dict):
            _task(into, record, where)
        else:
            _min(into, record, where)


def _task(into: Collected, record: dict[str, Any], where: str) -> None:
    """A task of the JSON export; of several annotations that of the ground truth is read, or else the first."""
    given: Any = next((record[name] for name in _ANSWERS if name in record), [])
    answers = given if isinstance(given, list) else []
    answers = [a for a in answers if isinstance(a, dict) and not a.get("was_cancelled")]
    if not answers:
        return into.left_out(where, "task without an annotation", "tasks without an annotation")
    if len(answers) > 1:
        note = f"{into.path}: some tasks have several annotations; the ground truth is read, or else the first"
        into.notes += [note] * (note not in into.notes)
    answer = next((a for a in answers if a.get("ground_truth")), answers[0])
    results = answer.get("result")
    if not isinstance(results, list):
        raise DinkuError("an annotation has no list of results", where=where, remedy="export it again as JSON")
    key, text = _text(record["data"], where)
    marks: list[Mark] = []
    for result in results:
        value = result.get("value") if isinstance(result, dict) else None
        if not isinstance(value, dict):
            raise DinkuError(f"a result is {brief(result)}", where=where, remedy="export it again as JSON")
        if "startOffset" in value:
            raise DinkuError("its spans are of HTML", where=where, remedy="label plain text, with <Text> and <Labels>")
        if "labels" in value:
            marks += _marks(value, text, where)
    keys = {name: each for name, each in record["data"].items() if name != key}
    if "id" in record:
        keys["id"] = record["id"]
    return into.text(text, marks, where, keys)


def _min(into: Collected, record: dict[str, Any], where: str) -> None:
    key, text = _text({n: v for n, v in record.items() if n not in ("created_at", "updated_at", "annotator")}, where)
    spans = next((name for name, value in record.items() if is_marks(value, "start", "end", "labels")), "")
    marks = [mark for value in record.get(spans, []) for mark in _marks(value, text, where)]
    into.text(text, marks, where, {name: each for name, each in record.items() if name not in (key, spans)})


def _text(data: dict[str, Any], where: str) -> tuple[str, str]:
    """The text among a task's data, and its key: *text*, or the only string."""
    names = ["text"] if "text" in data else [name for name, value in data.items() if isinstance(value, str)]
    if len(names) != 1 or not isinstance(data[names[0]], str):
        problem = f"its text may be any of {', '.join(names)}" if names else "has no text"
        raise DinkuError(problem, where=where, remedy="call the key of the text “text”")
    check_text(data[names[0]], where)
    return names[0], data[names[0]]


def _marks(value: dict[str, Any], text: str, where: str) -> list[Mark]:
    """The spans of one result, one for each of its labels, in characters."""
    start, end, labels, said = (value.get(name) for name in ("start", "end", "labels", "text"))
    if type(start) is not int or type(end) is not int or not isinstance(labels, list):
        raise DinkuError(f"a label is {brief(value)}", where=where, remedy="give start, end and labels")
    places = {"characters": (start, end)} | ({} if text.isascii() else {"UTF-16 units": _characters(text, start, end)})
    # Units first, as Label Studio counts; where the result says its text, that decides.
    for a, b in reversed(places.values()):
        if 0 <= a <= b <= len(text) and (not isinstance(said, str) or _same(text[a:b], said)):
            return [(a, b, label) for label in labels]
    if not isinstance(said, str) or not 0 <= start <= end <= len(text):
        return [(start, end, label) for label in labels]  # which says where it doesn't lie
    problem = f"a span says {said[:40]!r}, but at {start}–{end} the text has {text[start:end][:40]!r}"
    raise DinkuError(problem, where=where, remedy="export it again: the text was changed after it was labelled")


def _same(there: str, said: str) -> bool:
    """Whether a span's text is what its result says; line breaks may be written as two characters, a backslash and an n."""
    return there == said or there.replace("\n", "\\n") == said


def _characters(text: str, start: int, end: int) -> tuple[int, int]:
    """Offsets in UTF-16 units as offsets in characters; -1 for one that lies within a character or beyond the text's end."""
    units, ends = 0, {0: 0}
    for at, character in enumerate(text, 1):
        units += 1 + (character > "\uffff")
        ends[units] = at
    return ends.get(start, -1), ends.get(end, -1)


def results(text: str, marks: Sequence[Mark], scores: Sequence[float] = ()) -> list[dict[str, Any]]:
    """Spans as the results of an annotation or a prediction; ``scores`` are those of the spans."""
    units = [0]
    for character in text:
        units.append(units[-1] + 1 + (character > "\uffff"))
    out = []
    for number, (start, end, label) in enumerate(marks):
        value = {"start": units[start], "end": units[end], "text": text[start:end], "labels": [label]}
        result = {"id": str(number), "from_name": "label", "to_name": "text", "type": "labels", "value": value}
        out.append(result | ({"score": scores[number]} if scores else {}))
    return out


def task(text: str, keys: dict[str, Any], **answers: Any) -> dict[str, Any]:
    """A task for Label Studio; a number under *id* stays the task's own, and other keys are part of its data."""
    own = {"id": keys["id"]} if type(keys.get("id")) is int else {}
    return own | {"data": {n: v for n, v in keys.items() if n not in own} | {"text": text}} | answers


def _write(sentences: Iterable[Sentence], path: Path) -> None:
    all_labelled(sentences, path)
    with written(path) as file:
        for number, sentence in enumerate(sentences):
            text, marks = marks_of(sentence)
            record = task(text, keys_of(sentence, "text"), annotations=[{"result": results(text, marks)}])
            line = json.dumps(record, ensure_ascii=False, default=str)
            file.write((",\n" if number else "[\n").encode() + line.encode())
        file.write(b"\n]\n" if sentences else b"[]\n")


TITLE, SUFFIXES = "Label Studio JSON and JSON-MIN", (".json", ".jsonl")
FORMAT = Format("label-studio", TITLE, SUFFIXES, by_records(_claims), _read, _write, words=False)
