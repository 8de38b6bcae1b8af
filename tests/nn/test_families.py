"""Every encoder that dinku opens: what is declared is what is measured, answers are transformers' own, and training learns.

A family that is described has its line in `DESCRIBED`; adding one is its file and that line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from made_encoders import made

from dinku.errors import DinkuError
from dinku.method import Data, Method, Work
from dinku.methods.dynamic import QuantizeDynamic
from dinku.methods.factorize import FactorizeEmbeddings
from dinku.methods.feedforward import NarrowFeedForward
from dinku.methods.heads import PruneHeads
from dinku.methods.hidden import NarrowHidden
from dinku.methods.layers import KeepLayers
from dinku.methods.llmint8 import QuantizeLLMInt8
from dinku.methods.regroup import RegroupHeads
from dinku.methods.sparsity import Sparsify
from dinku.methods.vocabulary import TrimVocabulary
from dinku.model.folder import ModelFolder
from dinku.model.inspect import inspection
from dinku.nn.tagger import Tagger
from dinku.testing import check_law, tiny_corpus

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
MEASURED = ("eurobert", "mobilebert", "roformer", "xlm", "xlnet", "deberta", "squeezebert")
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
    assert np.abs(opened.engine.logits(batch) - logits(plain, batch)).max() < 1e-5
    alone = [opened.engine.logits(opened.encoder.batch([window])) for window in batch.windows]
    assert np.abs(np.concatenate(alone) - opened.engine.logits(batch)).max() < 1e-5  # whatever is read beside it
