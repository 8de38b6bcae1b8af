"""torch → ONNX, by `torch.onnx` with eager attention, whose products and mask become plain nodes of the graph.

A conversion that fails raises an exception, but one that is wrong doesn't: an engine may read an operator differently, drop a
mask, or choose a precision silently. Every conversion is therefore compared with its tagger by `dinku.export.gate`.

The exporters of transformers aren't used: they patch the internals of three libraries, which the architectures here don't need.
"""

from __future__ import annotations

import ast
import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dinku.data.corpus import Corpus
from dinku.errors import DinkuError, plural, reason
from dinku.model.sentence_tagger import SentenceTagger

if TYPE_CHECKING:
    from dinku.nn.tagger import Tagger

TOLERANCE = 0.005  # the F1 (of 1) on dev that int8 may cost by default
CALIBRATION = 100  # the fewest sentences that ranges are measured on
_OPSET = 20  # the first with Gelu
_LIMIT = (1 << 31) - (1 << 20)  # bytes of weights in one protobuf message, with room for the graph


def to_onnx(tagger: Tagger, path: Path) -> Path:
    """Write a tagger as ONNX, its weights inside: ``input_ids`` and ``attention_mask`` [batch, length] in int64 →
    ``logits`` [batch, length, tags] in float32, for any batch and length.

    Raises `DinkuError` if it isn't `convertible`.
    """
    convertible(tagger)
    model = tagger.copy().model.cpu().eval()
    model.set_attn_implementation("eager")
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    ids = torch.full((2, 5), int(tagger.tokenizer.pad_token_id) + 1)
    mask = torch.ones_like(ids)
    mask[1, 3:] = 0
    inputs, shapes = {"input_ids": ids, "attention_mask": mask}, {"input_ids": sizes, "attention_mask": sizes}
    return write_onnx(model, inputs, shapes, path)


def write_onnx(model: Any, inputs: dict[str, torch.Tensor], shapes: dict[str, Any], path: Path) -> Path:
    """Write a model whose output is ``logits`` as ONNX, its weights inside.

    ``inputs`` are example inputs by the names of its arguments; ``shapes`` say which of their axes vary.
    """
    with _quietly(), torch.inference_mode():
        try:
            program = torch.onnx.export(
                model,
                kwargs=inputs,
                input_names=list(inputs),
                output_names=["logits"],
                dynamic_shapes=shapes,
                opset_version=_OPSET,
                dynamo=True,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            problem = f"torch can't convert a {type(model).__name__} ({reason(error)})"
            remedy = "nothing was written; use it in torch, or export an encoder of another family"
            raise DinkuError(problem, where="export", remedy=remedy, status=1) from None
    assert program is not None  # only the legacy exporter returns None
    proto: Any = program.model_proto
    _name_weights(model, proto.graph)
    for part in (*proto.graph.node, *proto.graph.input, *proto.graph.output, proto.graph, proto):
        del part.metadata_props[:]  # paths and lines of source files on this machine
        part.doc_string = ""
    path.write_bytes(proto.SerializeToString())
    return path


def _name_weights(model: Any, graph: Any) -> None:
    """Name the weights of linear layers without bias after their layers; a bias already has its layer's name.

    `dinku.export.int8.linear` tells layers apart by these names.
    """
    linear = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    readers: dict[str, set[str]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, set()).update(node.input)
    weights, names = {tensor.name: tensor for tensor in graph.initializer}, dict[str, str]()
    for node in graph.node:
        if node.op_type != "MatMul" or node.input[1] not in weights:
            continue
        scopes = next((each.value for each in node.metadata_props if each.key == _SCOPES), "[]")
        layer = next((scope for scope in reversed(ast.literal_eval(scopes)) if scope in linear), None)
        if layer and f"{layer}.bias" not in readers.get(node.output[0], set()):
            names.setdefault(node.input[1], f"{layer}.weight")
    for old, new in names.items():
        if new in weights:
            continue
        weights[old].name = new
        for node in graph.node:
            for i, name in enumerate(node.input):
                if name == old:
                    node.input[i] = new


_SCOPES = "pkg.torch.onnx.name_scopes"


def convertible(tagger: SentenceTagger) -> None:
    """Raise `DinkuError` for a tagger that has no tags, is quantized for torch, or is too large for one file."""
    if not tagger.tags:
        raise DinkuError("is an encoder without tags", where=tagger.name, remedy="fine-tune it first")
    if tagger.scheme.terminal:
        problem = f"is quantized for torch ({tagger.scheme.name}), which no other engine runs"
        raise DinkuError(problem, where=tagger.name, remedy="export the tagger that it was made from")
    if tagger.shape.bytes > _LIMIT:
        problem = f"has {tagger.shape.bytes / 1e9:.1f} GB of weights, and an ONNX file holds 2.1"
        raise DinkuError(problem, where=tagger.name, remedy="trim its vocabulary first")


def balanced(corpus: Corpus, sentences: int) -> Corpus:
    """A sample of so many sentences, evenly over languages; smaller if a language has too few.

    Raises `DinkuError` for fewer than `CALIBRATION` sentences.
    """
    each = -(-sentences // max(1, len(corpus.languages)))
    parts = [corpus.only(language).sample(each, seed=0) for language in corpus.languages]
    if sum(map(len, parts)) < CALIBRATION:
        problem = f"has {plural(sum(map(len, parts)), 'sentence')}, too few to measure ranges on"
        raise DinkuError(problem, where=corpus.name, remedy=f"name a corpus of {CALIBRATION} sentences or more")
    return Corpus.joined(parts, corpus.name)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Suppress the progress messages of torch's exporter, and warnings of deprecated functions that it calls itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.`", FutureWarning)
            warnings.filterwarnings("ignore", "# The axis name", UserWarning)
            yield
    finally:
        logger.setLevel(level)
