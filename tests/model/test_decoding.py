"""Legal tags, against every sequence of tags there is."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest

from dinku.model.decoding import legal_tags, legal_transitions

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def _is_legal(path: Sequence[int]) -> bool:
    before = "O"
    for number in path:
        tag = TAGS[number]
        if tag.startswith("I-") and before[2:] != tag[2:]:
            return False
        before = tag
    return True


@pytest.mark.parametrize("words", [1, 2, 5])
def test_the_best_of_all_legal_sequences_is_found(words: int) -> None:
    random = np.random.default_rng(words)
    every = [path for path in product(range(len(TAGS)), repeat=words) if _is_legal(path)]
    for _ in range(60):
        logits = random.normal(size=(words, len(TAGS))).astype(np.float32) * 3
        sums = [logits[np.arange(words), path].sum() for path in every]
        assert tuple(legal_tags(logits, TAGS).tolist()) == every[int(np.argmax(sums))]


def test_sentences_together_get_the_tags_that_each_gets_alone() -> None:
    random = np.random.default_rng(0)
    lengths = [3, 0, 1, 7, 7, 2, 0, 40]
    parts = [random.normal(size=(length, len(TAGS))).astype(np.float32) * 3 for length in lengths]
    alone = [legal_tags(part, TAGS).tolist() if len(part) else [] for part in parts]
    assert legal_tags(np.concatenate(parts), TAGS, lengths).tolist() == [tag for path in alone for tag in path]
    assert any(path != part.argmax(-1).tolist() for path, part in zip(alone, parts, strict=True))


def test_tags_that_are_legal_stay_as_they_are() -> None:
    logits = np.eye(5, dtype=np.float32)[[1, 2, 2, 0, 3, 4]]
    assert legal_tags(logits, TAGS).tolist() == [1, 2, 2, 0, 3, 4]


def test_the_order_of_tags_does_not_matter() -> None:
    tags = ("I-LOC", "O", "B-LOC")
    assert legal_transitions(tags).tolist() == [
        [False, True, True],
        [True, True, True],
        [False, True, True],
        [True, True, True],
    ]
