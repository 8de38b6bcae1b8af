"""What a search is asked: a model, a corpus, a budget, and how to search."""

from __future__ import annotations

import os
import time as clock
from dataclasses import dataclass, field
from typing import Literal, get_args

from dinku import machine
from dinku.errors import DinkuError
from dinku.making import corpora
from dinku.making.budget import Budget, quantity
from dinku.model.folder import ModelFolder
from dinku.model.runtimes import DEFAULT, Runtime, check_runtime
from dinku.model.sentence_tagger import SentenceTagger
from dinku.settings import home

Effort = Literal["quick", "default", "thorough"]


@dataclass(frozen=True)
class SearchSettings:
    """How `dinku.making.compress.compress` searches.

    ``text`` is a folder of unlabelled text that students also learn from. ``time`` (*2h*, or seconds) limits the whole search,
    and otherwise ``effort`` says how many students are tried. ``runtime`` is that of the bundle. ``seed`` is that of trainings
    and of the search. ``dev`` is the share of train that is set aside if the corpus has no dev split. ``threads`` are all cores
    by default. Trainings run on ``device``; all steps are kept in ``store``. ``labels`` renames the tagger's tags or labels, as
    `dinku.model.labels.read_labels` reads them.

    Raises `DinkuError` for an unknown effort or runtime, and for a time without a number.

    >>> SearchSettings(time="2h").seconds
    7200.0
    """

    text: str | os.PathLike[str] | None = None
    time: str | float | None = None
    effort: Effort = "default"
    runtime: Runtime = DEFAULT
    seed: int = 0
    dev: float = 0.1
    threads: int | None = None
    device: str = "cpu"
    store: str | os.PathLike[str] | None = None
    labels: str = ""

    def __post_init__(self) -> None:
        if self.effort not in get_args(Effort):
            raise DinkuError(f"is {self.effort!r}", where="effort", remedy=f"choose {' or '.join(get_args(Effort))}")
        check_runtime(self.runtime, where="runtime")
        for name in ("text", "store"):
            if (path := getattr(self, name)) is not None:
                object.__setattr__(self, name, os.fspath(path))
        object.__setattr__(self, "time", None if self.time is None else quantity(self.time, "time", where="time"))
        object.__setattr__(self, "threads", self.threads or machine.available_threads())

    @property
    def seconds(self) -> float | None:
        """The time of the whole search; ``None`` if it isn't limited."""
        return None if self.time is None else float(self.time)


@dataclass(frozen=True)
class Request:
    """A search as it was asked for, and the time when it ``began``."""

    base: str
    corpus: corpora.Ready
    budget: Budget
    settings: SearchSettings
    began: float = field(default_factory=clock.monotonic, compare=False)

    @classmethod
    def of(
        cls,
        model: str | os.PathLike[str] | SentenceTagger,
        corpus: str | os.PathLike[str],
        budget: Budget | None = None,
        settings: SearchSettings | None = None,
    ) -> Request:
        """Prepare the corpus, and name the model, which is only read if labels are renamed; raises `DinkuError` as these do."""
        began, settings = clock.monotonic(), settings or SearchSettings()
        ready = corpora.ready(corpus, part=settings.dev, seed=settings.seed)
        return cls(_name_of(model, settings.labels), ready, budget or Budget(), settings, began)

    @property
    def text(self) -> str | None:
        """The folder of unlabelled text."""
        return None if self.settings.text is None else str(self.settings.text)

    @property
    def store(self) -> str | None:
        """The folder of the store; ``None`` for the usual one."""
        return None if self.settings.store is None else str(self.settings.store)

    @property
    def threads(self) -> int:
        return self.settings.threads or machine.available_threads()

    @property
    def spent(self) -> float:
        """Seconds since it began."""
        return clock.monotonic() - self.began

    @property
    def left(self) -> float:
        """Seconds that are left; infinite without a limit."""
        return float("inf") if self.settings.seconds is None else self.settings.seconds - self.spent


def _name_of(model: str | os.PathLike[str] | SentenceTagger, labels: str) -> str:
    """The name of a model. A tagger in memory, or one whose ``labels`` are renamed, is saved under `home` first."""
    if isinstance(model, str | os.PathLike):
        if not labels:
            return os.fspath(model)
        from dinku.nn.loading import load  # which imports torch

        model = load(ModelFolder.of(model, labels=labels))
    folder = home() / "made" / f"model-{model.digest[:24]}"
    if not folder.is_dir():
        model.save(folder)
    return str(folder)
