"""KeepLayers: drop whole transformer layers.

What it removes: every layer that isn't named; the others stay as they are, in their order. When it helps: always for
size and time, which fall with the layers; F1 falls too, and fine-tuning or distillation after it wins most of it back.
What it needs: nothing. What it cannot do: choose the layers.
Source: Sajjad et al. 2020 (arXiv 2004.03844); Sanh et al. 2019 (arXiv 1910.01108) take every other one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

from dinku.errors import DinkuError
from dinku.method import Data, Need, Work, checked
from dinku.shape import Shape

if TYPE_CHECKING:
    from dinku.tagger import Tagger


@dataclass(frozen=True)
class KeepLayers:
    """Keep the layers whose numbers, from 0 and rising, stand in ``keep``. All of them changes nothing."""

    keep: tuple[int, ...]

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Need]] = frozenset()

    def __post_init__(self) -> None:
        checked(self)
        if not self.keep or list(self.keep) != sorted(set(self.keep)) or self.keep[0] < 0:
            problem = f"keep is {self.keep}"
            raise DinkuError(problem, where="KeepLayers", remedy="number the layers that stay from 0, rising")

    def resolve(self, tagger: Tagger | None, data: Data) -> Self:
        return self

    def declare(self, shape: Shape) -> Shape:
        if self.keep[-1] >= len(shape.layers):
            problem = f"there is no layer {self.keep[-1]} among {len(shape.layers)}"
            raise DinkuError(problem, where="KeepLayers", remedy=f"number them from 0 to {len(shape.layers) - 1}")
        return shape.smaller(layers=tuple(shape.layers[i] for i in self.keep))

    def apply(self, tagger: Tagger, data: Data, work: Work) -> Tagger:
        from dinku import surgery

        self.declare(tagger.shape)
        return replace(tagger, model=surgery.with_layers(tagger.model, self.keep))
