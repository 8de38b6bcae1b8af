"""DistilBERT: BERT without types of tokens, under names of its own."""

from __future__ import annotations

from dinku.model.family import Family

FAMILY = Family(
    name="DistilBERT",
    model_types=("distilbert",),
    encoder=("distilbert", "embeddings", "transformer"),
    keys={
        "hidden_size": "dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim",
    },
    types=False,
    layers="transformer.layer",
    attention="attention",
    into_heads=("attention.q_lin", "attention.k_lin", "attention.v_lin"),
    out="attention.out_lin",
    widen="ffn.lin1",
    narrow="ffn.lin2",
)
