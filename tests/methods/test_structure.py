"""Models that are really smaller: what structured methods make is saved, trained, converted and quantized like any tagger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dinku.data.corpus import Corpus
from dinku.export import convert, gate
from dinku.export import openvino as to_openvino
from dinku.machine import instructions
from dinku.method import Data, Method, Work
from dinku.methods.dynamic import QuantizeDynamic
from dinku.methods.factorize import FactorizeEmbeddings
from dinku.methods.feedforward import NarrowFeedForward
from dinku.methods.finetune import FineTune
from dinku.methods.heads import PruneHeads
from dinku.methods.hidden import NarrowHidden
from dinku.methods.layers import KeepLayers
from dinku.methods.llmint8 import QuantizeLLMInt8
from dinku.methods.quantize import Quantize
from dinku.methods.vocabulary import TrimVocabulary
from dinku.model.bundle import Bundle
from dinku.model.onnxruntime import OnnxEngine
from dinku.model.openvino import OpenVinoEngine
from dinku.model.runtimes import Runtime
from dinku.nn.tagger import Tagger
from dinku.testing import check_law, tiny_corpus, tiny_tagger

ONE = Work(seed=1, threads=1)
HEADS = PruneHeads(2, importance="taylor", spread="uneven")
WIDTH = NarrowFeedForward(15, importance="taylor", spread="uneven", multiple=3)
STRUCTURED: dict[str, tuple[Method, ...]] = {
    "layers": (KeepLayers(layers=1, importance="activation"),),
    "uneven heads": (HEADS,),
    "uneven width": (WIDTH,),
    "hidden": (NarrowHidden(11, importance="activation"),),
    "rank": (FactorizeEmbeddings(5, weigh="frequency"),),
    "all": (TrimVocabulary(60), FactorizeEmbeddings(7), NarrowHidden(12), HEADS, WIDTH),
}


pytestmark = pytest.mark.usefixtures("converted_once")


@pytest.fixture(scope="module")
def data() -> Data:
    return Data(tiny_corpus(120), tiny_corpus(160, seed=5, split="dev"))


@pytest.fixture(scope="module", params=STRUCTURED)
def small(request: pytest.FixtureRequest, data: Data) -> Tagger:
    tagger = tiny_tagger()
    for step in STRUCTURED[request.param]:
        before, after = tagger, step.apply(tagger, data.seen_by(step), ONE)
        assert isinstance(after, Tagger)
        tagger = after
        check_law(step, before.shape, tagger.shape)
    if request.param.startswith("uneven"):
        assert len({(layer.heads, layer.width) for layer in tagger.shape.layers}) > 1
    assert tagger.shape.parameters < tiny_tagger().shape.parameters
    return tagger


def _dev(data: Data) -> Corpus:
    assert data.dev
    return data.dev


def test_it_is_the_same_out_of_a_folder_and_trains_on(small: Tagger, data: Data, tmp_path: Path) -> None:
    loaded = Tagger.load(small.save(tmp_path / "small"))
    assert (loaded.digest, loaded.shape) == (small.digest, small.shape)
    for method in (FineTune(epochs=1, batch=8, rate=1e-3), FineTune(epochs=1, batch=8, rate=1e-3, sparsity=0.5)):
        trained = method.apply(loaded, data, ONE)
        check_law(method.resolve(loaded, data), loaded.shape, trained.shape)
        assert trained.digest != small.digest


def test_both_engines_answer_as_torch_does(small: Tagger, data: Data, tmp_path: Path) -> None:
    path = convert.to_onnx(small, tmp_path / "model.onnx")
    openvino = to_openvino.write_float(path, tmp_path / "model.xml", "fp32")
    for engine in (OnnxEngine(path, threads=1), OpenVinoEngine(openvino, threads=1)):
        found = gate.Reference(small, _dev(data)).gate(engine, "fp32")
        assert found.logits < 1e-5
        assert found.equal == 1.0


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_it_becomes_a_bundle_in_int8(small: Tagger, runtime: Runtime, data: Data, tmp_path: Path) -> None:
    method = Quantize(runtime, mode="static", tolerance=1.0)
    made: Any = method.apply(small, data, ONE)
    check_law(method, small.shape, made.shape)
    opened = Bundle.open(str(made.save(tmp_path / "bundle")), threads=1)
    assert opened.digest == made.digest
    sentences = _dev(data).sentences
    alike = [
        a == b
        for x, y in zip(opened.tag(sentences), small.tag(sentences), strict=True)
        for a, b in zip(x.tags, y.tags, strict=True)
    ]
    # On a CPU without VNNI 84 to 88 % of the tags of these random networks were equal in OpenVINO; the reason wasn't looked into.
    exact = runtime == "onnxruntime" or any("vnni" in name for name in instructions())
    assert np.mean(alike) > (0.9 if exact else 0.8)


@pytest.mark.parametrize("method", [QuantizeLLMInt8(), QuantizeDynamic()], ids=str)
def test_it_is_quantized_for_torch_and_opens_again(small: Tagger, method: Method, data: Data, tmp_path: Path) -> None:
    made: Any = method.apply(small, data.seen_by(method), ONE)
    check_law(method, small.shape, made.shape)
    opened = Tagger.load(made.save(tmp_path / "small"))
    assert (opened.digest, opened.shape) == (made.digest, made.shape)
    assert opened.shape.layers == small.shape.layers
    sentences = _dev(data).sentences[:40]
    assert [t.tags for t in opened.tag(sentences)] == [t.tags for t in made.tag(sentences)]
