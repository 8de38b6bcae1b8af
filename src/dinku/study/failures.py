"""Failures of steps: each is recorded with its reason, and the other steps of a study continue."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dinku.errors import DinkuError, plural
from dinku.machine import environment
from dinku.method import Method
from dinku.methods.registry import to_json
from dinku.study.inputs import Inputs
from dinku.study.prepare import Prepared
from dinku.study.rows import Failure


class Failed(Exception):
    """A step failed, and the failure is recorded."""


@dataclass(frozen=True)
class KeepsFailures(Inputs):
    """The part of a run that records failures. An error of the system, such as a full disk, isn't recorded but stops the run."""

    def begin(self, chosen: Sequence[Prepared]) -> None:
        """Drop the failures of recipes that are complete by now, and note how often each other step has failed."""
        self.results.mend({address for p in chosen if not self.missing(p) for address in p.addresses})
        self.before.clear()
        self.before.update({failure.address: failure.attempts for failure in self.results.failures()})

    def failed(self, chosen: Sequence[Prepared]) -> list[Failure]:
        """The steps of these recipes that failed since `begin`, in this process or another."""
        fresh = [f for f in self.results.failures() if f.attempts > self.before.get(f.address, 0)]
        addresses = {address for p in chosen for address in p.addresses} if fresh else set()
        return [failure for failure in fresh if failure.address in addresses]

    def check(self, chosen: Sequence[Prepared]) -> None:
        """Raise `DinkuError`, of status 1, that names the steps that failed."""
        if failed := self.failed(chosen):
            left = sum(bool(self.missing(p)) for p in chosen)
            listed = "; ".join(f.summary for f in failed[:3])
            listed += f"; and {len(failed) - 3} more" * (len(failed) > 3)
            steps, recipes = (
                plural(len(failed), "step"),
                plural(left, "recipe lacks", "recipes lack"),
            )
            problem = f"{steps} failed, and {recipes} rows ({listed})"
            remedy = "see them with `dinku results`, and run again to try once more"
            raise DinkuError(problem, where=str(self.results.folder), remedy=remedy, status=1)

    @contextmanager
    def _kept(self, prepared: Prepared, address: str, step: Method | str) -> Iterator[None]:
        """Record a failure within the block, unless it is an error of the system."""
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
        """Record that a step, or *tagging* or *timing*, failed for this reason."""
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
        self.report(f"failed: {failure.summary}", 0, 0)

    def _describe(self) -> None:
        self.results.describe(self.study.document())
        self.current.keep(self.results.folder)


def _of_the_system(error: BaseException | None) -> bool:
    """Whether the system refused something, such as disk space: not the step's fault, and perhaps only for now."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return True
        error = error.__cause__ or error.__context__
    return False


def _nearest(path: Path) -> Path:
    """The path itself if it exists, or else the nearest folder above it that does."""
    return next(place for place in (path, *path.absolute().parents) if place.exists())
