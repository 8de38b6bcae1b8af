"""What to keep: scores of weights, and the choice of the least important ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def magnitude(weights: torch.Tensor) -> torch.Tensor:
    """|w|, in the shape of ``weights`` (Han et al. 2015)."""
    return weights.detach().abs()


def least(scores: Sequence[torch.Tensor], count: int) -> list[torch.Tensor]:
    """Boolean masks, shaped like ``scores``, of exactly the ``count`` smallest scores over all of them.

    Among equal scores the first go first.
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
