"""sha256, as hex, of files and of JSON that is equal for equal values."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from dinku.files import reading, told


def of_file(path: Path) -> str:
    """Of a file's bytes; raises `DinkuError`, of status 1, where the system refuses to read them."""
    with told(path, reading=True), reading(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_document(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def canonical(value: Any) -> str:
    """JSON that is equal for equal values: keys sorted, no spaces, no NaN."""
    return _ENCODER.encode(value)


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
