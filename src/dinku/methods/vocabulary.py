"""TrimVocabulary: keep the pieces that the text needs, and remove the word embeddings of all others.

What it removes: pieces of the tokenizer and their word embeddings, which are 43 to 82 % of a small multilingual model. When it
helps: whenever a model made for a hundred languages serves a few. What it needs: words in those languages, and better more text
than the train split, because other sentences have other pieces. It never looks at tags. What it cannot do: keep what the text
lacks: a script whose characters are removed becomes unknown.

A word is split as before if all pieces of its split are kept. WordPiece takes the longest piece that fits. Unigram takes the
best path, and removing pieces makes no other path better; it scores an unknown character by the lowest score of all pieces, so
the piece with that score is kept too. BPE builds a piece from shorter ones, merge by merge, always the same ones; they are kept
with it, as are the merges between kept pieces, so that the best merge in a word stays the best. If a piece of a word is
removed, the word is split into shorter pieces, at worst into single characters, or into bytes if pieces are made of bytes.
Source: Abdaoui et al. 2020 (arXiv 2010.05609); Kudo 2018 (arXiv 1804.10959) for Unigram; Sennrich et al. 2016 (arXiv
1508.07909) for BPE.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dinku.errors import DinkuError
from dinku.method import LATER, Category, Data, Need, Reading, Validated, Work, no_more
from dinku.model.shape import EncoderShape, Shape

if TYPE_CHECKING:
    from dinku.data.corpus import Corpus, Sentence
    from dinku.nn.tagger import Tagger

_SHARE = 0.01  # of the text's letters; a script with a smaller share occurs in stray names, and isn't kept whole


@dataclass(frozen=True)
class TrimVocabulary(Validated):
    """Keep ``size`` rows of the vocabulary.

    These rows are always kept: special tokens; all bytes if pieces are made of bytes; otherwise all single characters of the
    chosen ``scripts``, digits, punctuation and marks, which belong to no script, and the letters of other scripts that occur in
    the train text. ``scripts`` are Unicode's names, such as *Latin* or *Ethiopic*; by default they are those with 1 % or more
    of the text's letters. Next come the pieces that the train text uses, the most frequent first, and then the likeliest of the
    rest, those of the chosen scripts first. ``sentences`` is the number of lines of the study's text to count as well, spread
    evenly over the train split's languages; a character that only these have is a piece like any other, so that stray ones
    don't fill the vocabulary. If ``size`` is below what the text needs, its rarest pieces are removed. A ``size`` of the whole
    vocabulary changes nothing, and a larger one is refused.
    """

    size: int
    scripts: tuple[str, ...] = ()
    sentences: int = field(default=0, metadata=LATER)

    version: ClassVar[int] = 2
    category: ClassVar[Category] = "structure"
    takes: ClassVar[tuple[type, ...]] = (EncoderShape,)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size < 1:
            raise DinkuError(f"size is {self.size}", where="TrimVocabulary", remedy="give the number of rows to keep")
        if self.sentences < 0:
            remedy = "give the number of unlabelled sentences, 0 or more"
            raise DinkuError(f"sentences is {self.sentences}", where="TrimVocabulary", remedy=remedy)
        if unknown := [
            name for name, script in zip(self.scripts, self._chosen, strict=True) if script not in _all_scripts()
        ]:
            remedy = "use Unicode's name of it, such as Latin, Ethiopic, Arabic or Han"
            raise DinkuError(f"there is no script {unknown[0]!r}", where="TrimVocabulary", remedy=remedy)

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"words", "text"} if self.sentences else {"words"})

    @property
    def reads(self) -> Reading:
        return Reading(text_lines=self.sentences)

    @property
    def own_vocabulary(self) -> bool:
        return True

    @property
    def _chosen(self) -> list[str]:
        return [_OTHER_NAMES.get(name.upper(), name.upper()) for name in self.scripts]

    def declare(self, shape: Shape) -> Shape:
        no_more(self, "size", shape.vocabulary, f"the vocabulary's {shape.vocabulary:,} rows")
        return shape.smaller(vocabulary=self.size)

    def apply(self, tagger: Tagger, data: Data, work: Work) -> Tagger:
        from dinku.nn import surgery

        tagger.check_changeable(self)
        self.declare(tagger.shape)
        if self.size == tagger.model.config.vocab_size:
            return tagger
        words = data.words_for(self)
        unlabelled = data.text_for(self).sample(self.sentences, words.languages) if self.sentences else ()
        kept = self._kept(tagger, words, unlabelled)
        tokenizer = trimmed(tagger.tokenizer, kept)
        # Rows without a piece fill up the size if the tokenizer has fewer pieces.
        named = _named(tagger.tokenizer)
        surplus = [i for i in range(tagger.model.config.vocab_size) if i not in named][: self.size - len(kept)]
        model = surgery.with_rows(tagger.model, [*kept, *surplus], pad=tokenizer.pad_token_id)
        for name in ("bos_token_id", "eos_token_id", "sep_token_id", "cls_token_id", "mask_token_id"):
            if getattr(model.config, name, None) is not None:
                setattr(model.config, name, getattr(tokenizer, name, None))
        return replace(tagger, model=model, tokenizer=tokenizer)

    def _kept(self, tagger: Tagger, text: Corpus, unlabelled: Iterable[Sentence]) -> list[int]:
        """The old numbers of the pieces to keep, in increasing order."""
        pieces, bare, scores, least, built = _pieces(tagger)
        named = _named(tagger.tokenizer)
        size = min(self.size, len(named))
        backend = tagger.tokenizer.backend_tokenizer
        read = tagger.encoder.subwords([s.words for s in chain(text, unlabelled)])
        used = np.concatenate([np.zeros(0, np.int64), *read])
        counts = np.bincount(used, minlength=len(pieces))
        letters = _letters(backend, text)
        scripts = {"", *(self._chosen or _scripts(letters))}
        alone = {
            i for i, piece in enumerate(bare) if len(piece) == 1 and (_script(piece) in scripts or piece in letters)
        }
        if built.bytes:  # whole characters are split into bytes like other pieces
            alone = {i for i in named if pieces[i] in _BYTES}
        must = built.closed(alone | _special(tagger.tokenizer))
        must |= {i for i, piece in enumerate(pieces) if len(piece) == 6 and piece.startswith("<0x")}  # byte fallback
        # Where positions are counted from after the padding id, rows up to that keep their places.
        must |= {*(range(tagger.tokenizer.pad_token_id) if tagger.shape.offset else ()), *least}
        if len(must) > size:
            problem = f"size is {self.size:,}, and {len(must):,} special tokens and single characters stay"
            raise DinkuError(problem, where="TrimVocabulary", remedy=f"give {len(must):,} or more, or fewer scripts")
        foreign = np.array([not scripts.issuperset(map(_script, piece)) for piece in bare])
        order = np.lexsort((-scores, foreign & (counts == 0), -counts)).tolist()
        waiting = [i for i in order if i in named and i not in must]
        while (
            len(must) < size
        ):  # a piece that is built from others may not fit where a later one does; it may fit in the next round
            for i in waiting:
                if len(more := built.of(i) - must) <= size - len(must):
                    must |= more
            waiting = [i for i in waiting if i not in must]
        return sorted(must)


def trimmed(tokenizer: Any, kept: list[int]) -> Any:
    """A fast tokenizer with the pieces ``kept`` of another, numbered in this order.

    Raises `DinkuError` if the tokenizers library, which numbers added tokens itself, would number one differently.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    document = json.loads(tokenizer.backend_tokenizer.to_str())
    number = {old: new for new, old in enumerate(kept)}
    model = document["model"]
    if model["type"] == "Unigram":
        model["vocab"] = [model["vocab"][old] for old in kept if old < len(model["vocab"])]
        model["unk_id"] = None if model["unk_id"] is None else number[model["unk_id"]]
    else:
        model["vocab"] = {piece: number[old] for piece, old in model["vocab"].items() if old in number}
        if "merges" in model:
            here = model["vocab"]
            model["merges"] = [m for m in model["merges"] if {*_pair(m), "".join(_pair(m))} <= here.keys()]
    for token in document["added_tokens"]:
        token["id"] = number[token["id"]]
    for part, key in _ends(document["post_processor"]):
        part[key] = number[part[key]]
    special = {key: str(value) for key, value in tokenizer.special_tokens_map.items()}
    backend = Tokenizer.from_str(json.dumps(document))
    wanted = {piece: number[old] for piece, old in tokenizer.get_vocab().items() if old in number}
    if wrong := sorted(wanted.items() ^ backend.get_vocab().items()):
        problem = f"can't renumber its tokenizer, whose ids have holes or stand for two pieces ({wrong[0][0]!r})"
        raise DinkuError(problem, where="TrimVocabulary", remedy="use a model whose tokenizer has an id a piece")
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=tokenizer.model_max_length, **special)


def _named(tokenizer: Any) -> set[int]:
    """The ids that the tokenizer uses; there may be gaps between them."""
    return set(tokenizer.get_vocab().values()) | _special(tokenizer)


def _special(tokenizer: Any) -> set[int]:
    """The ids that the tokenizer needs: added and special tokens, the unknown token, the ends of a sentence."""
    backend = tokenizer.backend_tokenizer
    document = json.loads(backend.to_str())
    model = document["model"]
    unknown = model["unk_id"] if model["type"] == "Unigram" else model["vocab"].get(model["unk_token"])
    ends = {part[key] for part, key in _ends(document["post_processor"])}
    return {*backend.get_added_tokens_decoder(), *tokenizer.all_special_ids, *ends, unknown} - {None}


def _ends(processor: dict[str, Any] | None) -> Iterator[tuple[Any, Any]]:
    """The places of ids in a post-processor: (the object that holds an id, the id's key in it)."""
    processor = processor or {}
    for part in processor.get("processors", ()):  # Sequence
        yield from _ends(part)
    for named in {"cls", "sep"} & processor.keys():  # BertProcessing, RobertaProcessing
        yield processor[named], 1
    for token in (processor.get("special_tokens") or {}).values():  # TemplateProcessing
        yield from ((token["ids"], i) for i in range(len(token["ids"])))


@dataclass(frozen=True)
class _Built:
    """How pieces are built: the numbers of the pieces in ``vocab``, and the rank of each merge, if pieces are merged at all.

    ``bytes`` says that pieces are made of bytes, each written as a letter.
    """

    vocab: Mapping[str, int]
    names: list[str]
    ranks: Mapping[tuple[str, str], int]
    bytes: bool = False

    def of(self, number: int) -> set[int]:
        """A piece and all pieces that it is merged from; the piece alone if no merges give it."""
        symbols, out = list(self.names[number]), {number}
        while len(symbols) > 1:
            ranked = [(self.ranks.get(pair, _NEVER), at) for at, pair in enumerate(pairwise(symbols))]
            rank, at = min(ranked)
            if rank == _NEVER:
                return {number}
            out |= {self.vocab[symbol] for symbol in symbols[at : at + 2]}
            symbols[at : at + 2] = ["".join(symbols[at : at + 2])]
        return out

    def closed(self, numbers: set[int]) -> set[int]:
        """These pieces and all that they are merged from."""
        return set().union(*map(self.of, numbers)) if self.ranks else numbers


_NEVER = 1 << 62
# The letters that byte-level BPE writes bytes as (Radford et al. 2019), and the bytes.
_PLAIN = [*range(33, 127), *range(161, 173), *range(174, 256)]
_BYTES = {chr(b): b for b in _PLAIN} | {chr(256 + i): b for i, b in enumerate(sorted({*range(256)} - {*_PLAIN}))}


def _pair(merge: Any) -> tuple[str, str]:
    """The two parts of a merge; older files write them with a blank between them."""
    first, second = merge.split(" ") if isinstance(merge, str) else merge
    return first, second


def _pieces(tagger: Tagger) -> tuple[list[str], list[str], NDArray[np.float64], list[int], _Built]:
    """A tokenizer's pieces: by number (empty for a number without a piece); the same as text, without the mark of a word's
    inside; the likelihood of each (its log probability, or lower for later ones); the piece that the score of an unknown
    character depends on; and how they are built."""
    document = json.loads(tagger.tokenizer.backend_tokenizer.to_str())
    model = document["model"]
    odd = [key for key in ("continuing_subword_prefix", "end_of_word_suffix", "dropout") if model.get(key)]
    if model["type"] not in ("Unigram", "WordPiece", "BPE") or (model["type"] == "BPE" and odd):
        problem = f"can't trim a vocabulary of type {model['type']}" + (f" with {odd[0]}" if odd else "")
        raise DinkuError(problem, where="TrimVocabulary", remedy="use a model with Unigram, WordPiece or plain BPE")
    pieces = [""] * (max(_named(tagger.tokenizer)) + 1)
    scores = np.zeros(len(pieces))
    if model["type"] == "Unigram":
        for i, (piece, score) in enumerate(model["vocab"]):
            pieces[i], scores[i] = piece, score
        least = [int(scores[: len(model["vocab"])].argmin())]
        return pieces, pieces, scores, least, _Built({}, pieces, {})
    for piece, i in model["vocab"].items():
        pieces[i], scores[i] = piece, -i
    if model["type"] == "WordPiece":
        inside = model["continuing_subword_prefix"]
        bare = [piece.removeprefix(inside) or piece for piece in pieces]
        return pieces, bare, scores, [], _Built({}, pieces, {})
    of_bytes = '"ByteLevel"' in json.dumps(document["pre_tokenizer"])
    ranks = {_pair(merge): rank for rank, merge in reversed([*enumerate(model["merges"])])}
    bare = [_text(piece) if of_bytes else piece for piece in pieces]
    return pieces, bare, scores, [], _Built(model["vocab"], pieces, ranks, of_bytes)


def _text(piece: str) -> str:
    """The text that a piece of bytes stands for, without incomplete characters and without the blank before a word."""
    if not {*piece} <= _BYTES.keys():
        return piece
    return bytes(_BYTES[letter] for letter in piece).decode(errors="ignore").strip(" ")


def _letters(backend: Any, text: Corpus) -> Counter[str]:
    """How often each character occurs in the text, after the tokenizer's normalization."""
    words = Counter(word for s in text for word in s.words)
    out: Counter[str] = Counter()
    for word, times in words.items():
        for letter in backend.normalizer.normalize_str(word) if backend.normalizer else word:
            out[letter] += times
    return out


def _scripts(letters: Counter[str]) -> set[str]:
    """The scripts that a text is written in, except those with less than `_SHARE` of its letters."""
    of: Counter[str] = Counter()
    for letter, times in letters.items():
        of[_script(letter)] += times
    whole = {script: times for script, times in of.items() if script not in ("", "SYMBOL")}
    return {script for script, times in whole.items() if times >= _SHARE * sum(whole.values())}


@cache
def _script(letter: str) -> str:
    """The script of a letter: the first word of its Unicode name, such as *LATIN*, or of the name of the letter it is a variant
    of.

    It is empty for characters that occur with any script: digits, marks, punctuation, currencies. Other symbols, of which there
    are thousands, are of the script *SYMBOL*.
    """
    kind = unicodedata.category(letter)
    if kind[0] == "L":  # a wide, narrow or raised letter (FULLWIDTH LATIN …) is known by its plain one
        plain = unicodedata.normalize("NFKC", letter)
        first = next((unicodedata.name(c, "?").split(" ")[0] for c in plain if c.isalpha()), "")
        return _OTHER_NAMES.get(first, first)
    return "" if kind[0] in "MNPZ" or kind in ("Sc", "Sk", "Cf") or letter == "▁" else "SYMBOL"


@cache
def _all_scripts() -> frozenset[str]:
    return frozenset(map(_script, map(chr, range(0x20000)))) - {"", "SYMBOL", "?"}


_OTHER_NAMES = {
    "HAN": "CJK",
    "IDEOGRAPHIC": "CJK",
    "HENTAIGANA": "HIRAGANA",
    "KATAKANA-HIRAGANA": "",  # signs of both
    "MODIFIER": "",  # apostrophes and tone letters of many scripts
}
