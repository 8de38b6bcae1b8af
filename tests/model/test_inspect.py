"""Raw values: bytes, zeros and times."""

from __future__ import annotations

import json
import struct
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zstandard
from safetensors.torch import load_file, save_file

from dinku import machine
from dinku.errors import DinkuError
from dinku.method import Data, Work
from dinku.methods.sparsity import Sparsify
from dinku.model import inspect, int8_rows
from dinku.model.folder import ModelFolder
from dinku.nn.tagger import Tagger
from dinku.testing import tiny_tagger


def test_tensors_are_counted_without_torch_as_torch_counts_them(tmp_path: Path) -> None:
    stored = {
        "a": torch.tensor([[0.0, -0.0, 1e-45], [2.0, float("nan"), 0.0]]),
        "b": torch.tensor([0, 3, -1]),
        "c": torch.tensor([0.0, -0.0, 1.0], dtype=torch.bfloat16),
        "d": torch.tensor([True, False]),
        "e": torch.zeros(0, 4),
    }
    save_file(stored, tmp_path / "m.safetensors")
    found = {name: (shape, nonzero) for name, shape, nonzero in inspect.tensors(tmp_path / "m.safetensors")}
    assert found == {name: (tuple(t.shape), int(t.count_nonzero())) for name, t in stored.items()}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 8,
        struct.pack("<Q", 1 << 40) + b"{}",
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 4) + b"[[]]",
        *(
            struct.pack("<Q", len(h := json.dumps({"a": e}).encode())) + h + b"\0" * 8
            for e in (
                {"dtype": "F32", "shape": [2], "data_offsets": [0, 80]},
                {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]},
                {"dtype": "F99", "shape": [2], "data_offsets": [0, 8]},
                {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]},
                {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]},
                {"dtype": "F32", "shape": "2", "data_offsets": None},
            )
        ),
    ],
)
def test_what_is_no_safetensors_file_is_told(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(data)
    with pytest.raises(DinkuError, match="isn't a complete safetensors file; fetch the model again"):
        list(inspect.tensors(path))


def test_inspection_holds_the_files_against_the_config(tmp_path: Path) -> None:
    tagger = Sparsify(0.5).apply(tiny_tagger(), Data(), Work())
    folder = tagger.save(tmp_path / "tagger")
    found = inspect.inspection(ModelFolder(folder))
    assert found["parameters"] == tagger.shape.parameters
    assert found["nonzero"] == tagger.shape.nonzero[0]
    weights = load_file(folder / "model.safetensors")
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert inspect.inspection(ModelFolder(folder)) == found  # a pickle is read with weights_only, by torch
    torch.save({"a": print}, folder / "pytorch_model.bin")
    with pytest.raises(DinkuError, match=r"pytorch_model\.bin: can't be read"):
        inspect.inspection(ModelFolder(folder))
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(DinkuError, match="holds no weights"):
        inspect.inspection(ModelFolder(folder))
    weights.pop("classifier.bias")
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(DinkuError, match="parameters where its config says"):
        inspect.inspection(ModelFolder(folder))


def test_bytes_on_disk_and_as_a_download(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(50_000)
    (tmp_path / "noise").write_bytes(noise)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "zeros").write_bytes(b"\0" * 50_000)
    assert inspect.disk_bytes(tmp_path) == 100_000
    alone = len(zstandard.ZstdCompressor(level=9).compress(noise))
    assert alone < inspect.download_bytes(tmp_path) < alone + 100


@pytest.mark.parametrize("weights", ["float32", "int8"])
def test_of_weights_in_two_formats_one_is_loaded_and_measured(weights: Any, tmp_path: Path) -> None:
    folder = tiny_tagger().save(tmp_path / "tagger", weights=weights)
    sizes = inspect.disk_bytes(folder), inspect.download_bytes(folder), ModelFolder(folder).digest
    expected = Tagger.load(folder).digest
    others = {name: torch.zeros_like(weight) for name, weight in tiny_tagger().model.state_dict().items()}
    torch.save(others, folder / "pytorch_model.bin")
    save_file(others, folder / "another.safetensors")
    if weights == "int8":
        save_file(others, folder / "model.safetensors")
    assert sizes == (inspect.disk_bytes(folder), inspect.download_bytes(folder), ModelFolder(folder).digest)
    assert Tagger.load(folder).digest == expected
    if weights == "float32":
        assert inspect.inspection(ModelFolder(folder))["nonzero"] == tiny_tagger().shape.nonzero[0]
    else:
        assert ModelFolder(folder).weight_files == [folder / int8_rows.FILE]
        assert inspect.inspection(ModelFolder(folder))["nonzero"] > 1000


def test_subjects_are_timed_within_every_round_in_turns() -> None:
    calls: list[str] = []
    seconds = machine.interleaved({name: partial(calls.append, name) for name in "abc"}, rounds=3)
    assert {name: len(times) for name, times in seconds.items()} == {"a": 3, "b": 3, "c": 3}
    assert all(t > 0 for times in seconds.values() for t in times)
    assert "".join(calls) == "cab" + "abc" + "bca" + "cab"  # a round to warm up, then three
