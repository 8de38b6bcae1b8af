"""sha256 digests, as hex, of files and of JSON documents."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from dinku.files import os_errors_as_dinku, reading


def file_digest(path: Path) -> str:
    """The digest of a file's bytes; raises `DinkuError`, of status 1, if the system refuses to read them."""
    with os_errors_as_dinku(path, reading=True), reading(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def document_digest(value: Any) -> str:
    """The digest of a document's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def canonical(value: Any) -> str:
    """JSON text that is equal for equal values: keys sorted, no spaces, no NaN."""
    return _ENCODER.encode(value)


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def is_of(path: Path, digest: str) -> bool:
    """Whether a file has this digest: its sha256 or, if the digest has 40 digits, the sha1 by which git names its content."""
    if len(digest) != 40:
        return file_digest(path) == digest
    with os_errors_as_dinku(path, reading=True), reading(path) as file:
        whole = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
        while block := file.read(1 << 20):
            whole.update(block)
    return whole.hexdigest() == digest
