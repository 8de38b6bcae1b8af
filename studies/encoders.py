"""Write the encoder that the CPU studies start from: four layers of multilingual-e5-small, its vocabulary cut.

    python studies/encoders.py E5 OUT

E5 is intfloat/multilingual-e5-small (MIT) as a Hugging Face folder or Hub id, OUT the folder to write. Layers 0, 3, 7 and
11 of the twelve stay. Of the 250,037 rows of the vocabulary those stay that the ten MasakhaNER 1.0 train splits use, all
special pieces, all single characters of those texts, and the piece of lowest score, on which the score of an unknown
character hangs: so the text of those splits is segmented as before. No dev or test sentence is looked at.
"""

from __future__ import annotations

import argparse
import json

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import PreTrainedTokenizerFast

from dinku.data import sources
from dinku.data.corpus import Corpus
from dinku.nn.tagger import Tagger

LAYERS = (0, 3, 7, 11)


def kept_pieces(tokenizer: Tokenizer, corpus: Corpus) -> list[int]:
    """Rows of the vocabulary that stay, sorted."""
    vocabulary = json.loads(tokenizer.to_str())["model"]["vocab"]
    ids = {i for e in tokenizer.encode_batch([list(s.words) for s in corpus], is_pretokenized=True) for i in e.ids}
    letters = {letter for s in corpus for word in s.words for letter in word} | {"▁"}
    ids |= {i for i, (piece, _) in enumerate(vocabulary) if piece in letters}
    ids |= set(tokenizer.get_added_tokens_decoder()) | {0, 1, 2, 3}
    ids.add(min(range(4, len(vocabulary)), key=lambda i: vocabulary[i][1]))
    return sorted(ids)


def trimmed(tokenizer: PreTrainedTokenizerFast, kept: list[int]) -> PreTrainedTokenizerFast:
    """The same tokenizer over the kept rows, renumbered."""
    document = json.loads(tokenizer.backend_tokenizer.to_str())
    new = {old: i for i, old in enumerate(kept)}
    vocabulary = document["model"]["vocab"]
    document["model"]["vocab"] = [vocabulary[old] for old in kept if old < len(vocabulary)]
    document["model"]["unk_id"] = new[document["model"]["unk_id"]]
    for token in document["added_tokens"]:
        token["id"] = new[token["id"]]
    for name, token in document["post_processor"]["special_tokens"].items():
        document["post_processor"]["special_tokens"][name]["ids"] = [new[i] for i in token["ids"]]
    special = {key: str(value) for key, value in tokenizer.special_tokens_map.items()}
    backend = Tokenizer.from_str(json.dumps(document))
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=tokenizer.model_max_length, **special)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("e5")
    parser.add_argument("out")
    arguments = parser.parse_args()
    whole = Tagger.load(arguments.e5)
    corpus = sources.load("masakhaner:all", "train")
    kept = kept_pieces(whole.tokenizer.backend_tokenizer, corpus)
    model = whole.model
    model.encoder.layer = nn.ModuleList(model.encoder.layer[i] for i in LAYERS)
    table = model.embeddings.word_embeddings
    with torch.no_grad():
        rows = nn.Embedding(len(kept), table.embedding_dim, padding_idx=kept.index(table.padding_idx))
        rows.weight.copy_(table.weight[kept])
    model.embeddings.word_embeddings = rows
    model.config.num_hidden_layers, model.config.vocab_size = len(LAYERS), len(kept)
    tagger = Tagger(model, trimmed(whole.tokenizer, kept), ())
    before, after = (t.encoder.windows([s.words for s in corpus]) for t in (whole, tagger))
    if any([kept[i] for i in b.ids] != a.ids.tolist() for b, a in zip(after, before, strict=True)):
        raise SystemExit("the cut vocabulary segments the train splits otherwise: not written")
    print(tagger.save(arguments.out), f"{tagger.shape.parameters:,} parameters, {len(kept):,} pieces")


if __name__ == "__main__":
    main()
