"""Conversion for every family, and the gate: what it must let pass and what it must catch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from dinku.data import sources
from dinku.data.corpus import Corpus
from dinku.errors import DinkuError
from dinku.export import convert, gate
from dinku.export import openvino as to_openvino
from dinku.method import Data, Method, Work
from dinku.methods.dynamic import QuantizeDynamic
from dinku.methods.factorize import FactorizeEmbeddings
from dinku.methods.feedforward import NarrowFeedForward
from dinku.methods.heads import PruneHeads
from dinku.methods.hidden import NarrowHidden
from dinku.methods.layers import KeepLayers
from dinku.methods.sparsity import Sparsify
from dinku.methods.vocabulary import TrimVocabulary
from dinku.model.encode import SubwordBatch
from dinku.model.engine import InspectableEngine
from dinku.model.onnxruntime import OnnxEngine
from dinku.model.openvino import OpenVinoEngine
from dinku.model.windows import Batch, Logits
from dinku.nn.tagger import Tagger
from dinku.nn.torch_engine import TorchEngine
from dinku.testing import tiny_corpus, tiny_tagger

FAMILIES = [("xlm-roberta", "unigram"), ("bert", "wordpiece"), ("roberta", "bytes"), ("distilbert", "wordpiece")]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return tiny_corpus(160, seed=5, split="dev")


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda family: family[0])
def converted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Tagger, Path]:
    tagger = tiny_tagger(*request.param)
    return tagger, convert.to_onnx(tagger, tmp_path_factory.mktemp("converted") / "model.onnx")


def test_each_family_passes_on_both_engines(converted: tuple[Tagger, Path], corpus: Corpus, tmp_path: Path) -> None:
    tagger, path = converted
    before = tagger.digest
    openvino = to_openvino.write_float(path, tmp_path / "model.xml", "fp32")
    for engine in (OnnxEngine(path, threads=1), OpenVinoEngine(openvino, threads=1)):
        found = gate.Reference(tagger, corpus).gate(engine, "fp32")
        assert found.logits < 1e-5
        assert found.longest == tagger.encoder.length
        assert (found.equal, found.words, found.f1) == (1.0, corpus.words, found.f1_before)
    assert tagger.digest == before


def test_the_file_reads_no_other_and_names_no_place(converted: tuple[Tagger, Path]) -> None:
    path = converted[1]
    assert [p.name for p in path.parent.iterdir()] == ["model.onnx"]
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [[d.dim_param for d in value.type.tensor_type.shape.dim] for value in model.graph.input] == [
        ["batch", "length"],
        ["batch", "length"],
    ]
    assert b".py" not in path.read_bytes()


def _transposed(graph: Any) -> None:
    """The last square weight that is multiplied, transposed."""
    squares = {t.name: t for t in graph.initializer if len(t.dims) == 2 and t.dims[0] == t.dims[1]}
    name = [n.input[1] for n in graph.node if n.op_type == "MatMul" and n.input[1] in squares][-1]
    squares[name].CopyFrom(numpy_helper.from_array(numpy_helper.to_array(squares[name]).T.copy(), name))


def _rescaled(graph: Any) -> None:
    """The scale of the last attention, a tenth too large."""
    scalars = {t.name: t for t in graph.initializer if not len(t.dims)}
    node = [n for n in graph.node if n.op_type == "Mul" and n.input[1] in scalars][-1]
    wrong = numpy_helper.from_array(numpy_helper.to_array(scalars[node.input[1]]) * np.float32(1.1), "wrong")
    graph.initializer.append(wrong)
    node.input[1] = "wrong"


def _unmasked(graph: Any) -> None:
    """What is hidden from attention, shown."""
    (node,) = [n for n in graph.node if n.op_type == "Where"]
    node.input[2] = node.input[1]


@pytest.fixture(scope="module")
def bert(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> tuple[gate.Reference, Path]:
    tagger = tiny_tagger("bert", "wordpiece")
    path = convert.to_onnx(tagger, tmp_path_factory.mktemp("bert") / "model.onnx")
    return gate.Reference(tagger, corpus), path


@pytest.mark.parametrize("plant", [_transposed, _rescaled, _unmasked])
def test_planted_errors_are_caught(
    plant: Callable[[Any], None], bert: tuple[gate.Reference, Path], tmp_path: Path
) -> None:
    reference, path = bert
    model = onnx.load(path)
    plant(model.graph)
    onnx.save(model, tmp_path / "wrong.onnx")
    xml = to_openvino.write_float(tmp_path / "wrong.onnx", tmp_path / "wrong.xml", "fp32")
    for engine in (OnnxEngine(tmp_path / "wrong.onnx", threads=1), OpenVinoEngine(xml, threads=1)):
        with pytest.raises(
            DinkuError, match=r"gate: isn't the tagger .* a logit differs by .*; nothing was written"
        ) as e:
            reference.gate(engine, "fp32")
        assert e.value.status == 1


class _Planted:
    """An engine that is wrong in one way."""

    def __init__(self, engine: InspectableEngine, spoil: Callable[[SubwordBatch, Logits], Logits]) -> None:
        self.engine, self.spoil = engine, spoil
        self.executed, self.kernels, self.instructions = engine.executed, engine.kernels, engine.instructions

    def logits(self, batch: Batch) -> Logits:
        assert isinstance(batch, SubwordBatch)
        return self.spoil(batch, self.engine.logits(batch))


def _when(condition: Callable[[SubwordBatch], bool]) -> Callable[[SubwordBatch, Logits], Logits]:
    return lambda batch, logits: logits + 0.01 if condition(batch) else logits


@pytest.mark.parametrize(
    "spoil",
    [
        _when(lambda b: b.ids.shape[1] == 64),
        _when(lambda b: b.ids.shape[1] == 3),
        _when(lambda b: b.ids.shape[0] == 7),
        _when(lambda b: b.ids.shape[0] == 16),
        _when(lambda b: not b.full),
        lambda batch, logits: np.where(np.arange(len(logits))[:, None] == len(logits) - 1, np.nan, logits),
    ],
    ids=["longest", "shortest", "sevens", "sixteens", "padded", "not a number"],
)
def test_the_gate_sees_every_length_and_shape(
    spoil: Callable[[SubwordBatch, Logits], Logits], bert: tuple[gate.Reference, Path]
) -> None:
    reference = bert[0]
    assert isinstance(reference.tagger, Tagger)
    with pytest.raises(DinkuError, match=r"a logit differs|aren't all numbers"):
        reference.gate(_Planted(TorchEngine(reference.tagger.model), spoil), "fp32")


def test_the_gate_lets_the_same_pass(bert: tuple[gate.Reference, Path]) -> None:
    reference = bert[0]
    assert isinstance(reference.tagger, Tagger)
    found = reference.gate(TorchEngine(reference.tagger.model), "fp32")
    assert (found.logits < 1e-5, found.equal) == (True, 1.0)


def test_what_each_precision_allows() -> None:
    passed = gate.Equivalence("fp32", 1e-4, 5.0, 0.0, 18, 512, 1.0, 1000, 0.8, 0.8, {})

    def fault(tolerance: float = convert.TOLERANCE, **values: Any) -> str:
        return replace(passed, **values).fault(tolerance)

    assert not fault()
    assert "a logit differs by 0.0011" in fault(logits=1.1e-3)
    assert not fault(precision="bf16", logits=0.3, equal=0.998)
    assert "99.79% of 1,000 tags" in fault(precision="bf16", equal=0.9979)
    assert not fault(precision="int8", logits=0.3, equal=0.99, f1=0.795)
    assert "98.90%" in fault(precision="int8", equal=0.989)
    assert "F1 is 79.40 and was 80.00 (at most 0.5% less)" in fault(precision="int8", equal=0.99, f1=0.794)
    assert not fault(0.01, precision="int8", equal=0.99, f1=0.794)
    assert not fault(1.0, precision="int8", equal=0.5, f1=0.1)
    assert "aren't all numbers" in fault(1.0, precision="int8", logits=float("nan"))
    assert "isn't known" in fault(precision="int8", f1=None, f1_before=None)


def test_engines_state_their_precision(bert: tuple[gate.Reference, Path], tmp_path: Path) -> None:
    encoder, source = bert[0].tagger.encoder, bert[1]
    path = to_openvino.write_float(source, tmp_path / "model.xml", "fp32")
    batch = encoder.batch(encoder.windows([("Ba",)]))
    for precision, types in (("fp32", {"float32"}), ("bf16", {"float32", "bfloat16"})):
        found = OpenVinoEngine(path, threads=1, precision=precision).executed(batch)
        assert {name.split()[0] for name in found if name.split()[1] in ("FullyConnected", "MatMul")} <= types
    found = OnnxEngine(source, threads=1).executed(batch)
    assert sum(n for name, n in found.items() if name.endswith("LayerNormalization")) == 5
    assert sum(n for name, n in found.items() if "MatMul" in name) == 2 * (6 + 2) + 1
    half = to_openvino.write_float(source, tmp_path / "half.xml", "bf16")
    sizes = [p.with_suffix(".bin").stat().st_size for p in (path, half)]
    assert 1.8 < sizes[0] / sizes[1] < 2.1


@pytest.mark.parametrize("reads", [["input_ids"], ["input_ids", "attention_mask", "token_type_ids"]])
def test_what_reads_something_else_is_no_token_classifier(reads: list[str], tmp_path: Path) -> None:
    given = [onnx.helper.make_tensor_value_info(name, 1, ["batch", "length"]) for name in reads]
    answer = onnx.helper.make_tensor_value_info("logits", 1, ["batch", "length"])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Sum", reads, ["logits"])], "g", given, [answer])
    model = onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 20)])
    onnx.save(model, tmp_path / "model.onnx")
    for engine in (OnnxEngine, OpenVinoEngine):
        with pytest.raises(DinkuError, match="its inputs and outputs aren't a token classifier's"):
            engine(tmp_path / "model.onnx", threads=1)


def test_what_cannot_be_converted_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(DinkuError, match="is an encoder without tags"):
        convert.to_onnx(tiny_tagger(tags=()), tmp_path / "model.onnx")
    tagger = tiny_tagger()
    quantized = QuantizeDynamic().apply(tagger, Data(), Work(threads=1))
    with pytest.raises(DinkuError, match="is quantized for torch"):
        convert.to_onnx(quantized, tmp_path / "model.onnx")
    with pytest.raises(DinkuError, match="too few to compare"):
        gate.Reference(tagger, tiny_corpus(20)).gate(TorchEngine(tagger.model), "fp32")
    (tmp_path / "none.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(DinkuError, match="can't be opened"):
        OnnxEngine(tmp_path / "none.onnx", threads=1)
    (tmp_path / "none.xml").write_text("<net/>")
    with pytest.raises(DinkuError, match="can't be opened"):
        OpenVinoEngine(tmp_path / "none.xml", threads=1)


@pytest.mark.parametrize(
    "methods",
    [
        (KeepLayers((1,)), Sparsify(sparsity=0.6), TrimVocabulary(size=50)),
        (PruneHeads(3, spread="uneven"), NarrowFeedForward(12, spread="uneven", multiple=4)),
        (FactorizeEmbeddings(8), NarrowHidden(12)),
    ],
    ids=["sparse and trimmed", "uneven", "factorized"],
)
def test_what_methods_made_converts_too(methods: tuple[Method, ...], corpus: Corpus, tmp_path: Path) -> None:
    tagger: Any = tiny_tagger()
    data = Data(corpus, corpus)
    for method in methods:
        given = data.restricted(method.needs)
        tagger = method.resolve(tagger, given).apply(tagger, given, Work(threads=1))
    path = convert.to_onnx(tagger, tmp_path / "model.onnx")
    assert gate.Reference(tagger, corpus).gate(OnnxEngine(path, threads=1), "fp32").equal == 1.0


@pytest.mark.shared
def test_a_real_tagger_passes_on_real_sentences(shared: Path, tmp_path: Path) -> None:
    """With the pieces of its vocabulary that these sentences need, as files of 470 MB take minutes."""
    corpus = sources.load("masakhaner:amh,yor", "dev").sample(30, 0)
    whole = Tagger.load(shared / "models" / "e5-masakhaner")
    tagger = TrimVocabulary(9000).apply(whole, Data(corpus), Work(threads=1))
    reference = gate.Reference(tagger, corpus)
    path = convert.to_onnx(tagger, tmp_path / "model.onnx")
    assert reference.gate(OnnxEngine(path, threads=1), "fp32").logits < 1e-4
    full = reference.gate(
        OpenVinoEngine(to_openvino.write_float(path, tmp_path / "model.xml", "fp32"), threads=1), "fp32"
    )
    assert full.logits < 1e-4
    half = to_openvino.write_float(path, tmp_path / "half.xml", "bf16")
    found = reference.gate(OpenVinoEngine(half, threads=1, precision="bf16"), "bf16")
    assert found.f1 == pytest.approx(full.f1, abs=0.01)
