"""Carries out steps: each makes the next tagger of a recipe, and saves it in the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from dinku import machine
from dinku.errors import DinkuError
from dinku.files import os_errors_as_dinku
from dinku.machine import environment
from dinku.method import Work
from dinku.methods.registry import to_json
from dinku.model.folder import ModelFolder
from dinku.model.sentence_tagger import SentenceTagger
from dinku.nn.loading import open_tagger
from dinku.study.facts import Clock
from dinku.study.failures import Failed, KeepsFailures
from dinku.study.prepare import Prepared, foreign, memory_needed
from dinku.study.recipe import changeable_by
from dinku.training.settings import TrainingSettings


@dataclass(frozen=True)
class MakesTaggers(KeepsFailures):
    """The part of a run that makes taggers. The process that holds an address's lock in the store makes it."""

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
        """Make the tagger after the i-th step, save it, and keep it in memory for the next step."""
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
        after = step.apply(cast(Any, tagger), data, work)  # `declared` has refused models of kinds that it can't take
        if broken := step.declare(changeable_by(step, tagger.shape)).broken_by(after.shape):
            raise DinkuError(broken, where=prepared.title, remedy="report this bug of the method", status=1)
        after.save(self.store.begin(address))
        self.store.finish(address, self._record(prepared, i, work, clock.seconds))
        if reopened := after.as_reopened(self.store.tagger(address), prepared.recipe.label_on):
            self._keep_in_memory({before: tagger, address: reopened})

    def _record(self, prepared: Prepared, i: int, work: Work, seconds: float) -> dict[str, Any]:
        """The store's record of how the tagger after the i-th step was made."""
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
        """Keep only these taggers in memory, by address."""
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
