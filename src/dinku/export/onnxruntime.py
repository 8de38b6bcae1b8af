"""ONNX → onnxruntime: the ONNX file itself in float32, or made int8 by onnxruntime's own tool."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from dinku.export.int8 import linear, read, word_lookup
from dinku.export.writer import Arrays, Mode, Stored
from dinku.model import int8_rows
from dinku.model.runtimes import Precision
from dinku.model.windows import Batch


def write_float(source: Path, path: Path, precision: Precision) -> Path:
    """See `dinku.export.writer.Writer`; moves the ONNX file."""
    return source.replace(path)


def write_int8(model: Any, path: Path, mode: Mode, batches: Sequence[Batch], kept: Collection[str] = ()) -> Path:
    """See `dinku.export.writer.Writer`.

    Weights use 7 of their 8 bits. Processors without VNNI sum a pair of products in 16 bits, into which 2 · 255 · 64 fits and
    2 · 255 · 127 doesn't; with 7 bits, a file gives the same answers on all processors. Word embeddings are quantized here,
    because onnxruntime's tool would store them with one scale for the whole table, which rounds rare pieces to zero.
    """
    from onnxruntime import quantization

    model = _by_rows(model)
    options: dict[str, Any] = {
        "op_types_to_quantize": ["MatMul"],
        "nodes_to_exclude": [node.name for name, own in linear(model).items() for node in own if name in kept],
        "per_channel": True,
        "reduce_range": True,
        "weight_type": quantization.QuantType.QInt8,
    }
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)  # on which its tool logs
    try:
        if mode == "dynamic":
            quantization.quantize_dynamic(model, path, **options, extra_options={"MatMulConstBOnly": True})
        else:
            options["activation_type"] = quantization.QuantType.QUInt8
            options["extra_options"] = {
                "QDQOpTypePerChannelSupportToAxis": {"MatMul": 1},
                "OpTypesToExcludeOutputQuantization": ["MatMul"],
            }
            quantization.quantize_static(model, path, _reader(batches), **options)
            made = read(path)
            _round_before_joining(made)
            onnx.save(made, path)
    finally:
        logging.getLogger().setLevel(level)
    return path


def _round_before_joining(model: Any) -> None:
    """Round the vector of each word once, before it is joined with its neighbours', instead of once for every neighbour.

    Padding, slices and joins only move numbers that share one scale, so the answers stay the same.
    """
    nodes = model.graph.node
    makers = {name: node for node in nodes for name in node.output}
    for rounding in [node for node in nodes if node.op_type == "QuantizeLinear"]:
        joining = makers.get(rounding.input[0])
        if joining is None or joining.op_type != "Concat":
            continue
        slices = [makers.get(name) for name in joining.input]
        pads = {each.input[0] for each in slices if each is not None and each.op_type == "Slice"}
        padding = makers.get(pads.pop()) if len(pads) == 1 and None not in slices else None
        if padding is None or padding.op_type != "Pad" or len(padding.input) > 2:
            continue
        joined, (word, zeros), zero = rounding.output[0], padding.input, rounding.input[2]
        rounding.input[0], rounding.output[0] = word, word + ".rounded"
        del padding.input[:]
        padding.input.extend([word + ".rounded", zeros, zero])
        joining.output[0] = joined
        nodes.remove(rounding)
        nodes.insert(list(nodes).index(padding), rounding)
    del model.graph.value_info[:]  # some of their types have changed


def _reader(batches: Sequence[Batch]) -> Any:
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(batches)

        def get_next(self) -> Arrays | None:
            batch = next(self.left, None)
            return None if batch is None else dict(batch.inputs)

    return Reader()


UNFOLDED = 1 << 23  # bytes of the largest table of word embeddings that the engine may hold in float32


def _by_rows(model: Any) -> Any:
    """A copy whose word embeddings are int8 with one scale a row.

    The rows that are looked up are multiplied by their scales. A small table is multiplied as a whole instead, which onnxruntime
    does once when it opens the file; lookups then take a fifth of the time.
    """
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    graph = copied.graph
    node = word_lookup(copied)
    picked = node.input[1]
    (table,) = [t for t in graph.initializer if t.name == node.input[0]]
    steps, scale = table.name + "_quantized", table.name + "_scale"  # the tool's names for other weights
    values = numpy_helper.to_array(table)
    made = int8_rows.packed({"": values}).values()
    graph.initializer.remove(table)
    graph.initializer.extend(numpy_helper.from_array(a, n) for a, n in zip(made, (steps, scale), strict=True))
    graph.initializer.append(numpy_helper.from_array(np.array([-1]), "dinku.last"))
    small = values.nbytes <= UNFOLDED
    floats = [
        helper.make_node("Unsqueeze", [scale if small else scale + ".picked", "dinku.last"], [scale + ".column"]),
        helper.make_node("Cast", [steps if small else steps + ".picked"], [steps + ".float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [steps + ".float", scale + ".column"], [table.name] if small else list(node.output)),
    ]
    if small:
        picking = [*floats, helper.make_node("Gather", [table.name, picked], list(node.output))]
    else:
        picking = [helper.make_node("Gather", [each, picked], [each + ".picked"]) for each in (steps, scale)] + floats
    at = list(graph.node).index(node)
    graph.node.remove(node)
    for offset, each in enumerate(picking):
        graph.node.insert(at + offset, each)
    return copied


def stored_weights(path: Path, float32: Any) -> Stored:
    """See `dinku.export.writer.Writer`; onnxruntime's tool derives its names from those of the weights."""
    graph = onnx.load(path).graph
    tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    by_row = {node.input[0] for node in graph.node if node.op_type in ("Gather", "Cast")}
    out: Stored = {}
    for name, values in tensors.items():
        plain = name.removesuffix("_quantized")
        if plain == name:
            out[name] = (values, None)
        elif not tensors.get(plain + "_zero_point", np.zeros(1)).any():
            scale = tensors[plain + "_scale"]
            out[plain] = (values, scale[:, None] if name in by_row else scale)
    return out
