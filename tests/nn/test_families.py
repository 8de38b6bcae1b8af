"""Every encoder that dinku opens: what is declared is what is measured, answers are transformers' own, and training learns.

A family that is described has its line in `DESCRIBED`; adding one is its file and that line.
"""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import transformers
from made_encoders import made
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from transformers import AutoConfig, AutoModel, AutoModelForTokenClassification
from transformers.models.auto.modeling_auto import MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES

from dinku.errors import DinkuError
from dinku.export import convert, gate, int8
from dinku.export import onnxruntime as to_onnxruntime
from dinku.export import openvino as to_openvino
from dinku.method import Data, Method, Work
from dinku.methods.distil import Distil
from dinku.methods.dynamic import QuantizeDynamic
from dinku.methods.factorize import FactorizeEmbeddings
from dinku.methods.feedforward import NarrowFeedForward
from dinku.methods.finetune import FineTune
from dinku.methods.fresh import StartFresh
from dinku.methods.heads import PruneHeads
from dinku.methods.hidden import NarrowHidden
from dinku.methods.layers import KeepLayers
from dinku.methods.llmint8 import QuantizeLLMInt8
from dinku.methods.pretrain import Pretrain
from dinku.methods.regroup import RegroupHeads
from dinku.methods.sparsity import Sparsify
from dinku.methods.vocabulary import TrimVocabulary
from dinku.model import family, measured
from dinku.model.folder import ModelFolder
from dinku.model.inspect import inspection
from dinku.model.onnxruntime import OnnxEngine
from dinku.model.openvino import OpenVinoEngine
from dinku.nn import surgery
from dinku.nn.loading import open_tagger
from dinku.nn.tagger import Tagger
from dinku.nn.tokenizer import tokenizer_of
from dinku.testing import check_law, tiny_corpus
from dinku.training import unpadded

# model_type, and what differs from the usual config of the family: each family and what its config may change
DESCRIBED: list[tuple[str, dict[str, Any]]] = [
    ("albert", {}),
    ("bert", {}),
    ("ernie", {}),
    ("camembert", {}),
    ("roberta", {}),
    ("xlm-roberta", {}),
    ("deberta-v2", {}),
    (
        "deberta-v2",
        {"share_att_key": False, "position_biased_input": True, "type_vocab_size": 2, "norm_rel_ebd": "none"},
    ),
    ("distilbert", {}),
    ("electra", {}),
    ("electra", {"embedding_size": 16}),
    ("megatron-bert", {}),
    ("modernbert", {}),
    ("modernbert", {"attention_bias": True, "mlp_bias": True, "norm_bias": True, "classifier_bias": True}),
    ("mpnet", {}),
    ("xlm-roberta-xl", {}),
]
# Not all of the measured ones, for time's sake: one of each manner of building.
MEASURED = ("eurobert", "mobilebert", "roformer", "xlm", "xlnet", "deberta", "squeezebert", *family.UNPADDED)
ONE = Work(seed=1, threads=1)
CUTS: tuple[Method, ...] = (
    KeepLayers((0, 2)),
    KeepLayers(layers=2, importance="activation"),
    PruneHeads(2),
    PruneHeads(3, importance="activation", spread="uneven"),
    PruneHeads(3, importance="taylor"),
    RegroupHeads(2),
    NarrowFeedForward(16, importance="activation", multiple=4),
    NarrowFeedForward(16, importance="taylor", spread="uneven", multiple=4),
    NarrowHidden(12, importance="taylor"),
    FactorizeEmbeddings(5),
)
KEPT: tuple[Method, ...] = (TrimVocabulary(60), Sparsify(0.5), Sparsify(0.5, embeddings=True, importance="activation"))
LAST: tuple[Method, ...] = (QuantizeDynamic(), QuantizeLLMInt8())
DATA = Data(tiny_corpus(60), tiny_corpus(40, seed=1, split="dev"))
REFUSED = {  # a word of the line that says so
    ("albert", "KeepLayers"): "one",
    ("modernbert", "RegroupHeads"): "angles",
    ("mpnet", "PruneHeads"): "column",
    ("mpnet", "RegroupHeads"): "column",
}


def logits(model: Any, batch: Any) -> np.ndarray[Any, Any]:
    with torch.inference_mode():
        inputs = {name: torch.from_numpy(array) for name, array in batch.inputs.items()}
        return np.asarray(model(**inputs).logits[batch.rows, batch.columns])


def batch_of(tagger: Tagger) -> Any:
    windows = tagger.encoder.windows([sentence.words for sentence in tiny_corpus(8)])
    return tagger.encoder.batch(windows)


@pytest.mark.slow
@pytest.mark.parametrize(("model_type", "own"), DESCRIBED, ids=lambda each: str(each)[:40])
def test_a_described_family_is_cut_as_declared(model_type: str, own: dict[str, Any], tmp_path: Path) -> None:
    tagger = made(model_type, **own)
    assert tagger.shape.parameters == sum(p.numel() for p in tagger.model.parameters())
    for number, method in enumerate((*CUTS, *KEPT, *LAST)):
        if word := REFUSED.get((model_type, type(method).__name__)):
            with pytest.raises(DinkuError, match=word) as caught:
                method.declare(tagger.shape)
            assert "use " in str(caught.value)
            with pytest.raises(DinkuError, match=word):
                method.apply(tagger, DATA.seen_by(method), ONE)
            continue
        small: Any = method.apply(tagger, DATA.seen_by(method), ONE)
        check_law(method, tagger.shape, small.shape)
        batch = batch_of(small)
        if small.scheme.terminal:
            continue
        opened = Tagger.load(small.save(tmp_path / f"{number}"))
        assert (opened.digest, opened.shape) == (small.digest, small.shape), method
        assert np.abs(opened.engine.logits(batch) - small.engine.logits(batch)).max() < 1e-5, method
        assert inspection(ModelFolder(tmp_path / f"{number}"))["parameters"] == small.shape.parameters


@pytest.mark.parametrize(
    ("model_type", "own"), [*DESCRIBED, *((name, {}) for name in MEASURED)], ids=lambda each: str(each)[:40]
)
def test_a_folder_of_transformers_answers_as_transformers_does(
    model_type: str, own: dict[str, Any], tmp_path: Path
) -> None:
    tagger = made(model_type, **own)
    tagger.model.save_pretrained(tmp_path)
    tagger.save_tokenizer(tmp_path)
    opened = Tagger.load(tmp_path)
    plain = transformers.AutoModelForTokenClassification.from_pretrained(tmp_path).eval()
    batch = batch_of(opened)
    singles = [opened.encoder.batch([window]) for window in batch.windows]
    wanted = np.concatenate([logits(plain, single) for single in singles])
    if model_type not in family.UNPADDED:
        assert np.abs(wanted - logits(plain, batch)).max() < 1e-5
    assert np.abs(opened.engine.logits(batch) - wanted).max() < 1e-5
    alone = [opened.engine.logits(single) for single in singles]
    assert np.abs(np.concatenate(alone) - opened.engine.logits(batch)).max() < 1e-5  # whatever is read beside it


@pytest.mark.slow
@pytest.mark.parametrize("model_type", MEASURED)
def test_a_measured_encoder_is_trained_and_quantized_but_not_cut(model_type: str, tmp_path: Path) -> None:
    tagger = made(model_type)
    shape: Any = tagger.shape
    assert shape.parameters == sum(p.numel() for p in tagger.model.parameters())
    assert made(model_type, tags=()).shape.with_tags(5).parameters == shape.parameters
    folder = ModelFolder(tagger.save(tmp_path / "whole"))
    assert inspection(folder)["parameters"] == shape.parameters
    assert Tagger.load(folder).digest == tagger.digest
    for method in (*KEPT, *LAST):
        small: Any = method.apply(tagger, DATA.seen_by(method), ONE)
        check_law(method, shape, small.shape)
        opened = Tagger.load(small.save(tmp_path / type(method).__name__ / str(len(list(tmp_path.iterdir())))))
        assert (opened.digest, opened.shape) == (small.digest, small.shape), method
        assert opened.evaluate(tiny_corpus(8)).scores().f1 >= 0
    for method in CUTS:
        with pytest.raises(
            DinkuError, match=f"can't cut an encoder of the type {model_type}.*start from one of these: ALBERT"
        ):
            method.apply(tagger, DATA.seen_by(method), ONE)


@pytest.mark.slow
@pytest.mark.parametrize(
    "model_type",
    ["modernbert", "deberta-v2", "albert", "mpnet", "electra", "xlm", "mobilebert", "eurobert", *family.UNPADDED],
)
def test_training_learns_and_reads_as_padded_windows_are_read(model_type: str) -> None:
    tagger = made(model_type)
    windows = tagger.encoder.windows([s.words for s in tiny_corpus(9)])
    whole = torch.arange(tagger.shape.vocabulary)
    with torch.inference_mode(), unpadded.reading(tagger.model):
        tensors = unpadded.row(windows, tagger.model, pad=tagger.encoder.pad, renumber=whole)
        found = unpadded.logits(tagger.model, tensors).numpy()
    wanted = tagger.engine.logits(tagger.encoder.batch(windows))
    assert np.abs(found - wanted).max() < 1e-4
    losses: list[float] = []

    def report(what: str, done: int, total: int) -> None:
        losses.extend([float(what.rsplit(" ", 1)[1])] if "loss" in what else [])

    trained = FineTune(epochs=4, batch=8, rate=3e-3).apply(tagger, DATA, replace(ONE, progress=report))
    assert losses[-1] < losses[0]
    assert trained.shape.parameters == tagger.shape.parameters
    assert made(model_type).digest == tagger.digest


@pytest.mark.parametrize("model_type", [name for each in family.known() for name in each.model_types])
def test_a_masked_lm_head_is_declared_or_refused(model_type: str) -> None:
    tagger, known = made(model_type), family.named(model_type)
    assert known
    if not known.masked_lm:
        with pytest.raises(DinkuError, match="isn't one that dinku trains; leave the step out"):
            Pretrain(steps=1).declare(tagger.shape)
        return
    masked = surgery.with_masked_lm(tagger.model, seed=0)
    assert surgery.shape_of(masked, tags=0).parameters == tagger.shape.with_masked_lm().parameters
    hidden = torch.rand(5, 16)
    assert surgery.masked_logits(masked, hidden).shape == (5, tagger.shape.vocabulary)


def test_hidden_states_as_wide_as_projected_embeddings_are_refused() -> None:
    tagger = made("electra")  # whose embeddings have 8 numbers
    with pytest.raises(
        DinkuError, match="hidden is 8, the width of the embeddings, which ELECTRA then wouldn't project"
    ):
        NarrowHidden(8).declare(tagger.shape)
    for model_type, hidden in (("electra", 7), ("albert", 8)):
        before = made(model_type)
        narrow = NarrowHidden(hidden)
        check_law(narrow, before.shape, narrow.apply(before, Data(), ONE).shape)


def test_what_cannot_start_or_teach_is_told() -> None:
    for model_type in ("modernbert", "eurobert"):
        with pytest.raises(DinkuError, match="give family, one of bert"):
            StartFresh(layers=1, heads=2, hidden=8, width=8).declare(made(model_type).shape)
        assert (
            StartFresh(layers=1, heads=2, hidden=8, width=8, family="bert").declare(made(model_type).shape).hidden == 8
        )
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("albert", {"hidden": 1.0}, "set hidden to 0"),
        ("deberta-v2", {"relations": 1.0}, "set relations to 0"),
        ("eurobert", {"hidden": 1.0}, "leave them out"),
    ]
    for model_type, how, words in cases:
        with pytest.raises(DinkuError, match=words):
            Distil(**how, epochs=1).declare(made(model_type).shape)


@pytest.mark.slow
@pytest.mark.parametrize(("model_type", "how"), [("modernbert", {"relations": 1.0}), ("deberta-v2", {"hidden": 1.0})])
def test_a_student_matches_the_insides_of_a_family(model_type: str, how: dict[str, Any]) -> None:
    method = Distil(student=(KeepLayers((0, 2)),), epochs=1, batch=8, rate=1e-3, **how)
    teacher = made(model_type)
    student = method.apply(teacher, DATA, ONE)
    check_law(method.resolve(teacher, DATA), teacher.shape, student.shape)


PUBLISHED = {  # config.json as published, but for what doesn't change a size; parameters without a head
    "mmBERT-small": (
        {
            "model_type": "modernbert",
            "vocab_size": 256000,
            "hidden_size": 384,
            "intermediate_size": 1152,
            "num_hidden_layers": 22,
        }
        | {"num_attention_heads": 6, "max_position_embeddings": 8192, "pad_token_id": 0},
        140_493_696,
    ),
    "mDeBERTa-v3-base": (
        {
            "model_type": "deberta-v2",
            "vocab_size": 251000,
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 12,
        }
        | {
            "num_attention_heads": 12,
            "max_position_embeddings": 512,
            "relative_attention": True,
            "position_buckets": 256,
        }
        | {
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": "p2c|c2p",
            "position_biased_input": False,
        }
        | {"type_vocab_size": 0, "max_relative_positions": -1},
        278_218_752,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes_are_declared(name: str) -> None:
    config, parameters = PUBLISHED[name]
    with torch.device("meta"):
        kind = AutoConfig.for_model(**config)
        bare = AutoModel.from_config(kind)
    shape = measured.shape_of(config, tags=0)
    assert shape.parameters == sum(p.numel() for p in bare.parameters()) == parameters
    kind.num_labels = 9
    with torch.device("meta"):
        tagger = AutoModelForTokenClassification.from_config(kind)
    assert shape.with_tags(9).parameters == sum(p.numel() for p in tagger.parameters())


def test_every_token_classifier_of_transformers_is_opened_or_refused_in_a_line() -> None:
    opened = set(family.model_types())
    assert opened <= set(MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES)
    assert {name for name, _ in DESCRIBED} == {name for each in family.known() for name in each.model_types}
    for name in sorted(set(MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES) - opened):
        with pytest.raises(DinkuError, match=f"the architecture '{name}' .*; use one of ALBERT, BERT, ") as caught:
            measured.shape_of({"model_type": name})
        assert "\n" not in str(caught.value)
    undescribed = {"model_type": "albert", "num_hidden_groups": 2, "hidden_size": 16, "num_hidden_layers": 2}
    assert family.described(undescribed) is None
    assert isinstance(
        measured.shape_of({**undescribed, "num_attention_heads": 4, "intermediate_size": 24}, tags=5),
        measured.MeasuredShape,
    )


@pytest.mark.slow
@pytest.mark.parametrize("model_type", ["modernbert", "deberta-v2", "albert"])
def test_both_engines_run_it_in_fp32_and_int8(model_type: str, tmp_path: Path) -> None:
    tagger = made(model_type, num_hidden_layers=2)
    made_once = convert.to_onnx(tagger, tmp_path / "model.onnx")
    data = Data(tiny_corpus(120), tiny_corpus(160, seed=5, split="dev"))
    assert data.dev
    reference, model = gate.Reference(tagger, data.dev), int8.read(made_once)
    openvino = to_openvino.write_float(made_once, tmp_path / "model.xml", "fp32")
    for engine in (OnnxEngine(made_once, threads=1), OpenVinoEngine(openvino, threads=1)):
        assert reference.gate(engine, "fp32").logits < 1e-4
    linear = {name for name, module in tagger.model.named_modules() if isinstance(module, torch.nn.Linear)}
    assert set(int8.linear(model)) == linear
    batches = [tagger.encoder.batch(tagger.encoder.windows([s.words for s in data.dev])[:40])]
    int8.smooth(model, batches)
    onnx.save(model, tmp_path / "smooth.onnx")
    assert reference.gate(OnnxEngine(tmp_path / "smooth.onnx", threads=1), "fp32").logits < 1e-3
    for writer, name, kind in (
        (to_onnxruntime, "model.int8.onnx", lambda path: OnnxEngine(path, threads=1)),
        (to_openvino, "int8.xml", lambda path: OpenVinoEngine(path, threads=1, precision="int8")),
    ):
        path = writer.write_int8(model, tmp_path / name, "dynamic", batches)
        assert int8.zeroed(model, writer.stored_weights(path, model)).keys() >= linear
        assert reference.gate(kind(path), "int8", tolerance=1.0).equal > 0.9


def _sentencepiece(**own: Any) -> bytes:
    model = io.BytesIO()
    text = [" ".join(sentence.words) for sentence in tiny_corpus(200)]
    settings: Any = {"model_type": "unigram", "vocab_size": 100, "hard_vocab_limit": False, "minloglevel": 2}
    SentencePieceTrainer.train(sentence_iterator=iter(text), model_writer=model, **settings, **own)
    return model.getvalue()


DEBERTA = {"pad_id": 0, "bos_id": 1, "eos_id": 2, "unk_id": 3, "bos_piece": "[CLS]", "eos_piece": "[SEP]"}
DEBERTA |= {"unk_piece": "[UNK]", "pad_piece": "[PAD]"}
ALBERT = {"pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3, "bos_piece": "[CLS]", "eos_piece": "[SEP]"}


@pytest.mark.parametrize(
    ("model_type", "file", "own", "shift"),
    [
        ("deberta-v2", "spm.model", DEBERTA, 0),
        ("albert", "spiece.model", ALBERT | {"control_symbols": ["[MASK]"]}, 0),
        ("camembert", "sentencepiece.bpe.model", {}, 4),
    ],
)
def test_a_sentencepiece_model_is_read_by_the_table_of_its_family(
    model_type: str, file: str, own: dict[str, Any], shift: int, tmp_path: Path
) -> None:
    model = _sentencepiece(**own)
    folder = made(model_type).save(tmp_path / "tagger")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    (folder / file).write_bytes(model)
    config = SimpleNamespace(
        **{**AutoConfig.from_pretrained(folder).to_dict(), "model_type": model_type, "vocab_size": 110}
    )
    config.to_dict = lambda: {key: value for key, value in vars(config).items() if key != "to_dict"}
    if file == "spiece.model":
        with pytest.raises(DinkuError, match=r"doesn't say whether its spiece\.model is of lower-cased text"):
            tokenizer_of(folder, config)
        (folder / "tokenizer_config.json").write_text('{"do_lower_case": false, "keep_accents": true}')
    tokenizer = tokenizer_of(folder, config)
    sentence = "Adeba kilo Muland sẹti"
    wanted = SentencePieceProcessor(model_proto=model).encode(sentence)
    assert tokenizer.encode(sentence, add_special_tokens=False) == [number + shift for number in wanted]
    (folder / file).write_bytes(model[: len(model) // 2])
    with pytest.raises(DinkuError, match="SentencePiece model"):
        tokenizer_of(folder, config)


@pytest.mark.parametrize("model_type", ["modernbert", "eurobert"])
def test_each_file_taken_away_or_emptied_is_told_or_changes_nothing(model_type: str, tmp_path: Path) -> None:
    whole = made(model_type).save(tmp_path / "whole")
    sentences = tiny_corpus(6).sentences
    wanted = [found.tags for found in open_tagger(whole).tag(sentences)]
    answers = {}
    for file in sorted(whole.iterdir()):
        size = file.stat().st_size
        for how, kept in (("gone", None), ("empty", 0), ("half", size // 2), ("braces", b"{}")):
            folder = tmp_path / f"{file.name} {how}"
            shutil.copytree(whole, folder)
            (folder / file.name).unlink()
            if kept is not None:
                (folder / file.name).write_bytes(file.read_bytes()[:kept] if isinstance(kept, int) else kept)
            refused = ""
            try:
                answers[folder.name] = [found.tags for found in open_tagger(folder).tag(sentences)] == wanted
            except DinkuError as error:
                refused = str(error)
            assert (folder.name in answers) != (str(folder) in refused and "\n" not in refused)
    # Its settings name special tokens and a window, both of which tokenizer.json and config.json tell as well.
    assert answers == {"tokenizer_config.json gone": True, "tokenizer_config.json braces": True}
