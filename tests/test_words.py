"""Text as typed is set apart as annotators do; nothing visible is lost, and offsets are right."""

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinku.words import words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ada lives in Bade.", "Ada|lives|in|Bade|."),
        ("'yan Jos, m'owo!", "'yan|Jos|,|m'owo|!"),
        ("(U.S.) 3,000.5 a@b.c", "(|U.S|.|)|3,000.5|a@b.c"),
        ("Akwa-Ibom - x' ''y", "Akwa-Ibom|-|x|'|'|'y"),
        ("ሰላም። አዲስ፣", "ሰላም|።|አዲስ|፣"),
        ("e\u0323\u0301 o\u0323", "e\u0323\u0301|o\u0323"),
        ("\u200ba می\u200cخواهم", "a|می\u200cخواهم"),
        ("…", "…"),
        (" \t\n", ""),
        ("", ""),
    ],
)
def test_words_are_set_apart(text: str, expected: str) -> None:
    assert "|".join(text[a:b] for a, b in words(text)) == expected


@given(st.text())
def test_nothing_visible_lies_outside_of_words(text: str) -> None:
    spans = words(text)
    assert all(a < b for a, b in spans)
    assert all(first[1] <= second[0] for first, second in pairwise(spans))
    inside = {i for a, b in spans for i in range(a, b)}
    outside = [c for i, c in enumerate(text) if i not in inside]
    assert all(unicodedata.category(c)[0] in "ZC" for c in outside)


@given(st.lists(st.from_regex(r"\A[a-z]+(-[a-z]+)?\Z"), max_size=5))
def test_joined_words_come_apart_again(given_words: list[str]) -> None:
    text = " ".join(given_words)
    assert [text[a:b] for a, b in words(text)] == given_words
