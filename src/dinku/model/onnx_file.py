"""Checks without onnx whether an ONNX file refers to other files."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from dinku.errors import DinkuError

AGAIN = "fetch or export the bundle again"


# Where tensors lie in ONNX's protocol buffers: of each message, the fields that hold messages with tensors in them.
_FIELDS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}


def external(path: Path) -> bool:
    """Whether a tensor of an ONNX file is stored in another file, determined from its bytes before any engine reads it."""
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _leads_out(data, "model", 0, len(data), _DEEPEST)
    except (IndexError, ValueError):
        raise DinkuError("is no ONNX file", where=str(path), remedy=AGAIN) from None


_DEEPEST = 100  # levels of nested messages, the limit of protobuf


def _leads_out(data: mmap.mmap, kind: str, start: int, end: int, deeper: int) -> bool:
    if not deeper:
        raise ValueError(kind)
    for field, low, high in _fields(data, start, end):
        if kind == "tensor" and (field == 13 or (field == 14 and data[low:high] != b"\0")):
            return True  # external_data, or a data_location that isn't this file
        inner = _FIELDS[kind].get(field)
        if inner and _leads_out(data, inner, low, high, deeper - 1):
            return True
    return False


def _fields(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(number, start, end) of each field of a message."""
    while at < end:
        key, at = _number(data, at)
        if key >= 1 << 32:  # protobuf would truncate it, and read another field
            raise ValueError(key)
        kind = key & 7
        if kind == 2:
            length, at = _number(data, at)
        elif kind == 0:
            length = _number(data, at)[1] - at
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(kind)
        if at + length > end:
            raise ValueError(length)
        yield key >> 3, at, at + length
        at += length


def _number(data: mmap.mmap, at: int) -> tuple[int, int]:
    """A number in the encoding of seven bits to a byte, and where it ends."""
    value = shift = 0
    while shift < 64:
        byte = data[at]
        value, at, shift = value | (byte & 127) << shift, at + 1, shift + 7
        if byte < 128:
            return value, at
    raise ValueError(shift)
