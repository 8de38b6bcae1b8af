"""The plan of a search: which students fit by arithmetic, how long its parts take, and how many students it tries."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from dinku.making.budget import Budget
from dinku.making.costs import Costs
from dinku.making.request import Effort
from dinku.making.students import Family, Student, first, reads
from dinku.method import Data, Method
from dinku.model.shape import Costs as Shape
from dinku.training.settings import suited

# The numbers of students at each level, the most thorough search first. A limited time gets the first of these that fits into it.
_SCHEDULES = (
    (24, 8, 3, 1),
    (16, 6, 2, 1),
    (12, 4, 1, 1),
    (12, 4, 1),
    (8, 3, 1),
    (6, 2, 1),
    (6, 2),
    (4, 1),
    (2, 1),
    (2,),
    (1,),
)
_EFFORTS: dict[Effort, tuple[int, ...]] = {"quick": (4, 1), "default": (8, 3, 1), "thorough": (16, 6, 2, 1)}
ROOM = 0.98  # of a limit, for students whose size is only known by arithmetic
_SLACK = 1.15  # the mean time of all students, relative to that of the first ones


@dataclass(frozen=True)
class Plan:
    """What a search would do. ``fitting`` are the students that keep the limits of size and speed by the cost model.

    ``teacher`` is the shape of the tagger, ``before`` the steps that make it from the base, and ``spent`` the seconds so far.
    """

    budget: Budget
    teacher: Shape
    before: tuple[Method, ...]
    families: tuple[Family, ...]
    costs: Costs
    data: Data = field(repr=False)
    text: int
    students: tuple[Student, ...] = field(repr=False)
    fitting: tuple[Student, ...] = field(repr=False)
    effort: Effort
    time: float | None
    spent: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def train(self) -> int:
        return len(self.data.train or ())

    def reads(self, student: Student, level: int) -> Any:
        """How much a student reads at a level."""
        batch = suited(student.shape, self.train)["batch"]
        return reads(student.family, level, train=self.train, text=self.text, batch=batch)

    @cached_property
    def first(self) -> list[Student]:
        """The students that are tried first."""
        return first(self.fitting, 8)

    @cached_property
    def schedule(self) -> tuple[int, ...]:
        """How many students are tried at each level."""
        fullest = _EFFORTS[self.effort]
        if self.time is None:
            return self._possible(fullest)
        known = [each for each in _SCHEDULES if self.effort != "quick" or sum(each) <= sum(fullest)]
        fine = (each for each in known if self.spent + self.seconds_of(each) <= self.time)
        return self._possible(next(fine, known[-1]))

    def _possible(self, schedule: Sequence[int]) -> tuple[int, ...]:
        return tuple(min(number, max(1, len(self.fitting))) for number in schedule)

    @property
    def seconds(self) -> float:
        """The estimated seconds of the search from here on."""
        return self.seconds_of(self.schedule)

    def seconds_of(self, schedule: Sequence[int]) -> float:
        return self.preparing + sum(self.at(level, number) for level, number in enumerate(schedule)) + self.ending

    @property
    def preparing(self) -> float:
        """Seconds to train an encoder first."""
        epochs = sum(getattr(step, "epochs", None) or 0 for step in self.before)
        if not epochs:
            return self.costs.timings.answer * self.costs.dev
        units = self.costs.units.get("transformer", self.costs.units["words"])
        line = self.costs.timings.training.get("transformer") or self.costs.timings.training["words"]
        each = line.at(self.teacher.multiply_adds(max(1, round(units))))
        return epochs * each * (self.costs.train + self.costs.dev / 3)

    def at(self, level: int, number: int) -> float:
        """Seconds to try so many students at a level, including the teacher's answers, which serve all."""
        tried = self.first[:number] or list(self.fitting[:1])
        if not tried:
            return 0.0
        each = [self.costs.teaching(student, self.reads(student, level)) for student in tried]
        lines = max(self.reads(student, level).lines for student in tried)
        new = lines if level == 0 or lines != self.reads(tried[0], level - 1).lines else 0
        answering = self.costs.answering(lines) if new else 0.0
        return answering + number * _SLACK * sum(each) / len(each)

    @property
    def ending(self) -> float:
        """Seconds to make the last students int8, to time them, and to score test."""
        if not self.first:
            return 0.0
        making = max(self.costs.making(student) for student in self.first)
        return 1.5 * making + self.costs.timings.answer * self.costs.scored

    def fits(self, student: Student) -> bool:
        """Whether a student keeps the limits of size and speed by arithmetic and the cost model."""
        return not misfit(self.budget, self.costs, student)

    def document(self) -> dict[str, Any]:
        """The plan as JSON."""
        return {
            "teacher": {"summary": self.teacher.summary, "bytes": self.teacher.bytes},
            "limits": [limit.summary for limit in self.budget.limits],
            "train_sentences": self.train,
            "text_lines": self.text,
            "fitting": {family: sum(s.family == family for s in self.fitting) for family in self.families},
            "students": {family: sum(s.family == family for s in self.students) for family in self.families},
            "first": [self.predicted(student) for student in self.first],
            "schedule": list(self.schedule),
            "seconds": self.seconds,
            "notes": list(self.notes),
        }

    def predicted(self, student: Student) -> dict[str, Any]:
        """The predicted size, speed and training time of a student."""
        return {
            "student": student.name,
            "summary": student.summary,
            "bytes": self.costs.bytes(student),
            "sentences_per_second": self.costs.speed(student),
            "latency_ms": 1000 * self.costs.latency(student),
            "seconds": self.costs.teaching(student, self.reads(student, len(self.schedule) - 1)),
        }


def misfit(budget: Budget, costs: Costs, student: Student) -> float:
    """How far a student is from the limits of size and speed, by arithmetic and the cost model; 0 if it keeps them.

    Sizes must keep a little below the limit, because that of the tokenizer is an estimate.
    """
    known: dict[str, Callable[[Student], float]] = {
        "size": lambda s: costs.bytes(s) / ROOM,
        "speed": costs.speed,
        "latency": costs.latency,
    }
    off = 0.0
    for limit in budget.limits:
        if limit.name in known and not limit.met(value := known[limit.name](student)):
            off += abs(math.log(max(value, 1e-12) / limit.value))
    return off
