"""Students and the teachers they were distilled from, found by their recipes; pairs of students of two teachers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any

import numpy as np

from dinku.claims.compare import FLOOR, Difference, contrast
from dinku.claims.measurements import Measurements, Run, setting
from dinku.digests import canonical
from dinku.method import needs_of
from dinku.methods.registry import category_of, method_of
from dinku.scoring.significance import non_inferior


@dataclass(frozen=True)
class Distillation:
    """A student and its teacher, run by run with the same seed.

    The teacher of a recipe is the recipe up to its distillation: what was fine-tuned before, or where the student was
    distilled on text and then fine-tuned, the whole encoder fine-tuned.
    """

    method: str
    how: str  # the distillation but for its student, and what is trained after it, canonical
    student: tuple[Run, ...]
    teacher: tuple[Run, ...]
    untaught: tuple[Run, ...]  # what else was fine-tuned in the same setting, without a teacher

    @classmethod
    def all(cls, measurements: Measurements) -> tuple[list[Distillation], Exclusions]:
        """Every distillation whose teacher has been measured as well, in the order of their addresses; and what is left out."""
        found, excluded = [], Exclusions()
        quality = measurements.quality
        compared = {id(row) for comparable in quality.comparable for row in comparable.rows}
        recipes = {row.address: quality.steps(row) for row in quality.rows}
        taught = {address for address, steps in recipes.items() if steps.of_category("distillation")}
        for row in quality.rows:
            if row.address in taught and id(row) not in compared:
                excluded.add("another recipe goes by its name, or it was measured on other sentences", row.title)
        for comparable in quality.comparable:
            runs = comparable.runs
            whole = {run.address for run in runs}
            for row in comparable.rows:
                if row.address in taught and row.address not in whole:
                    excluded.add("not measured on every language", row.title, [row.seed])
            untaught = [r for r in runs if not _distillations(r)]
            for same in _by_steps([r for r in runs if _distillations(r)]):
                name = same[0].title
                if len(_distillations(same[0])) > 1:
                    excluded.add("distilled more than once", name)
                    continue
                ((at, method, fields),) = _distillations(same[0])
                own = {run.seed: run for run in same}
                if len(own) < len(same):
                    excluded.add("several runs of one seed, of which one is judged", name)
                # Of task-agnostic distillation the teacher has yet to be fine-tuned, as its student is.
                rest = same[0].steps[at + 1 :] if method == "DistilText" else []
                teachers = _teachers(own, same[0].steps[:at] + rest, untaught)
                if lone := own.keys() - teachers.keys():
                    excluded.add("no teacher measured with the same seed, data and text", name, sorted(lone))
                if seeds := sorted(own.keys() & teachers.keys()):
                    how = {k: v for k, v in fields.items() if k not in ("student", "layers")}
                    student, teacher = (tuple(of[seed] for seed in seeds) for of in (own, teachers))
                    alike = canonical([how, same[0].steps[at + 1 :]])
                    found.append(cls(method, alike, student, teacher, tuple(untaught)))
        return sorted(found, key=lambda distillation: distillation.student[0].address), excluded

    @property
    def parameters(self) -> tuple[int, int]:
        """The parameters of the student and those of the teacher."""
        return self.student[0].parameters, self.teacher[0].parameters

    @property
    def smaller(self) -> float:
        """The fraction of parameters that the student lacks."""
        student, teacher = self.parameters
        return 1 - student / teacher

    @property
    def f1_kept(self) -> float:
        """The student's F1 over its teacher's, the mean over seeds."""
        return float(np.mean([s.mean / max(t.mean, 1e-9) for s, t in zip(self.student, self.teacher, strict=True)]))

    @property
    def title(self) -> str:
        return self.student[0].title

    def loss(self) -> Difference:
        """The student minus its teacher."""
        return contrast(self.teacher, self.student)

    def chance_of_losing(self, points: float) -> float:
        """The p-value of the hypothesis that the student loses at least this many F1 points."""
        teacher, student = ([run.counts for run in of] for of in (self.teacher, self.student))
        return non_inferior(teacher, student, points / 100, draws=4000, average="languages").p_value

    @property
    def weak(self) -> str:
        """Why the teacher is too weak to measure a student by; empty where it isn't."""
        teacher = _average(self.teacher)
        if teacher < FLOOR:
            return f"its teacher has less than {FLOOR:g} F1"
        if teacher < _average(self.student):
            return "its teacher does worse than it"
        seeds = {run.seed for run in self.teacher}
        for same in _by_steps(r for r in self.untaught if r.linear < self.teacher[0].linear):
            if {r.seed for r in same} >= seeds and _average(same) > teacher:
                return "a smaller encoder without a teacher does better than its teacher"
        return ""

    @property
    def other(self) -> str:
        """Why the student isn't its teacher with smaller layers; empty where it is."""
        methods = map(method_of, _inner(self.student[0]))
        if any(method.own_vocabulary for method in methods if method):
            return "it has another vocabulary than its teacher"
        return "" if self.student[0].linear < self.teacher[0].linear else "its layers are as large as its teacher's"


@dataclass(frozen=True)
class Exclusions:
    """The recipes that aren't judged, by the reason; where only some seeds of a recipe aren't, these seeds too."""

    reasons: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, reason: str, name: str, seeds: Sequence[int] = ()) -> None:
        entry = f"{name}, seed {' '.join(map(str, seeds))}" if seeds else name
        if entry not in self.reasons[reason]:
            self.reasons[reason].append(entry)

    def copy(self) -> Exclusions:
        return Exclusions(defaultdict(list, {reason: [*names] for reason, names in self.reasons.items()}))

    def __str__(self) -> str:
        entries = (f"{'; '.join(sorted(names))} ({reason})" for reason, names in sorted(self.reasons.items()))
        return f"Left out: {'; '.join(entries)}." if self.reasons else ""


@dataclass(frozen=True)
class TeacherPair:
    """Students built alike, distilled and trained on alike, of a larger teacher and of a smaller one, with the same seeds."""

    large: Distillation
    base: Distillation
    at: Difference

    @classmethod
    def of(cls, large: Distillation, base: Distillation) -> TeacherPair | None:
        """None where no seed is common to both, or they are known to have read other content."""
        ours, theirs = ({run.seed: i for i, run in enumerate(distillation.student)} for distillation in (large, base))
        seeds = [
            seed
            for seed in sorted(ours.keys() & theirs.keys())
            if not _mixed(large.student[ours[seed]], base.student[theirs[seed]], ("train", "dev", "text"))
        ]
        if not seeds:
            return None
        one, other = (
            replace(
                distillation,
                student=tuple(distillation.student[i] for i in at),
                teacher=tuple(distillation.teacher[i] for i in at),
            )
            for distillation, at in ((large, [ours[s] for s in seeds]), (base, [theirs[s] for s in seeds]))
        )
        return cls(one, other, contrast(other.student, one.student))

    def __str__(self) -> str:
        return (
            f"The student of the teacher with {self.large.parameters[1] / 1e6:.1f} M parameters ({self.large.title}) minus that "
            f"of the one with {self.base.parameters[1] / 1e6:.1f} M ({self.base.title}): {self.at}. They keep "
            f"{100 * self.large.f1_kept:.1f} % and {100 * self.base.f1_kept:.1f} % of their teachers' F1."
        )


def teacher_pairs(distillations: Sequence[Distillation], excluded: Exclusions) -> list[TeacherPair]:
    """Every pair of students built alike, of the largest teacher and of the smallest, those with most seeds first; what makes
    no pair is added to ``left``."""
    groups: dict[Hashable, list[Distillation]] = defaultdict(list)
    for distillation in distillations:
        groups[
            (distillation.method, distillation.how, _construction(distillation.student[0]), *_data_of(distillation))
        ].append(distillation)
    found = []
    for group in groups.values():
        # Of several students of one teacher the one with most seeds, whatever its F1.
        group.sort(
            key=lambda distillation: (-len(distillation.student), distillation.title, distillation.student[0].address)
        )
        large, base = (pick(group, key=lambda distillation: distillation.parameters[1]) for pick in (max, min))
        pair = TeacherPair.of(large, base) if large.parameters[1] > base.parameters[1] else None
        if pair:
            found.append(pair)
        for distillation in group:
            if pair is None:
                excluded.add("no such student of another teacher with the same seed, data and text", distillation.title)
            elif distillation not in (large, base):
                excluded.add("another such student is judged", distillation.title)
    return sorted(found, key=lambda pair: (-pair.at.seeds, pair.large.title, pair.base.title))


def _by_steps(runs: Iterable[Run]) -> list[list[Run]]:
    """Runs of equal steps together, the last address first: of a seed's the first one is kept."""
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda r: r.address, reverse=True):
        groups[canonical([run.steps, run.text])].append(run)
    return [groups[key] for key in sorted(groups)]


def _distillations(run: Run) -> list[tuple[int, str, dict[str, Any]]]:
    """Where a recipe distils, by what method, and its fields."""
    return [
        (i, name, fields) for i, (name, fields) in enumerate(run.recipe.pairs) if category_of(name) == "distillation"
    ]


def _inner(run: Run) -> list[dict[str, Any]]:
    """The methods that make a student."""
    return [each for _, _, fields in _distillations(run) for each in fields.get("student", ())]


def _teachers(students: Mapping[int, Run], rest: list[dict[str, Any]], untaught: Iterable[Run]) -> dict[int, Run]:
    """The run of each student's seed whose steps are ``rest``, the student's without the distillation; its training may differ.

    All are of one recipe: that with just the same training, or else the one with most seeds, and of these the best.
    """
    text = next(iter(students.values())).text if _reads_text(rest) else None
    found = []
    for same in _by_steps(untaught):
        own = {
            seed: run
            for run in same
            if (seed := run.seed) in students and not _mixed(run, students[seed], ("train", "dev"))
        }
        read = same[0].text
        if own and _surgery(same[0].steps) == _surgery(rest) and (text is None or read == text):
            exact = canonical(same[0].steps) == canonical(rest)
            found.append(((exact, len(own), _average([*own.values()])), own))
    return max(found, key=itemgetter(0), default=(None, {}))[1]


def _reads_text(steps: Iterable[dict[str, Any]]) -> bool:
    return any("text" in needs_of(method) for method in map(method_of, steps) if method)


def _consumed(run: Run, part: str) -> set[str]:
    """The fingerprints of what a run's trainings read as *train*, *dev* or *text*; empty if its rows don't record it."""
    return {t.consumes[part] for row in run.rows for t in row.trainings if part in t.consumes}


def _mixed(a: Run, b: Run, read: Iterable[str]) -> bool:
    """Whether two runs are known to have read other content under one name."""
    both = [(_consumed(a, part), _consumed(b, part)) for part in read]
    return any(mine and theirs and mine.isdisjoint(theirs) for mine, theirs in both)


def _surgery(steps: Iterable[dict[str, Any]]) -> str:
    """The steps in order; trainings are reduced to their names."""
    return canonical(
        [name if category_of(name) == "training" else {name: fields} for step in steps for name, fields in step.items()]
    )


def _construction(run: Run) -> str:
    """A student's construction, from its recipe and size: layers, heads, other surgery, and the number of weights."""
    layers, heads, other = 0, 0, list[Any]()
    steps = run.steps
    at = next((i for i, _, _ in _distillations(run)), len(steps))
    for name, fields in (pair for step in [*steps[:at], *_inner(run)] for pair in step.items()):
        if name == "KeepLayers":
            layers = fields.get("layers") or len(fields["keep"])
            if fields.get("layers"):
                other.append(fields.get("importance", "magnitude"))  # which JSON leaves out
        elif name == "RegroupHeads":
            heads = fields["heads"]
        elif category_of(name) == "start":
            layers, heads, other = fields.get("layers", 0), fields.get("heads", 0), [{name: fields}]
        elif category_of(name) not in ("training", "pretraining"):
            other.append({name: fields})
    return canonical([layers, heads, other, run.parameters, run.linear])


def _data_of(distillation: Distillation) -> tuple[Hashable, ...]:
    """What a student was trained and evaluated on, whatever its base."""
    run = distillation.student[0]
    text = run.text if _reads_text(run.steps) else None
    return (*setting(run.rows[0])[1:], text, tuple((row.language, row.fingerprint) for row in run.rows))


def _average(runs: Iterable[Run]) -> float:
    """Mean F1 over runs and languages."""
    return float(np.mean([run.mean for run in runs]))
