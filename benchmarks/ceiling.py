"""How far a bundle is from what the machine can multiply: ``python benchmarks/ceiling.py BUNDLE --corpus masakhaner:all``.

The ceiling is one large product in int8, of the bundle's hidden and feed-forward size, by the bundle's own engine and threads:
multiply-adds a second. Beside it stand those of the bundle's linear layers over the subwords of the texts, padding not
counted as work, and where the time between text and entities goes: words, subwords and batches, the engine, entities. With
onnxruntime the engine's time is split by kernel. Each figure is the median over ``--rounds``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import dinku
from dinku.data import sources
from dinku.machine import available_threads
from dinku.model.bundle import Bundle
from dinku.model.encode import SubwordBatch
from dinku.model.shape import Shape
from dinku.serving.lines import Line

ROWS = 2048  # subwords of the large product


def product(path: Path, inner: int, outer: int) -> None:
    """A product as int8 bundles have it: activations [ROWS, inner] quantized on the way in, weights [inner, outer] in int8."""
    draw = np.random.default_rng(0)
    weights = draw.integers(-64, 64, (inner, outer), np.int8)
    given = {
        "weights": weights,
        "scale": np.float32(0.01),
        "zero": np.uint8(128),
        "scales": np.full(outer, 0.01, np.float32),
        "zeros": np.zeros(outer, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        helper.make_node("DequantizeLinear", ["weights", "scales", "zeros"], ["w"], axis=1),
        helper.make_node("MatMul", ["d", "w"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [ROWS, inner])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [ROWS, outer])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in given.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def ceiling(bundle: Bundle, rounds: int) -> float:
    """Multiply-adds a second."""
    assert isinstance(bundle.shape, Shape)
    inner, outer = bundle.shape.hidden, max(layer.width for layer in bundle.shape.layers)
    x = np.random.default_rng(0).standard_normal((ROWS, inner), np.float32)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "product.onnx"
        product(path, inner, outer)
        if bundle.manifest.runtime == "onnxruntime":
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = bundle.threads
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

            def run() -> object:
                return session.run(None, {"x": x})
        else:
            import openvino

            options = {"INFERENCE_NUM_THREADS": bundle.threads, "INFERENCE_PRECISION_HINT": "f32"}
            compiled = openvino.Core().compile_model(path, "CPU", options)

            def run() -> object:
                return compiled({"x": x})

        run()
        seconds = []
        for _ in range(20 * rounds):
            began = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - began)
    return ROWS * inner * outer / median(seconds)


class Timed:
    """An engine that keeps count."""

    def __init__(self, engine: Any) -> None:
        self.engine, self.seconds, self.subwords, self.padded = engine, 0.0, 0, 0

    def logits(self, batch: SubwordBatch) -> NDArray[np.float32]:
        began = time.perf_counter()
        out: NDArray[np.float32] = self.engine.logits(batch)
        self.seconds += time.perf_counter() - began
        self.subwords += int(batch.mask.sum())
        self.padded += batch.ids.size
        return out


def whole_path(reader: Any, texts: list[str], batch: int) -> dict[str, float]:
    """Seconds of each part, and subwords."""
    bundle: Bundle = reader.tagger
    timed = Timed(bundle.engine)
    bundle.__dict__["engine"] = timed  # where the cached property keeps it
    spent = {"words": 0.0, "tag": 0.0, "entities": 0.0}
    try:
        for start in range(0, len(texts), batch):
            a = time.perf_counter()
            lines = [Line.typed(text) for text in texts[start : start + batch]]
            b = time.perf_counter()
            found = reader.tag(lines)
            c = time.perf_counter()
            for line, tags in zip(lines, found, strict=True):
                line.entities(tags)
            d = time.perf_counter()
            for name, seconds in zip(spent, (b - a, c - b, d - c), strict=True):
                spent[name] += seconds
    finally:
        bundle.__dict__["engine"] = timed.engine
    spent["subwords and batches"] = spent.pop("tag") - timed.seconds
    return {**spent, "engine": timed.seconds, "subwords": timed.subwords, "padded": timed.padded}


def kernels(bundle: Bundle, texts: list[str], batch: int) -> dict[str, float]:
    """Share of the engine's time by onnxruntime's kernels."""
    from dinku.model.onnxruntime import OnnxEngine, _options, session

    class Profiled(OnnxEngine):
        def __init__(self, folder: str) -> None:
            super().__init__(bundle.folder / bundle.manifest.model, threads=bundle.threads)
            options = _options(bundle.threads)
            options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
            self._session = session(self._model, options)

    with tempfile.TemporaryDirectory() as scratch:
        profiled = Profiled(scratch)
        plain, bundle.__dict__["engine"] = bundle.engine, profiled
        for start in range(0, len(texts), batch):
            bundle.tag([Line.typed(text).sentence for text in texts[start : start + batch]])
        bundle.__dict__["engine"] = plain
        events = json.loads(Path(profiled._session.end_profiling()).read_text(encoding="utf-8"))
    spent: Counter[str] = Counter()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            spent[event["args"]["op_name"]] += event["dur"]
    return {name: spent[name] / spent.total() for name, _ in spent.most_common(10)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--corpus", default="sample:all", help="its test split is tagged (default: %(default)s)")
    parser.add_argument("--sentences", type=int, default=320, help="how many, at random (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=64, help="texts at once (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=available_threads(), help="default: %(default)s")
    asked = parser.parse_args()
    reader = dinku.open(asked.bundle, threads=asked.threads)
    bundle = reader.tagger
    assert isinstance(bundle, Bundle)
    assert isinstance(bundle.shape, Shape)
    texts = [" ".join(s.words) for s in sources.load(asked.corpus, "test").sample(asked.sentences, 0)]
    runs = [whole_path(reader, texts, asked.batch) for _ in range(asked.rounds + 1)][1:]
    spent = {name: median(run[name] for run in runs) for name in runs[0]}
    subwords, padded = spent.pop("subwords"), spent.pop("padded")
    total, products = sum(spent.values()), sum(bundle.shape.weights(embeddings=False)) * subwords
    told: dict[str, Any] = {"bundle": asked.bundle, "threads": asked.threads, "batch": asked.batch}
    told |= {"sentences_per_second": round(len(texts) / total, 1), "subwords_per_second": round(subwords / total)}
    told["padding"] = round(1 - subwords / padded, 3)
    told["share_of_time"] = {name: round(seconds / total, 3) for name, seconds in spent.items()}
    most = ceiling(bundle, asked.rounds)
    told |= {"ceiling_gmac_s": round(most / 1e9, 1), "linear_gmac_s": round(products / total / 1e9, 1)}
    told |= {
        "of_ceiling": round(products / total / most, 3),
        "engine_of_ceiling": round(products / spent["engine"] / most, 3),
    }
    if bundle.manifest.runtime == "onnxruntime":
        told["kernels"] = {name: round(share, 3) for name, share in kernels(bundle, texts, asked.batch).items()}
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
