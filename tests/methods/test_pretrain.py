"""Masked-LM training: its loss, what it hides, which languages it reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dinku.data.unlabelled import Text, shares
from dinku.errors import DinkuError
from dinku.method import Data, Work
from dinku.methods.finetune import FineTune
from dinku.methods.fresh import StartFresh
from dinku.methods.pretrain import Hidden, Pretrain, masked_loss
from dinku.methods.registry import from_json
from dinku.methods.sparsity import Sparsify
from dinku.nn import surgery
from dinku.nn.tagger import Tagger
from dinku.testing import check_law, tiny_data, tiny_tagger, tiny_text
from dinku.training import fit, unpadded

ONE = Work(seed=1, threads=1)
QUICK = Pretrain(steps=12, batch=4, window=24, rate=1e-3, precision="float32")
FAMILIES = [("xlm-roberta", "unigram"), ("bert", "wordpiece"), ("roberta", "bytes"), ("distilbert", "wordpiece")]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Text:
    return tiny_text(tmp_path_factory.mktemp("pretrain") / "text")


def hidden_of(tagger: Tagger, text: Text, how: Pretrain, seed: int = 0) -> Hidden:
    encoder = tagger.windows_of(how.window)
    return Hidden(tagger, encoder, how._streams(text, encoder, ONE), how, seed)


def row_of(tagger: Tagger, hidden: Hidden, batch: list[int]) -> dict[str, Any]:
    whole = torch.arange(tagger.model.config.vocab_size)
    tensors = unpadded.row([hidden[i] for i in batch], tagger.model, pad=tagger.encoder.pad, renumber=whole)
    return tensors | {"gold": torch.from_numpy(np.concatenate([hidden.gold(i) for i in batch]))}


@pytest.mark.parametrize(("family", "pieces"), FAMILIES)
def test_the_loss_is_transformers_own_on_padded_windows(family: str, pieces: str, text: Text) -> None:
    tagger = tiny_tagger(family, pieces, masked_lm=True)
    hidden = hidden_of(tagger, text, replace(QUICK, steps=200))
    short = int(np.argmin(hidden.lengths))
    batch = [0, 1, short, 2, 3]
    assert len(hidden[short].ids) < len(hidden[0].ids)
    with torch.inference_mode(), unpadded.reading(tagger.model):
        found = masked_loss(tagger.model, row_of(tagger, hidden, batch))
    padded = tagger.encoder.batch([hidden[i] for i in batch])
    labels = np.full(padded.ids.shape, -100)
    for i, number in enumerate(batch):
        labels[i, hidden[number].at] = hidden.gold(number)
    with torch.inference_mode():
        expected = tagger.model(
            input_ids=torch.from_numpy(padded.ids),
            attention_mask=torch.from_numpy(padded.mask),
            labels=torch.from_numpy(labels),
        ).loss
    assert abs(float(found - expected)) < 1e-5


def test_what_is_hidden_has_the_published_rates(text: Text) -> None:
    tagger = tiny_tagger()
    hidden = hidden_of(tagger, text, replace(QUICK, steps=500, window=62))
    mask, of_all, told = tagger.tokenizer.mask_token_id, 0, 0
    masked = kept = 0
    for i in range(len(hidden)):
        window, gold = hidden[i], hidden.gold(i)
        assert window.ids[0] == 0
        assert window.ids[-1] == 2
        assert len(window.ids) == hidden.lengths[i]
        assert window.at.min() >= 1
        assert window.at.max() < len(window.ids) - 1
        assert len(set(window.at.tolist())) == len(gold)
        whole = window.ids.copy()
        whole[window.at] = gold
        start = hidden.place[i] * hidden.room
        assert np.array_equal(whole[1:-1], hidden.streams[hidden.language[i]][start : start + hidden.room])
        shown = window.ids[window.at]
        of_all += len(window.ids) - 2
        told, masked, kept = told + len(gold), masked + int((shown == mask).sum()), kept + int((shown == gold).sum())
        assert not set(shown[shown != mask].tolist()) & set(tagger.tokenizer.all_special_ids)
    assert abs(told / of_all - 0.15) < 0.002
    assert abs(masked / told - 0.8) < 0.015
    assert abs(kept / told - 0.1) < 0.015  # and now and then any other subword is the same one
    again, other = hidden_of(tagger, text, QUICK, seed=0), hidden_of(tagger, text, QUICK, seed=1)
    assert all(np.array_equal(again[i].ids, hidden_of(tagger, text, QUICK)[i].ids) for i in range(5))
    assert not all(np.array_equal(again[i].ids, other[i].ids) for i in range(5))


def test_languages_are_drawn_with_temperature_and_windows_hold_one(tmp_path: Path) -> None:
    tiny_text(tmp_path / "text")
    one = (tmp_path / "text" / "one.txt").read_text()
    (tmp_path / "text" / "one.txt").write_text("\n".join([one] * 9))
    (tmp_path / "text" / "empty.txt").write_text("\n")
    text, tagger = Text.open(str(tmp_path / "text")), tiny_tagger()
    for alpha in (0.0, 0.3, 1.0):
        hidden = hidden_of(tagger, text, replace(QUICK, steps=500, alpha=alpha))
        assert text.languages == ("empty", "one", "two")
        sizes = [-(-len(stream) // hidden.room) for stream in hidden.streams]
        found = np.bincount(hidden.language, minlength=3) / len(hidden)
        assert np.abs(found - shares(sizes, alpha)).max() < 1 / 2000
        assert len(hidden) == 2000
        read = np.unique(hidden.place[hidden.language == 2])
        assert len(read) == sizes[2]  # each of its windows, before any comes again
    named = hidden_of(tagger, text, replace(QUICK, languages=("two",)))
    assert len(named.streams) == 1


def test_the_loss_falls_and_the_encoder_learns_from_nothing(text: Text) -> None:
    fresh = StartFresh(layers=2, heads=2, hidden=32, width=64).apply(tiny_tagger(), Data(), ONE)
    method = replace(QUICK, steps=150, batch=8, rate=5e-3)
    after = method.apply(fresh, Data(text=text), ONE)
    check_law(method, fresh.shape, after.shape)

    def loss(tagger: Tagger) -> float:
        hidden = hidden_of(tagger, text, QUICK, seed=9)
        with torch.inference_mode(), unpadded.reading(tagger.model):
            return float(masked_loss(tagger.model, row_of(tagger, hidden, list(range(len(hidden))))))

    before = loss(replace(fresh, model=surgery.with_masked_lm(fresh.model, seed=1)))
    assert loss(after) < before - 0.5
    assert after.model.get_output_embeddings().weight is surgery.word_embeddings(after.model).weight
    tagger = FineTune(epochs=1, batch=8, precision="float32").apply(after, tiny_data(), ONE)
    assert not tagger.shape.masked_lm


def test_every_row_moves_and_a_head_is_carried_on(text: Text) -> None:
    started = replace(QUICK, weight_decay=0.0).apply(tiny_tagger(), Data(text=text), ONE)
    assert started.tags == ()
    assert started.shape.masked_lm
    before = surgery.word_embeddings(tiny_tagger().model).weight
    assert bool((surgery.word_embeddings(started.model).weight != before).any(1).all())
    nothing = replace(QUICK, rate=1e-30, weight_decay=0.0, keep_zeros=False)
    carried = nothing.apply(started, Data(text=text), ONE)
    for (name, old), new in zip(started.model.named_parameters(), carried.model.parameters(), strict=True):
        assert torch.allclose(old, new, atol=1e-12), name


def test_zeros_stay(text: Text) -> None:
    sparse = Sparsify(0.5, embeddings=True).apply(tiny_tagger(), Data(), ONE)
    after = QUICK.apply(sparse, Data(text=text), ONE)
    assert after.shape.zeros >= sparse.shape.zeros > 0


class Killed(Exception):
    pass


def test_a_run_that_is_killed_resumes_to_the_same_weights(
    text: Text, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "CHECKPOINT_SECONDS", 0.0)
    expected = QUICK.apply(tiny_tagger(), Data(text=text), ONE).digest
    reached: list[int] = []

    def progress(limit: int, what: str, done: int, total: int) -> None:
        if what.startswith("pretraining"):
            reached.append(done)
            assert total == 12
            if done == limit:
                raise Killed

    def until(limit: int) -> Work:
        return replace(ONE, folder=tmp_path / "work", progress=partial(progress, limit))

    for limit in (4, 9):
        with pytest.raises(Killed):
            QUICK.apply(tiny_tagger(), Data(text=text), until(limit))
    reached.clear()
    after = QUICK.apply(tiny_tagger(), Data(text=text), until(-1))
    assert reached[0] == 9
    assert after.digest == expected


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"alpha": 1.5}, "alpha is 1.5; give a number from 0 to 1"),
        ({"alpha": -0.1}, "alpha is -0.1"),
        ({"steps": -1}, "steps is -1; give 0 or more"),
        ({"epochs": 3}, "Pretrain has no field 'epochs'"),
        ({"languages": ["hau", "hau"]}, "name each language once"),
        ({"window": 4}, "window is 4; give 8 subwords or more"),
    ],
)
def test_wrong_fields_are_one_line(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(DinkuError) as caught:
        from_json({"Pretrain": fields})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def empty(folder: Path) -> Text:
    (folder / "one.txt").write_text("\n \n")
    return Text.open(str(folder))


@pytest.mark.parametrize(
    ("method", "make", "said"),
    [
        (QUICK, lambda folder: None, "there is no text; name a folder as the study's text"),
        (QUICK, empty, "its files hold no text; fill them"),
        (QUICK, Text.open, "holds no text; put <language>.txt files there"),
        (
            replace(QUICK, languages=("xho",)),
            lambda f: tiny_text(f / "t"),
            "has no language 'xho'; choose from one, two",
        ),
        (
            replace(QUICK, window=65),
            lambda f: tiny_text(f / "t"),
            "window is 65, and the model reads 64 subwords at most",
        ),
    ],
)
def test_bad_input_is_one_line(method: Pretrain, make: Callable[[Any], Text | None], said: str, tmp_path: Path) -> None:
    with pytest.raises(DinkuError) as caught:
        method.apply(tiny_tagger(), Data(text=make(tmp_path)), ONE)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_tokenizer_without_a_mask_is_told(text: Text) -> None:
    tagger = tiny_tagger()
    tagger.tokenizer.mask_token = None
    with pytest.raises(DinkuError, match="its tokenizer has no mask token; name one"):
        QUICK.apply(tagger, Data(text=text), ONE)


def test_training_that_diverges_says_so(text: Text) -> None:
    with pytest.raises(DinkuError, match="no longer finite; lower the learning rate") as caught:
        replace(QUICK, rate=1e30, clip=1e30, steps=8).apply(tiny_tagger(), Data(text=text), ONE)
    assert caught.value.status == 1
