"""ModernBERT, mmBERT among it: rotary positions, gates, attention that is local in most layers, and hardly a bias."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dinku.model.family import Build, Family


def _build(config: Mapping[str, Any]) -> Build:
    attention, forward = bool(config.get("attention_bias")), bool(config.get("mlp_bias"))
    return Build(
        attention_bias=attention,
        out_bias=attention,
        forward_bias=forward,
        norm=2 if config.get("norm_bias") else 1,
        gated=True,
        outer=1,  # after the embeddings and after the last layer, but the first layer has one less
        table=False,
        dense=True,
        dense_bias=bool(config.get("classifier_bias")),
    )


_ANGLES = (
    "the positions of a ModernBERT are angles of a head's coordinates, which heads of another size don't fit",
    "use PruneHeads, which keeps the size of heads",
)
FAMILY = Family(
    name="ModernBERT",
    model_types=("modernbert",),
    encoder=("model", "embeddings", "layers", "final_norm"),
    defaults={"vocab_size": 50368, "max_position_embeddings": 8192},
    types=False,
    build=_build,
    layers="layers",
    attention="attn",
    into_heads=("attn.Wqkv",),
    stacked=3,
    out="attn.Wo",
    widen="mlp.Wi",
    narrow="mlp.Wo",
    masked_lm=False,
    rotary=True,
    first_stays=True,
    refuses={"RegroupHeads": _ANGLES},
)
