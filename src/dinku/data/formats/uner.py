"""Universal NER's files: a number, a word and its tag in columns between tabs, under the comments of CoNLL-U."""

from __future__ import annotations

import re

from dinku.data.formats.conllu import placed
from dinku.data.formats.format import Format, Head
from dinku.data.formats.json_records import decoded
from dinku.data.formats.reading import Collected
from dinku.data.spans import is_tag
from dinku.errors import DinkuError

_ROW = re.compile(r"\d+\t[^\t]+\t(\S+)(\t[^\t]*)*")


def _recognizes(head: Head) -> bool:
    rows = [line for line in head.lines if not line.startswith("#")]
    found = [_ROW.fullmatch(line) for line in rows]
    return bool(found) and all(row and is_tag(row[1]) for row in found) and rows[0].count("\t") != 9


def _read(into: Collected) -> None:
    words: list[str] = []
    tags: list[str] = []
    said: dict[str, str] = {}
    first = 0
    for number, line in enumerate([*decoded(into.path).replace("\r\n", "\n").split("\n"), ""], 1):
        if line.startswith("#") and not words:
            name, equals, value = line[1:].partition("=")
            said |= {name.strip(): value.strip()} if equals else {}
        elif line.strip():
            columns = line.split("\t")
            if len(columns) < 3 or not columns[0].isdecimal():
                remedy = "give each word its number, itself and its tag, between tabs"
                raise DinkuError("isn't a word of Universal NER", where=f"{into.path}:{number}", remedy=remedy)
            first = first if words else number
            words.append(columns[1])
            tags.append(columns[2])
        else:
            if words:
                text = said.pop("text", None)
                into.tagged(words, tags, f"{into.path}:{first}", said, *placed(words, text))
            words, tags, said = [], [], {}


FORMAT = Format("uner", "Universal NER (IOB2 in numbered columns)", (".iob2",), _recognizes, _read)
