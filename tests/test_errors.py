"""How messages count."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dinku
from dinku.data.corpus import Corpus, Sentence
from dinku.errors import DinkuError, plural


def test_one_thing_is_singular() -> None:
    assert [plural(n, "sentence") for n in (0, 1, 2, 1234)] == [
        "0 sentences",
        "1 sentence",
        "2 sentences",
        "1,234 sentences",
    ]
    assert [plural(n, "recipe lacks", "recipes lack") for n in (1, 2)] == ["1 recipe lacks", "2 recipes lack"]
    with pytest.raises(DinkuError, match="a sentence of 1 word has 2 tags"):
        Sentence(("one",), ("O", "O"))
    with pytest.raises(DinkuError, match="can't sample 0 sentences"):
        Corpus("c", "", ()).sample(0, seed=0)


def test_messages_count_by_plural_alone() -> None:
    """No length is written straight before a noun in the plural."""
    nouns = "sentences|words|rows|files|recipes|spans|tags|steps|trainings|lines|models|languages|layers|pieces|threads"
    straight = re.compile(rf"\{{(?:len|sum)\([^{{}}]*\}} (?:{nouns})\b")
    for path in Path(dinku.__file__).parent.rglob("*.py"):
        assert not straight.search(path.read_text(encoding="utf-8")), path.name
