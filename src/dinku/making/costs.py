"""A cost model of students, in training and in use, from short measurements on this machine.

The seconds for a sentence are a fixed part, and a part in proportion to multiply-adds. Two students of each family are made from
a few sentences and timed; the line through both predicts the others.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, Self, cast

from pydantic import ValidationError

from dinku.digests import document_digest
from dinku.errors import DinkuError
from dinku.files import written
from dinku.machine import environment
from dinku.making.students import FAMILIES, Family, Reads, Student, every
from dinku.method import Data, Work
from dinku.methods.distil import Distil
from dinku.methods.quantize import Quantize
from dinku.model.bundle import Bundle
from dinku.model.folder import ModelFolder
from dinku.model.runtimes import Runtime
from dinku.model.sentence_tagger import SentenceTagger
from dinku.model.shape import Shape
from dinku.progress import Progress, silent
from dinku.schema import Record
from dinku.serving.lines import Line
from dinku.serving.reader import Reader
from dinku.settings import home

TAUGHT, RANGES, TIMED = (
    64,
    128,
    48,
)  # sentences that students learn from, that int8 is calibrated on, and that are timed
_BATCH, _ROUNDS = 16, 4
_GRAPH = {
    "words": (8_000, 4_000),
    "transformer": (22_000, 17_000),
}  # bytes of a bundle besides its weights, and more for each layer
_TOKENIZER = 80_000  # bytes of a tokenizer.json that don't depend on the number of its pieces


class Trend(Record):
    """Seconds for a sentence: a ``fixed`` part, and ``each`` second per multiply-add."""

    fixed: float
    each: float

    @classmethod
    def through(cls, points: Sequence[tuple[float, float]]) -> Self:
        """The line through two points of multiply-adds and seconds; it neither falls nor begins below zero.

        >>> Trend.through([(10.0, 3.0), (30.0, 7.0)]).at(20.0)
        5.0
        """
        (x, a), (y, b) = (min(points), max(points))
        each = max(0.0, (b - a) / (y - x)) if y > x else 0.0
        fixed = a - each * x
        if fixed < 0:  # noise: in proportion to the larger of the two
            return cls(fixed=0.0, each=b / y)
        return cls(fixed=fixed, each=each)

    def at(self, multiply_adds: float) -> float:
        return self.fixed + self.each * multiply_adds


class Timings(Record):
    """Times on this machine, in seconds for a sentence of mean length: the teacher's ``answer``, and by family ``training``,
    ``batched`` use, and use of ``single`` sentences; ``making`` is the time of a whole export to int8.
    """

    answer: float
    training: dict[str, Trend]
    batched: dict[str, Trend]
    single: dict[str, Trend]
    making: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class Costs:
    """The cost model: timings, and the mean ``units`` of a sentence by family, words or subwords.

    ``tokenizer`` is the size of the teacher's tokenizer.json; ``train``, ``dev`` and ``scored`` count sentences, the last those
    on which results are reported. ``longer`` is the length of a line of text relative to a tagged sentence.
    """

    timings: Timings
    units: dict[str, float]
    tokenizer: int
    train: int
    dev: int
    scored: int
    longer: float = 1.0

    def multiply_adds(self, student: Student) -> int:
        return student.shape.multiply_adds(max(1, round(self.units[student.family])))

    def bytes(self, student: Student) -> int:
        """The size of a student's folder in int8."""
        shape = student.int8
        fixed, each = _GRAPH[student.family]
        layers = shape.sizes["layers"]
        own: int = shape.bytes + fixed + each * layers
        if student.family == "transformer":
            part = cast(Shape, shape).vocabulary / cast(Shape, student.teacher).vocabulary
            own += min(_TOKENIZER, self.tokenizer) + round(max(0, self.tokenizer - _TOKENIZER) * part)
        return own

    def speed(self, student: Student) -> float:
        """Sentences a second in batches, from text to entities."""
        return 1 / max(1e-9, self.timings.batched[student.family].at(self.multiply_adds(student)))

    def latency(self, student: Student) -> float:
        """Seconds for one sentence, from text to entities."""
        return self.timings.single[student.family].at(self.multiply_adds(student))

    def teaching(self, student: Student, reads: Reads) -> float:
        """Seconds to train a student, and to tag the dev split afterwards."""
        a_sentence = self.timings.training[student.family].at(self.multiply_adds(student))
        read = reads.epochs * self.train + self.longer * reads.passes * reads.lines
        return a_sentence * (read + self.dev / 3)

    def answering(self, lines: int) -> float:
        """Seconds for the teacher to answer the train split and so many lines of text."""
        return self.timings.answer * (self.train + self.longer * lines)

    def making(self, student: Student) -> float:
        """Seconds of an export to int8."""
        return self.timings.making[student.family]


def measured(
    teacher: SentenceTagger,
    data: Data,
    families: Sequence[Family],
    *,
    engine: Runtime,
    threads: int,
    progress: Progress = silent,
) -> Timings:
    """Time this machine with two students of each family, or read earlier times from a file under `home`.

    ``data`` are the train and dev splits, with 100 train sentences or more. It takes some seconds for each student.
    """
    here = environment(threads).machine
    key = document_digest([2, here, teacher.digest, list(families), engine, TAUGHT, RANGES, TIMED])
    file = home() / "timings" / f"{key[:24]}.json"
    try:
        return Timings.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        pass
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dinku-timings-") as folder:
        timings = _timed(teacher, data, families, engine, threads, Path(folder), progress)
    timings = timings.model_copy(update={"seconds": time.monotonic() - began})
    file.parent.mkdir(parents=True, exist_ok=True)
    with written(file) as out:
        out.write(timings.model_dump_json(indent=1).encode() + b"\n")
    return timings


def _timed(
    teacher: SentenceTagger,
    data: Data,
    families: Sequence[Family],
    engine: Runtime,
    threads: int,
    folder: Path,
    progress: Progress,
) -> Timings:
    from dinku.export import gate

    assert data.train
    assert data.dev
    taught, ranges, dev = data.train.sample(TAUGHT, 0), data.train.sample(RANGES, 0), data.dev.sample(TIMED, 0)
    words = taught.words / len(taught)
    compared = data.dev.sample(max(TIMED, math.ceil(1.5 * gate.FEWEST * len(data.dev) / data.dev.words)), 0)
    answers = folder / "answers"
    progress("measuring this machine: the teacher", 0, 0)
    answer = min(_seconds(lambda: teacher.tag(taught.sentences)) for _ in range(2)) / len(taught)
    subwords = units_of(teacher, [s.words for s in taught])
    points: dict[str, list[tuple[float, float]]] = {}
    making: dict[str, list[float]] = {}
    batched: dict[str, list[tuple[float, float]]] = {}
    single: dict[str, list[tuple[float, float]]] = {}
    for student in _examples(teacher, families):
        own = progress_of(progress, f"measuring this machine: {student.name}")
        units = subwords if student.family == "transformer" else words
        adds = student.shape.multiply_adds(max(1, round(units)))
        steps: list[float] = []

        def note(what: str, done: int, total: int, steps: Any = steps, own: Progress = own) -> None:
            if what.startswith("distilling"):
                steps.append(time.perf_counter())
            own(what, done, total)

        work = Work(threads=threads, cache=answers, progress=note)
        method = Distil(student=student.methods(), epochs=3, rate=1e-4, batch=_BATCH, warmup=0.0)
        small = Data(taught, dev)
        tagger = method.resolve(cast(Any, teacher), small).apply(cast(Any, teacher), small, work)
        a_step = median(b - a for a, b in pairwise(steps))
        points.setdefault(student.family, []).append((adds, a_step / _BATCH))
        began = time.perf_counter()
        quantized = Quantize(runtime=engine, tolerance=1.0).apply(
            tagger, Data(ranges, compared), replace(work, progress=own)
        )
        making.setdefault(student.family, []).append(time.perf_counter() - began)
        texts = [" ".join(s.words) for s in dev]
        own("timing", 0, 0)
        batched.setdefault(student.family, []).append((adds, tagging(quantized, texts, 32)))
        single.setdefault(student.family, []).append((adds, tagging(quantized, texts, 1)))
    lines = {
        name: {family: Trend.through(own) for family, own in by_family.items()}
        for name, by_family in (("training", points), ("batched", batched), ("single", single))
    }
    longest = {
        family: 2 * max(seconds) for family, seconds in making.items()
    }  # a real export is checked on more sentences
    return Timings(answer=answer, making=longest, seconds=0.0, **cast(Any, lines))


def tagging(bundle: Bundle, texts: Sequence[str], batch: int) -> float:
    """Seconds for a text, from text to entities, in batches: the least of several rounds, as other work slows some down."""
    reader = Reader(bundle)
    batches = [texts[i : i + batch] for i in range(0, len(texts), batch)]

    def once(some: Sequence[str]) -> None:
        lines = [Line.typed(text) for text in some]
        for line, found in zip(lines, reader.tag(lines), strict=True):
            line.entities(found)

    seconds = [[_seconds(partial(once, some)) for some in batches] for _ in range(_ROUNDS)]
    return sum(map(min, zip(*seconds, strict=True))) / len(texts)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _examples(teacher: SentenceTagger, families: Iterable[Family]) -> list[Student]:
    """Two students of each family, a small one and a larger one."""
    out = []
    for family in families:
        students = sorted(every(teacher.shape, [family]), key=lambda s: (s.shape.multiply_adds(32), s.int8.bytes))
        out += [students[0], students[len(students) // 2]]
    return out


def units_of(tagger: SentenceTagger, sentences: Sequence[Sequence[str]]) -> float:
    """The mean number of units of a sentence that a tagger reads, special ones included."""
    windows = tagger.encoder.windows(sentences)
    return sum(window.size for window in windows) / max(1, len(sentences))


def tokenizer_bytes(folder: ModelFolder) -> int:
    """The size of a model's tokenizer.json; 0 without one."""
    file = folder.path / "tokenizer.json"
    return file.stat().st_size if file.is_file() else 0


def progress_of(progress: Progress, before: str) -> Progress:
    """Progress with the part of the work put before each line."""
    return lambda what, done, total: progress(f"{before}: {what}", done, total)


def families_of(terminal: bool, shape: Any) -> tuple[Family, ...]:
    """The families of students that a tagger can teach: quantized taggers and word networks only teach word networks, and
    taggers of whole texts don't teach word networks.

    Raises `DinkuError` if none is left.
    """
    able = FAMILIES if isinstance(shape, Shape) and not terminal else ("words",)
    pooled = getattr(shape, "pooled", False)
    left = tuple(family for family in able if family != "words" or not pooled)
    if not left:
        problem = "is quantized, and labels whole texts, which word networks can't"
        raise DinkuError(problem, where="compress", remedy="name the model that it was made from")
    return left
