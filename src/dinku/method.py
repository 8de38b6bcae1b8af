"""Method: whatever changes a tagger. What it may see (`Data`), and where it works (`Work`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, cast, get_type_hints, runtime_checkable

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from dinku.data.corpus import Corpus
from dinku.data.unlabelled import Text
from dinku.errors import DinkuError
from dinku.model.shape import Shape
from dinku.schema import validation_error

if TYPE_CHECKING:
    from dinku.model.bundle import Bundle
    from dinku.nn.tagger import Tagger

Need = Literal["words", "text", "labels"]
Importance = Literal["magnitude", "activation", "taylor"]
_LOOKS_AT: dict[str, frozenset[Need]] = {
    "magnitude": frozenset(),
    "activation": frozenset({"words"}),
    "taylor": frozenset({"labels"}),
}


@dataclass(frozen=True)
class Data:
    """The train and dev splits, and unlabelled text. Never the test split: no method gets to see it."""

    train: Corpus | None = None
    dev: Corpus | None = None
    text: Text | None = None

    def given(self, needs: frozenset[Need], languages: Sequence[str] | None = None) -> Data:
        """What a method with these needs may see: both splits with tags for *labels*, the train split's words for *words*, and
        for *text* the unlabelled text in ``languages``, in all for ``()``; for ``None`` in the train split's, or in all where
        it has none of them."""
        text = None
        if self.text is not None and "text" in needs:
            known = set(languages or ()) <= set(self.text.languages)  # else the method says what it misses
            own = self.train.languages if self.train else ()
            text = self.text.only(own if languages is None else languages if known else ())
        if "labels" in needs:
            return Data(self.train, self.dev, text)
        return Data(self._bare if "words" in needs else None, None, text)

    @cached_property
    def _bare(self) -> Corpus | None:
        return self.train.without_tags() if self.train else None

    def of(self, method: Method) -> Data:
        """What a method may see, which is what enters its address. A method's field ``languages`` names those of the text."""
        return self.given(method.needs, getattr(method, "languages", None))

    def words_for(self, method: Method | Chosen) -> Corpus:
        """The train split, for a method that reads its words; raises `DinkuError` where there is none."""
        if self.train is None or not len(self.train):
            remedy = "name a corpus with a train split"
            raise DinkuError("there is no text", where=type(method).__name__, remedy=remedy)
        return self.train

    def text_for(self, method: Method) -> Text:
        """The unlabelled text of the languages that a method reads; raises `DinkuError` where there is none."""
        if (text := self.of(method).text) is None:
            remedy = "name a folder as the study's text"
            raise DinkuError("there is no text", where=type(method).__name__, remedy=remedy)
        return text

    def fingerprints(self) -> dict[str, str]:
        parts = {"train": self.train, "dev": self.dev, "text": self.text}
        return {name: part.fingerprint for name, part in parts.items() if part is not None}


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


@dataclass(frozen=True)
class Planned:
    """A tagger that isn't made yet: only its shape is known."""

    shape: Shape


@runtime_checkable
class Method(Protocol):
    """A frozen dataclass whose fields are hyper-parameters.

    The law: measuring after `apply` equals `declare` after measuring, exactly for parameters and tensor bytes and within
    an interval for non-zero counts. ``dinku.testing.check_method`` holds a method to this and to the rest of its
    contract. ``version`` rises whenever the same fields would give another result.
    """

    version: ClassVar[int]

    @property
    def needs(self) -> frozenset[Need]:
        """What it may see of the data."""
        ...

    def resolve(self, tagger: Tagger | Planned | None, data: Data) -> Self:
        """Turn what depends on data or on the encoder into absolute values.

        In a plan ``tagger`` is `Planned`, which has a shape and nothing else; ``None`` says that nothing is known of it.
        """
        ...

    def declare(self, shape: Shape) -> Shape:
        """What the model will cost afterwards, by arithmetic."""
        ...

    def apply(self, tagger: Tagger, data: Data, work: Work) -> Tagger | Bundle:
        """Surgery or training. The tagger given stays bit-identical."""
        ...


@dataclass(frozen=True)
class Checked:
    """What all methods of dinku have in common: fields of their types, and nothing that depends on data unless they say so."""

    def __post_init__(self) -> None:
        checked(self)

    def resolve(self, tagger: Tagger | Planned | None, data: Data) -> Self:
        return self

    def can_use(self, data: Data) -> None:
        """Raise `DinkuError` where data that it may see lacks what it will read, before anything is done."""
        reads = not cast(Method, self).needs.isdisjoint({"words", "labels"})
        if reads and (data.train is None or not len(data.train)):
            problem = "there is no train split"
            raise DinkuError(problem, where=type(self).__name__, remedy="name a corpus that has one")


def with_students(step: Method) -> Iterator[Method]:
    """A method and all that it applies within it, at any depth, the innermost first."""
    for inner in getattr(step, "student", ()):
        yield from with_students(inner)
    yield step


# Of a field that came after rows were made: at its default it is left out of JSON, and so of addresses.
LATER = {"later": True}


@dataclass(frozen=True)
class Chosen(Checked):
    """What methods have in common that choose what to keep by `dinku.training.importance`.

    *magnitude* needs nothing, *activation* words, *taylor* tagged ones: ``sentences`` of the train split, always the same.
    """

    importance: Importance = field(default="magnitude", kw_only=True, metadata=LATER)
    sentences: int = field(default=512, kw_only=True, metadata=LATER)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sentences < 1:
            raise DinkuError(f"sentences is {self.sentences}", where=type(self).__name__, remedy="give 1 or more")

    @property
    def needs(self) -> frozenset[Need]:
        return _LOOKS_AT[self.importance]

    def can_choose(self, shape: Shape) -> None:
        """Raise `DinkuError` for *taylor* where there are no tags."""
        if self.importance == "taylor" and not shape.tags:
            remedy = "fine-tune it first, or choose by magnitude or activation"
            raise DinkuError("the tagger has no tags, whose loss it asks for", where=type(self).__name__, remedy=remedy)

    def at_least_one(self, name: str) -> None:
        """Raise `DinkuError` where the field of that name keeps nothing."""
        if getattr(self, name) < 1:
            remedy = "give the number to keep, 1 or more"
            raise DinkuError(f"{name} is {getattr(self, name)}", where=type(self).__name__, remedy=remedy)


class Drawn:
    """What all methods have in common that draw at random: the seed enters their addresses, and no other's."""


# What AfriBERTa's recipe has beside its rate: the numbers beside any rate that is given alone.
BESIDE_RATE: dict[str, Any] = {"batch": 16, "warmup": 0.0, "epochs": 50}
STEPS = 750  # of the optimizer that a training takes at least, as far as `MOST_EPOCHS` allows
FEWEST_EPOCHS, MOST_EPOCHS = 3, 60
FEW = 4000  # sentences: with fewer than that, batches are of 8


def suited(shape: Shape, sentences: int) -> dict[str, Any]:
    """The rate, batch, warm-up and epochs for an encoder of this shape and so many train sentences.

    The larger the encoder, the lower its rate, which is never above 3e-4: for four layers of 384 hidden units (*dinku:house*)
    it is 3e-4, for twelve of them 1e-4, for twelve of 768 5e-5. The fewer sentences, the more epochs and the smaller batches,
    as what a training needs is steps. docs/log.md has the trainings that these numbers come from.
    """
    batch = 8 if sentences < FEW else 16
    steps = max(1, -(-sentences // batch))
    return {
        "rate": min(3e-4, float(f"{0.46 / (shape.hidden * len(shape.layers)):.2g}")),
        "batch": batch,
        "warmup": 0.1,
        "epochs": min(MOST_EPOCHS, max(FEWEST_EPOCHS, -(-STEPS // steps))),
    }


def no_more(method: Any, name: str, most: int, things: str) -> None:
    """Raise `DinkuError` where the field ``name`` asks to keep more than the ``most`` things that there are.

    As many as there are is fine, and changes nothing.
    """
    if (asked := getattr(method, name)) > most:
        problem = f"{name} is {asked:,}, more than {things}"
        raise DinkuError(problem, where=type(method).__name__, remedy=f"give at most {most:,}")


def checked(method: Any) -> None:
    """Refuse a method whose fields aren't of their types: the first thing that ``__post_init__`` does.

    Nothing is converted, but that a whole number is a number, too.
    """
    kind: Any = type(method)
    try:
        _strict(kind).model_validate({f.name: getattr(method, f.name) for f in fields(kind)})
    except ValidationError as error:
        raise validation_error(error, where=kind.__name__) from None


@cache
def _strict(kind: Any) -> type[BaseModel]:
    types = get_type_hints(kind)
    wanted: dict[str, Any] = {f.name: (types[f.name], ...) for f in fields(kind)}
    return create_model(kind.__name__, __config__=ConfigDict(strict=True), **wanted)
