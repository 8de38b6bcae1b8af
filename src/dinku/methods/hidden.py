"""NarrowHidden: take coordinates of the hidden states away, everywhere at once.

What it removes: the least important coordinates of what all layers read and write, and so a part of every matrix, the word
embeddings too. When it helps: where the model has to be much smaller and is trained afterwards, best by distillation; without
that little is left. What it needs: nothing; by *activation* words, by *taylor* tags. What it cannot do: choose by layer, as all
share the same states.
Source: Minitron (Muralidharan et al. 2024, arXiv 2407.14679); CoFi (Xia et al. 2022, arXiv 2204.00408). SliceGPT (arXiv
2401.15024) turns the states first, which norms with a weight for each coordinate between residuals, as here, don't allow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from dinku.errors import DinkuError
from dinku.method import ByImportance, Category, Data, Work, no_more
from dinku.model.shape import Shape

if TYPE_CHECKING:
    from dinku.nn.tagger import Tagger


@dataclass(frozen=True)
class NarrowHidden(ByImportance):
    """Keep ``hidden`` coordinates, the most important ones. As many as there are changes nothing, and more is refused.

    Heads keep their number and size: plain transformers opens the result where these multiply to ``hidden``.
    """

    hidden: int

    version: ClassVar[int] = 1
    category: ClassVar[Category] = "structure"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least_one("hidden")

    def declare(self, shape: Shape) -> Shape:
        no_more(self, "hidden", shape.hidden, f"the {shape.hidden:,} coordinates that there are")
        if self.hidden == shape.hidden:
            return shape
        self.can_choose(shape)
        if self.hidden <= shape.rank:
            problem = f"hidden is {self.hidden}, no more than the rank of the word embeddings, {shape.rank}"
            raise DinkuError(problem, where="NarrowHidden", remedy="do this first, or choose a smaller rank")
        return shape.smaller(hidden=self.hidden)

    def apply(self, tagger: Tagger, data: Data, work: Work) -> Tagger:
        from dinku.nn import surgery
        from dinku.training import importance

        if self.declare(tagger.shape) == tagger.shape:
            return tagger
        found = importance.coordinates(tagger, data, self)
        return replace(tagger, model=surgery.with_hidden(tagger.model, importance.strongest(found, self.hidden)))
