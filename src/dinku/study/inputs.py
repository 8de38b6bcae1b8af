"""A study with all that it reads, prepared: corpora, text, starting models, recipes with their addresses, test sentences."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from dinku import machine
from dinku.data import sources
from dinku.data.perturb import unseen_names
from dinku.data.unlabelled import Text
from dinku.errors import DinkuError
from dinku.method import Data, needs_of
from dinku.model.folder import ModelFolder
from dinku.model.installed import HOUSE
from dinku.model.sentence_tagger import SentenceTagger
from dinku.model.shape import Shape
from dinku.model.store import Store
from dinku.progress import Progress, silent
from dinku.study.current import Asked, Current, recipe_name, text_name
from dinku.study.definition import Study
from dinku.study.prepare import LINE, PUBLISHED, Prepared, StartingModel, Subject, foreign, prepare
from dinku.study.results import Results


@dataclass(frozen=True)
class Inputs:
    """A study, the store its taggers go to, and the results its rows go to.

    ``cores`` is the number of threads if the study gives none; by default all that are available. Steps that train, and tagging
    in floating point, run on ``device`` (*cpu* or *cuda*), and everything else on the CPU, clocks included. With ``planning``,
    models of published shape and text may be missing. ``before`` counts how often each step had failed when a run began.
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
        """The study's unlabelled text; ``None`` if it has none, or if it is missing while planning."""
        if self.study.text is None or (self.planning and not Path(os.path.expanduser(self.study.text)).is_dir()):
            return None
        return Text.open(self.study.text)

    @cached_property
    def bases(self) -> dict[str, StartingModel]:
        return {name: self._base(name) for name in dict.fromkeys(e.recipe.base for e in self.study.entries())}

    def _base(self, name: str) -> StartingModel:
        """The starting model of that name. While planning, one of published shape may be missing."""
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
        """The test sentences of recipes, by the name of the corpus that the recipes learn from."""
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
        """The test sentences of a corpus by language: each language as it is, then perturbed in each way."""
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
        """Warnings about the study, a line each; none of them keeps it from running."""
        learnt = [split for data in self.data.values() for split in (data.train, data.dev) if split]
        tested = [subject.whole for subjects in self.evaluated.values() for subject in subjects]
        notes = [note for corpus in (*learnt, *tested) for note in corpus.notes]
        notes += [foreign(step, p.data) for p in self.prepared for step in p.recipe.steps]
        if (timing := self.study.latency) and all(p.entry.arm != timing.reference for p in self.prepared):
            notes.append(
                f"nothing is timed: {timing.reference!r}, to be timed against, isn't of this section's encoders"
            )
        absent = [name for name, base in self.bases.items() if not base.here]
        notes += [f"{name} isn't here: sizes are as it was published" for name in absent]
        if (
            self.study.text and not Path(os.path.expanduser(self.study.text)).is_dir()
        ):  # else it is refused, where a step reads it
            assumed = f"{LINE} subwords a line are assumed" if self.planning else "no step reads it"
            notes.append(f"the text {self.study.text} isn't here: {assumed}")
        return [line for line in dict.fromkeys(notes) if line]

    @property
    def threads(self) -> int:
        return self.study.threads or self.cores or machine.available_threads()

    def chosen(self, only: Sequence[str] = ()) -> list[Prepared]:
        """The recipes of the arms ``only``, or of all arms; raises `DinkuError` for an unknown arm."""
        arms = dict.fromkeys(p.entry.arm for p in self.prepared)
        if unknown := [name for name in only if name not in arms]:
            problem = f"no arm is named {unknown[0]!r}"
            raise DinkuError(problem, where=self.study.name, remedy=f"choose of {', '.join(map(repr, arms))}")
        return [p for p in self.prepared if not only or p.entry.arm in only]

    def missing(self, prepared: Prepared) -> list[Subject]:
        """The test sentences for which this recipe has no quality row yet."""
        have = self.results.complete()
        subjects = self.evaluated[prepared.recipe.corpus]
        return [subject for subject in subjects if ("quality", prepared.address, *subject.key) not in have]

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
