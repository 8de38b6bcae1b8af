"""What a tagger costs where it is used: ``python benchmarks/field.py MODEL --bundle BUNDLE --corpus masakhaner:all``.

dinku's bundles beside what one would use otherwise on the same weights: ``transformers.pipeline`` in float32 (given whole texts,
joined by ``aggregation_strategy="simple"``), bitsandbytes' LLM.int8() and PyTorch's dynamic int8. Each has a process of its own,
and they take turns, as in ``dinku bench``, which does the timing: the whole path from the same texts to entities, one at a time
and in batches. Ratios are to the pipeline at its best batch, and for one sentence at a time to the pipeline's p50.

``--optimum PYTHON`` adds what optimum makes of the weights, the same pipeline over an int8 file for onnxruntime. It wants
transformers 4, and so an environment of its own, of which that is the interpreter: `pip install "optimum-onnx[onnxruntime]"`
and dinku without extras. With ``--shape afriberta_base`` (or ``_small``, ``_large``) the layers are of that shape, drawn at
random, and only the tokenizer is MODEL's; the head answers O, as taggers mostly do, and bundles of it are made and measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dinku.data import sources
from dinku.machine import available_threads
from dinku.serving import bench

if TYPE_CHECKING:
    from dinku.data.corpus import Corpus
    from dinku.nn.tagger import Tagger

OTHERS = ("pipeline fp32", "LLM.int8()", "torch dynamic int8")
OPTIMUM = "optimum int8 pipeline"
SHAPES = ("afriberta_small", "afriberta_base", "afriberta_large")


def opened(asked: dict[str, Any]) -> tuple[str, Callable[[Sequence[str]], object]]:
    """One of `OTHERS` or `OPTIMUM`, in a process of its own."""
    if asked["model"] == OPTIMUM:
        return optimum(asked)
    import torch

    from dinku.nn.quiet import quietly
    from dinku.nn.tagger import Tagger

    torch.set_num_threads(asked["threads"])
    kind, folder = asked["model"], asked["folder"]
    if kind == "pipeline fp32":
        from transformers import pipeline

        with quietly():
            pipe = pipeline(
                "token-classification", folder, dtype=torch.float32, device="cpu", aggregation_strategy="simple"
            )
        return "fp32", lambda texts: pipe(list(texts), batch_size=len(texts))
    from dinku.method import Data, Work
    from dinku.methods.dynamic import QuantizeDynamic
    from dinku.methods.llmint8 import QuantizeLLMInt8
    from dinku.serving.lines import Line
    from dinku.serving.reader import Reader

    method = QuantizeLLMInt8() if kind == "LLM.int8()" else QuantizeDynamic()
    reader = Reader(method.apply(Tagger.load(folder), Data(), Work()))

    def tag(texts: Sequence[str]) -> object:
        lines = [Line.typed(text) for text in texts]
        return [line.entities(found) for line, found in zip(lines, reader.tag(lines), strict=True)]

    return "int8", tag


def optimum(asked: dict[str, Any]) -> tuple[str, Callable[[Sequence[str]], object]]:
    """Weights and activations in int8 by optimum's own recipe for processors with VNNI, under transformers' pipeline."""
    import onnxruntime
    from optimum.onnxruntime import ORTModelForTokenClassification, ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig
    from transformers import PreTrainedTokenizerFast, pipeline

    folder = Path(asked["folder"])
    special = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    names = {name: value for name, value in special.items() if name.endswith("_token") and isinstance(value, str)}
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **names)
    with tempfile.TemporaryDirectory() as scratch:
        ORTModelForTokenClassification.from_pretrained(folder, export=True).save_pretrained(scratch)
        quantizer = ORTQuantizer.from_pretrained(scratch, file_name="model.onnx")
        made = Path(scratch) / "int8"
        quantizer.quantize(
            save_dir=made,
            quantization_config=AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=False),
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = asked["threads"]
        model = ORTModelForTokenClassification.from_pretrained(
            made, file_name="model_quantized.onnx", session_options=options
        )
    pipe = pipeline("token-classification", model=model, tokenizer=tokenizer, aggregation_strategy="simple")
    return "int8", lambda texts: pipe(list(texts), batch_size=len(texts))


def untrained(preset: str, tokenizer: str) -> Tagger:
    """The layers of one of `PRESETS`, drawn at random, over the tokenizer of a tagger, under a head that answers O."""
    import torch

    from dinku.method import Data, Work
    from dinku.methods.fresh import PRESETS, StartFresh
    from dinku.nn import surgery
    from dinku.nn.tagger import Tagger

    reader = Tagger.load(tokenizer)
    shape = PRESETS[preset] | {"vocabulary": 0}
    encoder = StartFresh(**shape).apply(reader, Data(), Work())
    made = replace(encoder, model=surgery.with_head(encoder.model, reader.tags, seed=0), tags=reader.tags)
    with torch.no_grad():
        made.model.classifier.bias[reader.tags.index("O")] = 10.0
    return made


def quantized(tagger: Tagger, text: Corpus, scratch: Path) -> list[str]:
    """Bundles of a tagger for either engine, as `Quantize` makes them."""
    from dinku.method import Data, Work
    from dinku.methods.quantize import Quantize

    made = []
    for method in (Quantize(tolerance=1.0), Quantize(tolerance=1.0, runtime="openvino", mode="static")):
        bundle = method.apply(tagger, Data(text, text), Work())
        made.append(str(bundle.save(scratch / f"{method.runtime} {method.mode}")))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="a tagger in torch: a folder or a Hub id")
    parser.add_argument("--bundle", action="append", default=[], help="a bundle of it; may be given again")
    parser.add_argument("--corpus", default="masakhaner:all", help="its test split is tagged (default: %(default)s)")
    parser.add_argument("--sentences", type=int, default=200, help="how many, at random (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--batch", type=int, action="append", help="default: 1, 8 and 32")
    parser.add_argument("--threads", type=int, default=available_threads(), help="default: %(default)s")
    parser.add_argument("--without", action="append", default=[], choices=OTHERS[1:], help="leave one out")
    parser.add_argument("--optimum", metavar="PYTHON", help="the interpreter of an environment with optimum-onnx")
    parser.add_argument("--shape", choices=SHAPES, help="measure a shape, with MODEL's tokenizer")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        return bench.attend(opened)
    if not asked.model:
        parser.error("name a model")
    from dinku.nn.tagger import Tagger

    data = sources.load(asked.corpus, "test")
    texts = [" ".join(sentence.words) for sentence in data.sample(asked.sentences, 0)]
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        tagger = untrained(asked.shape, asked.model) if asked.shape else Tagger.load(asked.model)
        folder = str(tagger.save(Path(scratch) / "float32"))
        bundles = list(asked.bundle)
        if asked.shape:
            bundles += quantized(tagger, sources.load(asked.corpus, "train").sample(200, 0), Path(scratch))
        given = {"texts": texts, "threads": asked.threads, "folder": folder, "precision": None}
        own = [sys.executable, __file__, "--child"]
        running = [
            stack.enter_context(bench.contestant(name, own, given)) for name in OTHERS if name not in asked.without
        ]
        if asked.optimum:
            command = [asked.optimum, __file__, "--child"]
            running.append(stack.enter_context(bench.contestant(OPTIMUM, command, given)))
        for bundle in bundles:
            running.append(stack.enter_context(bench.contestant(bundle, bench.COMMAND, given)))
        batches = asked.batch or bench.BATCHES
        told = bench.compare(
            running,
            batches=batches,
            rounds=asked.rounds,
            progress=lambda done, of: print(f"\r{done}/{of}", end="", file=sys.stderr, flush=True),
        )
    print(file=sys.stderr)
    pipeline = told[0]
    for each in told:
        each["p50_ratio"] = pipeline["p50_ms"] / each["p50_ms"]
    if asked.json:
        print(json.dumps({"corpus": asked.corpus, "sentences": len(texts), "threads": asked.threads, "models": told}))
        return None
    print(f"{asked.model} on {asked.corpus}, {len(texts)} sentences, {asked.threads} threads, {asked.rounds} rounds")
    print(f"{'':<34}{'at 1, p50 ms':>14}{'ratio':>7}{'best batch':>12}{'/s':>8}   ratio to the pipeline's best   MB")
    for each in told:
        low, high = each["ratio_to_first_interval"]
        print(
            f"{each['model'][-33:]:<34}{each['p50_ms']:>14.1f}{each['p50_ratio']:>7.2f}{each['best_batch']:>12}"
            f"{each['sentences_per_second']:>8.1f}   {each['ratio_to_first']:>9.2f} [{low:.2f}, {high:.2f}]"
            f"{each['resident_bytes'] / 1e6:>18.0f}"
        )
    return None


if __name__ == "__main__":
    main()
