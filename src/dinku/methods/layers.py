"""KeepLayers: drop whole transformer layers.

What it removes: every layer that isn't to be kept; the others stay as they are, in their order. When it helps: always for size
and time, which fall with the layers. F1 falls too, and fine-tuning or distillation afterwards recovers most of it. What it
needs: nothing, or the data that `dinku.training.importance` needs to choose. What it cannot do: judge layers together, because
each is scored as if the others stayed. In a fine-tuned tagger choose by *taylor*: *activation*, which scores how much a layer
changes the direction of states, removed the first layers, whose loss costs most F1 (docs/log.md). Source: Sajjad et al. 2020
(arXiv 2004.03844); Sanh et al. 2019 (arXiv 1910.01108) take every other one; for choosing, `dinku.training.importance.layers`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from dinku.errors import DinkuError, plural
from dinku.method import LATER, ByImportance, Category, Data, Need, Work, no_more
from dinku.model.shape import Shape

if TYPE_CHECKING:
    from dinku.nn.tagger import Tagger


@dataclass(frozen=True)
class KeepLayers(ByImportance):
    """Keep the layers whose numbers are in ``keep``, counted from 0 and in increasing order, or the ``layers`` most important.

    Keeping all of them changes nothing; keeping more than there are is refused.
    """

    keep: tuple[int, ...] = ()
    layers: int = field(default=0, kw_only=True, metadata=LATER)

    version: ClassVar[int] = 1
    category: ClassVar[Category] = "structure"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layers:
            self.at_least_one("layers")
            if self.keep:
                raise DinkuError("both keep and layers are given", where="KeepLayers", remedy="give one of them")
        elif not self.keep:
            raise DinkuError("there is nothing to keep", where="KeepLayers", remedy="give keep, or layers, 1 or more")
        elif list(self.keep) != sorted(set(self.keep)) or self.keep[0] < 0:
            problem = f"keep is {self.keep}"
            raise DinkuError(problem, where="KeepLayers", remedy="number the layers that stay from 0, rising")

    @property
    def needs(self) -> frozenset[Need]:
        return super().needs if self.layers else frozenset()

    def declare(self, shape: Shape) -> Shape:
        shape.known_family.check_makes_sense(self)
        no_more(self, "layers", len(shape.layers), f"the {plural(len(shape.layers), 'layer')} that there are")
        if self.layers == len(shape.layers):
            return shape
        shape.known("heads", "width", where="KeepLayers")
        if self.layers:
            self.can_choose(shape)
            if len(set(shape.layers)) > 1:
                problem = f"the layers differ in size, so that the size of {self.layers} depends on which"
                raise DinkuError(problem, where="KeepLayers", remedy="name them by keep, or do this first")
            return shape.smaller(layers=shape.layers[: self.layers])
        if self.keep[-1] >= len(shape.layers):
            problem = f"there is no layer {self.keep[-1]} among {len(shape.layers)}"
            raise DinkuError(problem, where="KeepLayers", remedy=f"number them from 0 to {len(shape.layers) - 1}")
        if shape.known_family.first_stays and self.keep[0]:
            problem = f"the first layer of a {shape.known_family.name} is unlike the others, and has to stay"
            raise DinkuError(problem, where="KeepLayers", remedy="begin keep with 0")
        return shape.smaller(layers=tuple(shape.layers[i] for i in self.keep))

    def apply(self, tagger: Tagger, data: Data, work: Work) -> Tagger:
        from dinku.nn import surgery
        from dinku.training import importance

        tagger.check_changeable(self)
        shape = tagger.shape
        self.declare(shape)
        if self.layers == len(shape.layers):
            return tagger
        keep = self.keep
        if not keep:
            scores = importance.layers(tagger, data, self)
            if shape.known_family.first_stays:
                scores[0] = scores.max() + 1
            keep = importance.strongest(scores, self.layers)
        return replace(tagger, model=surgery.with_layers(tagger.model, keep))
