"""Tagger → bundle, with its card: converted, compared with what it was made from, and only then put in its place."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, get_args

from dinku.data import learned, sources
from dinku.data.corpus import Corpus
from dinku.data.languages import is_code
from dinku.errors import DinkuError, plural
from dinku.export import convert, gate, int8, javascript
from dinku.files import written, written_folder
from dinku.machine import available_threads, installed, interleaved
from dinku.model import bundle, engine
from dinku.model.bundle import MODELS, Bundle, Manifest, Precision, Quantization, Runtime
from dinku.model.folder import ModelFolder
from dinku.model.kinds import kind_of
from dinku.model.sentence_tagger import SentenceTagger
from dinku.model.windows import Batch
from dinku.nn.loading import load
from dinku.progress import Count, Progress, silent
from dinku.scoring import tagging
from dinku.scoring.counts import LEARN_MORE, Counts

_PACKAGES = ("torch", "transformers", "tokenizers", "onnx", "onnxscript", "onnxruntime", "openvino", "nncf")
RANGES = 400  # sentences that ranges are measured on, all languages together
RANKED = 128  # sentences of them on which layers are ranked
TIMED = 64  # sentences on which speed is compared
_PART = re.compile(r"\(\d+ of \d+\)")  # which `Corpus.sample` writes into its name
_HUB_SPLITS = {"train": "train", "dev": "validation", "test": "test"}
_WHY = {
    ("onnxruntime", "bf16"): "onnxruntime has no bf16 kernels for CPUs",
}
# The Hub's names of licences; ours are theirs in other letters, as "CC BY-NC 4.0".
_LICENCES = {
    *(
        "mit",
        "apache-2.0",
        "bsd",
        "bsd-2-clause",
        "bsd-3-clause",
        "isc",
        "unlicense",
        "mpl-2.0",
        "artistic-2.0",
        "wtfpl",
    ),
    *(
        "gpl",
        "gpl-2.0",
        "gpl-3.0",
        "lgpl",
        "lgpl-2.1",
        "lgpl-3.0",
        "agpl-3.0",
        "afl-3.0",
        "epl-2.0",
        "eupl-1.1",
        "zlib",
    ),
    *("cc", "cc0-1.0", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0"),
    *("cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0"),
    *("cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "odc-by", "odbl", "pddl", "openrail", "bigscience-openrail-m"),
}


@dataclass(frozen=True)
class Measured:
    """F1 of a bundle for its card: ``counts`` over the sentences of a corpus. Its name tells a part of one, and a sample.

    ``seen`` says of each sentence whether the tagger learned from it; ``None`` where nobody knows what it learned from.
    """

    corpus: str
    split: str
    counts: Counts
    seen: Sequence[bool] | None = None


@dataclass(frozen=True)
class About:
    """What a card and ``bundle.json`` say beyond what can be seen: where a tagger comes from, and under which licences.

    ``data`` names its training corpora, ``recipe`` is the canonical form of how it was made, ``address`` that of the
    result, ``latency`` a sentence about speed that says where it was measured.
    """

    name: str = ""
    data: tuple[str, ...] = ()
    data_licence: str = ""
    weights_licence: str = ""
    recipe: Any = None
    address: str = ""
    latency: str = ""


def export(
    tagger: SentenceTagger,
    folder: str | os.PathLike[str],
    corpus: Corpus,
    *,
    runtime: Runtime = "onnxruntime",
    precision: Precision = "fp32",
    mode: int8.Mode | None = None,
    tolerance: float | None = None,
    calibration: Corpus | None = None,
    threads: int | None = None,
    about: About | None = None,
    progress: Progress = silent,
    silent: bool = False,
) -> Bundle:
    """Convert a tagger, hold it to the gate on the sentences of ``corpus``, and write it as a bundle.

    ``corpus`` is for comparing and choosing: give a dev split, never the test split. For int8, in ``mode`` (*static* unless
    told otherwise), ranges are measured on sentences of ``calibration``, whose tags aren't looked at: give a train split. Where
    that loses more than ``tolerance`` of F1 (of 1) on ``corpus``, or one tag in a hundred, the linear layers that cost most stay
    in float32, the fewest that do. Nothing is written where the gate refuses or the process is killed: the folder takes its
    place last. Raises `DinkuError` where it is there already, the runtime doesn't know the precision, or the gate refuses; of
    status 1 where the tagger finds nothing in ``corpus``, unless ``silent`` taggers are wanted as well.

    >>> import dinku, tempfile
    >>> from dinku.testing import tiny_corpus, tiny_tagger
    >>> dinku.export(tiny_tagger(), f"{tempfile.mkdtemp()}/bundle", tiny_corpus(160))
    Bundle(fp32 for onnxruntime, 0.0 M, LOC PER)
    """
    about, target, threads = about or About(), Path(folder), threads or available_threads()
    _check_asked(runtime, precision, mode, tolerance)
    tolerance = convert.TOLERANCE if tolerance is None else tolerance
    ranges = None
    if precision == "int8":
        if calibration is None:
            remedy = "name a corpus with a train split"
            raise DinkuError("int8 needs sentences to measure ranges on", where="export", remedy=remedy)
        ranges = convert.balanced(calibration, RANGES)
    with written_folder(target) as part:
        model = part / MODELS[runtime, precision]
        model.parent.mkdir()
        reference = gate.Reference(tagger, corpus, progress=progress)
        if not silent and reference.f1 is not None and (silence := tagging.counted(corpus, reference.tagged).silence):
            raise DinkuError(f"{silence} ({_called(corpus)})", where=tagger.name, remedy=LEARN_MORE, status=1)
        reference.report(f"converting to {runtime}", 0, 0)
        converter = reference.converter
        converter.write_reading_files(part, precision, corpus)
        engine_of = partial(bundle.open_engine, inputs=kind_of(ModelFolder(part)).inputs)
        onnx = converter.to_onnx(model.with_suffix(".onnx"))
        quantization, zeroed = None, dict[str, int]()
        if ranges:
            quantization, zeroed = _quantize(
                reference,
                onnx,
                model,
                ranges,
                runtime,
                mode or "static",
                tolerance,
                partial(engine_of, threads=threads),
            )
        elif runtime == "openvino":
            convert.to_openvino(onnx, model, half=precision == "bf16")
        if onnx != model:
            onnx.unlink()
        engine = engine_of(model, runtime, precision, threads)
        found = reference.gate(engine, precision, tolerance=tolerance)
        del engine
        listed = {path.relative_to(part).as_posix(): path for path in sorted(part.rglob("*")) if path.is_file()}
        manifest = Manifest(
            runtime=runtime,
            precision=precision,
            length=converter.length,
            label_on=converter.label_on,
            nonzero=tagger.shape.nonzero[0] - sum(zeroed.values()),
            linear_nonzero=converter.linear_nonzero(zeroed),
            zeros=tagger.shape.zeros,
            provenance=_provenance(tagger, about),
            gate={"corpus": _called(corpus), "split": corpus.split, "sentences": len(corpus), **found.document},
            quantization=quantization,
            files={name: bundle.summed(path) for name, path in listed.items()},
        )
        _write(part / bundle.FILE, manifest.model_dump_json(indent=1) + "\n")
        _write(part / "README.md", card(manifest, tagger.tags, about, unread=_unread(part)))
    return Bundle.open(str(target), threads=threads)


def finished(folder: ModelFolder) -> bool:
    """Whether nothing but a copy can be made of the model in a folder: a bundle, or a tagger that is quantized for torch."""
    return folder.is_bundle or kind_of(folder).shape(folder).scheme.terminal


def copied(folder: ModelFolder, out: str | os.PathLike[str], given: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Copy what is `finished` once it has been opened, every file as it is, and say what it is.

    ``given`` are the options of an export by name. Raises `DinkuError` for one that asks for anything but what is there.
    """
    tagger: SentenceTagger
    if folder.is_bundle:
        tagger = opened = Bundle.open(folder)
        manifest = opened.manifest
        made: dict[str, Any] = {"runtime": manifest.runtime, "precision": manifest.precision, "gate": manifest.gate}
        made["quantization"] = manifest.quantization.model_dump() if manifest.quantization else None
    else:
        tagger = load(folder)
        made = {"runtime": "torch", "precision": tagger.precision}
    has = made | (made.get("quantization") or {}) | {"corpus": None}
    for name, asked in given.items():
        if has.get(name) != asked:
            problem = f"is {made['precision']} for {made['runtime']} already, and is copied as it is"
            remedy = f"leave --{name} out, or export the tagger that it was made from"
            raise DinkuError(problem, where=where, remedy=remedy)
    if folder.is_bundle:
        tagger.save(out)
        return made
    with written_folder(out) as part:
        for path in filter(Path.is_file, folder.path.rglob("*")):
            (part / path.relative_to(folder.path)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, part / path.relative_to(folder.path))
    return made


def _check_asked(runtime: str, precision: str, mode: str | None, tolerance: float | None) -> None:
    if (runtime, precision) not in MODELS:
        there = ", ".join(p for r, p in MODELS if r == runtime)
        if not there:
            raise DinkuError(
                f"there is no runtime {runtime!r}", where="export", remedy="choose onnxruntime or openvino"
            )
        why = _WHY.get((runtime, precision), f"there is no precision {precision!r} for {runtime}")
        raise DinkuError(why, where="export", remedy=f"choose {there.replace(', ', ' or ')}")
    if mode not in (None, *get_args(int8.Mode)):
        raise DinkuError(f"there is no mode {mode!r}", where="export", remedy="choose static or dynamic")
    for name, given in (("mode", mode), ("tolerance", tolerance)):
        if given is not None and precision != "int8":
            raise DinkuError(f"{precision} has no {name}", where="export", remedy="leave it out, or choose int8")
    if tolerance is not None and not 0 <= tolerance <= 1:
        remedy = "give the F1 (of 1) that may be lost, such as 0.005"
        raise DinkuError(f"the tolerance is {tolerance}", where="export", remedy=remedy)


def _quantize(
    reference: gate.Reference,
    float32: Path,
    path: Path,
    ranges: Corpus,
    runtime: Runtime,
    mode: int8.Mode,
    tolerance: float,
    engine_of: Callable[..., engine.InspectableEngine],
) -> tuple[Quantization, dict[str, int]]:
    """Write a tagger's ONNX file in int8, and say how, and how many weights of each matrix became zero by it."""
    tagger = reference.tagger
    windows = tagger.encoder.windows([s.words for s in ranges])
    batches = [tagger.encoder.batch([window]) for window in windows]
    whole = int8.read(float32)
    reference.report("measuring ranges", 0, 0)
    if strength := reference.converter.smoothing:
        int8.smooth(whole, batches, strength)
    write = int8.to_onnxruntime if runtime == "onnxruntime" else int8.to_openvino

    def tried(kept: Sequence[str]) -> tuple[float, float]:
        reference.report(f"quantizing for {runtime}", 0, 0)
        write(whole, path, mode, batches, kept)
        equal, f1 = reference.compare(engine_of(path, runtime, "int8"))
        return equal, (reference.f1 or 0.0) - (f1 or 0.0)

    def fine(equal: float, lost: float) -> bool:
        return equal >= gate.EQUAL["int8"] and lost <= tolerance

    costs: list[str] = []
    equal = lost = speed = None
    if tolerance < 1:
        equal, lost = tried(())
    else:
        write(whole, path, mode, batches)
    if equal is not None and lost is not None and not fine(equal, lost):
        reference.report("ranking layers", 0, 0)
        found = reference.converter.layer_costs(ranges.sample(RANKED, seed=0), strength)
        costs = sorted(found, key=lambda name: -found[name])
        with tempfile.TemporaryDirectory() as folder:
            full = shutil.copytree(path.parent, Path(folder) / "full") / path.name
            costs = costs[: _fewest(lambda n: fine(*tried(costs[:n])), len(costs))]
            write(whole, path, mode, batches, costs)
            speed = _speed(reference, *(engine_of(file, runtime, "int8") for file in (path, full)))
    made = Quantization(
        mode=mode,
        tolerance=tolerance,
        corpus=_called(ranges),
        sentences=len(ranges),
        lost=lost,
        equal=equal,
        kept=tuple(sorted(costs)),
        bytes=int8.more_bytes(whole, costs),
        speed=speed,
    )
    return made, int8.zeroed(whole, path)


def _fewest(fine: Callable[[int], bool], most: int) -> int:
    """The least n from 1 on that is fine, were all above it fine too; ``most`` where none is found."""
    low, high = 0, 1
    while high < most and not fine(high):
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fine(middle) else (middle, high)
    return high


def _speed(reference: gate.Reference, engine: engine.Engine, full: engine.Engine) -> float:
    """How fast an engine is beside that with every layer in int8, on sentences one at a time: the median over rounds."""
    encoder = reference.tagger.encoder
    windows = encoder.windows([s.words for s in reference.corpus.sample(TIMED, seed=0)])
    batches = [encoder.batch([window]) for window in windows]
    subjects = {name: partial(_read, each, batches) for name, each in (("own", engine), ("full", full))}
    seconds = interleaved(subjects, rounds=5)
    return median(b / a for a, b in zip(seconds["own"], seconds["full"], strict=True))


def _read(engine: engine.Engine, batches: Sequence[Batch]) -> None:
    for batch in batches:
        engine.logits(batch)


def measure(
    made: Bundle,
    corpus: Corpus,
    about: About,
    *,
    known: frozenset[int] = frozenset(),
    progress: Count | None = None,
) -> Measured:
    """Evaluate a bundle on a corpus and write its card anew with what was found.

    ``known`` is what its tagger learned from, by `dinku.data.learned`; the card tells F1 without those sentences, too.
    """
    counts = made.evaluate(corpus, progress=progress)
    seen = learned.seen(corpus, known) if known else None
    found = Measured(_called(corpus), corpus.split, counts, seen)
    with written(made.folder / "README.md") as file:
        file.write(card(made.manifest, made.tags, about, found, unread=_unread(made.folder)).encode())
    return found


def unseen(corpus: Corpus, known: frozenset[int], *, where: str) -> None:
    """Raise `DinkuError` where a tagger learned from half of the sentences of a test, or more."""
    shared = sum(learned.seen(corpus, known))
    if 2 * shared >= len(corpus):
        problem = f"the tagger learned from {shared:,} of the {plural(len(corpus), 'sentence')} of the test split"
        raise DinkuError(problem, where=where, remedy="name a corpus with a test split that it hasn't seen")


def _unread(folder: Path) -> list[str]:
    """What transformers.js doesn't read of a bundle."""
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.is_file():
        return []  # it reads whole words
    return javascript.unread(json.loads(tokenizer.read_text(encoding="utf-8")))


def _called(corpus: Corpus) -> str:
    """A corpus by its name, which for a path is its last part: where things lie on this machine is nobody's business."""
    return Path(corpus.name).name


def _provenance(tagger: SentenceTagger, about: About) -> dict[str, Any]:
    """Where a bundle comes from, by content and versions; never a path of this machine."""
    told = {"name": about.name, "address": about.address, "recipe": about.recipe, "data": list(about.data)}
    return {"tagger": tagger.digest, "versions": installed(_PACKAGES)} | {
        key: value for key, value in told.items() if value
    }


def card(
    manifest: Manifest,
    tags: tuple[str, ...],
    about: About,
    measured: Measured | None = None,
    *,
    unread: Sequence[str] = (),
) -> str:
    """The model card: the Hub's metadata, then what a person wants to know, the language that does worst first."""
    size = sum(f.bytes for f in manifest.files.values())
    labels = ", ".join(dict.fromkeys(tag[2:] for tag in tags if tag != "O"))
    languages = sorted(filter(is_code, {*measured.counts.languages})) if measured else []
    licence = (about.data_licence or about.weights_licence).lower().replace(" ", "-")
    name = about.name or "A tagger"
    header: dict[str, Any] = {
        "language": languages,
        "license": licence if licence in _LICENCES else "other",
        "pipeline_tag": "token-classification",
        "tags": ["token-classification", "named-entity-recognition", "dinku", manifest.runtime],
        "datasets": list(dict.fromkeys(filter(None, map(sources.on_hub, about.data)))),
        "model-index": _model_index(name, measured),
    }
    out = ["---", *_yaml(header), "---", "", f"# {name}", ""]
    out += [
        f"Finds {labels} in text. {size / 1e6:.1f} MB, {manifest.precision}, for {manifest.runtime}; made with dinku.",
        "",
    ]
    out += ["## F1", "", *_f1(measured), ""]
    out += ["## Use", "", *_use(manifest, unread), ""]
    gate = manifest.gate
    out += ["## Compared with the tagger it was made from", ""]
    words = f"{plural(gate['words'], 'word')} ({gate['corpus']} {gate['split']})"
    out += [f"{100 * gate['equal']:.2f} % of the tags of {words} are equal."]
    out += [f"Largest difference of a logit: {gate['logits']:.2g}, where the largest logit is {gate['largest']:.2g};"]
    out += [f"what shares its batch moves a logit by up to {gate['batch']:.2g}.", ""]
    if manifest.precision == "bf16" and not any("bfloat16" in name for name in gate["executed"]):
        out += ["The processor that compared them has no bf16, and computed in fp32: in bf16 nothing was compared.", ""]
    if manifest.quantization:
        out += [manifest.quantization.told, ""]
    if about.latency:
        out += ["## Speed", "", about.latency, ""]
    out += ["## How it was made", ""]
    if about.recipe:
        out += ["```json", json.dumps(about.recipe, indent=1, ensure_ascii=False), "```", ""]
    told = {"Tagger (sha256)": manifest.provenance["tagger"], "Address": about.address}
    told |= {"Versions": ", ".join(f"{name} {number}" for name, number in manifest.provenance["versions"].items())}
    told |= {"Learned from": ", ".join(about.data)}
    told |= {"Licence of the data": about.data_licence or "not stated; ask whoever trained it"}
    told |= {"Licence of the weights": about.weights_licence or "not stated; that of the encoder and of the data apply"}
    out += [f"- {key}: {value}" for key, value in told.items() if value]
    return "\n".join(out) + "\n"


def _f1(measured: Measured | None) -> list[str]:
    """The table of F1, and of what it was measured on."""
    if measured is None:
        return ["Not measured."]
    of = f"{measured.corpus} {measured.split}, {plural(len(measured.counts), 'sentence')}"
    if _PART.search(measured.corpus):
        of += "; **a part of them, not the whole split**"
    if measured.corpus.startswith("sample:"):
        of += "; **generated sentences (sample), which say nothing about a language**"
    worst = sorted(measured.counts.by_language().items(), key=lambda item: (item[1].f1, item[0]))
    rows = [f"| {language or 'unknown'} | {100 * s.f1:.2f} | {s.support:,} |" for language, s in worst]
    mean = sum(s.f1 for _, s in worst) / len(worst)
    if len(rows) > 1:
        rows.append(f"| mean of languages | {100 * mean:.2f} | {sum(s.support for _, s in worst):,} |")
    first = [f"Span micro-F1 (seqeval's default reading) on {of}.", *_seen(measured), ""]
    return [*first, "| | F1 | spans |", "| - | -: | -: |", *rows]


def _seen(measured: Measured) -> list[str]:
    """What is known of sentences that are both tested on and learned from."""
    if measured.seen is None:
        return ["What the tagger learned from isn't recorded: whether any of them were among it isn't known."]
    apart = [i for i, known in enumerate(measured.seen) if not known]
    if (shared := len(measured.seen) - len(apart)) == 0:
        return ["The tagger learned from none of them."]
    f1 = 100 * measured.counts.at(apart).scores().f1 if apart else 0.0
    of = f"**The tagger learned from {shared:,} of them.** Over the other {len(apart):,} in all micro-F1 is {f1:.2f}"
    return [f"{of}, where it is {100 * measured.counts.scores().f1:.2f} over every one."]


def _use(manifest: Manifest, unread: Sequence[str]) -> list[str]:
    """How to run it, and how to count its offsets."""
    out = ["```python", "import dinku  # pip install dinku", "", 'dinku.open("this folder").find("…")', "```", ""]
    out += ["Offsets count Unicode code points, as Python does. A string of JavaScript counts UTF-16 units, of which a"]
    out += ["character beyond U+FFFF has two: there, use `Array.from(text).slice(start, end).join('')`.", ""]
    if manifest.runtime != "onnxruntime":
        return out[:-1]
    if "tokenizer.json" not in manifest.files:
        return [
            *out,
            "It reads whole words, by features that dinku hashes: transformers and transformers.js can't open it.",
        ]
    if unread:
        return [*out, f"transformers.js doesn't read its tokenizer as dinku does: {', '.join(unread)}."]
    out += [
        "transformers.js reads this folder, too. It doesn't part text into words: put blanks around punctuation. A word's"
    ]
    out += [
        "tag is that of its first subword, and its pipeline leaves out subwords that are a bare `▁` or unknown: take"
    ]
    return [*out, "tags from the logits of `AutoModelForTokenClassification`."]


def _model_index(name: str, measured: Measured | None) -> list[dict[str, Any]]:
    """F1 by language as the Hub shows it, where a whole split of one of its own data sets was tested on."""
    data = sources.on_hub(measured.corpus) if measured else ""
    if measured is None or not data or _PART.search(measured.corpus):
        return []
    results = [
        {
            "task": {"type": "token-classification", "name": "Named entity recognition"},
            "dataset": {"name": data, "type": data, "config": language, "split": _HUB_SPLITS[measured.split]},
            "metrics": [{"type": "f1", "value": round(scores.f1, 4), "name": "Span micro-F1"}],
        }
        for language, scores in sorted(measured.counts.by_language().items())
        if measured.split in _HUB_SPLITS
    ]
    return [{"name": name, "results": results}] if results else []


def _yaml(header: Mapping[str, Any]) -> list[str]:
    import yaml

    return yaml.safe_dump({k: v for k, v in header.items() if v}, sort_keys=False, allow_unicode=True).splitlines()


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
