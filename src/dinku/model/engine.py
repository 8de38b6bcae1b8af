"""Engines that answer logits for a batch. Each is imported only where it is used."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from dinku.errors import DinkuError


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
