"""Scores against what they are by hand, and the choice among them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from dinku import modeling
from dinku.errors import DinkuError
from dinku.method import Data, Method, Work
from dinku.methods.feedforward import NarrowFeedForward
from dinku.methods.heads import PruneHeads
from dinku.methods.hidden import NarrowHidden
from dinku.methods.layers import KeepLayers
from dinku.methods.registry import from_json, to_json
from dinku.methods.sparsity import Sparsify
from dinku.nn import surgery
from dinku.study.recipe import Recipe
from dinku.testing import tiny_data, tiny_tagger
from dinku.training import importance

ACTIVATION, TAYLOR = PruneHeads(2, importance="activation"), PruneHeads(2, importance="taylor")


def test_activation_is_weight_times_norm_of_what_it_reads() -> None:
    tagger, data = tiny_tagger(), tiny_data()
    found = importance.scores(tagger, data, ACTIVATION, embeddings=True)
    second = modeling.linears(modeling.layers(tagger.model)[1])
    read: list[torch.Tensor] = []
    hook = second.narrow.register_forward_pre_hook(lambda _, given: read.append(given[0][0]))
    windows = tagger.encoder.windows([s.words for s in data.train or ()])
    with torch.inference_mode():
        for window in windows:  # one by one, without padding
            tagger.model(torch.from_numpy(window.ids[None]))
    hook.remove()
    by_hand = second.narrow.weight.abs() * torch.cat(read).norm(dim=0)
    torch.testing.assert_close(found[second.narrow.weight], by_hand.detach(), rtol=1e-4, atol=1e-4)
    table = surgery.word_embeddings(tagger.model).weight
    counts = np.bincount(np.concatenate([w.ids for w in windows]), minlength=len(table))
    expected = table.detach().abs() * torch.from_numpy(counts).sqrt()[:, None]
    torch.testing.assert_close(found[table], expected.float())
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in tagger.model.modules())


def test_taylor_is_weight_times_gradient() -> None:
    tagger, data = tiny_tagger(), tiny_data()
    few = replace(data, train=data.train.sample(10, seed=0)) if data.train else data  # one batch
    found = importance.scores(tagger, few, TAYLOR)
    windows = tagger.encoder.windows([s.words for s in few.train or ()])
    batch = tagger.encoder.batch(windows)
    logits = tagger.model(torch.from_numpy(batch.ids), attention_mask=torch.from_numpy(batch.mask)).logits
    labels = few.train.numbered(tagger.tags)  # type: ignore[union-attr]
    gold = torch.from_numpy(np.concatenate([labels[w.sentence][w.words] for w in windows]))
    loss = torch.nn.functional.cross_entropy(
        logits[torch.from_numpy(batch.rows), torch.from_numpy(batch.columns)], gold
    )
    loss.backward()
    for weight in surgery.matrices(tagger.model).values():
        assert weight.grad is not None
        torch.testing.assert_close(found[weight], (weight * weight.grad).abs().detach(), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("how", ["magnitude", "activation", "taylor"])
def test_units_that_say_nothing_go_first(how: str) -> None:
    tagger, data = tiny_tagger(), tiny_data()
    for number, layer in enumerate(modeling.layers(tagger.model)):
        own = modeling.linears(layer)
        for linear in own.into_heads:
            linear.weight.data[4 * number : 4 * number + 4] = 0
        own.out.weight.data[:, 4 * number : 4 * number + 4] = 0
        own.widen.weight.data[number::3] = 0
        own.narrow.weight.data[:, number::3] = 0
    for spread in ("even", "uneven"):
        methods = (
            PruneHeads(3, importance=how, spread=spread),  # type: ignore[arg-type]
            NarrowFeedForward(16, importance=how, spread=spread, multiple=4),  # type: ignore[arg-type]
        )
        for method in methods:
            small = method.apply(tagger, data.seen_by(method), Work())
            assert small.shape.parameters < tagger.shape.parameters
            for one, other in zip(small.tag(data.dev.sentences), tagger.tag(data.dev.sentences), strict=True):  # type: ignore[union-attr]
                assert one.tags == other.tags


def test_a_layer_that_changes_nothing_goes_first() -> None:
    tagger, data = tiny_tagger("bert", "wordpiece"), tiny_data()
    last = modeling.linears(modeling.layers(tagger.model)[1])
    for linear in last.all:
        linear.weight.data *= 1e-3
        linear.bias.data.zero_()
    for method in (KeepLayers(layers=1, importance="magnitude"), KeepLayers(layers=1, importance="activation")):
        kept = method.apply(tagger, data.seen_by(method), Work())
        assert kept.digest == KeepLayers((0,)).apply(tagger, Data(), Work()).digest


def test_uneven_budgets_add_up_and_leave_every_layer_something() -> None:
    scores = [
        torch.tensor([9.0, 8.0, 7.0, 6.0]),
        torch.tensor([1.0, 5.0, 1.0, 1.0]),
        torch.tensor([0.0, 0.0, 0.0, 0.0]),
    ]
    assert importance.spread(scores, 6) == [(0, 1, 2, 3), (1,), (0,)]
    assert importance.spread(scores, 8, multiple=2) == [(0, 1, 2, 3), (0, 1), (0, 1)]
    assert importance.strongest(torch.tensor([1.0, 2.0, 2.0, 0.0]), 1) == (1,)


def test_layers_too_narrow_for_a_multiple_are_told_before_anything_is_scored() -> None:
    shape, layer = tiny_tagger().shape, tiny_tagger().shape.layers[0]
    for width, widths, finer in ((32, (64, 16), 16), (64, (63, 63, 70), 1)):
        given = replace(shape, layers=tuple(replace(layer, width=width) for width in widths))
        with pytest.raises(DinkuError, match=rf"can't keep {width} on average by 32; give multiple={finer}, "):
            NarrowFeedForward(width, spread="uneven").declare(given)
        assert NarrowFeedForward(width, spread="uneven", multiple=finer).declare(given).spread == {"width"}
    spread = replace(given, spread=frozenset({"width"}))  # where nothing can be told
    assert NarrowFeedForward(32, spread="uneven").declare(spread).spread == {"width"}


def test_fields_that_came_later_enter_an_address_only_where_they_are_used() -> None:
    assert to_json(Sparsify(0.5)) == {"Sparsify": {"sparsity": 0.5, "granularity": "global", "embeddings": False}}
    assert to_json(KeepLayers((0, 1))) == {"KeepLayers": {"keep": [0, 1]}}
    used = Sparsify(0.5, importance="activation")
    assert to_json(used)["Sparsify"]["importance"] == "activation"
    assert from_json(to_json(used)) == used
    old, new = (Recipe("base", "corpus", (m,)).addresses("base", Data()) for m in (Sparsify(0.5), used))
    # As it was before Sparsify had these fields, and rows were made.
    assert old[-1] == "36a50762815134e6feea3ffc09492868ca1052965ad47770528421dd4a27ac72"
    assert old != new


def test_what_can_not_be_chosen_is_told() -> None:
    with pytest.raises(DinkuError, match="PruneHeads: there is no text; name a corpus with a train split"):
        ACTIVATION.apply(tiny_tagger(), Data(), Work())
    with pytest.raises(DinkuError, match="has no tags, whose loss it asks for; fine-tune it first"):
        TAYLOR.apply(tiny_tagger(tags=()), tiny_data(), Work())
    taylor: dict[str, Any] = {"importance": "taylor"}
    methods: list[Method] = [
        PruneHeads(2, **taylor),
        NarrowFeedForward(8, multiple=8, **taylor),
        NarrowHidden(8, **taylor),
    ]
    methods += [KeepLayers(layers=1, **taylor), Sparsify(0.5, **taylor)]
    for doomed in methods:
        with pytest.raises(DinkuError, match="has no tags, whose loss it asks for"):
            doomed.declare(tiny_tagger(tags=()).shape)
    with pytest.raises(DinkuError, match="there is nothing to keep; give keep, or layers, 1 or more"):
        KeepLayers(layers=0)
    with pytest.raises(DinkuError, match="width is 100, which isn't a multiple of 32; give 96, or another multiple"):
        NarrowFeedForward(100)
    with pytest.raises(DinkuError, match="heads is 0; give 1 or more"):
        PruneHeads(0)
    with pytest.raises(DinkuError, match="sentences is 0; give 1 or more"):
        Sparsify(0.5, sentences=0)
    with pytest.raises(DinkuError, match="both keep and layers are given; give one of them"):
        KeepLayers((0,), layers=1)
