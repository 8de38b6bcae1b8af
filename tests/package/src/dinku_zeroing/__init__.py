"""ZeroMatrix: zero the smallest weights of one kind of matrix in every layer.

What it removes: weights of queries, keys, values or of another matrix alone, set to zero where they stand. When it helps: to ask
which matrices a task needs. What it needs: nothing. What it cannot do: make a dense file smaller.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from dinku.errors import DinkuError
from dinku.method import Category, Data, Need, Validated, Work
from dinku.model.shape import Shape

if TYPE_CHECKING:
    from dinku.nn.tagger import Tagger


@dataclass(frozen=True)
class ZeroMatrix(Validated):
    """Zero the fraction ``sparsity`` of the weights of the matrix ``matrix`` of each layer, those of smallest magnitude."""

    sparsity: float
    matrix: Literal["query", "key", "value", "out", "widen", "narrow"] = "query"

    version: ClassVar[int] = 7
    category: ClassVar[Category] = "sparsity"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.sparsity < 1:
            raise DinkuError(f"sparsity is {self.sparsity}", where="ZeroMatrix", remedy="give 0 ≤ sparsity < 1")

    def declare(self, shape: Shape) -> Shape:
        shape.known("heads", "width", where="ZeroMatrix")
        feed_forward = self.matrix in ("widen", "narrow")
        inner = [layer.width if feed_forward else layer.heads * layer.head_size for layer in shape.layers]
        zeros = sum(round(self.sparsity * shape.hidden * size) for size in inner)
        low, high = shape.nonzero
        nonzero = (max(0, low - zeros), min(high, shape.parameters - zeros))
        return replace(shape, zeros=max(zeros, shape.zeros), nonzero=nonzero)

    def apply(self, tagger: Tagger, data: Data, work: Work) -> Tagger:
        from dinku import modeling

        tagger.check_changeable()
        if not self.sparsity:
            return tagger
        zeroed = replace(tagger.copy(), sparse=tuple(sorted({*tagger.sparse, "linear"})))
        for layer in modeling.layers(zeroed.model):
            weight = getattr(modeling.linears(layer), self.matrix).weight.data
            least = weight.abs().flatten().argsort(stable=True)[: round(self.sparsity * weight.numel())]
            weight.view(-1)[least] = 0.0
        return zeroed
