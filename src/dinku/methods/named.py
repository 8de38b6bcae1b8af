"""StartFrom: another model by its name, in place of the tagger.

What it removes: the tagger. When it helps: to start a student, such as AfriBERTa-small for AfriBERTa-large. What it needs: the
model, in a folder or on the Hub. What it cannot do: restore a model after another has taken its name. Source: Turc et al. 2019
(arXiv 1908.08962) on students that were trained before they were taught.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self, cast

from dinku.errors import DinkuError
from dinku.method import Category, Data, Need, Planned, Validated, Work
from dinku.model.folder import ModelFolder
from dinku.model.measured import shape_of_folder
from dinku.model.shape import EncoderShape, Shape

if TYPE_CHECKING:
    from dinku.nn.tagger import Tagger


@dataclass(frozen=True)
class StartFrom(Validated):
    """Start from the model ``base``: a Hub id, a folder, ``dinku:house``. It comes with its own tokenizer and head.

    ``digest`` is the digest of the model's content. `resolve` takes it from the model that has the name now, so that another
    model under this name is refused later.
    """

    base: str
    digest: str = ""

    version: ClassVar[int] = 1
    category: ClassVar[Category] = "start"
    takes: ClassVar[tuple[type, ...]] = (EncoderShape,)
    needs: ClassVar[frozenset[Need]] = frozenset()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.base:
            raise DinkuError("base is ''", where="StartFrom", remedy="name a model: a Hub id, or a folder")

    def resolve(self, tagger: Tagger | Planned | None, data: Data) -> Self:
        return self if self.digest else replace(self, digest=ModelFolder.of(self.base).digest)

    def declare(self, shape: Shape) -> Shape:
        return cast(Shape, shape_of_folder(self._folder()))

    def apply(self, tagger: Tagger, data: Data, work: Work) -> Tagger:
        from dinku.nn.tagger import Tagger

        return Tagger.load(self._folder(), label_on=tagger.label_on)

    def _folder(self) -> ModelFolder:
        """The model's folder; raises `DinkuError` if the model there has another digest."""
        folder = ModelFolder.of(self.base)
        if self.digest and folder.digest != self.digest:
            problem = f"holds another model ({folder.digest[:12]}) than was asked for ({self.digest[:12]})"
            raise DinkuError(problem, where=self.base, remedy="put that one back, or leave digest out")
        return folder
