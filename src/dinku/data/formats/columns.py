"""CoNLL columns: a word a line, its tag last, a blank line after each sentence. It is what any other text is taken for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dinku.data import conll
from dinku.data.corpus import Sentence
from dinku.data.formats.format import Format
from dinku.data.formats.reading import Collected
from dinku.data.task import NER, TAGS


def _read(into: Collected) -> None:
    bare = into.how.tags == "bare"
    task = into.how.asked_task
    into.take(conll.read(into.path, language=into.language, split=into.split, bare=bare, task=task))


def _write(sentences: Iterable[Sentence], path: Path) -> None:
    conll.write(sentences, path)


SUFFIXES = (".txt", ".conll", ".tsv", ".bio")
FORMAT = Format(
    "conll",
    "CoNLL columns (IOB2, IOB1, IO, BIOES, BILOU)",
    SUFFIXES,
    lambda head: True,
    _read,
    _write,
    tasks=(NER, TAGS),
)
