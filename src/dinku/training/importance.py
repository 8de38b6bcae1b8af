"""Scores of weights, heads, neurons, hidden coordinates and layers, and the choice of those to keep.

*magnitude* is |w| and needs no data (Han et al. 2015, arXiv 1506.02626). *activation* is |w|·‖x‖, where x is the input that the
weight reads of text (Wanda: Sun et al. 2023, arXiv 2306.11695). *taylor* is |w·∂L/∂w|, to first order the change of the loss if
the weight were removed, summed over batches of tagged words (Molchanov et al. 2019, arXiv 1906.10771; for heads Michel et al.
2019, arXiv 1905.10650). The score of a unit is the sum over its weights; by *activation* over those alone that read the unit's
output, because all units of a layer read the same input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import nn

from dinku import modeling
from dinku.data.corpus import Corpus
from dinku.method import ByImportance, Data
from dinku.model import labels
from dinku.model.family import read_unpadded
from dinku.nn import surgery
from dinku.nn.tagger import Tagger
from dinku.training import unpadded

_BATCH = 16  # windows

Scores = dict[torch.Tensor, torch.Tensor]  # by weight matrix, in its shape


def scores(tagger: Tagger, data: Data, how: ByImportance, *, embeddings: bool = False) -> Scores:
    """Scores of the weights of all `surgery.matrices`, and with ``embeddings`` of the word embeddings.

    Raises `DinkuError` if there is no text to read, or by *taylor* if the tagger has no tags.
    """
    surgery.changeable(tagger.model)
    weights = list(surgery.matrices(tagger.model).values())
    table = surgery.word_embeddings(tagger.model)
    wanted: list[torch.Tensor] = [*weights, *([table.weight] if embeddings else [])]
    if how.importance == "magnitude":
        return {w: w.detach().abs() for w in wanted}
    if how.importance == "activation":
        norms = _norms(tagger, sample(data, how))
        return {w: w.detach().abs() * (norms[w][:, None] if w is table.weight else norms[w]) for w in wanted}
    how.can_choose(tagger.shape)
    corpus = sample(data, how)
    gold_tags = labels.numbered(corpus, tagger.tags, tagger.task)
    total: Scores = {w: torch.zeros_like(w, requires_grad=False) for w in wanted}
    for chosen, tensors in _rows(tagger, corpus):
        gold = torch.from_numpy(np.concatenate([gold_tags[w.sentence][w.words] for w in chosen]))
        loss = nn.functional.cross_entropy(unpadded.logits(tagger.model, tensors), gold)
        for w, gradient in zip(wanted, torch.autograd.grad(loss, wanted), strict=True):
            total[w] += (w.detach() * gradient).abs()
    return total


def sample(data: Data, how: ByImportance) -> Corpus:
    """The train sentences that scores are taken from."""
    return data.words_for(how).sample(how.sentences, seed=0)


def _rows(tagger: Tagger, corpus: Corpus) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    """Batches of windows of similar length, each with the tensors of its row; the model can read rows while these are drawn."""
    windows = sorted(tagger.encoder.windows([s.words for s in corpus]), key=lambda w: len(w.ids))
    pad = tagger.encoder.pad
    every = torch.arange(tagger.model.config.vocab_size)
    alike = [windows]
    if read_unpadded(tagger.model.config):
        alike = [list(group) for _, group in groupby(windows, key=lambda w: len(w.ids))]
    batches = [group[start : start + _BATCH] for group in alike for start in range(0, len(group), _BATCH)]
    with unpadded.reading(tagger.model):
        for chosen in batches:
            yield chosen, unpadded.row(chosen, tagger.model, pad=pad, renumber=every)


def _norms(tagger: Tagger, corpus: Corpus) -> Scores:
    """‖x‖ [inputs] of the inputs x of each weight matrix over all subwords of a corpus; for the word embeddings by row."""
    table = surgery.word_embeddings(tagger.model)
    known = {*surgery.matrices(tagger.model).values()}
    linears = [m for m in tagger.model.base_model.modules() if isinstance(m, nn.Linear) and m.weight in known]
    squares = {m.weight: torch.zeros(m.in_features) for m in linears}
    rows, real, now = torch.zeros(table.num_embeddings), 0, dict[str, Any]()

    def read(module: Any, states: torch.Tensor) -> None:
        if _is_of_text(states, now):
            squares[module.weight] += unpadded.flat(states, now)[:real].float().square().sum(0)
        else:  # a table of positions, pooled subwords: it would count for nothing
            squares[module.weight] += states.flatten(0, -2).float().square().sum(0)

    with torch.inference_mode(), _reading(linears, read):
        for _, tensors in _rows(tagger, corpus):
            real, now = len(tensors["slots"]) - tensors["tail"], tensors
            rows += torch.bincount(tensors["ids"][0, :real], minlength=len(rows))
            unpadded.read(tagger.model.base_model, tensors)
    return {w: total.sqrt() for w, total in {**squares, table.weight: rows}.items()}


def _is_of_text(states: torch.Tensor, tensors: dict[str, Any]) -> bool:
    """Whether a linear layer reads the subwords of a row, and not a table, as of relative positions."""
    if "pad" not in tensors:
        return True
    windows, _, _, longest = tensors["masks"][0].shape
    return states.shape[:2] == (windows, longest) and states.dim() == 3


@contextmanager
def _reading(modules: Sequence[nn.Module], then: Callable[[Any, torch.Tensor], None]) -> Iterator[None]:
    """Call ``then`` with each module and its input, whenever one is used within the block."""
    hooks = [m.register_forward_pre_hook(lambda module, given: then(module, given[0])) for m in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def rounding(tagger: Tagger, corpus: Corpus, *, strength: float) -> dict[str, float]:
    """How much the answers change if only one linear layer computes in int8, smoothed by ``strength``; by the layer's name.

    The change is the divergence of the tags' probabilities from those in float32, in nats over all words, to second order: half
    the mean of (g·Δ)². Δ is the change of the layer's output by rounding, and g is the gradient at that output of the
    log-likelihood of tags that are drawn from the tagger's own probabilities (the Fisher information: Theis et al. 2018, arXiv
    1801.05787, eq. 5).
    """
    linears = {name: m for name, m in tagger.model.named_modules() if isinstance(m, nn.Linear)}
    largest = {m: torch.full((m.in_features,), 1e-5) for m in linears.values()}
    seen: list[tuple[nn.Linear, torch.Tensor, torch.Tensor]] = []

    def range_of(module: Any, given: torch.Tensor) -> None:
        largest[module] = torch.maximum(largest[module], given.detach().abs().flatten(0, -2).amax(0))

    def output(module: Any, given: Any, out: torch.Tensor) -> None:
        out.requires_grad_()
        with torch.no_grad():
            seen.append((module, out, _rounded(module, given[0], largest[module], strength) - out))

    with torch.inference_mode(), _reading([*linears.values()], range_of):
        for _, tensors in _rows(tagger, corpus):
            unpadded.logits(tagger.model, tensors)
    total, random = dict.fromkeys(linears.values(), 0.0), torch.Generator().manual_seed(0)
    hooks = [m.register_forward_hook(output) for m in linears.values()]
    try:
        for _, tensors in _rows(tagger, corpus):
            seen.clear()
            logits = unpadded.logits(tagger.model, tensors)
            drawn = torch.multinomial(logits.detach().softmax(-1), 1, generator=random)[:, 0]
            loss = nn.functional.cross_entropy(logits, drawn, reduction="sum")
            slopes = torch.autograd.grad(loss, [out for _, out, _ in seen])
            for (module, _, change), slope in zip(seen, slopes, strict=True):
                total[module] += 0.5 * float((slope * change).sum()) ** 2
    finally:
        for hook in hooks:
            hook.remove()
    return {name: total[module] for name, module in linears.items()}


def _rounded(linear: nn.Linear, states: torch.Tensor, largest: torch.Tensor, strength: float) -> torch.Tensor:
    """A linear layer's output in int8: one scale for all states, and for weights of 7 bits one scale for each output."""
    factor = largest**strength / linear.weight.abs().amax(0).clamp(1e-5) ** (1 - strength)
    weight, states = linear.weight * factor, states / factor
    step = weight.abs().amax(1, keepdim=True).clamp(1e-12) / 64
    low, high = states.amin().clamp(max=0), states.amax().clamp(min=0)
    scale = ((high - low) / 255).clamp(1e-12)
    zero = (-low / scale).round()
    states = ((states / scale).round() + zero).clamp(0, 255).sub(zero) * scale
    return nn.functional.linear(states, (weight / step).round() * step, linear.bias)


def heads(tagger: Tagger, data: Data, how: ByImportance) -> list[torch.Tensor]:
    """The scores [heads] of each layer."""
    found, out = scores(tagger, data, how), []
    for layer in modeling.layers(tagger.model):
        own, size = modeling.linears(layer), modeling.head_size(layer)
        out.append(_units(found, how, own.into_heads, own.out, own.stacked).view(-1, size).sum(1))
    return out


def neurons(tagger: Tagger, data: Data, how: ByImportance) -> list[torch.Tensor]:
    """The scores [width] of the feed-forward part of each layer."""
    found, out = scores(tagger, data, how), []
    for layer in modeling.layers(tagger.model):
        own = modeling.linears(layer)
        out.append(_units(found, how, [own.widen], own.narrow, own.wide))
    return out


def _units(scores: Scores, how: ByImportance, into: Sequence[nn.Linear], out: nn.Linear, stacked: int) -> torch.Tensor:
    """The scores [units] of the units between some linear layers, each of ``stacked`` matrices, and the one that reads them."""
    rows = [scores[linear.weight].sum(1) for linear in into] if how.importance != "activation" else []
    own = [part for each in rows for part in each.chunk(stacked)]
    return torch.stack([*own, scores[out.weight].sum(0)]).sum(0)


def coordinates(tagger: Tagger, data: Data, how: ByImportance) -> torch.Tensor:
    """The scores [hidden], over the weights of all layers that read or write a coordinate; by *activation* those that read it."""
    found, out = scores(tagger, data, how), torch.zeros(tagger.shape.hidden)
    for layer in modeling.layers(tagger.model):
        own = modeling.linears(layer)
        out += torch.stack([found[linear.weight].sum(0) for linear in own.reading]).sum(0)
        if how.importance != "activation":
            out += found[own.out.weight].sum(1) + found[own.narrow.weight].sum(1)
    return out


def layers(tagger: Tagger, data: Data, how: ByImportance) -> torch.Tensor:
    """The scores [layers]; by *activation* 1 − the cosine of a layer's input and output (ShortGPT: arXiv 2403.03853)."""
    surgery.changeable(tagger.model)
    own = list(modeling.layers(tagger.model))
    if how.importance != "activation":
        found = scores(tagger, data, how)
        return torch.stack(
            [sum((found[li.weight].sum() for li in modeling.linears(la).all), torch.zeros(())) for la in own]
        )
    corpus, turned, before = sample(data, how), torch.zeros(len(own)), list[torch.Tensor]()

    def read(module: Any, states: torch.Tensor) -> None:
        before.append(states)

    with torch.inference_mode(), _reading(own, read), surgery.listening(own) as after:
        for _, tensors in _rows(tagger, corpus):
            before.clear()
            unpadded.read(tagger.model.base_model, tensors)
            real = len(tensors["slots"]) - tensors["tail"]
            pairs = zip(before, after, strict=True)
            each = ((unpadded.flat(a, tensors), unpadded.flat(b, tensors)) for a, b in pairs)
            turned += torch.stack([(1 - nn.functional.cosine_similarity(a, b, dim=-1))[:real].sum() for a, b in each])
    return turned


def strongest(scores: torch.Tensor, count: int) -> tuple[int, ...]:
    """The numbers of the ``count`` highest scores of ``found`` [n], rising. Of equal scores the first are taken."""
    return tuple(sorted(scores.argsort(descending=True, stable=True)[:count].tolist()))


def spread(scores: Sequence[torch.Tensor], count: int, *, multiple: int = 1) -> list[tuple[int, ...]]:
    """The units that each layer keeps: the ``count`` highest scores over all layers, in each layer a multiple of ``multiple``.

    A layer keeps at least one multiple. ``count`` must be a multiple, and no more than layers have in whole multiples.
    """
    order = [f.sort(descending=True, stable=True).values for f in scores]
    blocks = [o[: len(o) // multiple * multiple].view(-1, multiple).sum(1) for o in order]
    for block in blocks:
        block[0] = torch.inf
    which = torch.repeat_interleave(torch.arange(len(blocks)), torch.tensor([len(b) for b in blocks]))
    best = which[torch.cat(blocks).argsort(descending=True, stable=True)[: count // multiple]]
    kept = torch.bincount(best, minlength=len(blocks)) * multiple
    return [strongest(f, int(n)) for f, n in zip(scores, kept, strict=True)]


def least(scores: Sequence[torch.Tensor], count: int) -> list[torch.Tensor]:
    """Boolean masks, shaped like ``scores``, of exactly the ``count`` smallest scores over all of them.

    Of equal scores the first are taken.
    """
    if count == 0:
        return [torch.zeros_like(s, dtype=torch.bool) for s in scores]
    flat = torch.cat([s.flatten() for s in scores])
    threshold = flat.kthvalue(count).values
    chosen = flat < threshold
    ties = torch.nonzero(flat == threshold).flatten()
    chosen[ties[: count - int(chosen.sum())]] = True
    masks = chosen.split([s.numel() for s in scores])
    return [mask.view(s.shape) for mask, s in zip(masks, scores, strict=True)]


def least_of_rows(scores: torch.Tensor, count: int) -> torch.Tensor:
    """A boolean mask, shaped like ``scores`` [rows, columns], of the ``count`` smallest of each row, the first of equal ones."""
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, scores.argsort(dim=1, stable=True)[:, :count], True)
