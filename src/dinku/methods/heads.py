"""PruneHeads: remove whole attention heads.

What it removes: the least important heads of each layer, with the weights that make their queries, keys and values and that
read their outputs. When it helps: if fine-tuning follows, after which many heads turn out to be dispensable. What it needs:
nothing, or words for *activation* and tags for *taylor*. What it cannot do: make the word embeddings smaller, most of a small
multilingual model. Source: Michel et al. 2019 (arXiv 1905.10650), Voita et al. 2019 (arXiv 1905.09418); CoFi (Xia et al. 2022,
arXiv 2204.00408) for sizes that differ by layer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from dinku.errors import DinkuError
from dinku.method import ByImportance, Category, Data, Work, no_more
from dinku.model.shape import Shape

if TYPE_CHECKING:
    from dinku.nn.tagger import Tagger


@dataclass(frozen=True)
class PruneHeads(ByImportance):
    """Keep the ``heads`` most important heads of each layer. Layers that have no more than that stay as they are.

    The present number changes nothing, and more than the largest layer has is refused. With ``spread="uneven"`` the number is a
    mean over layers: heads of all layers compete, and a layer keeps at least one. Heads keep their size, so that plain
    transformers opens the result only if the hidden states are narrowed to fit.
    """

    heads: int
    spread: Literal["even", "uneven"] = "even"

    version: ClassVar[int] = 1
    category: ClassVar[Category] = "structure"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least_one("heads")

    def declare(self, shape: Shape) -> Shape:
        shape.known_family.check_makes_sense(self)
        own = [layer.heads for layer in shape.layers]
        if self.spread == "uneven":
            no_more(self, "heads", sum(own) // len(own), f"the mean of the layers' heads, {sum(own) / len(own):.4g}")
            if self.heads * len(own) == sum(own):
                return shape
        self.can_choose(shape)
        if self.spread == "even":
            shape.known("heads", where="PruneHeads")
            no_more(self, "heads", max(own), f"the {max(own):,} heads of a layer")
            return shape.smaller(layers=tuple(replace(la, heads=min(la.heads, self.heads)) for la in shape.layers))
        if len({layer.head_size for layer in shape.layers}) > 1:
            problem = "the size of heads differs from layer to layer"
            raise DinkuError(problem, where="PruneHeads", remedy='choose spread="even"')
        layers = tuple(replace(layer, heads=self.heads) for layer in shape.layers)
        return shape.smaller(layers=layers, spread=shape.spread | {"heads"})

    def apply(self, tagger: Tagger, data: Data, work: Work) -> Tagger:
        from dinku.nn import surgery
        from dinku.training import importance

        tagger.check_changeable(self)
        shape = tagger.shape
        if self.declare(shape) == shape:
            return tagger
        found = importance.heads(tagger, data, self)
        if self.spread == "even":
            kept = [importance.strongest(f, self.heads) for f in found]
        else:
            kept = importance.spread(found, self.heads * len(found))
        return replace(tagger, model=surgery.with_units(tagger.model, heads=kept))
