"""Engines that answer logits for a batch. Each is imported only where it is used."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from dinku.errors import DinkuError
from dinku.model.encode import SubwordBatch
from dinku.model.windows import Batch, Logits


def unreadable(model: Path, error: Exception) -> DinkuError:
    """What an engine says of a model that it can't open."""
    reason = " ".join(str(error).split())[:200]
    remedy = "unset ONEDNN_MAX_CPU_ISA" if held() else "fetch or export the model again"
    return DinkuError(f"can't be opened ({reason}){held()}", where=str(model), remedy=remedy)


def check_names(model: Path, inputs: Iterable[str], outputs: Iterable[str], *, expected: Collection[str]) -> None:
    """Raise `DinkuError` where a model reads other inputs than ``expected``, or answers with anything but logits."""
    if ({*inputs}, {*outputs}) != ({*expected}, {"logits"}):
        raise unreadable(model, ValueError("its inputs and outputs aren't a token classifier's"))


def held() -> str:
    """To which instructions oneDNN is held, which multiplies for torch and OpenVINO; empty where to none."""
    most = os.environ.get("ONEDNN_MAX_CPU_ISA")
    return f", oneDNN held to {most}" if most not in (None, "", "ALL", "DEFAULT") else ""


class Engine(Protocol):
    """What answers for a batch."""

    def logits(self, batch: Batch) -> Logits:
        """[scored words, tags] in float32, the words in the order of the batch's windows."""
        ...


def by_length(answer: Callable[[SubwordBatch], Logits], batch: SubwordBatch) -> Logits:
    """[scored words, tags] of a batch that is answered in groups of windows of equal length, so that nothing is padded."""
    lengths = np.array([window.size for window in batch.windows])
    out: list[Logits] = [np.zeros((0, 0), np.float32)] * len(lengths)
    for length in np.unique(lengths):
        chosen = np.flatnonzero(lengths == length)
        part = SubwordBatch(batch.ids[chosen, :length], batch.mask[chosen, :length], [batch.windows[i] for i in chosen])
        ends = np.cumsum([len(window.at) for window in part.windows])
        for i, logits in zip(chosen, np.split(answer(part), ends[:-1]), strict=True):
            out[i] = logits
    return np.concatenate(out)


class InspectableEngine(Engine, Protocol):
    """An engine that says how it computes."""

    def executed(self, batch: Batch) -> dict[str, int]:
        """How often each operator that computes much runs for a batch, by the type it computes in: *int8 MatMul*."""
        ...

    @property
    def kernels(self) -> str:
        """What multiplies, and its version."""
        ...

    @property
    def instructions(self) -> str:
        """The instructions that it may use."""
        ...


@dataclass(frozen=True)
class UnpaddedEngine:
    """An engine of an encoder whose answers depend on padding (`dinku.model.family.UNPADDED`): it is never given any."""

    engine: InspectableEngine

    def logits(self, batch: Batch) -> Logits:
        """See `Engine.logits`."""
        return by_length(self.engine.logits, cast(SubwordBatch, batch))

    def executed(self, batch: Batch) -> dict[str, int]:
        """See `InspectableEngine.executed`."""
        return self.engine.executed(batch)

    @property
    def kernels(self) -> str:
        return self.engine.kernels

    @property
    def instructions(self) -> str:
        return self.engine.instructions
