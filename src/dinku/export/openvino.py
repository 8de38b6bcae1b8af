"""ONNX → OpenVINO: in float32, in bf16, or made int8 by NNCF."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from dinku.export.int8 import linear, matrices, word_lookup
from dinku.export.writer import Mode, Stored
from dinku.model import int8_rows
from dinku.model.runtimes import Precision
from dinku.model.windows import Batch


def write_float(source: Path, path: Path, precision: Precision) -> Path:
    """See `dinku.export.writer.Writer`; bf16 stores weights in 16 bits."""
    # openvino.convert_model would report every use to its makers.
    openvino.save_model(openvino.Core().read_model(source), path, compress_to_fp16=precision == "bf16")
    return path


def write_int8(model: Any, path: Path, mode: Mode, batches: Sequence[Batch], kept: Collection[str] = ()) -> Path:
    """See `dinku.export.writer.Writer`.

    *static* is NNCF's quantization of a transformer. *dynamic* stores weights in int8; OpenVINO decides by the processor whether
    activations become int8, too.
    """
    if mode == "dynamic":
        made = openvino.Core().read_model(_stored_narrow(model, kept).SerializeToString())
        openvino.save_model(made, path, compress_to_fp16=False)
        return path
    os.environ.setdefault("NNCF_CI", "1")  # otherwise it reports every use to its makers
    import nncf

    nncf.set_log_level(logging.ERROR)
    own = {node.name for name, own in linear(model).items() for node in own if name in kept}
    own |= {node.name for node in model.graph.node if node.op_type == "Gather" and node != word_lookup(model)}
    with contextlib.redirect_stdout(io.StringIO()):  # for its progress bars
        float32 = openvino.Core().read_model(model.SerializeToString())
        known = {operator.get_friendly_name() for operator in float32.get_ops()}
        made = nncf.quantize(
            float32,
            nncf.Dataset([dict(batch.inputs) for batch in batches]),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(batches),
            ignored_scope=nncf.IgnoredScope(names=sorted(own & known)),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(
                    matmul=-1
                )  # already done by `dinku.export.int8.smooth`
            ),
        )
        openvino.save_model(made, path, compress_to_fp16=False)
    return path


def _stored_narrow(model: Any, kept: Collection[str]) -> Any:
    """A copy that stores weights as int8, one scale for each column (of word embeddings, row), and converts them where used."""
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    graph, tensors = copied.graph, {t.name: t for t in copied.graph.initializer}
    used = [(node, 1) for name, own in linear(copied).items() for node in own if name not in kept]
    used.append((word_lookup(copied), 0))
    done = dict[str, str]()
    for node, port in used:
        if again_called := done.get(node.input[port]):  # a layer that is applied several times
            node.input[port] = again_called
            continue
        weight = tensors[node.input[port]]
        values = numpy_helper.to_array(weight)
        steps, scale = int8_rows.packed({"": values.T if port else values}).values()
        names = [weight.name + end for end in ("_quantized", "_scale", "_again")]
        graph.initializer.remove(weight)
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(steps.T if port else steps), names[0]))
        graph.initializer.append(numpy_helper.from_array(scale, names[1]))
        again = helper.make_node("DequantizeLinear", names[:2], names[2:], axis=port)
        graph.node.insert(list(graph.node).index(node), again)
        done[weight.name] = node.input[port] = names[2]
    return copied


def stored_weights(path: Path, float32: Any) -> Stored:
    """See `dinku.export.writer.Writer`; OpenVINO's operators have the names of the ONNX nodes they were made from."""
    operators = {op.get_friendly_name(): op for op in openvino.Core().read_model(path).get_ops()}
    out: Stored = {}
    for name, at in _readers(float32).items():
        node = operators.get(at)
        if node is None:
            continue
        port = 1 if node.get_type_name() == "MatMul" else 0
        steps, *scale = _constants(node.input_value(port).get_node()) or [np.zeros(0)]
        if port and node.get_attributes().get("transpose_b"):
            steps = steps.T
        out[name] = (steps, scale[0].reshape((1, -1) if port else (-1, 1)) if len(scale) == 1 else None)
    return out


def _readers(model: Any) -> dict[str, str]:
    """The node that uses each of `dinku.export.int8.matrices`, by the weight's name."""
    port = {"MatMul": 1, "Gather": 0}
    used = {node.input[port[node.op_type]]: node.name for node in model.graph.node if node.op_type in port}
    return {name: used[name] for name in matrices(model)}


def _constants(node: Any) -> list[NDArray[Any]]:
    """The values of a constant of OpenVINO, or of a constant that is converted and multiplied, and of its scale."""
    kind = node.get_type_name()
    if kind == "Constant":
        return [node.get_data()]
    if kind in ("Convert", "Multiply", "Reshape", "Unsqueeze"):
        inputs = [node.input_value(i).get_node() for i in range(2 if kind == "Multiply" else 1)]
        return [values for each in inputs for values in _constants(each)]
    return []
