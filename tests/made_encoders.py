"""Small encoders with random weights, one for each type of config.json that dinku opens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoConfig, AutoModel

from dinku import modeling
from dinku.nn import surgery
from dinku.nn.tagger import Tagger
from dinku.testing import TAGS, tiny_corpus, tiny_tokenizer

SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 66,
    "type_vocab_size": 1,
}
_XLM = {"emb_dim": 16, "n_layers": 3, "n_heads": 4, "max_position_embeddings": 66, "pad_index": 1}
# What a family has beside these sizes, or in their place.
OWN: dict[str, dict[str, Any]] = {
    "albert": {**SIZES, "embedding_size": 8},
    "convbert": {**SIZES, "embedding_size": 16, "head_ratio": 2, "conv_kernel_size": 3},
    "nystromformer": {**SIZES, "num_landmarks": 8, "segment_means_seq_len": 8},
    "deberta": {**SIZES, "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_biased_input": False},
    "deberta-v2": {
        **{**SIZES, "type_vocab_size": 0},
        **{"relative_attention": True, "pos_att_type": "p2c|c2p", "norm_rel_ebd": "layer_norm", "position_buckets": 8},
        **{"share_att_key": True, "position_biased_input": False},
    },
    "distilbert": {"dim": 16, "n_layers": 3, "n_heads": 4, "hidden_dim": 24, "max_position_embeddings": 66},
    "electra": {**SIZES, "embedding_size": 8},
    "flaubert": _XLM,
    "longformer": {**SIZES, "attention_window": [8] * 3},
    "modernbert": {**SIZES, "local_attention": 6, "global_attn_every_n_layers": 3},
    "openai_privacy_filter": {
        **SIZES,
        "num_local_experts": 2,
        "num_experts_per_tok": 1,
        "num_key_value_heads": 2,
        "head_dim": 4,
    },
    "rembert": {**SIZES, "input_embedding_size": 8, "output_embedding_size": 8},
    "squeezebert": {**SIZES, "embedding_size": 16},
    "xlm": _XLM,
    "xlnet": {"d_model": 16, "n_layer": 3, "n_head": 4, "d_inner": 24},
    "xmod": {**SIZES, "languages": ["one"], "default_language": "one"},
}


def made(model_type: str, *, tags: Sequence[str] = TAGS, tokenizer: str = "unigram", **sizes: Any) -> Tagger:
    """A tagger of three layers with four heads and hidden size 16, or an encoder where there are no tags."""
    pieces = tiny_tokenizer(tokenizer, tiny_corpus())
    given = {**OWN.get(model_type, SIZES), "pad_token_id": 1, **sizes}
    config = AutoConfig.for_model(model_type, vocab_size=len(pieces), **given)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = AutoModel.from_config(
            config, dtype=torch.float32, **modeling.without_pooler(modeling.AutoModel, config)
        )
        if tags:
            model = surgery.with_head(model, tags, seed=0)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if model_type != "mobilebert" and (weight.dim() == 2 or name.endswith("bias")):  # which has no norms
                    weight.copy_(torch.rand_like(weight) - 0.5)
            table = surgery.word_embeddings(model)
            table.padding_idx = 1
            table.weight[1] = 0
    surgery.record_sizes(model)
    return Tagger(model.eval(), pieces, tuple(tags))
