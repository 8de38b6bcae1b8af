"""The OpenAPI document of the server: its requests, answers and errors."""

from __future__ import annotations

from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field, create_model

from dinku import __version__
from dinku.data.task import NER, Task
from dinku.serving.batcher import Limits


class Asked(BaseModel):
    """A text to find entities in; its other keys are returned with the answer."""

    model_config = ConfigDict(extra="allow")
    text: Annotated[str, Field(description="A sentence as it was typed.")]


class Entity(BaseModel):
    """``start`` and ``end`` count Unicode characters (code points) of the text, half-open."""

    start: int
    end: int
    label: str
    text: str
    score: Annotated[float, Field(ge=0, le=1)]


class Class(BaseModel):
    """The label of a whole text."""

    label: str
    score: Annotated[float, Field(ge=0, le=1)]


class Found(BaseModel):
    """What was found in a text, with the keys that came with it."""

    model_config = ConfigDict(extra="allow")
    text: str


def _found(task: Task) -> type[BaseModel]:
    """The answer of a model of that task."""
    kind = Entity if task.each == "word" else Class
    made = create_model("Found", __base__=Found, __doc__=Found.__doc__, **{task.answer: (list[kind], ...)})  # type: ignore[call-overload,valid-type]
    return cast(type[BaseModel], made)


class Refused(BaseModel):
    """An error in one line."""

    error: str


def openapi(limits: Limits, task: Task = NER) -> dict[str, Any]:
    """The OpenAPI document of requests, answers of a model of the task, and errors."""
    found = _found(task)
    kinds = (Asked, found, Refused)
    schemas: dict[str, Any] = {}
    for kind in kinds:
        schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {}) | {kind.__name__: schema}

    def one_or_more(kind: type[BaseModel], *others: dict[str, Any]) -> dict[str, Any]:
        ways = [{"$ref": f"#/components/schemas/{kind.__name__}"}, *others]
        items = {"oneOf": ways} if others else ways[0]
        return {"oneOf": [*ways, {"type": "array", "items": items, "maxItems": limits.texts}]}

    def answer(said: str, schema: dict[str, Any], kind: str = "application/json") -> dict[str, Any]:
        return {"description": said, "content": {kind: {"schema": schema}}}

    refusal = {"$ref": "#/components/schemas/Refused"}
    refusals = {
        "400": "Not HTTP, not JSON, half a surrogate pair in it, or Content-Length beside Transfer-Encoding.",
        "408": f"Not begun after {limits.head_seconds:g} seconds, or not whole after {limits.read_seconds:g}.",
        "413": f"More than {limits.body_bytes:,} bytes.",
        "415": "Not application/json.",
        "421": "Asked by a name that isn't this server's (Host).",
        "422": f"No text, or more than {limits.texts} texts or {limits.characters:,} characters.",
        "500": "The tagger failed.",
        "503": "Too much is waiting; Retry-After says when to try again.",
    }
    post = {
        "summary": "Find entities in one text, or in each of a list",
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": one_or_more(Asked, {"type": "string"})}},
        },
        "responses": {"200": answer("In the order of the texts.", one_or_more(found))}
        | {status: answer(said, refusal) for status, said in refusals.items()},
    }
    said = {"/health": ("Whether it answers", "application/json"), "/metrics": ("For Prometheus", "text/plain")}
    paths: dict[str, Any] = {"/predict": {"post": post}}
    for path, (summary, media) in said.items():
        schema = {"type": "string" if media == "text/plain" else "object"}
        paths[path] = {"get": {"summary": summary, "responses": {"200": answer(summary, schema, media)}}}
    about = {"title": "dinku", "version": __version__, "description": "Entities in text, with character offsets."}
    return {"openapi": "3.1.0", "info": about, "paths": paths, "components": {"schemas": schemas}}
