"""A public battery of tests for methods: ``check_method(MyMethod(…))``, on tiny taggers that it makes itself."""

from __future__ import annotations

import atexit
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModel as Encoders
from transformers import (
    BertConfig,
    DistilBertConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    XLMRobertaConfig,
)

from dinku.data.conll import write
from dinku.data.corpus import Corpus, Sentence
from dinku.data.unlabelled import Text
from dinku.errors import DinkuError, plural
from dinku.method import Category, Data, Method, Seeded, Work
from dinku.methods.registry import from_json, to_json
from dinku.model.shape import Costs, Shape
from dinku.nn import surgery
from dinku.nn.loading import open_tagger
from dinku.nn.tagger import Tagger
from dinku.study.recipe import Recipe
from dinku.study.results import Results
from dinku.study.rows import Row

TAGS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
SYLLABLES = ("ba", "de", "ki", "lo", "mu", "na", "sẹ", "ti", "wa", "ሰላ")
_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
_NAMES = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token", "mask_token"), _SPECIAL, strict=True))


def _sizes(vocabulary: int) -> dict[str, int]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 24,
    }


_CONFIGS: dict[str, Callable[[int], Any]] = {
    "xlm-roberta": lambda vocabulary: XLMRobertaConfig(
        **_sizes(vocabulary), max_position_embeddings=66, type_vocab_size=1, pad_token_id=1
    ),
    "bert": lambda vocabulary: BertConfig(**_sizes(vocabulary), max_position_embeddings=64, pad_token_id=1),
    "roberta": lambda vocabulary: RobertaConfig(
        **_sizes(vocabulary), max_position_embeddings=66, type_vocab_size=1, pad_token_id=1
    ),
    "distilbert": lambda vocabulary: DistilBertConfig(
        vocab_size=vocabulary, dim=16, n_layers=2, n_heads=4, hidden_dim=24, max_position_embeddings=64, pad_token_id=1
    ),
}


def tiny_corpus(sentences: int = 24, *, seed: int = 0, split: str = "train") -> Corpus:
    """Made-up sentences in two languages, in which endings tell names from other words."""
    random = np.random.default_rng(seed)
    out = []
    for number in range(sentences):
        words, tags = [], []
        for _ in range(int(random.integers(1, 9))):
            stem = "".join(SYLLABLES[i] for i in random.integers(0, len(SYLLABLES), int(random.integers(1, 4))))
            kind = int(random.integers(0, 4))
            words += (
                [stem.title() + "o", "Ade" + stem] if kind == 0 else [stem.title() + "land"] if kind == 1 else [stem]
            )
            tags += ["B-PER", "I-PER"] if kind == 0 else ["B-LOC"] if kind == 1 else ["O"]
        out.append(Sentence(tuple(words), tuple(tags), ("one", "two")[number % 2]))
    return Corpus("tiny", split, tuple(out))


def tiny_text(folder: Path) -> Text:
    """Unlabelled text in two languages, written to a folder that doesn't exist yet."""
    folder.mkdir()
    for seed, language in enumerate(("one", "two"), 3):
        lines = [" ".join(sentence.words) for sentence in tiny_corpus(60, seed=seed)]
        (folder / f"{language}.txt").write_text("\n".join(lines), encoding="utf-8")
    return Text.open(str(folder))


_STUDY = """
name: small
title: Pruning, killed and continued
base: encoder
corpus: corpus
recipes:
  - arm: dense
    seeds: [0, 1]
    steps: [FineTune: {{epochs: {epochs}, batch: 4, rate: 1.0e-3}}]
  - arm: before
    grid: {{sparsity: [0.5, 0.9]}}
    steps: [Sparsify: {{sparsity: $sparsity}}, FineTune: {{epochs: {epochs}, batch: 4, rate: 1.0e-3}}]
  - arm: after with recovery
    steps:
      - FineTune: {{epochs: {epochs}, batch: 4, rate: 1.0e-3}}
      - Sparsify: {{sparsity: 0.7}}
      - FineTune: {{epochs: 2, batch: 4, rate: 5.0e-5}}
"""


def tiny_study(folder: Path, home: Path, *, epochs: int = 4) -> Path:
    """Write ``small.yaml`` and its corpus to a folder, from which it is to be run, and its encoder to a DINKU_HOME.

    It has five recipes and two languages, which make ten rows.
    """
    tiny_tagger(tags=()).save(home / "models" / "encoder")
    for split, seed in (("train", 0), ("dev", 1), ("test", 2)):
        made = tiny_corpus(40, seed=seed)
        for language in made.languages:
            (folder / "corpus" / language).mkdir(parents=True, exist_ok=True)
            write(made.only(language), folder / "corpus" / language / f"{split}.txt")
    file = folder / "small.yaml"
    file.write_text(_STUDY.format(epochs=epochs), encoding="utf-8")
    return file


def facts(results: Results) -> list[tuple[object, ...]]:
    """The part of each row that doesn't depend on where and when it was measured."""

    def counts(row: Row) -> list[Any]:
        return results.counts(row).default.tolist() if row.kind == "quality" else []

    return [(row.key, row.recipe, row.spans, row.size, counts(row)) for row in results.rows()]


def detokenized(given_words: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """Words as one would type them, and the place of each: without blanks before closing and after opening punctuation, around
    hyphens, and within numbers and initials."""
    text, spans, glue, quoted = "", [], True, False
    for before, word, after in zip(("", *given_words), given_words, (*given_words[1:], ""), strict=False):
        closes = re.fullmatch(r"[.,;:!?)\]%…”»።፣፤፥፦፡/–-]+", word) or (word == '""""' and quoted)
        text += "" if closes or glue else " "
        spans.append((len(text), len(text) + len(word)))
        text += word
        quoted ^= word == '""""'
        numbers = word in ".,:" and before[-1:].isdigit() and after[:1].isdigit()
        initials = word == "." and len(before) == len(after) == 1 and (before + after).isupper()
        glue = word in "([“«-–/" or (word == '""""' and quoted) or numbers or initials
    return text, spans


def tiny_data() -> Data:
    """Train and dev splits of `tiny_corpus`."""
    return Data(tiny_corpus(), tiny_corpus(12, seed=1, split="dev"))


def tiny_tokenizer(kind: str, corpus: Corpus) -> PreTrainedTokenizerFast:
    """A tokenizer for `tiny_corpus`: *unigram*, which is the same everywhere, or *wordpiece* or *bytes* (BPE), trained on it."""
    trainer: Any = None
    if kind == "unigram":
        stems = [*SYLLABLES, *(s.title() for s in SYLLABLES), "o", "Ade", "land", *sorted(set("".join(SYLLABLES)))]
        scores = {piece: -8.0 - len(stems) / (1 + i) for i, piece in enumerate(reversed(stems))}
        pieces = [*((special, 0.0) for special in _SPECIAL), ("▁", -9.0), *((f"▁{p}", s) for p, s in scores.items())]
        tokenizer = Tokenizer(models.Unigram([*pieces, *scores.items()], unk_id=3))
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
        tokenizer.add_special_tokens(_SPECIAL)
    elif kind == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=120, special_tokens=_SPECIAL, show_progress=False)
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        trainer = trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=_SPECIAL,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
    if trainer is not None:
        tokenizer.train_from_iterator((" ".join(s.words) for s in corpus), trainer)
    ends = [(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **_NAMES)


def tiny_tagger(
    family: str = "xlm-roberta",
    tokenizer: str = "unigram",
    *,
    tags: Sequence[str] = TAGS,
    masked_lm: bool = False,
) -> Tagger:
    """A tagger of two layers with four heads and hidden size 16, under a tag head, a masked-LM head or none.

    Its weights come from numpy, so that they are the same everywhere.
    """
    pieces = tiny_tokenizer(tokenizer, tiny_corpus())
    config = _CONFIGS[family](len(pieces))
    bare = {} if family == "distilbert" else {"add_pooling_layer": False}
    model = Encoders.from_config(config, **bare)
    tags = () if masked_lm else tags
    if tags:
        model = surgery.with_head(model, tags, seed=0)
    if masked_lm:
        model = surgery.with_masked_lm(model, seed=0)
    random = np.random.default_rng(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2 or name == "classifier.bias":  # norms stay, so that words get different tags
                parameter.copy_(torch.from_numpy(random.random(tuple(parameter.shape)) - 0.5))
        table = surgery.word_embeddings(model)
        table.weight[table.padding_idx] = 0
    return Tagger(model.eval(), pieces, tuple(tags))


def check_method(
    method: Method,
    *,
    nothing: Method | None = None,
    others: Sequence[Method] = (),
    golden: str | None = None,
    data: Data | None = None,
    bare: bool = False,
) -> None:
    """Check a method against its contract; raises an `AssertionError` that says what it breaks.

    ``nothing`` is the same method with settings that change nothing. ``others`` are methods that must work before and after it,
    or only before it if it quantizes. ``golden`` is the expected digest of the tagger that deterministic surgery makes of
    ``tiny_tagger()``. A ``bare`` method starts from an encoder without tags.
    """
    _check_traits(method)
    data = data or tiny_data()
    given = data.seen_by(method)
    for family, pieces in (("xlm-roberta", "unigram"), ("bert", "wordpiece")):
        tagger = tiny_tagger(family, pieces, tags=() if bare else TAGS)
        resolved = method.resolve(tagger, given)
        before = tagger.digest
        after: Any = resolved.apply(tagger, given, Work(seed=3, threads=1))
        at = f"{method} on {family}"
        check_law(resolved, tagger.shape, after.shape)
        assert tagger.digest == before, f"{at} changed the tagger it was given"
        seed = 3 if isinstance(method, Seeded) else 4  # a seed that isn't in the address must not matter
        again: Any = resolved.apply(tagger, given, Work(seed=seed, threads=1))
        assert again.digest == after.digest, f"{at} gave another result at the same seed, or at one not in its address"
        if after.tags:
            _check_tags(after, at)
        _check_saved(after, at)
        for other in others:
            follows = other.resolve(after, data)
            if after.scheme.terminal:
                _check_refused(Recipe("base", "corpus", (resolved, follows)), tagger.shape)
                _check_unchanged(follows, after, data)
            elif not _takes(follows, after.shape):
                _check_refused(Recipe("base", "corpus", (resolved, follows)), tagger.shape)
            else:
                check_law(follows, after.shape, follows.apply(after, data.seen_by(other), Work(threads=1)).shape)
            leads = other.resolve(tagger, data)
            led: Any = leads.apply(tagger, data.seen_by(other), Work(threads=1))
            check_law(resolved, led.shape, resolved.apply(led, given, Work(threads=1)).shape)
    tagger = tiny_tagger()
    _check_json(method.resolve(tagger, given), given)
    _check_needs(method, data)
    if nothing is not None:
        same = nothing.resolve(tagger, given).apply(tagger, given, Work(threads=1))
        assert np.array_equal(_logits(same), _logits(tagger)), f"{nothing} changed what the tagger predicts"
    if golden is not None:
        found = method.resolve(tagger, given).apply(tagger, given, Work(threads=1)).digest
        assert found == golden, f"{method} version {method.version} gives {found}, not the golden {golden}"


def _check_traits(method: Method) -> None:
    kind = type(method)
    assert isinstance(method, Method), f"{kind.__name__} lacks members of dinku.method.Method"
    assert method.category in get_args(Category), f"{kind.__name__} has no category that claims know"
    pruned = hasattr(method, "sparsity") or method.category != "sparsity"
    assert pruned, f"{kind.__name__} has no field sparsity, by which claims compare methods of its category"


def check_law(method: Method, before: Shape, after: Costs) -> None:
    """Check that the shape after `apply` is the one that `declare` gives for the shape before."""
    broken = method.declare(before).broken_by(after)
    assert not broken, f"{method}: {broken}"


def _takes(method: Method, shape: Costs) -> bool:
    return isinstance(shape, getattr(method, "takes", Shape))


def _check_refused(recipe: Recipe, shape: Shape) -> None:
    try:
        recipe.declared(shape)
    except DinkuError:
        return
    raise AssertionError(f"a recipe goes on after {recipe.steps[0]}")


def _check_unchanged(method: Method, quantized: Tagger, data: Data) -> None:
    """A method refuses to change a quantized tagger, unless it puts another in the tagger's place."""
    before = quantized.digest
    try:
        after = method.apply(quantized, data.seen_by(method), Work(threads=1))
    except DinkuError:
        after = None
    assert after is None or not after.scheme.terminal, f"{method} changed a quantized tagger"
    assert quantized.digest == before, f"{method} spoilt a quantized tagger"


def _logits(tagger: Any) -> np.ndarray[Any, Any]:
    """The logits of a tagger, or the last states of an encoder."""
    batch = tagger.encoder.batch(tagger.encoder.windows([s.words for s in tiny_corpus(8, seed=5)]))
    if tagger.tags:
        return tagger.engine.logits(batch)
    inputs = {name: torch.from_numpy(array) for name, array in batch.inputs.items()}
    with torch.inference_mode():
        answer = tagger.model(**inputs)
    states: torch.Tensor = answer.logits if hasattr(answer, "logits") else answer[0]
    return states.numpy()


def _check_tags(tagger: Any, at: str) -> None:
    odd = ["", " ", "\u200b", "ß" * 200, "ሰላም", "a\u0301", "🙂", "x"]
    sentences = [Sentence(tuple(odd)), Sentence(()), Sentence(("Bade",) * 90), *tiny_corpus(4)]
    for sentence, found in zip(sentences, tagger.tag(sentences), strict=True):
        assert len(found.tags) == len(sentence.words), (
            f"{at}: {plural(len(found.tags), 'tag')} for {plural(len(sentence.words), 'word')}"
        )
        assert all(map(tagger.task.is_legal, found.tags)), f"{at}: {found.tags} aren't all {tagger.task.legal}"


def _check_saved(tagger: Any, at: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        saved = tagger.save(Path(folder) / "tagger")
        loaded = open_tagger(saved, threads=1)
        assert loaded.digest == tagger.digest, f"{at}: what was saved loads as another tagger"
        assert np.array_equal(_logits(loaded), _logits(tagger)), f"{at}: what was saved predicts otherwise"
        if not tagger.tags:
            return
        sentences = tiny_corpus(8, seed=9).sentences
        found, expected = (t.tag(sentences) for t in (loaded, tagger))
        assert [f.tags for f in found] == [e.tags for e in expected], f"{at}: what was saved tags otherwise"


_ADDRESSES = """
import json, sys
from dinku.method import Data
from dinku.study.recipe import Recipe
for line in sys.stdin:
    print(Recipe.from_document(json.loads(line)).addresses("base", Data())[-1], flush=True)
"""


@cache
def _another_process(path: str) -> subprocess.Popen[str]:
    """A process that answers each line, a recipe as JSON, with its address; it imports from ``path``, as this one does.

    All methods share it, as importing torch takes seconds.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", _ADDRESSES],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    atexit.register(process.communicate)  # closes its input, at whose end it ends
    return process


def _check_json(method: Method, given: Data) -> None:
    document = json.loads(json.dumps(to_json(method)))
    assert from_json(document) == method, f"{method} comes back from JSON as {from_json(document)}"
    recipe = Recipe("base", "corpus", (method,))
    there = _another_process(os.pathsep.join(filter(None, sys.path)))
    assert there.stdin
    assert there.stdout
    print(json.dumps(recipe.document()), file=there.stdin, flush=True)
    address = there.stdout.readline().strip()
    assert address == recipe.addresses("base", Data())[-1], f"{method} has another address in another process"


def _check_needs(method: Method, data: Data) -> None:
    tagger = tiny_tagger()
    if not method.needs:
        for none in (Data(), Data(Corpus("empty", "train", ()), Corpus("empty", "dev", ()))):
            method.resolve(tagger, none).apply(tagger, none, Work(threads=1))
    elif "labels" not in method.needs:
        given = data.seen_by(method)
        assert all(s.tags is None for s in given.train or ()), "text comes without tags"
        method.resolve(tagger, given).apply(tagger, given, Work(threads=1))
