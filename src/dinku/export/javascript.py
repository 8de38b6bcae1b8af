"""Rewrites tokenizers so that transformers.js reads them, using only the parts that it has.

transformers.js refuses a tokenizer with an unknown kind of part, and reads every ``Precompiled`` map of characters as
SentencePiece's *nmt_nfkc*. Here, both are written as ``Replace`` and ``NFKC``, which give the same subwords.
"""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tokenizers import normalizers

Step = dict[str, Any]

# The kinds of parts in @huggingface/tokenizers 0.2.0, which transformers.js 4.3.2 uses.
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
_PARTS = ("normalizers", "pretokenizers", "processors", "decoders")  # the keys of a Sequence for its parts
# The characters that ``Nmt`` removes, and those that it replaces by a blank.
_REMOVED = (*range(0x01, 0x09), 0x0B, *range(0x0E, 0x20), 0x7F, 0x8F, 0x9F)
_BLANK = (0x09, 0x0A, 0x0C, 0x0D, 0x1680, *range(0x200B, 0x2010), 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD)
_STAND_INS = range(0xFDD0, 0xFDF0)  # noncharacters, which no text has


def rewritten(tokenizer: Mapping[str, Any]) -> Step:
    """A tokenizer (the document ``tokenizer.json``) in which normalizers that transformers.js lacks, or reads differently, are
    replaced by others; those that can't be replaced stay, and `unread` names them."""
    normalizer = tokenizer.get("normalizer")
    if normalizer is None or (steps := [*_rewritten(_flat(normalizer))]) == [*_flat(normalizer)]:
        return dict(tokenizer)
    return {**tokenizer, "normalizer": {"type": "Sequence", "normalizers": steps}}


def unread(tokenizer: Mapping[str, Any]) -> list[str]:
    """The parts of a tokenizer that transformers.js doesn't read, or reads differently; empty if there are none."""
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
    """The steps of a part in order, including those of nested sequences."""
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
        # Without NFC before it, the map drops marks that follow their letter as separate characters; no other step does that.
        elif step["type"] == "Precompiled" and before == "NFC" and (own := _mapped(step["precompiled_charsmap"])):
            yield from own
        else:
            yield step
        before = step["type"]


def _replaced(points: Iterable[int], content: str) -> Iterator[Step]:
    """A step that replaces each of these characters by ``content``; none for no characters."""
    if escaped := "".join(f"\\u{point:04X}" for point in points):
        yield {"type": "Replace", "pattern": {"Regex": f"[{escaped}]"}, "content": content}


def _mapped(charsmap: str) -> list[Step]:
    """A map of characters as steps around NFKC; empty if it maps characters in a way that can't be written so.

    Characters that differ from NFKC are removed, become a blank, or stay; these are hidden as other characters during NFKC.
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
        if unicodedata.category(character) == "Cn":  # defined by Unicode after either table
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
