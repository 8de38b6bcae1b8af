"""DeBERTa-v2 and v3, mDeBERTa among them: relative positions, whose table all layers share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dinku.model.family import Build, Family


def _build(config: Mapping[str, Any]) -> Build | None:
    narrow = config.get("embedding_size", config.get("hidden_size")) != config.get("hidden_size")
    if narrow or config.get("conv_kernel_size") or config.get("attention_head_size"):
        return None
    relative, rows = bool(config.get("relative_attention")), 0
    if relative:
        buckets, most = config.get("position_buckets", -1), config.get("max_relative_positions", -1)
        rows = 2 * (buckets if buckets > 0 else most if most > 0 else config.get("max_position_embeddings", 512))
    kinds = config.get("pos_att_type") or ()
    own = relative and not config.get("share_att_key")
    return Build(
        projected=3 + own * (("c2p" in kinds) + ("p2c" in kinds)),
        outer=1 + ("layer_norm" in str(config.get("norm_rel_ebd", "none")).lower()),
        table=bool(config.get("position_biased_input", True)),
        relative=rows,
    )


FAMILY = Family(
    name="DeBERTa",
    model_types=("deberta-v2",),
    encoder=("deberta", "embeddings", "encoder"),
    defaults={"vocab_size": 128100, "max_position_embeddings": 512, "type_vocab_size": 0},
    build=_build,
    layers="encoder.layer",
    attention="attention.self",
    into_heads=(
        "attention.self.query_proj",
        "attention.self.key_proj",
        "attention.self.value_proj",
        "attention.self.pos_key_proj",
        "attention.self.pos_query_proj",
    ),
    out="attention.output.dense",
    widen="intermediate.dense",
    narrow="output.dense",
    unpadded=False,
    masked_lm=False,
)
