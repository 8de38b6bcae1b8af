"""The families of methods that learn, and what is common to them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from dinku.data.corpus import Corpus
from dinku.errors import DinkuError, plural
from dinku.model.shape import Shape

if TYPE_CHECKING:
    from dinku.model.encode import SubwordEncoder
    from dinku.nn.tagger import Tagger
from dinku.method import BESIDE_RATE, LATER, Checked, Data, Drawn, Method, Planned, Work, suited


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

    def reader(self, student: Tagger, teacher: Tagger) -> SubwordEncoder:
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


def _own_vocabulary(method: Any) -> bool:
    return bool(getattr(method, "vocabulary", 0))
