"""FactorizeEmbeddings: word embeddings as the product of two smaller matrices.

What it removes: all but ``rank`` numbers for each piece of the word embeddings, which are 43 to 82 % of a small multilingual
model. When it helps: for size on disk and in memory, if the model is trained afterwards. What it needs: nothing, or words to
weigh pieces by their *frequency*. What it cannot do: save time, since every subword takes another product. Source: ALBERT (Lan
et al. 2019, arXiv 1909.11942) for the form, Eckart and Young 1936 for the nearest product; GroupReduce (Chen et al. 2018, arXiv
1806.06950) for weighing pieces by their frequency.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from dinku.errors import DinkuError
from dinku.method import Category, Data, Need, Validated, Work, no_more
from dinku.model.shape import Shape

if TYPE_CHECKING:
    from dinku.nn.tagger import Tagger


@dataclass(frozen=True)
class FactorizeEmbeddings(Validated):
    """Replace the word embeddings by the nearest product of rank ``rank``.

    The nearest product has the smallest sum of squared differences. With ``weigh="frequency"`` the differences of a piece count
    as often as it occurs in the train split, and once more. The present rank changes nothing, and a higher
    one is refused. The zeros of sparse word embeddings are lost.
    """

    rank: int
    weigh: Literal["alike", "frequency"] = "alike"

    version: ClassVar[int] = 1
    category: ClassVar[Category] = "structure"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rank < 1:
            raise DinkuError(f"rank is {self.rank}", where="FactorizeEmbeddings", remedy="give 1 or more")

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"words"}) if self.weigh == "frequency" else frozenset()

    def declare(self, shape: Shape) -> Shape:
        own = shape.rank or shape.hidden
        no_more(self, "rank", own, f"the rank that word embeddings have, {own:,}")
        if self.rank == own:
            return shape
        factorized = replace(shape, rank=self.rank)
        gone, new = shape.parts["word embeddings"], factorized.parts["word embeddings"]
        if new >= gone:
            problem = f"rank is {self.rank}, at which word embeddings take {new:,} numbers instead of {gone:,}"
            most = (gone - 1) // (shape.vocabulary + shape.hidden)
            raise DinkuError(problem, where="FactorizeEmbeddings", remedy=f"give {most} or less")
        low, high = shape.nonzero
        nonzero = max(0, low - gone), min(high, shape.parameters - gone) + new
        return replace(factorized, zeros=max(0, shape.zeros - gone), nonzero=nonzero)

    def apply(self, tagger: Tagger, data: Data, work: Work) -> Tagger:
        import torch

        from dinku.nn import surgery

        tagger.check_changeable(self)
        shape = tagger.shape
        if self.declare(shape) == shape:
            return tagger
        weights = torch.ones(shape.vocabulary)
        if self.weigh == "frequency":
            for ids in tagger.encoder.subwords([s.words for s in data.words_for(self)]):
                weights += torch.bincount(torch.from_numpy(ids), minlength=shape.vocabulary)
        sparse = tuple(part for part in tagger.sparse if part != "embeddings")
        return replace(tagger, model=surgery.with_rank(tagger.model, self.rank, weights), sparse=sparse)
