"""Labels of whole texts through everything that entities go through: trained, compressed, measured, exported, served."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_tasks import CLASSES, corpus_folder, labelled

import dinku
from dinku.errors import DinkuError
from dinku.method import Data, Work
from dinku.methods.distil import Distil
from dinku.methods.dynamic import QuantizeDynamic
from dinku.methods.finetune import FineTune
from dinku.methods.heads import PruneHeads
from dinku.methods.hidden import NarrowHidden
from dinku.methods.layers import KeepLayers
from dinku.methods.llmint8 import QuantizeLLMInt8
from dinku.methods.sparsity import Sparsify
from dinku.methods.words import StartWords
from dinku.model.predict import Draft
from dinku.nn.loading import open_tagger
from dinku.nn.tagger import Tagger
from dinku.scoring.counts import count
from dinku.scoring.significance import interval, paired
from dinku.serving.batcher import Batcher, Limits
from dinku.testing import check_law, tiny_corpus, tiny_tagger

Dinku = Callable[..., tuple[int, str, str]]
WORK = Work(threads=1)


@pytest.fixture(scope="module")
def data() -> Data:
    return Data(labelled(tiny_corpus(120), CLASSES), labelled(tiny_corpus(160, seed=1, split="dev"), CLASSES))


@pytest.fixture(scope="module")
def tagger(data: Data) -> Tagger:
    base = tiny_tagger(tags=())
    step = FineTune(epochs=4, rate=1e-2, batch=16, select="best").resolve(base, data)
    made = step.apply(base, data, WORK)
    check_law(step, base.shape, made.shape)
    return made


def weighted(gold: list[str], found: list[str]) -> float:
    """Weighted F1 by its definition."""
    out = 0.0
    for label in set(gold):
        right = sum(g == f == label for g, f in zip(gold, found, strict=True))
        out += gold.count(label) * 2 * right / (gold.count(label) + found.count(label))
    return out / len(gold)


def test_texts_are_measured_by_weighted_f1() -> None:
    random = np.random.default_rng(1)
    gold = [str(c) for c in random.choice(["a", "b", "c"], 80, p=[0.6, 0.3, 0.1])]
    worse, better = ([g if random.random() < p else "a" for g in gold] for p in (0.3, 0.8))
    languages = ["hau", "yor"] * 40
    a, b = (
        count([(g,) for g in gold], [(f,) for f in side], languages, task=CLASSES, words=[5] * 80)
        for side in (worse, better)
    )
    assert b.scores().f1 == pytest.approx(weighted(gold, better))
    assert b.accuracy == pytest.approx(np.mean([g == f for g, f in zip(gold, better, strict=True)]))
    assert b.by_language()["hau"].f1 == pytest.approx(weighted(gold[::2], better[::2]))
    assert int(b.words.sum()) == 400
    for average in ("micro", "languages"):
        found = interval([b], draws=100, average=average)
        assert found.low < found.value < found.high
    assert interval([b], draws=100).value == pytest.approx(b.scores().f1)
    assert interval([b], draws=100, average="languages").value == pytest.approx(
        np.mean([s.f1 for s in b.by_language().values()])
    )
    assert paired([a], [b], draws=200).difference == pytest.approx(b.scores().f1 - a.scores().f1)
    assert paired([a], [b], draws=200).p_value < 0.02


def test_a_class_in_test_alone_counts_as_missed(tagger: Tagger) -> None:
    sentence = dinku.Sentence(("Badeo",), ("never seen",), "one", each="sentence")
    counts = tagger.evaluate(dinku.Corpus("mine", "test", (sentence,), task=CLASSES))
    assert counts.scores() == (0.0, 0.0, 0.0, 1)


def test_long_texts_are_decided_by_the_mean_of_their_windows(tagger: Tagger) -> None:
    draft = Draft(("a", "b"), 1, task=CLASSES)
    (window, *_) = tagger.encoder.windows([("Badeo",)])
    for logits in ([3.0, 0.0], [0.0, 1.0], [0.0, 1.0]):
        draft.take(window, np.array([logits], np.float32))
    (found,) = draft.taggings()
    assert found.tags == ("a",)
    assert found.scores[0] == pytest.approx(np.exp(1) / (np.exp(1) + np.exp(2 / 3)))
    words = tuple(word for s in tiny_corpus(900).sentences for word in s.words)[:4000]
    windows = tagger.encoder.windows([words])
    assert len(windows) > 100
    (found,) = tagger.tag([dinku.Sentence(words)])
    assert len(found.tags) == len(found.scores) == 1
    (empty,) = tagger.tag([dinku.Sentence(())])
    assert (empty.tags, empty.scores[0]) == (("about people",), pytest.approx(0.5))


def test_plain_transformers_gives_the_same_labels(tagger: Tagger, data: Data, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = tagger.save(tmp_path / "tagger")
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert data.dev
    texts = [" ".join(s.words) for s in data.dev][:40]
    with torch.inference_mode():
        found = [int(model(**tokenizer(text, return_tensors="pt")).logits.argmax()) for text in texts]
    assert [model.config.id2label[i] for i in found] == [t.tags[0] for t in tagger.tag(data.dev.sentences[:40])]
    assert json.loads((folder / "config.json").read_text())["dinku_task"] == "classes"


def test_heads_that_give_numbers_or_several_labels_are_refused(tagger: Tagger, tmp_path: Path) -> None:
    folder = tagger.save(tmp_path / "tagger")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"problem_type": "multi_label_classification"}))
    with pytest.raises(DinkuError, match="gives numbers, or several labels to a text"):
        open_tagger(folder)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["xlm-roberta", "bert", "distilbert"])
def test_methods_take_a_classifier_of_any_head(family: str, tmp_path: Path) -> None:
    data = Data(labelled(tiny_corpus(32), CLASSES), labelled(tiny_corpus(16, seed=1, split="dev"), CLASSES))
    base = tiny_tagger(family, tags=())
    step = FineTune(epochs=1, rate=1e-2, batch=16).resolve(base, data)
    whole = step.apply(base, data, WORK)
    check_law(step, base.shape, whole.shape)
    methods: list[Any] = [
        KeepLayers((1,)),
        NarrowHidden(8),
        PruneHeads(2),
        Sparsify(0.5, importance="taylor"),
        QuantizeDynamic(),
    ]
    methods += [Sparsify(0.5, importance="activation"), QuantizeLLMInt8()]
    assert data.dev
    for number, method in enumerate(methods):
        asked = method.resolve(whole, data)
        after = asked.apply(whole, data.seen_by(asked), WORK)
        check_law(asked, whole.shape, after.shape)
        again = open_tagger(after.save(tmp_path / str(number)))
        assert (again.digest, again.task) == (after.digest, CLASSES), method
        assert again.evaluate(data.dev).task is CLASSES


@pytest.mark.slow
def test_a_student_learns_from_logits_of_texts(tagger: Tagger, data: Data) -> None:
    step = Distil(epochs=3, rate=1e-2, batch=16, student=(KeepLayers((1,)),)).resolve(tagger, data)
    student = step.apply(tagger, data, WORK)
    check_law(step, tagger.shape, student.shape)
    assert data.dev
    assert student.evaluate(data.dev).accuracy > 0.7
    with pytest.raises(DinkuError, match="can't label whole texts; choose an encoder that reads subwords"):
        FineTune(epochs=1, rate=1e-3).resolve(None, data).declare(StartWords().declare(tagger.shape))


@pytest.fixture(scope="module")
def bundle(tagger: Tagger, data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "small"
    assert data.dev
    dinku.export(tagger, folder, data.dev)
    return folder


def test_a_bundle_labels_texts_as_its_tagger_does(bundle: Path, tagger: Tagger, data: Data) -> None:
    assert data.dev
    opened = dinku.Bundle.open(bundle)
    assert [t.tags for t in opened.tag(data.dev.sentences)] == [t.tags for t in tagger.tag(data.dev.sentences)]
    card = (bundle / "README.md").read_text()
    for said in ("pipeline_tag: text-classification", "Labels a text as about people, other.", "(pooling: first)"):
        assert said in card


def test_texts_are_labelled_from_the_command_line_and_over_http(bundle: Path, dinku: Dinku, tmp_path: Path) -> None:
    status, out, err = dinku("predict", bundle, "--format", "jsonl", stdin=b"Badeo ki\n\nKiland")
    assert (status, err) == (0, "")
    first, *_ = [json.loads(line) for line in out.splitlines()]
    assert first.keys() == {"text", "classes"}
    assert first["classes"][0].keys() == {"label", "score"}
    status, out, _ = dinku("predict", bundle, stdin=b"Badeo ki")
    assert out.startswith("Badeo ki\n    [")
    status, _, err = dinku("predict", bundle, "--format", "conll", stdin=b"Badeo ki")
    assert (status, "holds a tag for each word" in err) == (2, True)
    status, _, err = dinku("predict", bundle, "--format", "doccano", stdin=b"Badeo ki")
    assert (status, "holds labels of spans" in err) == (2, True)
    name = corpus_folder(tmp_path / "mine", CLASSES)
    status, out, err = dinku("evaluate", bundle, "--corpus", name, "--json", "--detail")
    assert status == 0, err
    told = json.loads(out)
    assert (told["task"], told["measure"]) == ("classes", "weighted F1")
    assert {"accuracy", "macro_f1"} <= told.keys()
    status, out, err = dinku("evaluate", bundle, "--corpus", name, "--save", tmp_path / "x")
    assert (status, "writes tags of words" in err) == (2, True)


def test_texts_are_labelled_over_http(bundle: Path) -> None:
    reader = dinku.open(bundle)
    batcher = Batcher(reader, Limits())
    try:
        (answer,) = batcher.ask(["Badeo ki"]).result(60)
    finally:
        batcher.close()
    assert answer["classes"][0]["label"] == reader.find("Badeo ki")[0]["label"]


_STUDY = """
name: texts
base: encoder
corpus: {corpus}
recipes:
  - arm: dense
    steps: [FineTune: {{epochs: 2, batch: 16, rate: 1.0e-2}}]
  - arm: after
    steps: [FineTune: {{epochs: 2, batch: 16, rate: 1.0e-2}}, Sparsify: {{sparsity: 0.5}}]
"""


@pytest.mark.slow
def test_a_study_of_texts_is_run_and_reported(home: Path, dinku: Dinku, tmp_path: Path) -> None:
    tiny_tagger(tags=()).save(home / "models" / "encoder")
    study = tmp_path / "texts.yaml"
    study.write_text(_STUDY.format(corpus=corpus_folder(tmp_path / "mine", CLASSES)), encoding="utf-8")
    status, out, err = dinku("run", study)
    assert status == 0, err
    assert "weighted F1 on test, mean over languages" in " ".join(out.split())
    status, _, err = dinku("report", study, "--out", tmp_path / "report")
    assert status == 0, err
    assert "## Weighted F1" in (tmp_path / "report" / "report.md").read_text()
