"""ALBERT: one layer that is applied again and again, on embeddings that are narrower than the hidden states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dinku.model.family import Build, Family


def _build(config: Mapping[str, Any]) -> Build | None:
    if config.get("num_hidden_groups", 1) != 1 or config.get("inner_group_num", 1) != 1:
        return None
    return Build(width=config.get("embedding_size", 128), outer=0, shared=True)


FAMILY = Family(
    name="ALBERT",
    model_types=("albert",),
    encoder=("albert", "embeddings", "encoder"),
    defaults={"vocab_size": 30000, "max_position_embeddings": 512, "type_vocab_size": 2},
    build=_build,
    layers="encoder.albert_layer_groups.0.albert_layers",
    attention="attention",
    into_heads=("attention.query", "attention.key", "attention.value"),
    out="attention.dense",
    widen="ffn",
    narrow="ffn_output",
    projection="encoder.embedding_hidden_mapping_in",
    masked_lm=False,
    refuses={
        "KeepLayers": (
            "the layers of an ALBERT are one, so that leaving some out saves no byte",
            "use PruneHeads, NarrowFeedForward or NarrowHidden, which make that one smaller",
        )
    },
)
