"""Walk a study through the store, and write its rows as they come.

Recipes whose rows are complete aren't run again, even where the store is empty. What recipes share is done once. Any
number of processes may walk one study: an address is made by whoever holds its lock, and what is locked is taken later.
A step that fails is kept with its reason, and the others go on; what the system refuses, such as a full disk, stops the run.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

from dinku import machine
from dinku.data import sources
from dinku.data.corpus import Corpus
from dinku.data.perturb import unseen_names
from dinku.data.unlabelled import Text
from dinku.errors import DinkuError, plural
from dinku.files import os_errors_as_dinku
from dinku.machine import BFLOAT16_FLAGS, Environment, environment
from dinku.method import Data, Method, Work, needs_of
from dinku.methods.registry import to_json
from dinku.model.folder import ModelFolder
from dinku.model.installed import HOUSE
from dinku.model.sentence_tagger import SentenceTagger
from dinku.model.shape import Shape
from dinku.model.store import Store
from dinku.nn.loading import open_tagger
from dinku.progress import Progress, silent
from dinku.scoring import tagging
from dinku.scoring.answers import Answers
from dinku.scoring.counts import LEARN_MORE, Counts
from dinku.scoring.error_analysis import known
from dinku.study.current import Asked, Current, recipe_name, text_name
from dinku.study.definition import Study
from dinku.study.facts import Clock, size_of, target, time_taggers
from dinku.study.prepare import (
    LINE,
    PUBLISHED,
    Prepared,
    StartingModel,
    Subject,
    foreign,
    memory_needed,
    prepare,
)
from dinku.study.recipe import changeable_by
from dinku.study.results import Results, totals
from dinku.study.rows import Failure, Row, Size, Training
from dinku.training.settings import TrainingSettings

NUMERICS = 100  # sentences of a language on which a quantized tagger's arithmetic is looked at


class Failed(Exception):
    """A step failed, and that was kept as a row of its own."""


def _of_the_system(error: BaseException | None) -> bool:
    """Whether the system refused something: not the step's fault, and it may pass."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return True
        error = error.__cause__ or error.__context__
    return False


@dataclass(frozen=True)
class Runner:
    """A study, the store its taggers go to, and the results its rows go to.

    ``cores`` is how many threads work where the study doesn't say; all that there are unless told. Steps that train, and tagging
    in floating point, work on ``device`` (*cpu* or *cuda*), and what else there is on the CPU, clocks included. ``planning`` does
    without bases of published shape and text that aren't here. ``before`` counts how often steps had failed when a run began.
    """

    study: Study
    store: Store
    results: Results
    report: Progress = silent
    cores: int | None = None
    planning: bool = False
    device: str = "cpu"
    before: dict[str, int] = field(default_factory=dict, compare=False, repr=False)
    _in_memory: dict[str, SentenceTagger] = field(default_factory=dict, init=False, compare=False, repr=False)

    @cached_property
    def data(self) -> dict[str, Data]:
        """What recipes learn from, by the name of their corpus."""
        entries = list(self.study.entries())
        text = (
            self._text() if any("text" in needs_of(step) for entry in entries for step in entry.recipe.steps) else None
        )
        out = {}
        for corpus in dict.fromkeys(entry.recipe.corpus for entry in entries):
            dev = sources.load(corpus, "dev") if "dev" in sources.splits(corpus) else None
            train = sources.load(corpus, "train")
            if train.split != "train":
                problem = f"is the {train.split} split, which no recipe may learn from"
                raise DinkuError(problem, where=corpus, remedy="name a folder with train, dev and test")
            out[corpus] = Data(train, dev, text)
        return out

    def _text(self) -> Text | None:
        """The study's text; None where it has none, or a plan does without it."""
        if self.study.text is None or (self.planning and not Path(os.path.expanduser(self.study.text)).is_dir()):
            return None
        return Text.open(self.study.text)

    @cached_property
    def bases(self) -> dict[str, StartingModel]:
        return {name: self._base(name) for name in dict.fromkeys(e.recipe.base for e in self.study.entries())}

    def _base(self, name: str) -> StartingModel:
        """A base as it lies here; for a plan one of known shape may be elsewhere, and is known by the rows that there are."""
        published = PUBLISHED.get(name.partition("@")[0])
        try:
            return StartingModel.of(name)
        except DinkuError:
            if published is None or not self.planning:
                raise
        shape = published.declare(Shape.of_folder(ModelFolder.of(HOUSE)))
        digest = next((r.base_digest for r in self.results.rows() if r.recipe["base"] == name), f"not here: {name}")
        return StartingModel(ModelFolder(Path()), digest, replace(shape, nonzero=(0, shape.parameters)), 0, here=False)

    @cached_property
    def prepared(self) -> tuple[Prepared, ...]:
        out = []
        for entry in self.study.entries():
            data = self.data[entry.recipe.corpus]
            base, where = self.bases[entry.recipe.base], f"{self.study.name} ({entry.arm})"
            without_text = data.text is None and self.planning and self.study.text is not None
            out.append(prepare(entry, data, base, where=where, without_text=without_text))
        return tuple(out)

    @cached_property
    def evaluated(self) -> dict[str, tuple[Subject, ...]]:
        """What recipes are evaluated on, by the name of the corpus that they learn from."""
        named = {corpus: tuple(self.study.evaluate or [corpus]) for corpus in self.data}
        subjects = {name: self._subjects(name) for name in dict.fromkeys(n for names in named.values() for n in names)}
        out = {corpus: tuple(s for name in names for s in subjects[name]) for corpus, names in named.items()}
        for corpus, data in self.data.items():
            for whole in dict.fromkeys(subject.whole for subject in out[corpus]):
                (language,) = whole.languages
                for seen in (data.train, data.dev if self.study.split == "test" else None):
                    if seen and language in seen.languages and whole.fingerprint == seen.only([language]).fingerprint:
                        problem = (
                            f"evaluates on what it learns from: {whole.name} {whole.split} is its {seen.split} split"
                        )
                        raise DinkuError(problem, where=self.study.name, remedy="evaluate on another corpus")
        return out

    def _subjects(self, name: str) -> tuple[Subject, ...]:
        """A corpus's languages apart, each as it is and then perturbed."""
        whole = sources.load(name, self.study.split)
        if whole.split != self.study.split:
            problem = f"is the {whole.split} split, not {self.study.split}"
            raise DinkuError(problem, where=name, remedy="name a folder with train, dev and test")
        names = None
        if any(each.startswith("entities:") for each in self.study.perturb):
            others = {split: sources.load(name, split) for split in sources.splits(name) if split != self.study.split}
            names = unseen_names(others.pop("train"), others.values()) if "train" in others else None
        out = []
        for language in whole.languages:
            one = whole.only([language])
            clean = Subject(one.sample(self.study.sentences, seed=0) if self.study.sentences else one, one)
            out += [clean, *(clean.perturbed(each, names) for each in self.study.perturb)]
        return tuple(out)

    @property
    def warnings(self) -> list[str]:
        """What is odd about the study and can be run all the same, a line each."""
        learnt = [split for data in self.data.values() for split in (data.train, data.dev) if split]
        tested = [subject.whole for subjects in self.evaluated.values() for subject in subjects]
        told = [note for corpus in (*learnt, *tested) for note in corpus.notes]
        told += [foreign(step, p.data) for p in self.prepared for step in p.recipe.steps]
        if (timing := self.study.latency) and all(p.entry.arm != timing.reference for p in self.prepared):
            told.append(
                f"nothing is timed: {timing.reference!r}, to be timed against, isn't of this section's encoders"
            )
        absent = [name for name, base in self.bases.items() if not base.here]
        told += [f"{name} isn't here: sizes are as it was published" for name in absent]
        if (
            self.study.text and not Path(os.path.expanduser(self.study.text)).is_dir()
        ):  # else it is refused, where a step reads it
            assumed = f"{LINE} subwords a line are assumed" if self.planning else "no step reads it"
            told.append(f"the text {self.study.text} isn't here: {assumed}")
        return [line for line in dict.fromkeys(told) if line]

    def silent(self, chosen: Sequence[Prepared]) -> str:
        """Which of the recipes find nothing in any of their clean sentences, and what to try; empty where all find something."""
        spans: dict[str, list[int]] = {}
        for row in self.results.rows():
            if row.kind == "quality" and not row.perturbation and row.spans:
                gold, predicted = spans.setdefault(row.address, [0, 0])
                each = row.spans["default"].values()
                spans[row.address] = [gold + sum(n[0] for n in each), predicted + sum(n[1] for n in each)]
        silent = [p for p in chosen if (n := spans.get(p.address)) and n[0] and not n[1]]
        if not silent:
            return ""
        named = ", ".join(p.title for p in silent[:3]) + f" and {len(silent) - 3} more" * (len(silent) > 3)
        remedy = LEARN_MORE + ("; or cut less" if any(len(p.recipe.steps) > 1 for p in silent) else "")
        verb = "finds" if len(silent) == 1 else "find"
        return f"{plural(len(silent), 'recipe')} {verb} nothing, not one entity ({named}); {remedy}"

    @property
    def threads(self) -> int:
        return self.study.threads or self.cores or machine.available_threads()

    def missing(self, prepared: Prepared) -> list[Subject]:
        """What this recipe has no quality row of yet."""
        have = self.results.complete()
        subjects = self.evaluated[prepared.recipe.corpus]
        return [subject for subject in subjects if ("quality", prepared.address, *subject.key) not in have]

    def run(self, only: Sequence[str] = ()) -> None:
        """Bring every recipe of the study (or of the arms ``only``) to its rows, then time what is to be timed.

        Raises `DinkuError`, of status 1, at once where the system refuses, and at the end where steps failed.
        """
        chosen = self.chosen(only)
        machine.check_threads(self.threads, where=f"{self.study.name}: threads")
        use_threads(self.threads)
        self.results.check_writable()
        self.begin(chosen)
        waiting = deque(p for p in chosen if self.missing(p))
        passed = 0  # recipes in a row that others hold
        while waiting:
            prepared = waiting.popleft()
            if self.failed([prepared]):
                continue
            self.report(f"{self.study.name}: {plural(len(waiting) + 1, 'recipe')} to go, {prepared.title}", 0, 0)
            with suppress(Failed):
                if not self.finish(prepared, wait=passed > len(waiting)):
                    passed += 1
                    waiting.append(prepared)
                    continue
            passed = 0
        self.conclude(chosen)

    def conclude(self, chosen: Sequence[Prepared]) -> None:
        """Time what is to be timed, here, and raise as `run` does where steps failed."""
        if self.study.latency:
            self._time(chosen)
        self._describe()
        self.check(chosen)

    def chosen(self, only: Sequence[str] = ()) -> list[Prepared]:
        """The recipes of the arms ``only``, or all; raises `DinkuError` for an arm that there isn't."""
        arms = dict.fromkeys(p.entry.arm for p in self.prepared)
        if unknown := [name for name in only if name not in arms]:
            problem = f"no arm is named {unknown[0]!r}"
            raise DinkuError(problem, where=self.study.name, remedy=f"choose of {', '.join(map(repr, arms))}")
        return [p for p in self.prepared if not only or p.entry.arm in only]

    def begin(self, chosen: Sequence[Prepared]) -> None:
        """Forget the failures of what was made since, and look at how often other steps have failed."""
        self.results.mend({address for p in chosen if not self.missing(p) for address in p.addresses})
        self.before.clear()
        self.before.update({failure.address: failure.attempts for failure in self.results.failures()})

    def failed(self, chosen: Sequence[Prepared]) -> list[Failure]:
        """The steps of recipes that failed since `begin`, here or in another process."""
        fresh = [f for f in self.results.failures() if f.attempts > self.before.get(f.address, 0)]
        addresses = {address for p in chosen for address in p.addresses} if fresh else set()
        return [failure for failure in fresh if failure.address in addresses]

    def check(self, chosen: Sequence[Prepared]) -> None:
        """Raise `DinkuError`, of status 1, that names the steps that failed."""
        if failed := self.failed(chosen):
            left = sum(bool(self.missing(p)) for p in chosen)
            told = "; ".join(f.told for f in failed[:3])
            told += f"; and {len(failed) - 3} more" * (len(failed) > 3)
            steps, recipes = (
                plural(len(failed), "step"),
                plural(left, "recipe lacks", "recipes lack"),
            )
            problem = f"{steps} failed, and {recipes} rows ({told})"
            remedy = "see them with `dinku results`, and run again to try once more"
            raise DinkuError(problem, where=str(self.results.folder), remedy=remedy, status=1)

    @contextmanager
    def _kept(self, prepared: Prepared, address: str, step: Method | str) -> Iterator[None]:
        """What fails within the block is kept as a row of its own, unless the system refused."""
        try:
            yield
        except Failed:
            raise
        except Exception as error:
            if _of_the_system(error):
                raise
            if shutil.disk_usage(_nearest(self.store.root)).free < prepared.shapes[-1].bytes:
                problem = f"has no room left ({os.strerror(errno.ENOSPC)})"
                remedy = "free some space, then run the same command again"
                raise DinkuError(problem, where=str(self.store.root), remedy=remedy, status=1) from error
            reason = str(error) if isinstance(error, DinkuError) else f"{type(error).__name__}: {error}"
            self.fail(prepared, address, step, reason)
            raise Failed from error
        self.results.mend([address])
        self.before.pop(address, None)

    def fail(self, prepared: Prepared, address: str, step: Method | str, reason: str) -> None:
        """Keep that a step, or *tagging* or *timing*, failed for this reason."""
        failure = Failure(
            study=self.study.name,
            recipe=prepared.title,
            address=address,
            step=step if isinstance(step, str) else to_json(step),
            reason=" ".join(reason.split())[:1000],
            environment=environment(self.threads),
        )
        self._describe()
        self.results.fail(failure)
        self.report(f"failed: {failure.told}", 0, 0)

    def _describe(self) -> None:
        self.results.describe(self.study.document())
        self.current.keep(self.results.folder)

    @cached_property
    def current(self) -> Current:
        """What the study says now: its recipes with what they read, and what they are evaluated on."""
        recipes = {}
        for p in self.prepared:
            document = p.recipe.document()
            consumed = [p.data.seen_by(step).fingerprints() for step in p.recipe.steps]
            asked = Asked.of(p.address, p.base.digest, document, consumed)
            recipes[recipe_name(p.entry.arm, p.entry.values, document)] = asked
        texts = {}
        for subject in (each for of in self.evaluated.values() for each in of):
            tagged = {"quality": subject.corpus}
            if self.study.latency and not subject.perturbation:
                tagged["latency"] = subject.corpus.sample(self.study.latency.sentences, seed=0)
            for kind, corpus in tagged.items():
                name = text_name(kind, corpus.source, corpus.languages[0], corpus.split, subject.perturbation)
                texts[name] = corpus.fingerprint
        return Current(whole=not self.study.section, recipes=recipes, texts=texts)

    def _add(self, row: Row, counts: Counts | None = None, answers: Answers | None = None) -> None:
        """Add a row, the study first: a run that fails before it has any leaves nothing."""
        self._describe()
        self.results.add(row, counts, answers)

    def finish(self, prepared: Prepared, *, wait: bool) -> bool:
        """Write the missing rows of one recipe; False where another process holds a step of it.

        Raises `Failed` where a step of it failed, and what the system refuses, as `make` does.
        """
        if not self.missing(prepared):
            return True
        if not all(self.make(prepared, i, wait=wait) for i in range(1, len(prepared.addresses))):
            return False
        with self.store.lock(f"{prepared.address}.rows", wait=wait) as held:
            if not held:
                return False
            missing = self.missing(prepared)  # another process may have written them
            with self._kept(prepared, prepared.address, "tagging"):
                if missing:
                    self._evaluate(prepared, missing)
        return True

    def make(self, prepared: Prepared, i: int, *, wait: bool) -> bool:
        """Have the tagger after the i-th step in the store; False where another process is making it."""
        address, step = prepared.addresses[i], prepared.recipe.steps[i - 1]
        if self.store.has(address):
            self.store.clean(address)
            return True
        with self.store.lock(address, wait=wait) as held:
            if not held:
                return False
            if self.store.has(address):
                return True
            if self.failed([prepared]):  # in the process that held it
                raise Failed
            with self._kept(prepared, address, step):
                self._check_memory(prepared, i)
                self._carry_out(prepared, i)
        return True

    def _carry_out(self, prepared: Prepared, i: int) -> None:
        """Make the tagger after the i-th step, save it, and keep it for whoever asks for it next."""
        address, before, step = prepared.addresses[i], prepared.addresses[i - 1], prepared.recipe.steps[i - 1]
        tagger = self._tagger(prepared, i - 1)
        if getattr(step, "needs_weights", True):
            tagger.check_changeable()
        self._keep_in_memory({before: tagger})
        folder = self.store.work(address)
        with os_errors_as_dinku(folder):
            folder.mkdir(parents=True, exist_ok=True)
        clock = Clock(folder / "seconds")

        def progress(what: str, done: int, total: int) -> None:
            clock.keep()
            self.report(f"{prepared.title}: {what}", done, total)

        device = self.device if isinstance(step, TrainingSettings) else "cpu"
        work = Work(prepared.recipe.seed, self.threads, device, folder, self.store.answers, progress)
        data = prepared.data.seen_by(step)
        after = step.apply(cast(Any, tagger), data, work)  # `declared` has refused taggers of kinds that it can't take
        if broken := step.declare(changeable_by(step, tagger.shape)).broken_by(after.shape):
            raise DinkuError(broken, where=prepared.title, remedy="report this fault of the method", status=1)
        after.save(self.store.begin(address))
        self.store.finish(address, self._record(prepared, i, work, clock.seconds))
        if reopened := after.as_reopened(self.store.tagger(address), prepared.recipe.label_on):
            self._keep_in_memory({before: tagger, address: reopened})

    def _record(self, prepared: Prepared, i: int, work: Work, seconds: float) -> dict[str, Any]:
        """How the tagger after the i-th step was made, as the store keeps it."""
        step = prepared.recipe.steps[i - 1]
        made = {
            "before": prepared.addresses[i - 1],
            "step": to_json(step),
            "version": step.version,
            "seed": prepared.recipe.seed,
            "consumes": prepared.data.seen_by(step).fingerprints(),
            "warning": foreign(step, prepared.data),
            "seconds": round(seconds, 3),
            "environment": environment(self.threads, work.device).model_dump(mode="json"),
        }
        if isinstance(step, TrainingSettings):
            from dinku.training.fit import precision_of

            made["precision"] = precision_of(step, work)
        return made

    def _keep_in_memory(self, taggers: dict[str, SentenceTagger]) -> None:
        """Have these taggers in memory, by address, and no others."""
        self._in_memory.clear()
        self._in_memory.update(taggers)

    def _check_memory(self, prepared: Prepared, i: int) -> None:
        """Refuse a step that can't fit into this machine's memory, before it starts."""
        needed = memory_needed(prepared.recipe.steps[i - 1], *prepared.shapes[i - 1 : i + 1])
        if needed > (there := machine.memory_bytes()):
            problem = f"needs {needed / 1e9:.1f} GB of memory at least, and there are {there / 1e9:.1f}"
            raise DinkuError(problem, remedy="run it on a machine that has more", status=1)

    def _tagger(self, prepared: Prepared, i: int) -> SentenceTagger:
        """The tagger after the i-th step, in memory if it is there, else from the store, its files checked."""
        if (known := self._in_memory.get(prepared.addresses[i])) is not None:
            return known
        folder = ModelFolder(self.store.checked(prepared.addresses[i])) if i else prepared.base.folder
        return open_tagger(folder, threads=self.threads, label_on=prepared.recipe.label_on)

    def _evaluate(self, prepared: Prepared, missing: Sequence[Subject]) -> None:
        tagger = self._tagger(prepared, len(prepared.recipe.steps))
        folder = self.store.tagger(prepared.address) if prepared.recipe.steps else prepared.base.folder.path
        size, device = size_of(tagger, folder), "cpu" if tagger.cpu_only else self.device
        tagger.to(device)
        try:
            self._tag(prepared, missing, tagger, size, device)
        finally:
            tagger.to("cpu")

    def _tag(
        self, prepared: Prepared, missing: Sequence[Subject], tagger: SentenceTagger, size: Size, device: str
    ) -> None:
        """Write a quality row for each of the subjects."""
        names = frozenset(name for _, name in known(prepared.train))
        for subject in missing:
            corpus = subject.corpus
            what = " ".join([f"{prepared.title}: tagging {corpus.languages[0]}", subject.perturbation]).strip()
            found = tagger.tag(corpus.sentences, progress=partial(self.report, what))
            counts = tagging.counted(corpus, found)
            measured: dict[str, Any] = {"spans": totals(counts), "size": size}
            measured["target"] = target(tagger.encoder, corpus, prepared.train, names)
            if subject.perturbation:
                measured |= {"perturbation": subject.perturbation, "changed": subject.changed}
            elif tagger.scheme.terminal:
                measured["numerics"] = tagger.numerics(corpus.sample(NUMERICS, seed=0).sentences)
            gold = [s.tags or () for s in corpus]
            answers = Answers.of(gold, [t.tags for t in found], [t.scores for t in found])
            self._add(self._row(prepared, corpus, len(subject.whole), device=device, **measured), counts, answers)

    def _row(self, prepared: Prepared, corpus: Corpus, total: int, device: str = "cpu", **measured: Any) -> Row:
        return Row(
            kind="latency" if "latency" in measured else "quality",
            study=self.study.name,
            arm=prepared.entry.arm,
            values=prepared.entry.values,
            recipe=prepared.recipe.document(),
            base_digest=prepared.base.digest,
            address=prepared.address,
            seed=prepared.recipe.seed,
            corpus=corpus.name,
            source=corpus.source,
            language=corpus.languages[0],
            split=corpus.split,
            fingerprint=corpus.fingerprint,
            sentences=len(corpus),
            sentences_in_split=total,
            trainings=self._trainings(prepared),
            environment=environment(self.threads, device),
            versions=prepared.recipe.versions,
            **measured,
        )

    def _trainings(self, prepared: Prepared) -> tuple[Training, ...]:
        out = []
        for address, step in zip(prepared.addresses[1:], prepared.recipe.steps, strict=True):
            if isinstance(step, TrainingSettings) and self.store.has(address):
                made = self.store.step(address)
                where = Environment.model_validate(made["environment"])
                # Steps from before it was kept were made on CPUs.
                has_bfloat16 = not BFLOAT16_FLAGS.isdisjoint(where.instructions)
                guessed = ("bfloat16" if has_bfloat16 else "float32") if step.precision == "auto" else step.precision
                out.append(
                    Training(
                        address=address,
                        seconds=made["seconds"],
                        precision=made.get("precision", guessed),
                        consumes=made.get("consumes", {}),
                        warning=made.get("warning", ""),
                        machine=where.machine,
                        commit=where.commit,
                        dirty=where.dirty,
                    )
                )
        return tuple(out)

    def _time(self, chosen: Sequence[Prepared]) -> None:
        """Time recipes against the reference arm of the same seed; a time counts on this machine alone.

        Nothing is trained again for it: a recipe that was timed on another machine is timed here only where the store
        still holds its tagger and the reference's.
        """
        timing = self.study.latency
        assert timing is not None
        references = [p for p in self.prepared if p.entry.arm == timing.reference]
        dense = {p.recipe.seed: p for p in references}
        own = {(p.recipe.base, p.recipe.corpus, p.recipe.seed): p for p in references}  # where several bases have one
        for prepared in chosen:
            samples = [
                Subject(s.corpus.sample(timing.sentences, seed=0), s.whole)
                for s in self.evaluated[prepared.recipe.corpus]
                if not s.perturbation
            ]
            key = prepared.recipe.base, prepared.recipe.corpus, prepared.recipe.seed
            reference = own.get(key, dense.get(prepared.recipe.seed))
            if prepared.recipe.seed not in timing.seeds or reference in (None, prepared):
                continue
            assert reference is not None
            if self.failed([reference, prepared]) or not self._untimed(prepared, reference, samples):
                continue
            with suppress(Failed), self._kept(prepared, prepared.address, "timing"):
                for p in (reference, prepared):
                    for i in range(1, len(p.addresses)):
                        self.make(p, i, wait=True)
                with self.store.lock("clock", wait=True):  # one measurement at a time on a store
                    todo = self._untimed(prepared, reference, samples)  # another process may have made some
                    if not todo:
                        continue
                    self._keep_in_memory({})  # each of them is timed as it is opened
                    subject = self._tagger(prepared, len(prepared.recipe.steps))
                    first = self._tagger(reference, len(reference.recipe.steps))
                    second = first.copy()
                    for number, timed in enumerate(todo):
                        sample = timed.corpus
                        self.report(f"{prepared.title}: timing {sample.languages[0]}", number, len(todo))
                        latency = time_taggers(
                            subject, first, second, sample, rounds=timing.rounds, reference=reference.address
                        )
                        self._add(self._row(prepared, sample, len(timed.whole), latency=latency))

    def _untimed(self, prepared: Prepared, reference: Prepared, samples: Sequence[Subject]) -> list[Subject]:
        """The samples on which a recipe is still to be timed here."""
        keys = self.results.complete()
        stored = all(len(p.addresses) == 1 or self.store.has(p.address) for p in (prepared, reference))
        here = environment(self.threads).machine
        out = []
        for sample in samples:
            fact = ("latency", prepared.address, *sample.key[:-1])
            if (*fact, here) not in keys and (stored or all(key[:-1] != fact for key in keys)):
                out.append(sample)
        return out


def _nearest(path: Path) -> Path:
    """A path, or the nearest folder above it that there is."""
    return next(place for place in (path, *path.absolute().parents) if place.exists())


def use_threads(n: int) -> None:
    """Have torch work with so many threads in this process."""
    import torch

    torch.set_num_threads(n)
