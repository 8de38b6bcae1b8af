"""Addresses: equal where what is asked is equal, and shared as far as recipes are the same."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from dinku.data.corpus import Corpus, Sentence
from dinku.data.unlabelled import Text
from dinku.digests import canonical
from dinku.errors import DinkuError
from dinku.method import Data, Method
from dinku.methods.distil import Distil
from dinku.methods.distiltext import DistilText
from dinku.methods.finetune import FineTune
from dinku.methods.fresh import StartFresh
from dinku.methods.layers import KeepLayers
from dinku.methods.pretrain import Pretrain
from dinku.methods.sparsity import Sparsify
from dinku.methods.vocabulary import TrimVocabulary
from dinku.study.recipe import Recipe
from dinku.testing import tiny_corpus, tiny_data, tiny_tagger, tiny_text

AFTER = Recipe("base", "corpus", (FineTune(epochs=2, rate=1e-3), Sparsify(0.5), FineTune(epochs=1, rate=1e-3)))


def addresses(recipe: Recipe, digest: str = "d", data: Data | None = None) -> list[str]:
    data = data or tiny_data()
    return recipe.resolved(data)[0].addresses(digest, data)


def test_recipes_share_the_addresses_of_equal_prefixes() -> None:
    other = replace(AFTER, steps=(*AFTER.steps[:2], FineTune(epochs=3, rate=1e-3)))
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


def test_what_needs_words_depends_on_those_of_the_train_split_alone(tmp_path: Path) -> None:
    """A vocabulary trimmed once serves every seed; tags, dev, text and the seed can't change it."""
    trimming, data = replace(AFTER, steps=(TrimVocabulary(60), *AFTER.steps)), tiny_data()
    (tmp_path / "one.txt").write_text("bade kilo\n")
    text = Text.open(str(tmp_path))
    assert addresses(trimming, data=replace(data, text=text)) == addresses(trimming)
    for other, given in [
        (replace(trimming, seed=7), data),
        (trimming, Data(data.train, tiny_corpus(seed=5, split="dev"))),
        (trimming, Data(data.train.without_tags(), data.dev)),  # type: ignore[union-attr]
    ]:
        assert addresses(other, data=given)[1] == addresses(trimming)[1]
        assert addresses(other, data=given)[2] != addresses(trimming)[2]
    assert addresses(trimming, data=Data(tiny_corpus(seed=5), data.dev))[1] != addresses(trimming)[1]
    distilling = replace(AFTER, steps=(DistilText(), *AFTER.steps))  # which draws at random, and sees the text
    assert addresses(replace(distilling, seed=7))[1] != addresses(distilling)[1]
    assert addresses(distilling, data=replace(data, text=text))[1] != addresses(distilling)[1]


def test_text_enters_an_address_in_the_languages_that_are_read(tmp_path: Path) -> None:
    tiny_text(tmp_path / "text")
    (tmp_path / "text" / "three.txt").write_text("bade kilo\n")

    def of(step: Method, train: Corpus | None = None) -> str:
        data = replace(tiny_data(), text=Text.open(str(tmp_path / "text")))
        return addresses(Recipe("base", "corpus", (step,)), data=replace(data, train=train or data.train))[1]

    chosen: list[Method] = [
        DistilText(),
        Distil(rate=1e-3, transfer=5),
        StartFresh(layers=1, heads=1, hidden=8, width=8, vocabulary=300),
        Pretrain(languages=("one", "two")),
        Distil(rate=1e-3, student=(StartFresh(layers=1, heads=1, hidden=8, width=8, vocabulary=300),)),
        TrimVocabulary(60, sentences=5),
    ]
    whole = Pretrain()
    before, before_whole = [of(step) for step in chosen], of(whole)
    assert of(chosen[0], tiny_corpus(seed=5)) == before[0]  # it reads none of the train sentences
    assert of(chosen[2], tiny_corpus(seed=5)) == before[2]
    assert of(whole, tiny_corpus(seed=5)) == before_whole
    assert of(chosen[1], tiny_corpus(seed=5)) != before[1]
    one = Corpus("tiny", "train", tuple(s for s in tiny_corpus() if s.language == "one"))
    assert of(chosen[0], one) != before[0]
    assert of(DistilText(student=(TrimVocabulary(60),)), one) != of(DistilText(student=(TrimVocabulary(60),)))
    (tmp_path / "text" / "three.txt").write_text("something else\n")  # no language of the train split
    assert [of(step) for step in chosen] == before
    assert of(whole) != before_whole
    (tmp_path / "text" / "one.txt").write_text("something else\n")
    assert not {*map(of, chosen)} & {*before}


def test_an_address_stays_what_it_was() -> None:
    """Rows that were committed are found by their addresses: a change here loses them all."""
    tune = FineTune(epochs=1, rate=5e-5, batch=16, warmup=0.0, tags=("O", "B-PER", "I-PER"))
    recipe = Recipe("base", "corpus", (Sparsify(0.5), tune))
    assert recipe.addresses("0" * 64, Data())[-1][:16] == "f88d6adbbb774be8"
    corpus = Corpus("c", "train", (Sentence(("a", "b"), ("B-PER", "O")),))
    assert recipe.addresses("0" * 64, Data(corpus, corpus))[-1][:16] == "0b43a18a48bf893f"


def test_a_recipe_comes_back_from_its_document() -> None:
    assert Recipe.from_document(AFTER.document()) == AFTER
    with pytest.raises(DinkuError, match="a recipe has base, corpus, steps, seed, label_on"):
        Recipe.from_document({**AFTER.document(), "sede": 1})


def test_declared_shapes_follow_the_steps() -> None:
    shape = tiny_tagger(tags=()).shape
    declared = AFTER.resolved(tiny_data())[0].declared(shape)
    assert declared[0] == shape
    assert [s.tags for s in declared] == [0, 5, 5, 5]
    assert [s.zeros for s in declared] == [0, 0, round(sum(shape.weights(embeddings=False)) / 2), declared[2].zeros]


def test_canonical_json_is_equal_for_equal_values() -> None:
    assert canonical({"b": 1, "a": "ọ"}) == canonical({"a": "ọ", "b": 1}) == '{"a":"ọ","b":1}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical(math.nan)


def test_the_versions_of_inner_methods_enter_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe("base", "corpus", (Distil(student=(KeepLayers((0,)),)),))
    before = recipe.addresses("0" * 64, Data())
    monkeypatch.setattr(KeepLayers, "version", 99)
    assert recipe.addresses("0" * 64, Data())[-1] != before[-1]
