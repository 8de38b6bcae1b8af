"""Method: whatever changes a tagger. What it may see (`Data`), and where it works (`Work`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, Self, runtime_checkable

from dinku.corpus import Corpus
from dinku.shape import Shape

if TYPE_CHECKING:
    from dinku.tagger import Tagger

Need = Literal["text", "labels"]


@dataclass(frozen=True)
class Data:
    """The train and dev splits. Never the test split: no method gets to see it."""

    train: Corpus | None = None
    dev: Corpus | None = None

    def given(self, needs: frozenset[Need]) -> Data:
        """What a method with these needs may see: tags only for *labels*, words only for *text*, else nothing."""
        if "labels" in needs:
            return self
        if "text" in needs:
            return Data(*(c and c.without_tags() for c in (self.train, self.dev)))
        return Data()

    def fingerprints(self) -> dict[str, str]:
        return {name: c.fingerprint for name, c in (("train", self.train), ("dev", self.dev)) if c is not None}


def _silent(done: int, total: int, note: str) -> None:
    """The progress of work that nobody watches."""


@dataclass(frozen=True)
class Work:
    """Where and how a method works.

    ``folder`` is scratch of this very step, seed and data; it survives a kill, so that training resumes from it, and is
    the caller's to remove. ``None`` means that nothing is kept.
    ``progress`` is called with (steps done, of how many, a note).
    """

    seed: int = 0
    threads: int | None = None
    device: str = "cpu"
    folder: Path | None = None
    cache: Path | None = None
    progress: Callable[[int, int, str], None] = field(default=_silent, compare=False)


@runtime_checkable
class Method(Protocol):
    """A frozen dataclass whose fields are hyper-parameters.

    The law: measuring after `apply` equals `declare` after measuring, exactly for parameters and tensor bytes and within
    an interval for non-zero counts. ``dinku.testing.check_method`` holds a method to this and to the rest of its
    contract. ``version`` rises whenever the same fields would give another result.
    """

    version: ClassVar[int]
    needs: ClassVar[frozenset[Need]]

    def resolve(self, tagger: Tagger | None, data: Data) -> Self:
        """Turn what depends on data into absolute values. ``tagger`` is ``None`` where only a plan is made."""
        ...

    def declare(self, shape: Shape) -> Shape:
        """What the model will cost afterwards, by arithmetic."""
        ...

    def apply(self, tagger: Tagger, data: Data, work: Work) -> Tagger:
        """Surgery or training. The tagger given stays bit-identical."""
        ...
