"""Sparsify: unstructured pruning, by magnitude or another importance.

What it removes: the least important weights, set to zero where they stand. When it helps: before fine-tuning, to
ask how many of the weights a task needs; in a compressed download, where zeros cost almost nothing. What it needs:
nothing. What it cannot do: make a dense file smaller, or a stock CPU faster; zero weights little by little while training
goes on, for which training has a ``sparsity`` of its own.
Source: Han et al. 2015 (arXiv 1506.02626); the paper's section on pruning (arXiv 2404.04759), 10 to 95 % before and
after fine-tuning; Wanda (Sun et al. 2023, arXiv 2306.11695) is ``importance="activation"`` with ``granularity="row"``;
`dinku.training.importance` for the others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from dinku.errors import DinkuError
from dinku.method import ByImportance, Category, Data, Work
from dinku.model.shape import Shape

if TYPE_CHECKING:
    from dinku.nn.tagger import Tagger


@dataclass(frozen=True)
class Sparsify(ByImportance):
    """Zero the fraction ``sparsity`` of the weights: those of least ``importance``, by default of smallest magnitude.

    Weights are those of the encoder's linear layers, and with ``embeddings`` the word embeddings but for their padding
    row; biases, norms, positions and the tag head are left alone. ``granularity`` says whether weights compete over
    the whole model (*global*), within each weight matrix (*matrix*) or within each of its rows, which is what one output reads,
    or one piece's embedding (*row*). The number of zeros is exact: among equal scores the first ones go; zeros that were there
    already count, and where there are more of them than asked they all stay. ``sparsity=0`` changes nothing.
    """

    sparsity: float
    granularity: Literal["global", "matrix", "row"] = "global"
    embeddings: bool = False

    version: ClassVar[int] = 1
    category: ClassVar[Category] = "sparsity"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.sparsity < 1:
            raise DinkuError(
                f"sparsity is {self.sparsity}", where="Sparsify", remedy="give the fraction of zeros, 0 ≤ sparsity < 1"
            )

    def declare(self, shape: Shape) -> Shape:
        if self.sparsity:
            self.can_choose(shape)
        matrices = shape.matrices(embeddings=self.embeddings)
        groups = {
            "global": [sum(rows * columns for rows, columns in matrices)],
            "matrix": [rows * columns for rows, columns in matrices],
            "row": [columns for rows, columns in matrices for _ in range(rows)],
        }[self.granularity]
        least = most = sum(map(self._count, groups))
        if shape.spread and self.granularity != "global":  # data will tell the groups' sizes, each rounded by itself
            least, most = max(0, least - len(groups)), most + len(groups)
        low, high = shape.nonzero
        zeros, nonzero = least, (max(0, low - most), min(high, shape.parameters - least))
        return replace(shape, zeros=max(zeros, shape.zeros), nonzero=nonzero)

    def apply(self, tagger: Tagger, data: Data, work: Work) -> Tagger:
        from dinku.nn import surgery
        from dinku.training import importance

        if self.sparsity == 0:
            return tagger
        parts = tuple(sorted({*tagger.sparse, "linear", *(["embeddings"] if self.embeddings else [])}))
        sparse = replace(tagger.copy(), sparse=parts)
        found = importance.scores(sparse, data, self, embeddings=self.embeddings)
        scored = surgery.prunable(sparse.model, embeddings=self.embeddings, of=found)
        pairs = zip(surgery.prunable(sparse.model, embeddings=self.embeddings).values(), scored.values(), strict=True)
        groups = list(pairs)
        if self.granularity == "global":
            groups = [([v for views, _ in groups for v in views], [s for _, own in groups for s in own])]
        for views, own in groups:
            if self.granularity == "row":
                chosen = [importance.least_of_rows(s, self._count(s.size(1))) for s in own]
            else:
                chosen = importance.least(own, self._count(sum(view.numel() for view in views)))
            for view, least in zip(views, chosen, strict=True):
                view.masked_fill_(least, 0.0)
        return sparse

    def _count(self, n: int) -> int:
        return round(self.sparsity * n)
