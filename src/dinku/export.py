"""Tagger → bundle, with its card: converted, compared with what it was made from, and only then put in its place."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dinku import bundle, convert, predict
from dinku.bundle import MODELS, Bundle, Manifest, Precision, Runtime
from dinku.corpus import Corpus
from dinku.errors import DinkuError
from dinku.files import written, written_folder
from dinku.measure import available_threads
from dinku.score import Counts

if TYPE_CHECKING:
    from dinku.tagger import Tagger

_PACKAGES = ("dinku", "torch", "transformers", "tokenizers", "onnx", "onnxscript", "onnxruntime", "openvino", "nncf")
_DTYPES = {"fp32": "fp32", "int8": "q8"}  # what transformers.js calls them
_WHY = {
    ("onnxruntime", "bf16"): "onnxruntime has no bf16 kernels for CPUs",
}
# The Hub's names of licences; ours are theirs in other letters, as "CC BY-NC 4.0".
_LICENCES = {
    *("mit", "apache-2.0", "bsd-3-clause", "gpl-3.0", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0"),
    *("cc-by-nc-sa-4.0", "openrail"),
}


@dataclass(frozen=True)
class Measured:
    """F1 of a bundle for its card: ``counts`` over the sentences of a corpus. Its name tells a part of one, and a sample."""

    corpus: str
    split: str
    counts: Counts


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
    tagger: Tagger,
    folder: str | os.PathLike[str],
    corpus: Corpus,
    *,
    runtime: Runtime = "onnxruntime",
    precision: Precision = "fp32",
    threads: int | None = None,
    about: About | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Bundle:
    """Convert a tagger, hold it to the gate on the sentences of ``corpus``, and write it as a bundle.

    ``corpus`` is for comparing only: give a dev split, never the test split. Nothing is written where the gate refuses or
    the process is killed: the folder takes its place last. Raises `DinkuError` where it is there already, the runtime
    doesn't know the precision, or the gate refuses.
    """
    about, target, threads = about or About(), Path(folder), threads or available_threads()
    if (runtime, precision) not in MODELS:
        there = ", ".join(p for r, p in MODELS if r == runtime)
        if not there:
            raise DinkuError(
                f"there is no runtime {runtime!r}", where="export", remedy="choose onnxruntime or openvino"
            )
        why = _WHY.get((runtime, precision), f"there is no precision {precision!r} for {runtime}")
        raise DinkuError(why, where="export", remedy=f"choose {there.replace(', ', ' or ')}")
    if target.exists() and any(target.iterdir() if target.is_dir() else [target]):
        raise DinkuError("is there already", where=str(target), remedy="name a new folder")
    say = progress or (lambda what, done, total: None)
    with written_folder(target) as part:
        model = part / MODELS[runtime, precision]
        model.parent.mkdir()
        say(f"converting to {runtime}", 0, 0)
        engine = _converted(tagger, model, runtime, precision, threads)
        found = convert.gate(tagger, engine, corpus, precision, progress=say)
        del engine
        _describe(tagger, part, precision)
        listed = {path.relative_to(part).as_posix(): path for path in sorted(part.rglob("*")) if path.is_file()}
        manifest = Manifest(
            runtime=runtime,
            precision=precision,
            length=tagger.encoder.length,
            label_on=tagger.label_on,
            provenance=_provenance(tagger, about),
            gate={"corpus": _called(corpus), "split": corpus.split, "sentences": len(corpus), **found.document},
            files={name: bundle.summed(path) for name, path in listed.items()},
        )
        _write(part / bundle.FILE, manifest.model_dump_json(indent=1) + "\n")
        _write(part / "README.md", card(manifest, tagger.tags, about))
    return Bundle.open(str(target), threads=threads)


def measure(
    made: Bundle,
    corpus: Corpus,
    about: About,
    *,
    progress: predict.Progress | None = None,
) -> Measured:
    """Evaluate a bundle on a corpus and write its card anew with what was found."""
    counts = made.evaluate(corpus, progress=progress)
    found = Measured(_called(corpus), corpus.split, counts)
    with written(made.folder / "README.md") as file:
        file.write(card(made.manifest, made.tags, about, found).encode())
    return found


def _converted(tagger: Tagger, model: Path, runtime: Runtime, precision: Precision, threads: int) -> predict.Engine:
    if runtime == "onnxruntime":
        from dinku.runtime.onnxruntime import OnnxEngine

        return OnnxEngine(convert.to_onnx(tagger, model), threads=threads)
    from dinku.runtime.openvino import OpenVinoEngine

    onnx = convert.to_onnx(tagger, model.with_suffix(".onnx"))
    convert.to_openvino(onnx, model, half=precision == "bf16")
    onnx.unlink()
    return OpenVinoEngine(model, threads=threads, precision=precision)


def _describe(tagger: Tagger, part: Path, precision: Precision) -> None:
    """Config and tokenizer, as transformers and transformers.js read them."""
    from dinku.tagger import quietly

    with quietly():
        tagger.model.config.save_pretrained(part)
        tagger.tokenizer.backend_tokenizer.no_truncation()
        tagger.tokenizer.backend_tokenizer.no_padding()
        tagger.tokenizer.save_pretrained(part)
    path = part / "config.json"
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    config["architectures"] = [type(tagger.model).__name__]
    config["dinku_label_on"] = tagger.label_on
    if precision in _DTYPES:
        config["transformers.js_config"] = {"dtype": _DTYPES[precision]}
    _write(path, json.dumps(config, indent=2, ensure_ascii=False) + "\n")


def _called(corpus: Corpus) -> str:
    """A corpus by its name, which for a path is its last part: where things lie on this machine is nobody's business."""
    return os.path.basename(corpus.name)


def _provenance(tagger: Tagger, about: About) -> dict[str, Any]:
    """Where a bundle comes from, by content and versions; never a path of this machine."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    told = {"name": about.name, "address": about.address, "recipe": about.recipe, "data": list(about.data)}
    return {"tagger": tagger.digest, "versions": versions} | {key: value for key, value in told.items() if value}


def card(manifest: Manifest, tags: tuple[str, ...], about: About, measured: Measured | None = None) -> str:
    """The model card: the Hub's metadata, then what a person wants to know, the language that does worst first."""
    size = sum(f.bytes for f in manifest.files.values())
    labels = ", ".join(dict.fromkeys(tag[2:] for tag in tags if tag != "O"))
    languages = sorted({*measured.counts.languages} - {""}) if measured else []
    licence = (about.data_licence or about.weights_licence).lower().replace(" ", "-")
    header: dict[str, Any] = {
        "language": languages,
        "license": licence if licence in _LICENCES else "other",
        "pipeline_tag": "token-classification",
        "tags": ["token-classification", "named-entity-recognition", "dinku", manifest.runtime],
        "datasets": list(about.data),
    }
    name = about.name or "A tagger"
    out = ["---", *_yaml(header), "---", "", f"# {name}", ""]
    out += [
        f"Finds {labels} in text. {size / 1e6:.1f} MB, {manifest.precision}, for {manifest.runtime}; made with dinku.",
        "",
    ]
    out += ["## F1", "", *_f1(measured), ""]
    gate = manifest.gate
    out += ["## Compared with the tagger it was made from", ""]
    out += [
        f"{100 * gate['equal']:.2f} % of the tags of {gate['words']:,} words ({gate['corpus']} {gate['split']}) are equal."
    ]
    out += [f"Largest difference of a logit: {gate['logits']:.2g}, where the largest logit is {gate['largest']:.2g};"]
    out += [f"what shares its batch moves a logit by up to {gate['batch']:.2g}.", ""]
    if about.latency:
        out += ["## Speed", "", about.latency, ""]
    out += ["## How it was made", ""]
    if about.recipe:
        out += ["```json", json.dumps(about.recipe, indent=1, ensure_ascii=False), "```", ""]
    told = {"Tagger (sha256)": manifest.provenance["tagger"], "Address": about.address}
    told |= {"Versions": ", ".join(f"{name} {number}" for name, number in manifest.provenance["versions"].items())}
    told |= {"Licence of the data": about.data_licence or "not stated; ask whoever trained it"}
    told |= {"Licence of the weights": about.weights_licence or "not stated; that of the encoder and of the data apply"}
    out += [f"- {key}: {value}" for key, value in told.items() if value]
    return "\n".join(out) + "\n"


def _f1(measured: Measured | None) -> list[str]:
    """The table of F1, and of what it was measured on."""
    if measured is None:
        return ["Not measured."]
    n = len(measured.counts)
    of = f"{measured.corpus} {measured.split}, {n:,} sentences"
    if re.search(r"\(\d+ of \d+\)", measured.corpus):  # which `Corpus.sample` writes into its name
        of += "; **a part of them, not the whole split**"
    if measured.corpus.startswith("sample:"):
        of += "; **generated sentences (sample), which say nothing about a language**"
    worst = sorted(measured.counts.by_language().items(), key=lambda item: (item[1].f1, item[0]))
    rows = [f"| {language or 'unknown'} | {100 * s.f1:.2f} | {s.support:,} |" for language, s in worst]
    mean = sum(s.f1 for _, s in worst) / len(worst)
    if len(rows) > 1:
        rows.append(f"| mean of languages | {100 * mean:.2f} | {sum(s.support for _, s in worst):,} |")
    return [f"Span micro-F1 (seqeval's default reading) on {of}.", "", "| | F1 | spans |", "| - | -: | -: |", *rows]


def _yaml(header: Mapping[str, Any]) -> list[str]:
    import yaml

    return yaml.safe_dump({k: v for k, v in header.items() if v}, sort_keys=False, allow_unicode=True).splitlines()


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
