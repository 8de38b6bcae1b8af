"""JSONL whose spans count bytes of UTF-8, as in XTREME-UP: ``{"text": …, "spans": [{"start_byte": …, "limit_byte": …}]}``."""

from __future__ import annotations

from typing import Any

from dinku.data.formats.format import Format, by_records
from dinku.data.formats.json_records import as_object, entries, is_marks, records
from dinku.data.formats.reading import Collected, check_text
from dinku.errors import DinkuError, brief

_NAMES = ("start_byte", "limit_byte", "label")


def _claims(record: Any) -> bool:
    return isinstance(record, dict) and "text" in record and is_marks(record.get("spans"), *_NAMES)


def _read(into: Collected) -> None:
    for where, value in records(into.path):
        record = as_object(value, where)
        text = record.get("text")
        if not isinstance(text, str) or "spans" not in record:
            raise DinkuError("has no text with spans", where=where, remedy='write {"text": "…", "spans": […]}')
        check_text(text, where)
        # The character at each byte; bytes within a character are none.
        byte, ends = 0, {0: 0}
        for at, character in enumerate(text, 1):
            byte += len(character.encode())
            ends[byte] = at
        marks = []
        for start, end, label in entries(record["spans"], _NAMES, where, "spans"):
            if type(start) is not int or type(end) is not int or start not in ends or end not in ends:
                problem = f"the span of bytes {brief(start)}–{brief(end)} doesn't begin and end with a character"
                raise DinkuError(
                    problem, where=where, remedy="check that the offsets count bytes of this text in UTF-8"
                )
            marks.append((ends[start], ends[end], label))
        keys = {name: each for name, each in record.items() if name not in ("text", "spans")}
        into.text(text, marks, where, keys)


FORMAT = Format("byte-spans", "JSONL with spans in bytes (XTREME-UP)", (".jsonl", ".json"), by_records(_claims), _read)
