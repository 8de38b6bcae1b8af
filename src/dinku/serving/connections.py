"""Connections of clients that may be slow, silent or many: uvicorn and h11, with limits on time and number.

uvicorn waits without limit for a connection's request to begin, and accepts connections until file descriptors run out; asyncio
then logs over a thousand failures to accept a second. Here, a connection without a timely request is closed. At the limit of
connections, the one that has kept the server waiting longest is closed for a new one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from dinku.errors import DinkuError
from dinku.serving.batcher import Limits

_SPARE = 32  # descriptors kept for files
_log = logging.getLogger("dinku.serving.http")


class Connection(H11Protocol):
    """A connection that knows since when it has been waiting for its client."""

    since = 0.0  # it was made, or its last request was answered
    stuck: float | None = None  # since when its client hasn't read what was sent

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.since = self.loop.time()

    def on_response_complete(self) -> None:
        self.since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.stuck = self.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.stuck = None

    @property
    def without_request(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    @property
    def waits(self) -> bool:
        """Whether the server waits for the client to begin a request, to send the rest of it, or to read an answer."""
        return self.without_request or self.cycle.more_body or self.stuck is not None

    def check(self, limits: Limits) -> None:
        """Close the connection if its client has taken too long; the application limits the time of a body itself."""
        now = self.loop.time()
        if self.stuck is not None:
            if now - self.stuck > limits.answer_seconds:
                self.transport.abort()
        elif self.without_request and now - self.since > limits.head_seconds:
            if self.transport.is_closing():
                self.transport.abort()
            elif self.conn.our_state is h11.IDLE and self.conn.trailing_data[0]:
                self.since = now  # for the client to read the answer
                self.refuse(408, f"the request wasn't begun within {limits.head_seconds:g} seconds")
            else:
                self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """uvicorn calls this if a request isn't HTTP."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.refuse(400, "this isn't an HTTP request")
        else:
            self.transport.close()

    def refuse(self, status: int, problem: str) -> None:
        """Answer in place of the application, and close the connection."""
        body = json.dumps({"error": problem}).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        response = h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase)
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class Server(uvicorn.Server):
    """uvicorn's server on one listening socket, with at most ``most`` connections at once.

    It stops on a signal, or when ``alive`` returns false.
    """

    def __init__(
        self, app: Any, listening: socket.socket, limits: Limits, *, most: int, alive: Callable[[], bool]
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=limits.stop_seconds,
            )
        )
        self._listening, self._limits, self._most, self._alive = listening, limits, most, alive
        self._listening.setblocking(False)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(_unexpected)
        await super().startup(sockets=[])
        self._accepting = asyncio.create_task(self._accept())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._accepting.cancel()
        await asyncio.wait((self._accepting,))
        self._listening.close()
        checking = asyncio.create_task(self._check_on())
        try:
            await super().shutdown(sockets=[])
        finally:
            checking.cancel()

    async def on_tick(self, counter: int) -> bool:
        self._check()
        self.should_exit |= not self._alive()
        return await super().on_tick(counter)

    async def _check_on(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            self._check()

    def _check(self) -> None:
        for connection in self._connections():
            connection.check(self._limits)

    def _connections(self) -> list[Connection]:
        return [each for each in self.server_state.connections if isinstance(each, Connection)]

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                taken, _ = self._listening.accept()
            except BlockingIOError:
                await self._readable()
                continue
            except OSError as error:  # no descriptor is left, or the client is already gone
                _log.error("can't accept a connection (%s)", error.strerror)
                await asyncio.sleep(0.1)
                continue
            while len(self.server_state.connections) >= self._most:
                waiting = [each for each in self._connections() if each.waits and not each.transport.is_closing()]
                if waiting:
                    min(waiting, key=lambda each: each.since).transport.abort()
                await asyncio.sleep(0 if waiting else 0.02)
            await loop.connect_accepted_socket(self._connection, taken)

    async def _readable(self) -> None:
        """Wait until a client connects. (``loop.sock_accept`` fails if it is cancelled at that moment.)"""
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._listening, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._listening)

    def _connection(self) -> Connection:
        return Connection(config=self.config, server_state=self.server_state, app_state={})


def most_connections(limits: Limits) -> int:
    """The number of connections that the file descriptors left to this process allow.

    Raises `DinkuError` if that is close to none.
    """
    if sys.platform == "win32":  # which has no limit on descriptors
        return limits.connections
    import resource

    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return limits.connections
    used = len(os.listdir("/dev/fd"))
    most = min(limits.connections, allowed - used - _SPARE)
    if most < 8:
        problem = f"only {allowed} files may be open at once, and {used} are"
        raise DinkuError(problem, where="serve", remedy=f"allow more (ulimit -n {used + _SPARE + 100})", status=1)
    return most


def _unexpected(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """asyncio's report without the objects that it concerns, which differ each time, so that `OncePerKind` recognizes repeats."""
    _log.error(str(context["message"]).partition(" <")[0], exc_info=context.get("exception"))


class OncePerKind(logging.Filter):
    """Lets one message of each kind pass every ``seconds`` with the number of repeats left out, so that clients can't fill a
    log."""

    def __init__(self, seconds: float = 60.0) -> None:
        super().__init__()
        self._seconds = seconds
        self._last: dict[tuple[str, str, str], float] = {}
        self._left_out: Counter[tuple[str, str, str]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
        kind = (record.name, str(record.msg), error)
        now = time.monotonic()
        if now - self._last.get(kind, -self._seconds) < self._seconds:
            self._left_out[kind] += 1
            return False
        self._last[kind] = now
        if more := self._left_out.pop(kind, 0):
            record.msg = f"{record.msg} (and {more:,} times since this was last said)"
        return True
