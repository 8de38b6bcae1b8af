"""NarrowFeedForward: remove neurons of the feed-forward parts.

What it removes: the least important neurons between a layer's two feed-forward matrices, which hold two thirds of its weights.
When it helps: for size and time, which fall with the width, if fine-tuning or distillation follows. What it needs: nothing, or
words for *activation* and tags for *taylor*. What it cannot do: make the word embeddings smaller.
Source: Molchanov et al. 2019 (arXiv 1906.10771); CoFi (Xia et al. 2022, arXiv 2204.00408) for widths that differ by layer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd
from typing import TYPE_CHECKING, ClassVar, Literal

from dinku.errors import DinkuError
from dinku.method import ByImportance, Category, Data, Work, no_more
from dinku.model.shape import Shape

if TYPE_CHECKING:
    from dinku.nn.tagger import Tagger


@dataclass(frozen=True)
class NarrowFeedForward(ByImportance):
    """Keep the ``width`` most important neurons of each layer. Layers that have no more than that stay as they are.

    The present width changes nothing, and more than the widest layer has is refused. With ``spread="uneven"`` the width is a
    mean over layers: neurons of all layers compete, in blocks of ``multiple``, and a layer keeps at least one block. ``width``
    must be a multiple of ``multiple``, because matrix products of such sizes are fast.
    """

    width: int
    spread: Literal["even", "uneven"] = "even"
    multiple: int = 32

    version: ClassVar[int] = 1
    category: ClassVar[Category] = "structure"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least_one("width")
        self.at_least_one("multiple")
        if self.width % self.multiple:
            problem = f"width is {self.width}, which isn't a multiple of {self.multiple}"
            near = max(1, round(self.width / self.multiple)) * self.multiple
            raise DinkuError(problem, where="NarrowFeedForward", remedy=f"give {near}, or another multiple")

    def declare(self, shape: Shape) -> Shape:
        own = [layer.width for layer in shape.layers]
        if self.spread == "uneven":
            no_more(self, "width", sum(own) // len(own), f"the mean of the layers' neurons, {sum(own) / len(own):,.1f}")
            if self.width * len(own) == sum(own):
                return shape
        self.can_choose(shape)
        if self.spread == "even":
            shape.known("width", where="NarrowFeedForward")
            no_more(self, "width", max(own), f"the {max(own):,} neurons of a layer")
            return shape.smaller(layers=tuple(replace(la, width=min(la.width, self.width)) for la in shape.layers))
        whole = [width // self.multiple * self.multiple for width in own]
        if "width" not in shape.spread and (not all(whole) or sum(whole) < self.width * len(own)):
            kept = f"{self.width:,} on average by {self.multiple}"
            problem = f"layers of {min(own):,} to {max(own):,} neurons can't keep {kept}"
            remedy = f"give multiple={gcd(self.width, *own)}, or another smaller one"
            raise DinkuError(problem, where="NarrowFeedForward", remedy=remedy)
        layers = tuple(replace(layer, width=self.width) for layer in shape.layers)
        return shape.smaller(layers=layers, spread=shape.spread | {"width"})

    def apply(self, tagger: Tagger, data: Data, work: Work) -> Tagger:
        from dinku.nn import surgery
        from dinku.training import importance

        tagger.check_changeable(self)
        shape = tagger.shape
        if self.declare(shape) == shape:
            return tagger
        found = importance.neurons(tagger, data, self)
        if self.spread == "even":
            kept = [importance.strongest(f, self.width) for f in found]
        else:
            kept = importance.spread(found, self.width * len(found), multiple=self.multiple)
        return replace(tagger, model=surgery.with_units(tagger.model, neurons=kept))
