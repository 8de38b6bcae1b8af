"""The formats that dinku reads and writes: the table, how a file's format is found, and files read and written by it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dinku.data.corpus import Corpus, Sentence
from dinku.data.formats import (
    brat,
    byte_spans,
    classes,
    columns,
    conllu,
    csv_tokens,
    docbin,
    doccano,
    label_studio,
    parquet,
    prodigy,
    token_lists,
    uner,
)
from dinku.data.formats.format import Format, Head
from dinku.data.formats.json_records import records
from dinku.data.formats.reading import AS_USUAL, Collected, How
from dinku.data.task import NER
from dinku.errors import DinkuError, nearest

# CoNLL comes last: it is what no other format recognizes.
FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        brat.FORMAT,
        parquet.FORMAT,
        docbin.FORMAT,
        label_studio.FORMAT,
        token_lists.FORMAT,
        byte_spans.FORMAT,
        doccano.FORMAT,
        prodigy.FORMAT,
        conllu.FORMAT,
        uner.FORMAT,
        csv_tokens.FORMAT,
        classes.JSONL,
        classes.CSV,
        columns.FORMAT,
    )
}
CONLL = columns.FORMAT.name
SUFFIXES = tuple(dict.fromkeys(suffix for one in FORMATS.values() for suffix in one.suffixes if suffix))


def named(name: str, *, where: str, writes: bool = False) -> Format:
    """A format by its name. Raises `DinkuError` if there is none, or it can't be written where that is asked."""
    known = [each.name for each in FORMATS.values() if each.write or not writes]
    if name not in known:
        remedy = f"{nearest(name, known)}the formats are {', '.join(sorted(known))}"
        raise DinkuError(f"there is no format {name!r}" + " to write" * writes, where=where, remedy=remedy)
    return FORMATS[name]


def recognized(path: Path) -> Format:
    """The format of a file or folder, by its content. Raises `DinkuError` for JSON that no format or several recognize."""
    head = Head(path)
    if path.suffix in (".json", ".jsonl") and not head.records:
        next(records(path), None)  # which says where it isn't JSON
        raise DinkuError("holds no record", where=str(path), remedy="give it at least one sentence")
    found = [one for one in FORMATS.values() if one.recognizes(head)]
    if head.records:
        found = [one for one in found if one.name != CONLL]
        if len(found) != 1:
            names = [f.name for f in found] or sorted(f.name for f in FORMATS.values() if ".jsonl" in f.suffixes)
            problem = f"may be in the format {' or '.join(names)}"
            if not found:
                first = head.records[0]
                keys = f" (its keys are {', '.join(first)})" if isinstance(first, dict) else ""
                problem = f"is JSON whose first records tell no format{keys}"
            remedy = f"say which of {', '.join(names)} it is, as in {names[0]}:{path.name}"
            raise DinkuError(problem, where=str(path), remedy=remedy)
    return found[0]


def read(path: Path, how: How = AS_USUAL, *, language: str = "", split: str = "") -> Corpus:
    """The corpus in a file, or in a folder of brat, named by its path. Raises `DinkuError` for what can't be read.

    >>> import tempfile, json
    >>> path = Path(tempfile.mkdtemp()) / "mine.jsonl"
    >>> _ = path.write_text(json.dumps({"text": "Ade ba Kano.", "label": [[7, 11, "LOC"]]}))
    >>> read(path).sentences[0].tags
    ('O', 'O', 'B-LOC', 'O')
    """
    into = Collected(path, how, language, split)
    form = FORMATS[how.form] if how.form else recognized(path)
    form.read(into)
    return into.corpus()


def write(sentences: Corpus | Sequence[Sentence], path: Path, form: str) -> None:
    """Write a corpus, or sentences with entities, to a path in a format. Raises `DinkuError` for what the format can't say."""
    task = sentences.task if isinstance(sentences, Corpus) else NER
    known = named(form, where=str(path), writes=True)
    if task not in known.tasks:
        able = [each.name for each in FORMATS.values() if task in each.tasks and each.write]
        problem = f"{form} can't hold {task.title}"
        raise DinkuError(problem, where=str(path), remedy=f"choose {' or '.join(able)}")
    assert known.write  # `named` has seen to it
    known.write(sentences, path)
