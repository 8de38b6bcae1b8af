"""MPNet: BERT with relative positions, whose table has a column for each head and is shared by all layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dinku.model.family import Build, Family


def _build(config: Mapping[str, Any]) -> Build:
    return Build(head_relative=config.get("relative_attention_num_buckets", 32))


_COLUMNS = (
    "the layers of an MPNet share a table of positions with a column for each head, so that their heads must stay",
    "use KeepLayers, NarrowFeedForward or NarrowHidden",
)
FAMILY = Family(
    name="MPNet",
    model_types=("mpnet",),
    encoder=("mpnet", "embeddings", "encoder"),
    defaults={"vocab_size": 30527, "max_position_embeddings": 512},
    types=False,
    build=_build,
    layers="encoder.layer",
    attention="attention.attn",
    into_heads=("attention.attn.q", "attention.attn.k", "attention.attn.v"),
    out="attention.attn.o",
    widen="intermediate.dense",
    narrow="output.dense",
    offset=True,
    unpadded=False,
    refuses={"PruneHeads": _COLUMNS, "RegroupHeads": _COLUMNS},
)
