"""Answers: what is kept of every word comes back as it was, and what doesn't fit is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinku.errors import DinkuError
from dinku.scoring.answers import Answers

TAG = st.sampled_from(["O", "B-PER", "I-PER", "B-LOC"])
SENTENCE = st.lists(st.tuples(TAG, TAG, st.floats(0, 1, width=16)), max_size=5)


@given(st.lists(SENTENCE, max_size=6))
def test_answers_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, made: list[list[tuple[str, str, float]]]
) -> None:
    gold, found = [[word[0] for word in s] for s in made], [[word[1] for word in s] for s in made]
    scores = [np.array([word[2] for word in s], np.float32) for s in made]
    answers = Answers.of(gold, found, scores)
    file = tmp_path_factory.mktemp("answers") / "a.npz"
    answers.save(file)
    again = Answers.load(file)
    assert (
        (again.gold, again.found)
        == (answers.gold, answers.found)
        == (tuple(map(tuple, gold)), tuple(map(tuple, found)))
    )
    assert [s.tolist() for s in again.scores] == [s.tolist() for s in scores]  # half precision holds these as they are


def test_a_word_costs_few_bytes_and_no_word_is_kept(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    tags = [tuple(random.choice(["O", "B-PER"], 25, p=[0.9, 0.1])) for _ in range(400)]
    Answers.of(tags, tags, [random.random(25) for _ in tags]).save(tmp_path / "a.npz")
    assert (tmp_path / "a.npz").stat().st_size < 3 * 25 * 400
    with np.load(tmp_path / "a.npz") as stored:
        assert set(stored) == {"tags", "lengths", "gold", "found", "scores"}
        assert {str(stored[name].dtype) for name in ("gold", "found")} == {"uint8"}


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    with pytest.raises(DinkuError, match="differ in length"):
        Answers.of([("O",)], [("O", "O")], [np.ones(1)])
    with pytest.raises(DinkuError, match="has 257 different tags"):
        Answers.of([tuple(f"B-{i}" for i in range(256))], [("O",) * 256], [np.ones(256)]).save(tmp_path / "a.npz")
    assert not (tmp_path / "a.npz").exists()
    with pytest.raises(DinkuError, match="isn't there"):
        Answers.load(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(b"PK no archive")
    with pytest.raises(DinkuError, match="holds no answers"):
        Answers.load(tmp_path / "a.npz")
    code = np.zeros(3, np.uint8)
    for lengths, highest in (([4], 0), ([3], 9)):
        wrong: dict[str, Any] = {
            "tags": np.array(["O"]),
            "lengths": np.array(lengths),
            "gold": code,
            "found": code + highest,
        }
        np.savez(tmp_path / "a.npz", scores=np.ones(3, np.float16), **wrong)
        with pytest.raises(DinkuError, match="holds no answers"):
            Answers.load(tmp_path / "a.npz")
