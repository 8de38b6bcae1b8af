"""Quantized taggers: whose arithmetic they do, what their folders hold, and what is refused."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForTokenClassification

from dinku.data import sources
from dinku.errors import DinkuError
from dinku.method import Data, Method, Work
from dinku.methods.distil import Distil
from dinku.methods.dynamic import QuantizeDynamic
from dinku.methods.feedforward import NarrowFeedForward
from dinku.methods.fresh import PRESETS
from dinku.methods.llmint8 import QuantizeLLMInt8
from dinku.methods.sparsity import Sparsify
from dinku.model import inspect
from dinku.model.folder import ModelFolder
from dinku.model.shape import LLM_INT8, Layer, Shape
from dinku.nn import quantized, surgery
from dinku.nn.tagger import Tagger
from dinku.nn.torch_engine import TorchEngine
from dinku.testing import check_law, tiny_corpus, tiny_data, tiny_tagger

FAMILIES = [("xlm-roberta", "unigram"), ("bert", "wordpiece"), ("roberta", "bytes"), ("distilbert", "wordpiece")]
METHODS: list[Method] = [QuantizeLLMInt8(), QuantizeLLMInt8(threshold=0.0, rest="float32"), QuantizeDynamic()]
LLM, DYNAMIC = METHODS[0], METHODS[2]


def made(method: Method, tagger: Tagger | None = None) -> Tagger:
    after = method.apply(tagger or tiny_tagger(), Data(), Work(threads=1))
    assert isinstance(after, Tagger)
    return after


def logits(model: Any, tagger: Tagger) -> np.ndarray[Any, Any]:
    words = [s.words for s in tiny_corpus(8, seed=5)]
    return TorchEngine(model).logits(tagger.encoder.batch(tagger.encoder.windows(words)))


def afriberta(preset: str, tags: int = 9) -> Shape:
    sizes = PRESETS[preset]
    layer = Layer(sizes["heads"], sizes["hidden"] // sizes["heads"], sizes["width"])
    layers = (layer,) * sizes["layers"]
    dense = Shape("xlm-roberta", sizes["vocabulary"], sizes["positions"], 1, sizes["hidden"], layers, tags, 0, (0, 0))
    return replace(dense, nonzero=(0, dense.parameters))


@pytest.mark.parametrize(
    ("preset", "dense", "llm", "llm32", "dynamic"),
    [("afriberta_large", 500.2, 179.6, 288.1, 287.8), ("afriberta_base", 443.5, 165.3, 273.8, 273.6)],
)
def test_the_papers_64_percent_is_arithmetic(
    preset: str, dense: float, llm: float, llm32: float, dynamic: float
) -> None:
    shape = afriberta(preset)
    found = [shape, *(m.declare(shape) for m in (LLM, QuantizeLLMInt8(rest="float32"), DYNAMIC))]
    assert [round(s.bytes / 1e6, 1) for s in found] == [dense, llm, llm32, dynamic]
    assert all(sum(c.bytes for c in s.components) == s.bytes and s.parameters == shape.parameters for s in found)
    if preset == "afriberta_large":
        assert round(100 * (1 - found[1].bytes / shape.bytes), 1) == 64.1
    words = {c.name: c.bytes for c in found[1].components}["word embeddings"]
    assert words / found[1].bytes > 0.59


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize(("family", "pieces"), FAMILIES)
def test_a_folder_holds_the_declared_bytes_and_inspect_says_so(
    method: Method, family: str, pieces: str, tmp_path: Path
) -> None:
    tagger = tiny_tagger(family, pieces)
    after = made(method, tagger)
    check_law(method, tagger.shape, after.shape)
    folder = after.save(tmp_path / "tagger")
    (file,) = folder.glob("*.safetensors")
    stored = load_file(file)
    assert sum(t.nbytes for t in stored.values()) == after.shape.bytes == method.declare(tagger.shape).bytes
    found = inspect.inspection(ModelFolder(folder))
    assert (found["bytes"], found["parameters"]) == (after.shape.bytes, tagger.shape.parameters)
    assert found["nonzero"] == after.shape.nonzero[0] < tagger.shape.nonzero[0]
    assert sum(c["bytes"] for c in found["components"]) == found["bytes"]
    assert found["scheme"] == after.scheme.name
    assert "scheme" not in inspect.inspection(ModelFolder(tagger.save(tmp_path / "dense")))
    Tagger.load(folder).save(tmp_path / "again")
    assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()


def test_llm_int8_is_what_bitsandbytes_and_transformers_make_of_it(tmp_path: Path) -> None:
    library = quantized.bitsandbytes()
    torch.manual_seed(0)
    dense, x = torch.nn.Linear(16, 24), torch.randn(3, 5, 16, dtype=torch.float16)
    x[1, :, 3] = 7.0  # outliers
    theirs = library.nn.Linear8bitLt(16, 24, has_fp16_weights=False, threshold=6.0)
    theirs.load_state_dict(dense.state_dict())
    theirs = theirs.to("cpu").eval()
    weight, scales, _ = library.functional.int8_vectorwise_quant(dense.weight.data.half())
    own = quantized.LLMInt8Linear(weight, scales, dense.bias.data.half(), 6.0)
    assert torch.equal(own(x), theirs(x))
    after = made(LLM)
    plain = AutoModelForTokenClassification.from_pretrained(after.save(tmp_path / "tagger"))
    assert isinstance(plain.base_model.encoder.layer[0].attention.self.query, library.nn.Linear8bitLt)
    assert np.array_equal(logits(plain, after), logits(after.model, after))


def test_dynamic_rounds_a_matrix_by_one_scale_and_the_head_too() -> None:
    tagger = tiny_tagger()
    stored = quantized.tensors(made(DYNAMIC, tagger).model)
    weight = tagger.model.classifier.weight.data
    scale = stored["classifier.weight.scale"]
    assert torch.allclose(scale, weight.abs().max() / 127.5)
    assert torch.equal(stored["classifier.weight"], torch.round(weight / scale).clamp(-128, 127).to(torch.int8))
    assert sum(t.dtype == torch.int8 for t in stored.values()) == 13


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_zeros_that_were_meant_stay_and_are_counted(method: Method) -> None:
    sparse = Sparsify(0.95).apply(tiny_tagger(), Data(), Work())
    after = made(method, sparse)
    check_law(method, sparse.shape, after.shape)
    assert after.shape.zeros >= sparse.shape.zeros
    for name, weight in surgery.matrices(after.model).items():
        before = surgery.matrices(sparse.model)[name]
        assert bool((weight[before == 0] == 0).all()), name


def test_quantized_taggers_predict_much_as_before_and_copies_do_just_so() -> None:
    tagger = tiny_tagger()
    before = logits(tagger.model, tagger)
    for method in METHODS:
        after = made(method, tagger)
        found = logits(after.model, after)
        assert 0 < np.abs(found - before).max() < 0.2
        copy = after.copy()
        assert np.array_equal(logits(copy.model, copy), found)
        assert copy.digest == after.digest
    assert made(LLM).digest != made(QuantizeLLMInt8(threshold=5.0)).digest


def test_numerics_say_what_was_computed_and_how_far_batches_move_it() -> None:
    sentences = tiny_corpus(40).sentences
    products = {}
    for method in METHODS:
        after = made(method)
        found = after.numerics(sentences)
        assert (found.sentences, found.batch, found.scheme) == (40, 16, after.scheme.name)
        assert found.words == sum(len(s.words) for s in sentences)
        assert 0 <= found.changed <= found.words
        assert found.largest_logit > 0
        products[str(method)] = found
    dynamic, llm = products[str(DYNAMIC)], products[str(METHODS[1])]
    assert dynamic.operators["int8 linear_dynamic"] == 13
    assert dynamic.operators["float32 scaled_dot_product_attention"] == 2
    assert not any("linear" in name for name in dynamic.operators if name.startswith("float"))
    assert dynamic.largest_change > 0  # activations are scaled over the batch
    assert sum(n for name, n in llm.operators.items() if name.startswith("int8")) == 12
    assert llm.operators["float32 linear"] == 1  # the tag head
    assert llm.largest_change < 1e-4  # without outliers each subword has a scale of its own
    halves = made(QuantizeLLMInt8(threshold=1.0)).numerics(sentences).operators
    assert any(name.endswith("+float16 int8_mixed_scaled_mm") for name in halves)


def test_logits_that_overflow_are_refused() -> None:
    after = made(LLM)
    after.model.classifier.bias.data.fill_(float("inf"))
    with pytest.raises(DinkuError, match=r"logits that aren't finite .*; keep the rest in float32"):
        after.numerics(tiny_corpus(3).sentences)
    tagger = tiny_tagger()
    tagger.model.classifier.bias.data[0] = 1e5
    with pytest.raises(DinkuError, match=r"classifier.bias holds values beyond 65,504, which float16 can't"):
        made(LLM, tagger)
    assert made(QuantizeLLMInt8(rest="float32"), tagger).tags


def altered(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def change_file(folder: Path) -> None:
        (file,) = folder.glob("*.safetensors")
        tensors = load_file(file)
        change(tensors)
        save_file(tensors, file, metadata={"format": "pt"})

    return change_file


def scales(tensors: dict[str, torch.Tensor]) -> list[str]:
    return sorted(name for name in tensors if name.endswith((".SCB", ".scale")))


def nan(tensors: dict[str, torch.Tensor]) -> None:
    tensors[scales(tensors)[0]][0] = float("nan")


def widened(tensors: dict[str, torch.Tensor]) -> None:
    name = next(name for name, t in tensors.items() if t.dtype == torch.int8)
    tensors[name] = tensors[name].float()


def pickled(folder: Path) -> None:
    (file,) = folder.glob("*.safetensors")
    file.write_bytes(pickle.dumps({"a": b"1" * 100_000}))


def to_bin(folder: Path) -> None:
    (file,) = folder.glob("*.safetensors")
    torch.save(load_file(file), folder / "pytorch_model.bin")
    file.unlink()


@pytest.mark.parametrize("method", [LLM, DYNAMIC], ids=str)
@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (altered(lambda t: t.pop(scales(t)[3])), r"doesn't fit config.json: .*(SCB|scale) is missing, unknown"),
        (altered(lambda t: t.update(more=torch.zeros(3))), "doesn't fit config.json: more is missing, unknown"),
        (altered(nan), r"(SCB|scale) isn't finite"),
        (altered(widened), r"doesn't fit config.json: .*weight is missing, unknown"),
        (pickled, "can't be read .*; quantize the model again"),
        (to_bin, "is quantized, but isn't a classifier with weights as safetensors"),
        (lambda folder: [f.unlink() for f in folder.glob("*.safetensors")], "with weights as safetensors"),
    ],
    ids=["no scale", "more", "nan", "type", "pickle", "bin", "none"],
)
def test_an_altered_folder_is_refused(method: Method, spoil: Callable[[Path], None], told: str, tmp_path: Path) -> None:
    folder = made(method).save(tmp_path / "tagger")
    spoil(folder)
    with pytest.raises(DinkuError, match=told) as error:
        Tagger.load(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"quantization_config": {"quant_method": "gptq"}}, "quantized in a way that dinku doesn't read"),
        ({"dtype": "bfloat16"}, "quantized in a way that dinku doesn't read"),
        ({"quantization_config": None, "dinku_quantized": "dynamic"}, "doesn't fit config.json"),
        (
            {"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_threshold": "x"}},
            "llm_int8_threshold is 'x'; give 0 or more",
        ),
    ],
)
def test_an_altered_config_is_refused(change: dict[str, Any], told: str, tmp_path: Path) -> None:
    folder = made(LLM).save(tmp_path / "tagger")
    config = json.loads((folder / "config.json").read_text()) | change
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
    with pytest.raises(DinkuError, match=told):
        Tagger.load(folder)


def test_without_bitsandbytes_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    after = made(LLM)
    folder = after.save(tmp_path / "tagger")
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    told = r"LLM.int8\(\): bitsandbytes isn't installed; install it with: pip install 'dinku\[quantize\]'"
    with pytest.raises(DinkuError, match=told):
        made(LLM)
    with pytest.raises(DinkuError, match=told):
        Tagger.load(folder)
    assert inspect.inspection(ModelFolder(folder))["bytes"] == after.shape.bytes


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_a_quantized_tagger_is_not_stored_or_run_otherwise(method: Method, tmp_path: Path) -> None:
    after = made(method)
    with pytest.raises(DinkuError, match="can't change a quantized tagger"):
        after.save(tmp_path / "tagger", weights="int8")
    with pytest.raises(DinkuError, match=r"is quantized .* and can't run in bfloat16; leave precision out"):
        after.in_precision("bfloat16").tag(tiny_corpus(2).sentences)
    student = Distil(epochs=1, student=(method,))
    with pytest.raises(DinkuError, match="Distil: can't change a quantized tagger"):
        student.declare(tiny_tagger().shape)
    with pytest.raises(DinkuError, match="can't change a quantized tagger"):
        student.apply(tiny_tagger(), tiny_data(), Work(threads=1))


def test_fields_are_checked() -> None:
    for threshold in (-1.0, float("nan"), float("inf")):
        with pytest.raises(DinkuError, match="QuantizeLLMInt8: threshold is"):
            QuantizeLLMInt8(threshold=threshold)
    with pytest.raises(DinkuError, match="rest is 'bfloat16'; give 'float16' or 'float32'"):
        QuantizeLLMInt8(rest="bfloat16")  # type: ignore[arg-type]
    with pytest.raises(DinkuError, match="there are no tags; fine-tune the encoder first"):
        made(DYNAMIC, tiny_tagger(tags=()))
    assert LLM_INT8["float16"].terminal
    with pytest.raises(DinkuError, match="a linear layer reads a single number"):
        made(QuantizeLLMInt8(), NarrowFeedForward(1, multiple=1).apply(tiny_tagger(), tiny_data(), Work()))


@pytest.mark.shared
def test_a_real_tagger_keeps_its_f1_by_llm_int8_and_loses_it_by_dynamic(shared: Path) -> None:
    tagger = Tagger.load(shared / "models" / "e5-masakhaner")
    corpus = sources.load("masakhaner:swa", "test").sample(60, seed=0)
    dense, llm, dynamic = (t.evaluate(corpus).scores().f1 for t in (tagger, made(LLM, tagger), made(DYNAMIC, tagger)))
    assert abs(llm - dense) < 0.03
    assert dynamic < dense - 0.03
