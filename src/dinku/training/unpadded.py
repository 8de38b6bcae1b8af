"""Windows laid end to end in one row, so that training computes nothing for padding.

Embeddings, linear layers, norms and dropout read a whole batch as [1, subwords]; attention alone separates windows, in groups of
similar length. The results are those of padded windows, for about two thirds of the work if lengths vary.

Attention that can't be replaced, such as that of a family that isn't described, reads the same row as padded windows (`padded`),
and its answers are laid end to end again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from transformers import (
    AttentionInterface,
    PreTrainedModel,
)
from transformers.masking_utils import AttentionMaskInterface

from dinku.model.encode import SubwordWindow, first_position
from dinku.model.family import described, read_unpadded
from dinku.model.windows import Ids, Logits
from dinku.modeling import is_pooled
from dinku.training.while_training import dropped

GROUPS = 4  # for attention, each of so many groups of a batch's windows is padded to its longest
MULTIPLE = (
    64  # a row's subwords are padded to a multiple of it, since each new size of a matrix product takes time to prepare
)


def padded(model: PreTrainedModel) -> bool:
    """Whether a model has to read rows as padded windows."""
    family = described(model.config.to_dict())
    return family is None or not family.unpadded or is_pooled(model)


def row(
    windows: Sequence[SubwordWindow], model: PreTrainedModel, *, pad: int, renumber: torch.Tensor
) -> dict[str, Any]:
    """The tensors that `read` takes, for windows of which neighbours should be of similar length.

    ``ids`` and ``positions`` [1, subwords] are the row, padded to a `MULTIPLE`, with ``tail`` subwords of padding at its end.
    ``speaks`` [words] is the subword of each scored word. For attention, ``spread`` [slots] is the subword in every slot of the
    padded groups, ``slots`` [subwords] the slot of every subword, and ``masks`` [windows, 1, 1, longest] what is added to the
    scores of a group. ``renumber`` [vocabulary] gives the row of the word embeddings at which each subword stands. Where windows
    are read `padded`, there is one group of all, and ``pad`` is the row of the padding subword.
    """
    family = described(model.config.to_dict())
    whole = padded(model)
    lengths = np.array([len(w.ids) for w in windows])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    end = np.zeros(-starts[-1] % MULTIPLE, np.int64)
    positions = np.concatenate([*(np.arange(n) for n in lengths), end]) + first_position(
        bool(family and family.offset), pad
    )
    spread, masks = [], []
    size = len(windows) if whole else math.ceil(len(windows) / GROUPS)
    for i in range(0, len(windows), size):
        own = lengths[i : i + size, None]
        column = np.arange(own.max())
        real = column < own  # [windows, longest]
        spread.append(np.where(real, starts[i : i + len(own), None] + column, -1))
        masks.append(torch.from_numpy(np.where(real, 0.0, -1e9).astype(np.float32))[:, None, None, :])
    flat = np.concatenate([s.ravel() for s in spread])
    return {
        "ids": renumber[torch.from_numpy(ids(windows, pad))],
        "positions": torch.from_numpy(positions[None]),
        "speaks": torch.from_numpy(np.concatenate([w.at + s for w, s in zip(windows, starts[:-1], strict=True)])),
        "spread": torch.from_numpy(np.maximum(flat, 0)),
        "slots": torch.from_numpy(np.concatenate([np.flatnonzero(flat >= 0), end])),
        "masks": masks,
        "tail": len(end),
        **({"pad": int(renumber[pad])} if whole else {}),
    }


def ids(windows: Sequence[SubwordWindow], pad: int) -> Ids:
    """The subwords [1, subwords] of a row, with padding at its end."""
    together = np.concatenate([w.ids for w in windows])
    return np.pad(together, (0, -len(together) % MULTIPLE), constant_values=pad)[None]


def read(model: Any, tensors: dict[str, Any]) -> Any:
    """A model's output for the tensors of `row`, within `reading`; what it gives for each subword is to be read by `flat`."""
    device = model.device
    on = {name: tensors[name].to(device) for name in ("ids", "positions", "spread", "slots")}
    masks = [mask.to(device) for mask in tensors["masks"]]
    ids, positions = on.pop("ids"), on.pop("positions")
    if "pad" not in tensors:
        return model(input_ids=ids, position_ids=positions, masks=masks, **on)
    windows, real = _windows(ids, tensors)
    return model(input_ids=windows, attention_mask=real.long())


def flat(states: torch.Tensor, tensors: dict[str, Any]) -> torch.Tensor:
    """What a model gave for each subword of a row, [subwords, …]."""
    if "pad" not in tensors:
        return states[0]
    return states.flatten(0, 1).index_select(0, tensors["slots"].to(states.device))


def logits(model: Any, tensors: dict[str, Any]) -> torch.Tensor:
    """The logits [scored words, tags] of a tagger's model, within `reading`; of pooled heads [windows, tags]."""
    if is_pooled(model):
        return cast(torch.Tensor, read(model, tensors).logits)
    if read_unpadded(model.config):
        return _apart(model, tensors)
    return flat(read(model, tensors).logits, tensors).index_select(0, tensors["speaks"].to(model.device))


def _apart(model: Any, tensors: dict[str, Any]) -> torch.Tensor:
    """The same, of windows that are read in groups of equal length."""
    windows, real = _windows(tensors["ids"].to(model.device), tensors)
    lengths = real.sum(1)
    found: list[torch.Tensor] = []
    for length in lengths.unique().tolist():
        found.append(model(input_ids=windows[lengths == length, :length]).logits.flatten(0, 1))
    # The subwords now stand in the order of length; `places` says where each slot's is.
    order = lengths.argsort(stable=True)
    starts = torch.zeros_like(lengths)
    starts[order] = lengths[order].cumsum(0) - lengths[order]
    column = torch.arange(real.size(1), device=real.device)
    places = (starts[:, None] + column).flatten().index_select(0, tensors["slots"].to(model.device))
    return torch.cat(found).index_select(0, places.index_select(0, tensors["speaks"].to(model.device)))


def _windows(ids: torch.Tensor, tensors: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """The windows of a row [windows, longest], padded, and which of their subwords are real."""
    real = tensors["masks"][0].to(ids.device)[:, 0, 0] == 0
    windows = ids[0].index_select(0, tensors["spread"].to(ids.device)).view(real.shape)
    return windows.masked_fill(~real, tensors["pad"]), real


@contextmanager
def reading(model: PreTrainedModel) -> Iterator[None]:
    """Let a model read rows within the block: its attention is replaced where it can be, and put back afterwards."""
    if padded(model):
        yield
        return
    before = model.config._attn_implementation
    model.set_attn_implementation(_NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def _attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    *,
    spread: torch.Tensor,
    slots: torch.Tensor,
    masks: Sequence[torch.Tensor],
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Scaled dot-product attention within each window, [1, heads, subwords, size] → [1, subwords, heads, size]."""
    heads, _subwords, size = query.shape[1:]
    query = query * (scaling or size**-0.5)
    sizes = [mask.size(0) * mask.size(-1) for mask in masks]
    apart = [x[0].transpose(0, 1).index_select(0, spread).split(sizes) for x in (query, key, value)]
    out = []
    for mask, *parts in zip(masks, *apart, strict=True):
        windows, longest = mask.size(0), mask.size(-1)
        q, k, v = (p.view(windows, longest, heads, size).transpose(1, 2) for p in parts)
        scores = torch.matmul(q, k.transpose(-1, -2)) + mask
        if sliding_window is not None and longest > sliding_window:
            places = torch.arange(longest, device=scores.device)
            scores = scores.masked_fill((places[:, None] - places).abs() >= sliding_window, -1e9)
        weights = dropped(scores.softmax(-1).to(v.dtype), dropout)
        out.append(torch.matmul(weights, v).transpose(1, 2).reshape(windows * longest, heads, size))
    return torch.cat(out).index_select(0, slots)[None], None


_NAME = "dinku_unpadded"
AttentionInterface.register(_NAME, _attention)
AttentionMaskInterface.register(_NAME, lambda *_, **__: None)


Read = Callable[[Sequence[SubwordWindow]], dict[str, Any]]  # windows → the tensors of `unpadded.row`


class UnpaddedEngine:
    """An engine for a model while it is trained."""

    def __init__(self, model: Any, read: Read) -> None:
        self.model, self.read = model, read

    def logits(self, batch: Any) -> Logits:
        self.model.eval()
        with torch.inference_mode():
            scored = logits(self.model, self.read(batch.windows))
        self.model.train()
        return scored.float().cpu().numpy()
