"""A tagger over HTTP, without torch where it is a bundle: JSON, an OpenAPI document, metrics, and a page to try it on.

One thread tags. It takes what all clients have sent meanwhile, a text of each in turn, so that a batch is full when there is
work for one and a long request doesn't hold up short ones. What is too large, or too much, is refused before it is read
into memory; what was accepted is answered, also when the server is told to stop.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import signal
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dinku import __version__
from dinku.errors import DinkuError, of_validation
from dinku.predict import Line
from dinku.reader import Reader

Answer = dict[str, Any]


@dataclass(frozen=True)
class Limits:
    """What a server takes on. ``characters`` and ``texts`` are of a request, ``waiting`` characters of all that wait, which are
    few enough to be tagged within ``stop_seconds`` on a slow machine."""

    body_bytes: int = 1 << 20
    texts: int = 256
    characters: int = 100_000
    waiting: int = 300_000
    requests: int = 512
    read_seconds: float = 10.0
    stop_seconds: int = 600


TOGETHER = (64, 20_000)  # texts and characters that are tagged at once: a full batch, and no long wait for the next


class Asked(BaseModel):
    """A text to find entities in."""

    model_config = ConfigDict(extra="forbid", strict=True)
    text: Annotated[str, Field(description="A sentence as it was typed.")]


class Entity(BaseModel):
    """``start`` and ``end`` count Unicode characters (code points) of the text, half-open."""

    start: int
    end: int
    label: str
    text: str
    score: Annotated[float, Field(ge=0, le=1)]


class Found(BaseModel):
    text: str
    entities: list[Entity]


class Refused(BaseModel):
    """What is wrong, in one line."""

    error: str


_MANY = TypeAdapter(list[Asked])


class Busy(Exception):
    """More waits than is taken on."""


@dataclass(eq=False)
class _Job:
    texts: Sequence[str]
    future: Future[list[Answer]] = field(default_factory=Future)
    taken: int = 0
    answers: dict[int, Answer] = field(default_factory=dict)


class Desk:
    """Takes texts from many and has one thread tag them together."""

    def __init__(self, reader: Reader, limits: Limits) -> None:
        self.reader, self.limits = reader, limits
        self.waiting = self.batches = self.texts = self.words = self.entities = 0
        self._jobs: deque[_Job] = deque()
        self._some = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="tagging", daemon=True)
        self._thread.start()

    def ask(self, texts: Sequence[str]) -> Future[list[Answer]]:
        """Their answers, in order. Raises `Busy` where too many characters wait, or the desk is closed."""
        job = _Job(texts)
        cost = sum(map(_cost, texts))
        with self._some:
            if self._closed or self.waiting + cost > self.limits.waiting:
                raise Busy
            if not texts:
                job.future.set_result([])
                return job.future
            self.waiting += cost
            self._jobs.append(job)
            self._some.notify()
        return job.future

    def close(self) -> None:
        """Finish what was taken, and end."""
        with self._some:
            self._closed = True
            self._some.notify()
        self._thread.join()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _work(self) -> None:
        while taken := self._take():
            try:
                self._done(taken)
            except Exception:  # of which text, is found by asking for each alone: the others are answered
                for one in taken:
                    try:
                        self._done([one])
                    except Exception as error:
                        self._fail(one[0], error)

    def _done(self, taken: Sequence[tuple[_Job, int]]) -> None:
        for (job, i), answer in zip(taken, self._answers([job.texts[i] for job, i in taken]), strict=True):
            job.answers[i] = answer
            if len(job.answers) == len(job.texts) and not job.future.done():
                job.future.set_result([job.answers[n] for n in range(len(job.texts))])

    def _take(self) -> list[tuple[_Job, int]]:
        """A text of each job in turn, until there are enough; none when the desk is closed and all is done."""
        out: list[tuple[_Job, int]] = []
        with self._some:
            self._some.wait_for(lambda: self._jobs or self._closed)
            room = TOGETHER[1]
            while self._jobs and room > 0 and len(out) < TOGETHER[0]:
                job = self._jobs.popleft()
                out.append((job, job.taken))
                cost = _cost(job.texts[job.taken])
                room, self.waiting, job.taken = room - cost, self.waiting - cost, job.taken + 1
                if job.taken < len(job.texts):
                    self._jobs.append(job)
        return out

    def _answers(self, texts: Sequence[str]) -> list[Answer]:
        lines = [Line.typed(text) for text in texts]
        answers = [line.answer(found) for line, found in zip(lines, self.reader.tag(lines), strict=True)]
        self.batches += 1
        self.texts += len(lines)
        self.words += sum(len(line.spans) for line in lines)
        self.entities += sum(len(answer["entities"]) for answer in answers)
        return answers

    def _fail(self, job: _Job, error: Exception) -> None:
        with self._some:
            if job in self._jobs:
                self._jobs.remove(job)
                self.waiting -= sum(map(_cost, job.texts[job.taken :]))
        if not job.future.done():
            job.future.set_exception(error)


def _cost(text: str) -> int:
    return len(text) + 1


class _Metered:
    """Counts what an application answers and how long it takes, and sets the headers of every answer."""

    BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.statuses: Counter[int] = Counter()
        self.within: Counter[float] = Counter()
        self.seconds = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = time.perf_counter()

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]
                self.statuses[message["status"]] += 1
                taken = time.perf_counter() - start
                self.seconds += taken
                self.within.update(bound for bound in self.BOUNDS if taken <= bound)
            await send(message)

        await self.app(scope, receive, sent)

    def lines(self) -> list[str]:
        total = sum(self.statuses.values())
        out = ["# TYPE dinku_requests_total counter"]
        out += [f'dinku_requests_total{{status="{status}"}} {n}' for status, n in sorted(self.statuses.items())]
        out += ["# TYPE dinku_request_seconds histogram"]
        out += [f'dinku_request_seconds_bucket{{le="{bound}"}} {self.within[bound]}' for bound in self.BOUNDS]
        out += [f'dinku_request_seconds_bucket{{le="+Inf"}} {total}']
        return [*out, f"dinku_request_seconds_sum {self.seconds:.6f}", f"dinku_request_seconds_count {total}"]


def application(desk: Desk, *, model: str) -> ASGIApp:
    """The ASGI application over a desk."""
    limits = desk.limits
    document = openapi(limits)
    page, policy = _page()
    reading = 0

    async def predict(request: Request) -> Response:
        nonlocal reading
        if reading >= limits.requests:
            raise _busy()
        reading += 1
        try:
            texts, many = _texts(await _body(request, limits), limits)
            answers = await asyncio.wrap_future(desk.ask(texts))
        except Busy:
            raise _busy() from None
        finally:
            reading -= 1
        return JSONResponse(answers if many else answers[0])

    async def health(_: Request) -> Response:
        told = {"status": "ok" if desk.alive else "failed", "model": model, "precision": desk.reader.precision}
        return JSONResponse({**told, "version": __version__}, 200 if desk.alive else 503)

    async def metrics(_: Request) -> Response:
        counted = {name: getattr(desk, name) for name in ("batches", "texts", "words", "entities")}
        out = [line for k, v in counted.items() for line in (f"# TYPE dinku_{k}_total counter", f"dinku_{k}_total {v}")]
        out += ["# TYPE dinku_waiting_characters gauge", f"dinku_waiting_characters {desk.waiting}"]
        out += ["# TYPE dinku_open_requests gauge", f"dinku_open_requests {reading}", *metered.lines()]
        return PlainTextResponse("\n".join(out) + "\n", media_type="text/plain; version=0.0.4")

    async def described(_: Request) -> Response:
        return JSONResponse(document)

    async def shown(_: Request) -> Response:
        return HTMLResponse(page, headers={"content-security-policy": policy, "referrer-policy": "no-referrer"})

    app = Starlette(
        routes=[
            Route("/", shown),
            Route("/predict", predict, methods=["POST"]),
            Route("/health", health),
            Route("/metrics", metrics),
            Route("/openapi.json", described),
        ],
        exception_handlers={HTTPException: _refused, Exception: _failed},
    )
    app.router.redirect_slashes = False
    metered = _Metered(app)
    return metered


async def _body(request: Request, limits: Limits) -> bytes:
    """The whole body, unless it is no JSON, too large or too slow. What is too large is read to its end and thrown away, so that
    a client which only reads after it has written gets its answer."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send application/json")
    parts, size = [], 0
    try:
        async with asyncio.timeout(limits.read_seconds):
            async for part in request.stream():
                size += len(part)
                if size <= limits.body_bytes:
                    parts.append(part)
    except ClientDisconnect:
        raise HTTPException(400, "hung up before the request was whole") from None
    except TimeoutError:
        if size <= limits.body_bytes:
            problem = f"the request wasn't whole after {limits.read_seconds:g} seconds"
            raise HTTPException(408, problem, {"connection": "close"}) from None
    if size > limits.body_bytes:
        problem = f"a request has at most {limits.body_bytes:,} bytes; send several"
        raise HTTPException(413, problem, {"connection": "close"})
    return b"".join(parts)


def _texts(body: bytes, limits: Limits) -> tuple[list[str], bool]:
    """The texts of a request, and whether it gave a list."""
    try:
        given = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise HTTPException(400, f"isn't JSON ({error})") from None
    many = isinstance(given, list)
    if many and len(given) > limits.texts:
        raise HTTPException(422, f"a request has at most {limits.texts} texts, this one {len(given):,}; send several")
    try:
        texts = [asked.text for asked in _MANY.validate_python(given if many else [given])]
    except ValidationError as error:
        raise HTTPException(422, str(of_validation(error, where="request"))) from None
    if (characters := sum(map(len, texts))) > limits.characters:
        problem = f"a request has at most {limits.characters:,} characters, this one {characters:,}; send several"
        raise HTTPException(422, problem)
    return texts, many


def _busy() -> HTTPException:
    return HTTPException(503, "too much is waiting; try again in a moment", {"retry-after": "1"})


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _failed(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": "the tagger failed on this; the server's log says how"}, 500)


def _page() -> tuple[str, str]:
    """The page, and a policy by which nothing runs on it but its own script and style."""
    page = (Path(__file__).parent / "serve.html").read_text(encoding="utf-8")
    hashes = {}
    for kind in ("script", "style"):
        (inner,) = re.findall(rf"<{kind}>(.*?)</{kind}>", page, re.S)
        hashes[kind] = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
    allowed = " ".join(f"{kind}-src 'sha256-{value}';" for kind, value in hashes.items())
    rest = "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return page, f"default-src 'none'; {allowed} {rest}"


def openapi(limits: Limits) -> dict[str, Any]:
    """The OpenAPI document: what can be asked, what is answered, what is refused."""
    kinds = (Asked, Found, Refused)
    schemas: dict[str, Any] = {}
    for kind in kinds:
        schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {}) | {kind.__name__: schema}

    def one_or_more(kind: type[BaseModel]) -> dict[str, Any]:
        single = {"$ref": f"#/components/schemas/{kind.__name__}"}
        return {"oneOf": [single, {"type": "array", "items": single, "maxItems": limits.texts}]}

    def answer(said: str, schema: dict[str, Any], kind: str = "application/json") -> dict[str, Any]:
        return {"description": said, "content": {kind: {"schema": schema}}}

    refusal = {"$ref": "#/components/schemas/Refused"}
    refusals = {
        "400": "Not JSON, or half a surrogate pair in it.",
        "408": f"Not whole after {limits.read_seconds:g} seconds.",
        "413": f"More than {limits.body_bytes:,} bytes.",
        "415": "Not application/json.",
        "422": f"No text, or more than {limits.texts} texts or {limits.characters:,} characters.",
        "500": "The tagger failed.",
        "503": "Too much is waiting; Retry-After says when to try again.",
    }
    post = {
        "summary": "Find entities in one text, or in each of a list",
        "requestBody": {"required": True, "content": {"application/json": {"schema": one_or_more(Asked)}}},
        "responses": {"200": answer("In the order of the texts.", one_or_more(Found))}
        | {status: answer(said, refusal) for status, said in refusals.items()},
    }
    said = {"/health": ("Whether it answers", "application/json"), "/metrics": ("For Prometheus", "text/plain")}
    paths: dict[str, Any] = {"/predict": {"post": post}}
    for path, (summary, media) in said.items():
        schema = {"type": "string" if media == "text/plain" else "object"}
        paths[path] = {"get": {"summary": summary, "responses": {"200": answer(summary, schema, media)}}}
    about = {"title": "dinku", "version": __version__, "description": "Entities in text, with character offsets."}
    return {"openapi": "3.1.0", "info": about, "paths": paths, "components": {"schemas": schemas}}


def serve(reader: Reader, *, model: str, host: str, port: int, said: Callable[[str], None], limits: Limits) -> None:
    """Serve until SIGTERM or SIGINT, then answer what was accepted. ``said`` is told the address. Port 0 is any free one.

    Raises `DinkuError` where the model gives no tags or the address can't be had.
    """
    reader.tag([Line.typed("a")])  # it fails here rather than at the first request, and is warm for that
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).partition(" (while")[0]
        problem = f"can't be listened at ({reason})"
        raise DinkuError(problem, where=f"{host}:{port}", remedy="name another --host or --port") from None
    desk = Desk(reader, limits)
    config = uvicorn.Config(
        application(desk, model=model),
        http="h11",
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=limits.stop_seconds,
    )
    server = uvicorn.Server(config)

    def stop(*_: object) -> None:
        server.should_exit = True

    # For signals before uvicorn takes them, and for the one that it sends itself in the end: to be stopped is no failure.
    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    shown = f"[{host}]" if ":" in host else host
    said(f"http://{shown}:{listening.getsockname()[1]}/")
    try:
        server.run(sockets=[listening])
    finally:
        desk.close()
        for number, handler in before.items():
            signal.signal(number, handler)
