"""What export needs of a runtime: it turns a tagger's ONNX file into the runtime's own, and reads back the stored weights."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from numpy.typing import NDArray

from dinku.model.runtimes import Precision, Runtime
from dinku.model.windows import Batch

Mode = Literal["static", "dynamic"]
Arrays = dict[str, NDArray[Any]]
Stored = dict[str, tuple[NDArray[Any], NDArray[Any] | None]]  # integer steps and their scale, or values and None


class Writer(Protocol):
    """The module ``dinku.export.<runtime>``."""

    def write_float(self, source: Path, path: Path, precision: Precision) -> Path:
        """Write an ONNX file in float32 as the runtime's own, in fp32 or bf16; ``source`` may be moved. Returns ``path``."""
        ...

    def write_int8(
        self, model: Any, path: Path, mode: Mode, batches: Sequence[Batch], kept: Collection[str] = ()
    ) -> Path:
        """Write an ONNX model in memory, which isn't changed, as the runtime's own in int8. Returns ``path``.

        *static* takes the ranges of activations from ``batches``. The linear layers ``kept`` stay in float32.
        """
        ...

    def stored_weights(self, path: Path, float32: Any) -> Stored:
        """The matrices of a file of `write_int8`, by the names they have in ``float32``, the ONNX model it was made from."""
        ...


def writer_of(runtime: Runtime) -> Writer:
    """The writer of a runtime; imports what it needs."""
    return cast(Writer, import_module(f"dinku.export.{runtime}"))
