"""Tokenizers of model folders, those of a SentencePiece model among them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from dinku.errors import DinkuError, reason
from dinku.files import content
from dinku.model.encode import padding_token, prefix_space, window_of
from dinku.model.measured import shape_of
from dinku.nn.quiet import quietly

_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def tokenizer_of(folder: Path, config: Any) -> PreTrainedTokenizerFast:
    """The folder's own fast tokenizer, or one made from its SentencePiece model or vocabulary if there is no other.

    It doesn't use `AutoTokenizer`, which would rebuild an XLM-R tokenizer from its pieces, without byte fallback.
    """
    where = str(folder)
    try:
        with quietly():
            if (folder / "tokenizer.json").is_file():
                tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
            elif (folder / "sentencepiece.bpe.model").is_file() and config.model_type in _XLM_R:
                tokenizer = from_sentencepiece(folder / "sentencepiece.bpe.model")
            elif model := next((folder / name for name in _SENTENCEPIECE if (folder / name).is_file()), None):
                tokenizer = _converted(folder, model)
            else:
                tokenizer = _from_vocabulary(folder, config.vocab_size)
            backend = tokenizer.backend_tokenizer
        if tokenizer.pad_token_id is None and (token := padding_token(backend)):
            tokenizer.pad_token = token
        if tokenizer.pad_token_id is None:
            remedy = "name one in tokenizer_config.json"
            raise DinkuError("its tokenizer has no padding token", where=where, remedy=remedy)
        prefix_space(backend)
        shape = shape_of(config.to_dict(), where=where)
        tokenizer.model_max_length = window_of(shape, tokenizer.pad_token_id, tokenizer.model_max_length)
    except DinkuError:
        raise
    except Exception as error:  # the tokenizers library raises bare Exception
        problem = f"its tokenizer can't be read ({reason(error)})"
        raise DinkuError(problem, where=where, remedy="fetch the model again") from None
    return tokenizer


_XLM_R = (
    "xlm-roberta",
    "xlm-roberta-xl",
    "roberta",
    "bert",
    "distilbert",
)  # read like XLM-R's; CamemBERT doesn't have XLM-R's table of ids
_SENTENCEPIECE = ("spm.model", "spiece.model", "sentencepiece.bpe.model")


def _converted(folder: Path, model: Path) -> PreTrainedTokenizerFast:
    """A tokenizer that transformers makes from the SentencePiece model of a family with its own table of ids.

    Raises `DinkuError` if its pieces aren't those of the model, or transformers would have to guess whether text is lower-cased.
    """
    where, remedy = str(folder), "put the tokenizer.json there that the model was trained with"
    settings = folder / "tokenizer_config.json"
    stated = json.loads(content(settings)) if settings.is_file() else {}
    if model.name == "spiece.model" and not isinstance(stated.get("do_lower_case"), bool):
        problem = "doesn't say whether its spiece.model is of lower-cased text"
        raise DinkuError(problem, where=where, remedy=f"add do_lower_case to tokenizer_config.json, or {remedy}")
    pieces = [piece.piece for piece in _proto(content(model), where=str(model)).pieces]
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise DinkuError(f"its {type(tokenizer).__name__} can't be made fast", where=where, remedy=remedy)
    known = tokenizer.get_vocab()
    ordinary = [piece for piece in pieces if piece[:1] + piece[-1:] not in ("<>", "[]")]
    places = [known.get(piece, -1) for piece in ordinary]
    if -1 in places or places != sorted(places):
        odd = ordinary[places.index(-1)] if -1 in places else "whose pieces it has in another order"
        problem = f"its SentencePiece model isn't one of a {type(tokenizer).__name__} ({odd!r})"
        raise DinkuError(problem, where=where, remedy=f"correct tokenizer_class, or {remedy}")
    return tokenizer


def _from_vocabulary(folder: Path, embeddings: int) -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer from ``vocab.txt``, or a BPE one from ``vocab.json`` and ``merges.txt``.

    Raises `DinkuError` where transformers would silently guess: without a file, it makes a tokenizer of special tokens only; by
    default it lower-cases; and it accepts a truncated file.
    """
    where, remedy = str(folder), "put the tokenizer.json there that the model was trained with"
    pieces, usable = _vocabulary(folder)
    if not pieces:
        remedy += ", or its SentencePiece model, its vocab.txt, or its vocab.json and merges.txt"
        raise DinkuError("holds no tokenizer", where=where, remedy=remedy)
    settings = folder / "tokenizer_config.json"
    stated = json.loads(content(settings)) if settings.is_file() else {}
    if (folder / "vocab.txt").is_file() and not isinstance(stated.get("do_lower_case"), bool):
        problem = "doesn't say whether its vocab.txt is of lower-cased text"
        raise DinkuError(problem, where=where, remedy=f"add do_lower_case to tokenizer_config.json, or {remedy}")
    if usable < _WHOLE * embeddings:
        problem = (
            f"its vocabulary has {usable:,} pieces that text can yield, the model has {embeddings:,} word embeddings"
        )
        raise DinkuError(problem, where=where, remedy=f"fetch the model again, or {remedy}")
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    known = tokenizer.get_vocab()
    if odd := next((piece for piece, number in pieces.items() if known.get(piece) != number), None):
        problem = f"its vocabulary isn't one of a {type(tokenizer).__name__}, which lacks {odd!r}"
        raise DinkuError(problem, where=where, remedy=f"correct tokenizer_class, or {remedy}")
    return tokenizer


_WHOLE = 0.99  # the least share of word embeddings with a piece in a complete vocabulary, as tables are padded to round numbers


def _vocabulary(folder: Path) -> tuple[dict[str, int], int]:
    """The pieces of ``vocab.txt``, or of ``vocab.json`` and ``merges.txt``, and the number of pieces that can occur: in BPE,
    those of one character, special ones, and those that a merge makes. None without these files."""
    if (folder / "vocab.txt").is_file():
        lines = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
        pieces = {piece: number for number, piece in enumerate(lines[:-1] if not lines[-1] else lines)}
        return pieces, len(pieces)
    if not all((folder / name).is_file() for name in ("vocab.json", "merges.txt")):
        return {}, 0
    pieces = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    merges = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
    made = {line.replace(" ", "", 1) for line in merges}
    return pieces, sum(len(piece) == 1 or piece in made or piece[:1] + piece[-1:] == "<>" for piece in pieces)


def from_sentencepiece(path: str | os.PathLike[str]) -> PreTrainedTokenizerFast:
    """An XLM-R tokenizer from a SentencePiece Unigram model, with byte fallback if the model has it.

    Ids follow XLM-R's table: ``<s> <pad> </s> <unk>``, then the model's pieces shifted by one, then ``<mask>``. They
    equal those of the `sentencepiece` library except in two cases that don't occur in practice: a combining mark on a
    compatibility character (``ﬁ`` + acute), and marks in non-canonical order, which are put into order here.
    """
    return sentencepiece_tokenizer(content(path), where=str(path))


def sentencepiece_tokenizer(model: bytes, *, where: str) -> PreTrainedTokenizerFast:
    """See `from_sentencepiece`."""
    proto = _proto(model, where=where)
    if proto.trainer_spec.model_type != 1:
        raise DinkuError("isn't a Unigram model", where=where, remedy="give the folder a tokenizer.json")
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [(p.piece, p.score) for p in proto.pieces[3:]]
    backend = Tokenizer(models.Unigram(pieces, unk_id=3, byte_fallback=proto.trainer_spec.byte_fallback))
    steps: list[Any] = []
    if proto.normalizer_spec.precompiled_charsmap:
        # Footgun: Precompiled looks at a letter with its marks as one, replaces it by what its beginning maps to, and so
        # drops tone marks (e + dot below + acute became ẹ). Composed letters have nothing that maps.
        steps += [normalizers.NFC(), normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap)]
    if proto.normalizer_spec.remove_extra_whitespaces:
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    backend.normalizer = normalizers.Sequence(steps)
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="always")])
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = dict(zip(_SPECIAL, ("<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"), strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names)


def _proto(model: bytes, *, where: str) -> Any:
    """A SentencePiece model as it is stored; raises `DinkuError` for any other or a truncated file."""
    from google.protobuf.message import DecodeError
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto()
    try:
        proto.ParseFromString(model)
    except DecodeError:
        raise DinkuError("isn't a SentencePiece model", where=where, remedy="fetch the model again") from None
    if not proto.HasField("normalizer_spec"):  # it follows the pieces, so that a file truncated among them lacks it
        raise DinkuError("isn't a complete SentencePiece model", where=where, remedy="fetch the model again")
    return proto
