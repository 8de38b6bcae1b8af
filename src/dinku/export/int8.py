"""An ONNX tagger in float32 → the same in int8, for onnxruntime or for OpenVINO.

Weights of linear layers become int8 with one scale a column, word embeddings int8 with one scale a row; what is multiplied
with the weights becomes int8 as it comes (*dynamic*) or by ranges measured beforehand (*static*, where products of
attention are int8 as well). Norms, softmax, position and type embeddings stay float32.

A few features of a transformer are a hundred times larger than the others, and one scale for all of them leaves the others
a few steps. So what linear layers read is smoothed first: divided, feature by feature, by what the weights' rows are then
multiplied with (SmoothQuant: Xiao et al. 2023, arXiv 2211.10438, eq. 4), which in exact arithmetic changes nothing.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from dinku.errors import DinkuError
from dinku.model import int8_rows
from dinku.model.windows import Batch

Mode = Literal["static", "dynamic"]
Arrays = dict[str, NDArray[Any]]
SMOOTH = 0.8  # how much of the spread of features goes over to the weights; at 0.9 seven bits of weights leave twice the error


def read(path: Path) -> Any:
    """An ONNX model in memory."""
    return onnx.load(path)


def linear(model: Any) -> dict[str, list[Any]]:
    """The products of an ONNX model with weights, by the name of their linear layer; a layer may be applied several times.

    What spreads factorized word embeddings has no bias to be named by: it is called *word embeddings*.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    readers = defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            readers[name].append(node)
    out = defaultdict(list)
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[1] in weights:
            biases = [n for reader in readers[node.output[0]] for n in reader.input if n.endswith(".bias")]
            named = [node.input[1]] if node.input[1].endswith(".weight") else biases
            out[named[0].rsplit(".", 1)[0] if named else "word embeddings"].append(node)
    return dict(out)


def smooth(model: Any, batches: Sequence[Batch], strength: float = SMOOTH) -> None:
    """Divide what linear layers read by one factor a feature, and multiply the rows of their weights with it.

    A factor is max|x|^strength / max|w|^(1 − strength), x what is read of the batches and w the row of the weights. Layers that
    read the same share a factor, and so does all that one layer reads. A table that a layer reads as well, such as that of
    relative positions, is divided by the layer's factor.
    """
    graph, tensors = model.graph, {t.name: t for t in model.graph.initializer}
    constants, nodes = _constants_of(model), [node for own in linear(model).values() for node in own]
    groups = _reading_together([node for node in nodes if node.input[0] not in constants])
    largest = _largest(model, sorted({node.input[0] for group in groups for node in group}), batches)
    for group in groups:
        inputs, weights = (list(dict.fromkeys(node.input[i] for node in group)) for i in (0, 1))
        values = [numpy_helper.to_array(tensors[name]) for name in weights]  # [features, out]
        rows = np.max([np.abs(weight).max(1) for weight in values], axis=0)
        most = np.max([largest[name] for name in inputs], axis=0)
        factor = np.maximum(most, 1e-5) ** strength / np.maximum(rows, 1e-5) ** (1 - strength)
        for name, weight in zip(weights, values, strict=True):
            smoothed = (weight * factor[:, None]).astype(np.float32)
            tensors[name].CopyFrom(numpy_helper.from_array(smoothed, name))
        first = inputs[0]
        graph.initializer.append(numpy_helper.from_array((1 / factor).astype(np.float32), first + ".factor"))
        readers = defaultdict(list)
        for node in nodes:
            if node.input[1] in weights:
                readers[node.input[0]].append(node)
        for number, (name, own) in enumerate(readers.items()):
            to = f"{name}.smooth" if name in inputs else f"{name}.smooth.{first}.{number}"
            for node in own:
                node.input[0] = to
            at = min(list(graph.node).index(node) for node in own)
            called = f"{name if name in inputs else to}.smoothed"
            graph.node.insert(at, helper.make_node("Mul", [name, first + ".factor"], [to], called))


def _reading_together(nodes: Sequence[Any]) -> list[list[Any]]:
    """Products in groups, each of which shares no input and no weight with another."""
    groups: list[tuple[set[str], list[Any]]] = []
    for node in nodes:
        names, members = set(node.input[:2]), [node]
        apart = []
        for known, own in groups:
            if known & names:
                names, members = known | names, own + members
            else:
                apart.append((known, own))
        groups = [*apart, (names, members)]
    order = {id(node): i for i, node in enumerate(nodes)}
    return sorted((own for _, own in groups), key=lambda own: order[id(own[0])])


def _constants_of(model: Any) -> set[str]:
    """The values of a graph that hang on none of its inputs."""
    known = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        if known.issuperset(name for name in node.input if name):
            known |= set(node.output)
    return known


def _largest(model: Any, names: Sequence[str], batches: Sequence[Batch]) -> Arrays:
    """The largest magnitude of each feature of the tensors ``names`` [batch, length, features] over the batches."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    graph = watched.graph
    graph.initializer.append(numpy_helper.from_array(np.array([0, 1]), "dinku.axes"))
    for name in names:
        graph.node.append(helper.make_node("Abs", [name], [name + ".abs"]))
        graph.node.append(helper.make_node("ReduceMax", [name + ".abs", "dinku.axes"], [name + ".most"], keepdims=0))
        graph.output.append(helper.make_tensor_value_info(name + ".most", TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    found = [session.run([name + ".most" for name in names], dict(batch.inputs)) for batch in batches]
    return {name: np.max([each[i] for each in found], axis=0) for i, name in enumerate(names)}


def more_bytes(float32: Any, kept: Collection[str]) -> int:
    """By how many bytes the weights are larger for the linear layers ``kept`` in float32."""
    sizes = {tensor.name: tensor.dims for tensor in float32.graph.initializer}
    weights = [sizes[own[0].input[1]] for name, own in linear(float32).items() if name in kept]
    return sum(3 * rows * columns - 4 * columns for rows, columns in weights)


def to_onnxruntime(model: Any, path: Path, mode: Mode, batches: Sequence[Batch], kept: Collection[str] = ()) -> Path:
    """Write an ONNX model, which stays as it is, in int8 for onnxruntime; the linear layers ``kept`` stay in float32.

    Weights take 7 bits of their 8: on processors without VNNI a pair of products is summed in 16 bits, which
    2 · 255 · 64 fits and 2 · 255 · 127 doesn't, so that the same file answers alike on all. onnxruntime's own tool would
    store word embeddings with one scale for the whole table, which rounds rare pieces to nothing.
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
    logging.getLogger().setLevel(logging.ERROR)  # to which its tool talks
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
    """Round a word's numbers once, before each word is joined with those around it, instead of once for every neighbour.

    Zeros, slices and joins only move numbers about, and one scale holds for all of them, so the answers stay the same.
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
    del model.graph.value_info[:]  # some of whose types are others now


def _reader(batches: Sequence[Batch]) -> Any:
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(batches)

        def get_next(self) -> Arrays | None:
            batch = next(self.left, None)
            return None if batch is None else dict(batch.inputs)

    return Reader()


def _picks(model: Any) -> Any:
    """The node that picks rows of word embeddings: the table is stored, and what is picked is an input."""
    weights, inputs = {t.name for t in model.graph.initializer}, {i.name for i in model.graph.input}
    (node,) = [n for n in model.graph.node if n.op_type == "Gather" and n.input[0] in weights and n.input[1] in inputs]
    return node


UNFOLDED = 1 << 23  # bytes of a table of word embeddings in float32 that an engine may as well hold in memory


def _by_rows(model: Any) -> Any:
    """A copy whose word embeddings are int8 with one scale a row.

    The rows that are picked are multiplied with their scales. A small table is multiplied as a whole instead, which
    onnxruntime does once, when it opens the file: picking from it then takes a fifth of the time.
    """
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    graph = copied.graph
    node = _picks(copied)
    picked = node.input[1]
    (table,) = [t for t in graph.initializer if t.name == node.input[0]]
    steps, scale = table.name + "_quantized", table.name + "_scale"  # as the tool calls those of other weights
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


def to_openvino(model: Any, path: Path, mode: Mode, batches: Sequence[Batch], kept: Collection[str] = ()) -> Path:
    """Write an ONNX model, which stays as it is, in int8 for OpenVINO; the linear layers ``kept`` stay in float32.

    *static* is NNCF's quantization of a transformer. *dynamic* stores the weights in int8; whether what is multiplied with
    them becomes int8 too is OpenVINO's choice, by processor.
    """
    import openvino

    if mode == "dynamic":
        made = openvino.Core().read_model(_stored_narrow(model, kept).SerializeToString())
        openvino.save_model(made, path, compress_to_fp16=False)
        return path
    os.environ.setdefault("NNCF_CI", "1")  # or it reports every use to its makers
    import nncf

    nncf.set_log_level(logging.ERROR)
    own = {node.name for name, own in linear(model).items() for node in own if name in kept}
    own |= {node.name for node in model.graph.node if node.op_type == "Gather" and node != _picks(model)}
    with contextlib.redirect_stdout(io.StringIO()):  # on which it draws bars
        float32 = openvino.Core().read_model(model.SerializeToString())
        known = {operator.get_friendly_name() for operator in float32.get_ops()}
        made = nncf.quantize(
            float32,
            nncf.Dataset([dict(batch.inputs) for batch in batches]),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(batches),
            ignored_scope=nncf.IgnoredScope(names=sorted(own & known)),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(matmul=-1)  # that is done
            ),
        )
        openvino.save_model(made, path, compress_to_fp16=False)
    return path


def _stored_narrow(model: Any, kept: Collection[str]) -> Any:
    """A copy whose weights are int8 with one scale a column, of word embeddings a row, and float32 again where they are used."""
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    graph, tensors = copied.graph, {t.name: t for t in copied.graph.initializer}
    used = [(node, 1) for name, own in linear(copied).items() for node in own if name not in kept]
    used.append((_picks(copied), 0))
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


def zeroed(float32: Any, path: Path) -> dict[str, int]:
    """How many weights of an ONNX model became zero in its int8 file for either engine, by linear layer or matrix.

    Raises `DinkuError`, of status 1, where a weight there isn't the one in ``float32`` rounded to the nearest step, or one
    that stays in float32 isn't the same: no sentence may ever show a scale that is wrong for one rare piece.
    """
    stored = _of_openvino(path, float32) if path.suffix == ".xml" else _of_onnx(path)
    layers = {own[0].input[1]: name for name, own in linear(float32).items()}
    zeros = {}
    for name, weight in _weights(float32).items():
        steps, scale = stored.pop(name, (np.zeros(0), None))
        fine = steps.shape == weight.shape
        if scale is None:
            fine = np.array_equal(steps, weight)
        elif fine:
            # The nearest step is half a scale away at most; float32 has 24 bits, of which the division loses the last.
            fine = bool((np.abs(steps * scale - weight) <= 0.5001 * np.abs(scale)).all())
            zeros[layers.get(name, name)] = int(np.count_nonzero(weight) - np.count_nonzero(steps))
        if not fine:
            problem = f"{layers.get(name, name)} isn't what it was made from, rounded"
            raise DinkuError(problem, where="gate", remedy="nothing was written; convert with other versions", status=1)
    return zeros


def _weights(model: Any) -> Arrays:
    """What an ONNX model multiplies with or picks from, [inputs, outputs] or [rows, features], by name."""
    used = {name for node in model.graph.node if node.op_type in ("MatMul", "Gather") for name in node.input}
    found = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer if t.name in used}
    return {name: weight for name, weight in found.items() if weight.ndim == 2 and weight.dtype == np.float32}


Stored = dict[str, tuple[NDArray[Any], NDArray[Any] | None]]


def _of_onnx(path: Path) -> Stored:
    """Weights of an int8 ONNX file: their steps and what a step is worth, or their values; by the names of `_weights`."""
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


def _of_openvino(path: Path, float32: Any) -> Stored:
    """The same of an OpenVINO model, whose operators are called as the nodes of the ONNX model it was made from."""
    import openvino

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
    """The node that multiplies with or picks from each of `_weights`, by the weight's name."""
    port = {"MatMul": 1, "Gather": 0}
    used = {node.input[port[node.op_type]]: node.name for node in model.graph.node if node.op_type in port}
    return {name: used[name] for name in _weights(model)}


def _constants(node: Any) -> list[NDArray[Any]]:
    """The values of a constant of OpenVINO, or those of one that is converted and multiplied, and of its scale."""
    kind = node.get_type_name()
    if kind == "Constant":
        return [node.get_data()]
    if kind in ("Convert", "Multiply", "Reshape", "Unsqueeze"):
        inputs = [node.input_value(i).get_node() for i in range(2 if kind == "Multiply" else 1)]
        return [values for each in inputs for values in _constants(each)]
    return []
