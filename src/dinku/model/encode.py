"""Words to windows of subwords, for models that read subwords; on the `tokenizers` library alone.

A sentence that doesn't fit is read through several overlapping windows, cut between words, and each of its words is scored in
the window where it stands furthest from a cut. Nothing is truncated.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer, models, pre_tokenizers

from dinku.data.corpus import Corpus
from dinku.errors import DinkuError, plural, reason
from dinku.files import content
from dinku.model.folder import ModelFolder
from dinku.model.measured import shape_of
from dinku.model.shape import EncoderShape
from dinku.model.windows import Ids

LabelOn = Literal["first", "first_content"]
SUBWORD_INPUTS = ("input_ids", "attention_mask")  # of an ONNX model that reads subwords
_FIRST = np.zeros(1, np.int64)  # the first subword, which speaks for all, and the first unit, which is the sentence
_MARKS = ("▁", "Ġ")  # what SentencePiece and byte-level BPE write for the start of a word


class SubwordWindow(NamedTuple):
    """A stretch of one sentence that fits the encoder.

    ``ids`` [subwords] include the special tokens; ``at`` [words] is the position of the subword that represents each word;
    ``words`` [words] are the words' indices in the sentence.
    """

    sentence: int
    ids: Ids
    at: Ids
    words: Ids

    @property
    def size(self) -> int:
        return len(self.ids)

    def numbered(self, sentence: int) -> SubwordWindow:
        return self._replace(sentence=sentence)


class SubwordBatch(NamedTuple):
    """Windows padded to one length: ``ids`` and ``mask`` [windows, subwords], and the windows themselves."""

    ids: Ids
    mask: Ids
    windows: list[SubwordWindow]
    each: Literal["word", "sentence"] = "word"

    @property
    def full(self) -> bool:
        """Whether nothing is padded, so that an engine may leave the mask out."""
        return bool(self.mask.all())

    @property
    def rows(self) -> Ids:
        """[words] the window of each scored word, in the order of the windows."""
        return np.repeat(np.arange(len(self.windows)), [len(w.at) for w in self.windows])

    @property
    def columns(self) -> Ids:
        """[words] the position of the subword that represents each scored word."""
        return np.concatenate([w.at for w in self.windows])

    @property
    def inputs(self) -> dict[str, Ids]:
        return {"input_ids": self.ids, "attention_mask": self.mask}

    @property
    def needed_inputs(self) -> dict[str, Ids]:
        return {"input_ids": self.ids} if self.full else self.inputs

    @property
    def answer_shape(self) -> tuple[int, ...]:
        return self.ids.shape[:1] if self.each == "sentence" else self.ids.shape

    def scored(self, output: Any) -> Any:
        """See `dinku.model.windows.Batch.scored`; ``output`` is [windows, subwords, tags], or [windows, tags] of pooled heads."""
        return output if self.each == "sentence" else output[self.rows, self.columns]


@dataclass(frozen=True)
class SubwordEncoder:
    """Words → windows of subword ids.

    ``length`` is the largest number of subwords in a window, special tokens included. With ``label_on="first"``, a word is
    represented by its first subword; with ``"first_content"``, by its first subword that isn't a bare word mark (for 92 % of
    Chinese words, SentencePiece's first piece is a bare ``▁``). A word without any subword is in no window, and is tagged ``O``.
    If each sentence has a label (``each``), every window of it is scored as a whole.
    """

    tokenizer: Tokenizer
    length: int
    pad: int
    label_on: LabelOn = "first"
    each: Literal["word", "sentence"] = "word"

    def __post_init__(self) -> None:
        if self.label_on not in get_args(LabelOn):
            raise DinkuError(
                f"label_on is {self.label_on!r}", where="encode", remedy=f"choose {' or '.join(get_args(LabelOn))}"
            )
        if self.length < len(self.around[0]) + len(self.around[1]) + 2:
            raise DinkuError(
                f"windows of {plural(self.length, 'subword')} hold no word", where="encode", remedy="make them longer"
            )

    @cached_property
    def around(self) -> tuple[list[int], list[int]]:
        """The special tokens before and after a sentence."""
        with _panics_as_dinku():
            whole = uncut(self.tokenizer).encode("a")
        special = whole.special_tokens_mask
        if 0 not in special:
            remedy = "mend its post_processor"
            raise DinkuError("the tokenizer gives special tokens and no sentence", where="encode", remedy=remedy)
        start, end = special.index(0), len(special) - special[::-1].index(0)
        return whole.ids[:start], whole.ids[end:]

    @cached_property
    def _bare_marks(self) -> frozenset[int]:
        return frozenset(i for m in _MARKS if (i := self.tokenizer.token_to_id(m)) is not None)

    @cached_property
    def unknown_id(self) -> int | None:
        """The id for text that isn't in the vocabulary; none if the tokenizer writes such text in bytes."""
        model = json.loads(self.tokenizer.to_str())["model"]
        at = model.get("unk_id")
        return int(at) if at is not None else _id(self.tokenizer, model.get("unk_token"))

    def windows(self, sentences: Sequence[Sequence[str]]) -> list[SubwordWindow]:
        """The windows of all sentences, in order; every word that yields a subword is in exactly one of them."""
        read = enumerate(map(_owned, self._encode(sentences)))
        return [window for number, (ids, owner) in read for window in self._windows(number, ids, owner)]

    def stretches(self, words: Sequence[str], most: int = 1024) -> Generator[None, None, list[SubwordWindow]]:
        """The windows of one sentence, as `windows` gives them, read ``most`` words at a time.

        It yields between two stretches, so that whoever reads a long text can do something else meanwhile.
        """
        ids, owner = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for start in range(0, len(words), most):
            if start:
                yield
            for encoding in self._encode([words[start : start + most]]):
                found, belongs = _owned(encoding)
                ids.append(found)
                owner.append(np.where(belongs < 0, belongs, belongs + start))
        return list(self._windows(0, np.concatenate(ids), np.concatenate(owner)))

    def _windows(self, number: int, ids: Ids, owner: Ids) -> Iterator[SubwordWindow]:
        """The windows of a sentence's subwords; ``owner`` gives each subword's word."""
        if not len(ids):
            return
        before, after = self.around
        marks = self._bare_marks if self.label_on == "first_content" else frozenset()
        first = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]])  # where each word begins
        speaks = _after_marks(ids, first, marks) if marks else first
        for start, end, low, high in _cuts(first, len(ids), self.length - len(before) - len(after)):
            piece = np.r_[before, ids[start:end], after].astype(np.int64)
            if self.each == "sentence":
                yield SubwordWindow(number, piece, _FIRST, _FIRST)
                continue
            yield SubwordWindow(number, piece, speaks[low:high] - start + len(before), owner[first[low:high]])

    def stream(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """The subwords of running text, its pieces joined without special tokens."""
        with _panics_as_dinku():
            encoded = uncut(self.tokenizer).encode_batch_fast(list(texts), add_special_tokens=False)
        return np.concatenate([np.zeros(0, np.int32), *(np.asarray(e.ids, np.int32) for e in encoded)])

    def subwords(self, sentences: Sequence[Sequence[str]]) -> list[Ids]:
        """The subwords of each whole sentence, without special tokens."""
        return [np.asarray(encoding.ids, dtype=np.int64) for encoding in self._encode(sentences)]

    def unknown(self, sentences: Sequence[Sequence[str]]) -> tuple[int, int]:
        """The number of subwords, and of words with an unknown subword."""
        subwords, words = 0, set[tuple[int, int | None]]()
        for number, encoding in enumerate(self._encode(sentences)):
            subwords += len(encoding.ids)
            if self.unknown_id in encoding.ids:
                places = zip(encoding.ids, encoding.word_ids, strict=True)
                words |= {(number, word) for i, word in places if i == self.unknown_id}
        return subwords, len(words)

    def _encode(self, sentences: Sequence[Sequence[str]]) -> Iterator[Encoding]:
        tokenizer = uncut(self.tokenizer)
        for start in range(0, len(sentences), 1024):
            part = [list(words) or [""] for words in sentences[start : start + 1024]]  # none at all is refused
            with _panics_as_dinku():
                encodings = tokenizer.encode_batch(part, is_pretokenized=True, add_special_tokens=False)
            yield from encodings

    def _pieces(self, encoding: Encoding) -> list[tuple[int | None, str, bool]]:
        """Each piece with its word, and whether it is unknown: Unigram shows such a piece as the text that it stands for."""
        parts = zip(encoding.word_ids, encoding.tokens, encoding.ids, strict=True)
        return [(word, piece, i == self.unknown_id) for word, piece, i in parts]

    @property
    def together(self) -> tuple[int, int]:
        return 1024, 16

    def batch(self, windows: Sequence[SubwordWindow]) -> SubwordBatch:
        """Pad windows to the longest of them."""
        longest = max(len(w.ids) for w in windows)
        ids = np.full((len(windows), longest), self.pad, np.int64)
        mask = np.zeros((len(windows), longest), np.int64)
        for row, window in enumerate(windows):
            ids[row, : len(window.ids)] = window.ids
            mask[row, : len(window.ids)] = 1
        return SubwordBatch(ids, mask, list(windows), self.each)


@contextmanager
def _panics_as_dinku() -> Iterator[None]:
    """A panic of the tokenizers library, which is written in Rust, as a `DinkuError` of status 1.

    It comes as a ``PanicException``, which no module exports and which is no ``Exception``.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        problem = f"the tokenizer breaks down ({reason(error)})"
        remedy = "fetch the model again, or install another version of tokenizers"
        raise DinkuError(problem, where="encode", remedy=remedy, status=1) from None


def _owned(encoding: Encoding) -> tuple[Ids, Ids]:
    """The subwords of a sentence, and the word that each belongs to, -1 for none."""
    ids = np.asarray(encoding.ids, dtype=np.int64)
    return ids, np.fromiter((-1 if w is None else w for w in encoding.word_ids), np.int64, len(ids))


def _after_marks(ids: Ids, first: Ids, marks: frozenset[int]) -> Ids:
    """[words] the first subword of each word that isn't a bare mark; if there is none, its first subword."""
    last = np.r_[first[1:], len(ids)] - 1
    bare = np.isin(ids[first], list(marks)) & (last > first)
    return first + bare


def _cuts(first: Ids, n: int, room: int) -> Iterator[tuple[int, int, int, int]]:
    """How to divide ``n`` subwords, whose words begin at ``first``, into windows of ``room``.

    Yields (first subword, end, first word scored, end). Consecutive windows overlap by about half a window; a word of
    their overlap is scored in the window that gives it more context. Only a word longer than a window is cut itself.
    """
    start = low = 0
    while low < len(first):
        end = n
        if n - start > room:
            whole = int(first[np.searchsorted(first, start + room, "right") - 1])
            end = whole if whole > start else start + room
        following, high = n, len(first)
        if end < n:
            at = int(np.searchsorted(first, max(end - room // 2, start + 1)))
            following = int(first[at]) if at < len(first) else n
            high = int(np.searchsorted(first, (following + end) / 2))
        if high > low:
            yield start, end, low, high
        start, low = following, high


def window_of(shape: EncoderShape, pad: int, most: float) -> int:
    """The largest number of subwords that a model reads at once: its positions, or its tokenizer's limit if that is lower."""
    return min(int(min(most, 1 << 30)), shape.positions - first_position(shape.offset, pad))


def first_position(offset: bool, pad: int) -> int:
    """The position of a window's first subword, which isn't 0 where positions are counted from after the padding id."""
    return pad + 1 if offset else 0


def uncut(tokenizer: Tokenizer) -> Tokenizer:
    """The same tokenizer without truncation and padding; not touched if these are off, as other threads may be using it."""
    if tokenizer.truncation is not None:
        tokenizer.no_truncation()
    if tokenizer.padding is not None:
        tokenizer.no_padding()
    return tokenizer


def check_ids(encoder: SubwordEncoder, embeddings: int, *, where: str) -> None:
    """Raise `DinkuError` where a tokenizer gives ids that a model has no word embeddings for.

    Otherwise the error would only show in a text with such a piece, and some engines read zeros for a missing row.
    """
    tokenizer = encoder.tokenizer
    ids = [*itertools.chain(*encoder.around), *tokenizer.get_added_tokens_decoder()]
    if isinstance(tokenizer.model, models.Unigram):  # whose ids have no gaps, and of which there may be 250,000
        ids.append(tokenizer.get_vocab_size(with_added_tokens=False) - 1)
    else:
        ids += tokenizer.get_vocab(with_added_tokens=False).values()
    if (last := max(ids)) >= embeddings:
        problem = f"the tokenizer's ids go to {last:,}, the model has {embeddings:,} word embeddings"
        raise DinkuError(problem, where=where, remedy="put the tokenizer there that the model was trained with")


def prefix_space(tokenizer: Tokenizer) -> None:
    """A byte-level BPE sees words without the blank before them; it was trained with one."""
    part = tokenizer.pre_tokenizer
    if isinstance(part, pre_tokenizers.ByteLevel):
        part.add_prefix_space = True
        tokenizer.pre_tokenizer = part


def padding_token(tokenizer: Tokenizer) -> str | None:
    """The padding token of a tokenizer whose folder names none: that of its padding settings, or one with a usual name."""
    named = (tokenizer.padding or {}).get("pad_token")
    return next((token for token in (named, "[PAD]", "<pad>") if _id(tokenizer, token) is not None), None)


def opened(
    folder: ModelFolder, settings: Sequence[str] = ("special_tokens_map.json", "tokenizer_config.json")
) -> SubwordEncoder | None:
    """The encoder of a model's folder, as `dinku.nn.tagger.Tagger` has it; without torch.

    ``settings`` are the files that may name special tokens, of which later ones take precedence; of other files, only config.json
    and tokenizer.json are read. ``None`` if the folder has no tokenizer.json or names no padding token, so that transformers has
    to open it.
    """
    shape = shape_of(folder.config, where=folder.config_file)
    file = folder.path / "tokenizer.json"
    if not file.is_file():
        return None
    names: dict[str, Any] = {}
    try:
        with _panics_as_dinku():
            tokenizer = Tokenizer.from_file(str(file))
        for other in settings:
            if (folder.path / other).is_file():
                names |= json.loads(content(folder.path / other))
        named = (names.get("pad_token"), padding_token(tokenizer))
        pad = next((i for name in named if (i := _id(tokenizer, name)) is not None), None)
        if pad is None:
            return None
        prefix_space(tokenizer)
        stated = names.get("model_max_length")
        most = float(1 << 30 if stated is None else stated)
        encoder = SubwordEncoder(tokenizer, window_of(shape, pad, most), pad, each=folder.task.each)
    except Exception as error:  # the tokenizers library raises bare Exception
        problem = f"its tokenizer can't be read ({reason(error)})"
        raise DinkuError(problem, where=str(folder), remedy="fetch the model again") from None
    check_ids(encoder, shape.vocabulary, where=str(folder))
    return encoder


def _id(tokenizer: Tokenizer, name: Any) -> int | None:
    """The id of a special token, which is given by its text or by an object that holds the text."""
    text = name.get("content") if isinstance(name, Mapping) else name
    return tokenizer.token_to_id(text) if isinstance(text, str) else None


def subwords_of(encoder: SubwordEncoder, corpus: Corpus) -> dict[str, int]:
    """Counts of how a model reads a corpus.

    ``subwords``: all subwords · ``longest_subwords``: those of the longest sentence, including the special tokens that a window
    also holds · ``over_window``: sentences that are too long for one window · ``unknown``: unknown subwords.
    """
    ids = encoder.subwords([s.words for s in corpus])
    whole = [len(i) + sum(map(len, encoder.around)) for i in ids if len(i)]
    return {
        "subwords": sum(map(len, ids)),
        "longest_subwords": max(whole, default=0),
        "over_window": sum(n > encoder.length for n in whole),
        "unknown": sum(int((i == encoder.unknown_id).sum()) for i in ids) if encoder.unknown_id is not None else 0,
    }


class Segmentation(NamedTuple):
    """What another vocabulary changes in one language: the number of sentences, and of those segmented as before; the number of
    words, their subwords before and after, and the words with an unknown piece before and after; and for tagged sentences, the
    words of entities that are segmented differently, and all words of entities."""

    sentences: int
    as_before: int
    words: int
    subwords: tuple[int, int]
    unknown: tuple[int, int]
    entity_words: tuple[int, int] = (0, 0)


def segmentation(before: SubwordEncoder, after: SubwordEncoder, corpus: Corpus) -> dict[str, Segmentation]:
    """How two encoders read the same text, by language; a sentence is segmented as before if its pieces are the same strings."""
    out = {}
    for language in corpus.languages:
        sentences = corpus.only(language).sentences
        words = [s.words for s in sentences]
        alike, moved, subwords, lost = 0, 0, np.zeros(2, np.int64), np.zeros(2, np.int64)
        for sentence, *read in zip(sentences, before._encode(words), after._encode(words), strict=True):
            pieces = [encoder._pieces(encoding) for encoder, encoding in zip((before, after), read, strict=True)]
            alike += pieces[0] == pieces[1]
            subwords += [len(of) for of in pieces]
            lost += [len({word for word, _, unknown in of if unknown}) for of in pieces]
            otherwise = {word for word, *_ in {*pieces[0]} ^ {*pieces[1]}}
            moved += sum(tag != "O" and word in otherwise for word, tag in enumerate(sentence.tags or ()))
        named = sum(tag != "O" for s in sentences for tag in s.tags or ())
        (few, many), (then, now) = subwords.tolist(), lost.tolist()
        count = sum(map(len, words))
        out[language] = Segmentation(len(sentences), alike, count, (few, many), (then, now), (moved, named))
    return out
