"""The engine that runs an ONNX file in onnxruntime, on the CPU; no torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from dinku.encode import Batch
from dinku.errors import DinkuError


class OnnxEngine:
    """Logits of an ONNX token classifier, on ``threads`` threads.

    What is executed is what stands in the graph: onnxruntime's CPU kernels know float32 and int8, and change neither.
    """

    def __init__(self, model: Path, *, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors, which are raised as well
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no class that is public
            raise unreadable(model, error) from None
        names = {value.name for value in self._session.get_inputs()}, {v.name for v in self._session.get_outputs()}
        if names != ({"input_ids", "attention_mask"}, {"logits"}):
            raise unreadable(model, ValueError("its inputs and outputs aren't a token classifier's"))

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """[scored words, tags] in float32."""
        given = {"input_ids": batch.ids, "attention_mask": batch.mask}
        (out,) = self._session.run(["logits"], given)  # [windows, subwords, tags]
        return out[batch.rows, batch.columns]


def unreadable(model: Path, error: Exception) -> DinkuError:
    """What an engine says of a model that it can't open."""
    reason = " ".join(str(error).split())[:200]
    return DinkuError(f"can't be opened ({reason})", where=str(model), remedy="fetch or export the model again")
