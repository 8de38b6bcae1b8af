"""What a saved model weighs: bytes, parameters, and those that aren't zero."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from dinku.data import learned
from dinku.errors import DinkuError, plural
from dinku.model.bundle import Bundle
from dinku.model.family import support
from dinku.model.folder import ModelFolder, safetensors_header
from dinku.model.kinds import kind_of
from dinku.model.shape import Costs, EncoderShape

_WIDTHS = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_FLOATS = ("F64", "F32", "F16", "BF16")


def disk_bytes(folder: Path) -> int:
    """The bytes of all files of a folder that belong to the model, with weights in one format: those that are read."""
    return sum(path.stat().st_size for path in _files(folder))


def download_bytes(folder: Path, *, level: int = 9) -> int:
    """The bytes of the same files if each is compressed with zstd, as for a download."""
    total = 0
    for path in _files(folder):
        compressor = zstandard.ZstdCompressor(level=level, threads=-1).compressobj(size=path.stat().st_size)
        with open(path, "rb") as file:
            while block := file.read(1 << 22):
                total += len(compressor.compress(block))
        total += len(compressor.flush())
    return total


def _files(folder: Path) -> list[Path]:
    is_spare = ModelFolder(folder).is_spare
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != learned.FILE)
    return sorted(path for path in files if not is_spare(path))


def tensors(path: Path, read: tuple[dict[str, Any], int] | None = None) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """(name, shape, number of values that aren't zero) of every tensor in a safetensors file, without torch.

    ``read`` is its `safetensors_header`, if it has already been read.

    Raises `DinkuError` for a file whose header doesn't describe its bytes.
    """
    header, start_of_all = read or safetensors_header(path)
    there = header and path.stat().st_size > start_of_all
    body = np.memmap(path, np.uint8, "r", offset=start_of_all) if there else np.empty(0, np.uint8)
    for name, entry in header.items():
        try:
            (start, end), shape, kind = map(int, entry["data_offsets"]), tuple(map(int, entry["shape"])), entry["dtype"]
        except (TypeError, KeyError, ValueError):
            break
        if not (0 <= start <= end <= len(body)) or end - start != math.prod(shape) * _WIDTHS.get(kind, -1):
            break
        yield name, shape, _nonzero(body[start:end], kind)
    else:
        if header:
            return
    raise DinkuError("isn't a complete safetensors file", where=str(path), remedy="fetch the model again")


def _nonzero(raw: NDArray[np.uint8], kind: str) -> int:
    values = np.frombuffer(raw, np.dtype(f"u{_WIDTHS[kind]}"))
    sign = 1 if kind in _FLOATS else 0  # of ±0.0 only the sign bit may be set, so shifting that out leaves zero
    return sum(int(np.count_nonzero(block << sign)) for block in np.array_split(values, max(1, len(values) >> 22)))


def _unpickled(path: Path) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """The same for a ``pytorch_model.bin`` if torch is installed; nothing otherwise."""
    if find_spec("torch") is None:
        return
    import torch

    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        found = [(str(n), tuple(t.shape), int(t.count_nonzero())) for n, t in stored.items()]
    except Exception as error:  # a damaged or hostile pickle fails in many ways
        problem = f"can't be read ({type(error).__name__})"
        raise DinkuError(
            problem, where=str(path), remedy="fetch the model again, as safetensors if there is one"
        ) from None
    yield from found


def inspection(folder: ModelFolder, *, subwords: int = 32) -> dict[str, Any]:
    """What ``inspect`` says about a model: its shape by arithmetic, checked against the weights in its files; for a bundle, what
    its manifest says.

    ``nonzero`` is null for a ``pytorch_model.bin`` if torch, which reads it, isn't installed. Parts of a checkpoint other than
    encoder and head (a pooler, a masked-LM head beside a tag head) don't count. For a quantized model, the document also has the
    ``scheme`` of its weights, and its bytes are checked against the files. Raises `DinkuError` if weights are missing, or a file
    of a bundle isn't the exported one.
    """
    about: dict[str, Any] = {}
    scheme: dict[str, str] = {}
    nonzero: int | None
    if folder.is_bundle:
        bundle = Bundle.open(folder)
        shape, manifest = bundle.shape, bundle.manifest
        nonzero = shape.nonzero[0]
        about = {
            "runtime": manifest.runtime,
            "precision": manifest.precision,
            "provenance": manifest.provenance,
            "gate": manifest.gate,
            "quantization": manifest.quantization and manifest.quantization.model_dump(),
        }
    else:
        shape = kind_of(folder).shape(folder)
        nonzero = count_nonzero(folder, shape)
        if shape.scheme.terminal:
            scheme = {"scheme": shape.scheme.name}
    if isinstance(shape, EncoderShape) and not shape.scheme.terminal:
        about["support"] = support(folder.config)
    return {
        **scheme,
        "parameters": shape.parameters,
        "nonzero": nonzero,
        "bytes": shape.bytes,
        **shape.sizes,
        "components": [asdict(c) for c in shape.components],
        "subwords": subwords,
        "multiply_adds": shape.multiply_adds(subwords),
        **about,
    }


def count_nonzero(folder: ModelFolder, shape: Costs) -> int | None:
    """The number of parameters in a folder's files that aren't zero; ``None`` if counting needs torch, and it isn't installed.

    Raises `DinkuError` if the files don't hold what ``shape`` says.
    """
    holds, where = kind_of(folder).holds, str(folder)
    pickled = any(path.suffix == ".bin" for path in folder.weight_files)
    each = (_unpickled(p) if pickled else tensors(p, folder.tensors[p]) for p in folder.weight_files)
    listed = chain.from_iterable(each)
    held = [(size, nonzero) for name, size, nonzero in listed if holds(name, shape)]
    parameters = sum(math.prod(size) for size, _ in held)
    if held and parameters != shape.parameters:
        problem = f"holds {plural(parameters, 'parameter')} where its config says {shape.parameters:,}"
        raise DinkuError(problem, where=where, remedy="fetch the model again")
    if not held and not pickled:
        raise DinkuError("holds no weights", where=where, remedy="add model.safetensors")
    if shape.scheme.terminal and (stored := _stored_bytes(folder)) != shape.bytes:
        said = f"where its config says {shape.bytes:,} ({shape.scheme.name})"
        problem = f"holds {plural(stored, 'byte')} of tensors {said}"
        raise DinkuError(problem, where=where, remedy="quantize the model again")
    return sum(nonzero for _, nonzero in held) if held else None


def _stored_bytes(folder: ModelFolder) -> int:
    """The bytes of tensors in complete safetensors files, without the marker tensors that bitsandbytes adds."""
    headers = [header for header, _ in folder.tensors.values()]
    ends = [
        e["data_offsets"] for header in headers for name, e in header.items() if not name.endswith(".weight_format")
    ]
    return sum(end - start for start, end in ends)
