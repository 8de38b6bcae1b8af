"""RoBERTa and XLM-R, and what is RoBERTa under another name: CamemBERT."""

from __future__ import annotations

from dataclasses import replace

from dinku.model.families import bert
from dinku.model.family import Build

FAMILY = replace(
    bert.FAMILY,
    name="RoBERTa",
    model_types=("roberta", "xlm-roberta", "camembert"),
    encoder=("roberta", "embeddings", "encoder"),
    build=lambda config: Build(),
    offset=True,
)
