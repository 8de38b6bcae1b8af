"""Walking a study: what is refused before it starts, what a row says, and the clock of a step."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dinku.corpus import write
from dinku.errors import DinkuError
from dinku.method import Data, Work
from dinku.methods.sparsity import Sparsify
from dinku.results import Results
from dinku.run import Runner, _Clock, plan, size_of
from dinku.store import Store
from dinku.study import Study
from dinku.tagger import Tagger
from dinku.testing import tiny_corpus, tiny_tagger

STUDY = """
name: small
title: T
base: encoder
corpus: corpus
recipes:
  - arm: dense
    steps: [FineTune: {epochs: 1, batch: 8}]
  - arm: after
    grid: {sparsity: [0.5, 0.9]}
    steps: [FineTune: {epochs: 1, batch: 8}, Sparsify: {sparsity: $sparsity}]
"""


@pytest.fixture
def runner(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.chdir(tmp_path)
    tiny_tagger(tags=()).save(home / "models" / "encoder")
    Path("corpus").mkdir()
    for split, seed in (("train", 0), ("dev", 1), ("test", 2)):
        write(tiny_corpus(12, seed=seed), f"corpus/{split}.txt")
    return made(home)


def made(home: Path, changed: str = "") -> Runner:
    Path("s.yaml").write_text(STUDY + changed, encoding="utf-8")
    return Runner(Study.read("s.yaml"), Store(home / "store"), Results(Path("results/small")))


def test_a_row_says_all_that_it_stands_on(runner: Runner, home: Path) -> None:
    runner.run(["after"])
    rows = runner.results.rows()
    assert len(rows) == 2
    for row in rows:
        assert row.size is not None
        assert round(row.size.sparsity, 2) == row.values["sparsity"]
        assert (row.sentences, row.sentences_in_split, row.split) == (12, 12, "test")
        (training,) = row.trainings
        assert training.seconds > 0
        assert training.precision in ("float32", "bfloat16")
        assert training.address in runner.prepared[0].addresses  # made once for both
        assert row.environment.threads == runner.threads
    document = plan(runner)
    assert document["trainings"] == 1
    assert document["trainings_unshared"] == 3
    assert document["trainings_to_do"] == 0
    assert document["recipes_done"] == 2  # the dense one's tagger is made, its rows aren't


def test_a_sample_says_of_how_many(runner: Runner, home: Path) -> None:
    part = made(home, "sentences: 5\n")
    part.run(["dense"])
    (row,) = part.results.rows()
    assert (row.sentences, row.sentences_in_split) == (5, 12)
    assert "5 of 12" in row.corpus


def test_it_refuses_to_test_on_what_it_learns_from(runner: Runner, home: Path) -> None:
    for split in ("train", "dev"):
        Path("corpus/test.txt").write_bytes(Path(f"corpus/{split}.txt").read_bytes())
        with pytest.raises(DinkuError, match=f"evaluates on what it learns from: corpus test is its {split} split"):
            made(home).run()
    with pytest.raises(DinkuError, match="no arm is named other; choose of dense, after"):
        runner.run(["other"])


def test_size_counts_weights_and_files(tmp_path: Path) -> None:
    tagger = Sparsify(0.5).apply(tiny_tagger(), Data(), Work())
    folder = tagger.save(tmp_path / "t")
    size = size_of(Tagger.load(folder), folder)
    assert size.parameters == tagger.shape.parameters
    assert size.linear == sum(tagger.shape.weights(embeddings=False))
    assert size.linear_nonzero == size.linear - round(size.linear / 2)
    assert size.bytes_disk > size.bytes_download > 0


def test_the_clock_goes_on_where_a_kill_left_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    first = _Clock(tmp_path / "seconds")
    now += 4
    first.keep()
    assert not first.file.exists()  # not at every step
    now += 4
    first.keep()
    now += 2  # killed before it was kept again
    second = _Clock(tmp_path / "seconds")
    now += 1
    assert second.seconds == pytest.approx(8 + 1)
