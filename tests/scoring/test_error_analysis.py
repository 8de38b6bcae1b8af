"""What was lost: every span in one class, calibration, agreement, known and unknown names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinku.data.corpus import Corpus, Sentence
from dinku.data.perturb import Perturbation
from dinku.data.spans import spans
from dinku.errors import DinkuError
from dinku.scoring.counts import count
from dinku.scoring.error_analysis import (
    Errors,
    agreement,
    by_novelty,
    calibration_error,
    errors,
    known,
    losses,
    robustness,
)
from dinku.scoring.tagging import Tagging

TAGS = st.lists(st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]), min_size=6, max_size=6)


@pytest.mark.parametrize(
    ("gold", "found", "expected"),
    [
        ("B-PER I-PER O", "B-PER I-PER O", Errors(correct=1)),
        ("B-PER I-PER O", "B-PER O O", Errors(boundary=1)),
        ("B-PER I-PER O", "B-LOC I-LOC O", Errors(label=1)),
        ("B-PER I-PER O", "B-LOC O O", Errors(both=1)),
        ("B-PER I-PER O", "O O B-LOC", Errors(missed=1, spurious=1)),
        ("B-PER I-PER I-PER", "B-LOC I-LOC B-PER", Errors(boundary=1, spurious=1)),  # its own label before others
        ("B-PER I-PER I-PER", "B-PER B-PER I-PER", Errors(boundary=1, spurious=1)),
        ("B-PER B-PER O", "B-PER I-PER O", Errors(boundary=1, missed=1)),
        ("O O O", "O O O", Errors()),
    ],
)
def test_each_kind_of_error(gold: str, found: str, expected: Errors) -> None:
    assert errors([gold.split()], [found.split()]) == expected


@given(TAGS, TAGS)
def test_every_span_is_in_one_class(gold: list[str], found: list[str]) -> None:
    got = errors([gold], [found])
    counts = count([gold], [found]).default.sum((0, 1))
    assert got.correct == counts[2]
    assert sum(got) - got.spurious == counts[0] == len(spans(gold))
    assert sum(got) - got.missed == counts[1]
    mirrored = errors([found], [gold])
    assert mirrored.correct == got.correct


def tagging(tags: str, *scores: float) -> Tagging:
    return Tagging(tuple(tags.split()), np.array(scores, np.float32))


def test_calibration() -> None:
    gold = [["O", "O", "B-PER", "O"]]
    assert calibration_error(gold, [tagging("O O B-PER O", 1, 1, 1, 1)]) == 0
    assert calibration_error(gold, [tagging("O O O O", 1, 1, 1, 1)]) == 0.25
    assert calibration_error(gold, [tagging("O O O O", 0.75, 0.75, 0.75, 0.75)]) == pytest.approx(0, abs=1e-6)
    assert calibration_error(gold, [tagging("O O O O", 0.5, 0.5, 0.9, 0.9)]) == pytest.approx((1.0 + 0.8) / 4)
    assert calibration_error([[]], [tagging("")]) == 0
    # Tags that are right as often as they say are calibrated, however often that is.
    random = np.random.default_rng(0)
    sure = random.random(20_000).astype(np.float32)
    right = ["O" if random.random() < p else "B-PER" for p in sure]
    assert calibration_error([right], [Tagging(("O",) * 20_000, sure)]) < 0.02


def test_agreement() -> None:
    a, b = [["O", "B-PER"], ["O"], ["O"]], [["O", "O"], ["O"], ["O"]]
    assert agreement(a, b) == (0.75, 2 / 3, (0,))
    assert agreement(a, a) == (1, 1, ())
    assert agreement([], []) == (1, 1, ())


def test_known_and_unknown_names() -> None:
    train = Corpus("x", "train", (Sentence(("Kano", "Abu", "Bakr"), ("B-LOC", "B-PER", "I-PER"), "hau"),))
    names = known(train)
    assert names == {("hau", "kano"), ("hau", "abu bakr")}
    test = [
        Sentence(("KANO", "da", "Zariya"), ("B-LOC", "O", "B-LOC"), "hau"),
        Sentence(("Kano",), ("B-LOC",), "yor"),
    ]
    seen, new = by_novelty(test, [["B-LOC", "O", "O"], ["O"]], names)
    assert seen.default.sum((0, 1)).tolist() == [1, 1, 1]
    assert new.default.sum((0, 1)).tolist() == [2, 0, 0]


@given(TAGS, TAGS)
def test_known_and_unknown_are_all(gold: list[str], found: list[str]) -> None:
    sentence = Sentence(tuple("abcabc"), tuple(gold), "hau")
    parts = by_novelty([sentence], [found], frozenset({("hau", "a"), ("hau", "b c")}))
    whole = count([gold], [found]).default.sum((0, 1))
    assert (sum(part.default.sum((0, 1)) for part in parts) == whole).all()


def test_losses_come_worst_first() -> None:
    found = losses({"hau": 0.8, "yor": 0.5, "wol": 0.0}, {"hau": 0.76, "yor": 0.4})
    assert [loss.where for loss in found] == ["yor", "hau", "wol"]
    assert [loss.relative for loss in found] == pytest.approx([0.2, 0.05, 0.0])


def test_robustness_counts_both_readings_and_the_worst() -> None:
    """A tagger that never begins a span: right by default, never strictly."""
    tags = ("B-PER", "O", "I-LOC")  # the last is an orphan, which a perturbation that takes words away makes a B
    corpus = Corpus("x", "test", tuple(Sentence(("Audu", ",", "Kano"), tags, "hau") for _ in range(3)))

    def tag(sentences: Sequence[Sentence]) -> list[Tagging]:
        return [
            Tagging(tuple(t.replace("B-", "I-") for t in s.tags or ()), np.ones(len(s.words), np.float32))
            for s in sentences
        ]

    clean = count([s.tags or () for s in corpus], [t.tags for t in tag(list(corpus))], ["hau"] * 3)
    for kind, tries in (("punctuation", 1), ("punctuation:0.5", 4)):
        found = robustness(tag, corpus, clean, Perturbation.named(kind), tries=tries)
        assert found.counts.scores().f1 == 1
        assert found.counts.scores(strict=True).f1 == 0
        assert found.difference.difference == 0
    with pytest.raises(DinkuError, match="tries is 0"):
        robustness(tag, corpus, clean, Perturbation.named("lower"), tries=0)
