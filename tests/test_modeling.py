"""Models whose layers differ: cut right, and opened again by dinku, by one import, and by plain transformers where it can."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import PreTrainedModel

from dinku import modeling
from dinku.errors import DinkuError
from dinku.method import Data, Work
from dinku.methods.factorize import FactorizeEmbeddings
from dinku.methods.finetune import FineTune
from dinku.methods.heads import PruneHeads
from dinku.methods.hidden import NarrowHidden
from dinku.methods.layers import KeepLayers
from dinku.methods.regroup import RegroupHeads
from dinku.methods.vocabulary import TrimVocabulary
from dinku.model import inspect
from dinku.model.folder import ModelFolder
from dinku.model.shape import Layer, Shape
from dinku.nn import surgery
from dinku.nn.tagger import Tagger
from dinku.testing import tiny_corpus, tiny_data, tiny_tagger

FAMILIES = [("bert", "wordpiece"), ("distilbert", "wordpiece"), ("roberta", "bytes"), ("xlm-roberta", "unigram")]
CUTS: dict[str, Callable[[PreTrainedModel], PreTrainedModel]] = {
    "heads": lambda model: surgery.with_units(model, heads=[(0, 2, 3), (1,)]),
    "width": lambda model: surgery.with_units(model, neurons=[range(9), range(3, 20)]),
    "even width": lambda model: surgery.with_units(model, neurons=[range(9), range(3, 12)]),
    "hidden": lambda model: surgery.with_hidden(model, (0, 2, 3, 5, 8, 13, 15)),
    "rank": lambda model: surgery.with_rank(model, 5, torch.ones(model.config.vocab_size)),
}
CUTS["all"] = lambda model: CUTS["hidden"](CUTS["rank"](CUTS["width"](CUTS["heads"](model))))


def logits(model: Any, tagger: Tagger) -> torch.Tensor:
    batch = tagger.encoder.batch(tagger.encoder.windows([s.words for s in tiny_corpus(8, seed=5)]))
    with torch.inference_mode():
        return model(torch.from_numpy(batch.ids), attention_mask=torch.from_numpy(batch.mask))[0]


@pytest.mark.parametrize(("family", "pieces"), FAMILIES)
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("head", ["tags", "masked-LM", "none"])
def test_what_is_cut_is_measured_saved_and_opened_by_one_import(
    family: str, pieces: str, cut: str, head: str, tmp_path: Path
) -> None:
    tagger = tiny_tagger(family, pieces, masked_lm=head == "masked-LM", **({"tags": ()} if head == "none" else {}))
    before = tagger.digest
    small = replace(tagger, model=CUTS[cut](tagger.model))
    assert tagger.digest == before
    assert small.shape.parameters == sum(p.numel() for p in small.model.parameters()) < tagger.shape.parameters
    folder = small.save(tmp_path / "small")
    loaded = Tagger.load(folder)
    assert loaded.digest == small.digest
    assert loaded.shape == small.shape
    assert inspect.inspection(ModelFolder(folder))["parameters"] == small.shape.parameters
    again = Tagger.load(Tagger.load(small.save(tmp_path / "packed", weights="int8")).save(tmp_path / "plain"))
    assert again.shape.parameters == small.shape.parameters
    name = {"tags": "AutoModelForTokenClassification", "masked-LM": "AutoModelForMaskedLM", "none": "AutoModel"}[head]
    bare = {"add_pooling_layer": False} if head == "none" and family != "distilbert" else {}
    opened = getattr(modeling, name).from_pretrained(folder, **bare).eval()
    assert torch.equal(logits(opened, small), logits(small.model, small))
    config = json.loads((folder / "config.json").read_text())
    assert cut != "even width" or not any(key in config for key in ("dinku_layers", "dinku_rank"))
    if cut == "even width":
        plain = getattr(transformers, name).from_pretrained(folder, **bare).eval()
        assert torch.equal(logits(plain, small), logits(small.model, small))
    else:
        with pytest.raises(RuntimeError, match=r"(?i)size mismatch|mismatched"):
            getattr(transformers, name).from_pretrained(folder, **bare)


@pytest.mark.parametrize("cut", ["width", "even width"])
def test_config_and_weights_are_those_of_one_revision(cut: str, tmp_path: Path) -> None:
    tagger = tiny_tagger()
    tagger.save(tmp_path / "model")
    small = replace(tagger, model=CUTS[cut](tagger.model))
    small.save(tmp_path / "model" / "small")
    opened = modeling.AutoModelForTokenClassification.from_pretrained(tmp_path / "model", subfolder="small").eval()
    assert torch.equal(logits(opened, small), logits(small.model, small))


def test_code_of_a_folder_is_neither_run_nor_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
    code = "from pathlib import Path\nPath(__file__).with_name('ran').touch()\n"
    (tmp_path / "evil.py").write_text(code)
    config = {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    for asked in ({}, {"trust_remote_code": True}):
        with pytest.raises(ValueError, match="trust_remote_code"):
            modeling.AutoModel.from_pretrained(tmp_path, **asked)
    assert not list(tmp_path.rglob("ran"))


@pytest.mark.parametrize(("family", "pieces"), FAMILIES)
def test_a_pruned_unit_is_one_that_says_nothing(family: str, pieces: str) -> None:
    tagger = tiny_tagger(family, pieces)
    heads, neurons = [(0, 2, 3), (1,)], [range(9), range(3, 20)]
    silent = tagger.copy()
    for layer, own, units in zip(modeling.layers(silent.model), heads, neurons, strict=True):
        linears = modeling.linears(layer)
        linears.out.weight.data[:, [i for i in range(16) if i // 4 not in own]] = 0
        linears.narrow.weight.data[:, [i for i in range(24) if i not in units]] = 0
    small = surgery.with_units(tagger.model, heads=heads, neurons=neurons)
    torch.testing.assert_close(logits(small, tagger), logits(silent.model, tagger), atol=1e-5, rtol=1e-5)
    assert surgery.shape_of(small, tags=5).layers == (Layer(3, 4, 9), Layer(1, 4, 17))


@pytest.mark.parametrize(("family", "pieces"), FAMILIES)
def test_coordinates_that_hold_nothing_may_go_where_norms_look_at_none(family: str, pieces: str) -> None:
    tagger = tiny_tagger(family, pieces)
    keep = (0, 2, 3, 5, 8, 13, 15)
    small = surgery.with_hidden(tagger.model, keep)
    for (name, old), new in zip(tagger.model.named_parameters(), small.parameters(), strict=True):
        for axis, (n, m) in enumerate(zip(old.shape, new.shape, strict=True)):
            if n != m:
                assert (n, m) == (16, 7), name
                old = old.index_select(axis, torch.tensor(keep))
        assert torch.equal(old, new), name


def test_factorized_word_embeddings_are_the_nearest_of_their_rank() -> None:
    tagger = tiny_tagger()
    table = surgery.word_embeddings(tagger.model).weight.detach().double()
    for weights in (torch.ones(len(table)), torch.arange(1.0, len(table) + 1)):
        small: Any = surgery.word_embeddings(surgery.with_rank(tagger.model, 6, weights))
        product = (small.weight @ small.projection.T).detach().double()
        scale = weights.double().sqrt()[:, None]
        left, values, right = torch.linalg.svd(scale * table, full_matrices=False)
        best = left[:, :6] @ torch.diag(values[:6]) @ right[:6]
        torch.testing.assert_close(scale * product, best, atol=1e-5, rtol=1e-5)
        assert torch.equal(small.weight[small.padding_idx], torch.zeros(6))
    whole = surgery.with_rank(tagger.model, 16, torch.ones(len(table)))
    torch.testing.assert_close(logits(whole, tagger), logits(tagger.model, tagger), atol=1e-4, rtol=1e-4)
    lower = surgery.with_rank(whole, 6, torch.ones(len(table)))
    again: Any = surgery.word_embeddings(lower)
    small = surgery.word_embeddings(surgery.with_rank(tagger.model, 6, torch.ones(len(table))))
    torch.testing.assert_close(
        again.weight @ again.projection.T, small.weight @ small.projection.T, atol=1e-5, rtol=1e-5
    )


def test_a_product_is_smaller_than_what_it_stands_for() -> None:
    tagger = tiny_tagger()  # 82 pieces of 16 numbers
    with pytest.raises(
        DinkuError, match="rank is 14, at which word embeddings take 1,372 numbers instead of 1,312; give 13"
    ):
        FactorizeEmbeddings(14).declare(tagger.shape)
    assert FactorizeEmbeddings(13).declare(tagger.shape).parameters < tagger.shape.parameters
    small = FactorizeEmbeddings(8).apply(tagger, Data(), Work())
    for hidden in (8, 6):  # plain transformers would take factors of 8 for word embeddings
        with pytest.raises(
            DinkuError, match=f"hidden is {hidden}, no more than the rank of the word embeddings, 8; do this"
        ):
            NarrowHidden(hidden).apply(small, Data(), Work())
    assert NarrowHidden(9).apply(small, Data(), Work()).shape.hidden == 9


@pytest.mark.parametrize("even", [True, False])
def test_what_a_config_knows_may_be_told_as_to_transformers(even: bool, tmp_path: Path) -> None:
    bare = tiny_tagger(tags=())
    folder = (bare if even else PruneHeads(2).apply(bare, Data(), Work())).save(tmp_path / "bare")
    names = {0: "O", 1: "B-X", 2: "I-X"}
    model = modeling.AutoModelForTokenClassification.from_pretrained(folder, id2label=names, dtype=torch.float32)
    assert model.config.id2label == names
    assert model.classifier.out_features == 3
    seven = modeling.AutoModelForTokenClassification.from_pretrained(folder, num_labels=7, local_files_only=True)
    assert seven.classifier.out_features == 7
    assert seven.dtype == torch.float32
    half = modeling.AutoModel.from_pretrained(folder, output_attentions=True, dtype=torch.bfloat16)
    assert half.config.output_attentions
    assert half.dtype == torch.bfloat16


@pytest.mark.parametrize(("family", "pieces"), FAMILIES)
def test_other_methods_go_on_from_uneven_models(family: str, pieces: str) -> None:
    tagger, data = tiny_tagger(family, pieces, tags=()), tiny_data()
    small = replace(tagger, model=CUTS["all"](tagger.model))
    trained = FineTune(epochs=1, batch=8, rate=1e-3, precision="float32").apply(small, data, Work(threads=1))
    assert trained.shape.layers == small.shape.layers
    assert not torch.equal(surgery.word_embeddings(trained.model).weight, surgery.word_embeddings(small.model).weight)
    projections: list[Any] = [surgery.word_embeddings(t.model).projection for t in (trained, small)]
    assert not torch.equal(*projections)
    one = KeepLayers((1,)).apply(trained, Data(), Work())
    assert one.shape.layers == (Layer(1, 4, 17),)
    two = RegroupHeads(2).apply(one, Data(), Work())
    assert two.shape.layers == (Layer(2, 2, 17),)
    if pieces != "bytes":
        trimmed = TrimVocabulary(60).apply(two, data, Work())
        assert (trimmed.shape.vocabulary, trimmed.shape.rank) == (60, 5)


def test_a_model_that_plain_transformers_can_hold_again_says_so() -> None:
    model = surgery.with_units(tiny_tagger().model, heads=[(0, 1), (2, 3)])
    assert model.config.dinku_layers == [[2, 4, 24], [2, 4, 24]]
    even = surgery.with_hidden(model, range(8))
    assert not hasattr(even.config, "dinku_layers")
    assert (even.config.hidden_size, even.config.num_attention_heads) == (8, 2)


@pytest.mark.parametrize(
    "change",
    [
        {"dinku_layers": [[3, 4, 9]]},
        {"dinku_layers": [[3, 4, 9], [0, 4, 17]]},
        {"dinku_layers": [[3, 4, 9], [1, 4, 10**9]]},
        {"dinku_layers": [[3, 4, 9], [90_000, 90_000, 17]]},
        {"dinku_layers": [[3, 4, 9], [1, 4]]},
        {"dinku_layers": [[3, 4, 9], [1, 4, True]]},
        {"dinku_layers": "two"},
        {"dinku_rank": 10**6},
        {"dinku_rank": -1},
        {"dinku_rank": [5]},
    ],
)
def test_sizes_that_are_none_are_told(change: dict[str, Any]) -> None:
    config = CUTS["all"](tiny_tagger().model).config.to_dict()
    Shape.of_config(config)
    with pytest.raises(DinkuError, match=next(iter(change))):
        Shape.of_config({**config, **change})
