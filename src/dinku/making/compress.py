"""A tagger, a corpus and a budget → one bundle: planned, searched, chosen on dev, and scored on test once.

What candidates share is made once, as each of them is a recipe of a study in the store: a search that was killed goes on when the
same is asked again, and a longer one finds what a shorter one made. Optuna proposes students; short distillations weed them out.
"""

from __future__ import annotations

import os
import time as clock
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from dinku import machine
from dinku.data import learned, sources
from dinku.data.corpus import Corpus
from dinku.data.task import TASKS
from dinku.data.unlabelled import Text
from dinku.errors import DinkuError, plural
from dinku.making import corpora, outcome
from dinku.making.budget import Budget, facts, quantity
from dinku.making.costs import Costs, Engine, families_of, measured, progress_of, tokenizer_bytes, units_of
from dinku.making.outcome import Compressed, Tried
from dinku.making.plan import ROOM, Effort, Plan, misfit
from dinku.making.students import Student, every, space, student_of
from dinku.making.table import Scored
from dinku.making.train import runner_of, study_of
from dinku.method import Data, Method, Planned
from dinku.methods.finetune import FineTune
from dinku.methods.quantize import Quantize
from dinku.model.folder import ModelFolder
from dinku.model.inspect import disk_bytes
from dinku.model.labels import check_task
from dinku.model.sentence_tagger import SentenceTagger
from dinku.nn.loading import open_tagger
from dinku.progress import Progress, silent
from dinku.serving.bench import bench
from dinku.settings import home
from dinku.study.run import Runner

TIMED = 48  # dev sentences on which the last students are timed
FEWEST = 100  # train sentences that int8 is calibrated on
_CARD = 4000  # bytes by which the card of a bundle grows, once it is chosen
_ASKED = 300  # how often Optuna is asked before any student that is left is taken
_LATE = 1.05  # of the time, after which a training is stopped, if there is a bundle to end with
_TOLERANCE = 0.02  # the F1 (of 1) that int8 may cost a student which can't keep to Quantize's own
_MORE = 3  # students that are made int8 at the most before a budget is given up


class BudgetMissed(DinkuError):
    """No student keeps the budget. ``nearest`` is the one that comes nearest, ``None`` where none can even be made."""

    def __init__(self, problem: str, *, remedy: str, nearest: Tried | None, plan: Plan) -> None:
        super().__init__(problem, where="budget", remedy=remedy, status=1)
        self.nearest, self.plan = nearest, plan


class _Late(BaseException):
    """The time is over, while there is something to end with. No step that catches failures takes it for one."""


@dataclass(frozen=True)
class Asked:
    """What a search is asked: see `compress`."""

    base: str
    corpus: corpora.Ready
    budget: Budget
    text: str | None
    time: float | None
    effort: Effort
    runtime: Engine
    seed: int
    threads: int
    device: str
    store: str | None
    began: float = field(default_factory=clock.monotonic, compare=False)

    @property
    def spent(self) -> float:
        return clock.monotonic() - self.began

    @property
    def left(self) -> float:
        return float("inf") if self.time is None else self.time - self.spent


def asked(
    model: str | os.PathLike[str] | SentenceTagger,
    corpus: str | os.PathLike[str],
    budget: Budget | None = None,
    *,
    text: str | os.PathLike[str] | None = None,
    time: str | float | None = None,
    effort: Effort = "default",
    runtime: Engine = "onnxruntime",
    seed: int = 0,
    dev: float = 0.1,
    threads: int | None = None,
    device: str = "cpu",
    store: str | os.PathLike[str] | None = None,
) -> Asked:
    """What `compress` is asked, checked as far as that goes without reading the model."""
    began = clock.monotonic()
    for name, value, known in (
        ("effort", effort, ("quick", "default", "thorough")),
        ("runtime", runtime, ("onnxruntime", "openvino")),
    ):
        if value not in known:
            raise DinkuError(f"is {value!r}", where=name, remedy=f"choose of {', '.join(known)}")
    given = corpora.ready(corpus, part=dev, seed=seed)
    return Asked(
        base=_named(model),
        corpus=given,
        budget=budget or Budget(),
        text=None if text is None else os.fspath(text),
        time=None if time is None else quantity(time, "time", where="time"),
        effort=effort,
        runtime=runtime,
        seed=seed,
        threads=threads or machine.available_threads(),
        device=device,
        store=None if store is None else os.fspath(store),
        began=began,
    )


def _named(model: str | os.PathLike[str] | SentenceTagger) -> str:
    """The name of a model; a tagger in memory is saved in `home` first, by its digest."""
    if isinstance(model, str | os.PathLike):
        return os.fspath(model)
    folder = home() / "made" / f"model-{model.digest[:24]}"
    if not folder.is_dir():
        model.save(folder)
    return str(folder)


def planned(what: Asked, progress: Progress = silent) -> Plan:
    """Plan a search: read the model, measure this machine, and see which students keep the limits of size and speed.

    Nothing is trained. Raises `DinkuError` for a model and a corpus that don't go together.
    """
    folder = ModelFolder.of(what.base)
    if folder.is_bundle:
        remedy = "name the tagger that it was made from"
        raise DinkuError("is a bundle, which a search can't start from", where=what.base, remedy=remedy)
    base = open_tagger(folder, threads=what.threads)
    data = Data(sources.load(what.corpus.name, "train"), sources.load(what.corpus.name, "dev"))
    assert data.train
    assert data.dev
    if len(data.train) < FEWEST:
        problem = f"has {plural(len(data.train), 'train sentence')}, too few to compress with"
        remedy = f"int8 is calibrated on {FEWEST} or more: tag more sentences, or export the tagger in fp32"
        raise DinkuError(problem, where=what.corpus.asked, remedy=remedy)
    from dinku.export import gate

    if data.dev.words < gate.FEWEST:
        problem = f"has {plural(data.dev.words, 'word')} in dev, too few to choose and to hold int8 to"
        remedy = f"give dev {gate.FEWEST} words or more, or set more aside with --dev"
        raise DinkuError(problem, where=what.corpus.asked, remedy=remedy)
    notes = list(what.corpus.notes)
    before: tuple[Method, ...] = ()
    teacher = base
    if base.tags:
        _check_labels(base, data, what)
    else:
        step = FineTune(select="best").resolve(Planned(cast(Any, base.shape)), data)
        task = TASKS[step.task]
        before, teacher = (step,), cast(Any, base).headed(step.tags, seed=what.seed, task=task)
        notes.append(f"{what.base} has no tags: it is fine-tuned on {what.corpus.asked} first")
    families = families_of(base.scheme.terminal, teacher.shape)
    if families == ("words",):
        notes.append(f"{what.base} is quantized or a word network, which can teach word networks alone")
    text, longer = _text(what, data.train, notes)
    timings = measured(teacher, data, families, engine=what.runtime, threads=what.threads, progress=progress)
    some = data.train.sample(200, 0)
    units = {"words": some.words / len(some)}
    if "transformer" in families:
        units["transformer"] = units_of(teacher, [s.words for s in some])
    scored = len(sources.load(what.corpus.name, what.corpus.scored))
    costs = Costs(
        timings, units, tokenizer_bytes(folder), train=len(data.train), dev=len(data.dev), scored=scored, longer=longer
    )
    students = tuple(every(teacher.shape, families))
    plan = Plan(
        budget=what.budget,
        teacher=teacher.shape,
        before=before,
        families=families,
        costs=costs,
        data=data,
        text=text,
        students=students,
        fitting=tuple(s for s in students if not misfit(what.budget, costs, s)),
        effort=what.effort,
        time=what.time,
        spent=what.spent,
        notes=tuple(notes),
    )
    if what.time is not None and plan.spent + plan.seconds > what.time:
        told = f"about {plan.seconds / 60:.0f} min are needed at the least, more than --time leaves"
        plan = replace(plan, notes=(*plan.notes, told))
    return plan


def _check_labels(base: SentenceTagger, data: Data, what: Asked) -> None:
    """Raise `DinkuError` where a corpus has labels that a tagger doesn't know."""
    check_task(base.task, cast(Corpus, data.train), where=what.base)
    known = {*map(base.task.label_of, base.tags)}
    here = {label for corpus in (data.train, data.dev) if corpus for label in corpus.labels}
    if unknown := sorted(here - known):
        problem = f"doesn't know {', '.join(unknown)}, which {what.corpus.asked} has"
        remedy = f"train it first: dinku train {what.base} --corpus {what.corpus.asked} --out TAGGER"
        raise DinkuError(problem, where=what.base, remedy=remedy)


def _text(what: Asked, train: Corpus, notes: list[str]) -> tuple[int, float]:
    """How many lines of text there are in the languages of train, and how long they are beside tagged sentences."""
    if what.text is None:
        notes.append("without --text students learn from the tagged sentences alone, and lose more (docs/log.md)")
        return 0, 1.0
    text = Text.open(what.text).only(train.languages)
    if not {*train.languages} <= {*text.languages}:
        lacking = ", ".join(sorted({*train.languages} - {*text.languages}))
        notes.append(f"{what.text} has no text in {lacking}")
    lines = sum(map(text.count, text.languages))
    some = text.sample(min(lines, 200), train.languages)
    return lines, (some.words / max(1, len(some))) / (train.words / len(train))


def compress(
    model: str | os.PathLike[str] | SentenceTagger,
    corpus: str | os.PathLike[str],
    budget: Budget | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    text: str | os.PathLike[str] | None = None,
    time: str | float | None = None,
    effort: Effort = "default",
    runtime: Engine = "onnxruntime",
    seed: int = 0,
    dev: float = 0.1,
    threads: int | None = None,
    device: str = "cpu",
    store: str | os.PathLike[str] | None = None,
    told: Callable[[Plan], object] | None = None,
    progress: Progress = silent,
) -> Compressed:
    """Make the smallest tagger, or the best one within a size or speed, that answers as ``model`` does on ``corpus``.

    ``model`` is a tagger, or an encoder, which is trained first. Small transformers and word networks are tried as its
    students, on the tagged sentences and on the unlabelled ``text``, a folder; they are weeded out by short trainings, and the
    last ones are made int8 for ``runtime``. Without limits of size and speed in ``budget`` the smallest that keeps enough F1 is
    wanted, else the one with the best F1 among those that keep all. That is chosen on dev; test is scored once, at the end.
    ``time`` (*2h*, or seconds) and ``effort`` say how much is tried. ``told`` is given the `Plan` before work begins.

    With ``out`` the bundle is written there, and a table, a figure and a study that makes it again to the folder beside it with
    ``-search`` at its name's end. Without it the bundle stays in the store. A call that was stopped goes on when the same is
    asked again. Raises `BudgetMissed`, of status 1, if no student keeps the budget on dev, and `DinkuError` for what can't be
    read.

    >>> import dinku, tempfile
    >>> from dinku.testing import tiny_tagger
    >>> tagger = tiny_tagger(tags=dinku.load("sample:pcm", "train").tags)
    >>> dinku.compress(tagger, "no-such-corpus", dinku.Budget(size="12MB", keep=0.95))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    dinku.errors.DinkuError: no-such-corpus: isn't there; ...
    """
    what = asked(
        *(model, corpus, budget),
        text=text,
        time=time,
        effort=effort,
        runtime=runtime,
        seed=seed,
        dev=dev,
        threads=threads,
        device=device,
        store=store,
    )
    target = Path(out) if out is not None else None
    if target is not None and target.exists() and any(target.iterdir() if target.is_dir() else [target]):
        raise DinkuError("is there already", where=str(target), remedy="name a new folder, or remove it")
    plan = planned(what, progress)
    if told:
        told(plan)
    if not plan.fitting:
        raise _none_fits(plan)
    return _Search(what, plan, progress).run(target)


def _none_fits(plan: Plan) -> BudgetMissed:
    """That nothing of the space keeps the limits of size and speed, and which would have to be relaxed."""
    nearest = min(plan.students, key=lambda s: misfit(plan.budget, plan.costs, s))
    own = facts(
        size=plan.costs.bytes(nearest) / ROOM, speed=plan.costs.speed(nearest), latency=plan.costs.latency(nearest)
    )
    missed = plan.budget.misses(own)
    problem = f"no student can keep it; the nearest, a {nearest.told}, would have: {'; '.join(m.told for m in missed)}"
    return BudgetMissed(problem, remedy=f"relax it to {' '.join(m.relaxed for m in missed)}", nearest=None, plan=plan)


@dataclass
class _Search:
    """A search under way: what was tried so far, by student and level."""

    what: Asked
    plan: Plan
    progress: Progress
    tried: dict[tuple[str, int], Tried] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    dense: Scored = field(default_factory=lambda: Scored("dev", {}))
    drift: list[float] = field(default_factory=list)  # seconds that trainings took, beside what was foreseen

    def run(self, target: Path | None) -> Compressed:
        steps = self.plan.before
        self.dense, _ = self._scored(steps, "dense", "the dense tagger")
        if not self.dense.f1:
            problem = f"finds nothing in {self.what.corpus.asked} dev, so that there is nothing to keep"
            raise DinkuError(problem, where=self.what.base, remedy="train it longer, or on more sentences", status=1)
        pool = self._proposed(self.plan.schedule[0])
        for level, number in enumerate(self.plan.schedule[1:], 1):
            chosen = self._ranked(pool)[:number]
            better = [t for at, each in enumerate(chosen) if (t := self._tried(each.student, level, at, number))]
            pool = better + [each for each in pool if all(each.student.name != b.student.name for b in better)]
        final = self._final(pool)
        return outcome.told(self._concluded(final), target)

    # --- students proposed -------------------------------------------------------------------------------------------

    def _proposed(self, number: int) -> list[Tried]:
        """Students tried by short distillations: first the likeliest ones, then those that Optuna proposes."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        bounded = self.plan.budget.bounded
        study = optuna.create_study(
            directions=["maximize"] if bounded else ["maximize", "minimize"],
            sampler=optuna.samplers.TPESampler(seed=self.what.seed, n_startup_trials=4),
        )
        for likely in self.plan.first[:number]:
            study.enqueue_trial(_parameters(likely))
        out: list[Tried] = []
        fitting = {student.name: student for student in self.plan.fitting}
        for _ in range(_ASKED):
            if len(out) + len(self.failed) >= min(number, len(fitting)):
                break
            trial = study.ask()
            proposed = self._suggested(trial)
            student: Student | None = fitting.get(proposed.name) if proposed else None
            if student is None or student.name in self.failed:
                study.tell(trial, 0.0 if bounded else [0.0, self.plan.teacher.bytes])
                continue
            if (known := self.tried.get((student.name, 0))) is None:
                known = self._tried(student, 0, len(out), number)
                out += [known] if known else []
            value = known.scored.f1 if known else 0.0
            study.tell(trial, value if bounded else [value, self.plan.costs.bytes(student)])
            if self._hurried(len(out)):
                break
        if not out:
            reasons = "; ".join(dict.fromkeys(self.failed.values()))
            raise DinkuError(f"no student could be made ({reasons})", where=self.what.base, status=1)
        return out

    def _suggested(self, trial: Any) -> Student | None:
        family = trial.suggest_categorical("family", list(self.plan.families))
        choices = space(self.plan.teacher, family)
        values = {name: trial.suggest_categorical(f"{family}.{name}", list(of)) for name, of in choices.items()}
        return student_of(self.plan.teacher, family, values)

    def _hurried(self, done: int) -> bool:
        """Whether the rest of the schedule needs what time is left, so that no more students are tried."""
        rest = sum(self.plan.at(level, n) for level, n in enumerate(self.plan.schedule) if level) + self.plan.ending
        return done > 0 and self.what.left < self._pace * (rest + self.plan.at(0, 1))

    @property
    def _pace(self) -> float:
        """How many times as long as foreseen trainings take."""
        return sorted(self.drift)[len(self.drift) // 2] if self.drift else 1.0

    @property
    def _remaining(self) -> str:
        """How long the search still takes, about."""
        seconds = self._pace * self.plan.seconds - (self.what.spent - self.plan.spent)
        return f"about {max(1, round(min(seconds, self.what.left) / 60))} min left"

    # --- recipes carried out -----------------------------------------------------------------------------------------

    def _steps(self, student: Student, level: int) -> tuple[Method, ...]:
        return (*self.plan.before, student.distil(self.plan.reads(student, level)))

    def _tried(self, student: Student, level: int, at: int, of: int) -> Tried | None:
        """A student taught at a level, in float32, and scored on dev; ``None`` where that failed, or there is no time for it."""
        if (known := self.tried.get((student.name, level))) is not None:
            return known
        foreseen = self.plan.costs.teaching(student, self.plan.reads(student, level))
        if level and self.what.left < self._pace * (foreseen + self.plan.ending):
            return None
        stage = f"level {level} of {len(self.plan.schedule) - 1}; student {at + 1} of {of}; {self._remaining}"
        began = clock.monotonic()
        try:
            scored, runner = self._scored(self._steps(student, level), student.name, stage, last=False)
        except _Failed as failure:
            self.failed[student.name] = failure.reason
            return None
        except _Late:
            return None
        (prepared,) = runner.prepared
        if level == 0 and (took := clock.monotonic() - began) > 1:
            self.drift.append(max(0.2, took / max(1e-3, foreseen)))
        size = self.plan.costs.bytes(student)
        folder = runner.store.tagger(prepared.address)
        own = facts(size=size, speed=self.plan.costs.speed(student), latency=self.plan.costs.latency(student))
        made = Tried(
            student, level, scored, self._kept(own, scored), prepared.address, prepared.recipe.steps, False, folder
        )
        self.tried[student.name, level] = made
        return made

    def _kept(self, own: dict[str, float], scored: Scored) -> dict[str, float]:
        """Facts with the parts of F1 that are kept."""
        worst = next(iter(scored.kept(self.dense).values()), 0.0)
        return own | facts(keep=scored.f1 / self.dense.f1, keep_worst=worst)

    def _scored(self, steps: Sequence[Method], arm: str, stage: str, *, last: bool = True) -> tuple[Scored, Runner]:
        """F1 on dev of the recipe with these steps, which is carried out unless the store and its rows have it."""
        study = self._study(steps, arm, "dev")
        report = self._reporting(stage, study.name, last)
        runner = runner_of(study, self.what.store, report, threads=self.what.threads, device=self.what.device)
        try:
            runner.run()
        except DinkuError as error:
            if error.status == 1 and (failures := runner.results.failures()):
                raise _Failed(failures[0].reason) from error
            raise
        (prepared,) = runner.prepared
        return Scored.of(runner.results.rows(), prepared.address, "dev"), runner

    def _study(self, steps: Sequence[Method], arm: str, split: str) -> Any:
        text = {"text": self.what.text} if self.what.text else {}
        return study_of(
            *("search", self.what.base, self.what.corpus.name, steps), arm=arm, seed=self.what.seed, split=split, **text
        )

    def _reporting(self, stage: str, study: str, last: bool) -> Progress:
        """Progress that says what it is about, and stops what goes on while there is just time for the ``last`` steps."""
        report = progress_of(self.progress, stage)

        def progress(what: str, done: int, total: int) -> None:
            if self.what.time and self.tried:
                reserve = (1 - _LATE) * self.what.time if last else self._pace * self.plan.ending
                if self.what.left < reserve and (not last or any(each.final for each in self.tried.values())):
                    raise _Late
            if not what.startswith(study):  # which tells how many recipes it has, and that is one
                report(what, done, total)

        return progress

    # --- the last ones -----------------------------------------------------------------------------------------------

    def _ranked(self, pool: Sequence[Tried]) -> list[Tried]:
        """The students of a pool, those that are to be taught longer first.

        Within a size or speed these are the ones with the most F1, where a limit says so that of the worst language, too. Else
        the smallest first that keep enough of the best one's F1, as what longer training adds isn't known yet; then the others.
        """
        worst = self.plan.budget.keep_worst is not None

        def value(each: Tried) -> float:
            return (each.facts["keep"] + each.facts["keep_worst"]) / 2 if worst else each.facts["keep"]

        if self.plan.budget.bounded:
            return sorted(pool, key=value, reverse=True)
        best = max(map(value, pool))
        wanted = min(cast(float, self.plan.budget.keep or self.plan.budget.keep_worst), 1.0)
        enough = [each for each in pool if value(each) >= wanted * best]
        rest = [each for each in pool if each not in enough]
        by_size = sorted(enough, key=lambda each: each.facts["size"])
        return by_size + sorted(rest, key=value, reverse=True)

    def _final(self, pool: Sequence[Tried]) -> Tried:
        """The student that keeps the budget on dev: made int8 in the order of their rank, until one does.

        Raises `BudgetMissed` where none does.
        """
        made: list[Tried] = []
        top = max(each.level for each in pool)
        ranked = self._ranked([each for each in pool if each.level == top])
        ranked += self._ranked([each for each in pool if each.level < top]) if top else []
        for at, each in enumerate(ranked):
            fine = [m for m in made if not self.plan.budget.misses(m.facts)]
            more = (
                self.plan.budget.bounded and each.level == top
            )  # the best of those that were taught longest is wanted
            if (fine and not more) or (len(made) >= _MORE and not more):
                break
            if made and self.what.left < self._pace * self.plan.ending:
                break
            try:
                whole = self._tried(each.student, top, at, len(ranked)) or each  # which is there already for most
                made.append(self._in_int8(whole))
            except _Late:
                break
            except _Failed as failure:
                self.failed[each.student.name] = failure.reason
        if not made:
            reasons = "; ".join(dict.fromkeys(self.failed.values()))
            raise DinkuError(f"no student could be made int8 ({reasons})", where=self.what.base, status=1)
        fine = [each for each in made if not self.plan.budget.misses(each.facts)]
        if fine:
            by_f1, by_size = (lambda t: t.scored.f1), (lambda t: -t.facts["size"])
            return max(fine, key=by_f1 if self.plan.budget.bounded else by_size)
        nearest = min(made, key=lambda t: max(miss.by for miss in self.plan.budget.misses(t.facts)))
        raise self._missed(nearest)

    def _missed(self, nearest: Tried) -> BudgetMissed:
        missed = self.plan.budget.misses(nearest.facts)
        problem = f"missed on dev; the nearest is a {nearest.student.told}: {'; '.join(m.told for m in missed)}"
        remedy = f"relax it to {' '.join(m.relaxed for m in missed)}, or give more --text or --time"
        remedy += f"; this one is dinku export {nearest.address[:12]} OUT"
        return BudgetMissed(problem, remedy=remedy, nearest=nearest, plan=self.plan)

    def _in_int8(self, each: Tried) -> Tried:
        """The same student in int8, its size and speed measured."""
        arm, stage = f"{each.student.name}-int8", "int8"
        try:
            step = Quantize(runtime=self.what.runtime)
            scored, runner = self._scored((*each.steps, step), arm, stage)
        except _Failed:  # dev says what it loses, and the budget whether that is too much
            step = Quantize(runtime=self.what.runtime, tolerance=_TOLERANCE)
            scored, runner = self._scored((*each.steps, step), arm, stage)
        (prepared,) = runner.prepared
        for i in range(1, len(prepared.addresses)):  # the rows may be complete where the store was cleaned
            runner.make(prepared, i, wait=True)
        folder = runner.store.checked(prepared.address)
        assert self.plan.data.dev
        texts = [" ".join(s.words) for s in self.plan.data.dev.sample(TIMED, 0)]
        self.progress(f"int8: timing {each.student.name}", 0, 0)
        found = bench([str(folder)], texts, threads=self.what.threads, batches=(1, 32), rounds=3)["models"][0]
        own = facts(
            size=disk_bytes(folder) + _CARD, speed=found["sentences_per_second"], latency=found["p50_ms"] / 1000
        )
        made = Tried(
            *(each.student, each.level, scored, self._kept(own, scored), prepared.address, prepared.recipe.steps),
            final=True,
            folder=folder,
        )
        self.tried[f"{each.student.name}-int8", each.level] = made
        return made

    def _concluded(self, final: Tried) -> Compressed:
        """Score the chosen one and the dense tagger on the split for results, by the study that makes both again."""
        study = outcome.study_file(
            self.what.base, self.what.corpus, self.what.text, self.plan.before, final, self.what.seed
        )
        runner = runner_of(
            study,
            self.what.store,
            progress_of(self.progress, "scoring"),
            threads=self.what.threads,
            device=self.what.device,
        )
        runner.run()
        dense, chosen = runner.prepared
        assert chosen.address == final.address, (
            "a resolved recipe has another address than the one that it was resolved from"
        )
        rows = runner.results.rows()
        tested = {p.entry.arm: Scored.of(rows, p.address, study.split) for p in (dense, chosen)}
        counts = [runner.results.counts(r) for r in rows if r.kind == "quality" and r.address == chosen.address]
        return Compressed(
            plan=self.plan,
            asked=self.what.corpus.asked,
            base=self.what.base,
            chosen=final,
            tried=tuple(self.tried.values()),
            dense=self.dense,
            test=tested["small"],
            dense_test=tested["dense"],
            counts=tuple(counts),
            learned=learned.load(self.tried[final.student.name, final.level].folder),
            study=study,
            seconds=self.what.spent,
            notes=tuple(dict.fromkeys((*self.plan.notes, *(f"failed: {n}: {r}" for n, r in self.failed.items())))),
        )


class _Failed(Exception):
    """A student's step failed, which is kept with its reason; others go on."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _parameters(student: Student) -> dict[str, Any]:
    """A student as Optuna's parameters."""
    return {"family": student.family, **{f"{student.family}.{name}": value for name, value in student.choices}}
