"""The methods, one file each; their classes are imported only when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from importlib import import_module
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from dinku.errors import DinkuError, brief, nearest
from dinku.method import Method
from dinku.schema import validation_error

MODULES = {
    "Distil": "distil",
    "DistilText": "distiltext",
    "FactorizeEmbeddings": "factorize",
    "FineTune": "finetune",
    "KeepLayers": "layers",
    "NarrowFeedForward": "feedforward",
    "NarrowHidden": "hidden",
    "Pretrain": "pretrain",
    "PruneHeads": "heads",
    "Quantize": "quantize",
    "QuantizeDynamic": "dynamic",
    "QuantizeLLMInt8": "llmint8",
    "RegroupHeads": "regroup",
    "Sparsify": "sparsity",
    "StartFresh": "fresh",
    "StartFrom": "named",
    "TrimVocabulary": "vocabulary",
}


def from_json(step: Any, *, where: str = "step") -> Method:
    """A method from ``{"FineTune": {"epochs": 3}}``: one name, and its fields; unknown fields are refused."""
    if isinstance(step, str):
        step = {step: {}}
    if not isinstance(step, dict) or len(step) != 1:
        raise DinkuError(
            f"{brief(step)} isn't one method with its fields",
            where=where,
            remedy="write e.g. Sparsify: {sparsity: 0.6}",
        )
    ((name, given),) = step.items()
    if name not in MODULES:
        remedy = f"{nearest(str(name), MODULES)}use one of {', '.join(sorted(MODULES))}"
        raise DinkuError(f"there is no method {name!r}", where=where, remedy=remedy)
    kind = method_class(name)
    if not isinstance(given, dict | None):
        raise DinkuError(f"the fields of {name} are {given!r}", where=where, remedy="write them as key: value")
    own = [each.name for each in fields(kind)]
    if unknown := [each for each in given or () if each not in own]:
        raise DinkuError(f"{name} has no field {unknown[0]!r}", where=where, remedy=f"its fields are {', '.join(own)}")
    given = dict(given or {})
    for inner in _inner(kind) & set(given):
        if not isinstance(given[inner], list | tuple):
            problem = f"{name}.{inner} is {given[inner]!r}"
            raise DinkuError(problem, where=where, remedy="list methods, e.g. [KeepLayers: {keep: [0, 3]}]")
        given[inner] = tuple(from_json(step, where=f"{where}, {name}.{inner}") for step in given[inner])
    try:
        method = cast(Method, TypeAdapter(kind).validate_python(given))
    except ValidationError as error:
        raise validation_error(error, where=where, within=name) from None
    except DinkuError as error:
        raise DinkuError(error.problem, where=f"{where}: {error.where}", remedy=error.remedy) from None
    for key, value in given.items():  # true is 1 to a lenient validator
        for was, now in zip(_each(value), _each(getattr(method, key)), strict=False):
            if isinstance(was, bool) and not isinstance(now, bool):
                raise DinkuError(f"{name}.{key} is {was}", where=where, remedy="give a number")
    return method


def outdated(versions: Mapping[str, int]) -> str:
    """Which of these aren't the versions of the methods here, told as ``FineTune 2 (now 3)``; empty where all are."""
    now = {name: method_class(name).version for name in versions if name in MODULES}
    return ", ".join(f"{name} {versions[name]} (now {at})" for name, at in sorted(now.items()) if versions[name] != at)


def method_class(name: str) -> Any:
    return getattr(import_module(f"dinku.methods.{MODULES[name]}"), name)


def _each(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def to_json(method: Method) -> dict[str, Any]:
    """The inverse of `from_json`, every field written out but for `dinku.method.LATER` ones at their default."""
    kind: Any = type(method)
    values = {each.name: getattr(method, each.name) for each in fields(kind)}
    told = [f.name for f in fields(kind) if not (f.metadata.get("later") and values[f.name] == f.default)]
    return {kind.__name__: {name: _plain(values[name]) for name in told}}


def _inner(kind: Any) -> set[str]:
    """The fields of a method that hold methods themselves."""
    return {each.name for each in fields(kind) if each.metadata.get("methods")}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return to_json(cast(Method, value)) if is_dataclass(value) else value
