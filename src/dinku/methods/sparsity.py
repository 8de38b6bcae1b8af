"""Sparsify: unstructured magnitude pruning.

What it removes: the weights of smallest magnitude, set to zero where they stand. When it helps: before fine-tuning, to
ask how many of the weights a task needs; in a compressed download, where zeros cost almost nothing. What it needs:
nothing. What it cannot do: make a dense file smaller, or a stock CPU faster.
Source: Han et al. 2015 (arXiv 1506.02626); the paper's section on pruning (arXiv 2404.04759), 10 to 95 % before and
after fine-tuning.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from dinku.errors import DinkuError
from dinku.method import Data, Need, Work, checked
from dinku.shape import Shape

if TYPE_CHECKING:
    from dinku.tagger import Tagger


@dataclass(frozen=True)
class Sparsify:
    """Zero the fraction ``sparsity`` of the weights: those of smallest magnitude.

    Weights are those of the encoder's linear layers, and with ``embeddings`` the word embeddings but for their padding
    row; biases, norms, positions and the tag head are left alone. ``granularity`` says whether magnitudes compete over
    the whole model (*global*) or within each weight matrix (*matrix*). The number of zeros is exact: among equal
    magnitudes the first ones go; zeros that were there already count, and where there are more of them than asked they
    all stay. ``sparsity=0`` changes nothing.
    """

    sparsity: float
    granularity: Literal["global", "matrix"] = "global"
    embeddings: bool = False

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Need]] = frozenset()

    def __post_init__(self) -> None:
        checked(self)
        if not 0 <= self.sparsity < 1:
            raise DinkuError(
                f"sparsity is {self.sparsity}", where="Sparsify", remedy="give the fraction of zeros, 0 ≤ sparsity < 1"
            )

    def resolve(self, tagger: Tagger | None, data: Data) -> Self:
        return self

    def declare(self, shape: Shape) -> Shape:
        sizes = shape.weights(embeddings=self.embeddings)
        zeros = sum(self._count(n) for n in ([sum(sizes)] if self.granularity == "global" else sizes))
        low, high = shape.nonzero
        nonzero = max(0, low - zeros), min(high, shape.parameters - zeros)
        return replace(shape, zeros=max(zeros, shape.zeros), nonzero=nonzero)

    def apply(self, tagger: Tagger, data: Data, work: Work) -> Tagger:
        from dinku import importance, surgery

        if self.sparsity == 0:
            return tagger
        parts = tuple(sorted({*tagger.sparse, "linear", *(["embeddings"] if self.embeddings else [])}))
        sparse = replace(tagger.copy(), sparse=parts)
        groups = list(surgery.prunable(sparse.model, embeddings=self.embeddings).values())
        if self.granularity == "global":
            groups = [[view for views in groups for view in views]]
        for views in groups:
            count = self._count(sum(view.numel() for view in views))
            for view, least in zip(
                views, importance.least([importance.magnitude(v) for v in views], count), strict=True
            ):
                view.masked_fill_(least, 0.0)
        return sparse

    def _count(self, n: int) -> int:
        return round(self.sparsity * n)
