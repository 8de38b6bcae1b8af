"""Addresses: equal where what is asked is equal, and shared as far as recipes are the same."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from dinku.errors import DinkuError
from dinku.method import Data
from dinku.methods.finetune import FineTune
from dinku.methods.sparsity import Sparsify
from dinku.recipe import Recipe, canonical
from dinku.testing import tiny_corpus, tiny_data, tiny_tagger

AFTER = Recipe("base", "corpus", (FineTune(epochs=2), Sparsify(0.5), FineTune(epochs=1)))


def addresses(recipe: Recipe, digest: str = "d", data: Data | None = None) -> list[str]:
    data = data or tiny_data()
    return recipe.resolved(data).addresses(digest, data)


def test_recipes_share_the_addresses_of_equal_prefixes() -> None:
    other = replace(AFTER, steps=(*AFTER.steps[:2], FineTune(epochs=3)))
    assert addresses(AFTER)[:3] == addresses(other)[:3]
    assert addresses(AFTER)[3] != addresses(other)[3]
    assert len(set(addresses(AFTER))) == 4
    assert addresses(replace(AFTER, base="elsewhere", corpus="another name")) == addresses(AFTER)  # content, not names


def test_what_a_step_consumes_enters_its_address() -> None:
    assert addresses(AFTER, digest="e")[0] != addresses(AFTER)[0]
    other = Data(tiny_corpus(seed=5), tiny_data().dev)
    assert addresses(AFTER, data=other)[0] == addresses(AFTER)[0]
    assert addresses(AFTER, data=other)[1] != addresses(AFTER)[1]
    before = replace(AFTER, steps=AFTER.steps[1:])  # what needs no data is the same for every seed and corpus
    reseeded = replace(before, seed=7)
    assert addresses(before)[1] == addresses(reseeded)[1] == addresses(before, data=other)[1]
    assert addresses(before)[2] != addresses(reseeded)[2]


def test_an_address_stays_what_it_was() -> None:
    """Rows that were committed are found by their addresses: a change here loses them all."""
    recipe = Recipe("base", "corpus", (Sparsify(0.5), FineTune(epochs=1, tags=("O", "B-PER", "I-PER"))))
    assert recipe.addresses("0" * 64, Data())[-1][:16] == "f88d6adbbb774be8"


def test_a_recipe_comes_back_from_its_document() -> None:
    assert Recipe.of(AFTER.document()) == AFTER
    with pytest.raises(DinkuError, match="a recipe has base, corpus, steps, seed, label_on"):
        Recipe.of({**AFTER.document(), "sede": 1})


def test_declared_shapes_follow_the_steps() -> None:
    shape = tiny_tagger(tags=()).shape
    declared = AFTER.resolved(tiny_data()).declared(shape)
    assert declared[0] == shape
    assert [s.tags for s in declared] == [0, 5, 5, 5]
    assert [s.zeros for s in declared] == [0, 0, round(sum(shape.weights(embeddings=False)) / 2), declared[2].zeros]


def test_canonical_json_is_equal_for_equal_values() -> None:
    assert canonical({"b": 1, "a": "ọ"}) == canonical({"a": "ọ", "b": 1}) == '{"a":"ọ","b":1}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical(math.nan)
