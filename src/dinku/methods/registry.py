"""Methods by their names, dinku's own and those of other packages; a class is imported only when it is asked for.

A package provides methods by the entry point group ``dinku.methods``, with an entry point of the class's name for each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast, get_args

from pydantic import TypeAdapter, ValidationError

from dinku.digests import canonical
from dinku.errors import DinkuError, brief, nearest
from dinku.errors import reason as first_line
from dinku.method import Category, Method, inner_fields
from dinku.schema import validation_error

GROUP = "dinku.methods"
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
    "StartWords": "words",
    "TrimVocabulary": "vocabulary",
}
_MEMBERS = ("version", "category", "needs", "text_languages", "reads", "own_vocabulary")
_CALLED = ("resolve", "can_use", "declare", "apply")


@cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    """The validator for the fields of a method's class, made once, because that takes milliseconds and studies have many
    steps."""
    return TypeAdapter(kind)


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
    kind = find_method(name)
    if kind is None:
        known = names()
        remedy = f"{nearest(str(name), known)}use one of {', '.join(known)}"
        raise DinkuError(f"there is no method {name!r}", where=where, remedy=remedy)
    if not isinstance(given, dict | None):
        raise DinkuError(f"the fields of {name} are {given!r}", where=where, remedy="write them as key: value")
    own = [each.name for each in fields(kind)]
    if unknown := [each for each in given or () if each not in own]:
        raise DinkuError(f"{name} has no field {unknown[0]!r}", where=where, remedy=f"its fields are {', '.join(own)}")
    given = dict(given or {})
    for inner in {*inner_fields(kind)} & set(given):
        if not isinstance(given[inner], list | tuple):
            problem = f"{name}.{inner} is {given[inner]!r}"
            raise DinkuError(problem, where=where, remedy="list methods, e.g. [KeepLayers: {keep: [0, 3]}]")
        given[inner] = tuple(from_json(step, where=f"{where}, {name}.{inner}") for step in given[inner])
    try:
        method = cast(Method, _adapter(kind).validate_python(given))
    except ValidationError as error:
        raise validation_error(error, where=where, within=name) from None
    except DinkuError as error:
        raise DinkuError(error.problem, where=f"{where}: {error.where}", remedy=error.remedy) from None
    for key, value in given.items():  # a lenient validator takes true for 1
        for was, now in zip(_each(value), _each(getattr(method, key)), strict=False):
            if isinstance(was, bool) and not isinstance(now, bool):
                raise DinkuError(f"{name}.{key} is {was}", where=where, remedy="give a number")
    return method


def to_json(method: Method) -> dict[str, Any]:
    """The inverse of `from_json`, with every field but `dinku.method.LATER` ones at their default."""
    kind: Any = type(method)
    inner, document = inner_fields(kind), dict[str, Any]()
    for each in fields(kind):
        value = getattr(method, each.name)
        if each.name in inner:
            document[each.name] = [to_json(step) for step in value]
        elif not (each.metadata.get("later") and value == each.default):
            document[each.name] = _plain(value)
    return {kind.__name__: document}


def outdated(versions: Mapping[str, int]) -> str:
    """Which of these versions differ from those of the methods here, as ``FineTune 2 (now 3)``; empty if none does."""
    if not versions:
        return ""
    now = {name: kind.version for name in sorted(versions) if (kind := find_method(name))}
    return ", ".join(f"{name} {versions[name]} (now {at})" for name, at in now.items() if versions[name] != at)


def category_of(name: str) -> Category | None:
    """How claims classify the method of that name; ``None`` if it isn't installed."""
    kind = find_method(name)
    return kind.category if kind else None


def method_of(step: dict[str, Any]) -> Method | None:
    """The method that a row's step names; ``None`` if it isn't installed, or no longer has these fields."""
    return _method_of(canonical(step))


@cache
def _method_of(step: str) -> Method | None:
    document = json.loads(step)
    if not all(map(find_method, document)):
        return None
    try:
        return from_json(document)
    except DinkuError:
        return None


@cache
def find_method(name: str) -> Any:
    """The class of that name, dinku's own or another package's; ``None`` if there is none.

    Raises `DinkuError` if more than one package brings it, or if it can't be loaded or isn't a method.
    """
    plugins = _plugins().get(name, ())
    if name not in MODULES and not plugins:
        return None
    sources = ["dinku"] * (name in MODULES) + [_distribution(each) for each in plugins]
    if len(sources) > 1:
        problem = f"the method {name} is brought by {' and '.join(sources)}"
        raise DinkuError(problem, where=sources[-1], remedy=f"uninstall {plugins[-1].dist.name}")  # type: ignore[union-attr]
    return _loaded(plugins[0]) if plugins else method_class(name)


def names() -> list[str]:
    """The names of all methods, other packages' included, sorted."""
    return sorted({*MODULES, *_plugins()})


def method_class(name: str) -> Any:
    """dinku's own method of that name."""
    return getattr(import_module(f"dinku.methods.{MODULES[name]}"), name)


@cache
def _plugins() -> dict[str, tuple[EntryPoint, ...]]:
    """The entry points of other packages, by the name of the method."""
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for each in entry_points(group=GROUP):
        found[each.name] = (*found.get(each.name, ()), each)
    return found


@cache
def _loaded(plugin: EntryPoint) -> Any:
    """The class that an entry point names; raises `DinkuError` that names its package if it can't be used."""
    try:
        kind = plugin.load()
    except Exception as error:
        wrong = f"can't be loaded ({type(error).__name__}: {first_line(error)})"
    else:
        wrong = _fault(kind, plugin.name)
    if wrong:
        source = _distribution(plugin)
        remedy = f"update {plugin.dist.name}, or uninstall it"  # type: ignore[union-attr]
        raise DinkuError(f"its method {plugin.name} {wrong}", where=source, remedy=remedy)
    return kind


def _fault(kind: Any, name: str) -> str:
    """Why a class can't be the method of that name; empty if it can."""
    if not isinstance(kind, type) or not is_dataclass(kind) or not kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        return "isn't a frozen dataclass"
    if kind.__name__ != name:
        return f"is a class of another name, {kind.__name__}"
    if missing := [each for each in (*_MEMBERS, *_CALLED) if not hasattr(kind, each)]:
        return f"has no {missing[0]}"
    known = get_args(Category)
    category = kind.category  # type: ignore[attr-defined]
    return "" if category in known else f"has the category {category!r}, which is none of {', '.join(known)}"


def _distribution(plugin: EntryPoint) -> str:
    """The package that an entry point belongs to, with its version."""
    assert plugin.dist is not None  # as it has in any that `entry_points` finds
    return f"{plugin.dist.name} {plugin.dist.version}"


def _each(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _plain(value: Any) -> Any:
    """A field's value as JSON. A method in a field that isn't `INNER` has none: its version would enter no address."""
    if is_dataclass(value):
        raise TypeError(f"{type(value).__name__} stands in a field whose metadata isn't dinku.method.INNER")
    return [_plain(each) for each in value] if isinstance(value, tuple) else value
