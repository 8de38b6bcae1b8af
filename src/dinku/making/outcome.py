"""The outcome of a search: the chosen bundle, all students that were tried, and the study that makes the bundle again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dinku.making.budget import Miss, amount
from dinku.making.corpora import Ready
from dinku.making.students import Student
from dinku.making.table import Scored, as_html, points
from dinku.method import Method
from dinku.methods.registry import to_json
from dinku.model.inspect import disk_bytes
from dinku.scoring.counts import Counts
from dinku.study.definition import Block, Study

if TYPE_CHECKING:
    from dinku.making.plan import Plan


@dataclass(frozen=True)
class Tried:
    """A student that was made and scored on dev.

    ``facts`` are values by the names of a budget's limits. For a ``final`` student, which is in int8, they are measured; for
    others, size and speed are predicted. ``steps`` make it from the base; it is in ``folder``.
    """

    student: Student
    level: int
    scored: Scored
    facts: dict[str, float]
    address: str
    steps: tuple[Method, ...]
    final: bool
    folder: Path


@dataclass(frozen=True)
class Compressed:
    """The outcome of `dinku.making.compress.compress`: the bundle in ``folder``, and ``files`` beside it.

    ``chosen`` is the best of ``tried`` on dev, where the dense tagger scores ``dense``. ``test`` and ``dense_test`` are the F1 of
    both on the split on which results are reported, and ``counts`` those of ``test`` by language. ``learned`` are fingerprints of
    the sentences it learned from.
    """

    plan: Plan
    asked: str
    base: str
    chosen: Tried
    tried: tuple[Tried, ...] = field(repr=False)
    dense: Scored = field(repr=False)
    test: Scored
    dense_test: Scored
    counts: tuple[Counts, ...] = field(repr=False)
    study: Study = field(repr=False)
    seconds: float
    learned: frozenset[int] = field(repr=False)
    notes: tuple[str, ...] = field(repr=False, default=())
    files: tuple[Path, ...] = ()
    out: Path | None = None

    def __repr__(self) -> str:
        kept = self.facts["keep"]
        return (
            f"Compressed({self.folder}: {self.chosen.student.summary}, {amount('size', self.facts['size'])}, "
            f"{100 * kept:.1f} % of {self.test.task.score} kept on {self.test.split})"
        )

    def _repr_html_(self) -> str:
        return as_html(*self.table(), repr(self))

    @property
    def folder(self) -> Path:
        """The folder of the bundle."""
        return self.out or self.chosen.folder

    @property
    def facts(self) -> dict[str, float]:
        """The chosen student's values by the names of a budget's limits, with F1 kept on the split on which results are
        reported."""
        worst = next(iter(self.test.kept(self.dense_test).values()), 0.0)
        kept = self.test.f1 / self.dense_test.f1 if self.dense_test.f1 else 0.0
        size = disk_bytes(self.out) if self.out else self.chosen.facts["size"]
        return self.chosen.facts | {"keep": kept, "keep_worst": worst, "size": size}

    @property
    def missed(self) -> list[Miss]:
        """The limits that were kept on dev, but not on test."""
        return self.plan.budget.misses(self.facts)

    @property
    def front(self) -> list[Tried]:
        """The students, each after its longest training, that no other beats in both F1 and size."""
        out: list[Tried] = []
        for each in sorted(self.longest, key=lambda t: (t.facts["size"], -t.scored.f1)):
            if not out or each.scored.f1 > out[-1].scored.f1:
                out.append(each)
        return out

    @property
    def longest(self) -> list[Tried]:
        """Each student after its longest training, in int8 if it was made int8."""
        best: dict[str, Tried] = {}
        for each in self.tried:
            known = best.get(each.student.name)
            if known is None or (each.final, each.level) > (known.final, known.level):
                best[each.student.name] = each
        return list(best.values())

    def table(self) -> tuple[list[str], list[list[str]]]:
        """A head and a row for each student, the dense tagger first; predicted values are marked with ~."""
        worst = self.dense.worst
        dense = ["dense", points(self.dense.f1), "", f"{worst} {points(self.dense.by_language[worst])}"]
        rows = [[*dense, f"{self.plan.teacher.bytes / 1e6:.1f}", f"{1 / self.plan.costs.timings.answer:,.0f}", "", ""]]
        for each in sorted(self.longest, key=lambda t: (not t.final, -t.scored.f1)):
            language, kept = next(iter(each.scored.kept(self.dense).items()))
            about, own = "" if each.final else "~", each.facts
            rows.append(
                [
                    each.student.name,
                    points(each.scored.f1),
                    f"{100 * own['keep']:.1f} %",
                    f"{language} {points(each.scored.by_language[language])} ({100 * kept:.0f} %)",
                    f"{about}{own['size'] / 1e6:.1f}",
                    f"{about}{own['speed']:,.0f}",
                    f"{about}{1000 * own['latency']:.1f}",
                    "chosen"
                    if each.address == self.chosen.address
                    else "in int8"
                    if each.final
                    else f"level {each.level}",
                ]
            )
        score = self.dense.task.score
        return ["student", f"{score} dev", "kept", "worst kept", "MB", "sentences/s", "ms", "tried"], rows

    def document(self) -> dict[str, Any]:
        """The outcome as JSON."""
        return {
            "bundle": str(self.folder),
            "student": self.chosen.student.name,
            "address": self.chosen.address,
            "dev": {"f1": self.chosen.scored.f1, "dense": self.dense.f1, "by_language": self.chosen.scored.by_language},
            self.test.split: {
                "f1": self.test.f1,
                "dense": self.dense_test.f1,
                "by_language": self.test.by_language,
                "kept": self.test.kept(self.dense_test),
            },
            "facts": self.facts,
            "missed": [miss.summary for miss in self.missed],
            "tried": [
                {"student": t.student.name, "level": t.level, "final": t.final, "f1": t.scored.f1, **t.facts}
                for t in self.tried
            ],
            "seconds": self.seconds,
            "files": [str(path) for path in self.files],
            "notes": list(self.notes),
        }


def study_file(base: str, corpus: Ready, text: str | None, before: Sequence[Method], final: Tried, seed: int) -> Study:
    """The study that makes the dense tagger and the chosen student, and scores both."""
    blocks = [
        Block(arm=arm, steps=[to_json(step) for step in steps], grid={}, seeds=[seed])
        for arm, steps in (("dense", before), ("small", final.steps))
    ]
    told = {"name": f"small-{final.address[:12]}", "title": f"{final.student.summary}, made to a budget"}
    whole = told | {"base": base, "corpus": corpus.name, "split": corpus.scored, "recipes": blocks}
    return Study.model_validate(whole | ({"text": text} if text else {}))
