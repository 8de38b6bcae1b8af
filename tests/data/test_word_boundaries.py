"""Text as typed is set apart as annotators do; nothing visible is lost, and offsets are right."""

import unicodedata
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinku.data import sources
from dinku.data.word_boundaries import words
from dinku.testing import detokenized


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ada lives in Bade.", "Ada|lives|in|Bade|."),
        ("'yan Jos, m'owo! ng' n’afọ", "'yan|Jos|,|m'owo|!|ng'|n’afọ"),
        ("(U.S.) 3,000.5 a@b.c", "(|U|.|S|.|)|3|,|000|.|5|a|@|b|.|c"),
        ("Akwa-Ibom - x' ''y", "Akwa|-|Ibom|-|x'|''y"),
        ("ሰላም። አዲስ፣ ሰላም፡አዲስ", "ሰላም|።|አዲስ|፣|ሰላም|፡|አዲስ"),
        ("北京大学 1998年 UN", "北|京|大|学|1998|年|UN"),
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


@given(st.lists(st.from_regex(r"\A[a-z']+\Z"), max_size=5))
def test_joined_words_come_apart_again(given_words: list[str]) -> None:
    text = " ".join(given_words)
    assert [text[a:b] for a, b in words(text)] == given_words


@pytest.mark.shared
@pytest.mark.parametrize("language", ["amh", "hau", "ibo", "kin", "lug", "luo", "pcm", "swa", "wol", "yor", "zh"])
def test_the_words_of_real_sentences_are_found_again(language: str, shared: Path) -> None:
    found, of_entities = [], []
    for sentence in sources.load(f"masakhaner:{language}", "test"):
        text, spans = detokenized(sentence.words) if language != "zh" else ("".join(sentence.words), [])
        spans = spans or [(i, i + 1) for i in range(len(text))]
        there = {*words(text)}
        hits = [span in there for span in spans]
        found += hits
        of_entities += [hit for hit, tag in zip(hits, sentence.tags or (), strict=True) if tag != "O"]
    assert np.mean(found) > (0.98 if language != "zh" else 0.9)
    assert np.mean(of_entities) > (0.999 if language != "zh" else 0.9)
