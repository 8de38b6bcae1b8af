"""Word networks through everything that a tagger can: trained, distilled, saved, bundled for both engines, run by a study."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import dinku
from dinku.cli.app import main
from dinku.errors import DinkuError
from dinku.export import onnxruntime as to_onnxruntime
from dinku.export.pipeline import export
from dinku.method import Data, Method, Work
from dinku.methods import Distil, FineTune, KeepLayers, Quantize, QuantizeDynamic, Sparsify, StartWords, TrimVocabulary
from dinku.model.bundle import Bundle
from dinku.model.runtimes import Precision, Runtime
from dinku.model.word_shape import WordShape
from dinku.nn.loading import load, open_tagger
from dinku.nn.word_tagger import WordTagger
from dinku.study.recipe import Recipe
from dinku.testing import TAGS, tiny_corpus, tiny_data, tiny_tagger

SMALL = StartWords(
    features=("word", "prefix2", "suffix2", "shape"), rows=400, embedding=16, width=24, depth=2, pieces=2
)
ONE = Work(threads=1)
TRAINING = FineTune(epochs=30, rate=1e-2, batch=16, warmup=0.05)


@pytest.fixture(scope="module")
def trained() -> WordTagger:
    return TRAINING.apply(SMALL.apply(tiny_tagger(), Data(), ONE), tiny_data(), ONE)


def test_it_costs_what_it_declares(trained: WordTagger) -> None:
    before = tiny_tagger(tags=()).shape
    fresh = SMALL.apply(tiny_tagger(), Data(), ONE)
    assert SMALL.declare(before).broken_by(fresh.shape) == ""
    declared = TRAINING.resolve(None, tiny_data()).declare(SMALL.declare(before))
    assert declared.broken_by(trained.shape) == ""
    assert trained.shape.parameters == sum(p.numel() for p in trained.model.parameters())


def test_it_learns(trained: WordTagger) -> None:
    dev = tiny_data().dev
    assert dev
    assert trained.evaluate(dev).scores().f1 > 0.9
    assert trained.learned


def test_two_seeds_are_two_networks_and_one_seed_one() -> None:
    one, same, other = (SMALL.apply(tiny_tagger(), Data(), replace(ONE, seed=seed)) for seed in (0, 0, 1))
    assert one.digest == same.digest != other.digest


def test_it_is_saved_and_loaded(trained: WordTagger, tmp_path: Path) -> None:
    folder = trained.save(tmp_path / "words")
    for loaded in (load(folder), open_tagger(folder)):
        assert loaded.digest == trained.digest
        assert loaded.tags == TAGS
        assert loaded.learned == trained.learned
    reader = dinku.open(folder)
    sentence = tiny_corpus(1, seed=9).sentences[0]
    assert {entity["label"] for entity in reader.find(" ".join(sentence.words))} <= {tag[2:] for tag in TAGS}


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_damaged_folder_is_refused(trained: WordTagger, tmp_path: Path, name: str) -> None:
    folder = trained.save(tmp_path / "words")
    whole = (folder / name).read_bytes()
    for part in (b"", whole[: len(whole) // 2]):
        (folder / name).write_bytes(part)
        with pytest.raises(DinkuError, match=str(name).replace(".", r"\.")):
            load(folder)
    (folder / name).unlink()
    with pytest.raises(DinkuError):
        load(folder)


def test_weights_of_another_config_are_refused(trained: WordTagger, tmp_path: Path) -> None:
    folder = trained.save(tmp_path / "words")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"width": 25}))
    with pytest.raises(DinkuError, match="holds no weights for this config"):
        load(folder)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_bundles_tag_as_it_does(trained: WordTagger, tmp_path: Path, runtime: Runtime, precision: Precision) -> None:
    corpus = tiny_corpus(120, seed=3)
    options: dict[str, Any] = {} if precision == "fp32" else {"calibration": tiny_corpus(120, seed=4), "tolerance": 1.0}
    bundle = export(trained, tmp_path / "bundle", corpus, runtime=runtime, precision=precision, **options)
    assert isinstance(bundle, Bundle)
    assert bundle.legal_tags
    wanted = [found.tags for found in trained.tag(corpus.sentences)]
    found = [each.tags for each in bundle.tag(corpus.sentences)]
    equal = np.mean([a == b for x, y in zip(wanted, found, strict=True) for a, b in zip(x, y, strict=True)])
    assert equal == 1 if precision == "fp32" else equal > 0.97
    assert isinstance(bundle.shape, WordShape)
    if runtime == "onnxruntime":
        stored = onnx.load(bundle.folder / bundle.manifest.model).graph.initializer
        weights = sum(numpy_helper.to_array(tensor).nbytes for tensor in stored)
        assert bundle.shape.bytes <= weights < bundle.shape.bytes + 2000  # zero points, sizes and the like
    assert not {"tokenizer.json", "tokenizer_config.json"} & set(bundle.manifest.files)
    card = (bundle.folder / "README.md").read_text(encoding="utf-8")
    assert ("transformers.js can't open it" in card) == (runtime == "onnxruntime")


def test_int8_answers_alike_however_its_numbers_are_moved_about(
    trained: WordTagger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rounding a word once, and multiplying the whole table once, are for speed alone."""
    corpus = tiny_corpus(120, seed=3)
    options: dict[str, Any] = {"calibration": tiny_corpus(120, seed=4), "tolerance": 1.0}
    quick = export(trained, tmp_path / "quick", corpus, precision="int8", **options)
    monkeypatch.setattr(to_onnxruntime, "_round_before_joining", lambda model: None)
    monkeypatch.setattr(to_onnxruntime, "UNFOLDED", 0)
    plain = export(trained, tmp_path / "plain", corpus, precision="int8", **options)
    nodes = [onnx.load(each.folder / each.manifest.model).graph.node for each in (quick, plain)]
    assert [[n.op_type for n in each].count("QuantizeLinear") for each in nodes] == [4, 4]
    assert nodes[0] != nodes[1]
    windows = quick.encoder.windows([s.words for s in corpus])
    for (_, a), (_, b) in zip(quick.answered(windows), plain.answered(windows), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_transformer_teaches_it(trained: WordTagger) -> None:
    teacher = tiny_tagger()
    student = Distil(student=(SMALL,), epochs=2, rate=1e-2, batch=16, warmup=0.0).apply(teacher, tiny_data(), ONE)
    assert isinstance(student, WordTagger)
    assert student.tags == teacher.tags
    declared = Distil(student=(SMALL,), epochs=2, rate=1e-2, batch=16, warmup=0.0).declare(teacher.shape)
    assert declared.broken_by(student.shape) == ""


def test_a_bundle_teaches_it_as_the_tagger_does(tmp_path: Path) -> None:
    teacher, method = tiny_tagger(), Distil(student=(SMALL,), epochs=2, rate=1e-2, batch=16, warmup=0.0)
    bundle = export(teacher, tmp_path / "bundle", tiny_corpus(120, seed=3), silent=True)
    recipe = Recipe("base", "corpus", (Quantize(tolerance=1.0), method))
    assert recipe.resolved(tiny_data(), teacher.shape)[1][-1].tags == len(TAGS)
    with pytest.raises(DinkuError, match="quantized"):
        Recipe("base", "corpus", (Quantize(), Distil(epochs=2, rate=1e-2))).resolved(tiny_data(), teacher.shape)
    own, other = (method.apply(each, tiny_data(), ONE) for each in (teacher, bundle))
    corpus = tiny_corpus(30, seed=6)
    pairs = zip(own.tag(corpus.sentences), other.tag(corpus.sentences), strict=True)
    assert np.mean([a.tags == b.tags for a, b in pairs]) > 0.9


def test_unlabelled_text_is_read_in_so_many_passes() -> None:
    labelled = [True, False, True, False, False]
    once = Distil.windows_read(labelled, 2, 0)
    assert once == Distil.windows_read(labelled, 2, 0, 1)
    epochs = Distil.windows_read(labelled, 2, 0, 3)
    assert all(epoch[:2] == [0, 2] for epoch in epochs)
    read = [i for epoch in epochs for i in epoch[2:]]
    assert sorted(read) == [1, 1, 1, 3, 3, 3, 4, 4, 4]


@pytest.mark.parametrize("given", [{"hidden": 1.0}, {"relations": 1.0}])
def test_its_insides_match_no_transformer(given: dict[str, float]) -> None:
    with pytest.raises(DinkuError, match="the student reads others"):
        Distil(student=(SMALL,), epochs=1, rate=1e-2, **given).declare(tiny_tagger().shape)


@pytest.mark.parametrize("method", [KeepLayers(keep=(0,)), Sparsify(0.5), TrimVocabulary(size=90), QuantizeDynamic()])
def test_what_changes_transformers_is_refused_in_a_line(method: Method, trained: WordTagger) -> None:
    with pytest.raises(DinkuError, match=f"{type(method).__name__}.*can't change a model of this kind"):
        method.apply(trained, tiny_data(), ONE)  # type: ignore[arg-type]
    recipe = Recipe("base", "corpus", (SMALL, method))
    with pytest.raises(DinkuError, match=f"{type(method).__name__}.*can't change a model of this kind"):
        recipe.resolved(tiny_data(), tiny_tagger().shape)


@pytest.mark.parametrize(
    "fields", [{"rows": 0}, {"hashes": 5}, {"features": ("words",)}, {"depth": 0}, {"features": ()}]
)
def test_wrong_fields_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(DinkuError):
        StartWords(**fields)


def test_a_study_runs_it_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DINKU_HOME", str(tmp_path / "home"))
    (tmp_path / "words.yaml").write_text(
        """
name: words
title: Word networks
base: dinku:house
corpus: sample:hau
recipes:
  - arm: words
    steps:
      - StartWords: {rows: 500, embedding: 16, width: 16, depth: 1}
      - FineTune: {epochs: 12, rate: 1.0e-2, batch: 16}
  - arm: int8
    steps:
      - StartWords: {rows: 500, embedding: 16, width: 16, depth: 1}
      - FineTune: {epochs: 12, rate: 1.0e-2, batch: 16}
      - Quantize: {mode: static, tolerance: 1.0}
""".lstrip()
    )
    _dinku(monkeypatch, "plan", "words.yaml")
    _dinku(monkeypatch, "run", "words.yaml", "--threads", "1")
    capsys.readouterr()
    _dinku(monkeypatch, "results", "words", "--json")
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["arm"] for row in rows} == {"words", "int8"}
    by_arm = {row["arm"]: row for row in rows}
    assert by_arm["int8"]["bytes_disk"] < by_arm["words"]["bytes_disk"] * 0.6
    _dinku(monkeypatch, "report", "words")


def _dinku(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", ["dinku", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code in (0, None)
