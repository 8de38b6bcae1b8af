"""RegroupHeads: the same attention weights in fewer, wider heads, or in more and narrower ones.

What it removes: nothing; with fewer heads, each compares queries and keys over more numbers. When it helps: to make students
with fewer heads from a teacher without losing a parameter. Most likely the paper varied heads in this way (arXiv 2404.04759),
since at a fixed width their number changes no size. What it needs: no data, but training afterwards. What it cannot do: save
time or bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from dinku.errors import DinkuError
from dinku.method import Category, Data, Need, Validated, Work
from dinku.model.shape import Shape

if TYPE_CHECKING:
    from dinku.nn.tagger import Tagger


@dataclass(frozen=True)
class RegroupHeads(Validated):
    """Split queries, keys and values of every layer into ``heads`` heads. The present number changes nothing."""

    heads: int

    version: ClassVar[int] = 1
    category: ClassVar[Category] = "structure"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.heads < 1:
            raise DinkuError(f"heads is {self.heads}", where="RegroupHeads", remedy="give 1 or more")

    def declare(self, shape: Shape) -> Shape:
        shape.known_family.check_makes_sense(self)
        shape.known("heads", where="RegroupHeads")
        layers = []
        for layer in shape.layers:
            inner = layer.heads * layer.head_size
            if inner % self.heads:
                problem = f"heads is {self.heads}, which doesn't divide {inner}"
                raise DinkuError(problem, where="RegroupHeads", remedy="choose a divisor of the hidden size")
            layers.append(replace(layer, heads=self.heads, head_size=inner // self.heads))
        return replace(shape, layers=tuple(layers))

    def apply(self, tagger: Tagger, data: Data, work: Work) -> Tagger:
        from dinku.nn import surgery

        tagger.check_changeable(self)
        self.declare(tagger.shape)
        return replace(tagger, model=surgery.with_heads(tagger.model, self.heads))
