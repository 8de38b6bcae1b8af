"""The engine that runs an OpenVINO model on the CPU, in a given precision; no torch."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import openvino

from dinku.errors import DinkuError
from dinku.machine import instructions
from dinku.model.encode import SUBWORD_INPUTS
from dinku.model.engine import check_names, held, unreadable
from dinku.model.runtimes import Precision
from dinku.model.windows import Batch, Logits

HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}  # for int8 models, the precision of unquantized operators


def open_engine(model: Path, *, threads: int, precision: Precision, inputs: Collection[str]) -> OpenVinoEngine:
    """See `dinku.model.runtimes.EngineModule`."""
    return OpenVinoEngine(model, threads=threads, precision=precision, inputs=inputs)


class OpenVinoEngine:
    """Logits of an OpenVINO token classifier (IR or ONNX), on ``threads`` threads.

    ``precision`` is *fp32*, *bf16* or *int8*. It is always passed on, because by default OpenVINO silently computes in bf16 if
    the processor can. A processor without bf16 may compute a bf16 model in fp32, which `executed` shows, or refuse it.

    Any number of threads may share one engine.
    """

    def __init__(
        self, model: Path, *, threads: int, precision: str = "fp32", inputs: Collection[str] = SUBWORD_INPUTS
    ) -> None:
        options = {
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
        }
        if held():  # OpenVINO looks at the processor, not at the limit, and would choose kernels that oneDNN then lacks
            options["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = 0
        try:
            core = openvino.Core()
            self._compiled = core.compile_model(core.read_model(model), "CPU", options)
            self._idle = deque([self._compiled.create_infer_request()])
            read, answered = self._compiled.inputs, self._compiled.outputs
            names = [[port.any_name for port in ports] for ports in (read, answered)]
            check_names(model, *names, expected=inputs)
            (self._logits,) = answered
        except RuntimeError as error:
            raise unreadable(model, error) from None

    def logits(self, batch: Batch) -> Logits:
        """[scored words, tags] in float32."""
        given = dict(batch.inputs)
        with self._request() as request:
            out = request.infer(given, share_inputs=True, share_outputs=True)[self._logits]
            if out.shape[:-1] != batch.answer_shape:
                problem = f"answers {list(out.shape)} to {list(batch.answer_shape)}{held()}"
                raise DinkuError(
                    problem, where="openvino", remedy="export for onnxruntime, or use another version", status=1
                )
            return cast(Logits, batch.scored(out))  # a copy: the next inference overwrites ``out``

    @contextmanager
    def _request(self) -> Iterator[openvino.InferRequest]:
        """An infer request, with its own input and output memory, that no other thread uses within the block.

        There are as many requests as there were ever threads at once; the one used last is reused first.
        """
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        try:
            yield request
        finally:
            self._idle.append(request)

    def executed(self, batch: Batch) -> dict[str, int]:
        """See `dinku.model.engine.InspectableEngine.executed`; as compiled for this processor, whatever the batch."""
        found: Counter[str] = Counter()
        for node in self._compiled.get_runtime_model().get_ops():
            info = node.get_rt_info()
            if (kind := info["layerType"].astype(str)) in _COMPUTING:
                precision = info["runtimePrecision"].astype(str).lower()
                found[f"{_TYPES.get(precision, precision)} {kind}"] += 1
        return dict(sorted(found.items()))

    @property
    def kernels(self) -> str:
        return f"OpenVINO {openvino.__version__.partition('-')[0]}"

    @property
    def instructions(self) -> str:
        return " ".join(instructions()) + held()


_COMPUTING = ("FullyConnected", "MatMul", "Gather", "MVN", "Softmax", "Gelu", "ScaledDotProductAttention", "Subgraph")
_TYPES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16", "i8": "int8", "u8": "int8"}
