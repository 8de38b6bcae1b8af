"""Tagger → bundle, with its card. A bundle appears at its place only after it was compared with its tagger."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

from dinku.data import learned
from dinku.data.corpus import Corpus
from dinku.errors import DinkuError
from dinku.export import convert, gate
from dinku.export.card import About, called, card, unread_parts
from dinku.export.float_layers import quantize
from dinku.export.writer import Mode, writer_of
from dinku.files import written_folder
from dinku.machine import available_threads, installed
from dinku.model import bundle
from dinku.model.bundle import Bundle, Manifest, Quantization
from dinku.model.by_length import by_length_if_needed
from dinku.model.engine import InspectableEngine
from dinku.model.folder import ModelFolder
from dinku.model.kinds import kind_of
from dinku.model.runtimes import (
    RUNTIME_PACKAGES,
    RUNTIMES,
    Precision,
    Runtime,
    check_installed,
    check_precision,
    open_engine,
)
from dinku.model.sentence_tagger import SentenceTagger
from dinku.nn.loading import load
from dinku.progress import Progress, silent
from dinku.scoring import tagging
from dinku.scoring.counts import LEARN_MORE

_PACKAGES = ("torch", "transformers", "tokenizers", "onnx", "onnxscript")
RANGES = 400  # sentences that ranges are measured on, all languages together


@dataclass(frozen=True)
class ExportSettings:
    """How a tagger is exported.

    In int8, ``mode`` is *static* by default. Its ranges are measured on sentences of ``calibration``, such as a train split,
    whose tags aren't read. If int8 loses more than ``tolerance`` of F1 (0 to 1, by default `dinku.export.convert.TOLERANCE`), or
    changes one tag in a hundred, the fewest linear layers that suffice stay in float32, those that lose most first. The bundle
    that is returned uses ``threads``, by default all cores. With ``silent``, a tagger that finds no entities is exported, too.

    Raises `DinkuError` if the runtime lacks the precision, or a setting doesn't fit the others.

    >>> ExportSettings(runtime="openvino", precision="bf16").precision
    'bf16'
    """

    runtime: Runtime = "onnxruntime"
    precision: Precision = "fp32"
    mode: Mode | None = None
    tolerance: float | None = None
    calibration: Corpus | None = None
    threads: int | None = None
    silent: bool = False

    def __post_init__(self) -> None:
        _check_asked(self.runtime, self.precision, self.mode, self.tolerance)
        if self.precision == "int8" and self.calibration is None:
            remedy = "name a corpus with a train split"
            raise DinkuError("int8 needs sentences to measure ranges on", where="export", remedy=remedy)

    @property
    def ranges(self) -> Corpus | None:
        """The sentences that ranges are measured on, as many of each language; ``None`` unless it is int8."""
        return convert.balanced(self.calibration, RANGES) if self.precision == "int8" and self.calibration else None

    @property
    def f1_allowance(self) -> float:
        """The tolerance, or its default."""
        return convert.TOLERANCE if self.tolerance is None else self.tolerance


def export(
    tagger: SentenceTagger,
    folder: str | os.PathLike[str],
    corpus: Corpus,
    settings: ExportSettings | None = None,
    *,
    about: About | None = None,
    progress: Progress = silent,
    **fields: Any,
) -> Bundle:
    """Convert a tagger, compare the result with it on the sentences of ``corpus``, and write a bundle.

    ``corpus`` serves for comparing and choosing: give a dev split, never the test split. ``fields`` are those of
    `ExportSettings`, by name: ``runtime="openvino"``, ``precision="int8"`` and so on; they replace those of ``settings``.
    ``about`` holds facts about the tagger's origin for the card. Nothing is written if the gate refuses or the process is
    killed, because the folder appears last. Raises `DinkuError` if the folder exists, the runtime lacks the precision, or the
    gate refuses, and of status 1 if the tagger finds no entities in ``corpus``, unless it may be ``silent``.

    >>> import dinku, tempfile
    >>> from dinku.testing import tiny_corpus, tiny_tagger
    >>> dinku.export(tiny_tagger(), f"{tempfile.mkdtemp()}/bundle", tiny_corpus(160))
    Bundle(fp32 for onnxruntime, 0.0 M, LOC PER)
    """
    settings = replace(settings or ExportSettings(), **fields)
    about, target, threads = about or About(), Path(folder), settings.threads or available_threads()
    ranges, runtime = settings.ranges, RUNTIMES[settings.runtime]
    needed = (*runtime.packages, *(runtime.export_packages if ranges else ()))
    check_installed(settings.runtime, needed, where="export")
    with written_folder(target) as part:
        reference = gate.Reference(tagger, corpus, progress=progress)
        if not settings.silent:
            _check_not_silent(reference)
        converted = _convert(reference, part, settings, ranges, threads)
        manifest = _manifest(reference, part, settings, converted, about)
        _write(part / bundle.FILE, manifest.model_dump_json(indent=1) + "\n")
        text = card(manifest, tagger.tags, about, unread=unread_parts(part), task=tagger.task)
        _write(part / "README.md", text)
        learned.save(part, tagger.learned, most=learned.MOST)
    return Bundle.open(str(target), threads=threads)


@dataclass(frozen=True)
class _Converted:
    """The result of a conversion: the gate's measurements, how it was quantized, and how many weights of each matrix became
    zero."""

    found: gate.Equivalence
    quantization: Quantization | None
    zeroed: Mapping[str, int]


def _check_not_silent(reference: gate.Reference) -> None:
    """Raise `DinkuError`, of status 1, if a tagger finds no entities in a corpus that has some."""
    corpus = reference.corpus
    if reference.f1 is not None and (silence := tagging.counted(corpus, reference.tagged).silence):
        raise DinkuError(f"{silence} ({called(corpus)})", where=reference.tagger.name, remedy=LEARN_MORE, status=1)


def _convert(
    reference: gate.Reference, part: Path, settings: ExportSettings, ranges: Corpus | None, threads: int
) -> _Converted:
    """Write a tagger's model, and the files for reading text, into a folder, and pass the model through the gate."""
    runtime, precision = settings.runtime, settings.precision
    model = part / RUNTIMES[runtime].models[precision]
    model.parent.mkdir()
    reference.report(f"converting to {runtime}", 0, 0)
    reference.converter.write_reading_files(part, precision, reference.corpus)
    made = ModelFolder(part)

    def engine_of(model: Path, runtime: Runtime, precision: Precision, threads: int) -> InspectableEngine:
        engine = open_engine(model, runtime, precision, threads, inputs=kind_of(made).inputs)
        return by_length_if_needed(engine, made.config)

    onnx = reference.converter.to_onnx(model.with_suffix(".onnx"))
    quantization, zeroed = None, dict[str, int]()
    if ranges:
        mode, own = settings.mode or "static", partial(engine_of, threads=threads)
        quantization, zeroed = quantize(reference, onnx, model, ranges, runtime, mode, settings.f1_allowance, own)
    else:
        writer_of(runtime).write_float(onnx, model, precision)
    if onnx != model:
        onnx.unlink(missing_ok=True)
    found = reference.gate(engine_of(model, runtime, precision, threads), precision, tolerance=settings.f1_allowance)
    return _Converted(found, quantization, zeroed)


def _manifest(
    reference: gate.Reference, part: Path, settings: ExportSettings, converted: _Converted, about: About
) -> Manifest:
    """The manifest of the files in a folder."""
    tagger, corpus, converter = reference.tagger, reference.corpus, reference.converter
    listed = {path.relative_to(part).as_posix(): path for path in sorted(part.rglob("*")) if path.is_file()}
    compared = {"corpus": called(corpus), "split": corpus.split, "sentences": len(corpus)}
    return Manifest(
        runtime=settings.runtime,
        precision=settings.precision,
        length=converter.length,
        label_on=converter.label_on,
        nonzero=tagger.shape.nonzero[0] - sum(converted.zeroed.values()),
        linear_nonzero=converter.linear_nonzero(converted.zeroed),
        zeros=tagger.shape.zeros,
        provenance=_provenance(tagger, about),
        gate=compared | converted.found.document,
        quantization=converted.quantization,
        files={name: bundle.summed(path) for name, path in listed.items()},
    )


def finished(folder: ModelFolder) -> bool:
    """Whether the model in a folder can only be copied, as it is a bundle or quantized for torch."""
    return folder.is_bundle or kind_of(folder).shape(folder).scheme.terminal


def copied(folder: ModelFolder, out: str | os.PathLike[str], given: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Open a `finished` model, copy every file unchanged, and describe it as JSON.

    ``given`` are the options of an export by name. Raises `DinkuError` for an option that asks for something else.
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
    check_precision(runtime, precision, where="export")
    if mode not in (None, *get_args(Mode)):
        raise DinkuError(f"there is no mode {mode!r}", where="export", remedy="choose static or dynamic")
    for name, given in (("mode", mode), ("tolerance", tolerance)):
        if given is not None and precision != "int8":
            raise DinkuError(f"{precision} has no {name}", where="export", remedy="leave it out, or choose int8")
    if tolerance is not None and not 0 <= tolerance <= 1:
        remedy = "give the F1 (of 1) that may be lost, such as 0.005"
        raise DinkuError(f"the tolerance is {tolerance}", where="export", remedy=remedy)


def _provenance(tagger: SentenceTagger, about: About) -> dict[str, Any]:
    """A bundle's origin by digests, versions and what is known ``about`` it, without paths of this machine."""
    origin = {"name": about.name, "address": about.address, "recipe": about.recipe, "data": list(about.data)}
    return {"tagger": tagger.digest, "versions": installed((*_PACKAGES, *RUNTIME_PACKAGES))} | {
        key: value for key, value in origin.items() if value
    }


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
