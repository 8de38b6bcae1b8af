"""The contract of a method, which is whatever changes a tagger: what it may see (`Data`) and where it works (`Work`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, cast, get_type_hints, runtime_checkable

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from dinku.data.corpus import Corpus
from dinku.data.unlabelled import Text
from dinku.errors import DinkuError
from dinku.model.shape import Costs, Shape
from dinku.progress import Progress, silent
from dinku.schema import validation_error

if TYPE_CHECKING:
    from dinku.model.sentence_tagger import SentenceTagger
    from dinku.nn.tagger import Tagger

Need = Literal["words", "text", "labels"]
Category = Literal["training", "pretraining", "sparsity", "structure", "distillation", "quantization", "start"]
Importance = Literal["magnitude", "activation", "taylor"]
_LOOKS_AT: dict[str, frozenset[Need]] = {
    "magnitude": frozenset(),
    "activation": frozenset({"words"}),
    "taylor": frozenset({"labels"}),
}


@dataclass(frozen=True)
class Data:
    """The train and dev splits and unlabelled text. Never the test split: no method gets to see it.

    >>> import dinku
    >>> dinku.Data(dinku.load("sample:hau", "train"), dinku.load("sample:hau", "dev")).dev.split
    'dev'
    """

    train: Corpus | None = None
    dev: Corpus | None = None
    text: Text | None = None

    def restricted(self, needs: frozenset[Need], languages: Sequence[str] | None = None) -> Data:
        """The data that a method with these needs may see.

        *labels* gives both splits with their tags, *words* the train split without its tags, and *text* the unlabelled text:
        that in ``languages``, or in all of its languages for ``()``. For ``None`` it is the text in the train split's languages,
        or all of the text if it is in none of them.
        """
        text = None
        if self.text is not None and "text" in needs:
            known = set(languages or ()) <= set(self.text.languages)  # otherwise the method reports what is missing
            own = self.train.languages if self.train else ()
            text = self.text.only(own if languages is None else languages if known else ())
        if "labels" in needs:
            return Data(self.train, self.dev, text)
        return Data(self._untagged if "words" in needs else None, None, text)

    @cached_property
    def _untagged(self) -> Corpus | None:
        return self.train.without_tags() if self.train else None

    def seen_by(self, method: Method) -> Data:
        """The data that a method may see. Its fingerprints enter the method's address."""
        return self.restricted(needs_of(method), method.text_languages)

    def words_for(self, method: Method | ByImportance) -> Corpus:
        """The train split, for a method that reads its words; raises `DinkuError` if there is none."""
        if self.train is None or not len(self.train):
            remedy = "name a corpus with a train split"
            raise DinkuError("there is no text", where=type(method).__name__, remedy=remedy)
        return self.train

    def text_for(self, method: Method) -> Text:
        """The unlabelled text in the languages that a method reads; raises `DinkuError` if there is none."""
        if (text := self.seen_by(method).text) is None:
            remedy = "name a folder as the study's text"
            raise DinkuError("there is no text", where=type(method).__name__, remedy=remedy)
        return text

    def fingerprints(self) -> dict[str, str]:
        parts = {"train": self.train, "dev": self.dev, "text": self.text}
        return {name: part.fingerprint for name, part in parts.items() if part is not None}


@dataclass(frozen=True)
class Work:
    """Where and how a method works.

    ``folder`` is a scratch folder for this step with this seed and data. It survives a kill, so that training resumes from it,
    and the caller removes it. With ``None`` nothing is kept.

    >>> from dinku import Work
    >>> Work(seed=3, threads=2).device
    'cpu'
    """

    seed: int = 0
    threads: int | None = None
    device: str = "cpu"
    folder: Path | None = None
    cache: Path | None = None
    progress: Progress = field(default=silent, compare=False)


@dataclass(frozen=True)
class Planned:
    """A tagger that doesn't exist yet, of which only the shape is known."""

    shape: Shape


@dataclass(frozen=True)
class Reading:
    """How much data a method reads. A plan estimates its time by this, and a study checks that there is so much text.

    ``train_passes`` counts the passes over the train split. ``text_lines`` lines of unlabelled text are each read
    ``text_passes`` times, and ``text_subwords`` subwords are read in windows that are packed with text. ``teacher`` says what a
    teacher answers: *nothing*, everything in *every pass*, each sentence *once* for all of its students, or *both*.
    """

    train_passes: int = 0
    text_lines: int = 0
    text_passes: int = 1
    text_subwords: int = 0
    teacher: Literal["nothing", "once", "every pass", "both"] = "nothing"


@runtime_checkable
class Method(Protocol):
    """A frozen dataclass whose fields are hyper-parameters. `Validated` is the base to derive one from.

    The law: the shape measured after `apply` equals what `declare` says of the shape measured before, exactly for parameters
    and tensor bytes and within an interval for non-zero counts. ``dinku.testing.check_method`` holds a method to this and to
    the rest of its contract. ``version`` rises whenever the same fields would give another result. ``category`` says how
    claims classify the method. A field whose metadata is `INNER` holds methods that this one applies itself.

    >>> from dinku import Data, Work
    >>> from dinku.methods.sparsity import Sparsify
    >>> from dinku.testing import tiny_tagger
    >>> tagger = tiny_tagger()
    >>> round(Sparsify(0.5).apply(tagger, Data(), Work()).shape.zeros / tagger.shape.linear, 2)
    0.5
    """

    version: ClassVar[int]
    category: ClassVar[Category]

    @property
    def needs(self) -> frozenset[Need]:
        """What it may see of the data; `needs_of` adds the needs of its inner methods."""
        ...

    @property
    def text_languages(self) -> tuple[str, ...] | None:
        """The languages of the unlabelled text that it reads, ``()`` for all, ``None`` for those of the train split."""
        ...

    @property
    def reads(self) -> Reading:
        """How much it reads, its inner methods aside."""
        ...

    @property
    def own_vocabulary(self) -> bool:
        """Whether the tagger has another vocabulary afterwards."""
        ...

    def resolve(self, tagger: Tagger | Planned | None, data: Data) -> Self:
        """Turn whatever depends on data or on the encoder into absolute values.

        In a plan ``tagger`` is `Planned`, which has a shape and nothing else; ``None`` means that nothing is known about it.
        """
        ...

    def can_use(self, data: Data) -> None:
        """Raise `DinkuError` if the data that it may see lacks something it will read, before anything is done."""
        ...

    def declare(self, shape: Shape) -> Costs:
        """What the model will cost afterwards, by arithmetic."""
        ...

    def apply(self, tagger: Tagger, data: Data, work: Work) -> SentenceTagger:
        """Do the surgery or the training. The tagger that is given stays bit-identical.

        Raises `DinkuError` for a tagger that can't be changed, by its ``check_changeable``, unless another takes its place.
        """
        ...


# Metadata of a field that holds a tuple of methods, which the method with this field applies itself.
INNER = {"inner": True}
# Metadata of a field added later: omitted from JSON at its default, so that existing addresses don't change.
LATER = {"later": True}


@cache
def inner_fields(kind: Any) -> tuple[str, ...]:
    """The fields of a method's class that hold inner methods."""
    return tuple(each.name for each in fields(kind) if each.metadata.get("inner"))


def inner_methods(method: Method) -> tuple[Method, ...]:
    """The methods that a method applies itself, but not those within these."""
    return tuple(chain.from_iterable(getattr(method, name) for name in inner_fields(type(method))))


def with_inner(method: Method) -> Iterator[Method]:
    """A method and all methods within it, at any depth, the innermost first."""
    for inner in inner_methods(method):
        yield from with_inner(inner)
    yield method


def needs_of(method: Method) -> frozenset[Need]:
    """What a method and all methods within it may see of the data."""
    return frozenset[Need]().union(*(each.needs for each in with_inner(method)))


@dataclass(frozen=True)
class Validated:
    """The base of methods: checks the types of fields, and supplies the traits that few methods have.

    A subclass must define ``version``, ``category``, ``needs``, `Method.declare` and `Method.apply`.
    """

    def __post_init__(self) -> None:
        validate(self)

    @property
    def text_languages(self) -> tuple[str, ...] | None:
        return None

    @property
    def reads(self) -> Reading:
        return Reading()

    @property
    def own_vocabulary(self) -> bool:
        return False

    def resolve(self, tagger: Tagger | Planned | None, data: Data) -> Self:
        return self

    def can_use(self, data: Data) -> None:
        reads = not cast(Method, self).needs.isdisjoint({"words", "labels"})
        if reads and (data.train is None or not len(data.train)):
            problem = "there is no train split"
            raise DinkuError(problem, where=type(self).__name__, remedy="name a corpus that has one")


@dataclass(frozen=True)
class ByImportance(Validated):
    """The base of methods that choose what to keep by `dinku.training.importance`.

    *magnitude* needs no data, *activation* needs words and *taylor* tagged words: ``sentences`` of the train split, always the
    same ones.
    """

    importance: Importance = field(default="magnitude", kw_only=True, metadata=LATER)
    sentences: int = field(default=512, kw_only=True, metadata=LATER)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least_one("sentences")

    @property
    def needs(self) -> frozenset[Need]:
        return _LOOKS_AT[self.importance]

    def can_choose(self, shape: Shape) -> None:
        """Raise `DinkuError` if the importance is *taylor* and the tagger has no tags."""
        if self.importance == "taylor" and not shape.tags:
            remedy = "fine-tune it first, or choose by magnitude or activation"
            raise DinkuError("the tagger has no tags, whose loss it asks for", where=type(self).__name__, remedy=remedy)

    def at_least_one(self, name: str) -> None:
        """Raise `DinkuError` if the field of that name is less than 1."""
        if getattr(self, name) < 1:
            raise DinkuError(f"{name} is {getattr(self, name)}", where=type(self).__name__, remedy="give 1 or more")


class Seeded:
    """Marks a method whose result depends on the seed, which enters the address of such methods alone."""


def no_more(method: Any, name: str, most: int, things: str) -> None:
    """Raise `DinkuError` if the field ``name`` asks for more than ``most``, the number of ``things`` that there are."""
    if (asked := getattr(method, name)) > most:
        problem = f"{name} is {asked:,}, more than {things}"
        raise DinkuError(problem, where=type(method).__name__, remedy=f"give at most {most:,}")


def validate(method: Any) -> None:
    """Raise `DinkuError` for the first field of a method that isn't of its type. A whole number passes for a float."""
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
