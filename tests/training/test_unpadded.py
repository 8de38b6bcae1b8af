"""A row of windows is read as padded windows are: the same logits, the same gradients."""

import numpy as np
import pytest
import torch

from dinku.model.encode import SubwordWindow
from dinku.nn.tagger import Tagger
from dinku.testing import tiny_corpus, tiny_tagger
from dinku.training import unpadded, while_training

FAMILIES = [("bert", "wordpiece"), ("distilbert", "wordpiece"), ("roberta", "bytes"), ("xlm-roberta", "unigram")]


def read(tagger: Tagger, windows: list[SubwordWindow], renumber: torch.Tensor | None = None) -> torch.Tensor:
    whole = torch.arange(tagger.model.config.vocab_size)
    tensors = unpadded.row(
        windows,
        tagger.model,
        pad=tagger.encoder.pad,
        renumber=whole if renumber is None else renumber,
    )
    return unpadded.logits(tagger.model, tensors)


def padded(tagger: Tagger, windows: list[SubwordWindow]) -> torch.Tensor:
    batch = tagger.encoder.batch(windows)
    out = tagger.model(torch.from_numpy(batch.ids), attention_mask=torch.from_numpy(batch.mask)).logits
    return out[torch.from_numpy(batch.rows), torch.from_numpy(batch.columns)]


@pytest.mark.parametrize(("family", "tokenizer"), FAMILIES)
@pytest.mark.parametrize("count", [1, 3, 16, 37])
def test_a_row_has_the_logits_and_gradients_of_padded_windows(family: str, tokenizer: str, count: int) -> None:
    tagger = tiny_tagger(family, tokenizer)
    windows = tagger.encoder.windows([s.words for s in tiny_corpus(count)])
    assert count == 1 or len({len(w.ids) for w in windows}) > 1
    expected = padded(tagger, windows)
    weights = list(tagger.model.parameters())
    push = torch.randn(expected.shape, generator=torch.Generator().manual_seed(0))
    gradients = torch.autograd.grad((expected * push).sum(), weights, allow_unused=True)
    with unpadded.reading(tagger.model):
        found = read(tagger, windows)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        for a, b in zip(torch.autograd.grad((found * push).sum(), weights, allow_unused=True), gradients, strict=True):
            if a is None or b is None:
                assert a is b is None  # a pooler, which no tag comes from
            else:
                torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    assert torch.equal(padded(tagger, windows), expected)  # and the model is as it was


def test_a_row_may_be_longer_than_the_model_has_positions() -> None:
    tagger = tiny_tagger()
    windows = tagger.encoder.windows([s.words for s in tiny_corpus(200)])
    assert sum(len(w.ids) for w in windows) > 4 * tagger.shape.positions
    with torch.inference_mode(), unpadded.reading(tagger.model):
        together, alone = read(tagger, windows), torch.cat([read(tagger, [w]) for w in windows])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_a_window_sees_nothing_of_its_neighbours() -> None:
    tagger = tiny_tagger()
    first, second = tagger.encoder.windows([("Bade", "lives", "in", "Lagos"), ("Ada",)])
    other = second._replace(ids=np.r_[second.ids[:1], second.ids[1:-1] + 1, second.ids[-1:]])
    with torch.inference_mode(), unpadded.reading(tagger.model):
        a, b = read(tagger, [first, second]), read(tagger, [first, other])
    words = len(first.at)
    assert torch.equal(a[:words], b[:words])
    assert not torch.equal(a[words:], b[words:])


def test_subwords_are_renumbered() -> None:
    tagger = tiny_tagger()
    windows = tagger.encoder.windows([s.words for s in tiny_corpus(5)])
    used = np.unique(np.concatenate([np.arange(tagger.encoder.pad + 1), *(w.ids for w in windows)]))
    with torch.inference_mode(), unpadded.reading(tagger.model):
        expected = read(tagger, windows)
        with while_training.compact_embeddings(tagger.model, torch.from_numpy(used)) as renumber:
            found = read(tagger, windows, renumber)
    torch.testing.assert_close(found, expected)


def test_dropout_is_attentions_too() -> None:
    tagger = tiny_tagger()
    windows = tagger.encoder.windows([s.words for s in tiny_corpus(5)])
    for module in tagger.model.modules():
        if isinstance(module, torch.nn.Dropout) and "self" not in type(module).__name__:
            module.p = 0.0
    with torch.inference_mode(), unpadded.reading(tagger.model):
        still = read(tagger, windows)
        tagger.model.train()
        assert torch.equal(read(tagger, windows), still)
        for name, module in tagger.model.named_modules():
            if name.endswith("attention.self.dropout"):
                module.p = 0.5
        assert not torch.equal(read(tagger, windows), still)
