"""CSV and TSV with a row a word: a column for the sentence, one for the word, one for its tag, named in the first row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from dinku.data.corpus import Sentence
from dinku.data.formats.format import Format, Head, all_labelled
from dinku.data.formats.json_records import decoded
from dinku.data.formats.reading import Collected
from dinku.data.task import NER, TAGS
from dinku.errors import DinkuError
from dinku.files import written

# Names of columns, in lower case and without what isn't a letter, in the order in which they are looked for.
_SENTENCE = ("sentence", "sentenceid", "sentid", "sentenceno", "sentencenumber", "sentencenum", "docid", "document")
_WORD = ("word", "token", "words", "tokens", "form", "text")
_TAG = ("nertag", "nertags", "ner", "tag", "tags", "label", "labels", "entity", "iobtag", "iob")
_DELIMITERS = ",\t;"


def _recognizes(head: Head) -> bool:
    return bool(head.lines) and _columns(head.lines[0]) is not None


def _columns(first: str) -> tuple[str, list[int]] | None:
    """The delimiter, and the columns of sentence, word and tag, if a first row names them."""
    for delimiter in _DELIMITERS:
        names = [
            "".join(filter(str.isalpha, name.lower())) for name in next(csv.reader([first], delimiter=delimiter), [])
        ]
        found = [next((names.index(n) for n in known if n in names), -1) for known in (_SENTENCE, _WORD, _TAG)]
        if -1 not in found and len(set(found)) == 3:
            return delimiter, found
    return None


def _read(into: Collected) -> None:
    text = decoded(into.path)
    first = text.lstrip("\r\n").partition("\n")[0].rstrip("\r")
    if not (named := _columns(first)):
        remedy = "name the columns sentence, word and tag in the first row"
        raise DinkuError("has no column for the sentence, the word or the tag", where=f"{into.path}:1", remedy=remedy)
    delimiter, (sentence, word, tag) = named
    rows = csv.reader(io.StringIO(text.lstrip("\r\n"), newline=""), delimiter=delimiter, strict=True)
    width = len(next(rows))
    last, where = "", ""
    words: list[str] = []
    tags: list[str] = []
    keys: dict[str, str] = {}
    try:
        for row in rows:
            line = f"{into.path}:{rows.line_num}"
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != width:
                problem = f"has {len(row)} columns where the first row has {width}"
                raise DinkuError(problem, where=line, remedy="quote cells that hold the delimiter or a line break")
            here = row[sentence].strip() or last  # some exports name a sentence in its first row alone
            if here != last and words:
                into.tagged(words, tags, where, keys)
                words, tags = [], []
            if not words:
                where, keys, last = line, {"sentence": here}, here
            words.append(row[word])
            tags.append(row[tag].strip() or into.task.outside)
    except csv.Error as error:
        remedy = "save it as CSV once more, cells with quotes in quotes"
        raise DinkuError(f"isn't CSV ({error})", where=f"{into.path}:{rows.line_num}", remedy=remedy) from None
    if words:
        into.tagged(words, tags, where, keys)


def _write(sentences: Iterable[Sentence], path: Path) -> None:
    all_labelled(sentences, path)
    text = io.StringIO(newline="")
    rows = csv.writer(text, delimiter="\t" if path.suffix == ".tsv" else ",", lineterminator="\n")
    rows.writerow(["sentence", "word", "tag"])
    for number, sentence in enumerate(sentences, 1):
        rows.writerows([number, word, tag] for word, tag in zip(sentence.words, sentence.tags or (), strict=True))
    with written(path) as file:
        file.write(text.getvalue().encode())


FORMAT = Format("csv", "CSV or TSV, a word a row", (".csv", ".tsv"), _recognizes, _read, _write, tasks=(NER, TAGS))
