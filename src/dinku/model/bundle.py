"""Bundle: a folder that tags without torch: a model for one engine, tokenizer, tags, provenance and checksums.

``bundle.json`` says what the folder is and lists every file that is read, with its size and sha256. A bundle for
onnxruntime is laid out as transformers.js reads it, too: ``onnx/model.onnx`` (int8: ``onnx/model_quantized.onnx``),
``config.json``, ``tokenizer.json`` and ``tokenizer_config.json``; one for OpenVINO has ``openvino/openvino_model.xml`` and
``.bin`` instead. An engine gets a file only after names and checksums are found to be as listed, and the model to refer to no
other file. The card, ``README.md``, isn't listed, because people edit it once `dinku.export.card` has written it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Literal, NoReturn, Self

from pydantic import Field, ValidationError

from dinku.data import learned
from dinku.data.task import Task
from dinku.digests import file_digest
from dinku.errors import DinkuError, check_count
from dinku.files import content, written_folder
from dinku.machine import available_threads
from dinku.model.by_length import by_length_if_needed
from dinku.model.encode import LabelOn
from dinku.model.engine import InspectableEngine
from dinku.model.folder import BUNDLE_FILE, ModelFolder
from dinku.model.kinds import kind_of
from dinku.model.onnx_file import AGAIN
from dinku.model.runtimes import RUNTIMES, Precision, Runtime, open_engine
from dinku.model.sentence_tagger import TagsByEngine
from dinku.model.shape import BFLOAT16, FLOAT32, INT8, Costs, Scheme
from dinku.model.windows import Encoder
from dinku.schema import Record, validation_error

FILE = BUNDLE_FILE
SCHEMES = {"fp32": FLOAT32, "bf16": BFLOAT16, "int8": INT8}
_MAKING = Lock()  # held while an engine is made, so that two threads don't make one each


class File(Record, strict=True):
    """The size and digest that a file of a bundle must have."""

    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Quantization(Record, strict=True):
    """How a bundle was made int8.

    Ranges were measured on ``sentences`` sentences of ``corpus``. ``lost`` is the F1 (of 1) that is lost, and ``equal`` the
    share of tags that stay equal, on the gate's sentences if all linear layers are int8; ``tolerance`` is the F1 that may be
    lost, or 1 for any loss. The layers ``kept`` in float32 are those that would lose most, and take ``bytes`` more than in int8.
    With them the bundle runs at ``speed`` times the speed of full int8, measured on the machine that made it.
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
    def summary(self) -> str:
        """A sentence or two for people: what int8 lost, and what was kept in float32 to avoid it."""
        if self.lost is None:
            return f"All linear layers are in int8 ({self.mode}), whatever that costs."
        change = f"F1 on the sentences compared changes by {-100 * self.lost:+.2f}"
        if self.equal is not None:
            change += f" and {100 * self.equal:.2f} % of tags are equal"
        if not self.kept:
            return f"All linear layers are in int8 ({self.mode}): {change}."
        out = f"With all linear layers in int8 ({self.mode}) {change}; at most {100 * self.tolerance:.2f} may be lost"
        out += f" and at least 99 % must be equal, so these stay in fp32: {', '.join(self.kept)}"
        slow = self.speed is not None and self.speed < 0.8
        return f"{out}. It has {self.speed or 0:.0%} of the speed of full int8{', less than the 80 % aimed at' if slow else ''}."


class Manifest(Record, strict=True):
    """``bundle.json``. ``length`` is the largest number of subwords in a window, and ``gate`` what the comparison with torch
    measured. ``nonzero`` counts the stored parameters that aren't zero, ``linear_nonzero`` those of them in linear layers, and
    ``zeros`` the zeros that sparsification made on purpose."""

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
        return RUNTIMES[self.runtime].models[self.precision]


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
        """Open a bundle by folder, name under ``DINKU_HOME/models``, address or Hub id; it uses all cores by default.

        Raises `DinkuError` if it isn't a bundle or is damaged: if a file is missing or differs from the exported one, or the
        model refers to files outside of the bundle.
        """
        if threads is not None:
            check_count(threads, "threads", where="Bundle.open")
        folder = ModelFolder.of(name)
        manifest = read_manifest(folder)
        if RUNTIMES[manifest.runtime].reads_elsewhere(folder.path / manifest.model):
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
        """The engine that runs the model, made at first use and shared by all threads."""
        with _MAKING:
            return self._engine

    @cached_property
    def _engine(self) -> InspectableEngine:
        manifest, inputs = self.manifest, kind_of(self.model_folder).inputs
        model = self.folder / manifest.model
        engine = open_engine(model, manifest.runtime, manifest.precision, self.threads, inputs=inputs)
        return by_length_if_needed(engine, self.model_folder.config)

    @property
    def shape(self) -> Costs:
        """The costs of the model by arithmetic; the file's graph around the weights doesn't count."""
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

    @cached_property
    def learned(self) -> frozenset[int]:
        return learned.load(self.folder)

    @property
    def learned_below(self) -> int:  # type: ignore[override]
        return learned.known_below(self.learned)

    @property
    def cpu_only(self) -> bool:
        return True

    def to(self, device: str) -> None:
        """Does nothing: a bundle stays on the CPU."""

    def in_precision(self, precision: str) -> NoReturn:
        raise DinkuError("a bundle has one precision", where="precision", remedy="leave it out, or export another")

    @property
    def digest(self) -> str:
        """sha256, as hex, over the files that are read and how they are read."""
        manifest = self.manifest
        read = (manifest.runtime, manifest.precision, manifest.length, manifest.label_on, self.tags)
        files = sorted((name, file.sha256) for name, file in manifest.files.items())
        return hashlib.sha256(repr((read, files)).encode()).hexdigest()

    def check_changeable(self, method: object = None) -> None:
        """Always raises `DinkuError`, as a bundle can't be changed."""
        self.scheme.refuse(self.name)
        remedy = "name the tagger that it was made from"
        raise DinkuError("is a bundle, which can only be run", where=self.name, remedy=remedy)

    def as_reopened(self, folder: Path, label_on: LabelOn) -> None:
        """``None``, as a bundle lives in its files."""

    def copy(self) -> Self:
        """The same bundle with an engine of its own."""
        return replace(self)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Copy the bundle and its card; the folder appears whole. Raises `DinkuError` if the folder exists."""
        with written_folder(folder) as part:
            beside = [name for name in ("README.md", learned.FILE) if (self.folder / name).is_file()]
            for name in (*self.manifest.files, FILE, *beside):
                (part / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.folder / name, part / name)
        return Path(folder)


def read_manifest(folder: ModelFolder) -> Manifest:
    """A bundle's ``bundle.json``, after checking that each listed file is in the folder and is the exported one.

    Raises `DinkuError` if it can't be read, a file differs from its entry, or it doesn't list exactly the files of its kind.
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
    if manifest.precision not in RUNTIMES[manifest.runtime].models:
        problem = f"{manifest.runtime} has no precision {manifest.precision}"
        raise DinkuError(problem, where=str(path), remedy=AGAIN)
    needed = {"config.json", *RUNTIMES[manifest.runtime].files(manifest.precision)}
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
    """Raise `DinkuError` if a listed file isn't within the folder, or differs from its entry."""
    path = _within(folder, name)
    try:
        same = summed(path) == wanted
    except OSError as error:
        raise DinkuError(f"can't be read ({error.strerror})", where=str(path), remedy=AGAIN) from None
    if not same:
        raise DinkuError("isn't the file that was exported", where=str(path), remedy=AGAIN)


def _within(folder: Path, name: str) -> Path:
    """The path of a file in the folder, or in the Hub's cache if it is a link; raises `DinkuError` if it lies elsewhere."""
    path, root = folder / name, folder.resolve()
    cache = root.parent.parent / "blobs" if root.parent.name == "snapshots" else root
    real = Path(os.path.realpath(path))
    if not (real.is_relative_to(root) or real.is_relative_to(cache)):
        raise DinkuError("leads outside of the bundle", where=str(path), remedy=AGAIN)
    return path
