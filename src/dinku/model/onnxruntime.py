"""The engine that runs an ONNX file in onnxruntime, on the CPU; no torch."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

import onnxruntime

from dinku.machine import instructions
from dinku.model.encode import SUBWORD_INPUTS
from dinku.model.engine import check_names, unreadable
from dinku.model.runtimes import Precision
from dinku.model.windows import Batch, Logits


def open_engine(model: Path, *, threads: int, precision: Precision, inputs: Collection[str]) -> OnnxEngine:
    """See `dinku.model.runtimes.EngineModule`."""
    return OnnxEngine(model, threads=threads, inputs=inputs)


class OnnxEngine:
    """Logits of an ONNX token classifier, on ``threads`` threads.

    Each operator computes in the type that the graph gives it: onnxruntime's CPU kernels convert neither float32 nor int8.
    """

    def __init__(self, model: Path, *, threads: int, inputs: Collection[str] = SUBWORD_INPUTS) -> None:
        self._model, self._threads = model, threads
        try:
            self._session = session(model, _options(threads))
        except Exception as error:  # onnxruntime's errors have no class that is public
            raise unreadable(model, error) from None
        read, answered = self._session.get_inputs(), self._session.get_outputs()
        check_names(model, [each.name for each in read], [each.name for each in answered], expected=inputs)

    def logits(self, batch: Batch) -> Logits:
        """[scored words, tags] in float32."""
        (out,) = self._session.run(["logits"], batch.inputs)
        return cast(Logits, batch.scored(out))

    def executed(self, batch: Batch) -> dict[str, int]:
        """See `dinku.model.engine.InspectableEngine.executed`, from onnxruntime's own profile of one run."""
        with tempfile.TemporaryDirectory() as folder:
            options = _options(self._threads)
            options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
            profiled = session(self._model, options)
            profiled.run(["logits"], batch.inputs)
            events = json.loads(Path(profiled.end_profiling()).read_text(encoding="utf-8"))
        ran = [e["args"]["op_name"] for e in events if e.get("cat") == "Node" and e["name"].endswith("_kernel_time")]
        counted = Counter(f"{'int8' if name in _INT8 else 'float32'} {name}" for name in ran if name in _INT8 | _FLOAT)
        return dict(sorted(counted.items()))

    @property
    def kernels(self) -> str:
        return f"onnxruntime {onnxruntime.__version__}"

    @property
    def instructions(self) -> str:
        return " ".join(instructions())


_INT8 = {"DynamicQuantizeMatMul", "MatMulIntegerToFloat", "MatMulInteger", "QLinearMatMul", "QGemm"}
_FLOAT = {"MatMul", "FusedMatMul", "Gemm", "Gather", "LayerNormalization", "Softmax", "Gelu", "FastGelu"}
_FLOAT |= {"Attention", "MultiHeadAttention"}


# Fused Add and LayerNormalization, and fused Add and Gelu, are slower in onnxruntime than the separate operators: both fusions
# together cost an int8 tagger 11 to 21 % of its time (docs/log.md, 2026-11-22).
_SLOW = ["SkipLayerNormFusion", "BiasGeluFusion"]


def session(model: Path, options: Any) -> onnxruntime.InferenceSession:
    """A model opened on the CPU, without the fusions that slow it down."""
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"], disabled_optimizers=_SLOW)


def _options(threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors, which are raised as well
    return options
