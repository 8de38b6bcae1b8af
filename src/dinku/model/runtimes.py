"""The runtimes that run bundles: for each its files, precisions and packages, known without importing it.

A new runtime ``x`` is its name in `Runtime` and an entry in `RUNTIMES`; ``dinku/model/x.py``, a module with the function
``open_engine`` of `EngineModule`; and ``dinku/export/x.py``, a module with the functions of `dinku.export.writer.Writer`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, cast

from dinku.errors import DinkuError
from dinku.model.onnx_file import external

if TYPE_CHECKING:
    from dinku.model.engine import InspectableEngine

Runtime = Literal["onnxruntime", "openvino"]
Precision = Literal["fp32", "bf16", "int8"]


@dataclass(frozen=True)
class RuntimeFacts:
    """What is known of a runtime without importing it.

    ``models`` gives the model's file within a bundle for each precision that the runtime has, and ``beside`` the suffixes of
    the files next to it that the runtime also reads. ``packages`` are the modules that running a bundle imports, and
    ``export_packages`` those that an export to int8 imports as well. ``extra`` is the extra of dinku that installs them; it is
    empty if every installation has them. ``lacking`` says why the runtime doesn't have a precision. ``reads_elsewhere`` tells
    whether a model's file refers to files outside of the bundle.
    """

    title: str
    models: Mapping[Precision, str]
    packages: tuple[str, ...]
    export_packages: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    extra: str = ""
    lacking: Mapping[str, str] = field(default_factory=dict)
    reads_elsewhere: Callable[[Path], bool] = lambda _: False

    def files(self, precision: Precision) -> set[str]:
        """The files of a bundle that the runtime reads, by their paths within it."""
        model = self.models[precision]
        return {model, *(str(Path(model).with_suffix(suffix)) for suffix in self.beside)}


RUNTIMES: dict[Runtime, RuntimeFacts] = {
    "onnxruntime": RuntimeFacts(
        title="onnxruntime",
        models={"fp32": "onnx/model.onnx", "int8": "onnx/model_quantized.onnx"},
        packages=("onnxruntime",),
        lacking={"bf16": "onnxruntime has no bf16 kernels for CPUs"},
        reads_elsewhere=external,
    ),
    "openvino": RuntimeFacts(
        title="OpenVINO",
        models=dict.fromkeys(("fp32", "bf16", "int8"), "openvino/openvino_model.xml"),
        packages=("openvino",),
        export_packages=("nncf",),
        beside=(".bin",),
        extra="openvino",
    ),
}
DEFAULT: Runtime = "onnxruntime"
NAMES = " or ".join(RUNTIMES)
RUNTIME_PACKAGES = tuple(
    package for facts in RUNTIMES.values() for package in (*facts.packages, *facts.export_packages)
)
MODEL_PATTERNS = sorted(
    {f"{model.partition('/')[0]}/*" for facts in RUNTIMES.values() for model in facts.models.values()}
)


class EngineModule(Protocol):
    """The module ``dinku.model.<runtime>``, which imports the runtime."""

    def open_engine(
        self, model: Path, *, threads: int, precision: Precision, inputs: Collection[str]
    ) -> InspectableEngine:
        """The engine for a model's file, whose inputs are ``inputs``; raises `DinkuError` if it can't be opened."""
        ...


def open_engine(
    model: Path,
    runtime: Runtime,
    precision: Precision,
    threads: int,
    *,
    inputs: Collection[str],
) -> InspectableEngine:
    """The engine for a model's file, whose inputs are ``inputs``.

    Raises `DinkuError` if the runtime isn't installed, with the command that installs it, or the file can't be opened.
    """
    check_installed(runtime, RUNTIMES[runtime].packages, where=str(model))
    module = cast(EngineModule, import_module(f"dinku.model.{runtime}"))
    return module.open_engine(model, threads=threads, precision=precision, inputs=inputs)


def having(precision: Precision) -> list[Runtime]:
    """The runtimes that have a precision.

    >>> having("bf16")
    ['openvino']
    """
    return [name for name, facts in RUNTIMES.items() if precision in facts.models]


def check_installed(runtime: Runtime, packages: Collection[str], *, where: str) -> None:
    """Raise `DinkuError`, with the command that installs them, if a runtime's ``packages`` aren't all installed."""
    facts = RUNTIMES[runtime]
    if missing := [package for package in packages if find_spec(package) is None]:
        problem = f"needs {facts.title}, and {missing[0]} isn't installed"
        raise DinkuError(problem, where=where, remedy=f"install it with: pip install 'dinku[{facts.extra}]'")


def check_runtime(runtime: str, *, where: str) -> None:
    """Raise `DinkuError` if there is no such runtime."""
    if runtime not in RUNTIMES:
        raise DinkuError(f"there is no runtime {runtime!r}", where=where, remedy=f"choose {NAMES}")


def check_precision(runtime: str, precision: str, *, where: str) -> None:
    """Raise `DinkuError` if there is no such runtime, or it lacks the precision."""
    check_runtime(runtime, where=where)
    facts = RUNTIMES[cast(Runtime, runtime)]
    if precision not in facts.models:
        why = facts.lacking.get(precision, f"there is no precision {precision!r} for {runtime}")
        raise DinkuError(why, where=where, remedy=f"choose {' or '.join(facts.models)}")
