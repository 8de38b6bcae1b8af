"""Bundle: a folder that tags without torch: a model for one engine, tokenizer, tags, provenance and checksums.

``bundle.json`` says what the folder is and lists every file that is read, with its size and sha256. A bundle for
onnxruntime is laid out as transformers.js reads it, too: ``onnx/model.onnx`` (int8: ``onnx/model_quantized.onnx``),
``config.json``, ``tokenizer.json`` and ``tokenizer_config.json``; one for OpenVINO has ``openvino/openvino_model.xml`` and
``.bin`` instead. Nothing is given to an engine before names and checksums are as listed and the model is known to read
no other file. The card, ``README.md``, isn't listed, as people edit it once `dinku.export.card` has written it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Literal, NoReturn, Self

from pydantic import Field, ValidationError

from dinku.data.task import Task
from dinku.digests import file_digest
from dinku.errors import DinkuError, check_count
from dinku.files import content, written_folder
from dinku.machine import available_threads
from dinku.model.encode import SUBWORD_INPUTS, LabelOn
from dinku.model.engine import InspectableEngine
from dinku.model.folder import BUNDLE_FILE, ModelFolder
from dinku.model.kinds import kind_of
from dinku.model.onnx_file import AGAIN, external
from dinku.model.sentence_tagger import TagsByEngine
from dinku.model.shape import BFLOAT16, FLOAT32, INT8, Costs, Scheme
from dinku.model.windows import Encoder
from dinku.schema import Record, validation_error

FILE = BUNDLE_FILE
MODELS = {
    ("onnxruntime", "fp32"): "onnx/model.onnx",
    ("openvino", "fp32"): "openvino/openvino_model.xml",
    ("onnxruntime", "int8"): "onnx/model_quantized.onnx",
    ("openvino", "bf16"): "openvino/openvino_model.xml",
    ("openvino", "int8"): "openvino/openvino_model.xml",
}
Runtime = Literal["onnxruntime", "openvino"]
Precision = Literal["fp32", "bf16", "int8"]
SCHEMES = {"fp32": FLOAT32, "bf16": BFLOAT16, "int8": INT8}
_MAKING = Lock()  # held while an engine is made, lest two threads make one each


class File(Record, strict=True):
    """What a file of a bundle must be."""

    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Quantization(Record, strict=True):
    """How a bundle was made int8.

    Ranges are of ``sentences`` of a corpus. ``lost`` is F1 (of 1) and ``equal`` the share of equal tags on the gate's
    sentences when all linear layers are int8, against the tagger it was made from, and ``tolerance`` the F1 that may be lost,
    or 1 for anything. The layers ``kept`` in float32,
    ``bytes`` more than in int8, are those that cost most. With them the bundle has ``speed`` times the speed of one without,
    measured where it was made.
    """

    mode: Literal["static", "dynamic"]
    tolerance: float
    corpus: str
    sentences: int
    lost: float | None
    equal: float | None = None
    kept: tuple[str, ...] = ()
    bytes: int = 0
    speed: float | None = None

    @property
    def told(self) -> str:
        """What a person should know of it."""
        if self.lost is None:
            return f"All linear layers are in int8 ({self.mode}), whatever that costs."
        change = f"F1 on the sentences compared changes by {-100 * self.lost:+.2f}"
        if self.equal is not None:
            change += f" and {100 * self.equal:.2f} % of tags are equal"
        if not self.kept:
            return f"All linear layers are in int8 ({self.mode}): {change}."
        out = f"With all linear layers in int8 ({self.mode}) {change}, where {100 * self.tolerance:.2f} may be lost"
        out += f" and 99 % must be; kept in fp32: {', '.join(self.kept)}"
        slow = self.speed is not None and self.speed < 0.8
        return f"{out}. It has {self.speed or 0:.0%} of the speed of full int8{', less than the 80 % aimed at' if slow else ''}."


class Manifest(Record, strict=True):
    """``bundle.json``. ``length`` is the most subwords of a window, ``gate`` what the comparison with torch measured; of the
    parameters ``nonzero`` aren't zero as they are stored, ``linear_nonzero`` of the linear layers', and ``zeros`` are meant."""

    format: Literal[1] = 1
    runtime: Runtime
    precision: Precision
    length: Annotated[int, Field(ge=4)]
    label_on: LabelOn
    nonzero: int
    linear_nonzero: int
    zeros: int
    provenance: dict[str, Any]
    gate: dict[str, Any]
    quantization: Quantization | None = None
    files: dict[str, File]

    @property
    def model(self) -> str:
        """The file of the model, within the folder."""
        return MODELS[self.runtime, self.precision]


@dataclass(frozen=True)
class Bundle(TagsByEngine):
    """An opened bundle, a `dinku.model.sentence_tagger.SentenceTagger` with an engine on ``threads`` threads.

    >>> import dinku, tempfile
    >>> from dinku.testing import tiny_corpus, tiny_tagger
    >>> folder = f"{tempfile.mkdtemp()}/bundle"
    >>> made = dinku.export(tiny_tagger(), folder, tiny_corpus(160))
    >>> dinku.Bundle.open(folder)
    Bundle(fp32 for onnxruntime, 0.0 M, LOC PER)
    """

    model_folder: ModelFolder
    manifest: Manifest
    encoder: Encoder[Any]
    threads: int

    @classmethod
    def open(cls, name: str | os.PathLike[str] | ModelFolder, *, threads: int | None = None) -> Self:
        """Open a bundle by folder, name under ``DINKU_HOME/models``, address or Hub id, on all cores unless told otherwise.

        Raises `DinkuError` where it is none, or is damaged: a file that is missing or isn't the one that was exported, a
        model that reads files outside of the bundle.
        """
        if threads is not None:
            check_count(threads, "threads", where="Bundle.open")
        folder = ModelFolder.of(name)
        manifest = read_manifest(folder)
        if manifest.runtime == "onnxruntime" and external(folder.path / manifest.model):
            problem = "keeps weights in another file, which a bundle never does"
            raise DinkuError(problem, where=str(folder.path / manifest.model), remedy=AGAIN)
        if not folder.tags:
            raise DinkuError("names no tags", where=folder.config_file, remedy=AGAIN)
        encoder = kind_of(folder).bundle_encoder(folder, manifest.length, manifest.label_on)
        return cls(folder, manifest, encoder, threads or available_threads())

    def __repr__(self) -> str:
        manifest, labels = self.manifest, " ".join(sorted({*map(self.task.label_of, self.tags)} - {""}))
        return f"Bundle({manifest.precision} for {manifest.runtime}, {self.shape.parameters / 1e6:.1f} M, {labels})"

    @property
    def folder(self) -> Path:
        return self.model_folder.path

    @property
    def name(self) -> str:
        return str(self.folder)

    @property
    def tags(self) -> tuple[str, ...]:
        return self.model_folder.tags

    @cached_property
    def task(self) -> Task:  # type: ignore[override]
        return self.model_folder.task

    @property
    def engine(self) -> InspectableEngine:
        """What runs it; made when it is first needed, once for all threads."""
        with _MAKING:
            return self._engine

    @cached_property
    def _engine(self) -> InspectableEngine:
        manifest, inputs = self.manifest, kind_of(self.model_folder).inputs
        model = self.folder / manifest.model
        return open_engine(model, manifest.runtime, manifest.precision, self.threads, inputs=inputs)

    @property
    def shape(self) -> Costs:
        """By arithmetic, without the graph around the weights."""
        manifest, kept = self.manifest, self.manifest.quantization.bytes if self.manifest.quantization else 0
        declared = kind_of(self.model_folder).shape(self.model_folder)
        return declared.as_stored(self.scheme, nonzero=manifest.nonzero, zeros=manifest.zeros, kept=kept)

    @property
    def scheme(self) -> Scheme:
        return SCHEMES[self.manifest.precision]

    @property
    def precision(self) -> Precision:
        return self.manifest.precision

    @cached_property
    def legal_tags(self) -> bool:  # type: ignore[override]
        return kind_of(self.model_folder).legal_tags

    @property
    def arithmetic(self) -> str:
        manifest = self.manifest
        mode = f" {manifest.quantization.mode}" if manifest.quantization else ""
        return f"{manifest.precision}{mode}, {manifest.runtime}"

    @property
    def linear(self) -> tuple[int, int]:
        return self.shape.linear, self.manifest.linear_nonzero

    @property
    def learned(self) -> frozenset[int]:
        return frozenset()

    @property
    def cpu_only(self) -> bool:
        return True

    def to(self, device: str) -> None:
        """It stays on the CPU."""

    def in_precision(self, precision: str) -> NoReturn:
        raise DinkuError("a bundle has one precision", where="precision", remedy="leave it out, or export another")

    @property
    def digest(self) -> str:
        """sha256 over the files that are read, and how."""
        manifest = self.manifest
        read = (manifest.runtime, manifest.precision, manifest.length, manifest.label_on, self.tags)
        files = sorted((name, file.sha256) for name, file in manifest.files.items())
        return hashlib.sha256(repr((read, files)).encode()).hexdigest()

    def check_changeable(self, method: object = None) -> None:
        """It never is: `DinkuError` says so."""
        self.scheme.refuse(self.name)
        remedy = "name the tagger that it was made from"
        raise DinkuError("is a bundle, which can be run and no more", where=self.name, remedy=remedy)

    def as_reopened(self, folder: Path, label_on: LabelOn) -> None:
        """It lives in its files."""

    def copy(self) -> Self:
        """The same bundle with an engine of its own."""
        return replace(self)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Copy it, its card too; the copy is renamed last. Raises `DinkuError` where the folder is there already."""
        with written_folder(folder) as part:
            card = ["README.md"] if (self.folder / "README.md").is_file() else []  # the Hub's cache has none
            for name in (*self.manifest.files, FILE, *card):
                (part / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.folder / name, part / name)
        return Path(folder)


def open_engine(
    model: Path, runtime: Runtime, precision: Precision, threads: int, *, inputs: Collection[str] = SUBWORD_INPUTS
) -> InspectableEngine:
    """The engine that a model file is for; ``inputs`` are those that a model of its kind has."""
    if runtime == "onnxruntime":
        from dinku.model.onnxruntime import OnnxEngine

        return OnnxEngine(model, threads=threads, inputs=inputs)
    try:
        from dinku.model.openvino import OpenVinoEngine
    except ModuleNotFoundError as error:
        if error.name != "openvino":
            raise
        remedy = "install it with: pip install 'dinku[openvino]'"
        raise DinkuError("is a model for OpenVINO, which isn't here", where=str(model), remedy=remedy) from None
    return OpenVinoEngine(model, threads=threads, precision=precision, inputs=inputs)


def read_manifest(folder: ModelFolder) -> Manifest:
    """A bundle's ``bundle.json``, once each file that it lists is known to be within the folder and the one that was exported.

    Raises `DinkuError` if it can't be read, if a file isn't the one it says, or if it doesn't list just what its kind has.
    """
    path = _within(folder.path, FILE)
    try:
        if path.stat().st_size > 1 << 20:
            raise DinkuError("is far too large", where=str(path), remedy=AGAIN)
        manifest = Manifest.model_validate_json(content(path))
    except FileNotFoundError:
        raise DinkuError(f"holds no {FILE}", where=str(folder), remedy="name a bundle's folder") from None
    except OSError as error:
        raise DinkuError(f"can't be read ({error.strerror})", where=str(path), remedy=AGAIN) from None
    except ValidationError as error:
        raise validation_error(error, where=str(path), remedy=AGAIN) from None
    if (manifest.runtime, manifest.precision) not in MODELS:
        problem = f"{manifest.precision} is no precision of {manifest.runtime}"
        raise DinkuError(problem, where=str(path), remedy=AGAIN)
    needed = {manifest.model, "config.json"}
    if manifest.runtime == "openvino":
        needed.add(str(Path(manifest.model).with_suffix(".bin")))
    if config := manifest.files.get("config.json"):  # which says what else is needed
        _check(folder.path, "config.json", config)
        needed |= {*kind_of(folder).bundle_files}
    if odd := sorted(needed ^ set(manifest.files)):
        problem = f"doesn't list {odd[0]}" if odd[0] in needed else f"lists {odd[0]}, as no bundle does"
        raise DinkuError(problem, where=str(path), remedy=AGAIN)
    for name, wanted in manifest.files.items():
        if name != "config.json":
            _check(folder.path, name, wanted)
    return manifest


def summed(path: Path) -> File:
    """Size and checksum of a file."""
    return File(bytes=path.stat().st_size, sha256=file_digest(path))


def _check(folder: Path, name: str, wanted: File) -> None:
    """A file is within the folder, and the one that is listed."""
    path = _within(folder, name)
    try:
        same = summed(path) == wanted
    except OSError as error:
        raise DinkuError(f"can't be read ({error.strerror})", where=str(path), remedy=AGAIN) from None
    if not same:
        raise DinkuError("isn't the file that was exported", where=str(path), remedy=AGAIN)


def _within(folder: Path, name: str) -> Path:
    """A file of the folder, or what the Hub's cache links there; raises `DinkuError` for one that lies elsewhere."""
    path, root = folder / name, folder.resolve()
    cache = root.parent.parent / "blobs" if root.parent.name == "snapshots" else root
    real = Path(os.path.realpath(path))
    if not (real.is_relative_to(root) or real.is_relative_to(cache)):
        raise DinkuError("leads outside of the bundle", where=str(path), remedy=AGAIN)
    return path
