"""A tagger trained in one call: its splits, its defaults, what it tells, and that it continues."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import dinku as package
from dinku.data.conll import write
from dinku.data.corpus import Corpus, Sentence
from dinku.data.learned import fingerprints
from dinku.data.sources import load
from dinku.errors import DinkuError
from dinku.making.budget import share
from dinku.making.corpora import apart, ready
from dinku.making.table import Scored
from dinku.methods.finetune import FineTune, balanced
from dinku.model.folder import ModelFolder
from dinku.testing import tiny_corpus, tiny_tagger

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def base(home: Path) -> str:
    tiny_tagger(tags=()).save(home / "models" / "encoder")
    return "encoder"


def words(corpus: Corpus) -> frozenset[int]:
    return fingerprints(s.words for s in corpus)


@pytest.mark.parametrize("sentences", [4, 24, 100, 600])
def test_a_part_of_train_is_set_aside_and_no_sentence_stands_on_both_sides(sentences: int) -> None:
    whole = tiny_corpus(sentences).only("one")
    train, dev = apart(whole, 0.1, seed=0)
    assert words(train).isdisjoint(words(dev))
    assert len(train) + len(dev) == len(whole)
    assert (train.split, dev.split) == ("train", "dev")
    assert 1 <= len(dev) <= max(1, len(whole) // 5)
    assert apart(whole, 0.1, seed=0) == (train, dev)
    if sentences == 600:
        assert apart(whole, 0.1, seed=1)[1] != dev
        assert len(dev) == 50


def test_a_sentence_that_is_there_very_often_stays_in_train() -> None:
    often = [Sentence(("Kano",), ("B-LOC",), "hau")] * 90
    others = [Sentence(s.words, s.tags, "hau") for s in tiny_corpus(30)]
    train, dev = apart(Corpus("mine", "train", (*often, *others)), 0.1, seed=0)
    assert words(Corpus("", "", tuple(often))) <= words(train)
    assert 1 <= len(dev) <= 30
    with pytest.raises(
        DinkuError, match=r"mine: has too few sentences in hau to set some aside for dev .*; add sentences"
    ):
        apart(Corpus("mine", "train", tuple(often)), 0.1, seed=0)


def test_a_corpus_without_dev_says_what_it_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tiny_corpus(60).only("one"), "hau.txt")
    made = ready("hau.txt")
    assert made.scored == "dev"
    assert any("has no test split (hau): F1 is that on dev" in note for note in made.notes)
    assert any("has no dev split (hau): 6 train sentences (seed 0) are set aside" in note for note in made.notes)
    train, dev = load(made.name, "train"), load(made.name, "dev")
    assert (len(train), len(dev), train.languages) == (24, 6, ("hau",))
    assert ready("hau.txt").name == made.name != ready("hau.txt", seed=1).name
    whole = ready("sample:hau")
    assert (whole.name, whole.scored) == ("sample:hau", "test")
    Path("dev.txt").write_bytes(Path("hau.txt").read_bytes())
    with pytest.raises(DinkuError, match=r"dev.txt: is the dev split, and no train split"):
        ready("dev.txt")


def test_sentences_of_test_that_train_has_are_told(tmp_path: Path) -> None:
    for split in ("train", "dev", "test"):
        (tmp_path / "mine").mkdir(exist_ok=True)
        write(tiny_corpus(20, seed=split == "dev"), tmp_path / "mine" / f"{split}.txt")
    assert any("20 test sentences of" in note for note in ready(tmp_path / "mine").notes)


@pytest.mark.slow
def test_one_command_from_a_file_to_a_tagger(dinku: Command, base: str, home: Path) -> None:
    write(tiny_corpus(120).only("one"), "mine.txt")
    command = ("train", base, "--corpus", "mine.txt", "--out", "tagger", "--epochs", "3", "--rate", "1e-2")
    status, out, err = dinku(*command)
    assert status == 0
    assert "F1 on mine.txt dev, the worst first" in out
    assert "Next:  dinku compress tagger --corpus mine.txt --out small --max-size" in out
    assert "warning: mine.txt has no dev split (mine)" in err
    assert ModelFolder(Path("tagger")).tags == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    steps = sorted((home / "store").rglob("step.json"))
    before = [path.stat().st_mtime_ns for path in steps]
    status, told, _ = dinku(*command, "--json")  # the same again makes nothing
    document = json.loads(told)
    assert status == 0
    assert [path.stat().st_mtime_ns for path in steps] == before
    assert document["split"] == "dev"
    assert document["f1"] == pytest.approx(document["f1_by_language"]["mine"])
    digest = ModelFolder(Path("tagger")).digest
    status, _, err = dinku(*command, "--seed", "1")
    assert (status, ModelFolder(Path("tagger")).digest) == (2, digest)
    assert "tagger: already exists; name a new folder, or remove it" in err
    made = package.train(base, "mine.txt", "tagger", epochs=3, rate=1e-2)
    assert repr(made) == f"Trained(tagger: F1 {100 * document['f1']:.1f} on mine.txt dev)"
    assert "<td>mine</td>" in made._repr_html_()


def test_the_worst_language_and_label_come_first() -> None:
    scored = Scored("test", {"hau": {"PER": (4, 4, 4), "LOC": (2, 2, 1)}, "yor": {"PER": (2, 2, 1)}})
    head, rows = scored.table()
    assert head == ["language", "F1", "LOC", "PER", "spans"]
    assert [row[0] for row in rows] == ["yor", "hau", "mean, labels over all"]
    assert rows[0] == ["yor", "50.0", "-", "50.0", "2"]
    assert scored.kept(scored) == {"hau": 1.0, "yor": 1.0}


def test_rare_tags_weigh_more_and_equal_weights_are_the_default() -> None:
    weights = balanced(np.array([0] * 96 + [1] * 4), 3)
    assert weights[2] > weights[1] > 1 > weights[0]
    assert float((weights * [96, 4, 0]).sum()) == pytest.approx(100, rel=1e-5)
    assert FineTune().weights == "equal"


@pytest.mark.parametrize("text", ["0", "101%", "many", "-1", "95%%"])
def test_a_share_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(DinkuError, match=r"--dev: is '.*'; give a percentage"):
        share(text, where="--dev")
