"""Engines that answer logits for a batch. Each is imported only where it is used."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dinku.errors import DinkuError
from dinku.model.encode import Batch
from dinku.schema import Record


def unreadable(model: Path, error: Exception) -> DinkuError:
    """What an engine says of a model that it can't open."""
    reason = " ".join(str(error).split())[:200]
    remedy = "unset ONEDNN_MAX_CPU_ISA" if held() else "fetch or export the model again"
    return DinkuError(f"can't be opened ({reason}){held()}", where=str(model), remedy=remedy)


def check_names(model: Path, inputs: Iterable[str], outputs: Iterable[str]) -> None:
    """Raise `DinkuError` where what a model reads and answers isn't a token classifier's."""
    if ({*inputs}, {*outputs}) != ({"input_ids", "attention_mask"}, {"logits"}):
        raise unreadable(model, ValueError("its inputs and outputs aren't a token classifier's"))


def held() -> str:
    """To which instructions oneDNN is held, which multiplies for torch and OpenVINO; empty where to none."""
    most = os.environ.get("ONEDNN_MAX_CPU_ISA")
    return f", oneDNN held to {most}" if most not in (None, "", "ALL", "DEFAULT") else ""


Logits = NDArray[np.float32]


class Engine(Protocol):
    """What answers for a batch."""

    def logits(self, batch: Batch) -> Logits:
        """[windows, subwords] → [scored words, tags], the words in the order of ``batch.rows``."""
        ...


class Told(Engine, Protocol):
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


class Numerics(Record):
    """How a quantized tagger computes, measured on a sample of the row's sentences.

    ``operators`` counts those of one batch by the type they compute in; what isn't int8 was left unquantized.
    ``instructions`` is the widest set that torch uses, ``kernels`` what multiplies int8. Logits of the same ``words`` alone
    and in padded batches of ``batch`` windows differ by ``largest_change`` at most, none of them being above
    ``largest_logit`` in magnitude, and ``changed`` words get another tag.
    """

    scheme: str
    operators: dict[str, int]
    instructions: str
    kernels: str
    sentences: int
    batch: int
    words: int
    changed: int
    largest_change: float
    largest_logit: float
