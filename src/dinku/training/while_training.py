"""Changes to a model for as long as it is trained: zeros are held, word embeddings compact, and dropout quick."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from transformers import PreTrainedModel

from dinku.nn.surgery import matrices, meant_zeros, prunable_views, word_embeddings


class Zeros:
    """Weights that are held at zero: views of the model's weights, each with a boolean mask of its shape."""

    def __init__(self, parts: Sequence[tuple[torch.Tensor, torch.Tensor]], linear: int) -> None:
        self.parts, self.linear = list(parts), list(parts[:linear])

    @property
    def sparsity(self) -> float:
        """The fraction of the linear layers' weights that are held at zero."""
        return sum(int(mask.sum()) for _, mask in self.linear) / sum(mask.numel() for _, mask in self.linear)

    @torch.no_grad()
    def hold(self) -> None:
        """Set the held weights to zero again."""
        for view, mask in self.parts:
            view.masked_fill_(mask, 0.0)

    @torch.no_grad()
    def grow(self, sparsity: float, least: Callable[[list[torch.Tensor], int], list[torch.Tensor]]) -> None:
        """Zero this fraction of the linear layers' weights, the smallest ones, and hold all zeros of these layers from now on."""
        magnitudes = [view.abs() for view, _ in self.linear]
        chosen = least(magnitudes, round(sparsity * sum(m.numel() for m in magnitudes)))
        for (view, mask), gone in zip(self.linear, chosen, strict=True):
            mask.copy_(view.masked_fill_(gone, 0.0) == 0)


@contextmanager
def zeros(model: PreTrainedModel, sparse: Sequence[str], *, growing: bool) -> Iterator[Zeros]:
    """Hold the zeros of sparsified parts (`meant_zeros`). If their number is ``growing``, checkpoints save the masks, too."""
    masks = meant_zeros(model, sparse)
    views = prunable_views(model, embeddings="word embeddings" in masks) if masks or growing else {}
    pairs = [
        (view, mask)
        for name, own in views.items()
        for view, mask in zip(own, masks.get(name) or [torch.zeros_like(v, dtype=torch.bool) for v in own], strict=True)
    ]
    held = Zeros(pairs, len(matrices(model)) if pairs else 0)
    if growing:
        kept = nn.Module()
        for i, (_, mask) in enumerate(held.linear):
            kept.register_buffer(str(i), mask)
        model.add_module(_HELD, kept)
    try:
        yield held
    finally:
        if growing:
            delattr(model, _HELD)


_HELD = "held_zeros"


@contextmanager
def compact_embeddings(model: PreTrainedModel, used: torch.Tensor | None) -> Iterator[torch.Tensor]:
    """Train only the rows of the word embeddings that the data uses, and put them back afterwards.

    The result is exact if unused rows don't move, as under Adam without weight decay, where their gradient is zero. It saves
    most of a step: of a table of 250,000 rows a corpus uses few. ``used`` holds the row numbers, sorted; all rows up to the
    padding row are among them, so that its number stays. Yields [vocabulary] → row of the compact table (-1 for rows that
    aren't in it). With ``None`` the table stays whole, and weights that are tied to it stay tied.
    """
    table = word_embeddings(model)
    whole = table.weight
    if used is None:
        yield torch.arange(len(whole))
        return
    row = torch.full((len(whole),), -1, dtype=torch.long)
    row[used] = torch.arange(len(used))
    table.weight = nn.Parameter(whole.data[used].clone())
    table.num_embeddings = len(used)
    try:
        yield row
    finally:
        whole.data[used] = table.weight.data
        table.weight, table.num_embeddings = whole, len(whole)


@contextmanager
def quick_dropout(model: nn.Module) -> Iterator[None]:
    """Train with `dropped` in place of torch's dropout."""
    dropouts = [module for module in model.modules() if isinstance(module, nn.Dropout)]
    for module in dropouts:
        setattr(module, "forward", _Dropout(module))  # noqa: B010 - a method is replaced
    try:
        yield
    finally:
        for module in dropouts:
            del module.forward


class _Dropout:
    def __init__(self, module: nn.Dropout) -> None:
        self.module = module

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return dropped(x, self.module.p if self.module.training else 0.0)


def dropped(x: torch.Tensor, p: float) -> torch.Tensor:
    """Dropout by the default generator: a fraction ``p`` of ``x`` is zeroed, and the rest scaled up.

    On a CPU torch draws masks on one core, ten nanoseconds a value, which is a fifth of a step on two cores. Here sixteen random
    bits decide on a value: the rate is exact to 1/65,536, and the expectation exact. On a GPU this is torch's own dropout.
    """
    levels = round(p * 65536)
    if not levels:
        return x
    if x.device.type != "cpu":
        return nn.functional.dropout(x, p)
    n = x.numel()
    bits = torch.empty((n + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None).view(torch.int16)[:n]
    keep = (bits >= levels - 32768).view(x.shape).to(x.dtype)
    return (x * keep).mul_(65536 / (65536 - levels))  # bfloat16 would round the factor, were it in the mask
