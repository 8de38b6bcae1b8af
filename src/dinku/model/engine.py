"""The protocols of engines, which compute logits for a batch, and their common errors."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Protocol

from dinku.errors import DinkuError
from dinku.model.windows import Batch, Logits


def unreadable(model: Path, error: Exception) -> DinkuError:
    """The error for a model that an engine can't open."""
    reason = " ".join(str(error).split())[:200]
    remedy = "unset ONEDNN_MAX_CPU_ISA" if held() else "fetch or export the model again"
    return DinkuError(f"can't be opened ({reason}){held()}", where=str(model), remedy=remedy)


def check_names(model: Path, inputs: Iterable[str], outputs: Iterable[str], *, expected: Collection[str]) -> None:
    """Raise `DinkuError` if a model's inputs aren't the ``expected`` ones, or its only output isn't *logits*."""
    if ({*inputs}, {*outputs}) != ({*expected}, {"logits"}):
        raise unreadable(model, ValueError("its inputs and outputs aren't a token classifier's"))


def held() -> str:
    """A note on the instructions that the environment limits oneDNN to, which torch and OpenVINO use; empty without a limit."""
    most = os.environ.get("ONEDNN_MAX_CPU_ISA")
    return f", oneDNN held to {most}" if most not in (None, "", "ALL", "DEFAULT") else ""


class Engine(Protocol):
    """Computes logits."""

    def logits(self, batch: Batch) -> Logits:
        """The logits [scored words, tags] in float32, words in the order of the batch's windows."""
        ...


class InspectableEngine(Engine, Protocol):
    """An engine that reports how it computes."""

    def executed(self, batch: Batch) -> dict[str, int]:
        """How often each expensive operator runs for a batch, by the type it computes in, such as *int8 MatMul*."""
        ...

    @property
    def kernels(self) -> str:
        """The library that multiplies, and its version."""
        ...

    @property
    def instructions(self) -> str:
        """The processor's instruction sets that the engine may use."""
        ...
