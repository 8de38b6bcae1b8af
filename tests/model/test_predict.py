"""Engine, encoding and tags → tags of words, entities, and what `predict` says of a line."""

from __future__ import annotations

import numpy as np
import pytest

from dinku.data.corpus import Corpus, Sentence
from dinku.data.spans import Span
from dinku.errors import DinkuError
from dinku.model.encode import SubwordBatch
from dinku.model.predict import evaluate, tag
from dinku.model.windows import Batch, Logits
from dinku.scoring.tagging import Tagging
from dinku.serving.lines import Line
from dinku.testing import TAGS, tiny_tagger


class Echo:
    """An engine whose best tag is the subword's id modulo the number of tags, by a margin of two."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, ...]] = []

    def logits(self, batch: Batch) -> Logits:
        assert isinstance(batch, SubwordBatch)
        self.sizes.append(batch.ids.shape)
        winners = batch.ids[batch.rows, batch.columns] % len(TAGS)
        return (2.0 * np.eye(len(TAGS))[winners]).astype(np.float32)


def expected(words: tuple[str, ...]) -> list[str]:
    tokenizer = tiny_tagger().tokenizer.backend_tokenizer
    ids = [tokenizer.encode([w], is_pretokenized=True, add_special_tokens=False).ids for w in words]
    return [TAGS[i[0] % len(TAGS)] if i else "O" for i in ids]


def test_answers_for_other_tags_are_refused() -> None:
    for tags in (TAGS[:-1], (*TAGS, "B-DATE")):
        with pytest.raises(DinkuError, match=f"answers with {len(TAGS)} logits a word, and has {len(tags)} tags"):
            tag(Echo(), tiny_tagger().encoder, tags, [Sentence(("Bade",))])


def test_tags_come_back_to_their_words_in_the_order_given() -> None:
    encoder, engine = tiny_tagger().encoder, Echo()
    sentences = [Sentence(("Bade", "", "kilo")), Sentence(()), Sentence(("wa",) * 100), Sentence(("Adeba",))]
    found = tag(engine, encoder, TAGS, sentences, tokens=100, most=2)
    assert [list(t.tags) for t in found] == [expected(s.words) for s in sentences]
    assert all(rows * columns <= 100 or rows == 1 for rows, columns in engine.sizes)
    share = float(np.exp(2) / (np.exp(2) + len(TAGS) - 1))
    np.testing.assert_allclose(found[0].scores, [share, 1.0, share], atol=1e-6)


def test_progress_counts_windows() -> None:
    said: list[tuple[int, int]] = []
    tag(
        Echo(),
        tiny_tagger().encoder,
        TAGS,
        [Sentence(("wa",))] * 5,
        most=2,
        progress=lambda n, of: said.append((n, of)),
    )
    assert said == [(2, 5), (4, 5), (5, 5)]


def test_evaluation_counts_against_gold() -> None:
    words = ("Bade", "kilo", "muna", "Adeba")
    gold = tuple(expected(words))
    corpus = Corpus("c", "test", (Sentence(words, gold, "x"), Sentence(words, ("O",) * 4, "y")))
    counts = evaluate(Echo(), tiny_tagger().encoder, TAGS, corpus)
    assert counts.by_language()["x"].f1 == 1.0
    assert counts.by_language()["y"].f1 == 0.0
    assert counts.words.tolist() == [4, 4]


def test_entities_and_their_offsets() -> None:
    line = Line.typed(" Ana  Ana\tLee-Ann, in Rio. ")
    assert line.sentence.words == ("Ana", "Ana", "Lee", "-", "Ann", ",", "in", "Rio", ".")
    tags = ("O", "B-PER", "I-PER", "I-PER", "I-PER", "O", "O", "B-LOC", "O")
    found = Tagging(tags, np.array([1, 0.5, 1, 1, 0.5, 1, 1, 0.25, 1], np.float32))
    assert found.entities() == [(Span(1, 5, "PER"), 0.75), (Span(7, 8, "LOC"), 0.25)]
    assert line.entities(found) == [
        {"start": 6, "end": 17, "label": "PER", "text": "Ana\tLee-Ann", "score": 0.75},
        {"start": 22, "end": 25, "label": "LOC", "text": "Rio", "score": 0.25},
    ]
    assert Line.typed("").entities(Tagging((), np.zeros(0, np.float32))) == []


def test_words_that_are_known_are_joined_by_blanks() -> None:
    words = ("Ana", "", "in\u00a0Rio", ".")
    line = Line.joined(words)
    assert (line.text, line.sentence.words) == ("Ana  in\u00a0Rio .", words)
    assert Line.joined(()).sentence.words == ()
