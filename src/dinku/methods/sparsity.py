"""Sparsify: unstructured pruning, by magnitude or another importance.

What it removes: the least important weights, which become zero where they stand. When it helps: before fine-tuning, to find out
how many weights a task needs; in a compressed download, where zeros cost almost nothing. What it needs: nothing, or words for
*activation* and tags for *taylor*. What it cannot do: make a dense file smaller or a stock CPU faster; zero weights gradually
during training, which has a ``sparsity`` of its own for that. Source: Han et al. 2015 (arXiv 1506.02626); the paper's section
on pruning (arXiv 2404.04759), 10 to 95 % before and after fine-tuning; Wanda (Sun et al. 2023, arXiv 2306.11695) is
``importance="activation"`` with ``granularity="row"``; `dinku.training.importance` for the others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from dinku.errors import DinkuError
from dinku.method import ByImportance, Category, Data, Work
from dinku.model.shape import EncoderShape, Shape

if TYPE_CHECKING:
    from dinku.nn.tagger import Tagger


@dataclass(frozen=True)
class Sparsify(ByImportance):
    """Zero the fraction ``sparsity`` of the weights: those of least ``importance``, by default of smallest magnitude.

    The weights are those of the encoder's linear layers, and with ``embeddings`` also the word embeddings except the padding
    row. Biases, norms, positions and the tag head stay as they are. ``granularity`` says among which weights the fraction is
    taken: all of the model's (*global*), those of a matrix (*matrix*), or those of a matrix's row (*row*), which are what one
    output reads or the embedding of one piece. The number of zeros is exact: of equal scores the first become zero. Weights
    that are zero already count, and if they are more than the fraction they all stay. ``sparsity=0`` changes nothing.
    """

    sparsity: float
    granularity: Literal["global", "matrix", "row"] = "global"
    embeddings: bool = False

    version: ClassVar[int] = 1
    category: ClassVar[Category] = "sparsity"
    takes: ClassVar[tuple[type, ...]] = (EncoderShape,)

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
        if (
            shape.spread and self.granularity != "global"
        ):  # only data tells the groups' sizes, and each group is rounded
            least, most = max(0, least - len(groups)), most + len(groups)
        low, high = shape.nonzero
        zeros, nonzero = least, (max(0, low - most), min(high, shape.parameters - least))
        return replace(shape, zeros=max(zeros, shape.zeros), nonzero=nonzero)

    def apply(self, tagger: Tagger, data: Data, work: Work) -> Tagger:
        from dinku.nn import surgery
        from dinku.training import importance

        tagger.check_changeable(self)
        if self.sparsity == 0:
            return tagger
        parts = tuple(sorted({*tagger.sparse, "linear", *(["embeddings"] if self.embeddings else [])}))
        sparse = replace(tagger.copy(), sparse=parts)
        found = importance.scores(sparse, data, self, embeddings=self.embeddings)
        scored = surgery.prunable(sparse.model, embeddings=self.embeddings, tensors=found)
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
