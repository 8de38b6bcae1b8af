"""Tokenizers as transformers.js reads them: what it knows, and what it doesn't know written in terms of what it knows.

transformers.js refuses a tokenizer with a part of a kind that it lacks, and takes every ``Precompiled`` map of characters for
SentencePiece's *nmt_nfkc*. Both are written as ``Replace`` and ``NFKC`` here, which give the same subwords.
"""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tokenizers import normalizers

Step = dict[str, Any]

# The kinds that @huggingface/tokenizers 0.2.0 knows, which transformers.js 4.3.2 reads with.
_KNOWN = {
    "normalizer": {"BertNormalizer", "Precompiled", "Sequence", "Replace", "NFC", "NFD", "NFKC", "NFKD", "Strip"}
    | {"StripAccents", "Lowercase", "Prepend"},
    "pre_tokenizer": {
        "BertPreTokenizer",
        "Sequence",
        "Whitespace",
        "WhitespaceSplit",
        "Metaspace",
        "ByteLevel",
        "Split",
    }
    | {"Punctuation", "Digits", "FixedLength"},
    "model": {"WordPiece", "Unigram", "BPE"},
    "post_processor": {"TemplateProcessing", "ByteLevel", "BertProcessing", "RobertaProcessing", "Sequence"},
    "decoder": {"ByteLevel", "WordPiece", "Metaspace", "BPEDecoder", "CTC", "Sequence", "Replace", "Fuse", "Strip"}
    | {"ByteFallback"},
}
_PARTS = ("normalizers", "pretokenizers", "processors", "decoders")  # what a Sequence calls what it is made of
# What ``Nmt`` removes, and what it makes a blank.
_REMOVED = (*range(0x01, 0x09), 0x0B, *range(0x0E, 0x20), 0x7F, 0x8F, 0x9F)
_BLANK = (0x09, 0x0A, 0x0C, 0x0D, 0x1680, *range(0x200B, 0x2010), 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD)
_STAND_INS = range(0xFDD0, 0xFDF0)  # noncharacters, which no text has


def rewritten(tokenizer: Mapping[str, Any]) -> Step:
    """A tokenizer (the document ``tokenizer.json``) with every normalizer that transformers.js lacks, or reads in its own way,
    written in others; what can't be written so is left as it is, and `unread` names it."""
    normalizer = tokenizer.get("normalizer")
    if normalizer is None or (steps := [*_rewritten(_flat(normalizer))]) == [*_flat(normalizer)]:
        return dict(tokenizer)
    return {**tokenizer, "normalizer": {"type": "Sequence", "normalizers": steps}}


def unread(tokenizer: Mapping[str, Any]) -> list[str]:
    """What transformers.js doesn't read of a tokenizer, or reads in another way; empty where there is nothing."""
    out = []
    for part, known in _KNOWN.items():
        kinds = [step["type"] for step in _flat(tokenizer.get(part) or {"type": "Sequence"})]
        out += [f"{kind} ({part.replace('_', '-')})" for kind in dict.fromkeys(kinds) if kind not in known]
        if part == "normalizer" and "Precompiled" in kinds:
            out.append("Precompiled (normalizer)")
    model = tokenizer["model"]
    if model["type"] == "Unigram" and model.get("byte_fallback"):
        out.append("bytes in place of unknown characters (model)")
    return out


def _flat(step: Mapping[str, Any]) -> Iterator[Step]:
    """The steps of a part, one after another, those of sequences within it too."""
    if step["type"] != "Sequence":
        yield dict(step)
        return
    for part in _PARTS:
        for inner in step.get(part, ()):
            yield from _flat(inner)


def _rewritten(steps: Iterable[Step]) -> Iterator[Step]:
    before = ""
    for step in steps:
        if step["type"] == "Nmt":
            yield from _replaced(_REMOVED, "")
            yield from _replaced(_BLANK, " ")
        # Without NFC before it the map drops marks that stand apart from their letter, which no other step does.
        elif step["type"] == "Precompiled" and before == "NFC" and (own := _mapped(step["precompiled_charsmap"])):
            yield from own
        else:
            yield step
        before = step["type"]


def _replaced(points: Iterable[int], content: str) -> Iterator[Step]:
    """A step that puts ``content`` in the place of each of these characters; none where there are none."""
    if escaped := "".join(f"\\u{point:04X}" for point in points):
        yield {"type": "Replace", "pattern": {"Regex": f"[{escaped}]"}, "content": content}


def _mapped(charsmap: str) -> list[Step]:
    """A map of characters as NFKC and what differs from it; empty where it maps characters in yet other ways.

    What differs is removed, becomes a blank, or stays as it is: the last is another character while NFKC runs.
    """
    each = normalizers.Precompiled(base64.b64decode(charsmap)).normalize_str
    removed: list[int] = []
    blank: list[int] = []
    kept: list[int] = []
    for point in range(0x110000):
        if 0xD800 <= point < 0xE000:
            continue
        if (found := each(character := chr(point))) == unicodedata.normalize("NFKC", character):
            continue
        if unicodedata.category(character) == "Cn":  # which Unicode defined after either table
            continue
        if found not in ("", " ", character) or point > 0xFFFF:
            return []
        (kept if found == character else blank if found else removed).append(point)
    if len(kept) > len(_STAND_INS):
        return []
    swaps = [(chr(point), chr(other)) for point, other in zip(kept, _STAND_INS, strict=False)]
    return [
        *_replaced(removed, ""),
        *_replaced(blank, " "),
        *({"type": "Replace", "pattern": {"String": own}, "content": other} for own, other in swaps),
        {"type": "NFKC"},
        *({"type": "Replace", "pattern": {"String": other}, "content": own} for own, other in swaps),
    ]
