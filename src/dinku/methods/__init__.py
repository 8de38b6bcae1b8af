"""The methods, one file each; their classes are imported only when they are asked for."""

from __future__ import annotations

from dataclasses import asdict
from importlib import import_module
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from dinku.errors import DinkuError
from dinku.method import Method

MODULES = {
    "FineTune": "finetune",
    "KeepLayers": "layers",
    "Sparsify": "sparsity",
    "TrimVocabulary": "vocabulary",
}


def from_json(step: Any, *, where: str = "step") -> Method:
    """A method from ``{"FineTune": {"epochs": 3}}``: one name, and its fields; unknown fields are refused."""
    if isinstance(step, str):
        step = {step: {}}
    if not isinstance(step, dict) or len(step) != 1:
        raise DinkuError(
            f"{step!r} isn't one method with its fields", where=where, remedy="write e.g. Sparsify: {sparsity: 0.6}"
        )
    ((name, fields),) = step.items()
    if name not in MODULES:
        remedy = f"use one of {', '.join(sorted(MODULES))}"
        raise DinkuError(f"there is no method {name!r}", where=where, remedy=remedy)
    kind: Any = getattr(import_module(f"dinku.methods.{MODULES[name]}"), name)
    if not isinstance(fields, dict | None):
        raise DinkuError(f"the fields of {name} are {fields!r}", where=where, remedy="write them as key: value")
    unknown = sorted(set(fields or {}) - set(kind.__dataclass_fields__))
    if unknown:
        known = ", ".join(kind.__dataclass_fields__)
        raise DinkuError(f"{name} has no field {unknown[0]!r}", where=where, remedy=f"its fields are {known}")
    try:
        return TypeAdapter(kind).validate_python(fields or {})
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in first["loc"])
        raise DinkuError(f"{name}.{at}: {first['msg']}", where=where, remedy="correct the value") from None


def to_json(method: Method) -> dict[str, Any]:
    """The inverse of `from_json`, every field written out."""
    fields = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(cast(Any, method)).items()}
    return {type(method).__name__: fields}
