"""What holds of a model while it is trained: zeros kept, embeddings compact, dropout quick."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from transformers import PreTrainedModel

from dinku.nn.surgery import matrices, meant_zeros, prunable_views, word_embeddings


class Zeros:
    """Weights of a model that are held at zero, as views of `prunable` beside boolean masks shaped like them."""

    def __init__(self, parts: Sequence[tuple[torch.Tensor, torch.Tensor]], linear: int) -> None:
        self.parts, self.linear = list(parts), list(parts[:linear])

    @property
    def sparsity(self) -> float:
        """The fraction of the linear layers' weights that are held."""
        return sum(int(mask.sum()) for _, mask in self.linear) / sum(mask.numel() for _, mask in self.linear)

    @torch.no_grad()
    def hold(self) -> None:
        """Make them zero again."""
        for view, mask in self.parts:
            view.masked_fill_(mask, 0.0)

    @torch.no_grad()
    def grow(self, sparsity: float, least: Callable[[list[torch.Tensor], int], list[torch.Tensor]]) -> None:
        """Zero that fraction of the linear layers' weights by their magnitude, and hold all their zeros from now on."""
        magnitudes = [view.abs() for view, _ in self.linear]
        chosen = least(magnitudes, round(sparsity * sum(m.numel() for m in magnitudes)))
        for (view, mask), gone in zip(self.linear, chosen, strict=True):
            mask.copy_(view.masked_fill_(gone, 0.0) == 0)


@contextmanager
def zeros(model: PreTrainedModel, sparse: Sequence[str], *, growing: bool) -> Iterator[Zeros]:
    """Hold the zeros of parts that were sparsified (`meant_zeros`); ``growing`` ones are part of what a checkpoint saves."""
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
    """Train on the rows of the word embeddings that the data uses, and put them back afterwards.

    Exact wherever an unused row would not move: its gradient is zero, so under Adam without weight decay it stays as it
    is. ``used`` holds row numbers, sorted, all up to the padding row among them, which so keeps its number. Yields
    [vocabulary] → row of the compact table (-1 where it has none). Most of a step over a table of 250,000 rows goes to
    rows that the corpus never touches. With ``None`` the table stays as it is, and what is tied to it stays tied.
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
def quick_dropout(model: PreTrainedModel) -> Iterator[None]:
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
    """Dropout: ``x`` with a fraction ``p`` of it zeroed and the rest scaled up, from the default generator.

    torch draws its masks on one core of a CPU, ten nanoseconds a value: a fifth of a step on two cores. Here sixteen
    random bits decide on a value: the rate is kept to 1/65,536 and the expectation exactly. On a GPU it is torch's own.
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
