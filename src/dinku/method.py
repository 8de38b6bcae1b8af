"""Method: whatever changes a tagger. What it may see (`Data`), and where it works (`Work`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, cast, get_type_hints, runtime_checkable

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from dinku.data.corpus import Corpus
from dinku.data.unlabelled import Text
from dinku.errors import DinkuError, plural
from dinku.model.shape import Shape
from dinku.schema import of_validation

if TYPE_CHECKING:
    from dinku.model.bundle import Bundle
    from dinku.model.encode import Encoder
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


@dataclass(frozen=True, kw_only=True)
class Trained(Drawn, Checked):
    """How weights are trained: what methods that do so have in common, each by its name.

    A step reads ``batch`` windows, drawn at random. ``rate`` is AdamW's, falling linearly to zero after a linear
    ``warmup`` (a fraction of the steps). ``keep_zeros`` keeps the zeros of parts that were sparsified, after every step of
    the optimizer (no bias, no padding row and no head is ever held at zero). ``precision="auto"`` is bfloat16 autocast where
    the processor has it, else float32. ``window`` is the most subwords a training window holds; longer sentences are read
    through several.

    With ``sparsity`` that fraction of the weights of the encoder's linear layers, those of smallest magnitude over all of them,
    are zeroed while it trains, and held at zero: few at first, all after the first ``rise`` of the steps, by the cubic curve of
    Zhu and Gupta 2017 (arXiv 1710.01878). Zeros that are there when it begins to rise count and stay.
    """

    rate: float | None = None
    batch: int | None = None
    window: int = 164
    warmup: float | None = None
    weight_decay: float = 0.0
    clip: float = 1.0
    keep_zeros: bool = True
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    sparsity: float = field(default=0.0, metadata=LATER)
    rise: float = field(default=0.5, metadata=LATER)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(
            rate=(self.rate is None or 0 < self.rate < math.inf, "give a positive number, such as 5e-5"),
            batch=(self.batch is None or self.batch >= 1, "give 1 or more"),
            window=(self.window >= 8, "give 8 subwords or more"),
            warmup=(self.warmup is None or 0 <= self.warmup < 1, "give the fraction of steps, 0 ≤ warmup < 1"),
            weight_decay=(0 <= self.weight_decay < math.inf, "give 0 or more"),
            clip=(0 < self.clip < math.inf, "give a positive number, such as 1.0"),
            sparsity=(0 <= self.sparsity < 1, "give the fraction of zeros, 0 ≤ sparsity < 1"),
            rise=(0 < self.rise <= 1, "give the fraction of steps over which sparsity rises, 0 < rise ≤ 1"),
        )

    def check(self, **fields: tuple[bool, str]) -> None:
        """Raise `DinkuError` for the first field that isn't fine, with its remedy."""
        for name, (fine, remedy) in fields.items():
            if not fine:
                raise DinkuError(f"{name} is {getattr(self, name)}", where=type(self).__name__, remedy=remedy)

    @property
    def pace(self) -> tuple[float, int, float]:
        """The rate, the batch and the warm-up of a method that is resolved; raises `DinkuError` for one that isn't."""
        if self.rate is None or self.batch is None or self.warmup is None:
            remedy = "give rate, batch and warmup, or resolve it first"
            raise DinkuError("its rate, batch or warmup isn't set", where=type(self).__name__, remedy=remedy)
        return self.rate, self.batch, self.warmup

    def trained(self, shape: Shape, tags: int) -> Shape:
        """A shape after training under a head of so many tags; training may land on a zero in a thousand weights."""
        shape.scheme.refuse(type(self).__name__)
        headed = shape.with_tags(tags) if tags != shape.tags else shape
        risen = round(self.sparsity * sum(shape.weights(embeddings=False)))
        zeros = max(shape.zeros if self.keep_zeros else 0, risen)
        low = max(0, headed.nonzero[0] - risen - headed.parameters // 1000)
        return replace(headed, zeros=zeros, nonzero=(low, headed.parameters - zeros))


@dataclass(frozen=True)
class Repeated(Trained):
    """Training that reads the same windows in each of its ``epochs``."""

    epochs: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(
            epochs=(self.epochs is None or self.epochs >= 0, "give 0 or more"),
            sparsity=(not self.sparsity or self.epochs != 0, "give an epoch or more in which it rises"),
        )


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


@dataclass(frozen=True)
class Supervised(Repeated):
    """Training on tagged words. ``select="best"`` keeps the weights of the epoch with the best dev F1, not the last.

    Without a ``rate``, `resolve` takes what isn't given of ``rate``, ``batch``, ``warmup`` and ``epochs`` from `suited`. Where a
    ``rate`` is given, the others are AfriBERTa's unless given, too: batches of 16, no warm-up, 50 epochs.
    """

    select: Literal["last", "best"] = "last"

    def can_use(self, data: Data) -> None:
        self.tagged(data.train, "train")
        if self.select == "best":
            self.tagged(data.dev, "dev")

    def settled(self, shape: Shape | None, train: Corpus | None) -> Self:
        """The same training with absolute numbers, for an encoder of this shape; raises `DinkuError` where it isn't known."""
        numbers = BESIDE_RATE
        if self.rate is None:
            if train is None:
                return self
            if shape is None:
                remedy = "give rate, or resolve it for a tagger"
                raise DinkuError("its rate depends on the encoder", where=type(self).__name__, remedy=remedy)
            numbers = suited(shape, len(train))
        return replace(self, **{name: value for name, value in numbers.items() if getattr(self, name) is None})

    def tagged(self, corpus: Corpus | None, split: str) -> Corpus:
        """A split to learn from, or to select by; raises `DinkuError` where it isn't there or has no tags."""
        if corpus is None or not len(corpus):
            problem = f"there is no {split} split"
            raise DinkuError(problem, where=type(self).__name__, remedy="name a corpus that has one")
        if any(sentence.tags is None for sentence in corpus):
            raise DinkuError("has sentences without tags", where=corpus.name, remedy="name a tagged corpus")
        return corpus


HEAVIEST = 1e6  # the most that a part of a loss weighs: float32 still holds the whole
WEIGHT = "give a weight from 0 to 1,000,000"


@dataclass(frozen=True)
class Matched(Repeated):
    """Training a student that a teacher's own methods ``student`` cut from it, and what it matches beside answers.

    ``hidden`` weighs the mean squared error of hidden states, and ``relations`` the divergence of the relations within
    queries, keys and values of the last layers, split into ``relation_heads`` (0: as many as the teacher has heads); both
    need teacher and student to read the same subwords. ``layers`` names for each layer of the student the teacher's that it
    shall match; none: as evenly as they go up to the last.
    """

    student: tuple[Any, ...] = field(default=(), metadata={"methods": True})
    temperature: float = 2.0
    hidden: float = 0.0
    relations: float = 0.0
    relation_heads: int = 0
    layers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(
            student=(all(isinstance(method, Method) for method in self.student), "list methods"),
            temperature=(0.01 <= self.temperature <= 1000, "give a number from 0.01 to 1,000, such as 2"),
            hidden=(0 <= self.hidden <= HEAVIEST, WEIGHT),
            relations=(0 <= self.relations <= HEAVIEST, WEIGHT),
            relation_heads=(self.relation_heads >= 0, "give 0 or more"),
            layers=(all(layer >= 0 for layer in self.layers), "number the teacher's layers from 0"),
        )

    @property
    def matches(self) -> bool:
        """Whether student and teacher are compared subword by subword."""
        return bool(self.hidden or self.relations)

    def resolve(self, tagger: Tagger | Planned | None, data: Data) -> Self:
        known, student = tagger, []
        for method in self.student:
            student.append(resolved := method.resolve(known, data.of(method)))
            known = Planned(resolved.declare(known.shape)) if known else None
        return replace(self, student=tuple(student))

    def cut(self, tagger: Tagger, data: Data, work: Work) -> Tagger:
        """The student before it learns, its weights its own."""
        student = tagger
        for method in self.student:
            student = cast("Tagger", method.apply(student, data.of(method), replace(work, folder=None)))
        theirs = {id(weight) for weight in tagger.model.parameters()}
        shared = any(id(weight) in theirs for weight in student.model.parameters())
        return student.copy() if shared else student

    def declare(self, shape: Shape) -> Shape:
        student = shape
        for method in self.student:
            student.scheme.refuse(type(method).__name__)
            student = method.declare(student)
        student.scheme.refuse(type(self).__name__)
        if self.relations:
            for each in (shape, student):
                each.known("heads", where=type(self).__name__)
        self.fitted(student, shape)
        # As many pieces needn't be the same ones: what makes a vocabulary of its own says so by its field.
        if self.matches and (student.vocabulary != shape.vocabulary or any(map(_own_vocabulary, self.student))):
            raise self.other_vocabulary()
        return student

    def fitted(self, student: Shape, teacher: Shape) -> tuple[list[int], int]:
        """The teacher's layer for each of the student's, and into how many heads relations are split; raises `DinkuError` where
        ``layers`` or ``relation_heads`` doesn't fit them."""
        layers = self.mapped(len(student.layers), len(teacher.layers)) if self.hidden or self.layers else []
        heads = self.relation_heads or teacher.layers[-1].heads
        for shape in (teacher, student):
            inner = shape.layers[-1].heads * shape.layers[-1].head_size
            if self.relations and inner % heads:
                problem = f"relation_heads is {heads}, which doesn't divide queries of {inner} numbers"
                raise DinkuError(problem, where=type(self).__name__, remedy="choose a divisor of both hidden sizes")
        return layers, heads

    def reader(self, student: Tagger, teacher: Tagger) -> Encoder:
        """How the student reads, through windows that the teacher can read, too, where these are compared."""
        return student.windows_of(min(self.window, teacher.encoder.length) if self.matches else self.window)

    def other_vocabulary(self) -> DinkuError:
        problem = "hidden states and relations are matched subword by subword, and the student reads others"
        remedy = "set hidden and relations to 0, or keep the vocabulary"
        return DinkuError(problem, where=type(self).__name__, remedy=remedy)

    def mapped(self, student: int, teacher: int) -> list[int]:
        """The teacher's layer for each of the student's; raises `DinkuError` where ``layers`` doesn't fit them."""
        layers = list(self.layers) or [(i + 1) * teacher // student - 1 for i in range(student)]
        if len(layers) != student or max(layers) >= teacher or min(layers) < 0:
            problem = (
                f"layers is {self.layers} for {plural(student, 'layer')} of the student and {teacher} of the teacher"
            )
            remedy = "name one of the teacher's for each of the student's"
            raise DinkuError(problem, where=type(self).__name__, remedy=remedy)
        return layers


def no_more(method: Any, name: str, most: int, things: str) -> None:
    """Raise `DinkuError` where the field ``name`` asks to keep more than the ``most`` things that there are.

    As many as there are is fine, and changes nothing.
    """
    if (asked := getattr(method, name)) > most:
        problem = f"{name} is {asked:,}, more than {things}"
        raise DinkuError(problem, where=type(method).__name__, remedy=f"give at most {most:,}")


def _own_vocabulary(method: Any) -> bool:
    return bool(getattr(method, "vocabulary", 0))


def checked(method: Any) -> None:
    """Refuse a method whose fields aren't of their types: the first thing that ``__post_init__`` does.

    Nothing is converted, but that a whole number is a number, too.
    """
    kind: Any = type(method)
    try:
        _strict(kind).model_validate({f.name: getattr(method, f.name) for f in fields(kind)})
    except ValidationError as error:
        raise of_validation(error, where=kind.__name__) from None


@cache
def _strict(kind: Any) -> type[BaseModel]:
    types = get_type_hints(kind)
    wanted: dict[str, Any] = {f.name: (types[f.name], ...) for f in fields(kind)}
    return create_model(kind.__name__, __config__=ConfigDict(strict=True), **wanted)
