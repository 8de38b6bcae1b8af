"""Int8 within a tolerance: chooses the fewest linear layers that must stay in float32, those that lose most first."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

from dinku.data.corpus import Corpus
from dinku.export import gate, int8
from dinku.export.card import called
from dinku.export.writer import Mode, writer_of
from dinku.machine import interleaved
from dinku.model import engine
from dinku.model.bundle import Quantization
from dinku.model.runtimes import Runtime
from dinku.model.windows import Batch

RANKED = 128  # sentences on which layers are ranked
TIMED = 64  # sentences on which speed is compared


def quantize(
    reference: gate.Reference,
    float32: Path,
    path: Path,
    ranges: Corpus,
    runtime: Runtime,
    mode: Mode,
    tolerance: float,
    engine_of: Callable[..., engine.InspectableEngine],
) -> tuple[Quantization, dict[str, int]]:
    """Write a tagger's ONNX file in int8; how it was quantized, and how many weights of each matrix became zero."""
    tagger = reference.tagger
    windows = tagger.encoder.windows([s.words for s in ranges])
    batches = [tagger.encoder.batch([window]) for window in windows]
    whole = int8.read(float32)
    reference.report("measuring ranges", 0, 0)
    if strength := reference.converter.smoothing:
        int8.smooth(whole, batches, strength)
    writer = writer_of(runtime)

    def tried(kept: Sequence[str]) -> tuple[float, float]:
        reference.report(f"quantizing for {runtime}", 0, 0)
        writer.write_int8(whole, path, mode, batches, kept)
        equal, f1 = reference.compare(engine_of(path, runtime, "int8"))
        return equal, (reference.f1 or 0.0) - (f1 or 0.0)

    def fine(equal: float, lost: float) -> bool:
        return equal >= gate.EQUAL["int8"] and lost <= tolerance

    costs: list[str] = []
    equal = lost = speed = None
    if tolerance < 1:
        equal, lost = tried(())
    else:
        writer.write_int8(whole, path, mode, batches)
    if equal is not None and lost is not None and not fine(equal, lost):
        reference.report("ranking layers", 0, 0)
        found = reference.converter.layer_costs(ranges.sample(RANKED, seed=0), strength)
        costs = sorted(found, key=lambda name: -found[name])
        with tempfile.TemporaryDirectory() as folder:
            full = shutil.copytree(path.parent, Path(folder) / "full") / path.name
            costs = costs[: fewest(lambda n: fine(*tried(costs[:n])), len(costs))]
            writer.write_int8(whole, path, mode, batches, costs)
            speed = _speed(reference, *(engine_of(file, runtime, "int8") for file in (path, full)))
    made = Quantization(
        mode=mode,
        tolerance=tolerance,
        corpus=called(ranges),
        sentences=len(ranges),
        lost=lost,
        equal=equal,
        kept=tuple(sorted(costs)),
        bytes=int8.more_bytes(whole, costs),
        speed=speed,
    )
    return made, int8.zeroed(whole, writer.stored_weights(path, whole))


def fewest(fine: Callable[[int], bool], most: int) -> int:
    """The least n from 1 to ``most`` that is ``fine``, provided that every larger n is fine, too; ``most`` if there is none."""
    low, high = 0, 1
    while high < most and not fine(high):
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fine(middle) else (middle, high)
    return high


def _speed(reference: gate.Reference, engine: engine.Engine, full: engine.Engine) -> float:
    """The speed of an engine relative to that with every layer in int8, on single sentences; the median over rounds."""
    encoder = reference.tagger.encoder
    windows = encoder.windows([s.words for s in reference.corpus.sample(TIMED, seed=0)])
    batches = [encoder.batch([window]) for window in windows]
    subjects = {name: partial(_read, each, batches) for name, each in (("own", engine), ("full", full))}
    seconds = interleaved(subjects, rounds=5)
    return median(b / a for a, b in zip(seconds["own"], seconds["full"], strict=True))


def _read(engine: engine.Engine, batches: Sequence[Batch]) -> None:
    for batch in batches:
        engine.logits(batch)
