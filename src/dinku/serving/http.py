"""A tagger over HTTP, without torch if it is a bundle: JSON, an OpenAPI document, metrics, and a page to try it on.

One thread tags for all clients (`dinku.serving.batcher`) over a limited number of connections (`dinku.serving.connections`).
Requests that are too large or too many are refused before they are read into memory, and accepted ones are answered even when
the server is stopping. A server on a loopback address only answers requests to the names of this machine, because a web page
could make a name of its own point to that address.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import re
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pydantic_core import from_json, to_json
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dinku import __version__
from dinku.errors import DinkuError, brief
from dinku.serving.batcher import Answer, Batcher, Busy, Failed, Limits
from dinku.serving.connections import OncePerKind, Server, most_connections
from dinku.serving.lines import Line
from dinku.serving.openapi import openapi
from dinku.serving.reader import Reader


class _Metered:
    """Counts the answers of an application and their times, and sets the headers of every answer."""

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


class _Bodies:
    """Requests whose bodies are arriving, oldest first, and the bytes of these that are held."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held: dict[asyncio.Timeout, int] = {}

    async def read(self, request: Request) -> bytes:
        """The whole body; refuses one that isn't JSON, is too large or too slow. A body that is too large is read to its end and
        discarded, so that a client that only reads after writing gets the answer."""
        limits, parts, size = self._limits, list[bytes](), 0
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise HTTPException(415, "send application/json")
        patience = asyncio.timeout(limits.read_seconds)
        try:
            async with patience:
                self._held[patience] = 0
                async for part in request.stream():
                    size += len(part)
                    if size <= limits.body_bytes:
                        parts.append(part)
                        self._held[patience] = size
                    while sum(self._held.values()) > limits.bodies:
                        self.hurry(0)
        except ClientDisconnect:
            raise HTTPException(400, "hung up before the request was whole") from None
        except TimeoutError:
            if size <= limits.body_bytes:
                problem = f"the request wasn't whole after {limits.read_seconds:g} seconds, or it held up others"
                raise HTTPException(408, problem, {"connection": "close"}) from None
        finally:
            self._held.pop(patience, None)
        if size > limits.body_bytes:
            problem = f"a request has at most {limits.body_bytes:,} bytes; send several"
            raise HTTPException(413, problem, {"connection": "close"})
        return b"".join(parts)

    def hurry(self, seconds: float) -> bool:
        """Stop waiting for the oldest body if it has been arriving for long enough; whether that was so."""
        now, oldest = asyncio.get_running_loop().time(), next(iter(self._held), None)
        if oldest is None or now - ((oldest.when() or now) - self._limits.read_seconds) < seconds:
            return False
        del self._held[oldest]
        oldest.reschedule(now)
        return True


async def _answers(request: Request, future: Future[list[Answer]]) -> list[Answer]:
    """The batcher's answers, as long as the client waits for them."""
    answering, gone = asyncio.wrap_future(future), asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait((answering, gone), return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            raise HTTPException(400, "hung up before the answer")
        return answering.result()
    finally:
        answering.cancel()
        gone.cancel()


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class _Addressed:
    """Passes on requests that are addressed to this server and have one reading.

    If another site's name points to this machine, a browser sends that name as Host, and the request is refused.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])  # HTTP has one Host, which h11 checks
        host, target = headers.get(b"host"), scope["raw_path"]
        if absolute := re.fullmatch(
            rb"(?i)https?://([^/?#]*)(/.*)?", target
        ):  # the form for proxies, which takes precedence over Host
            host, path = absolute[1], absolute[2] or b"/"
            scope = {**scope, "raw_path": path, "path": unquote(path.decode("ascii"))}
        refusal = None
        if b"content-length" in headers and b"transfer-encoding" in headers:
            refusal = 400, "has Content-Length beside Transfer-Encoding; send one of them"
        elif host is not None and not self._known(host.decode("latin-1")):
            refusal = 421, "isn't meant for this server by its Host; start it with --allow-host NAME to answer to it"
        if refusal:
            status, problem = refusal
            response = JSONResponse({"error": problem}, status, {"connection": "close"})
            return await response(scope, receive, send)
        return await self.app(scope, receive, send)

    def _known(self, host: str) -> bool:
        parted = re.fullmatch(r"(?:\[([0-9a-f:.]+)\]|([^:\[\]/@\s]+))(?::\d*)?", host.lower())
        if not parted:
            return False
        name = (parted[1] or parted[2]).rstrip(".")
        return self.hosts is None or name in self.hosts or name == "localhost" or _loopback(name)


def _loopback(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name.endswith(".localhost")


def application(batcher: Batcher, *, model: str, hosts: Collection[str] | None = ()) -> ASGIApp:
    """The ASGI application over a batcher, for clients that call it by a name of this machine or one of ``hosts``, or by any."""
    limits = batcher.limits
    document = openapi(limits, batcher.reader.tagger.task)
    page, policy = _page()
    bodies, reading = _Bodies(limits), 0

    async def predict(request: Request) -> Response:
        nonlocal reading
        if reading >= limits.requests and not bodies.hurry(1):
            raise _busy()
        reading += 1
        try:
            texts, keys, many = _asked(await bodies.read(request), limits)
            answers = await _answers(request, batcher.ask(texts))
        except Busy:
            raise _busy() from None
        except Failed as error:
            raise HTTPException(500, str(error)) from None
        finally:
            reading -= 1
        told = [{**own, **answer} for own, answer in zip(keys, answers, strict=True)]
        return Response(to_json(told if many else told[0]), media_type="application/json")

    async def health(_: Request) -> Response:
        told = {"status": "ok" if batcher.alive else "failed", "model": model, "precision": batcher.reader.precision}
        return JSONResponse({**told, "version": __version__}, 200 if batcher.alive else 503)

    async def metrics(_: Request) -> Response:
        counted = {name: getattr(batcher, name) for name in ("batches", "texts", "words", "entities")}
        out = [line for k, v in counted.items() for line in (f"# TYPE dinku_{k}_total counter", f"dinku_{k}_total {v}")]
        out += ["# TYPE dinku_waiting_characters gauge", f"dinku_waiting_characters {batcher.waiting}"]
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
    metered = _Metered(_Addressed(app, hosts))
    return metered


def _asked(body: bytes, limits: Limits) -> tuple[list[str], list[dict[str, Any]], bool]:
    """The texts of a request, the other keys of each, and whether the request was a list."""
    try:
        given = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise HTTPException(400, f"isn't JSON ({error})") from None
    many = isinstance(given, list)
    if many and len(given) > limits.texts:
        raise HTTPException(422, f"a request has at most {limits.texts} texts, this one {len(given):,}; send several")
    keys: list[dict[str, Any]] = [
        one if isinstance(one, dict) else {"text": one} for one in (given if many else [given])
    ]
    for number, one in enumerate(keys, 1):
        if not isinstance(one.get("text"), str):
            problem = f"its text is {brief(one['text'])}" if "text" in one else "it has no text"
            place = f"request: item {number}" if many else "request"
            raise HTTPException(422, f'{place}: {problem}; give {{"text": "…"}}, or a list of such, or of texts')
    texts = [one["text"] for one in keys]
    if (characters := sum(map(len, texts))) > limits.characters:
        problem = f"a request has at most {limits.characters:,} characters, this one {characters:,}; send several"
        raise HTTPException(422, problem)
    return texts, keys, many


def _busy() -> HTTPException:
    return HTTPException(503, "too much is waiting; try again in a moment", {"retry-after": "1"})


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _failed(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": "the tagger failed on this; the server's log says how"}, 500)


def _page() -> tuple[str, str]:
    """The page, and a content security policy by which only its own script and style run."""
    page = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
    hashes = {}
    for kind in ("script", "style"):
        (inner,) = re.findall(rf"<{kind}>(.*?)</{kind}>", page, re.S)
        hashes[kind] = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
    allowed = " ".join(f"{kind}-src 'sha256-{value}';" for kind, value in hashes.items())
    rest = "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return page, f"default-src 'none'; {allowed} {rest}"


def serve(
    reader: Reader,
    *,
    model: str,
    host: str,
    port: int,
    said: Callable[[str], None],
    limits: Limits,
    allowed_hosts: Sequence[str] = (),
) -> None:
    """Serve until SIGTERM or SIGINT, then answer the accepted requests. ``said`` is called with the address. Port 0 is any free
    port.

    Clients may call it by this machine's names and by ``allowed_hosts``; if none are given and other machines can reach ``host``,
    by any name. Raises `DinkuError` if the model gives no tags, the address is taken, too few files may be open, or the thread
    that tags dies.
    """
    most = most_connections(limits)
    reader.tag([Line.typed("a")])  # so that a failing model fails here, and the first request is fast
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).partition(" (while")[0]
        problem = f"cannot listen on this address ({reason})"
        raise DinkuError(problem, where=f"{host}:{port}", remedy="name another --host or --port") from None
    batcher = Batcher(reader, limits)
    app = application(batcher, model=model, hosts=_names(host, listening, allowed_hosts))
    server = Server(app, listening, limits, most=most, alive=lambda: batcher.alive)
    once = OncePerKind()
    logs = [logging.getLogger(name) for name in ("dinku.serving.http", "uvicorn.error", "asyncio")]
    for log in logs:
        log.addFilter(once)

    def stop(*_: object) -> None:
        server.should_exit = True

    # For signals before uvicorn handles them, and for the one that uvicorn raises again at the end: being stopped isn't a
    # failure.
    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    shown = f"[{host}]" if ":" in host else host
    said(f"http://{shown}:{listening.getsockname()[1]}/")
    try:
        server.run()
    finally:
        died = not batcher.alive
        batcher.close()
        for number, handler in before.items():
            signal.signal(number, handler)
        for log in logs:
            log.removeFilter(once)
    if died:
        remedy = "the log says why; start it again"
        raise DinkuError("the thread that tags has died", where="serve", remedy=remedy, status=1)


def _names(host: str, listening: socket.socket, allowed: Sequence[str]) -> frozenset[str] | None:
    """The names by which clients may call it besides those of this machine; ``None`` if any name will do."""
    address = listening.getsockname()[0]
    if not allowed and not ip_address(address.partition("%")[0]).is_loopback:
        return None
    return frozenset(name.lower().strip("[]").rstrip(".") for name in (*allowed, host, address))
