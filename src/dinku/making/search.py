"""A search under way: Optuna proposes students, short distillations weed them out, and the last ones are made int8."""

from __future__ import annotations

import time as clock
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from dinku.data import learned
from dinku.errors import DinkuError
from dinku.making import outcome
from dinku.making.budget import facts
from dinku.making.costs import progress_of
from dinku.making.outcome import Compressed, Tried
from dinku.making.plan import Plan
from dinku.making.request import Request
from dinku.making.students import Student, space, student_of
from dinku.making.table import Scored
from dinku.making.train import runner_of, study_of
from dinku.method import Method
from dinku.methods.quantize import Quantize
from dinku.model.inspect import disk_bytes
from dinku.progress import Progress
from dinku.serving.bench import bench
from dinku.study.run import Runner

TIMED = 48  # dev sentences on which the last students are timed
_CARD = 4000  # bytes by which the card of a bundle grows once it is chosen
_ASKED = 300  # proposals of Optuna after which the search ends, as hardly any student is left
_LATE = 1.05  # of the time: a training is stopped after this, if there is a bundle to end with
_TOLERANCE = 0.02  # the F1 (of 1) that int8 may lose for a student that can't keep Quantize's own tolerance
_MORE = 3  # students that are made int8 at most before a budget is given up


class BudgetMissed(DinkuError):
    """No student keeps the budget. ``nearest`` is the one that comes nearest; ``None`` if no student was made at all."""

    def __init__(self, problem: str, *, remedy: str, nearest: Tried | None, plan: Plan) -> None:
        super().__init__(problem, where="budget", remedy=remedy, status=1)
        self.nearest, self.plan = nearest, plan


class Late(BaseException):
    """The time is over, and there is a result to end with. It isn't an `Exception`, so that no step records it as a failure."""


class Failed(Exception):
    """A student's step failed; the reason is kept, and other students are tried."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class Search:
    """The state of a search: the students tried so far, by name and level, and those that failed."""

    request: Request
    plan: Plan
    progress: Progress
    tried: dict[tuple[str, int], Tried] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    dense: Scored = field(default_factory=lambda: Scored("dev", {}))
    drift: list[float] = field(default_factory=list)  # the seconds that trainings took, relative to the estimate

    def run(self) -> Compressed:
        """Try students, choose one, and score it. Raises `BudgetMissed` if none keeps the budget on dev."""
        steps = self.plan.before
        self.dense, _ = self._scored(steps, "dense", "the dense tagger")
        if not self.dense.f1:
            task = self.dense.task
            found = "entity" if task.schemes else "right label"
            problem = f"finds no {found} in {self.request.corpus.asked} dev, so that there is no {task.score} to keep"
            raise DinkuError(problem, where=self.request.base, remedy="train it longer, or on more sentences", status=1)
        pool = self._proposed(self.plan.schedule[0])
        for level, number in enumerate(self.plan.schedule[1:], 1):
            chosen = self._ranked(pool)[:number]
            better = [t for at, each in enumerate(chosen) if (t := self._tried(each.student, level, at, number))]
            pool = better + [each for each in pool if all(each.student.name != b.student.name for b in better)]
        final = self._final(pool)
        return self._concluded(final)

    # --- students proposed -------------------------------------------------------------------------------------------

    def _proposed(self, number: int) -> list[Tried]:
        """Students tried by short distillations: first the most promising, then those that Optuna proposes."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        bounded = self.plan.budget.bounded
        study = optuna.create_study(
            directions=["maximize"] if bounded else ["maximize", "minimize"],
            sampler=optuna.samplers.TPESampler(seed=self.request.settings.seed, n_startup_trials=4),
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
            raise DinkuError(f"no student could be made ({reasons})", where=self.request.base, status=1)
        return out

    def _suggested(self, trial: Any) -> Student | None:
        family = trial.suggest_categorical("family", list(self.plan.families))
        choices = space(self.plan.teacher, family)
        values = {name: trial.suggest_categorical(f"{family}.{name}", list(of)) for name, of in choices.items()}
        return student_of(self.plan.teacher, family, values)

    def _hurried(self, done: int) -> bool:
        """Whether the rest of the schedule needs all the time that is left, so that no more students are tried."""
        rest = sum(self.plan.at(level, n) for level, n in enumerate(self.plan.schedule) if level) + self.plan.ending
        return done > 0 and self.request.left < self._pace * (rest + self.plan.at(0, 1))

    @property
    def _pace(self) -> float:
        """The time of trainings as a multiple of the estimate."""
        return sorted(self.drift)[len(self.drift) // 2] if self.drift else 1.0

    @property
    def _remaining(self) -> str:
        """The estimated rest of the search, for progress."""
        seconds = self._pace * self.plan.seconds - (self.request.spent - self.plan.spent)
        return f"about {max(1, round(min(seconds, self.request.left) / 60))} min left"

    # --- recipes carried out -----------------------------------------------------------------------------------------

    def _steps(self, student: Student, level: int) -> tuple[Method, ...]:
        return (*self.plan.before, student.distil(self.plan.reads(student, level)))

    def _tried(self, student: Student, level: int, number: int, total: int) -> Tried | None:
        """Train a student at a level in float32, and score it on dev; ``None`` if that failed, or there is no time for it."""
        if (known := self.tried.get((student.name, level))) is not None:
            return known
        estimated = self.plan.costs.teaching(student, self.plan.reads(student, level))
        if level and self.request.left < self._pace * (estimated + self.plan.ending):
            return None
        stage = f"level {level} of {len(self.plan.schedule) - 1}; student {number + 1} of {total}; {self._remaining}"
        began = clock.monotonic()
        try:
            scored, runner = self._scored(self._steps(student, level), student.name, stage, last=False)
        except Failed as failure:
            self.failed[student.name] = failure.reason
            return None
        except Late:
            return None
        (prepared,) = runner.prepared
        if level == 0 and (took := clock.monotonic() - began) > 1:
            self.drift.append(max(0.2, took / max(1e-3, estimated)))
        size = self.plan.costs.bytes(student)
        folder = runner.store.tagger(prepared.address)
        own = facts(size=size, speed=self.plan.costs.speed(student), latency=self.plan.costs.latency(student))
        made = Tried(
            student, level, scored, self._kept(own, scored), prepared.address, prepared.recipe.steps, False, folder
        )
        self.tried[student.name, level] = made
        return made

    def _kept(self, own: dict[str, float], scored: Scored) -> dict[str, float]:
        """The facts, with the kept parts of F1 added."""
        worst = next(iter(scored.kept(self.dense).values()), 0.0)
        return own | facts(keep=scored.f1 / self.dense.f1, keep_worst=worst)

    def _scored(self, steps: Sequence[Method], arm: str, stage: str, *, last: bool = True) -> tuple[Scored, Runner]:
        """F1 on dev of the recipe with these steps, which is only run if its rows are missing."""
        study = self._study(steps, arm, "dev")
        report = self._reporting(stage, study.name, last)
        runner = runner_of(
            study, self.request.store, report, threads=self.request.threads, device=self.request.settings.device
        )
        try:
            runner.run()
        except DinkuError as error:
            if error.status == 1 and (failures := runner.results.failures()):
                raise Failed(failures[0].reason) from error
            raise
        (prepared,) = runner.prepared
        return Scored.of(runner.results.rows(), prepared.address, "dev"), runner

    def _study(self, steps: Sequence[Method], arm: str, split: str) -> Any:
        text = {"text": self.request.text} if self.request.text else {}
        return study_of(
            *("search", self.request.base, self.request.corpus.name, steps),
            arm=arm,
            seed=self.request.settings.seed,
            split=split,
            **text,
        )

    def _reporting(self, stage: str, study: str, last: bool) -> Progress:
        """Progress that names the stage, and raises `Late` once there is only time for the ``last`` steps."""
        report = progress_of(self.progress, stage)

        def progress(what: str, done: int, total: int) -> None:
            if self.request.settings.seconds and self.tried:
                reserve = (1 - _LATE) * self.request.settings.seconds if last else self._pace * self.plan.ending
                if self.request.left < reserve and (not last or any(each.final for each in self.tried.values())):
                    raise Late
            if not what.startswith(study):  # the study's own line, which only says that one recipe is left
                report(what, done, total)

        return progress

    # --- the last ones -----------------------------------------------------------------------------------------------

    def _ranked(self, pool: Sequence[Tried]) -> list[Tried]:
        """The students of a pool, ranked by how promising a longer training is.

        With a limit on size or speed, the rank is by F1 kept, together with that of the worst language if it is limited.
        Otherwise students that keep enough of the best student's F1 come first, smallest first, as the gain by longer training
        isn't known yet; then the others.
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
        """The student that keeps the budget on dev; students are made int8 in the order of their rank until one keeps it.

        Raises `BudgetMissed` if none does.
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
            if made and self.request.left < self._pace * self.plan.ending:
                break
            try:
                whole = self._tried(each.student, top, at, len(ranked)) or each  # already made for most
                made.append(self._in_int8(whole))
            except Late:
                break
            except Failed as failure:
                self.failed[each.student.name] = failure.reason
        if not made:
            reasons = "; ".join(dict.fromkeys(self.failed.values()))
            raise DinkuError(f"no student could be made int8 ({reasons})", where=self.request.base, status=1)
        fine = [each for each in made if not self.plan.budget.misses(each.facts)]
        if fine:
            by_f1, by_size = (lambda t: t.scored.f1), (lambda t: -t.facts["size"])
            return max(fine, key=by_f1 if self.plan.budget.bounded else by_size)
        nearest = min(made, key=lambda t: max(miss.by for miss in self.plan.budget.misses(t.facts)))
        raise self._missed(nearest)

    def _missed(self, nearest: Tried) -> BudgetMissed:
        missed = self.plan.budget.misses(nearest.facts)
        problem = f"missed on dev; the nearest is a {nearest.student.summary}: {'; '.join(m.summary for m in missed)}"
        remedy = f"relax it to {' '.join(m.relaxed for m in missed)}, or give more --text or --time"
        remedy += f"; this one is dinku export {nearest.address[:12]} OUT"
        return BudgetMissed(problem, remedy=remedy, nearest=nearest, plan=self.plan)

    def _in_int8(self, each: Tried) -> Tried:
        """The student in int8, with its measured size and speed."""
        arm, stage = f"{each.student.name}-int8", "int8"
        try:
            step = Quantize(runtime=self.request.settings.runtime)
            scored, runner = self._scored((*each.steps, step), arm, stage)
        except Failed:  # with more tolerance; the budget decides whether the loss is too much
            step = Quantize(runtime=self.request.settings.runtime, tolerance=_TOLERANCE)
            scored, runner = self._scored((*each.steps, step), arm, stage)
        (prepared,) = runner.prepared
        for i in range(1, len(prepared.addresses)):  # the rows may be complete although the store was cleaned
            runner.make(prepared, i, wait=True)
        folder = runner.store.checked(prepared.address)
        assert self.plan.data.dev
        texts = [" ".join(s.words) for s in self.plan.data.dev.sample(TIMED, 0)]
        self.progress(f"int8: timing {each.student.name}", 0, 0)
        found = bench([str(folder)], texts, threads=self.request.threads, batches=(1, 32), rounds=3)["models"][0]
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
        """Score the chosen student and the dense tagger on the test split (or dev without one), by a study that makes both."""
        study = outcome.study_file(
            self.request.base,
            self.request.corpus,
            self.request.text,
            self.plan.before,
            final,
            self.request.settings.seed,
        )
        runner = runner_of(
            study,
            self.request.store,
            progress_of(self.progress, "scoring"),
            threads=self.request.threads,
            device=self.request.settings.device,
        )
        runner.run()
        dense, chosen = runner.prepared
        assert chosen.address == final.address, "a resolved recipe has another address than the original"
        rows = runner.results.rows()
        tested = {p.entry.arm: Scored.of(rows, p.address, study.split) for p in (dense, chosen)}
        counts = [runner.results.counts(r) for r in rows if r.kind == "quality" and r.address == chosen.address]
        return Compressed(
            plan=self.plan,
            asked=self.request.corpus.asked,
            base=self.request.base,
            chosen=final,
            tried=tuple(self.tried.values()),
            dense=self.dense,
            test=tested["small"],
            dense_test=tested["dense"],
            counts=tuple(counts),
            learned=learned.load(self.tried[final.student.name, final.level].folder),
            study=study,
            seconds=self.request.spent,
            notes=tuple(dict.fromkeys((*self.plan.notes, *(f"failed: {n}: {r}" for n, r in self.failed.items())))),
        )


def _parameters(student: Student) -> dict[str, Any]:
    """A student's choices as Optuna's parameters."""
    return {"family": student.family, **{f"{student.family}.{name}": value for name, value in student.choices}}
