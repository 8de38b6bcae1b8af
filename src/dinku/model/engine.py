"""Engines that answer logits for a batch. Each is imported only where it is used."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Protocol

from dinku.errors import DinkuError
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
