"""What int8 needs whatever the runtime: the linear layers of an ONNX model, smoothing, and a check of what was stored.

Weights of linear layers become int8 with one scale for each column, and word embeddings with one scale for each row. Activations
become int8 by the range of each batch (*dynamic*) or by ranges measured beforehand (*static*, which includes the products of
attention). Norms, softmax, position and type embeddings stay in float32.

A few features of a transformer are a hundred times larger than the others, so that one scale for all leaves the others only a
few steps. The inputs of linear layers are therefore smoothed: each feature is divided by a factor, by which the weights' row is
multiplied (SmoothQuant: Xiao et al. 2023, arXiv 2211.10438, eq. 4). In exact arithmetic, that changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from dinku.errors import DinkuError
from dinku.export.writer import Arrays, Stored
from dinku.model.windows import Batch

SMOOTH = 0.8  # the share of features' spread moved to the weights; at 0.9, the error with weights of seven bits doubles


def read(path: Path) -> Any:
    """An ONNX model in memory."""
    return onnx.load(path)


def linear(model: Any) -> dict[str, list[Any]]:
    """The matrix products of an ONNX model with weights, by their linear layer's name; a layer may be applied several times.

    The projection of factorized word embeddings has no bias to take a name from, and is called *word embeddings*.
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
    """Divide each input feature of linear layers by a factor, and multiply the weights' row by the same factor.

    The factor is max|x|^strength / max|w|^(1 − strength), with the feature x over the batches and the weights' row w. Layers with
    the same input share factors, and so do all inputs of one layer. A table that a layer also reads, such as one of relative
    positions, is divided by the layer's factors.
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
    """The products in groups that share no input and no weight with one another."""
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
    """The values of a graph that don't depend on its inputs."""
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
    """The additional bytes of weights because the linear layers ``kept`` are in float32."""
    sizes = {tensor.name: tensor.dims for tensor in float32.graph.initializer}
    weights = [sizes[own[0].input[1]] for name, own in linear(float32).items() if name in kept]
    return sum(3 * rows * columns - 4 * columns for rows, columns in weights)


def word_lookup(model: Any) -> Any:
    """The node that looks up rows of the word embeddings: its table is stored, and its indices are an input of the model."""
    weights, inputs = {t.name for t in model.graph.initializer}, {i.name for i in model.graph.input}
    (node,) = [n for n in model.graph.node if n.op_type == "Gather" and n.input[0] in weights and n.input[1] in inputs]
    return node


def zeroed(float32: Any, stored: Stored) -> dict[str, int]:
    """How many weights of an ONNX model became zero in its int8 file, by linear layer or matrix.

    ``stored`` is what that file stores: `dinku.export.writer.Writer.stored_weights`.

    Raises `DinkuError`, of status 1, if a stored weight isn't that of ``float32`` rounded to the nearest step, or a weight in
    float32 differs. The sentences of the gate might never use a rare piece whose scale is wrong.
    """
    stored = dict(stored)
    layers = {own[0].input[1]: name for name, own in linear(float32).items()}
    zeros = {}
    for name, weight in matrices(float32).items():
        steps, scale = stored.pop(name, (np.zeros(0), None))
        fine = steps.shape == weight.shape
        if scale is None:
            fine = np.array_equal(steps, weight)
        elif fine:
            # The nearest step is at most half a scale away; the division loses the last of float32's 24 bits.
            fine = bool((np.abs(steps * scale - weight) <= 0.5001 * np.abs(scale)).all())
            zeros[layers.get(name, name)] = int(np.count_nonzero(weight) - np.count_nonzero(steps))
        if not fine:
            problem = f"{layers.get(name, name)} isn't the rounded original"
            raise DinkuError(problem, where="gate", remedy="nothing was written; convert with other versions", status=1)
    return zeros


def matrices(model: Any) -> Arrays:
    """The weight matrices [inputs, outputs] and tables [rows, features] of an ONNX model, by name."""
    used = {name for node in model.graph.node if node.op_type in ("MatMul", "Gather") for name in node.input}
    found = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer if t.name in used}
    return {name: weight for name, weight in found.items() if weight.ndim == 2 and weight.dtype == np.float32}
