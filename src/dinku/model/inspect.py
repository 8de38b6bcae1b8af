"""Raw values: what a saved model weighs, and how long tagging takes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from dinku.data import learned
from dinku.data.corpus import Sentence
from dinku.errors import DinkuError, plural
from dinku.model.encode import Encoder
from dinku.model.engine import Numerics, Told
from dinku.model.folder import is_masked_lm, is_spare, safetensors_header, weight_files
from dinku.model.shape import Shape

_WIDTHS = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
# What a tagger leaves out, and what is the word embeddings once more.
_BESIDE = re.compile(r"(^|\.)(pooler|cls\.seq_relationship|position_ids|scale|SCB|weight_format)(\.|$)")
_TIED = re.compile(r"(^|\.)((lm_head|cls\.predictions)\.decoder\.|vocab_projector\.weight$)")
_FLOATS = ("F64", "F32", "F16", "BF16")


def disk_bytes(folder: Path) -> int:
    """Bytes of all files of a model folder that are the model, its weights in one format: those that are read."""
    return sum(path.stat().st_size for path in _files(folder))


def download_bytes(folder: Path, *, level: int = 9) -> int:
    """The same as one would download them: each compressed with zstd."""
    total = 0
    for path in _files(folder):
        compressor = zstandard.ZstdCompressor(level=level, threads=-1).compressobj(size=path.stat().st_size)
        with open(path, "rb") as file:
            while block := file.read(1 << 22):
                total += len(compressor.compress(block))
        total += len(compressor.flush())
    return total


def _files(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and not is_spare(path) and path.name != learned.FILE
    )


def tensors(path: Path) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """(name, shape, number of values that aren't zero) of every tensor in a safetensors file, without torch.

    Raises `DinkuError` for a file whose header doesn't describe its bytes.
    """
    header, start_of_all = safetensors_header(path)
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
    raise DinkuError("is no whole safetensors file", where=str(path), remedy="fetch the model again")


def _nonzero(raw: NDArray[np.uint8], kind: str) -> int:
    values = np.frombuffer(raw, np.dtype(f"u{_WIDTHS[kind]}"))
    sign = 1 if kind in _FLOATS else 0  # ±0.0 has no bit but its sign: shifting that out leaves zero
    return sum(int(np.count_nonzero(block << sign)) for block in np.array_split(values, max(1, len(values) >> 22)))


def _unpickled(path: Path) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """The same of a ``pytorch_model.bin``, where torch is installed; nothing where it isn't."""
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


def inspection(folder: Path, *, subwords: int = 32) -> dict[str, Any]:
    """What ``inspect`` says of a model folder: its shape by arithmetic, held against the weights in its files.

    ``nonzero`` is null for a ``pytorch_model.bin`` where torch, which reads it, isn't installed. What a checkpoint
    holds besides encoder and head (a pooler, a masked-LM head under a tag head) doesn't count. Of a quantized model it also
    says by which ``scheme`` it is stored, and holds its bytes against the files. Raises `DinkuError` where weights are
    missing.
    """
    shape = Shape.of_folder(folder)
    files = weight_files(folder)
    pickled = any(path.suffix == ".bin" for path in files)
    listed = chain.from_iterable(map(_unpickled if pickled else tensors, files))
    held = [
        (n, s, z)
        for n, s, z in listed
        if not (_BESIDE.search(n) or _TIED.search(n) or (is_masked_lm(n) and not shape.masked_lm))
    ]
    parameters = sum(math.prod(s) for _, s, _ in held)
    if held and parameters != shape.parameters:
        raise DinkuError(
            f"holds {plural(parameters, 'parameter')} where its config says {shape.parameters:,}",
            where=str(folder),
            remedy="fetch the model again",
        )
    if not held and not pickled:
        raise DinkuError("holds no weights", where=str(folder), remedy="add model.safetensors")
    if shape.scheme.terminal and (stored := sum(map(_stored, files))) != shape.bytes:
        problem = (
            f"holds {plural(stored, 'byte')} of tensors where its config says {shape.bytes:,} ({shape.scheme.name})"
        )
        raise DinkuError(problem, where=str(folder), remedy="quantize the model again")
    return {
        **({"scheme": shape.scheme.name} if shape.scheme.terminal else {}),
        "parameters": shape.parameters,
        "nonzero": sum(z for _, _, z in held) if held else None,
        "bytes": shape.bytes,
        "layers": len(shape.layers),
        "hidden": shape.hidden,
        "vocabulary": shape.vocabulary,
        "components": [asdict(c) for c in shape.components],
        "subwords": subwords,
        "multiply_adds": shape.multiply_adds(subwords),
    }


def _stored(path: Path) -> int:
    """Bytes of the tensors in a safetensors file that was found whole, without the marks that bitsandbytes adds."""
    header = safetensors_header(path)[0] if path.suffix == ".safetensors" else {}
    ends = [entry["data_offsets"] for name, entry in header.items() if not name.endswith(".weight_format")]
    return sum(end - start for start, end in ends)


BATCH = 16


def numerics(engine: Told, encoder: Encoder, sentences: Sequence[Sentence], *, scheme: str) -> Numerics:
    """How an engine computes; see `dinku.model.engine.Numerics`.

    Windows are batched in the order of the sentences, not by length, so that there is padding. Raises `DinkuError` where a
    logit isn't finite: float16 ends at 65,504.
    """
    windows = encoder.windows([s.words for s in sentences])
    operators: dict[str, int] = {}
    words = changed = 0
    largest = most = 0.0
    for start in range(0, len(windows), BATCH):
        group = windows[start : start + BATCH]
        batch = encoder.batch(group)
        operators = operators or engine.executed(batch)
        together = engine.logits(batch)
        alone = np.concatenate([engine.logits(encoder.batch([window])) for window in group])
        if not (np.isfinite(together).all() and np.isfinite(alone).all()):
            problem = f"gives logits that aren't finite ({scheme})"
            raise DinkuError(problem, where="measuring", remedy="keep the rest in float32", status=1)
        words += len(alone)
        changed += int((together.argmax(-1) != alone.argmax(-1)).sum())
        most = max(most, float(np.abs(alone).max(initial=0)))
        largest = max(largest, float(np.abs(together - alone).max(initial=0)))
    return Numerics(
        scheme=scheme,
        operators=operators,
        instructions=engine.instructions,
        kernels=engine.kernels,
        sentences=len(sentences),
        batch=BATCH,
        words=words,
        changed=changed,
        largest_change=largest,
        largest_logit=most,
    )


MAX_THREADS = 4096  # no machine is known that gains from more, and starting them takes longer than the work


def check_threads(asked: int | None, *, where: str) -> None:
    """Raise `DinkuError` for a number of threads that no machine has: starting them would never end."""
    if asked is not None and not 1 <= asked <= MAX_THREADS:
        raise DinkuError(f"is {asked:,}", where=where, remedy=f"give 1 to {MAX_THREADS:,}")
