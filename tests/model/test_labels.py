"""Heads in other schemes, under other names, and with other labels than a corpus has."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import BILOU, IOB1, IOB2, IOBES, Entities

from dinku.data.corpus import Corpus, Sentence
from dinku.data.spans import as_iob2, in_scheme, spans, tags
from dinku.errors import DinkuError
from dinku.method import Data, Work
from dinku.methods.distil import Distil
from dinku.methods.finetune import FineTune
from dinku.model.folder import ModelFolder
from dinku.model.labels import check_common, checked, numbered, read_labels, renamed, scheme_of_head
from dinku.model.predict import Draft
from dinku.nn.tagger import Tagger
from dinku.testing import TAGS, tiny_corpus, tiny_data, tiny_tagger

HEADS: dict[str, tuple[str, ...]] = {
    "IO": ("O", "I-LOC", "I-PER"),
    "IOB1": ("O", "I-LOC", "B-PER", "I-PER"),
    "IOB2": TAGS,
    "BIOES": ("O", *(f"{letter}-{label}" for label in ("LOC", "PER") for letter in "BIES")),
    "BILOU": ("O", *(f"{letter}-{label}" for label in ("LOC", "PER") for letter in "BILU")),
}
SEQEVAL: dict[str, Any] = {"IOB1": IOB1, "IOB2": IOB2, "BIOES": IOBES, "BILOU": BILOU}


def answered(head: tuple[str, ...], numbers: list[int]) -> tuple[str, ...]:
    """The tags that a model with this head gives where its largest logits are these."""
    draft = Draft(head, len(numbers))
    logits = np.eye(len(head), dtype=np.float32)[[number % len(head) for number in numbers]]
    window: Any = type("Window", (), {"words": np.arange(len(numbers)), "sentence": 0})()
    draft.take(window, logits)
    return draft.taggings()[0].tags


@pytest.mark.parametrize("scheme", HEADS)
@given(numbers=st.lists(st.integers(0, 999), min_size=1, max_size=12))
def test_any_answer_is_the_spans_that_seqeval_reads(scheme: str, numbers: list[int]) -> None:
    head = HEADS[scheme]
    assert scheme_of_head(head) == scheme
    found = answered(head, numbers)
    given_tags = [head[number % len(head)] for number in numbers]
    known = [
        tag.translate(str.maketrans("LU", "ES")) if scheme == "BILOU" and tag != "O" else tag for tag in given_tags
    ]
    known = [
        tag[0] + given[1:] for tag, given in zip(known, given_tags, strict=True)
    ]  # by its default seqeval knows no L, no U
    read = [(start, end + 1, label) for label, start, end in get_entities(known)]
    assert [tuple(span) for span in spans(found)] == read
    assert scheme == "IOB2" or list(map(tuple, spans(found, strict=True))) == read


@pytest.mark.parametrize("scheme", SEQEVAL)
@given(
    made=st.lists(
        st.tuples(st.integers(0, 2), st.integers(1, 4), st.sampled_from(["LOC", "PER"])), min_size=1, max_size=5
    )
)
def test_spans_are_written_as_the_scheme_of_seqeval_reads_them(scheme: Any, made: list[tuple[int, int, str]]) -> None:
    placed, at = [], 0
    for gap, length, label in made:
        placed.append((at + gap, at + gap + length, label))
        at += gap + length
    iob2 = tags(placed, at)  # type: ignore[arg-type]
    written = in_scheme(iob2, scheme)
    (entities,) = Entities([list(written)], SEQEVAL[scheme]).entities
    assert [(entity.start, entity.end, entity.tag) for entity in entities] == placed
    assert as_iob2(written) == iob2
    assert set(in_scheme(iob2, "IO")) <= {"O", "I-LOC", "I-PER"}


@pytest.mark.parametrize("scheme", HEADS)
def test_a_tagger_of_any_scheme_tags_in_iob2_and_teaches(scheme: str, tmp_path: Path) -> None:
    tagger = Tagger.load(tiny_tagger(tags=HEADS[scheme]).save(tmp_path / "tagger"))
    found = tagger.tag(tiny_corpus(12).sentences)
    assert {tag for each in found for tag in each.tags} <= set(TAGS)
    data = Data(tiny_data().train, tiny_data().dev)
    trained = FineTune(epochs=1, batch=8, rate=1e-3).apply(tagger, data, Work(threads=1))
    assert trained.tags == TAGS
    student: Any = Distil(epochs=1, batch=8, rate=1e-3).apply(tagger, data, Work(threads=1))
    assert student.tags == HEADS[scheme]
    assert 0 <= student.evaluate(tiny_corpus(12)).scores().f1 <= 1
    gold = numbered(tiny_corpus(12), tagger.tags)
    assert [as_iob2([tagger.tags[i] for i in each]) for each in gold] == (
        [as_iob2(in_scheme(s.tags or (), "IO")) if scheme in ("IO", "IOB1") else s.tags for s in tiny_corpus(12)]
    )


@pytest.mark.parametrize(
    ("head", "typed"),
    [
        (("LABEL_0", "LABEL_1", "LABEL_2"), "--labels LABEL_0=O,LABEL_1=B-PER,LABEL_2=I-PER"),
        (("o", "b-per", "i-per"), "--labels o=O,b-per=B-PER,i-per=I-PER"),
        (("B-PER", "I-PER"), "--labels B-PER=O"),
        (("O", "S-PER", "U-PER"), "one scheme by --labels"),
        (("PER", "LOC", "O"), "--labels PER=I-PER,LOC=I-LOC"),
        (("B_PER", "I_PER", "O"), "--labels B_PER=B-PER,I_PER=I-PER"),
        (("PER-B", "PER-I", "O"), "--labels PER-B=B-PER,PER-I=I-PER"),
        (("OUT", "Begin-PER", "inside_PER"), "--labels OUT=O,Begin-PER=B-PER,inside_PER=I-PER"),
        (("[PAD]", "O", "B-PER"), r"--labels '\[PAD\]=O'"),
        (("O", "B-first name", "I-first name"), "--labels 'B-first name=B-first_name,I-first name=I-first_name'"),
        (("O", "B-PER ", "I-PER"), "--labels 'B-PER =B-PER'"),
        (("O", "B-\x1b[31m", "I-PER"), "--labels .*=B-PER"),
    ],
)
def test_names_of_no_scheme_are_told_with_what_to_type(head: tuple[str, ...], typed: str, tmp_path: Path) -> None:
    folder = tiny_tagger(tags=TAGS[: len(head)]).save(tmp_path / "tagger")
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {str(i): name for i, name in enumerate(head)}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(DinkuError, match=typed):
        Tagger.load(folder)
    if typed == "--labels 'B-PER =B-PER'":
        assert ModelFolder.of(folder, labels="B-PER =B-PER").tags == ("O", "B-PER", "I-PER")
    if "LABEL_0=O," in typed:
        named = Tagger.load(ModelFolder.of(folder, labels=typed.removeprefix("--labels ")))
        assert named.tags == ("O", "B-PER", "I-PER")
        assert named.model.config.id2label[1] == "B-PER"
        again = Tagger.load(named.save(tmp_path / "again"))
        assert again.digest == named.digest


def test_labels_are_named_and_dropped(tmp_path: Path) -> None:
    (tmp_path / "names.json").write_text('{"LOC": "GPE"}')
    (tmp_path / "names.txt").write_text("LOC=GPE\n")
    for given_names in ("LOC=GPE", str(tmp_path / "names.json"), str(tmp_path / "names.txt")):
        assert renamed(TAGS, read_labels(given_names), where="") == ("O", "B-GPE", "I-GPE", "B-PER", "I-PER")
    assert renamed(TAGS, read_labels("LOC="), where="") == ("O", "O", "O", "B-PER", "I-PER")
    assert checked(renamed(TAGS, {"LOC": ""}, where=""), where="") == ("O", "O", "O", "B-PER", "I-PER")
    assert renamed(TAGS, read_labels('{"LOC": "O"}'), where="")[:3] == ("O", "O", "O")
    assert len(read_labels(",".join(f"LABEL_{i}=B-X{i}" for i in range(500)))) == 500  # no name of a file
    (tmp_path / "mark.txt").write_bytes("\ufeffLOC=GPE\r\n".encode())
    assert renamed(TAGS, read_labels(str(tmp_path / "mark.txt")), where="")[1] == "B-GPE"
    (tmp_path / "empty.txt").write_text("\n")
    for wrong, words in (
        ("XYZ=PER", "has no 'XYZ'"),
        ("LOC", "neither pairs nor a file"),
        ("LOC=A,B", "'B' has no ="),
        ("LOC=A,LOC=B", "names 'LOC' twice, 'A' and 'B'; name each once"),
        ("=B", "has no ''"),
        (str(tmp_path / "empty.txt"), "names nothing"),
        ('{"LOC": 1}', "isn.t text"),
        ('{"LOC"', "isn't readable JSON"),
        ("LOC=a b", "'a b' can't be the label that LOC is called"),
        ("LOC=GPE;PER=X", "can't be the label"),
        ("LOC=B-GPE", "give a label alone: LOC=GPE"),
        ("B-LOC=GPE", "'GPE' is no tag, which 'B-LOC' is; give a tag, such as B-LOC=B-GPE"),
        ("LOC=,PER=", "no label would be left"),
    ):
        with pytest.raises(DinkuError, match=words):
            renamed(TAGS, read_labels(wrong), where="")


def test_labels_on_one_side_alone_are_named() -> None:
    corpus = Corpus("mine", "test", (Sentence(("Ade", "Kiland"), ("B-PER", "B-GPE"), "one"),))
    model_only, corpus_only = check_common(TAGS, corpus, where="model")
    assert "only the model has LOC" in model_only
    assert "--labels LOC= drops it" in model_only
    assert "only mine has GPE" in corpus_only
    assert not check_common(("O", "B-PER", "I-PER", "B-GPE"), corpus, where="model")
    other = replace(corpus, sentences=(Sentence(("Ade",), ("B-PERSON",), "one"),))
    with pytest.raises(DinkuError, match="--labels LOC=,PER=PERSON"):
        check_common(TAGS, other, where="model")
