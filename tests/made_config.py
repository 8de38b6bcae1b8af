"""What several test modules share."""

from __future__ import annotations

AFRIBERTA = {
    "model_type": "xlm-roberta",
    "architectures": ["XLMRobertaForTokenClassification"],
    "vocab_size": 70006,
    "hidden_size": 768,
    "num_attention_heads": 6,
    "intermediate_size": 3072,
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
    "id2label": {str(i): f"LABEL_{i}" for i in range(9)},
}
