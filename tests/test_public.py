"""What ``import dinku`` offers: each name is there, is light to import, says how it is used, and shows itself briefly."""

from __future__ import annotations

import doctest
import subprocess
import sys

import pytest

import dinku
from dinku.scoring.counts import count
from dinku.testing import tiny_corpus, tiny_tagger

NAMES = [name for name in dinku.__all__ if name != "__version__"]


def test_every_name_is_offered_and_nothing_else() -> None:
    assert {*dinku._MODULES, "export", "__version__"} == {*dinku.__all__}
    assert {name: getattr(dinku, name).__name__ for name in NAMES} == {name: name for name in NAMES}
    with pytest.raises(AttributeError, match="module 'dinku' has no attribute 'compresss'"):
        dinku.compresss  # noqa: B018


@pytest.mark.parametrize("name", NAMES)
def test_its_docstring_has_an_example_that_runs(name: str) -> None:
    (test,) = doctest.DocTestFinder(recurse=False).find(getattr(dinku, name), name, globs={})
    assert test.examples
    said: list[str] = []
    failed, _ = doctest.DocTestRunner().run(test, out=said.append)
    assert not failed, "".join(said)


def test_export_is_the_function_however_its_folder_is_reached() -> None:
    code = """
import dinku.export.pipeline, dinku
from dinku import export
from dinku.export import gate
assert export is dinku.export is dinku.export.__globals__["export"] and gate.__name__ == "dinku.export.gate"
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_large_shows_itself_briefly() -> None:
    tagger, corpus = tiny_tagger(), tiny_corpus(300)
    assert repr(corpus) == "Corpus(tiny train: 300 sentences, one, two)"
    assert repr(tagger) == "Tagger(2 layers, 0.0 M, LOC PER)"
    assert repr(tiny_tagger(tags=())) == "Tagger(2 layers, 0.0 M, no tags)"
    gold = [sentence.tags or () for sentence in corpus]
    assert repr(count(gold, gold)).startswith("Counts(F1 100.0, ")
