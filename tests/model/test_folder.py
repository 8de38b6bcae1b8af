"""A model's folder: how often each of its files is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import dinku
from dinku import files
from dinku.model.folder import ModelFolder
from dinku.model.inspect import inspection
from dinku.testing import tiny_tagger


@pytest.mark.slow
def test_each_file_is_read_once_and_of_a_bundle_once_more_for_its_checksum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_bundle: Callable[[], Path]
) -> None:
    tiny_tagger().save(tmp_path / "tagger")
    bundle = tiny_bundle()
    read = Counter[str]()
    at_once = files._at_once

    def noted(path: str, flags: int) -> int:
        read[Path(path).name] += 1
        return at_once(path, flags)

    monkeypatch.setattr(files, "_at_once", noted)
    dinku.open(tmp_path / "tagger")
    assert read == {"config.json": 1}  # transformers reads the rest
    read.clear()
    inspection(ModelFolder.of(tmp_path / "tagger"))
    assert read == {"config.json": 1, "model.safetensors": 1}
    read.clear()
    dinku.open(bundle)
    assert read == {
        "bundle.json": 1,
        "model.onnx": 1,
        "config.json": 2,
        "tokenizer.json": 1,
        "tokenizer_config.json": 2,
    }
