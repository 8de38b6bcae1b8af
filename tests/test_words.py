"""Text as typed is set apart as annotators do; nothing visible is lost, and offsets are right."""

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinku import sources
from dinku.words import words


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


def detokenized(given_words: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """Words as one would type them, and where each is: no blank before closing punctuation, after opening, around hyphens,
    within numbers and initials."""
    text, spans, glue, quoted = "", [], True, False
    for before, word, after in zip(("", *given_words), given_words, (*given_words[1:], ""), strict=False):
        closes = re.fullmatch(r"[.,;:!?)\]%…”»።፣፤፥፦፡/–-]+", word) or (word == '""""' and quoted)
        text += "" if closes or glue else " "
        spans.append((len(text), len(text) + len(word)))
        text += word
        quoted ^= word == '""""'
        numbers = word in ".,:" and before[-1:].isdigit() and after[:1].isdigit()
        initials = word == "." and len(before) == len(after) == 1 and (before + after).isupper()
        glue = word in "([“«-–/" or (word == '""""' and quoted) or numbers or initials
    return text, spans


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
