"""Runs a study: makes its taggers in the store, and writes its rows.

Recipes with complete rows aren't run again, even if the store is empty, and steps that recipes share are run once. Any number of
processes may run one study: the process that holds the lock of an address makes it, and the others come back to it later. A step
that fails is recorded with its reason, and the others continue. If the system refuses something, such as disk space, the run
stops.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from dinku import machine
from dinku.errors import plural
from dinku.scoring.counts import LEARN_MORE
from dinku.study.failures import Failed
from dinku.study.measure import Measures
from dinku.study.prepare import Prepared


@dataclass(frozen=True)
class Runner(Measures):
    """A run of a study, which carries out and measures its recipes one by one. `dinku.study.inputs.Inputs` has the fields."""

    def run(self, only: Sequence[str] = ()) -> None:
        """Carry out and measure every recipe of the study (or of the arms ``only``), then take the times that the study asks for.

        Raises `DinkuError`, of status 1, at once if the system refuses something, and at the end if steps failed.
        """
        chosen = self.chosen(only)
        machine.check_threads(self.threads, where=f"{self.study.name}: threads")
        use_threads(self.threads)
        self.results.check_writable()
        self.begin(chosen)
        waiting = deque(p for p in chosen if self.missing(p))
        passed = 0  # consecutive recipes that other processes hold
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

    def finish(self, prepared: Prepared, *, wait: bool) -> bool:
        """Write the missing rows of one recipe; ``False`` if another process is working on a step of it.

        Raises `Failed` if a step of it failed, and passes on errors of the system, as `make` does.
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

    def conclude(self, chosen: Sequence[Prepared]) -> None:
        """Take the times that the study asks for, on this machine, and raise as `run` does if steps failed."""
        if self.study.latency:
            self._time(chosen)
        self._describe()
        self.check(chosen)

    def silent(self, chosen: Sequence[Prepared]) -> str:
        """A warning that names the recipes that find no entity in clean text, and says what to try; empty if there are none."""
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


def use_threads(n: int) -> None:
    """Set the number of threads that torch uses in this process."""
    import torch

    torch.set_num_threads(n)
