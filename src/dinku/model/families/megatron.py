"""Megatron-BERT: BERT whose norms stand before what they norm."""

from __future__ import annotations

from dataclasses import replace

from dinku.model.families import bert
from dinku.model.family import Build

FAMILY = replace(  # it has no norm after the embeddings, and one after the last layer
    bert.FAMILY, name="Megatron-BERT", model_types=("megatron-bert",), build=lambda config: Build()
)
