"""ELECTRA's discriminator: BERT whose embeddings may be narrower than its hidden states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dinku.model.families import bert
from dinku.model.family import Build


def _build(config: Mapping[str, Any]) -> Build:
    width = config.get("embedding_size", 128)
    narrow = width != config.get("hidden_size", 256)
    return Build(width=width, outer=0) if narrow else Build()


FAMILY = replace(
    bert.FAMILY,
    name="ELECTRA",
    model_types=("electra",),
    encoder=("electra", "embeddings", "embeddings_project", "encoder"),
    build=_build,
    projection="embeddings_project",
    projects_unlike=True,
    masked_lm=False,
)
