"""CoNLL columns: a word a line, its tag last, a blank line after each sentence. It is what any other text is taken for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dinku.data import conll
from dinku.data.corpus import Sentence
from dinku.data.formats.format import Format
from dinku.data.formats.reading import Collected


def _read(into: Collected) -> None:
    bare = into.how.tags == "bare"
    into.take(conll.read(into.path, language=into.language, split=into.split, bare=bare))


def _write(sentences: Sequence[Sentence], path: Path) -> None:
    conll.write(sentences, path)


SUFFIXES = (".txt", ".conll", ".tsv", ".bio")
FORMAT = Format("conll", "CoNLL columns (IOB2, IOB1, IO, BIOES, BILOU)", SUFFIXES, lambda head: True, _read, _write)
