"""BERT, and what is BERT under another name: ERNIE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dinku.model.family import Build, Family


def _build(config: Mapping[str, Any]) -> Build | None:
    return None if config.get("use_task_id") else Build()  # ERNIE's embeddings of tasks


FAMILY = Family(
    name="BERT",
    model_types=("bert", "ernie"),
    encoder=("bert", "ernie", "embeddings", "encoder"),
    build=_build,
    layers="encoder.layer",
    attention="attention.self",
    into_heads=("attention.self.query", "attention.self.key", "attention.self.value"),
    out="attention.output.dense",
    widen="intermediate.dense",
    narrow="output.dense",
)
