"""Words → rows: the same everywhere, and different words told apart."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from dinku.errors import DinkuError
from dinku.model import word_encoder, word_features
from dinku.model.word_encoder import WordEncoder, WordWindow
from dinku.model.word_features import KnownWords, WordFeatures, grams_of_word, shape_of_word

NAMES = ("word", "prefix1", "suffix3", "shape")


def test_rows_are_murmurhash3_of_the_features_text() -> None:
    features = WordFeatures(NAMES, rows=1000, hashes=2)
    import mmh3

    wanted = []
    for text in ("word=kano", "prefix1=k", "suffix3=ano", "shape=Xxxx"):
        low = mmh3.hash128(text.encode(), signed=False)
        wanted += [1 + (low & 0xFFFFFFFF) % 1000, 1 + (low >> 32 & 0xFFFFFFFF) % 1000]
    assert features.rows_of(["Kano"]).tolist() == [wanted]


def test_rows_are_the_same_on_every_platform() -> None:
    rows = WordFeatures(("word", "grams2-3"), rows=12_000).rows_of(["Ìbàdàn", "አዲስ"])
    assert rows[:, :4].tolist() == GOLDEN


GOLDEN = [[9908, 5175, 1257, 7622], [4444, 11562, 9215, 7763]]


def test_what_is_equal_in_nfc_has_the_same_rows() -> None:
    features = WordFeatures(NAMES, rows=5000)
    composed, apart = features.rows_of(["Ṣọlá", "S\u0323o\u0323la\u0301"])
    assert np.array_equal(composed, apart)


@pytest.mark.parametrize(
    ("word", "shape"),
    [("Kano", "Xxxx"), ("KANOOOOO", "XXXX"), ("ouagadougou", "xxxx"), ("2024-05", "dddd-dd"), ("አዲስ", "xxx"), ("", "")],
)
def test_shape_of_a_word(word: str, shape: str) -> None:
    assert shape_of_word(word) == shape


def test_grams_of_a_long_word_are_its_first_and_last_ones() -> None:
    word = "abcdefghijklmnopqrstuvwxyz"
    grams = grams_of_word(word, 3)
    assert len(grams) == word_features.MOST_GRAMS
    assert grams[0] == "<ab"
    assert grams[-1] == "yz>"
    assert grams[7] == "ghi"
    assert grams[8] == "rst"
    assert grams_of_word("a", 5) == []


@pytest.mark.parametrize("names", [("words",), ("prefix0",), ("prefix10",), ("grams4-2",), (), ("word", "word")])
def test_features_that_there_are_not(names: tuple[str, ...]) -> None:
    with pytest.raises(DinkuError):
        WordFeatures(names, rows=10)


def test_odd_words_have_rows() -> None:
    rows = WordFeatures((*NAMES, "grams1-9"), rows=100).rows_of(["", " ", "\u200b", "🙂" * 300, "\ud800", "ß"])
    assert rows.shape == (6, 4 * (4 + 9 * word_features.MOST_GRAMS))
    assert rows.min() == 0
    assert rows.max() <= 100


def test_known_words_are_numbered_once() -> None:
    features = WordFeatures(NAMES, rows=1000)
    known = KnownWords(features, first=7)
    numbers = known.numbers(["a", "b", "a"])
    assert numbers.tolist() == [7, 8, 7]
    assert len(known) == 2
    assert known.numbers(["c", "b"]).tolist() == [9, 8]
    assert np.array_equal(known.rows(numbers), features.rows_of(["a", "b", "a"]))


def test_words_that_are_forgotten_stay_right_in_windows_made_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_encoder, "REMEMBERED", 3)
    encoder = WordEncoder(WordFeatures(NAMES, rows=1000), reach=2)
    sentences = [["a", "b", "a"], ["c", "b", "d"], ["e", "a"], ["a", "f", "b"]]
    windows = [encoder.windows([words])[0] for words in sentences]
    assert len({id(w.known) for w in windows}) > 1
    batch = encoder.batch(windows)
    found = batch.rows[0][batch.places[0][batch.places[0] > 0] - 1]
    assert np.array_equal(found, encoder.features.rows_of([word for words in sentences for word in words]))


def test_threads_that_share_known_words_read_the_same() -> None:
    known = KnownWords(WordFeatures(NAMES, rows=1000))
    words = [f"w{i % 700}" for i in range(5000)]
    wanted = WordFeatures(NAMES, rows=1000).rows_of(words)
    found = []
    threads = [threading.Thread(target=lambda k=k: found.append((k, known.numbers(words[k:])))) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(np.array_equal(known.rows(numbers), wanted[k:]) for k, numbers in found)


def test_windows_of_a_long_sentence_read_what_changes_their_answers() -> None:
    encoder = WordEncoder(WordFeatures(NAMES, rows=1000), reach=3, length=10)
    words = [f"w{i}" for i in range(25)]
    windows = encoder.windows([["x"], words, []])
    assert [w.sentence for w in windows] == [0, 1, 1, 1]
    assert [w.words.tolist() for w in windows[1:]] == [[*range(10)], [*range(10, 20)], [*range(20, 25)]]
    assert [(w.lead, w.size) for w in windows[1:]] == [(0, 13), (3, 16), (3, 8)]
    assert all(map(np.array_equal, (w.numbers for w in _finished(encoder, words)), (w.numbers for w in windows[1:])))


def _finished(encoder: WordEncoder, words: list[str]) -> list[WordWindow]:
    stretches = encoder.stretches(words, 7)

    windows = []

    def keep() -> Iterator[None]:
        windows.extend((yield from stretches))

    list(keep())
    return windows


def test_a_batch_reads_each_word_once_and_scores_every_word_in_order() -> None:
    encoder = WordEncoder(WordFeatures(NAMES, rows=1000), reach=2, length=4)
    sentences = [["a", "b", "a"], ["c"], ["a", "d", "e", "f", "g", "b"]]
    batch = encoder.batch(encoder.windows(sentences))
    assert batch.rows.shape == (1, 7, 16)
    places = batch.places[0]
    assert places[0] == places[-1] == 0
    scored = batch.scored(places[None, :, None])[:, 0]
    flat = [word for words in sentences for word in words]
    numbered = dict(zip(flat, scored.tolist(), strict=True))
    assert [numbered[word] for word in flat] == scored.tolist()
    assert len(set(numbered.values())) == 7
