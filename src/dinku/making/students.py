"""The students among which a search chooses: small transformers cut from the tagger, and word networks.

The space is small on purpose: a few values for each size that costs many bytes or much time. It varies the sizes that matter by
docs/log.md: depth more than width for transformers, rows and affixes for word networks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Literal, cast

from dinku.errors import DinkuError, plural
from dinku.method import Method
from dinku.methods.distil import Distil
from dinku.methods.factorize import FactorizeEmbeddings
from dinku.methods.feedforward import NarrowFeedForward
from dinku.methods.heads import PruneHeads
from dinku.methods.layers import KeepLayers
from dinku.methods.vocabulary import TrimVocabulary
from dinku.methods.words import StartWords
from dinku.model.shape import INT8, Costs, Shape

Family = Literal["words", "transformer"]
FAMILIES: tuple[Family, ...] = ("words", "transformer")
Choice = int | float | bool

_FEATURES = ("word", "prefix1", "prefix2", "prefix3", "suffix1", "suffix2", "suffix3", "shape")
_WORDS: dict[str, tuple[Choice, ...]] = {
    "rows": (3_000, 6_000, 12_000, 24_000, 48_000),
    "width": (64, 96, 128, 192),
    "depth": (2, 4, 6),
    "grams": (False, True),
}
_PIECES = (3_000, 5_000, 8_000, 12_000, 18_000, 27_000, 40_000)
_LEAST_ROOM = 1.25  # a vocabulary is only cut if at least a fifth of it goes


@dataclass(frozen=True)
class Student:
    """A student by its ``choices`` of sizes, and the costs of the tagger it is made from."""

    family: Family
    choices: tuple[tuple[str, Choice], ...]
    teacher: Costs

    @property
    def values(self) -> dict[str, Choice]:
        return dict(self.choices)

    @property
    def name(self) -> str:
        """Its choices in one word, such as *words-12000x96x4* or *layers-4-pieces-8000*."""
        values = self.values
        if self.family == "words":
            return f"words-{values['rows']}x{values['width']}x{values['depth']}" + "-grams" * bool(values["grams"])
        whole = cast(Shape, self.teacher)
        parts = [f"layers-{values['layers']}", f"pieces-{values['pieces'] or whole.vocabulary}"]
        parts += [f"rank-{values['rank']}"] if values["rank"] else []
        parts += [f"heads-{values['heads']}"] if values["heads"] else []
        return "-".join(parts + ([f"width-{values['ffn']}"] if values["ffn"] else []))

    @property
    def summary(self) -> str:
        """The same in words for people."""
        values = self.values
        if self.family == "words":
            grams = ", n-grams" * bool(values["grams"])
            return f"word network, {values['rows']:,} rows, width {values['width']}, depth {values['depth']}{grams}"
        shape = cast(Shape, self.shape)
        rank = f", rank {values['rank']}" if values["rank"] else ""
        heads = f", {plural(int(values['heads']), 'head')}" if values["heads"] else ""
        ffn = f", feed-forward {values['ffn']:,}" if values["ffn"] else ""
        return f"transformer, {plural(len(shape.layers), 'layer')}, {shape.vocabulary:,} pieces{rank}{heads}{ffn}"

    def methods(self, lines: int = 0) -> tuple[Method, ...]:
        """The methods that make it from the tagger; ``lines`` of text help to choose the pieces of its vocabulary."""
        own = {name: cast(int, value) for name, value in self.choices}
        if self.family == "words":
            features = (*_FEATURES, "grams2-3") if own["grams"] else _FEATURES
            return (
                StartWords(
                    features=features, rows=own["rows"], width=own["width"], embedding=own["width"], depth=own["depth"]
                ),
            )
        whole = cast(Shape, self.teacher)
        there = len(whole.layers)
        out: list[Method] = []
        if own["layers"] < there:
            out.append(KeepLayers(keep=evenly(own["layers"], there)))
        if own["heads"]:
            out.append(PruneHeads(heads=own["heads"], importance="activation"))
        if own["ffn"]:
            out.append(NarrowFeedForward(width=own["ffn"], importance="activation"))
        if own["pieces"]:
            out.append(TrimVocabulary(size=own["pieces"], sentences=lines))
        if own["rank"]:
            out.append(FactorizeEmbeddings(rank=own["rank"], weigh="frequency"))
        return tuple(out)

    @cached_property
    def shape(self) -> Costs:
        """Its costs in float32, by arithmetic."""
        shape: Any = self.teacher
        for method in self.methods():
            shape = method.declare(shape)
        return cast(Costs, shape.with_tags(self.teacher.tags, pooled=getattr(self.teacher, "pooled", False)))

    @cached_property
    def int8(self) -> Costs:
        """Its costs in int8, by arithmetic."""
        return cast(Costs, cast(Any, self.shape).quantized(INT8, where=self.name))

    def distil(self, effort: Reads, **more: Any) -> Distil:
        """The step that makes and trains it, reading so much."""
        return Distil(
            student=self.methods(effort.lines),
            epochs=effort.epochs,
            transfer=effort.lines,
            passes=effort.passes,
            **more,
        )


@dataclass(frozen=True)
class Reads:
    """How much a student reads: ``epochs`` over the tagged sentences, and ``lines`` of text in so many ``passes``."""

    epochs: int
    lines: int
    passes: int

    def sentences(self, train: int) -> int:
        """The number of sentences read in all, for a train split of this size."""
        return self.epochs * train + self.passes * self.lines


_LINES = (2_000, 6_000, 18_000, 54_000)  # of text, by level
_EPOCHS: dict[Family, tuple[int, ...]] = {"words": (8, 16, 24, 32), "transformer": (2, 4, 6, 8)}
_ALONE: dict[Family, tuple[int, ...]] = {"words": (12, 24, 40, 60), "transformer": (3, 6, 12, 20)}  # without text
_PASSES: dict[Family, tuple[int, ...]] = {"words": (3, 4, 6, 8), "transformer": (1, 2, 3, 3)}
_STEPS = (150, 400, 750, 1500)  # the fewest steps of the optimizer, as far as `_MOST` epochs allow
_MOST = (20, 40, 60, 90)


def reads(family: Family, level: int, *, train: int, text: int, batch: int) -> Reads:
    """What a student reads at a level of the search: each level is about three times the work of the one before.

    It only depends on the data, so that a longer search reuses the students of a shorter one.
    """
    lines = min(text, _LINES[level])
    epochs = (_EPOCHS if lines else _ALONE)[family][level]
    if not lines:
        epochs = max(epochs, min(_MOST[level], math.ceil(_STEPS[level] * batch / max(1, train))))
    return Reads(epochs, lines, _PASSES[family][level] if lines else 1)


def evenly(keep: int, there: int) -> tuple[int, ...]:
    """The numbers of ``keep`` of ``there`` layers: the first, the last, and others spread evenly between them.

    >>> evenly(4, 12), evenly(1, 12)
    ((0, 4, 7, 11), (0,))
    """
    if keep == 1:
        return (0,)
    return tuple(round(i * (there - 1) / (keep - 1)) for i in range(keep))


def space(teacher: Costs, family: Family) -> dict[str, tuple[Choice, ...]]:
    """The values of each choice; 0 leaves a part as it is."""
    if family == "words":
        return _WORDS
    shape = cast(Shape, teacher)
    there = len(shape.layers)
    layers = sorted({max(1, round(there * part)) for part in (1, 2 / 3, 1 / 2, 1 / 3, 1 / 4)}, reverse=True)
    wide, heads = min(la.width for la in shape.layers), min(la.heads for la in shape.layers)
    narrower = {round(wide * part / 32) * 32 for part in (2 / 3, 1 / 3)}
    ranks = {round(shape.hidden * part / 16) * 16 for part in (1 / 2, 1 / 3, 1 / 6)} if not shape.rank else set()
    return {
        "layers": tuple(layers),
        "pieces": (0, *(n for n in reversed(_PIECES) if n * _LEAST_ROOM <= shape.vocabulary)),
        "rank": (0, *sorted((r for r in ranks if r), reverse=True)),
        "heads": (0, max(1, heads // 2)) if heads > 1 else (0,),
        "ffn": (0, *sorted((n for n in narrower if 0 < n < wide), reverse=True)),
    }


def student_of(teacher: Costs, family: Family, values: Mapping[str, Choice]) -> Student | None:
    """The student with these choices; ``None`` if they don't go together, such as a rank that saves nothing."""
    student = Student(family, tuple(values.items()), teacher)
    try:
        student.int8  # noqa: B018  # which declares every method
    except DinkuError:
        return None
    return student


def every(teacher: Costs, families: Sequence[Family]) -> Iterator[Student]:
    """All students of the space."""
    for family in families:
        choices = space(teacher, family)
        for chosen in product(*choices.values()):
            if (student := student_of(teacher, family, dict(zip(choices, chosen, strict=True)))) is not None:
                yield student


def first(fitting: Sequence[Student], number: int) -> list[Student]:
    """The fitting students with which a search begins: word networks and transformers in turn, the most promising first."""
    by_family = {family: [s for s in fitting if s.family == family] for family in FAMILIES}
    queues = [_likeliest(by_family["words"], _FAR_WORDS), _likeliest(by_family["transformer"], _FAR_CUTS)]
    out: list[Student] = []
    for pair in zip(*(queue + [None] * (number - len(queue)) for queue in queues), strict=False):
        out += [student for student in pair if student is not None]
    return out[:number]


def _likeliest(fitting: Sequence[Student], wanted: Sequence[Mapping[str, float]]) -> list[Student]:
    """The fitting student nearest to each of the wanted sizes, in their order, without repeats."""
    out: dict[Student, None] = {}
    for wish in wanted:
        if fitting:
            out[min(fitting, key=lambda student: (_distance(student, wish), student.int8.bytes))] = None
    return list(out)


def _distance(student: Student, wish: Mapping[str, float]) -> float:
    shape, own = student.shape, student.values
    if student.family == "words":
        return sum(abs(math.log2(max(1, float(own[name])) / value)) for name, value in wish.items())
    whole, cut = cast(Shape, student.teacher), cast(Shape, shape)
    parts = {
        "layers": len(cut.layers) / len(whole.layers),
        "pieces": cut.vocabulary / whole.vocabulary,
        "rank": (cut.rank or cut.hidden) / whole.hidden,
        "heads": cut.layers[0].heads / whole.layers[0].heads,
        "ffn": cut.layers[0].width / whole.layers[0].width,
    }
    return sum(abs(math.log2(parts[name] / value)) for name, value in wish.items())


_FAR_WORDS = (
    {"rows": 12_000, "width": 96, "depth": 4},
    {"rows": 48_000, "width": 128, "depth": 4, "grams": 2},
    {"rows": 6_000, "width": 96, "depth": 4},
    {"rows": 24_000, "width": 128, "depth": 6},
)
_FAR_CUTS = (
    {"layers": 1 / 2, "pieces": 1, "rank": 1, "heads": 1, "ffn": 1},
    {"layers": 1 / 3, "pieces": 1, "rank": 1, "heads": 1, "ffn": 1},
    {"layers": 1, "pieces": 0.5, "rank": 1 / 2, "heads": 1, "ffn": 2 / 3},
    {"layers": 1 / 2, "pieces": 0.5, "rank": 1 / 2, "heads": 1, "ffn": 2 / 3},
)
