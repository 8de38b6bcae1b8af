"""A tagger, a corpus and a budget → one bundle: planned, searched, chosen on dev, and scored on test once.

Each candidate is a recipe of a study in the store, so steps that candidates share are made once. A search that was killed
continues when it is asked again, and a longer search reuses what a shorter one made.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from dinku.data import sources
from dinku.data.corpus import Corpus
from dinku.data.task import TASKS
from dinku.data.unlabelled import Text
from dinku.errors import DinkuError, plural
from dinku.making.budget import Budget, facts
from dinku.making.costs import Costs, families_of, measured, tokenizer_bytes, units_of
from dinku.making.deliverables import write
from dinku.making.outcome import Compressed
from dinku.making.plan import ROOM, Plan, misfit
from dinku.making.request import Request, SearchSettings
from dinku.making.search import BudgetMissed, Search
from dinku.making.students import every
from dinku.method import Data, Method, Planned
from dinku.methods.finetune import FineTune
from dinku.model.folder import ModelFolder
from dinku.model.labels import check_task, mapping, one_sided, said_of_model
from dinku.model.sentence_tagger import SentenceTagger
from dinku.nn.loading import open_tagger
from dinku.progress import Progress, silent

FEWEST = 100  # train sentences that int8 is calibrated on


def planned(request: Request, progress: Progress = silent) -> Plan:
    """Plan a search: read the model, measure this machine, and find the students that keep the limits of size and speed.

    Nothing is trained for the result. Raises `DinkuError` for a model and a corpus that don't go together.
    """
    folder = ModelFolder.of(request.base)
    if folder.is_bundle:
        remedy = "name the tagger that it was made from"
        raise DinkuError("is a bundle, from which a search can't start", where=request.base, remedy=remedy)
    base = open_tagger(folder, threads=request.threads)
    data = Data(sources.load(request.corpus.name, "train"), sources.load(request.corpus.name, "dev"))
    assert data.train
    assert data.dev
    if len(data.train) < FEWEST:
        problem = f"has {plural(len(data.train), 'train sentence')}, too few to compress with"
        remedy = f"int8 is calibrated on {FEWEST} or more: tag more sentences, or export the tagger in fp32"
        raise DinkuError(problem, where=request.corpus.asked, remedy=remedy)
    from dinku.export import gate

    if data.dev.words < gate.FEWEST:
        problem = f"has {plural(data.dev.words, 'word')} in dev, too few to choose by and to check int8 on"
        remedy = f"give dev {gate.FEWEST} words or more, or set more aside with --dev"
        raise DinkuError(problem, where=request.corpus.asked, remedy=remedy)
    notes = list(request.corpus.notes)
    before: tuple[Method, ...] = ()
    teacher = base
    if base.tags:
        notes += _check_labels(base, data, request)
    else:
        step = FineTune(select="best").resolve(Planned(cast(Any, base.shape)), data)
        task = TASKS[step.task]
        before, teacher = (step,), cast(Any, base).headed(step.tags, seed=request.settings.seed, task=task)
        notes.append(f"{request.base} has no tags: it is fine-tuned on {request.corpus.asked} first")
    families = families_of(base.scheme.terminal, teacher.shape)
    if families == ("words",):
        notes.append(f"{request.base} is quantized or a word network, which can only teach word networks")
    text, longer = _text(request, data.train, notes)
    timings = measured(
        teacher, data, families, engine=request.settings.runtime, threads=request.threads, progress=progress
    )
    some = data.train.sample(200, 0)
    units = {"words": some.words / len(some)}
    if "transformer" in families:
        units["transformer"] = units_of(teacher, [s.words for s in some])
    scored = len(sources.load(request.corpus.name, request.corpus.scored))
    costs = Costs(
        timings, units, tokenizer_bytes(folder), train=len(data.train), dev=len(data.dev), scored=scored, longer=longer
    )
    students = tuple(every(teacher.shape, families))
    plan = Plan(
        budget=request.budget,
        teacher=teacher.shape,
        before=before,
        families=families,
        costs=costs,
        data=data,
        text=text,
        students=students,
        fitting=tuple(s for s in students if not misfit(request.budget, costs, s)),
        effort=request.settings.effort,
        time=request.settings.seconds,
        spent=request.spent,
        notes=tuple(notes),
    )
    if request.settings.seconds is not None and plan.spent + plan.seconds > request.settings.seconds:
        told = f"about {plan.seconds / 60:.0f} min are needed at least, more than --time leaves"
        plan = replace(plan, notes=(*plan.notes, told))
    return plan


def _check_labels(base: SentenceTagger, data: Data, request: Request) -> list[str]:
    """Warnings if a tagger has labels that a corpus lacks.

    Raises `DinkuError` if a corpus has labels that a tagger doesn't know, or is of another task.
    """
    check_task(base.task, cast(Corpus, data.train), where=request.base)
    here = {label for corpus in (data.train, data.dev) if corpus for label in corpus.labels}
    own, unknown = one_sided(base.tags, here, name=request.corpus.asked, where=request.base, task=base.task)
    if unknown:
        problem = f"doesn't know {', '.join(unknown)}, which {request.corpus.asked} has"
        problem += f", and knows {', '.join(own)}, which that lacks" if own else ""
        remedy = f"train it first: dinku train {request.base} --corpus {request.corpus.asked} --out TAGGER"
        remedy += f", or name what is the same: --labels {mapping(own, unknown)}" if own else ""
        raise DinkuError(problem, where=request.base, remedy=remedy)
    return [said_of_model(own, base.task)] if own else []


def _text(request: Request, train: Corpus, notes: list[str]) -> tuple[int, float]:
    """The number of lines of text in the languages of train, and their mean length relative to tagged sentences."""
    if request.text is None:
        notes.append("without --text, students only learn from the tagged sentences, and lose more (docs/log.md)")
        return 0, 1.0
    text = Text.open(request.text).only(train.languages)
    if not {*train.languages} <= {*text.languages}:
        lacking = ", ".join(sorted({*train.languages} - {*text.languages}))
        notes.append(f"{request.text} has no text in {lacking}")
    lines = sum(map(text.count, text.languages))
    some = text.sample(min(lines, 200), train.languages)
    return lines, (some.words / max(1, len(some))) / (train.words / len(train))


def compress(
    model: str | os.PathLike[str] | SentenceTagger,
    corpus: str | os.PathLike[str],
    budget: Budget | None = None,
    settings: SearchSettings | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    on_plan: Callable[[Plan], object] | None = None,
    progress: Progress = silent,
    **fields: Any,
) -> Compressed:
    """Make the smallest tagger, or the best one within a size or speed, that answers as ``model`` does on ``corpus``.

    ``model`` is a tagger, or an encoder, which is trained first. Small transformers and word networks are tried as its students;
    short trainings weed them out, and the last ones are made int8. If ``budget`` doesn't limit size or speed, the result is the
    smallest student that keeps enough F1, otherwise the one with the best F1 among those that keep all limits. Students are
    chosen on dev; test is scored once, at the end. ``fields`` are those of `dinku.making.request.SearchSettings` by name:
    ``text="texts"``, ``time="2h"`` and so on; they replace those of ``settings``. ``on_plan`` is called with the `Plan` before
    work begins.

    With ``out``, the bundle is written there; a table, a figure and a study that makes it again are written to the folder beside
    it whose name ends in ``-search``. Without ``out``, the bundle stays in the store. The same call continues a search that was
    stopped. Raises `BudgetMissed`, of status 1, if no student keeps the budget on dev, and `DinkuError` for input that can't be
    read.

    >>> import dinku, tempfile
    >>> from dinku.testing import tiny_tagger
    >>> tagger = tiny_tagger(tags=dinku.load("sample:pcm", "train").tags)
    >>> dinku.compress(tagger, "no-such-corpus", dinku.Budget(size="12MB", keep=0.95))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    dinku.errors.DinkuError: no-such-corpus: isn't there; ...
    """
    request = Request.of(model, corpus, budget, replace(settings or SearchSettings(), **fields))
    target = Path(out) if out is not None else None
    if target is not None and target.exists() and any(target.iterdir() if target.is_dir() else [target]):
        raise DinkuError("already exists", where=str(target), remedy="name a new folder, or remove it")
    plan = planned(request, progress)
    if on_plan:
        on_plan(plan)
    if not plan.fitting:
        raise _none_fits(plan)
    made = Search(request, plan, progress).run()
    return write(made, target) if target else made


def _none_fits(plan: Plan) -> BudgetMissed:
    """The error that no student keeps the limits of size and speed, with the limits to relax."""
    nearest = min(plan.students, key=lambda s: misfit(plan.budget, plan.costs, s))
    own = facts(
        size=plan.costs.bytes(nearest) / ROOM, speed=plan.costs.speed(nearest), latency=plan.costs.latency(nearest)
    )
    missed = plan.budget.misses(own)
    problem = (
        f"no student can keep it; the nearest, a {nearest.summary}, would have: {'; '.join(m.summary for m in missed)}"
    )
    return BudgetMissed(problem, remedy=f"relax it to {' '.join(m.relaxed for m in missed)}", nearest=None, plan=plan)
