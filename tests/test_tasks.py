"""Labels of words through everything that entities go through: trained, compressed, measured, exported, served."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_tasks import TAGS, corpus_folder, labelled

import dinku
from dinku.data.task import NER
from dinku.errors import DinkuError
from dinku.method import Data, Work
from dinku.methods.distil import Distil
from dinku.methods.finetune import FineTune
from dinku.methods.layers import KeepLayers
from dinku.methods.registry import to_json
from dinku.methods.sparsity import Sparsify
from dinku.methods.words import StartWords
from dinku.model.bundle import Bundle
from dinku.model.folder import ModelFolder
from dinku.model.labels import checked, renamed
from dinku.nn.loading import open_tagger
from dinku.nn.tagger import Tagger
from dinku.scoring.counts import Counts, count
from dinku.scoring.significance import interval, non_inferior, paired
from dinku.scoring.tagging import counted
from dinku.serving.batcher import Batcher, Limits
from dinku.serving.openapi import openapi
from dinku.serving.web import web_page
from dinku.testing import tiny_corpus, tiny_tagger

Dinku = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def data() -> Data:
    return Data(labelled(tiny_corpus(100), TAGS), labelled(tiny_corpus(160, seed=1, split="dev"), TAGS))


@pytest.fixture(scope="module")
def tagger(data: Data) -> Tagger:
    base = tiny_tagger(tags=())
    step = FineTune(epochs=4, rate=1e-2, batch=16, select="best").resolve(base, data)
    return step.apply(base, data, Work(threads=1))


# Counts and measures


def test_accuracy_is_what_micro_f1_comes_to() -> None:
    gold, found = [("NOUN", "VERB", "I-X"), ("NOUN",)], [("NOUN", "NOUN", "I-X"), ("VERB",)]
    counts = count(gold, found, ["hau", "yor"], task=TAGS)
    assert repr(counts) == "Counts(accuracy 50.0, 4 words)"
    assert counts.accuracy == counts.scores().f1 == 0.5
    assert counts.macro_f1 == pytest.approx((0.5 + 0 + 1) / 3)
    assert [counts.by_type()["NOUN"].precision, counts.by_type()["I-X"].f1] == [0.5, 1.0]
    assert counts.table(strict=True).tolist() == counts.table().tolist()
    assert {name: s.f1 for name, s in counts.by_language().items()} == {"hau": pytest.approx(2 / 3), "yor": 0.0}
    with pytest.raises(DinkuError, match="sentence 1: 'a b' isn't a label; write a label without white space"):
        count([("a b",)], [("NOUN",)], task=TAGS)


def test_counts_say_their_task_wherever_they_are_kept() -> None:
    counts = count([("NOUN",)], [("VERB",)], task=TAGS)
    assert Counts.from_bytes(counts.to_bytes(), where="x").task is TAGS
    names = count([("B-PER",)], [("B-PER",)])
    assert b"task" not in names.to_bytes()
    assert (counts + counts).task is counts.at([0]).task is counts.only("").task is TAGS
    with pytest.raises(DinkuError, match="counts of a label a word and of named entities; compare runs of one task"):
        counts + names
    with pytest.raises(DinkuError, match="the runs aren't over the same sentences"):
        paired([names], [counts])


def test_intervals_and_tests_are_those_of_accuracy() -> None:
    random = np.random.default_rng(0)
    gold = [tuple(random.choice(["A", "B", "C"], 12)) for _ in range(60)]
    worse, better = ([tuple(t if random.random() < p else "A" for t in s) for s in gold] for p in (0.5, 0.95))
    a, b = (count(gold, found, task=TAGS) for found in (worse, better))
    right = np.mean([x == y for s, t in zip(gold, better, strict=True) for x, y in zip(s, t, strict=True)])
    found = interval([b], draws=200)
    assert found.value == pytest.approx(right)
    assert found.low < found.value < found.high
    assert paired([a], [b], draws=200).p_value < 0.02
    assert non_inferior([b], [b], 0.01, draws=200).holds
    assert not non_inferior([b], [a], 0.01, draws=200).holds


# Models


def test_a_tagger_of_words_keeps_its_task(tagger: Tagger, data: Data, tmp_path: Path) -> None:
    assert (tagger.tags, tagger.task) == (("INTJ", "PROPN", "SYM"), TAGS)
    assert repr(tagger).endswith("INTJ PROPN SYM)")
    folder = tagger.save(tmp_path / "tagger")
    config = json.loads((folder / "config.json").read_text())
    assert config["dinku_task"] == "tags"
    assert config["architectures"] == ["XLMRobertaForTokenClassification"]
    again = open_tagger(folder)
    assert (again.digest, again.task) == (tagger.digest, TAGS)
    assert data.dev
    found = again.tag(data.dev.sentences)
    assert {label for t in found for label in t.tags} <= {*tagger.tags}
    assert counted(data.dev, found).accuracy > 0.6
    config["dinku_task"] = "tagz"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(DinkuError, match="there is no task 'tagz'; did you mean tags"):
        open_tagger(folder)


def test_a_head_of_entities_says_nothing_of_a_task(tmp_path: Path) -> None:
    folder = tiny_tagger().save(tmp_path / "tagger")
    assert "dinku_task" not in json.loads((folder / "config.json").read_text())
    assert ModelFolder(folder).task is NER


def test_labels_of_a_head_may_be_named_otherwise_and_none_dropped() -> None:
    assert renamed(("NOUN", "LABEL_1"), {"LABEL_1": "VERB"}, where="x", task=TAGS) == ("NOUN", "VERB")
    with pytest.raises(DinkuError, match="drops a label, and of a label a word none can be dropped"):
        renamed(("NOUN", "VERB"), {"VERB": ""}, where="x", task=TAGS)
    with pytest.raises(DinkuError, match="its label 'NOUN' isn't a label, or is there twice"):
        checked(("NOUN", "NOUN"), where="x", task=TAGS)


def test_a_word_without_a_subword_gets_the_first_label_without_confidence(tagger: Tagger) -> None:
    (found,) = tagger.tag([dinku.Sentence(("Badeo", "\u200b", ""))])
    assert (found.tags[2], found.scores[2]) == ("INTJ", pytest.approx(1 / 3))


def test_tasks_do_not_mix(tagger: Tagger, data: Data) -> None:
    with pytest.raises(
        DinkuError, match="is for a label a word, and tiny is about named entities; name a corpus of the task"
    ):
        tagger.evaluate(tiny_corpus(4))
    with pytest.raises(DinkuError, match="is for named entities, and tags tiny is about a label a word"):
        Distil(epochs=1, rate=1e-3, batch=8).apply(tiny_tagger(), data, Work(threads=1))
    one = dinku.Corpus("mine", "train", (dinku.Sentence(("a",), ("A",)),), task=TAGS)
    with pytest.raises(DinkuError, match="FineTune: mine: has one label, A"):
        FineTune(epochs=1).can_use(Data(one))


# Methods


def test_addresses_of_entities_do_not_know_the_task(data: Data) -> None:
    names = FineTune(epochs=1, rate=1e-3).resolve(None, Data(tiny_corpus()))
    assert "task" not in to_json(names)["FineTune"]
    words = FineTune(epochs=1, rate=1e-3).resolve(None, data)
    assert to_json(words)["FineTune"]["task"] == "tags"
    with pytest.raises(DinkuError, match="name each label once"):
        FineTune(tags=("A", "A"), task="tags")


@pytest.mark.slow
def test_methods_take_a_tagger_of_words(tagger: Tagger, data: Data) -> None:
    work = Work(threads=1)
    assert data.dev
    for method in (Sparsify(0.3, importance="taylor"), KeepLayers((1,)), Distil(epochs=2, rate=1e-2, batch=16)):
        after = method.resolve(tagger, data.seen_by(method)).apply(tagger, data.seen_by(method), work)
        assert (after.task, after.tags) == (TAGS, tagger.tags), method
        assert after.evaluate(data.dev).task is TAGS
    quantized = dinku.methods.QuantizeDynamic().apply(tagger, Data(), work)
    assert quantized.evaluate(data.dev).accuracy == pytest.approx(tagger.evaluate(data.dev).accuracy, abs=0.05)


@pytest.mark.slow
def test_a_word_network_learns_labels_without_transitions(data: Data, tmp_path: Path) -> None:
    base = tiny_tagger(tags=())
    network = StartWords().resolve(base, data).apply(base, data, Work(threads=1))
    network = FineTune(epochs=1, rate=1e-2, batch=16).resolve(network, data).apply(network, data, Work(threads=1))
    assert data.dev
    assert network.evaluate(data.dev).accuracy > 0.6
    again = open_tagger(network.save(tmp_path / "words"))
    assert (again.task, again.digest) == (TAGS, network.digest)


# Bundles, prediction, serving


@pytest.fixture(scope="module")
def bundle(tagger: Tagger, data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "small"
    assert data.dev
    dinku.export(tagger, folder, data.dev)
    return folder


def test_a_bundle_labels_words_as_its_tagger_does(bundle: Path, tagger: Tagger, data: Data) -> None:
    assert data.dev
    opened = dinku.Bundle.open(bundle)
    assert opened.task is TAGS
    assert [t.tags for t in opened.tag(data.dev.sentences)] == [t.tags for t in tagger.tag(data.dev.sentences)]
    card = (bundle / "README.md").read_text()
    for said in (
        "pipeline_tag: token-classification",
        "Labels each word of a text as INTJ, PROPN, SYM.",
        "## Accuracy",
    ):
        assert said in card
    assert "named-entity-recognition" not in card


def test_no_page_is_made_for_a_browser_that_would_look_for_entities(bundle: Path, dinku: Dinku, tmp_path: Path) -> None:
    with pytest.raises(DinkuError, match="is for a label a word, and the page finds named entities"):
        web_page(Bundle.open(bundle), tmp_path / "page", name="small")
    status, _, err = dinku("export", bundle, tmp_path / "page", "--web", "--libraries", tmp_path)
    assert status == 2
    assert "run `dinku serve`" in err
    assert not list(tmp_path.iterdir())


def test_plain_transformers_reads_the_same_labels(bundle: Path, tagger: Tagger, tmp_path: Path) -> None:
    from transformers import AutoModelForTokenClassification

    model = AutoModelForTokenClassification.from_pretrained(tagger.save(tmp_path / "tagger"))
    assert list(model.config.id2label.values()) == ["INTJ", "PROPN", "SYM"]


def test_words_are_labelled_in_text_as_typed(bundle: Path, dinku: Dinku) -> None:
    status, out, err = dinku("predict", bundle, "--format", "jsonl", stdin=b"Badeo, ki")
    assert (status, err) == (0, "")
    answer = json.loads(out)
    assert answer.keys() == {"text", "words"}
    assert [word["text"] for word in answer["words"]] == ["Badeo", ",", "ki"]
    assert {word["label"] for word in answer["words"]} <= {"INTJ", "PROPN", "SYM"}
    status, out, _ = dinku("predict", bundle, "--format", "conll", stdin=b"Badeo ki")
    assert [line.split()[0] for line in out.splitlines() if line] == ["Badeo", "ki"]
    status, _, err = dinku("predict", bundle, "--threshold", "0.5", stdin=b"Badeo")
    assert status == 2
    assert "--threshold: leaves out entities, and this model gives a label a word" in err


def test_words_are_labelled_over_http(bundle: Path) -> None:
    reader = dinku.open(bundle)
    batcher = Batcher(reader, Limits())
    try:
        (answer,) = batcher.ask(["Badeo ki"]).result(60)
    finally:
        batcher.close()
    assert [word["label"] for word in answer["words"]] == [word["label"] for word in reader.find("Badeo ki")]
    found = openapi(Limits(), TAGS)["components"]["schemas"]["Found"]
    assert found["required"] == ["text", "words"]
    assert openapi(Limits())["components"]["schemas"]["Found"]["required"] == ["text", "entities"]


def test_a_corpus_is_scored_by_accuracy(bundle: Path, dinku: Dinku, tmp_path: Path) -> None:
    name = corpus_folder(tmp_path / "mine", TAGS)
    status, out, err = dinku("evaluate", bundle, "--corpus", name, "--json", "--detail", "--perturb", "upper,slips")
    assert status == 0, err
    told = json.loads(out)
    assert (told["task"], told["measure"]) == ("tags", "accuracy")
    assert told["accuracy"] == told["default"]["f1"]
    assert told["by_type"].keys() == {"INTJ", "PROPN", "SYM"}
    assert told["detail"].keys() == {"errors", "calibration_error"}
    status, out, _ = dinku("evaluate", bundle, "--corpus", name, "--save", tmp_path / "found.conll")
    assert "accuracy is the score" in " ".join(out.split())
    assert dinku_corpus(f"{tmp_path / 'found.conll'}?task=tags").task is TAGS
    status, _, err = dinku("evaluate", bundle, "--corpus", "sample:hau")
    assert status == 2
    assert "is for a label a word, and sample:hau is about named entities" in err
    status, _, err = dinku("evaluate", bundle, "--corpus", name, "--perturb", "mixing")
    assert "needs entities" in err


def dinku_corpus(name: str) -> dinku.Corpus:
    return dinku.load(name, "test")


# Studies


_STUDY = """
name: words
base: encoder
corpus: {corpus}
recipes:
  - arm: dense
    steps: [FineTune: {{epochs: 2, batch: 16, rate: 1.0e-2}}]
  - arm: after
    grid: {{sparsity: [0.5]}}
    steps: [FineTune: {{epochs: 2, batch: 16, rate: 1.0e-2}}, Sparsify: {{sparsity: $sparsity}}]
"""


@pytest.mark.slow
def test_a_study_of_words_is_run_and_reported(home: Path, dinku: Dinku, tmp_path: Path) -> None:
    tiny_tagger(tags=()).save(home / "models" / "encoder")
    study = tmp_path / "words.yaml"
    study.write_text(_STUDY.format(corpus=corpus_folder(tmp_path / "mine", TAGS)), encoding="utf-8")
    status, out, err = dinku("run", study)
    assert status == 0, err
    assert "accuracy on test, mean over languages" in " ".join(out.split())
    rows = [json.loads(line) for line in (tmp_path / "results" / "words" / "rows.jsonl").read_text().splitlines()]
    assert {row["task"] for row in rows} == {"tags"}
    assert rows[0]["recipe"]["steps"][0]["FineTune"]["task"] == "tags"
    status, out, err = dinku("report", study, "--out", tmp_path / "report")
    assert status == 0, err
    text = (tmp_path / "report" / "report.md").read_text()
    assert "## Accuracy" in text
    assert "Accuracy, mean over languages" in text
    measured = text.partition("### Accuracy")[2]
    assert "strict" not in measured.partition("###")[0]
    assert "F1" not in measured
    status, out, _ = dinku("results", study, "--json")
    assert {record["task"] for record in json.loads(out)["rows"]} == {"tags"}


@pytest.mark.slow
def test_train_makes_a_tagger_of_words(home: Path, dinku: Dinku, tmp_path: Path) -> None:
    tiny_tagger(tags=()).save(home / "models" / "encoder")
    name = corpus_folder(tmp_path / "mine", TAGS)
    for file in (tmp_path / "mine").glob("*/dev.txt"):
        file.unlink()  # some of train is set aside instead, in another format
    status, out, err = dinku("train", "encoder", "--corpus", name, "--out", tmp_path / "tagger", "--epochs", "1")
    assert status == 0, err
    assert "accuracy" in out
    assert ModelFolder(tmp_path / "tagger").task is TAGS
