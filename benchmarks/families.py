"""Every family of encoders, at its published sizes and trained on a real corpus: ``python benchmarks/families.py``.

``--parts sizes`` builds each published config with random weights and nine tags, and holds parameters and bytes after every legal
method against those declared. What has more than ``--most`` parameters is counted on the meta device, and cut with three layers
and 32,000 rows of word embeddings at its own widths. ``--parts trained`` trains each encoder from random weights, two layers of
128, on ``--corpus`` by `dinku.train`, compares its logits with those of plain transformers, and exports it in int8 to onnxruntime
and OpenVINO by `dinku.export`.

``--parts speed`` gives mmBERT-small and mdeberta-v3-base their exact sizes with random weights, and a vocabulary that begins with
the corpus's own pieces; says what they weigh as they come, and trimmed to 30,000 pieces in int8; and times single sentences in
`transformers.pipeline`, in dinku in float32 and in both bundles, which take turns in each round. Run it on quiet cores: the load
is in the row.

A finished row is a line of ``--out``; running again goes on after the last one. ``--table`` prints the rows as Markdown, and
``--json`` as one JSON document; neither measures anything.
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModel, AutoModelForTokenClassification, PreTrainedTokenizerFast, pipeline

import dinku
from dinku import modeling
from dinku.data import sources
from dinku.data.corpus import Corpus
from dinku.errors import DinkuError
from dinku.machine import interleaved
from dinku.method import Data, Method, Work
from dinku.methods.dynamic import QuantizeDynamic
from dinku.methods.factorize import FactorizeEmbeddings
from dinku.methods.feedforward import NarrowFeedForward
from dinku.methods.heads import PruneHeads
from dinku.methods.hidden import NarrowHidden
from dinku.methods.layers import KeepLayers
from dinku.methods.llmint8 import QuantizeLLMInt8
from dinku.methods.regroup import RegroupHeads
from dinku.methods.sparsity import Sparsify
from dinku.methods.vocabulary import TrimVocabulary
from dinku.model.family import described
from dinku.model.measured import shape_of
from dinku.model.shape import Shape
from dinku.nn import quantized, surgery
from dinku.nn.quiet import quietly
from dinku.nn.tagger import Tagger

TAGS = ("O", *(f"{letter}-{label}" for label in ("DATE", "LOC", "ORG", "PER") for letter in "BI"))
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
NAMES = ("bos_token", "pad_token", "eos_token", "unk_token", "mask_token")
TIMED = ("mmBERT-small", "mdeberta-v3-base")
RUNTIMES = ("onnxruntime", "openvino")
BASE = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
}
DEBERTA = {
    **BASE,
    "relative_attention": True,
    "position_buckets": 256,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": "p2c|c2p",
    "position_biased_input": False,
    "max_relative_positions": -1,
    "type_vocab_size": 0,
}
MODERN = {**BASE, "num_hidden_layers": 22, "intermediate_size": 1152, "max_position_embeddings": 8192}
ROBERTA = {**BASE, "max_position_embeddings": 514, "type_vocab_size": 1}
# What config.json of each says, but for what changes no size: the name, the type, the pieces its tokenizer is made of, the sizes.
PUBLISHED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert-base-multilingual-cased": ("bert", "wordpiece", {**BASE, "vocab_size": 119547, "type_vocab_size": 2}),
    "serengeti": ("electra", "wordpiece", {**BASE, "vocab_size": 250000, "embedding_size": 768}),
    "electra-small-discriminator": (
        "electra",
        "wordpiece",
        {
            **BASE,
            "vocab_size": 30522,
            "embedding_size": 128,
            "hidden_size": 256,
            "num_attention_heads": 4,
            "intermediate_size": 1024,
        },
    ),
    "ernie-2.0-base-en": ("ernie", "wordpiece", {**BASE, "vocab_size": 30522, "type_vocab_size": 4}),
    "megatron-bert-cased-345m": (
        "megatron-bert",
        "wordpiece",
        {
            **BASE,
            "vocab_size": 29056,
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "intermediate_size": 4096,
        },
    ),
    "roberta-base": ("roberta", "bytes", {**ROBERTA, "vocab_size": 50265}),
    "xlm-roberta-base": ("xlm-roberta", "unigram", {**ROBERTA, "vocab_size": 250002}),
    "xlm-roberta-xl": (
        "xlm-roberta-xl",
        "unigram",
        {
            **ROBERTA,
            "vocab_size": 250880,
            "hidden_size": 2560,
            "num_hidden_layers": 36,
            "num_attention_heads": 32,
            "intermediate_size": 10240,
        },
    ),
    "camembert-base": ("camembert", "unigram", {**ROBERTA, "vocab_size": 32005}),
    "distilbert-base-multilingual-cased": (
        "distilbert",
        "wordpiece",
        {
            "vocab_size": 119547,
            "dim": 768,
            "n_layers": 6,
            "n_heads": 12,
            "hidden_dim": 3072,
            "max_position_embeddings": 512,
        },
    ),
    "ModernBERT-base": ("modernbert", "bytes", {**MODERN, "vocab_size": 50368}),
    "mmBERT-small": (
        "modernbert",
        "bytes",
        {**MODERN, "vocab_size": 256000, "hidden_size": 384, "num_attention_heads": 6},
    ),
    "deberta-v3-base": ("deberta-v2", "unigram", {**DEBERTA, "vocab_size": 128100}),
    "mdeberta-v3-base": ("deberta-v2", "unigram", {**DEBERTA, "vocab_size": 251000}),
    "deberta-v2-xlarge": (
        "deberta-v2",
        "unigram",
        {
            **DEBERTA,
            "vocab_size": 128100,
            "hidden_size": 1536,
            "num_hidden_layers": 24,
            "num_attention_heads": 24,
            "intermediate_size": 6144,
            "conv_kernel_size": 3,
            "conv_act": "gelu",
        },
    ),
    "albert-base-v2": (
        "albert",
        "unigram",
        {**BASE, "vocab_size": 30000, "embedding_size": 128, "type_vocab_size": 2},
    ),
    "mpnet-base": ("mpnet", "wordpiece", {**BASE, "vocab_size": 30527, "max_position_embeddings": 514}),
    "EuroBERT-210m": (
        "eurobert",
        "bytes",
        {
            **BASE,
            "vocab_size": 128256,
            "num_key_value_heads": 12,
            "max_position_embeddings": 8192,
            "tie_word_embeddings": False,
        },
    ),
    "rembert": (
        "rembert",
        "unigram",
        {
            **BASE,
            "vocab_size": 250300,
            "hidden_size": 1152,
            "num_hidden_layers": 32,
            "num_attention_heads": 18,
            "intermediate_size": 4608,
            "input_embedding_size": 256,
            "output_embedding_size": 1664,
            "type_vocab_size": 2,
        },
    ),
}
SMALL = {
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 256,
    "max_position_embeddings": 258,
}


def _key(name: str, key: str) -> str:
    """What an encoder's config calls what BERT's calls ``key``."""
    model_type, _, own = PUBLISHED[name]
    family = described({"model_type": model_type, **own})
    return family.key(key) if family else key


def small(name: str) -> dict[str, Any]:
    """The same config at two layers of 128."""
    own = PUBLISHED[name][2]
    sizes = {**own, **{_key(name, key): value for key, value in SMALL.items()}}
    narrow = own.get("embedding_size", own.get("hidden_size")) != own.get("hidden_size")
    changed = {"embedding_size": 64 if narrow else 128, "num_key_value_heads": 4, "position_buckets": 32}
    changed |= {"input_embedding_size": 64, "output_embedding_size": 128}
    return {**sizes, **{key: value for key, value in changed.items() if key in own}}


def first_alike(name: str) -> str:
    """The first encoder whose small config is the same."""

    def facts(each: str) -> Any:
        model_type, kind, _ = PUBLISHED[each]
        return model_type, kind, {key: value for key, value in small(each).items() if key != "vocab_size"}

    return next(each for each in PUBLISHED if facts(each) == facts(name))


def tokenizer(kind: str, corpus: Corpus | None, pieces: int, *, length: int) -> PreTrainedTokenizerFast:
    """A tokenizer of so many pieces: trained on a corpus, or, where there is none, made up."""
    text = [" ".join(sentence.words) for sentence in corpus] if corpus else []
    trainer: Any
    if kind == "unigram":
        if corpus is None:
            made = [(f"▁{i}", -float(i % 97)) for i in range(pieces - len(SPECIAL))]
            made[: len(_letters())] = [(letter, -9.0) for letter in _letters()]
            backend = Tokenizer(models.Unigram([*((token, 0.0) for token in SPECIAL), *made], unk_id=3))
        else:
            backend = Tokenizer(models.Unigram())
        backend.normalizer, backend.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
        backend.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=pieces, special_tokens=list(SPECIAL), unk_token="<unk>", show_progress=False
        )
    elif kind == "wordpiece":
        made_up = [*SPECIAL, *_letters(), *(f"##{letter}" for letter in _letters()), *map("##{}".format, range(pieces))]
        vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(made_up[:pieces]))} if corpus is None else {}
        for number in range(pieces - len(vocabulary) if vocabulary else 0):
            vocabulary[f"more{number}"] = len(vocabulary)
        backend = Tokenizer(models.WordPiece(vocabulary, unk_token="<unk>"))
        backend.pre_tokenizer, backend.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(vocab_size=pieces, special_tokens=list(SPECIAL), show_progress=False)
    else:
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        if corpus is None:
            chains = [(a, b) for a in alphabet for b in alphabet]
            names = [*SPECIAL, *alphabet, *(a + b for a, b in chains)]
            three = [(a + b, c) for a, b in chains for c in alphabet[: pieces // len(chains) + 1]]
            merges = [*chains, *three][: pieces - len(SPECIAL) - len(alphabet)]
            names = [*SPECIAL, *alphabet, *(a + b for a, b in merges)]
            backend = Tokenizer(models.BPE({name: i for i, name in enumerate(names)}, merges))
        else:
            backend = Tokenizer(models.BPE())
        backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=True), decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=pieces, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
        )
    if corpus is not None:
        backend.train_from_iterator(text, trainer)
    ends = [(token, backend.token_to_id(token)) for token in ("<s>", "</s>")]
    backend.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    named = dict(zip(NAMES, SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=length, **named)


def filled(tokens: PreTrainedTokenizerFast, pieces: int) -> PreTrainedTokenizerFast:
    """The same tokenizer with pieces that no text has, until there are so many."""
    document = json.loads(tokens.backend_tokenizer.to_str())
    vocabulary = document["model"]["vocab"]
    for number in range(len(vocabulary), pieces):
        if isinstance(vocabulary, dict):
            vocabulary[f"<unused{number}>"] = number
        else:
            vocabulary.append([f"<unused{number}>", -50.0])
    backend = Tokenizer.from_str(json.dumps(document))
    named = {name: getattr(tokens, name) for name in NAMES}
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=tokens.model_max_length, **named)


def _letters() -> list[str]:
    return [chr(code) for code in range(33, 127)]


def encoder(model_type: str, sizes: dict[str, Any], *, seed: int = 0) -> Any:
    """An encoder with random weights, as transformers draws them."""
    own = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2}
    config = AutoConfig.for_model(model_type, **{**own, **sizes})
    torch.manual_seed(seed)
    return AutoModel.from_config(
        config, dtype=torch.float32, **modeling.without_pooler(modeling.AutoModel, config)
    ).eval()


def methods(shape: Any) -> Iterator[Method]:
    """One of every method that changes a size, at half of what there is."""
    if isinstance(shape, Shape):
        layer = shape.layers[0]
        yield KeepLayers(tuple(range(0, shape.depth, 2)))
        yield PruneHeads(max(1, layer.heads // 2))
        yield PruneHeads(max(1, layer.heads // 2), spread="uneven")
        yield RegroupHeads(layer.heads // 2)
        yield NarrowFeedForward(layer.width // 64 * 32)
        yield NarrowFeedForward(layer.width // 64 * 32, spread="uneven")
        yield NarrowHidden(shape.hidden // 4 * 3)
        yield FactorizeEmbeddings(64)
    if shape.vocabulary > 30_000:
        yield TrimVocabulary(30_000)
    yield Sparsify(0.5)
    yield Sparsify(0.5, embeddings=True)
    yield QuantizeDynamic()
    yield QuantizeLLMInt8()


def stored_bytes(tagger: Any) -> int:
    """Bytes of the tensors as they would be stored."""
    return sum(tensor.nbytes for tensor in quantized.tensors(tagger.model).values())


def held(method: Method, tagger: Tagger, data: Data) -> str:
    """*same*, or how a method's result differs from what it declares, or why it refuses."""
    try:
        declared: Any = method.declare(tagger.shape)
    except DinkuError as error:
        return f"refused: {error}"
    try:
        after: Any = method.apply(tagger, data.seen_by(method), Work(threads=torch.get_num_threads()))
        shape = after.shape
    except DinkuError as error:
        return f"broken: {error}"
    if broken := declared.broken_by(shape):
        return f"broken: {broken}"
    found = stored_bytes(after)
    if found != shape.bytes or ("precision" not in declared.spread and shape.bytes != declared.bytes):
        return f"broken: declared {declared.bytes:,} bytes, measured {found:,}"
    return "same"


def sizes_row(name: str, data: Data, most: int) -> dict[str, Any]:
    """What of a published config is as declared."""
    model_type, kind, own = PUBLISHED[name]
    config = {"model_type": model_type, **own}
    declared = shape_of(config, tags=len(TAGS))
    plain = AutoConfig.for_model(**copy.deepcopy(config), num_labels=len(TAGS))
    with torch.device("meta"):
        whole = AutoModelForTokenClassification.from_config(plain, dtype=torch.float32)
    measured = sum(parameter.numel() for parameter in whole.parameters())
    measured_bytes = sum(parameter.nbytes for parameter in whole.parameters())
    reduced = measured > most
    if reduced:
        own = {**own, _key(name, "num_hidden_layers"): 3, "vocab_size": 32_000}
    tagger = Tagger(
        surgery.with_head(encoder(model_type, own), TAGS, seed=0),
        tokenizer(kind, None, own["vocab_size"], length=own["max_position_embeddings"] - 2),
        TAGS,
    )
    surgery.record_sizes(tagger.model)
    found: dict[str, str] = {}
    for method in methods(tagger.shape):
        started = time.perf_counter()
        found[repr(method)] = held(method, tagger, data)
        gc.collect()
        print(
            f"{name}: {method} {found[repr(method)]} ({time.perf_counter() - started:.0f} s)",
            file=sys.stderr,
            flush=True,
        )
    return {
        "described": isinstance(declared, Shape),
        "declared_parameters": declared.parameters,
        "parameters": measured,
        "declared_bytes": declared.bytes,
        "bytes": measured_bytes,
        "cut_at": "three layers, 32,000 rows" if reduced else "its own sizes",
        "methods": found,
    }


def base(name: str, corpus: Corpus, folder: Path) -> None:
    """A folder as transformers writes it, with random weights and a tokenizer trained on the corpus."""
    model_type, kind, _ = PUBLISHED[name]
    pieces = tokenizer(kind, corpus, 6000, length=256)
    model = encoder(model_type, {**small(name), "vocab_size": len(pieces)})
    model.save_pretrained(folder)
    pieces.save_pretrained(folder)


def differs(folder: Path, corpus: Corpus) -> float:
    """The largest difference between a logit of dinku's and plain transformers' of the same folder."""
    tagger = Tagger.load(folder)
    plain = AutoModelForTokenClassification.from_pretrained(folder, dtype=torch.float32).eval()
    out = 0.0
    windows = tagger.encoder.windows([sentence.words for sentence in corpus.sample(64, 0)])
    for start in range(0, len(windows), 16):
        batch = tagger.encoder.batch(windows[start : start + 16])
        with torch.inference_mode():
            wanted = plain(**{key: torch.from_numpy(array) for key, array in batch.inputs.items()}).logits
        own = tagger.engine.logits(batch)
        out = max(out, float(np.abs(own - wanted.numpy()[batch.rows, batch.columns]).max()))
    return out


def trained_row(name: str, corpus: str, work: Path, epochs: int, rate: float) -> dict[str, Any]:
    """What an encoder of two layers learns of a corpus, and what becomes of it in int8."""
    train, dev = sources.load(corpus, "train"), sources.load(corpus, "dev")
    folder = work / name
    shutil.rmtree(folder, ignore_errors=True)
    base(name, train, folder / "base")
    started = time.perf_counter()
    made = dinku.train(
        folder / "base",
        corpus,
        folder / "tagger",
        epochs=epochs,
        batch=8,
        rate=rate,
        threads=torch.get_num_threads(),
        store=folder / "store",
    )
    seconds = time.perf_counter() - started
    tagger = Tagger.load(made.folder)
    out: dict[str, Any] = {
        "parameters": tagger.shape.parameters,
        "epochs": epochs,
        "seconds": round(seconds, 1),
        "dev_f1": 100 * tagger.evaluate(dev).scores().f1,
        "test_f1": 100 * made.scored.f1,
        "logits": differs(made.folder, dev),
    }
    for runtime in RUNTIMES:
        try:
            bundle = dinku.export(
                tagger, folder / runtime, dev, runtime=runtime, precision="int8", calibration=train, threads=1
            )
        except DinkuError as error:
            out[runtime] = {"refused": str(error)}
            continue
        manifest = bundle.manifest
        assert manifest.quantization
        out[runtime] = {
            "f1_before": 100 * manifest.gate["f1_before"],
            "f1": 100 * manifest.gate["f1"],
            "equal": manifest.gate["equal"],
            "kept": len(manifest.quantization.kept),
            "linear": sum(isinstance(module, torch.nn.Linear) for module in tagger.model.modules()),
            "bytes": bundle.shape.bytes,
            "float32": tagger.shape.bytes,
        }
    shutil.rmtree(folder)
    return out


def speed_row(name: str, corpus: str, work: Path, rounds: int, sentences: int) -> dict[str, Any]:
    """What a published encoder weighs and how long it reads a sentence, as it comes and trimmed and in int8."""
    model_type, kind, own = PUBLISHED[name]
    train, dev = sources.load(corpus, "train"), sources.load(corpus, "dev")
    pieces = filled(tokenizer(kind, train, 32_000, length=512), own["vocab_size"])
    tagger = Tagger(surgery.with_head(encoder(model_type, own), TAGS, seed=0), pieces, TAGS)
    folder = work / f"speed {name}"
    shutil.rmtree(folder, ignore_errors=True)
    tagger = Tagger.load(tagger.save(folder / "whole"))
    threads = torch.get_num_threads()
    small = TrimVocabulary(30_000).apply(tagger, Data(train.without_tags()), Work(threads=threads))
    out: dict[str, Any] = {"bytes": tagger.shape.bytes, "trimmed": small.shape.bytes, "threads": threads}
    texts = [" ".join(sentence.words) for sentence in dev.sample(sentences, 0)]
    whole, few = dinku.open(folder / "whole", threads=threads), dev.sample(60, 0)
    pipe = pipeline("token-classification", str(folder / "whole"), dtype=torch.float32, device="cpu")
    subjects: dict[str, Any] = {"pipeline": pipe, "dinku float32": whole.find}
    for runtime in RUNTIMES:  # random weights are nobody's, so that whatever int8 changes is let pass, and told
        bundle = dinku.export(
            small,
            folder / runtime,
            few,
            runtime=runtime,
            precision="int8",
            tolerance=1.0,
            calibration=train.sample(60, 0),
            threads=threads,
            silent=True,
        )
        out[runtime] = {"bytes": bundle.shape.bytes, "equal": bundle.manifest.gate["equal"]}
        subjects[f"int8, {runtime}"] = dinku.open(folder / runtime, threads=threads).find
    load = os.getloadavg()[0]
    ways = {each: (lambda find=find: [find(text) for text in texts]) for each, find in subjects.items()}
    seconds = interleaved(ways, rounds=rounds)
    first = seconds["pipeline"]
    for each, taken in seconds.items():
        ratios = [a / b for a, b in zip(first, taken, strict=True)]
        out[each] = {
            "ms": 1000 * median(taken) / len(texts),
            "ratio": median(ratios),
            "lowest": min(ratios),
            "highest": max(ratios),
        }
    shutil.rmtree(folder)
    return out | {"sentences": len(texts), "rounds": rounds, "load": [load, os.getloadavg()[0]]}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table, an encoder a line."""
    by = {(row["part"], row["encoder"]): row for row in rows}
    lines = [
        "| encoder | parameters, bytes | methods as declared | F1 on dev | logits | int8, onnxruntime | int8, OpenVINO |",
        "| -- | -- | -- | --: | --: | -- | -- |",
    ]
    for name, (model_type, _, _) in PUBLISHED.items():
        size, learned = by.get(("sizes", name)), by.get(("trained", first_alike(name)))
        cells = [f"{name} (`{model_type}`)", "", "", "", "", "", ""]
        if size:
            same = size["declared_parameters"] == size["parameters"] and size["declared_bytes"] == size["bytes"]
            cells[1] = (
                f"{size['parameters'] / 1e6:,.1f} M, {size['bytes'] / 1e6:,.0f} MB: {'same' if same else 'differ'}"
            )
            found = list(size["methods"].items())
            broken = sorted({key.split("(")[0] for key, what in found if what.startswith("broken")})
            refused = sorted({key.split("(")[0] for key, what in found if what.startswith("refused")})
            cells[2] = (
                f"{sum(what == 'same' for _, what in found)} of {len(found) - sum(w.startswith('refused') for _, w in found)}"
            )
            cells[2] += f"; broken: {', '.join(broken)}" if broken else ""
            cells[2] += f"; not {', '.join(refused)}" if refused else ""
            cells[2] += " ¹" if size["cut_at"] != "its own sizes" else ""
            cells[2] += "" if size["described"] else " (measured)"
        if learned:
            cells[3], cells[4] = f"{learned['dev_f1']:.1f}", f"{learned['logits']:.0e}"
            cells[5:] = [_int8(learned[runtime]) for runtime in RUNTIMES]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _int8(found: dict[str, Any]) -> str:
    if "refused" in found:
        return f"refused: {found['refused'].split('; ')[0]}"
    kept = f", {found['kept']} of {found['linear']} layers in float32" if found["kept"] else ""
    lost = found["f1"] - found["f1_before"]
    return f"{lost:+.1f}, {found['equal']:.1%} equal, {found['float32'] / found['bytes']:.1f}×{kept}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoders", nargs="*", help="some of the published encoders; all by default")
    parser.add_argument("--parts", nargs="*", default=["sizes", "trained"], choices=["sizes", "trained", "speed"])
    parser.add_argument("--corpus", default="masakhaner:hau", help="what is trained on (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--most", type=int, default=450_000_000, help="parameters that are built whole")
    parser.add_argument("--rounds", type=int, default=5, help="of --parts speed")
    parser.add_argument("--sentences", type=int, default=40, help="of --parts speed")
    parser.add_argument("--out", type=Path, default=Path("families.jsonl"))
    parser.add_argument("--work", type=Path, help="a folder for taggers and bundles; by default a temporary one")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if odd := sorted(set(asked.encoders) - PUBLISHED.keys()):
        parser.error(f"{odd[0]} is none of {', '.join(PUBLISHED)}")
    rows = [json.loads(line) for line in asked.out.read_text().splitlines()] if asked.out.exists() else []
    if asked.table or asked.json:
        print(json.dumps(rows, ensure_ascii=False, indent=1) if asked.json else table(rows), end="\n" * asked.json)
        return
    done = {(row["part"], row["encoder"]) for row in rows}
    with tempfile.TemporaryDirectory() as scratch, asked.out.open("a") as out, quietly():
        for part in asked.parts:
            for name in asked.encoders or PUBLISHED:
                if (part, name) in done or (part == "trained" and first_alike(name) != name):
                    continue
                if part == "speed" and name not in TIMED:
                    continue
                row: dict[str, Any]
                if part == "speed":
                    row = speed_row(name, asked.corpus, asked.work or Path(scratch), asked.rounds, asked.sentences)
                elif part == "sizes":
                    row = sizes_row(name, Data(sources.load(asked.corpus, "train")), asked.most)
                else:
                    row = trained_row(name, asked.corpus, asked.work or Path(scratch), asked.epochs, asked.rate)
                print(json.dumps({"part": part, "encoder": name, **row}, ensure_ascii=False), file=out, flush=True)
                gc.collect()


if __name__ == "__main__":
    main()
