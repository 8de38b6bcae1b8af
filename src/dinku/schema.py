"""The strict base class of all records that are read from files, and validation errors as `DinkuError`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from dinku.errors import DinkuError, brief


class Record(BaseModel):
    """A frozen record without unknown fields.

    A class that is declared with ``strict=True`` doesn't convert values to its fields' types either.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


_WANTED = {
    "int": "give a whole number",
    "float": "give a number",
    "finite": "give a number that is finite",
    "bool": "give true or false",
    "string": "give text",
    "list": "give a list",
    "tuple": "give a list (in Python, a tuple)",
    "dict": "write it as key: value",
    "model": "write it as key: value",
    "literal": "give {expected}",
    "greater_than_equal": "give {ge} or more",
    "less_than": "give less than {lt}",
    "too_short": "give at least {min_length}",
    "value": "give {wanted}",
}


def validation_error(error: ValidationError, *, where: str, within: str = "", remedy: str = "") -> DinkuError:
    """The first error of a validator as a `DinkuError`: the field (within ``within``), its value, and what to give instead.

    ``remedy``, if given, replaces the last.
    """
    first = error.errors(include_url=False)[0]
    kind, context = first["type"], dict[str, Any](first.get("ctx") or {})
    field = ".".join([*filter(None, [within]), *(str(part) for part in first["loc"] if part != "[key]")])
    if kind == "missing":
        return DinkuError(f"{field} is missing", where=where, remedy=remedy or "add it")
    if kind in ("extra_forbidden", "invalid_key"):
        return DinkuError(f"there is no field {field}", where=where, remedy=remedy or "correct its name, or remove it")
    wanted = _WANTED.get(kind) or _WANTED.get(kind.split("_")[0], "")
    wanted = wanted.format_map(context) if wanted else f"correct it ({first['msg'].lower()})"
    problem = f"{field} is {brief(first['input'])}" if field else first["msg"]
    return DinkuError(problem, where=where, remedy=remedy or wanted)
