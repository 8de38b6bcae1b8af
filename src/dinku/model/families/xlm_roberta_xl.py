"""XLM-R XL: XLM-R whose norms stand before what they norm."""

from __future__ import annotations

from dataclasses import replace

from dinku.model.families import roberta

FAMILY = replace(  # it has no norm after the embeddings, and one after the last layer
    roberta.FAMILY, name="XLM-R XL", model_types=("xlm-roberta-xl",)
)
