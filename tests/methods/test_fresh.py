"""New encoders and their vocabularies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from dinku.data.unlabelled import Text
from dinku.errors import DinkuError
from dinku.method import Data, Work, needs_of
from dinku.methods.distil import Distil
from dinku.methods.distiltext import DistilText
from dinku.methods.fresh import PRESETS, StartFresh
from dinku.methods.registry import from_json, to_json
from dinku.nn import surgery
from dinku.nn.tagger import Tagger
from dinku.study.recipe import Recipe
from dinku.testing import check_law, tiny_corpus, tiny_data, tiny_tagger, tiny_text

ONE = Work(seed=1, threads=1)
SMALL = StartFresh(layers=3, heads=2, hidden=12, width=20)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return replace(tiny_data(), text=tiny_text(tmp_path_factory.mktemp("fresh") / "text"))


@pytest.mark.parametrize(
    ("name", "layers", "millions"),
    [("afriberta_small", 4, 82.52), ("afriberta_base", 8, 110.87), ("afriberta_large", 10, 125.05)],
)
def test_a_preset_stands_for_the_published_numbers(name: str, layers: int, millions: float) -> None:
    method = from_json({"StartFresh": {"preset": name}})
    assert method == StartFresh(
        layers=layers, heads=6, hidden=768, width=3072, vocabulary=70_006, positions=514, family="xlm-roberta"
    )
    ((_, fields),) = to_json(method).items()
    assert fields["preset"] == ""
    assert fields["layers"] == layers
    shape = method.declare(tiny_tagger("bert", "wordpiece").shape)
    assert round(shape.with_tags(9).parameters / 1e6, 2) == millions
    assert (shape.family, shape.vocabulary, shape.positions, shape.tags) == ("xlm-roberta", 70_006, 514, 0)
    assert set(PRESETS) == {"afriberta_small", "afriberta_base", "afriberta_large"}


@pytest.mark.parametrize("family", ["xlm-roberta", "bert", "roberta", "distilbert"])
@pytest.mark.parametrize("new", ["", "xlm-roberta", "bert", "roberta", "distilbert"])
def test_an_encoder_of_any_family_has_the_shape_that_was_asked_for(family: str, new: Any, tmp_path: Path) -> None:
    tagger = tiny_tagger(family, "wordpiece" if family == "bert" else "unigram")
    method = replace(SMALL, family=new)
    after = method.apply(tagger, Data(), ONE)
    check_law(method, tagger.shape, after.shape)
    assert after.shape.family == (new or family)
    assert after.tags == ()
    loaded = Tagger.load(after.save(tmp_path / "fresh"))
    assert loaded.digest == after.digest
    assert loaded.encoder.length == after.encoder.length  # as many subwords as it has positions for
    longest = torch.full((1, after.encoder.length), 5)
    assert torch.isfinite(after.model(longest)[0]).all()
    assert method.apply(tagger, Data(), ONE).digest == after.digest
    assert method.apply(tagger, Data(), Work(seed=2)).digest != after.digest


def test_a_seed_enters_the_address_of_what_draws(data: Data) -> None:
    recipe = Recipe("base", "corpus", (SMALL,))
    first, other = (r.addresses("d", data)[1] for r in (recipe, replace(recipe, seed=7)))
    assert first != other
    assert recipe.addresses("d", replace(data, text=None))[1] == first  # without a vocabulary no text is read
    made = replace(recipe, steps=(replace(SMALL, vocabulary=330),))
    assert made.addresses("d", data)[1] != made.addresses("d", replace(data, text=None))[1]


def test_a_vocabulary_has_exactly_its_size_and_reads_alike_in_plain_transformers(data: Data, tmp_path: Path) -> None:
    method = replace(SMALL, vocabulary=340)
    after = method.apply(tiny_tagger(), data, ONE)
    tokenizer = after.tokenizer
    assert len(tokenizer) == 340 == surgery.word_embeddings(after.model).num_embeddings
    assert sorted(tokenizer.get_vocab().values()) == list(range(340))
    assert tokenizer.convert_tokens_to_ids(["<s>", "<pad>", "</s>", "<unk>", "<mask>"]) == [0, 1, 2, 3, 339]
    assert tokenizer.mask_token_id == 339
    lines = [*(" ".join(s.words) for s in tiny_corpus(50, seed=8)), "Ẹ kú àárọ̀ 🙂", "ሰላም ናችሁ", "a  b\u200bc"]
    plain = AutoTokenizer.from_pretrained(after.save(tmp_path / "fresh"))
    assert plain(lines)["input_ids"] == tokenizer(lines)["input_ids"]
    unseen = tokenizer("🙂")["input_ids"]
    assert tokenizer.unk_token_id not in unseen  # its bytes
    assert tokenizer.decode(unseen, skip_special_tokens=True).strip() == "🙂"
    again = method.apply(tiny_tagger("bert", "wordpiece"), data, Work(seed=5))
    assert again.tokenizer.get_vocab() == tokenizer.get_vocab()  # for every seed


def test_a_vocabulary_is_made_in_the_languages_of_the_train_split(tmp_path: Path) -> None:
    tiny_text(tmp_path / "text")
    (tmp_path / "text" / "three.txt").write_text("qoqoqo xixi qoqo\n" * 80)
    text = Text.open(str(tmp_path / "text"))
    method = replace(SMALL, vocabulary=330)
    one, every = (method.apply(tiny_tagger(), Data(train, None, text), ONE) for train in (tiny_corpus(), None))
    assert "▁qoqo" not in one.tokenizer.get_vocab()
    assert any("qo" in piece for piece in every.tokenizer.get_vocab())


@pytest.mark.parametrize("vocabulary", [0, 330])
def test_a_fresh_encoder_is_a_student(data: Data, vocabulary: int) -> None:
    teacher = tiny_tagger()
    student = replace(SMALL, layers=2, vocabulary=vocabulary)
    quick: dict[str, Any] = {"epochs": 1, "batch": 8, "precision": "float32"}
    method = Distil(student=(student,), **quick)
    assert needs_of(method) == ({"labels", "text"} if vocabulary else {"labels"})
    after = method.apply(teacher, data.seen_by(method), ONE)
    check_law(method, teacher.shape, after.shape)
    assert after.tags == teacher.tags
    if not vocabulary:
        on_text = DistilText(student=(replace(student, layers=1),), sentences=20, relation_heads=4, **quick)
        check_law(on_text, teacher.shape, on_text.apply(teacher, data, ONE).shape)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "layers is 0; give 1 or more, or a preset, one of afriberta_small"),
        ({"layers": 1, "heads": 2, "hidden": 9, "width": 1}, "hidden is 9, which isn't a multiple of 2 heads"),
        ({"preset": "afriberta_small", "layers": 3}, "preset is afriberta_small, and layers is given too"),
        ({"preset": "afriberta"}, "StartFresh.preset is 'afriberta'"),
        ({"layers": 1, "heads": 2, "hidden": 8, "width": 1, "alpha": 2}, "alpha is 2.0; give a number from 0 to 1"),
        ({"layers": 1, "heads": 2, "hidden": 8, "width": 1, "vocabulary": -1}, "vocabulary is -1; give 0 or more"),
    ],
)
def test_wrong_fields_are_one_line(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(DinkuError) as caught:
        from_json({"StartFresh": fields})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_can_not_make_a_vocabulary_is_told(data: Data, tmp_path: Path) -> None:
    def refused(method: StartFresh, given: Data, said: str) -> None:
        with pytest.raises(DinkuError, match=said) as caught:
            method.apply(tiny_tagger(), given, ONE)
        assert "\n" not in str(caught.value)

    refused(replace(SMALL, vocabulary=330), Data(), "there is no text; name a folder as the study's text")
    refused(
        replace(SMALL, vocabulary=70_006), data, r"can't make 70,006 pieces from 120 lines \(.*too high.*\); choose"
    )
    refused(replace(SMALL, vocabulary=100), data, r"can't make 100 pieces from")
    with pytest.raises(
        DinkuError, match=r"Vocabulary size too high \(70006\)"
    ):  # and not without the two that are added
        replace(SMALL, vocabulary=70_006).apply(tiny_tagger(), data, ONE)
    refused(replace(SMALL, positions=6), data, "positions is 6, room for windows of 4 subwords; give more")
    (tmp_path / "one.txt").write_text("\n")
    refused(replace(SMALL, vocabulary=330), Data(text=Text.open(str(tmp_path))), r"can't make 330 pieces from 0 lines")


def test_padding_rows_are_zero_and_nothing_else_is() -> None:
    table = surgery.word_embeddings(SMALL.apply(tiny_tagger(), Data(), ONE).model)
    zero = (table.weight == 0).all(1).numpy()
    assert np.flatnonzero(zero).tolist() == [table.padding_idx]
