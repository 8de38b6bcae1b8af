"""int8 rows: a quarter of the bytes, zero stays zero, no value moves by more than half a step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from dinku.errors import DinkuError
from dinku.method import Work
from dinku.methods.finetune import FineTune
from dinku.model import inspect, int8_rows
from dinku.model.folder import ModelFolder
from dinku.nn.tagger import Tagger
from dinku.testing import tiny_data, tiny_tagger


def test_no_value_moves_by_more_than_half_a_step() -> None:
    random = np.random.default_rng(0)
    matrix = (random.standard_normal((40, 30)) * 10.0 ** random.integers(-6, 3, (40, 1))).astype(np.float32)
    matrix[3] = 0
    matrix[4, ::2] = 0
    bias = random.standard_normal(30).astype(np.float32)
    stored = int8_rows.packed({"a": matrix, "b": bias})
    assert {name: values.dtype.name for name, values in stored.items()} == {
        "a": "int8",
        "a.scale": "float32",
        "b": "float32",
    }
    back = int8_rows.unpacked(stored)
    step = np.abs(matrix).max(1, keepdims=True) / 127
    assert (np.abs(back["a"] - matrix) <= step * 0.5001).all()
    assert ((back["a"] == 0) >= (matrix == 0)).all()
    assert np.array_equal(back["b"], bias)


@pytest.mark.parametrize("tags", [(), ("O", "B-PER", "I-PER")])
def test_a_packed_folder_loads_and_learns_like_any(tmp_path: Path, tags: tuple[str, ...]) -> None:
    tagger = tiny_tagger(tags=tags)
    folder = tagger.save(tmp_path / "packed", weights="int8")
    assert not (folder / "model.safetensors").exists()
    loaded = Tagger.load(folder)
    assert loaded.tags == tags
    assert loaded.shape.parameters == tagger.shape.parameters
    again = Tagger.load(loaded.save(tmp_path / "plain"))
    assert again.digest == loaded.digest
    assert inspect.inspection(ModelFolder(folder))["nonzero"] == loaded.shape.nonzero[0]
    FineTune(epochs=1, batch=8, precision="float32").apply(loaded, tiny_data(), Work(threads=1))


def test_a_packed_file_that_does_not_fit_is_told(tmp_path: Path) -> None:
    folder = tiny_tagger().save(tmp_path / "packed", weights="int8")
    stored = load_file(folder / int8_rows.FILE)
    name = "classifier.weight"
    save_file({k: v for k, v in stored.items() if k != name}, folder / int8_rows.FILE)
    with pytest.raises(DinkuError, match=r"doesn't fit config\.json: classifier\.weight is missing"):
        Tagger.load(folder)
    save_file({k: v for k, v in stored.items() if k != f"{name}.scale"}, folder / int8_rows.FILE)
    with pytest.raises(DinkuError, match=r"can't be read \('classifier\.weight\.scale'\)"):
        Tagger.load(folder)
    for size, told in (
        (100_000, r"model\.int8\.safetensors: can't be read"),
        (100, "6,421 parameters don't fit into 100 bytes"),
    ):
        (folder / int8_rows.FILE).write_bytes(b"\0" * size)
        with pytest.raises(DinkuError, match=told):
            Tagger.load(folder)
