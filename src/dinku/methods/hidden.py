"""NarrowHidden: remove coordinates of the hidden states, in all layers at once.

What it removes: the least important coordinates that all layers read and write, and so a part of every matrix, including the
word embeddings. When it helps: if the model must become much smaller and is trained afterwards, best by distillation; without
training little F1 is left. What it needs: nothing, or words for *activation* and tags for *taylor*. What it cannot do: choose
by layer, since all layers share the same states. Source: Minitron (Muralidharan et al. 2024, arXiv 2407.14679); CoFi (Xia et
al. 2022, arXiv 2204.00408). SliceGPT (arXiv 2401.15024) turns the states first, which norms with a weight for each coordinate
between residuals, as here, don't allow.
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
    """Keep the ``hidden`` most important coordinates. The present number changes nothing, and a larger one is refused.

    Heads keep their number and size. Plain transformers opens the result if their product is ``hidden``.
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
        if shape.known_family.projects_unlike and self.hidden == shape.build.width:
            family = shape.known_family.name
            problem = f"hidden is {self.hidden}, the width of the embeddings, which {family} then wouldn't project"
            raise DinkuError(problem, where="NarrowHidden", remedy="choose a number beside it")
        return shape.smaller(hidden=self.hidden)

    def apply(self, tagger: Tagger, data: Data, work: Work) -> Tagger:
        from dinku.nn import surgery
        from dinku.training import importance

        tagger.check_changeable(self)
        if self.declare(tagger.shape) == tagger.shape:
            return tagger
        found = importance.coordinates(tagger, data, self)
        return replace(tagger, model=surgery.with_hidden(tagger.model, importance.strongest(found, self.hidden)))
