"""Bundle: a folder that tags without torch: a model for one engine, tokenizer, tags, provenance and checksums.

``bundle.json`` says what the folder is and lists every file that is read, with its size and sha256. A bundle for
onnxruntime is laid out as transformers.js reads it, too: ``onnx/model.onnx`` (int8: ``onnx/model_quantized.onnx``),
``config.json``, ``tokenizer.json`` and ``tokenizer_config.json``; one for OpenVINO has ``openvino/openvino_model.xml`` and
``.bin`` instead. Nothing is given to an engine before names and checksums are as listed and the model is known to read
no other file. The card, ``README.md``, isn't listed, as people edit it once `dinku.export.pipeline` has written it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Literal, NoReturn, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dinku.data.corpus import Corpus, Sentence
from dinku.digests import file_digest
from dinku.errors import DinkuError, check_count, plural
from dinku.files import content, written_folder
from dinku.machine import available_threads
from dinku.model import predict
from dinku.model.encode import Encoder, LabelOn, Window, opened
from dinku.model.engine import Logits, Numerics, Told
from dinku.model.folder import iob2_tags, model_folder
from dinku.model.inspect import numerics
from dinku.model.onnx_file import AGAIN, external
from dinku.model.shape import BFLOAT16, FLOAT32, INT8, Scheme, Shape
from dinku.schema import validation_error
from dinku.scoring import tagging
from dinku.scoring.counts import Counts

FILE = "bundle.json"
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


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class File(_Part):
    """What a file of a bundle must be."""

    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Quantization(_Part):
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


class Manifest(_Part):
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
class Bundle:
    """An opened bundle: it tags like a `dinku.nn.tagger.Tagger`, with an engine on ``threads`` threads."""

    folder: Path
    manifest: Manifest
    tags: tuple[str, ...]
    encoder: Encoder
    threads: int

    @classmethod
    def open(cls, name: str | os.PathLike[str], *, threads: int | None = None) -> Self:
        """Open a bundle by folder, name under ``DINKU_HOME/models``, address or Hub id, on all cores unless told otherwise.

        Raises `DinkuError` where it is none, or is damaged: a file that is missing or isn't the one that was exported, a
        model that reads files outside of the bundle.
        """
        if threads is not None:
            check_count(threads, "threads", where="Bundle.open")
        folder = model_folder(name)
        manifest = described(folder)
        for file, wanted in manifest.files.items():
            _check(folder, file, wanted)
        if manifest.runtime == "onnxruntime" and external(folder / manifest.model):
            problem = "keeps weights in another file, which a bundle never does"
            raise DinkuError(problem, where=str(folder / manifest.model), remedy=AGAIN)
        tags, encoder = iob2_tags(folder), opened(folder, ["tokenizer_config.json"])
        if not tags:
            raise DinkuError("names no tags", where=str(folder / "config.json"), remedy=AGAIN)
        if encoder is None:
            raise DinkuError("names no padding token", where=str(folder / "tokenizer_config.json"), remedy=AGAIN)
        if manifest.length > encoder.length:
            problem = (
                f"its windows of {plural(manifest.length, 'subword')} are longer than its model's {encoder.length:,}"
            )
            raise DinkuError(problem, where=str(folder / FILE), remedy=AGAIN)
        encoder = replace(encoder, length=manifest.length, label_on=manifest.label_on)
        return cls(folder, manifest, tags, encoder, threads or available_threads())

    @property
    def engine(self) -> Told:
        """What runs it; made when it is first needed, once for all threads."""
        with _MAKING:
            return self._engine

    @cached_property
    def _engine(self) -> Told:
        model = self.folder / self.manifest.model
        return open_engine(model, self.manifest.runtime, self.manifest.precision, self.threads)

    @property
    def shape(self) -> Shape:
        """By arithmetic, without the graph around the weights."""
        manifest, kept = self.manifest, self.manifest.quantization.bytes if self.manifest.quantization else 0
        shape = Shape.of_folder(self.folder)
        counted = replace(shape, nonzero=(manifest.nonzero, manifest.nonzero), zeros=manifest.zeros)
        return replace(counted, scheme=self.scheme, kept=kept)

    @property
    def scheme(self) -> Scheme:
        return SCHEMES[self.manifest.precision]

    @property
    def digest(self) -> str:
        """sha256 over the files that are read, and how."""
        manifest = self.manifest
        read = (manifest.runtime, manifest.precision, manifest.length, manifest.label_on, self.tags)
        files = sorted((name, file.sha256) for name, file in manifest.files.items())
        return hashlib.sha256(repr((read, files)).encode()).hexdigest()

    @property
    def model(self) -> NoReturn:
        """Whoever would change a bundle is told that it can't be."""
        self.scheme.refuse(str(self.folder))
        remedy = "name the tagger that it was made from"
        raise DinkuError("is a bundle, which can be run and no more", where=str(self.folder), remedy=remedy)

    tokenizer = sparse = model

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

    def tag(self, sentences: Sequence[Sentence], **options: Any) -> list[tagging.Tagging]:
        """See `dinku.model.predict.tag`."""
        return predict.tag(self.engine, self.encoder, self.tags, sentences, **options)

    def answered(self, windows: Sequence[Window]) -> Iterator[tuple[Window, Logits]]:
        """See `dinku.model.predict.answered`."""
        return predict.answered(self.engine, self.encoder, windows)

    def evaluate(self, corpus: Corpus, *, progress: predict.Progress | None = None) -> Counts:
        """Counts of spans over a tagged corpus."""
        return predict.evaluate(self.engine, self.encoder, self.tags, corpus, progress=progress)

    def numerics(self, sentences: Sequence[Sentence]) -> Numerics:
        """How its engine computes on these sentences."""
        manifest = self.manifest
        mode = f" {manifest.quantization.mode}" if manifest.quantization else ""
        scheme = f"{manifest.precision}{mode}, {manifest.runtime}"
        return numerics(self.engine, self.encoder, sentences, scheme=scheme)


def open_engine(model: Path, runtime: Runtime, precision: Precision, threads: int) -> Told:
    """The engine that a model file is for."""
    if runtime == "onnxruntime":
        from dinku.model.onnxruntime import OnnxEngine

        return OnnxEngine(model, threads=threads)
    try:
        from dinku.model.openvino import OpenVinoEngine
    except ModuleNotFoundError as error:
        if error.name != "openvino":
            raise
        remedy = "install it with: pip install 'dinku[openvino]'"
        raise DinkuError("is a model for OpenVINO, which isn't here", where=str(model), remedy=remedy) from None
    return OpenVinoEngine(model, threads=threads, precision=precision)


def is_bundle(folder: Path) -> bool:
    return (folder / FILE).is_file()


def described(folder: Path) -> Manifest:
    """A bundle's ``bundle.json``, its names checked: each leads to a file within the folder.

    Raises `DinkuError` where it can't be read, or lists no model, config or tokenizer.
    """
    path = _within(folder, FILE)
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
    needed = {manifest.model, "config.json", "tokenizer.json", "tokenizer_config.json"}
    if manifest.runtime == "openvino":
        needed.add(str(Path(manifest.model).with_suffix(".bin")))
    if odd := sorted(needed ^ set(manifest.files)):
        problem = f"doesn't list {odd[0]}" if odd[0] in needed else f"lists {odd[0]}, as no bundle does"
        raise DinkuError(problem, where=str(path), remedy=AGAIN)
    return manifest


def summed(path: Path) -> File:
    """Size and checksum of a file."""
    return File(bytes=path.stat().st_size, sha256=file_digest(path))


def inspection(folder: Path, *, subwords: int = 32) -> dict[str, Any]:
    """What ``inspect`` says of a bundle, its files checked."""
    bundle = Bundle.open(str(folder))
    shape = bundle.shape
    return {
        "parameters": shape.parameters,
        "nonzero": shape.nonzero[0],
        "bytes": shape.bytes,
        "layers": len(shape.layers),
        "hidden": shape.hidden,
        "vocabulary": shape.vocabulary,
        "components": [asdict(c) for c in shape.components],
        "subwords": subwords,
        "multiply_adds": shape.multiply_adds(subwords),
        "runtime": bundle.manifest.runtime,
        "precision": bundle.manifest.precision,
        "provenance": bundle.manifest.provenance,
        "gate": bundle.manifest.gate,
        "quantization": bundle.manifest.quantization and bundle.manifest.quantization.model_dump(),
    }


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
