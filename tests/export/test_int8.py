"""Int8 for engines: what smoothing leaves alone, how weights round, what is caught, and which layers stay in float32."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
import pytest
import torch
from onnx import numpy_helper

from dinku.data import sources
from dinku.data.conll import write
from dinku.data.corpus import Corpus
from dinku.errors import DinkuError
from dinku.export import convert, int8, pipeline
from dinku.export import onnxruntime as to_onnxruntime
from dinku.export import openvino as to_openvino
from dinku.export.float_layers import fewest
from dinku.export.writer import Mode
from dinku.method import Data, Work
from dinku.methods.factorize import FactorizeEmbeddings
from dinku.methods.fresh import StartFresh
from dinku.methods.quantize import Quantize
from dinku.methods.sparsity import Sparsify
from dinku.model.bundle import Bundle, Quantization
from dinku.model.encode import SubwordBatch
from dinku.model.onnxruntime import OnnxEngine
from dinku.model.openvino import OpenVinoEngine
from dinku.model.runtimes import Runtime
from dinku.nn import surgery
from dinku.nn.tagger import Tagger
from dinku.nn.torch_engine import TorchEngine
from dinku.testing import TAGS, check_law, tiny_corpus, tiny_tagger
from dinku.training import importance

WAYS: list[tuple[Runtime, Mode]] = [
    ("onnxruntime", "dynamic"),
    ("onnxruntime", "static"),
    ("openvino", "dynamic"),
    ("openvino", "static"),
]
ONE = Work(threads=1)
pytestmark = pytest.mark.usefixtures("converted_once")


@pytest.fixture(scope="module")
def data() -> Data:
    return Data(tiny_corpus(120), tiny_corpus(160, seed=5, split="dev"))


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    """One with weights, norms and biases all their own, and a feature a hundred times larger than the others."""
    tagger = _own(tiny_tagger("bert", "wordpiece"))
    for name, parameter in tagger.model.named_parameters():
        if name.endswith("LayerNorm.weight"):
            parameter.data[3] *= 100
    return tagger


def _own(tagger: Tagger) -> Tagger:
    """With biases and norms all their own: of what is equal, one is stored."""
    random = torch.Generator().manual_seed(3)
    for parameter in tagger.model.parameters():
        if parameter.dim() == 1:
            parameter.data += 0.1 * torch.rand(parameter.shape, generator=random)
    return tagger


@pytest.fixture(scope="module")
def batches(tagger: Tagger, data: Data) -> list[SubwordBatch]:
    assert data.train
    windows = tagger.encoder.windows([s.words for s in data.train])
    return [tagger.encoder.batch([window]) for window in windows]


@pytest.fixture(scope="module")
def smoothed(
    tagger: Tagger, batches: list[SubwordBatch], converted_once: None, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    model = int8.read(convert.to_onnx(tagger, tmp_path_factory.mktemp("float") / "model.onnx"))
    int8.smooth(model, batches)
    return model


@pytest.fixture(scope="module")
def quantized(tagger: Tagger, data: Data, converted_once: None) -> Callable[[Quantize], Bundle]:
    """What a method makes of `tagger`: once for all tests, as it takes seconds."""
    bundles: dict[Quantize, Bundle] = {}

    def made(method: Quantize) -> Bundle:
        if method not in bundles:
            bundles[method] = method.apply(tagger, data, ONE)
        return bundles[method]

    return made


def _written(smoothed: Any, batches: list[SubwordBatch], folder: Path, runtime: str, mode: Any, kept: Any = ()) -> Path:
    write, end = (to_onnxruntime.write_int8, "onnx") if runtime == "onnxruntime" else (to_openvino.write_int8, "xml")
    return write(smoothed, folder / f"model.{end}", mode, batches, kept)


def _zeroed(smoothed: Any, path: Path) -> dict[str, int]:
    writer = to_openvino if path.suffix == ".xml" else to_onnxruntime
    return int8.zeroed(smoothed, writer.stored_weights(path, smoothed))


def _engine(path: Path) -> Any:
    return OpenVinoEngine(path, threads=1, precision="int8") if path.suffix == ".xml" else OnnxEngine(path, threads=1)


def _error(tagger: Tagger, batches: list[SubwordBatch], path: Path) -> float:
    """The mean difference of a logit from torch's."""
    engine, reference = _engine(path), TorchEngine(tagger.model)
    return float(np.mean([np.abs(engine.logits(b) - reference.logits(b)).mean() for b in batches]))


def test_smoothing_changes_nothing_in_float32(
    smoothed: Any, tagger: Tagger, batches: list[SubwordBatch], tmp_path: Path
) -> None:
    onnx.save(smoothed, tmp_path / "model.onnx")
    assert _error(tagger, batches, tmp_path / "model.onnx") < 1e-4
    names = int8.linear(smoothed)
    assert sorted(names) == sorted(n for n, m in tagger.model.named_modules() if isinstance(m, torch.nn.Linear))
    assert sum(node.op_type == "Mul" and node.name.endswith(".smoothed") for node in smoothed.graph.node) == 4 * 2 + 1


def test_smoothing_is_what_saves_the_small_features(
    smoothed: Any, tagger: Tagger, batches: list[SubwordBatch], tmp_path: Path
) -> None:
    plain = int8.read(convert.to_onnx(tagger, tmp_path / "float.onnx"))
    rough = _error(tagger, batches, to_onnxruntime.write_int8(plain, tmp_path / "plain.onnx", "dynamic", batches))
    fine = _error(tagger, batches, to_onnxruntime.write_int8(smoothed, tmp_path / "smooth.onnx", "dynamic", batches))
    assert fine < rough / 2


@pytest.mark.parametrize(("runtime", "mode"), WAYS)
def test_weights_are_the_nearest_steps_and_kept_ones_the_same(
    runtime: Runtime, mode: Mode, smoothed: Any, tagger: Tagger, batches: list[SubwordBatch], tmp_path: Path
) -> None:
    path = _written(smoothed, batches, tmp_path, runtime, mode, ["classifier", "bert.encoder.layer.1.output.dense"])
    zeros = _zeroed(smoothed, path)
    assert set(zeros) & {"classifier", "bert.encoder.layer.1.output.dense"} == set()
    assert len(zeros) == 12 + 1 + 1 - 2  # linear layers, head and word embeddings, but for those kept
    whole = _written(smoothed, batches, tmp_path, runtime, mode)
    assert len(_zeroed(smoothed, whole)) == 14
    assert np.isfinite(_error(tagger, batches, whole))


def test_no_pair_of_products_overflows_sixteen_bits(smoothed: Any, batches: list[SubwordBatch], tmp_path: Path) -> None:
    for mode in ("dynamic", "static"):
        model = onnx.load(_written(smoothed, batches, tmp_path, "onnxruntime", mode))
        weights = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer if t.name.endswith("_quantized")}
        weights = {name: w for name, w in weights.items() if w.ndim == 2 and "embeddings" not in name}
        assert len(weights) == 13
        assert max(int(np.abs(w.astype(int)).max()) for w in weights.values()) * 2 * 255 <= 2**15 - 1


def _doubled(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return (array * 2).astype(array.dtype)


@pytest.mark.parametrize("end", ["_scale", "embeddings.weight_scale"])
def test_one_wrong_scale_is_caught(end: str, smoothed: Any, batches: list[SubwordBatch], tmp_path: Path) -> None:
    path = _written(smoothed, batches, tmp_path, "onnxruntime", "dynamic")
    model = onnx.load(path)
    scale = [t for t in model.graph.initializer if t.name.endswith(end) and len(t.dims) and t.dims[0] > 1][-1]
    values = numpy_helper.to_array(scale).copy()
    values.reshape(-1)[-1] *= 1.05  # of one column or row, and but little
    scale.CopyFrom(numpy_helper.from_array(values, scale.name))
    onnx.save(model, path)
    with pytest.raises(DinkuError, match="isn't the rounded original") as e:
        _zeroed(smoothed, path)
    assert e.value.status == 1


def test_one_wrong_weight_is_caught_in_openvino(smoothed: Any, batches: list[SubwordBatch], tmp_path: Path) -> None:
    path = _written(smoothed, batches, tmp_path, "openvino", "static")
    raw = bytearray(path.with_suffix(".bin").read_bytes())
    model = openvino.Core().read_model(path)
    constants = [op for op in model.get_ops() if op.get_type_name() == "Constant" and op.get_element_type().size == 1]
    data = max((op.get_data() for op in constants), key=lambda d: d.size).tobytes()
    at = bytes(raw).index(data)
    raw[at + 100] = (raw[at + 100] + 20) % 128
    path.with_suffix(".bin").write_bytes(raw)
    with pytest.raises(DinkuError, match="isn't the rounded original"):
        _zeroed(smoothed, path)


def test_layers_are_ranked_by_what_their_rounding_does(
    smoothed: Any, tagger: Tagger, data: Data, batches: list[SubwordBatch], tmp_path: Path
) -> None:
    assert data.train
    before = tagger.digest
    found = importance.rounding(tagger, data.train, strength=int8.SMOOTH)
    assert sorted(found) == sorted(n for n, m in tagger.model.named_modules() if isinstance(m, torch.nn.Linear))
    assert all(cost > 0 for cost in found.values())
    assert found == importance.rounding(tagger, data.train, strength=int8.SMOOTH)
    assert tagger.digest == before
    first, *_, last = sorted(found, key=lambda n: found[n])
    diverged = []
    for name in (first, last):
        path = to_onnxruntime.write_int8(smoothed, tmp_path / "one.onnx", "dynamic", batches, set(found) - {name})
        diverged.append(_error(tagger, batches, path))
    assert diverged[0] < diverged[1]


@pytest.mark.parametrize("least", [1, 2, 3, 5, 8, 13, 14])
def test_the_fewest_layers_are_found(least: int) -> None:
    asked: list[int] = []

    def fine(n: int) -> bool:
        asked.append(n)
        return n >= least

    assert fewest(fine, 14) == least
    assert len(asked) == len(set(asked)) <= 8


@pytest.mark.parametrize("tolerance", [0.01, 0.99])
def test_where_f1_or_tags_would_be_lost_layers_stay_in_float32(data: Data, tmp_path: Path, tolerance: float) -> None:
    """On tags that the tagger itself gave, so that its F1 is 1, and with a layer that int8 leaves few steps."""
    tagger = _own(tiny_tagger())
    tagger.model.roberta.encoder.layer[0].intermediate.dense.weight.data[:, 0] += 30.0
    assert data.train
    assert data.dev
    found = tagger.tag(data.dev.sentences)
    dev = Corpus("own", "dev", tuple(replace(s, tags=t.tags) for s, t in zip(data.dev.sentences, found, strict=True)))
    made = pipeline.export(
        tagger, tmp_path / "out", dev, precision="int8", calibration=data.train, tolerance=tolerance, threads=1
    )
    how = made.manifest.quantization
    assert isinstance(how, Quantization)
    assert how.lost is not None
    assert 0.01 < how.lost < 0.99
    assert how.equal is not None
    assert how.equal < 0.99
    assert 1 <= len(how.kept) <= 13
    assert how.speed is not None
    assert made.manifest.gate["f1_before"] - made.manifest.gate["f1"] <= tolerance
    assert made.manifest.gate["equal"] >= 0.99
    assert how.bytes > 0
    assert "kept in fp32: " in (tmp_path / "out" / "README.md").read_text()
    check_law(Quantize(), tagger.shape, made.shape)


@pytest.mark.parametrize(("runtime", "mode"), WAYS)
def test_a_quantized_tagger_is_a_bundle_that_says_how_it_computes(
    runtime: Runtime, mode: Mode, tagger: Tagger, quantized: Callable[[Quantize], Bundle], tmp_path: Path
) -> None:
    method = Quantize(runtime=runtime, mode=mode, tolerance=1.0)
    made = quantized(method)
    check_law(method, tagger.shape, made.shape)
    opened = Bundle.open(str(made.save(tmp_path / "saved")), threads=1)
    assert opened.digest == made.digest
    sentences = tiny_corpus(20, seed=9).sentences
    assert [t.tags for t in opened.tag(sentences)] == [t.tags for t in made.tag(sentences)]
    found = opened.numerics(sentences)
    assert found.scheme == f"int8 {mode}, {runtime}"
    if (runtime, mode) != ("openvino", "dynamic"):  # whose products are the engine's choice
        assert sum(n for name, n in found.operators.items() if name.startswith("int8")) >= 13
    assert found.kernels.lower().startswith(runtime)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_unless_told_otherwise_an_answer_does_not_hang_on_what_else_is_in_the_batch(
    runtime: Runtime, quantized: Callable[[Quantize], Bundle]
) -> None:
    """Dynamic int8 of onnxruntime fails here, by as much as a step of its scale."""
    made = quantized(Quantize(runtime=runtime, tolerance=1.0))
    windows = made.encoder.windows([s.words for s in tiny_corpus(20, seed=9)])
    together = made.engine.logits(made.encoder.batch(windows))
    alone = np.concatenate([made.engine.logits(made.encoder.batch([window])) for window in windows])
    assert together == pytest.approx(alone, abs=1e-4)


def test_sparse_and_factorized_taggers_keep_their_zeros_and_bytes(data: Data) -> None:
    tagger = _own(tiny_tagger("bert", "wordpiece"))
    for step in (FactorizeEmbeddings(8), Sparsify(0.6, embeddings=True)):
        tagger = step.apply(tagger, data.seen_by(step), ONE)
    method = Quantize(tolerance=1.0)
    made = method.apply(tagger, data, ONE)
    check_law(method, tagger.shape, made.shape)
    assert made.shape.zeros == tagger.shape.zeros > 0
    assert made.shape.nonzero[0] <= tagger.shape.nonzero[0]
    model = onnx.load(made.folder / made.manifest.model)
    stored = [numpy_helper.to_array(t) for t in model.graph.initializer if "zero_point" not in t.name]
    held = sum(t.nbytes for t in stored if t.dtype in (np.int8, np.float32))
    assert held == pytest.approx(made.shape.bytes, abs=100)  # and a few constants of the graph


def test_what_is_wrong_is_one_line(
    tagger: Tagger, data: Data, quantized: Callable[[Quantize], Bundle], tmp_path: Path
) -> None:
    with pytest.raises(DinkuError, match=r"tolerance is 2.0; give the F1"):
        Quantize(tolerance=2.0)
    with pytest.raises(DinkuError, match="there is no dev split"):
        Quantize().apply(tagger, Data(data.train), ONE)
    with pytest.raises(DinkuError, match="has 20 sentences, too few"):
        Quantize().apply(tagger, Data(tiny_corpus(20), data.dev), ONE)
    assert data.dev
    with pytest.raises(DinkuError, match="there is no mode 'fast'; choose static or dynamic"):
        pipeline.export(tagger, tmp_path / "out", data.dev, precision="int8", mode="fast")
    with pytest.raises(DinkuError, match="fp32 has no tolerance"):
        pipeline.export(tagger, tmp_path / "out", data.dev, tolerance=0.1)
    with pytest.raises(DinkuError, match=r"can't change a quantized tagger \(int8\)"):
        Sparsify(0.5).apply(quantized(Quantize(tolerance=1.0)), Data(), ONE)  # type: ignore[arg-type]


@pytest.mark.shared
def test_a_real_tagger_keeps_its_f1(shared: Path) -> None:
    tagger = Tagger.load(shared / "models" / "e5-masakhaner")
    train = sources.load("masakhaner:amh,hau,yor", "train").sample(120, 0)
    dev = sources.load("masakhaner:amh,hau,yor", "dev").sample(90, 0)
    gate = Quantize(tolerance=1.0).apply(tagger, Data(train, dev), Work(threads=2)).manifest.gate
    assert gate["equal"] > 0.99
    assert gate["f1_before"] - gate["f1"] < 0.03  # about four of some 150 spans


def test_held_to_older_instructions_openvino_still_answers(data: Data, tmp_path: Path) -> None:
    """oneDNN is held by the environment, which is read when a process starts; below 32 features there is no such product."""
    encoder = StartFresh(layers=1, heads=4, hidden=32, width=64).apply(tiny_tagger(), Data(), ONE)
    tagger = replace(encoder, model=surgery.with_head(encoder.model, TAGS, seed=0), tags=TAGS)
    made = Quantize(runtime="openvino", mode="dynamic", tolerance=1.0).apply(tagger, data, ONE)
    sentences = tiny_corpus(20, seed=9)
    write(sentences, tmp_path / "test.txt")
    given = ["evaluate", str(made.save(tmp_path / "saved")), "--corpus", str(tmp_path / "test.txt"), "--json"]
    code, env = "from dinku.cli import app; app.main()", os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    found = subprocess.run([sys.executable, "-c", code, *given], env=env, capture_output=True, text=True, check=True)
    assert json.loads(found.stdout)["words"] == sentences.words
