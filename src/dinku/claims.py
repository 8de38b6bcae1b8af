"""The paper's claims C1 to C7 (arXiv 2404.04759) as predicates over rows: holds, fails, undecided or not measured.

They are about text as it is in languages that were trained on; `dinku.questions` has the others.

A claim is judged by what recipes did, not by what their arms are called, so any study can be judged. Rows of different
bases, corpora or training aren't mixed: the largest set of rows that may be compared is judged, and named.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import takewhile
from operator import is_, itemgetter
from statistics import median, stdev
from typing import Any, Literal

import numpy as np

from dinku.recipe import canonical
from dinku.results import Results, Row
from dinku.score import Counts, Floats, Interval, paired

Judgement = Literal["holds", "fails", "undecided", "not measured"]
Order = Literal["dense", "before", "after", "after with recovery"]
Place = tuple[Order, float]  # when a recipe prunes, and to what sparsity

SAID = {
    "C1": 'Pruned before fine-tuning, a model is "fairly consistent with the dense model up to 60 %" sparsity.',
    "C2": "At high sparsity, pruning before fine-tuning is more stable and predictable than pruning after it.",
    "C3": "Distillation makes models 22–31 % smaller for about 1–2 % of average F1.",
    "C4": "A large teacher makes the best student overall; a base teacher passes on more of what it knows.",
    "C5": "LLM.int8() takes 64.08 % of the size and 52.3 % of the inference time for 4.7 % of average F1.",
    "C6": "LLM.int8() is generally better than dynamic quantization, in all languages.",
    "C7": "Inference time falls as sparsity rises, with a wide spread between languages.",
}
SAVED, FASTER, LOST = 0.62, 0.5, 0.047  # of size, time and F1: what C5 asks; the paper's are 0.6408, 0.477 and 0.047
MARGIN = 2.0  # F1 points: what "fairly consistent" is taken to mean
SEEDS = 3  # fewer say nothing about another seed, so nothing is judged by them
_ORDERS: dict[str, Order] = {"F+": "dense", "SF+": "before", "F+S": "after", "F+SF+": "after with recovery"}
DENSE: Place = ("dense", 0.0)
# What is done to an encoder before anything is trained or pruned makes another encoder of it, which is then the dense one.
_SHAPING = frozenset(
    [
        "TrimVocabulary",
        "FactorizeEmbeddings",
        "KeepLayers",
        "PruneHeads",
        "RegroupHeads",
        "NarrowFeedForward",
        "NarrowHidden",
    ]
)


@dataclass(frozen=True)
class Verdict:
    """What rows say about one claim. ``measured`` and ``interval`` are F1 points, but for C7, a ratio of times, Q2, a rank
    correlation, and N2 and N3, points of the percentage of F1 that is kept."""

    claim: str
    said: str
    verdict: Judgement
    measured: float | None
    interval: tuple[float, float] | None
    rows: tuple[str, ...]
    found: str

    def document(self) -> dict[str, Any]:
        return {
            "claim": self.claim,
            "verdict": self.verdict,
            "measured": self.measured,
            "interval": list(self.interval) if self.interval else None,
            "rows": list(self.rows),
            "said": self.said,
            "found": self.found,
        }


def judged(results: Results) -> list[Verdict]:
    """A verdict on each of these claims, in the paper's order."""
    rows = [row for row in results.rows() if row.seen and not row.perturbation]
    evidence = Evidence.of(rows, results)
    lessons, left = Lesson.all(rows, results)
    found = {
        "C1": _consistent(evidence),
        "C2": _stable(evidence),
        "C3": _cheap(lessons, left),
        "C4": _best_teacher(lessons, left),
        "C5": _smaller(Quantized.all(rows, results, "QuantizeLLMInt8", None), rows),
        "C6": _better(Quantized.all(rows, results, "QuantizeLLMInt8", "QuantizeDynamic")),
        "C7": _faster(rows),
    }
    return [found.get(claim) or unmeasured(claim, SAID[claim]) for claim in SAID]


@dataclass(frozen=True)
class Run:
    """One recipe with one seed, measured on every language."""

    rows: tuple[Row, ...]
    counts: Counts

    @property
    def address(self) -> str:
        return self.rows[0].address

    @cached_property
    def f1(self) -> dict[str, float]:
        """F1 in points, by language."""
        return {language: 100 * s.f1 for language, s in self.counts.by_language().items()}


_PARTED: deque[tuple[list[Row], list[list[Row]]]] = deque(maxlen=4)  # claims ask for the parts of the very same rows


def parts(rows: Iterable[Row]) -> list[list[Row]]:
    """Rows that may be compared: of one base, one corpus to train on, one to evaluate on, one split, perturbed alike.

    Those evaluated on what they were trained on come first, then the most.

    Where two recipes go by one name, as after a change to a study, their training parts them; where it doesn't, the
    commoner one is kept. Of each language the sentences that most rows are about are kept.
    """
    rows = list(rows)
    for known, found in _PARTED:
        if len(known) == len(rows) and all(map(is_, known, rows)):
            return [[*group] for group in found]
    groups = []
    for group in _grouped(rows, _setting):
        clashing = any(len({r.address for r in named}) > 1 for named in _grouped(group, _name))
        groups += _grouped(group, training) if clashing else [group]
    kept = []
    for group in groups:
        group = [r for named in _grouped(group, lambda r: (r.arm, canonical(r.values))) for r in most(named, _protocol)]
        spoken = _grouped(group, lambda r: (r.kind, r.language))
        kept.append([r for same in spoken for r in most(same, lambda r: r.fingerprint)])
    kept.sort(key=lambda g: (evaluated_on(g[0]) != trained_on(g[0]), -len(g)))
    _PARTED.append((rows, [[*group] for group in kept]))
    return kept


def whole_runs(rows: Iterable[Row], results: Results) -> list[Run]:
    """The runs that have been measured on every language that there are quality rows of."""
    quality = [r for r in rows if r.kind == "quality"]
    languages = {r.language for r in quality}
    runs = []
    for group in _grouped(quality, lambda r: r.address):
        if {r.language for r in group} == languages:
            group = sorted(group, key=lambda r: r.language)
            runs.append(Run(tuple(group), results.total(group)))
    return runs


def mean_f1(runs: Sequence[Run]) -> Interval:
    """Mean over languages and seeds, in points; its interval, over seeds and sentences, is that of the difference from finding
    nothing."""
    counts = [run.counts for run in runs]
    gold = np.array([1, 0, 0])
    nothing = replace(counts[0], default=counts[0].default * gold, strict=counts[0].strict * gold)
    found = paired([nothing], counts, average="languages")
    return Interval(*(100 * value for value in found[:3]))


def trained_on(row: Row) -> str:
    return str(row.recipe["corpus"])


def evaluated_on(row: Row) -> str:
    """The corpus that a row's sentences come from, without the notes on which of them they are."""
    return re.sub(r"( \(\d+ of \d+\))+$", "", row.corpus).removesuffix(f" ({row.language})")


def scope(rows: Iterable[Row]) -> str:
    """Sentences, never hiding that they are n of N, nor that they are the embedded sample's."""
    told = {(r.language, r.fingerprint): r for r in rows}.values()
    some, all_ = sum(r.sentences for r in told), sum(r.sentences_in_split for r in told)
    number = f"{some:,}" if some == all_ else f"{some:,} of {all_:,}"
    sample = " (the embedded sample, no real corpus)" if is_sample(told) else ""
    return f"{number} {' and '.join(sorted({r.split for r in told}))} sentences{sample}"


def is_sample(rows: Iterable[Row]) -> bool:
    """Whether the embedded sample was trained or evaluated on."""
    return any(name.startswith("sample:") for r in rows for name in (trained_on(r), evaluated_on(r)))


def order(recipe: dict[str, Any]) -> Place | None:
    """When a recipe prunes, and to what sparsity; ``None`` for recipes that do anything else as well.

    Steps that make another encoder of the base come first, if at all, and are no matter here (`shaping`). Zeros that a later
    fine-tuning gives up (``keep_zeros=False``) are no pruning; fine-tuning that prunes is something else.
    """
    steps = [next(iter(step.items())) for step in recipe["steps"][len(shaping(recipe)) :]]
    plain = {"FineTune": "F", "Sparsify": "S"}
    word = "".join(
        "?" if name == "FineTune" and fields.get("sparsity") else plain.get(name, "?") for name, fields in steps
    )
    sparsity = next((float(fields["sparsity"]) for name, fields in steps if name == "Sparsify"), 0.0)
    kept = all(fields.get("keep_zeros", True) for _, fields in steps[word.find("S") + 1 :])
    found = next((name for pattern, name in _ORDERS.items() if re.fullmatch(pattern, word)), None)
    return (found, sparsity) if found and (found == "dense" or (sparsity and kept)) else None


def shaping(recipe: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps that a recipe begins with and that make another encoder of its base."""
    return list(takewhile(lambda step: next(iter(step)) in _SHAPING, recipe["steps"]))


@dataclass(frozen=True)
class Compared:
    """F1 of one set of runs minus that of another, in points, over the seeds that both have."""

    seeds: int
    difference: float
    low: float
    high: float

    def __str__(self) -> str:
        seeds = "1 seed" if self.seeds == 1 else f"{self.seeds} seeds"
        return f"{self.difference:+.2f} [{self.low:+.2f}, {self.high:+.2f}] ({seeds})"


@dataclass(frozen=True)
class Evidence:
    """The runs that may be compared, by when they prune, to what sparsity, and seed; and how many rows that leaves out."""

    runs: dict[Place, dict[int, Run]]
    left_out: int

    @classmethod
    def of(cls, rows: Sequence[Row], results: Results) -> Evidence:
        """The largest set with one training; of each order its commonest recipe, all pruned in one way."""
        quality = [r for r in rows if r.kind == "quality"]
        known = [r for part in parts(quality)[:1] for r in part if order(r.recipe)]
        trained = most(known, training)
        way = {_pruning(r) for r in most([r for r in trained if _pruning(r)], _pruning)}
        chosen = []
        for same in _grouped([r for r in trained if _pruning(r) in {"", *way}], _when):
            chosen += most(same, _protocol)
        runs: dict[Place, dict[int, Run]] = defaultdict(dict)
        for run in whole_runs(chosen, results):
            if place := order(run.rows[0].recipe):
                runs[place][run.rows[0].seed] = run
        used = sum(len(run.rows) for seeds in runs.values() for run in seeds.values())
        return cls(dict(runs), len(quality) - used)

    def levels(self, which: Order) -> list[float]:
        return sorted(level for name, level in self.runs if name == which)

    def both(self, a: Place, b: Place) -> list[tuple[Run, Run]]:
        """The runs of both with the same seed."""
        left, right = self.runs.get(a, {}), self.runs.get(b, {})
        return [(left[seed], right[seed]) for seed in sorted(left.keys() & right.keys())]

    def compare(self, a: Place, b: Place) -> Compared | None:
        """``b`` minus ``a`` over seeds that both have, drawn again along with the sentences."""
        pairs = self.both(a, b)
        if not pairs:
            return None
        found = paired([x.counts for x, _ in pairs], [y.counts for _, y in pairs], average="languages")
        return Compared(len(pairs), *(100 * value for value in (found.difference, found.low, found.high)))


@dataclass(frozen=True)
class Lesson:
    """A student and what it was distilled from, run by run with the same seed.

    The teacher of a recipe is the recipe up to its distillation: what was fine-tuned before, or where the student was
    distilled on text and then fine-tuned, the whole encoder fine-tuned.
    """

    method: str
    how: str  # the distillation but for its student, and what is trained after it, canonical
    student: tuple[Run, ...]
    teacher: tuple[Run, ...]
    untaught: tuple[Run, ...]  # what else was fine-tuned in the same setting, without a teacher

    @classmethod
    def all(cls, rows: Iterable[Row], results: Results) -> tuple[list[Lesson], Left]:
        """Every distillation whose teacher has been measured, too, in the order of their addresses; and what is left out."""
        found, left = [], Left()
        quality = [r for r in rows if r.kind == "quality"]
        compared = parts(quality)
        for row in quality:
            if _taught(row) and not any(row in group for group in compared):
                left.add("another recipe goes by its name, or it was measured on other sentences", title(row))
        for group in compared:
            runs = whole_runs(group, results)
            whole = {run.address for run in runs}
            for row in group:
                if _taught(row) and row.address not in whole:
                    left.add("not measured on every language", title(row), [row.seed])
            untaught = [r for r in runs if not _distillations(r)]
            for same in _by_steps([r for r in runs if _distillations(r)]):
                name = title(same[0].rows[0])
                if len(_distillations(same[0])) > 1:
                    left.add("distilled more than once", name)
                    continue
                ((at, method, fields),) = _distillations(same[0])
                own = {run.rows[0].seed: run for run in same}
                if len(own) < len(same):
                    left.add("several runs of one seed, of which one is judged", name)
                # Of task-agnostic distillation the teacher has yet to be fine-tuned, as its student is.
                rest = _steps(same[0])[at + 1 :] if method == "DistilText" else []
                teachers = _teachers(own, _steps(same[0])[:at] + rest, untaught)
                if lone := own.keys() - teachers.keys():
                    left.add("no teacher measured with the same seed, data and text", name, sorted(lone))
                if seeds := sorted(own.keys() & teachers.keys()):
                    how = {k: v for k, v in fields.items() if k not in ("student", "layers")}
                    student, teacher = (tuple(of[seed] for seed in seeds) for of in (own, teachers))
                    alike = canonical([how, _steps(same[0])[at + 1 :]])
                    found.append(cls(method, alike, student, teacher, tuple(untaught)))
        return sorted(found, key=lambda lesson: lesson.student[0].address), left

    @property
    def parameters(self) -> tuple[int, int]:
        """Of the student and of the teacher."""
        return _parameters(self.student[0]), _parameters(self.teacher[0])

    @property
    def smaller(self) -> float:
        """The fraction of parameters that the student lacks."""
        student, teacher = self.parameters
        return 1 - student / teacher

    @property
    def kept(self) -> float:
        """The student's F1 over its teacher's, the mean over seeds."""
        return float(np.mean([_mean(s) / max(_mean(t), 1e-9) for s, t in zip(self.student, self.teacher, strict=True)]))

    @property
    def title(self) -> str:
        return title(self.student[0].rows[0])

    def loss(self) -> Compared:
        """The student minus its teacher."""
        return contrast(self.teacher, self.student)

    @property
    def weak(self) -> str:
        """Why the teacher is none to be measured by; empty where it is one."""
        teacher = _average(self.teacher)
        if teacher < _average(self.student):
            return "its teacher does worse than it"
        seeds = {run.rows[0].seed for run in self.teacher}
        for same in _by_steps(r for r in self.untaught if _linear(r) < _linear(self.teacher[0])):
            if {r.rows[0].seed for r in same} >= seeds and _average(same) > teacher:
                return "a smaller encoder without a teacher does better than its teacher"
        return ""

    @property
    def other(self) -> str:
        """Why the student isn't the teacher with less in its layers; empty where it is."""
        inner = [each for step in _inner(self.student[0]) for each in step.items()]
        if any(name == "TrimVocabulary" or fields.get("vocabulary") for name, fields in inner):
            return "it has another vocabulary than its teacher"
        return "" if _linear(self.student[0]) < _linear(self.teacher[0]) else "its layers are as large as its teacher's"


@dataclass(frozen=True)
class Left:
    """What isn't judged, by the reason why: titles, and where it is but some of its seeds, which."""

    reasons: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, reason: str, name: str, seeds: Sequence[int] = ()) -> None:
        told = f"{name}, seed {' '.join(map(str, seeds))}" if seeds else name
        if told not in self.reasons[reason]:
            self.reasons[reason].append(told)

    def copy(self) -> Left:
        return Left(defaultdict(list, {reason: [*names] for reason, names in self.reasons.items()}))

    def __str__(self) -> str:
        told = (f"{'; '.join(sorted(names))} ({reason})" for reason, names in sorted(self.reasons.items()))
        return f"Left out: {'; '.join(told)}." if self.reasons else ""


def title(row: Row) -> str:
    """The arm, and the grid's values."""
    values = " ".join(f"{key}={value}" for key, value in row.values.items())
    return f"{row.arm} {values}".strip()


def _steps(run: Run) -> list[dict[str, Any]]:
    return list(run.rows[0].recipe["steps"])


def _by_steps(runs: Iterable[Run]) -> list[list[Run]]:
    """Runs of equal steps together, in the order of their addresses."""
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda r: r.address, reverse=True):
        groups[canonical([_steps(run), run.rows[0].recipe.get("text")])].append(run)
    return [groups[key] for key in sorted(groups)]


def _distillations(run: Run) -> list[tuple[int, str, dict[str, Any]]]:
    """Where a recipe distils, by what method, and its fields."""
    names = ("Distil", "DistilText")
    return [(i, name, given) for i, step in enumerate(_steps(run)) for name, given in step.items() if name in names]


def _taught(row: Row) -> bool:
    return bool(_fields(row, "Distil") or _fields(row, "DistilText"))


def _inner(run: Run) -> list[dict[str, Any]]:
    """The methods that make a student."""
    return [each for _, _, fields in _distillations(run) for each in fields.get("student", ())]


def _teachers(students: Mapping[int, Run], rest: list[dict[str, Any]], untaught: Iterable[Run]) -> dict[int, Run]:
    """The run of each student's seed whose steps are ``rest``, the student's without the distillation; its training may differ.

    All are of one recipe: that with just the same training, or else the one with most seeds, and of these the best.
    """
    text = next(iter(students.values())).rows[0].recipe.get("text") if _reads_text(rest) else None
    found = []
    for same in _by_steps(untaught):
        own = {
            seed: run
            for run in same
            if (seed := run.rows[0].seed) in students and not _mixed(run, students[seed], ("train", "dev"))
        }
        read = same[0].rows[0].recipe.get("text")
        if own and _surgery(_steps(same[0])) == _surgery(rest) and (text is None or read == text):
            exact = canonical(_steps(same[0])) == canonical(rest)
            found.append(((exact, len(own), _average([*own.values()])), own))
    return max(found, key=itemgetter(0), default=(None, {}))[1]


def _reads_text(steps: Iterable[dict[str, Any]]) -> bool:
    each = [pair for step in steps for pair in step.items()]
    return any(name in ("Pretrain", "DistilText") or f.get("transfer") or f.get("vocabulary") for name, f in each)


def _consumed(run: Run, part: str) -> set[str]:
    """The fingerprints of what a run's trainings read as *train*, *dev* or *text*; none in rows that don't tell."""
    return {t.consumes[part] for row in run.rows for t in row.trainings if part in t.consumes}


def _mixed(a: Run, b: Run, read: Iterable[str]) -> bool:
    """Whether two runs are known to have read other content under one name."""
    both = [(_consumed(a, part), _consumed(b, part)) for part in read]
    return any(mine and theirs and mine.isdisjoint(theirs) for mine, theirs in both)


def _surgery(steps: Iterable[dict[str, Any]]) -> str:
    """Steps in order, those that train by their names alone."""
    return canonical(
        [name if name == "FineTune" else {name: fields} for step in steps for name, fields in step.items()]
    )


def _build(run: Run) -> str:
    """How a student is built, as far as its recipe and size tell: layers, heads, what else was done, and its weights."""
    layers, heads, other = 0, 0, list[Any]()
    steps = _steps(run)
    at = next((i for i, _, _ in _distillations(run)), len(steps))
    for name, fields in (pair for step in [*steps[:at], *_inner(run)] for pair in step.items()):
        if name == "KeepLayers":
            layers = len(fields["keep"])
        elif name == "RegroupHeads":
            heads = fields["heads"]
        elif name in ("StartFresh", "StartFrom"):
            layers, heads, other = fields.get("layers", 0), fields.get("heads", 0), [{name: fields}]
        elif name not in ("FineTune", "Pretrain"):
            other.append({name: fields})
    return canonical([layers, heads, other, _parameters(run), _linear(run)])


def _linear(run: Run) -> int:
    """The weights in the layers' matrices, whatever the vocabulary."""
    size = next((r.size for r in run.rows if r.size), None)
    return size.linear if size else 0


def _average(runs: Iterable[Run]) -> float:
    """Mean F1 over runs and languages."""
    return float(np.mean([_mean(run) for run in runs]))


def _parameters(run: Run) -> int:
    size = next((r.size for r in run.rows if r.size), None)
    return size.parameters if size else 0


def _mean(run: Run) -> float:
    return float(np.mean(list(run.f1.values())))


def contrast(first: Sequence[Run], second: Sequence[Run]) -> Compared:
    found = paired([r.counts for r in first], [r.counts for r in second], average="languages")
    return Compared(len(first), *(100 * value for value in (found.difference, found.low, found.high)))


def _nothing(claim: str, left: Left) -> Verdict | None:
    """Not measured, though there are rows that one might have taken for it."""
    if not left.reasons:
        return None
    return Verdict(claim, SAID[claim], "not measured", None, None, (), f"No row here measures it. {left}")


def _cheap(lessons: Sequence[Lesson], left: Left) -> Verdict | None:
    """C3: students at least 22 % smaller than their teacher (parameters), minus it, mean over languages of F1.

    Students are the teacher with less in its layers: none with another vocabulary, and none of a teacher that does worse than
    it, or than a smaller encoder that had no teacher. It holds where one of at most 33 % that has three seeds has an interval
    whose lower end is above −2 points, and fails where there are such students and each has its upper end below −2; else it
    is undecided. What is reported is the best of them, or where there is none the best of those that are smaller still.
    """
    left = left.copy()
    small = []
    for lesson in lessons:
        if reason := lesson.other or lesson.weak:
            left.add(reason, lesson.title)
        elif lesson.smaller < 0.22:
            left.add("less than 22 % smaller than its teacher", lesson.title)
        else:
            small.append((lesson, lesson.loss()))
    if not small:
        return _nothing("C3", left)
    meant = [(lesson, c) for lesson, c in small if lesson.smaller <= 0.33]
    enough = [(lesson, c) for lesson, c in meant if c.seeds >= SEEDS]
    at = max((c for _, c in enough or meant or small), key=lambda c: c.difference)
    verdict: Judgement = "undecided"
    if any(c.low > -MARGIN for _, c in enough):
        verdict = "holds"
    elif enough and len(enough) == len(meant) and all(c.high < -MARGIN for _, c in enough):
        verdict = "fails"
    each = "; ".join(f"{100 * lesson.smaller:.0f} % smaller ({lesson.title}) {c}" for lesson, c in small)
    told = [f"Students minus their teachers, F1 points: {each}.", spread_told(c for _, c in small)]
    if not enough:
        told.append(f"No student of 22 to 33 % fewer parameters has {SEEDS} seeds, too few to judge by.")
    return _told("C3", verdict, at, told, [lesson for lesson, _ in small], left)


@dataclass(frozen=True)
class Rivals:
    """Students built alike, distilled and trained on alike, of a larger teacher and of a smaller one, with the same seeds."""

    large: Lesson
    base: Lesson
    at: Compared

    @classmethod
    def of(cls, large: Lesson, base: Lesson) -> Rivals | None:
        """None where no seed is common to both, or they are known to have read other content."""
        ours, theirs = ({run.rows[0].seed: i for i, run in enumerate(lesson.student)} for lesson in (large, base))
        seeds = [
            seed
            for seed in sorted(ours.keys() & theirs.keys())
            if not _mixed(large.student[ours[seed]], base.student[theirs[seed]], ("train", "dev", "text"))
        ]
        if not seeds:
            return None
        one, other = (
            replace(lesson, student=tuple(lesson.student[i] for i in at), teacher=tuple(lesson.teacher[i] for i in at))
            for lesson, at in ((large, [ours[s] for s in seeds]), (base, [theirs[s] for s in seeds]))
        )
        return cls(one, other, contrast(other.student, one.student))

    @property
    def verdict(self) -> Judgement:
        more = self.base.kept > self.large.kept
        if self.at.seeds < SEEDS:
            return "undecided"
        if self.at.low > 0 and more:
            return "holds"
        return "fails" if self.at.high < 0 or (self.at.low > 0 and not more) else "undecided"

    def __str__(self) -> str:
        return (
            f"The student of the teacher with {self.large.parameters[1] / 1e6:.1f} M parameters ({self.large.title}) minus that "
            f"of the one with {self.base.parameters[1] / 1e6:.1f} M ({self.base.title}): {self.at}. They keep "
            f"{100 * self.large.kept:.1f} % and {100 * self.base.kept:.1f} % of their teachers' F1."
        )


def rivals(lessons: Sequence[Lesson], left: Left) -> list[Rivals]:
    """Every pair of students built alike, of the largest teacher and of the smallest, those with most seeds first; what makes
    no pair is added to ``left``."""
    groups: dict[Hashable, list[Lesson]] = defaultdict(list)
    for lesson in lessons:
        groups[(lesson.method, lesson.how, _build(lesson.student[0]), *_sight(lesson))].append(lesson)
    found = []
    for group in groups.values():
        # Of several students of one teacher the one with most seeds, whatever its F1.
        group.sort(key=lambda lesson: (-len(lesson.student), lesson.title, lesson.student[0].address))
        large, base = (pick(group, key=lambda lesson: lesson.parameters[1]) for pick in (max, min))
        pair = Rivals.of(large, base) if large.parameters[1] > base.parameters[1] else None
        if pair:
            found.append(pair)
        for lesson in group:
            if pair is None:
                left.add("no such student of another teacher with the same seed, data and text", lesson.title)
            elif lesson not in (large, base):
                left.add("another such student is judged", lesson.title)
    return sorted(found, key=lambda pair: (-pair.at.seeds, pair.large.title, pair.base.title))


def _best_teacher(lessons: Sequence[Lesson], left: Left) -> Verdict | None:
    """C4: students built alike and distilled alike, of the largest teacher minus those of the smallest, mean F1.

    Two students make a pair where they have the same layers, heads and weights, the same distillation but for which layers they
    were cut from, the same training after it, data and text; their runs are paired by seed. A pair holds where it has three
    seeds, the interval lies above 0 and the smaller teacher's student keeps a larger part of its teacher's F1, and fails where
    the interval lies below 0, or that part is smaller. The claim holds or fails where all pairs of most seeds do, else it is
    undecided; what is reported is the first of these.
    """
    left = left.copy()
    found = rivals(lessons, left)
    if not found:
        return _nothing("C4", left)
    judged = [pair for pair in found if pair.at.seeds == found[0].at.seeds]
    verdicts = {pair.verdict for pair in judged}
    told = [" ".join(map(str, found)), spread_told(pair.at for pair in found)]
    if found[0].at.seeds < SEEDS:
        told.append(f"They have fewer than {SEEDS} seeds, too few to judge by.")
    verdict: Judgement = verdicts.pop() if len(verdicts) == 1 else "undecided"
    return _told(
        "C4", verdict, found[0].at, told, [lesson for pair in found for lesson in (pair.large, pair.base)], left
    )


def _sight(lesson: Lesson) -> tuple[Hashable, ...]:
    """What a student was trained and evaluated on, whatever its base."""
    run = lesson.student[0]
    text = run.rows[0].recipe.get("text") if _reads_text(_steps(run)) else None
    return (*_setting(run.rows[0])[1:], text, tuple((row.language, row.fingerprint) for row in run.rows))


def _told(
    claim: str, verdict: Judgement, at: Compared, told: Sequence[str], lessons: Sequence[Lesson], left: Left
) -> Verdict:
    runs = {run.address: run for lesson in lessons for run in (*lesson.student, *lesson.teacher)}
    rows = [row for address in sorted(runs) for row in runs[address].rows]
    found = " ".join(filter(None, [*told, provenance(rows, 0), str(left)]))
    return Verdict(claim, SAID[claim], verdict, at.difference, (at.low, at.high), tuple(sorted(runs)), found)


@dataclass(frozen=True)
class Quantized:
    """Taggers quantized by one recipe, and what they are held against, run by run with the same seed: what they were made
    from, or the same quantized otherwise."""

    first: tuple[Run, ...]
    second: tuple[Run, ...]

    @classmethod
    def all(cls, rows: Iterable[Row], results: Results, method: str, other: str | None) -> list[Quantized]:
        """Recipes that end in ``method``, beside those that end in ``other`` instead, or in the step before.

        Those with most seeds come first, then those that were only fine-tuned before.
        """
        found: dict[tuple[str, str], list[tuple[Run, Run]]] = defaultdict(list)
        for group in parts(r for r in rows if r.kind == "quality"):
            runs = whole_runs(group, results)
            known: dict[tuple[str, int], list[Run]] = defaultdict(list)
            for run in runs:
                if other is None or _last(run) == other:
                    known[canonical(_steps(run)[: len(_steps(run)) - (other is not None)]), run.rows[0].seed].append(
                        run
                    )
            for run in runs:
                before = canonical(_steps(run)[:-1])
                if _last(run) == method and (beside := known.get((before, run.rows[0].seed))):
                    found[before, canonical(_steps(run)[-1])].append((beside[0], run))
        pairs = [cls(tuple(a for a, _ in p), tuple(b for _, b in p)) for _, p in sorted(found.items())]
        return sorted(pairs, key=lambda q: (-len(q.second), len(_steps(q.second[0]))))

    def difference(self) -> Compared:
        return contrast(self.first, self.second)

    def verdict(self, claim: str, verdict: Judgement, told: Sequence[str]) -> Verdict:
        at = self.difference()
        rows = [row for run in (*self.first, *self.second) for row in run.rows]
        addresses = tuple(sorted({row.address for row in rows}))
        found = " ".join([*told, provenance(rows, 0)])
        return Verdict(claim, SAID[claim], verdict, at.difference, (at.low, at.high), addresses, found)


def _last(run: Run) -> str:
    return next(iter(_steps(run)[-1])) if _steps(run) else ""


def _smaller(quantized: Sequence[Quantized], rows: Sequence[Row]) -> Verdict | None:
    """C5: taggers after `QuantizeLLMInt8` beside what they were made from: bytes on disk, time, mean F1.

    It holds where at least 62 % of the bytes go, the interval of the median ratio of times lies at or below a half, and, with
    three seeds, the lower end of the change in F1 is above −4.7 % of F1. It fails where fewer bytes go, the ratio's
    interval lies above a half, or with three seeds the upper end is below −4.7 %; else, or where there is no time, it is
    undecided. The ratio's interval is from 1000 draws of points, a language and a seed each, on one machine.
    """
    if not quantized:
        return None
    pair = quantized[0]
    at, dense = pair.difference(), float(np.mean([_mean(run) for run in pair.first]))
    limit, enough = -LOST * dense, at.seeds >= SEEDS
    sizes = [(_bytes(a), _bytes(b)) for a, b in zip(pair.first, pair.second, strict=True)]
    saved = min((1 - b / a for a, b in sizes if a and b), default=None)
    made = {(b.address, a.address) for a, b in zip(pair.first, pair.second, strict=True)}
    timed = [r for r in rows if r.latency and (r.address, r.latency.reference) in made]
    timed = most(timed, lambda r: r.environment.machine)
    time, (low, high) = _median(np.array([ratio(r) for r in timed])) if timed else (None, (0.0, 1.0))
    bad = saved is not None and saved < SAVED, time is not None and low > FASTER, enough and at.high < limit
    good = saved is not None and saved >= SAVED, time is not None and high <= FASTER, enough and at.low > limit
    verdict: Judgement = "fails" if any(bad) else "holds" if all(good) else "undecided"
    told = [f"LLM.int8() minus the same tagger before it, F1 points: {at}, of {dense:.2f}.", spread_told([at])]
    if saved is not None:
        a, b = next((a, b) for a, b in sizes if a and b)
        told.insert(0, f"{100 * saved:.1f} % smaller on disk, {a / 1e6:.1f} to {b / 1e6:.1f} MB.")
    if time is None:
        told.append("Its time hasn't been measured.")
    else:
        where = timed[0].environment
        told.append(
            f"Time over the time before it: {time:.3f} [{low:.3f}, {high:.3f}], {number(len(timed), 'point')} on one "
            f"machine ({where.cpu}, {number(where.threads, 'thread')})."
        )
    if not enough:
        told.append(f"It has fewer than {SEEDS} seeds, too few to judge F1 by.")
    return pair.verdict("C5", verdict, told)


def _bytes(run: Run) -> int:
    return next((r.size.bytes_disk for r in run.rows if r.size), 0)


def _median(points: Floats) -> tuple[float, tuple[float, float]]:
    """The median and its bootstrap interval."""
    drawn = np.random.default_rng(0).integers(0, len(points), (1000, len(points)))
    low, high = np.quantile(np.median(points[drawn], axis=1), [0.025, 0.975])
    return float(np.median(points)), (float(low), float(high))


def _better(quantized: Sequence[Quantized]) -> Verdict | None:
    """C6: the same taggers after `QuantizeLLMInt8` minus after `QuantizeDynamic`, mean over languages of F1, three seeds.

    It holds where the interval lies above 0 and each language's difference, the mean over seeds, does, too; it fails where
    the interval lies below 0, or one language's does; else it is undecided.
    """
    if not quantized:
        return None
    pair = quantized[0]
    at, enough = pair.difference(), len(pair.second) >= SEEDS
    by = {}
    for language in sorted(pair.second[0].f1):
        alone = [[run.counts.only(language) for run in runs] for runs in (pair.first, pair.second)]
        found = paired(*alone, average="languages")
        by[language] = Compared(at.seeds, *(100 * value for value in (found.difference, found.low, found.high)))
    verdict: Judgement = "undecided"
    if enough and at.low > 0 and all(c.difference > 0 for c in by.values()):
        verdict = "holds"
    elif enough and (at.high < 0 or any(c.high < 0 for c in by.values())):
        verdict = "fails"
    least = min(by, key=lambda language: by[language].difference)
    ahead = sum(c.difference > 0 for c in by.values())
    told = [
        f"LLM.int8() minus dynamic, F1 points: {at}; ahead in {ahead} of {number(len(by), 'language')}, least in {least}: "
        f"{by[least]}.",
        spread_told([at]),
    ]
    if not enough:
        told.append(f"They have fewer than {SEEDS} seeds, too few to judge by.")
    return pair.verdict("C6", verdict, told)


def _consistent(evidence: Evidence) -> Verdict | None:
    """C1: *before* at s against *dense*, mean over languages of F1, at every measured s in (0, 0.6].

    It holds where at each of them the interval's lower end is above −2 points, and fails where at one of them that has
    three seeds in both the upper end is below −2; else, or where 60 % itself has fewer than three seeds in both, it is
    undecided. What is reported is the difference at 60 %.
    """
    pairs: dict[float, tuple[Place, Place]] = {s: (DENSE, ("before", s)) for s in evidence.levels("before") if s <= 0.6}
    compared = {s: c for s, (a, b) in pairs.items() if (c := evidence.compare(a, b))}
    if not compared:
        return None
    at = compared.get(0.6)
    enough = at is not None and at.seeds >= SEEDS
    verdict: Judgement = "undecided"
    if enough and all(c.low > -MARGIN for c in compared.values()):
        verdict = "holds"
    elif enough and any(c.high < -MARGIN and c.seeds >= SEEDS for c in compared.values()):
        verdict = "fails"
    told = [
        f"Before minus dense, F1 points, margin {MARGIN:g}: {levels_told(compared)}.",
        spread_told(compared.values()),
    ]
    if not enough:
        told.append(f"60 % has fewer than {SEEDS} seeds in both, too few to judge by.")
    return _verdict("C1", verdict, at, told, evidence, [pairs[s] for s in compared])


def _stable(evidence: Evidence) -> Verdict | None:
    """C2: *before* minus *after*, mean over languages of F1, at each measured s of at least 0.7.

    Mean F1 stands in for "stable and predictable"; the spread over languages and seeds is told beside it.

    Judged at the highest of them that has three seeds in both: it holds where the interval's lower end is above 0,
    fails where the upper end is below 0, else it is undecided. Where none has three seeds it is undecided, and the
    highest is reported.
    """
    pairs: dict[float, tuple[Place, Place]] = {
        s: (("after", s), ("before", s)) for s in evidence.levels("before") if s >= 0.7
    }
    compared = {s: c for s, (a, b) in pairs.items() if (c := evidence.compare(a, b))}
    if not compared:
        return None
    enough = [s for s, c in compared.items() if c.seeds >= SEEDS]
    level = max(enough or compared)
    at = compared[level]
    verdict: Judgement = "undecided"
    if enough and at.low > 0:
        verdict = "holds"
    elif enough and at.high < 0:
        verdict = "fails"
    told = [f"Before minus after, F1 points: {levels_told(compared)}.", spread_told(compared.values())]
    if not enough:
        told.append(f"No level has {SEEDS} seeds in both, too few to judge by.")
    before, after = _spread(evidence, ("before", level)), _spread(evidence, ("after", level))
    if before is not None and after is not None:
        what = f"Standard deviation of the loss against dense at {percent(level)}, over languages and seeds"
        told.append(f"{what}: before {before:.2f}, after {after:.2f}.")
    recovered: Place = ("after with recovery", level)
    used = [pairs[s] for s in compared]
    if gain := evidence.compare(("before", level), recovered):
        told.append(f"After with recovery, at as many epochs, minus before at {percent(level)}: {gain}.")
        used.append((("before", level), recovered))
    used += [(DENSE, ("before", level)), (DENSE, ("after", level))]
    return _verdict("C2", verdict, at, told, evidence, used)


def _spread(evidence: Evidence, place: Place) -> float | None:
    pairs = evidence.both(DENSE, place)
    losses = [dense.f1[language] - f1 for dense, run in pairs for language, f1 in run.f1.items()]
    return stdev(losses) if len(losses) > 1 else None


def _faster(rows: Sequence[Row]) -> Verdict | None:
    """C7: the time of a pruned tagger over that of the dense one, on one machine.

    A point is a language and a recipe: the median over rounds of that ratio, against the sparsity measured in the
    linear layers. The slope is that of least squares, its interval from 1000 draws of points; the noise band holds 95 %
    of the ratios, over all rounds and points, of the dense tagger to itself. It holds where the slope's interval lies
    below 0 and the median ratio of the points of at least 90 % below the band; fails where that median is within or
    above the band; else, or where there is no point of 90 %, it is undecided. What is reported is the slope, the change
    of the ratio from 0 to 100 %.
    """
    timed = [r for r in rows if r.latency and (place := order(r.recipe)) and place[0] != "dense"]
    if not timed:
        return None
    here = most(parts(timed)[0], lambda r: r.environment.machine)
    measured = {r.address: r.size.sparsity for r in rows if r.size}
    x = np.array([measured.get(r.address, pruned_to(r)) for r in here])
    y = np.array([ratio(r) for r in here])
    low, high = noise(here)
    slope, interval = _slope(x, y)
    sparse = np.round(x, 3) >= 0.9
    top = float(np.median(y[sparse])) if sparse.any() else None
    verdict: Judgement = "undecided"
    if top is not None and top >= low:
        verdict = "fails"
    elif top is not None and interval and interval[1] < 0:
        verdict = "holds"
    told = [f"The dense tagger against itself: {low:.3f} to {high:.3f}."]
    if interval:
        ends = f"[{interval[0]:+.3f}, {interval[1]:+.3f}]"
        told.insert(0, f"Slope of time over dense time against sparsity: {slope:+.3f} {ends}.")
    if top is None:
        told.append("No recipe of at least 90 % has been timed.")
    else:
        by = {
            name: float(np.median([v for v, at, r in zip(y, sparse, here, strict=True) if at and r.language == name]))
            for name in sorted({r.language for r, at in zip(here, sparse, strict=True) if at})
        }
        least, highest = min(by, key=by.__getitem__), max(by, key=by.__getitem__)
        told.append(
            f"Median ratio at 90 % and more: {top:.3f}, from {by[least]:.3f} ({least}) to {by[highest]:.3f} ({highest})."
        )
    environment = here[0].environment
    told.append(f"{len(here)} points on one machine ({environment.cpu}, {number(environment.threads, 'thread')}).")
    found = " ".join([*told, provenance(here, sum(r.kind == "latency" for r in rows) - len(here))])
    return Verdict("C7", SAID["C7"], verdict, slope, interval, tuple(sorted({r.address for r in here})), found)


def _slope(x: Floats, y: Floats) -> tuple[float | None, tuple[float, float] | None]:
    """The least-squares slope and its bootstrap interval; none where ``x`` is but one value."""
    if len(set(x)) < 2:
        return None, None
    drawn = np.random.default_rng(0).integers(0, len(x), (1000, len(x)))
    at = np.concatenate([np.arange(len(x))[None], drawn])
    across, along = x[at] - x[at].mean(1, keepdims=True), y[at] - y[at].mean(1, keepdims=True)
    spread = (across**2).sum(1)
    slopes = (across * along).sum(1)[spread > 0] / spread[spread > 0]  # a draw of one sparsity has none
    low, high = np.quantile(slopes[1:], [0.025, 0.975])
    return float(slopes[0]), (float(low), float(high))


def ratio(row: Row) -> float:
    """The median over rounds of time over the dense tagger's time."""
    assert row.latency is not None
    return median(a / b for a, b in zip(row.latency.subject, row.latency.dense, strict=True))


def noise(rows: Iterable[Row]) -> tuple[float, float]:
    """The band that holds 95 % of the ratios of the dense tagger's time to its own."""
    ratios = [a / b for r in rows if r.latency for a, b in zip(r.latency.again, r.latency.dense, strict=True)]
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)


def pruned_to(row: Row) -> float:
    """The sparsity that a recipe asks for."""
    place = order(row.recipe)
    return place[1] if place else 0.0


def percent(sparsity: float) -> str:
    return f"{100 * sparsity:.4g} %"


def unmeasured(claim: str, said: str) -> Verdict:
    return Verdict(claim, said, "not measured", None, None, (), "No row here measures it.")


def _verdict(
    claim: str,
    verdict: Judgement,
    at: Compared | None,
    told: Sequence[str],
    evidence: Evidence,
    pairs: Sequence[tuple[Place, Place]],
) -> Verdict:
    runs = {run.address: run for a, b in pairs for pair in evidence.both(a, b) for run in pair}
    rows = [row for address in sorted(runs) for row in runs[address].rows]
    interval = (at.low, at.high) if at else None
    found = " ".join([*told, provenance(rows, evidence.left_out)])
    return Verdict(claim, SAID[claim], verdict, at.difference if at else None, interval, tuple(sorted(runs)), found)


def levels_told(compared: dict[float, Compared]) -> str:
    return "; ".join(f"{percent(s)} {c}" for s, c in sorted(compared.items(), reverse=True))


def spread_told(compared: Iterable[Compared]) -> str:
    """How the intervals were made, said of what there is."""
    said = "Intervals of 95 % are over seeds and over sentences within languages"
    if all(c.seeds >= SEEDS for c in compared):
        return f"{said}."
    return f"{said}; with 2 seeds they say little about another seed, and with 1, being over sentences alone, nothing."


def provenance(rows: Sequence[Row], left_out: int) -> str:
    """On what encoder, corpus, languages and seeds."""
    first = min(rows, key=lambda r: r.address)
    languages, seeds = sorted({r.language for r in rows}), len({r.seed for r in rows})
    base, shapes = str(first.recipe["base"]), [shaping(row.recipe) for row in rows]
    # What all begin with is the encoder they are about; what only some do is what they are compared in.
    made = ", ".join(next(iter(step)) for step in shapes[0] if all(step in shape for shape in shapes))
    other = "" if "afriberta" in base.lower() else ", another encoder than the paper's AfriBERTa"
    evaluated = "" if evaluated_on(first) == trained_on(first) else f", evaluated on {evaluated_on(first)}"
    said = (
        f"Measured on {base} (sha256 {first.base_digest[:12]}){made and f' after {made}'}{other}, "
        f"trained on {trained_on(first)}{evaluated}: "
        f"{', '.join(languages)}; {scope(rows)}; {number(seeds, 'seed')}."
    )
    if left_out:
        said += f" {number(left_out, 'row')} of other bases, corpora, machines, recipes or unfinished runs left out."
    return said


def number(n: int, thing: str) -> str:
    return f"{n:,} {thing}" if n == 1 else f"{n:,} {thing}s"


def _grouped(rows: Iterable[Row], key: Callable[[Row], Hashable]) -> list[list[Row]]:
    """Rows of one key together, keys in the order of their text, whatever the order of rows."""
    groups: dict[Hashable, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return [groups[k] for k in sorted(groups, key=str)]


def most(rows: Iterable[Row], key: Callable[[Row], Hashable]) -> list[Row]:
    """The rows of the commonest key."""
    return max(_grouped(rows, key), key=len, default=[])


def _setting(row: Row) -> tuple[str, ...]:
    label_on = str(row.recipe.get("label_on", "first"))
    return row.base_digest, trained_on(row), evaluated_on(row), row.split, label_on, row.perturbation


def _when(row: Row) -> Hashable:
    place = order(row.recipe)
    return place and place[0]


def _name(row: Row) -> Hashable:
    return row.arm, canonical(row.values), row.seed


def _fields(row: Row, method: str) -> list[dict[str, Any]]:
    return [fields for step in row.recipe["steps"] for name, fields in step.items() if name == method]


def training(row: Row) -> str:
    """Of what encoder, how the first fine-tuning was done, and the epochs of all of them."""
    trainings = _fields(row, "FineTune")
    first = {key: value for key, value in (trainings or [{}])[0].items() if key not in ("epochs", "tags")}
    return canonical([shaping(row.recipe), first, sum(fields.get("epochs", 0) for fields in trainings)])


def _pruning(row: Row) -> str:
    """In what way weights are pruned; empty for what isn't."""
    ways = [{k: v for k, v in fields.items() if k != "sparsity"} for fields in _fields(row, "Sparsify")]
    return canonical(ways) if ways else ""


def _protocol(row: Row) -> str:
    """The steps, but for the sparsity."""
    return canonical(
        [
            [name, {k: v for k, v in fields.items() if k not in ("sparsity", "tags")}]
            for step in row.recipe["steps"]
            for name, fields in step.items()
        ]
    )
