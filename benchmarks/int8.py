"""What int8 loses and gains, by engine, threads and instruction set: ``python benchmarks/int8.py MODEL CORPUS``.

Bundles are exported once into ``--bundles`` (in fp32, bf16 and int8, with the default tolerance on 600 of CORPUS' dev
sentences), beside the tagger in torch. For each number of threads and each instruction set that oneDNN is held to (which
multiplies for torch and OpenVINO; onnxruntime's kernels can't be held) a process of its own gives F1 on the same test
sentences of each language, and sentences a second on ``--timed`` of them, whole path in batches, interleaved over ``--rounds``.
Ratios are to torch in
float32 within a round.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import torch

from dinku.data import sources
from dinku.data.corpus import Corpus
from dinku.errors import DinkuError
from dinku.export import convert
from dinku.export.pipeline import export
from dinku.machine import interleaved
from dinku.model.bundle import Bundle
from dinku.model.runtimes import Runtime
from dinku.nn.tagger import Tagger

DEV = 600  # sentences, all languages together
WAYS: list[tuple[Runtime, str, str | None]] = [
    ("onnxruntime", "fp32", None),
    ("onnxruntime", "int8", "dynamic"),
    ("onnxruntime", "int8", "static"),
    ("openvino", "fp32", None),
    ("openvino", "bf16", None),
    ("openvino", "int8", "dynamic"),
    ("openvino", "int8", "static"),
]


def name(runtime: str, precision: str, mode: str | None) -> str:
    return " ".join(part for part in (runtime, precision, mode) if part)


def exported(model: str, corpus: str, folder: Path) -> None:
    tagger = Tagger.load(model)
    train, dev = sources.load(corpus, "train"), convert.balanced(sources.load(corpus, "dev"), DEV)
    for runtime, precision, mode in WAYS:
        target = folder / name(runtime, precision, mode).replace(" ", "-")
        if not target.exists():
            print(f"exporting {target.name}", file=sys.stderr, flush=True)
            calibration = train if precision == "int8" else None
            export(tagger, target, dev, runtime=runtime, precision=precision, mode=mode, calibration=calibration)


def measured(
    model: str, corpus: str, folder: Path, sentences: int, timed: int, rounds: int, threads: int
) -> dict[str, object]:
    torch.set_num_threads(threads)
    test = sources.load(corpus, "test")
    whole, few = (
        Corpus.joined([test.only(language).sample(n, 0) for language in test.languages], test.name)
        for n in (sentences, timed)
    )
    subjects: dict[str, Tagger | Bundle] = {"torch fp32": Tagger.load(model)}
    for way in WAYS:
        try:
            opened = Bundle.open(str(folder / name(*way).replace(" ", "-")), threads=threads)
            opened.evaluate(few)  # an engine opens when it is first asked
            subjects[name(*way)] = opened
        except DinkuError as error:
            print(f"{name(*way)}: {error}", file=sys.stderr)
    out = {}
    for each, subject in subjects.items():
        counts = subject.evaluate(whole)
        out[each] = {language: score.f1 for language, score in counts.by_language().items()}
    tagging = {each: (lambda subject=subject: subject.tag(few.sentences)) for each, subject in subjects.items()}
    seconds = interleaved(tagging, rounds=rounds)
    ratios = {
        each: median(a / b for a, b in zip(seconds["torch fp32"], own, strict=True)) for each, own in seconds.items()
    }
    speed = {each: len(few) / median(own) for each, own in seconds.items()}
    sizes = {each: s.manifest.model for each, s in subjects.items() if isinstance(s, Bundle)}
    kept = {
        each: len(s.manifest.quantization.kept)
        for each, s in subjects.items()
        if isinstance(s, Bundle) and s.manifest.quantization
    }
    return {
        "f1": out,
        "speed": speed,
        "ratio": ratios,
        "sentences": len(whole),
        "timed": len(few),
        "model": sizes,
        "kept": kept,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("corpus")
    parser.add_argument("--bundles", type=Path, default=Path("bundles"))
    parser.add_argument("--sentences", type=int, default=50, help="test sentences of each language")
    parser.add_argument("--timed", type=int, default=10, help="of them timed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--instructions", nargs="*", default=["DEFAULT", "AVX2"], help="ONEDNN_MAX_CPU_ISA")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        given = (asked.model, asked.corpus, asked.bundles, asked.sentences, asked.timed, asked.rounds, asked.threads[0])
        print(json.dumps(measured(*given)))
        return
    exported(asked.model, asked.corpus, asked.bundles)
    for instructions in asked.instructions:
        for threads in asked.threads:
            command = [sys.executable, __file__, asked.model, asked.corpus, "--child", "--threads", str(threads)]
            for option in ("bundles", "sentences", "timed", "rounds"):
                command += [f"--{option}", str(getattr(asked, option))]
            env = os.environ | {"ONEDNN_MAX_CPU_ISA": instructions, "OMP_NUM_THREADS": str(threads)}
            found = json.loads(subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout)
            print(
                f"\noneDNN: {instructions}, threads: {threads}, {found['sentences']} test sentences, {found['timed']} timed"
            )
            print(f"{'':<28}{'F1':>7}{'worst loss':>16}{'kept fp32':>11}{'sentences/s':>13}{'× torch':>9}")
            dense = found["f1"]["torch fp32"]
            for each, f1 in found["f1"].items():
                worst = min(f1, key=lambda language: f1[language] - dense[language])
                loss = f"{100 * (f1[worst] - dense[worst]):+.2f} {worst}"
                mean = 100 * sum(f1.values()) / len(f1)
                kept = found["kept"].get(each, "")
                print(
                    f"{each:<28}{mean:>7.2f}{loss:>16}{kept:>11}{found['speed'][each]:>13.1f}{found['ratio'][each]:>9.2f}"
                )


if __name__ == "__main__":
    main()
