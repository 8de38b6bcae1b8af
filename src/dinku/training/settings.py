"""The families of methods that train, their fields, and the numbers that suit an encoder."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import singledispatch
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar, cast

from dinku.data.corpus import Corpus
from dinku.errors import DinkuError, plural
from dinku.method import INNER, LATER, Category, Data, Method, Planned, Reading, Seeded, Validated, Work
from dinku.model.measured import MeasuredShape
from dinku.model.shape import Shape
from dinku.model.word_shape import WordShape

if TYPE_CHECKING:
    from dinku.model.encode import SubwordEncoder
    from dinku.nn.tagger import Tagger

S = TypeVar("S", Shape, MeasuredShape, WordShape)

# AfriBERTa's recipe but for its rate: the default for what isn't given beside a rate.
BESIDE_RATE: dict[str, Any] = {"batch": 16, "warmup": 0.0, "epochs": 50}
STEPS = 750  # the fewest steps of the optimizer in a training, as far as `MOST_EPOCHS` allows
FEWEST_EPOCHS, MOST_EPOCHS = 3, 60
FEW = 4000  # sentences; a smaller train split has batches of 8


@singledispatch
def suited(shape: Any, sentences: int) -> dict[str, Any]:
    """The rate, batch, warm-up and epochs for an encoder of this shape and a train split of this size.

    The larger the encoder, the lower its rate, which is never above 3e-4: 3e-4 for four layers of 384 hidden units
    (*dinku:house*), 1e-4 for twelve of these, 5e-5 for twelve of 768. The fewer the sentences, the more epochs and the smaller
    batches, because a training needs steps. docs/log.md has the trainings that these numbers come from.
    """
    batch = 8 if sentences < FEW else 16
    steps = max(1, -(-sentences // batch))
    return {
        "rate": min(3e-4, float(f"{0.46 / (shape.hidden * shape.depth):.2g}")),
        "batch": batch,
        "warmup": 0.1,
        "epochs": min(MOST_EPOCHS, max(FEWEST_EPOCHS, -(-STEPS // steps))),
    }


@suited.register
def _suited_words(shape: WordShape, sentences: int) -> dict[str, Any]:
    """The same for a word network, which learns from nothing: a high rate, large batches and many epochs."""
    batch = 16 if sentences < FEW else 64
    steps = max(1, -(-sentences // batch))
    epochs = min(MOST_EPOCHS, max(MOST_EPOCHS // 6, -(-2 * STEPS // steps)))
    return {"rate": 2e-3, "batch": batch, "warmup": 0.02, "epochs": epochs}


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(Seeded, Validated):
    """The fields of every method that trains.

    A step reads ``batch`` windows, chosen at random. ``rate`` is AdamW's learning rate; it falls linearly to zero after a
    linear ``warmup`` (a fraction of the steps). ``keep_zeros`` restores the zeros of sparsified parts after every step of the
    optimizer; biases, the padding row and heads are never held at zero. ``precision="auto"`` is bfloat16 autocast if the
    processor supports it, otherwise float32. ``window`` is the most subwords in a training window; a longer sentence becomes
    several windows.

    ``sparsity`` is the fraction of weights in the encoder's linear layers that are zeroed during training and held at zero: those
    of smallest magnitude over all layers. The fraction grows over the first ``rise`` of the steps by the cubic curve of Zhu and
    Gupta 2017 (arXiv 1710.01878). Weights that are zero already count towards it and stay zero.
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
        """Raise `DinkuError` for the first field whose condition is false, with its remedy."""
        for name, (valid, remedy) in fields.items():
            if not valid:
                raise DinkuError(f"{name} is {getattr(self, name)}", where=type(self).__name__, remedy=remedy)

    @property
    def pace(self) -> tuple[float, int, float]:
        """The rate, batch and warm-up of a resolved method; raises `DinkuError` for one that isn't resolved."""
        if self.rate is None or self.batch is None or self.warmup is None:
            remedy = "give rate, batch and warmup, or resolve it first"
            raise DinkuError("its rate, batch or warmup isn't set", where=type(self).__name__, remedy=remedy)
        return self.rate, self.batch, self.warmup

    def trained(self, shape: S, tags: int, *, pooled: bool = False) -> S:
        """The shape after training under a head with ``tags`` tags, ``pooled`` where they are those of whole texts.

        One weight in a thousand may happen to become zero.
        """
        shape.scheme.refuse(type(self).__name__)
        if self.sparsity and isinstance(shape, WordShape):
            problem = "a word network can't be sparsified"
            raise DinkuError(problem, where=type(self).__name__, remedy="set sparsity to 0, or give it fewer rows")
        headed = shape.with_tags(tags, pooled=pooled) if (tags, pooled) != (shape.tags, shape.pooled) else shape
        risen = round(self.sparsity * shape.linear)
        zeros = max(shape.zeros if self.keep_zeros else 0, risen)
        low = max(0, headed.nonzero[0] - risen - headed.parameters // 1000)
        return replace(headed, zeros=zeros, nonzero=(low, headed.parameters - zeros))


@dataclass(frozen=True)
class EpochTraining(TrainingSettings):
    """Training that reads the same windows in each of its ``epochs``."""

    epochs: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(
            epochs=(self.epochs is None or self.epochs >= 0, "give 0 or more"),
            sparsity=(not self.sparsity or self.epochs != 0, "give an epoch or more in which it rises"),
        )


@dataclass(frozen=True)
class SupervisedTraining(EpochTraining):
    """Training on tagged words. ``select="best"`` keeps the weights of the epoch with the best dev F1 instead of the last.

    Without a ``rate``, `resolve` takes whichever of ``rate``, ``batch``, ``warmup`` and ``epochs`` isn't given from `suited`.
    Beside a given ``rate`` the others default to AfriBERTa's: batches of 16, no warm-up, 50 epochs.
    """

    select: Literal["last", "best"] = "last"

    @property
    def reads(self) -> Reading:
        return Reading(train_passes=self.epochs or 0)

    def can_use(self, data: Data) -> None:
        self.tagged(data.train, "train")
        if self.select == "best":
            self.tagged(data.dev, "dev")

    def settled(self, shape: Shape | WordShape | None, train: Corpus | None) -> Self:
        """The same training with absolute numbers, for an encoder of this shape; raises `DinkuError` if they depend on an unknown
        shape."""
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
        """A split to learn from or to select by; raises `DinkuError` if it is missing or has no tags."""
        if corpus is None or not len(corpus):
            problem = f"there is no {split} split"
            raise DinkuError(problem, where=type(self).__name__, remedy="name a corpus that has one")
        if any(sentence.tags is None for sentence in corpus):
            raise DinkuError("has sentences without tags", where=corpus.name, remedy="name a tagged corpus")
        return corpus


HEAVIEST = 1e6  # the largest weight of a part of a loss, at which float32 still holds the whole loss
WEIGHT = "give a weight from 0 to 1,000,000"


@dataclass(frozen=True)
class StudentTraining(EpochTraining):
    """Training of a student, which the methods ``student`` make from the teacher, to match the teacher's insides.

    ``hidden`` is the weight of the mean squared error of hidden states. ``relations`` is that of the divergence of the relations
    within queries, keys and values of the last layers, split into ``relation_heads`` (0: the teacher's number of heads). Both
    need a teacher and a student that read the same subwords. ``layers`` lists, for each layer of the student, the number of the
    teacher's layer that it matches; if empty, they are spread evenly up to the teacher's last layer.
    """

    category: ClassVar[Category] = "distillation"

    student: tuple[Any, ...] = field(default=(), metadata=INNER)
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

    @property
    def needs_weights(self) -> bool:
        """Whether the teacher's weights are used, and not its answers alone: a quantized one can't teach then."""
        return self.matches or not (self.student and self.student[0].category == "start")

    def resolve(self, tagger: Tagger | Planned | None, data: Data) -> Self:
        known, student = tagger, []
        for method in self.student:
            student.append(resolved := method.resolve(known, data.seen_by(method)))
            known = Planned(resolved.declare(known.shape)) if known else None
        return replace(self, student=tuple(student))

    def cut(self, tagger: Tagger, data: Data, work: Work) -> Tagger:
        """The student before training. It shares no weights with the teacher."""
        student = tagger
        for method in self.student:
            student = cast("Tagger", method.apply(student, data.seen_by(method), replace(work, folder=None)))
        if not self.needs_weights:
            return student
        theirs = {id(weight) for weight in tagger.model.parameters()}
        shared = any(id(weight) in theirs for weight in student.model.parameters())
        return student.copy() if shared else student

    def student_shape(self, shape: Any) -> Any:
        """The student's shape before training; raises `DinkuError` if it can't be made, or can't match the teacher's insides."""
        student = shape
        for method in self.student:
            if method.category != "start":
                student.scheme.refuse(type(method).__name__)
            student = method.declare(student)
        student.scheme.refuse(type(self).__name__)
        # Vocabularies of the same size may differ in their pieces.
        other = any(method.own_vocabulary for method in self.student)
        if self.matches and (other or student.vocabulary != shape.vocabulary):
            raise self.other_vocabulary()
        self.check_matching(student, shape)
        return student

    def check_matching(self, student: Any, teacher: Any) -> None:
        """Raise `DinkuError` if the fields about layers and heads are given, and don't fit these shapes."""
        if not (self.matches or self.layers or self.relation_heads):
            return
        if not (isinstance(student, Shape) and isinstance(teacher, Shape)):
            problem = "hidden, relations, layers and relation_heads need encoders of described families, and one of the two isn't"
            raise DinkuError(problem, where=type(self).__name__, remedy="leave them out")
        for shape in (teacher, student):
            if self.hidden and shape.build.shared:
                problem = f"an {shape.known_family.name} has one layer, whose states can't be compared by layer"
                raise DinkuError(problem, where=type(self).__name__, remedy="set hidden to 0")
            if self.relations and shape.build.relative:
                problem = f"the queries and keys of a {shape.known_family.name} are also those of positions"
                raise DinkuError(problem, where=type(self).__name__, remedy="set relations to 0")
        if self.relations:
            for each in (teacher, student):
                each.known("heads", where=type(self).__name__)
        self.fitted(student, teacher)

    def fitted(self, student: Shape, teacher: Shape) -> tuple[list[int], int]:
        """The teacher's layer for each of the student's, and the number of heads that relations are split into; raises
        `DinkuError` if ``layers`` or ``relation_heads`` doesn't fit these shapes."""
        layers = self.mapped(len(student.layers), len(teacher.layers)) if self.hidden or self.layers else []
        heads = self.relation_heads or teacher.layers[-1].heads
        for shape in (teacher, student):
            inner = shape.layers[-1].heads * shape.layers[-1].head_size
            if self.relations and inner % heads:
                problem = f"relation_heads is {heads}, which doesn't divide queries of {inner} numbers"
                raise DinkuError(problem, where=type(self).__name__, remedy="choose a divisor of both hidden sizes")
        return layers, heads

    def reader(self, student: Tagger, teacher: Tagger) -> SubwordEncoder:
        """The student's encoder. Its windows are short enough for the teacher if the two are compared."""
        return student.windows_of(min(self.window, teacher.encoder.length) if self.matches else self.window)

    def other_vocabulary(self) -> DinkuError:
        problem = "hidden states and relations are matched subword by subword, and the student reads others"
        remedy = "set hidden and relations to 0, or keep the vocabulary"
        return DinkuError(problem, where=type(self).__name__, remedy=remedy)

    def mapped(self, student: int, teacher: int) -> list[int]:
        """The teacher's layer for each of the student's; raises `DinkuError` if ``layers`` doesn't fit."""
        layers = list(self.layers) or [(i + 1) * teacher // student - 1 for i in range(student)]
        if len(layers) != student or max(layers) >= teacher or min(layers) < 0:
            problem = (
                f"layers is {self.layers} for {plural(student, 'layer')} of the student and {teacher} of the teacher"
            )
            remedy = "name one of the teacher's for each of the student's"
            raise DinkuError(problem, where=type(self).__name__, remedy=remedy)
        return layers
