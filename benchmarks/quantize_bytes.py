"""What quantized AfriBERTa weighs: ``python benchmarks/quantize_bytes.py [--measure]``.

For each preset and each way to store it, the bytes of its tensors as declared, and with ``--measure`` those of a folder
that is written from random weights of the exact architecture (it takes 5 GB of memory, and up to 1 GB of disk at once).
Where the two differ it stops; an int8 bundle holds a few constants of its graph besides.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from dinku.method import Data, Method, Work
from dinku.methods.dynamic import QuantizeDynamic
from dinku.methods.fresh import PRESETS, StartFresh
from dinku.methods.llmint8 import QuantizeLLMInt8
from dinku.methods.quantize import Quantize
from dinku.model.folder import ModelFolder, safetensors_header
from dinku.model.inspect import disk_bytes
from dinku.model.runtimes import RUNTIMES
from dinku.nn import surgery
from dinku.nn.tagger import Tagger
from dinku.testing import tiny_corpus, tiny_tagger

TAGS = ("O", *(f"{mark}-{label}" for label in ("PER", "ORG", "LOC", "DATE") for mark in "BI"))
SCHEMES: dict[str, Method | None] = {
    "float32": None,
    "LLM.int8(), rest float16": QuantizeLLMInt8(),
    "LLM.int8(), rest float32": QuantizeLLMInt8(rest="float32"),
    "dynamic int8": QuantizeDynamic(),
    "int8 for onnxruntime": Quantize(tolerance=1.0),
}
DATA = Data(tiny_corpus(120), tiny_corpus(160, seed=5, split="dev"))
CONSTANTS = 100  # bytes


def tagger(encoder: Tagger) -> Tagger:
    """Random weights under a head of MasakhaNER's nine tags, all their own: of what is equal, ONNX files hold one."""
    made = replace(encoder, model=surgery.with_head(encoder.model, TAGS, seed=0), tags=TAGS)
    for parameter in made.model.parameters():
        if parameter.dim() == 1:
            parameter.data += 0.01 * torch.rand(parameter.shape)
    return made


def stored(folder: Path) -> int:
    """Bytes of the tensors in a folder's files, as their headers tell."""
    if ModelFolder(folder).is_bundle:
        weights = onnx.load(folder / RUNTIMES["onnxruntime"].models["int8"]).graph.initializer
        arrays = [numpy_helper.to_array(t) for t in weights if not t.name.endswith("zero_point")]
        return sum(array.nbytes for array in arrays if array.dtype != np.int64)
    entries = [entry for file in ModelFolder(folder).weight_files for entry in safetensors_header(file)[0].values()]
    return sum(end - start for start, end in (entry["data_offsets"] for entry in entries))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="*", default=["afriberta_base", "afriberta_large"], choices=list(PRESETS))
    parser.add_argument("--measure", action="store_true", help="build, save and count as well")
    parser.add_argument("--layers", type=int, help="instead of the preset's, to try the script")
    parser.add_argument("--vocabulary", type=int, help="likewise")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    asked = parser.parse_args()
    given = {"layers": asked.layers, "vocabulary": asked.vocabulary}
    tiny, found = tiny_tagger(tags=()), []
    for preset in asked.presets:
        sizes = PRESETS[preset] | {name: size for name, size in given.items() if size}
        rows = sizes.pop("vocabulary")
        fresh = StartFresh(**sizes)
        dense_shape = replace(fresh.declare(tiny.shape), vocabulary=rows).with_tags(len(TAGS))
        dense = None
        if asked.measure:
            encoder = fresh.apply(tiny, Data(), Work())
            encoder.model.resize_token_embeddings(rows, mean_resizing=False)
            dense = tagger(encoder)
        for name, method in SCHEMES.items():
            declared = (method.declare(dense_shape) if method else dense_shape).bytes
            told = {"model": preset, "scheme": name, "declared": declared, "ratio": declared / dense_shape.bytes}
            if dense:
                print(f"{preset}: {name}", file=sys.stderr)
                with tempfile.TemporaryDirectory() as scratch:
                    quantized = method.apply(dense, DATA.seen_by(method), Work()) if method else dense
                    folder = quantized.save(Path(scratch) / "tagger")
                    told |= {"measured": stored(folder), "disk": disk_bytes(folder)}
                if abs(told["measured"] - declared) > (CONSTANTS if isinstance(method, Quantize) else 0):
                    sys.exit(f"{preset}, {name}: declared {declared:,} bytes, measured {told['measured']:,}")
            found.append(told)
    if asked.json:
        print(json.dumps(found))
        return
    for told in found:
        measured = f"{told['measured'] / 1e6:8.1f} MB measured" if "measured" in told else ""
        size = f"{told['declared'] / 1e6:8.1f} MB ({100 * (told['ratio'] - 1):+.1f} %)"
        print(f"{told['model']:<16} {told['scheme']:<26} {size} {measured}")


if __name__ == "__main__":
    main()
