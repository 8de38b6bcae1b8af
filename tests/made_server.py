"""What several test modules share."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from threading import Event

from made_http import LocalServer, running

BODY = bytes(range(256)) * 400


class Server(LocalServer):
    """Answers as its ``ways`` say, one for each request, and the last one ever after."""

    def __init__(self) -> None:
        super().__init__(Handler)
        self.ways: list[str] = ["whole"]
        self.body = BODY
        self.swallowed = 0
        self.slow = Event()  # set while it holds an answer back on purpose

    @property
    def url(self) -> str:
        return f"{self.address}/data/file"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "")
        self.server.asked.append(f"{self.path} {asked}".strip())
        way = self.server.ways.pop(0) if len(self.server.ways) > 1 else self.server.ways[0]
        body, start = self.server.body, 0
        if way.isdigit():
            self.answer(int(way), b"no")
        elif way in ("loop", "away", "flood", "ftp"):
            self.send_response(302)
            self.send_header("Location", {"loop": "/loop", "ftp": "ftp://else/where"}.get(way, "/elsewhere"))
            self.end_headers()
            if way == "flood":
                self.flood()
        elif way == "slow head":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
            self.server.slow.set()
            self.trickle(b"x" * 200)
        elif asked and way == "range":  # what a server says whose file is shorter than the part
            self.answer(416, b"")
        else:
            if asked and not way.startswith(("no ranges", "wrong range")):
                start = int(asked.removeprefix("bytes=").removesuffix("-"))
            status = 206 if asked and not way.startswith("no ranges") else 200
            self.send_response(status)
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            if not way.endswith("no length"):
                self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            self.send(way, body[start:])

    def send(self, way: str, body: bytes) -> None:
        if way == "cut":
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        elif way == "trickle":
            self.trickle(body[:200])
        else:
            self.wfile.write(body)

    def trickle(self, body: bytes) -> None:
        for i in range(len(body)):
            self.wfile.write(body[i : i + 1])
            self.wfile.flush()
            time.sleep(0.02)

    def flood(self) -> None:
        """Send as long as somebody reads; ``swallowed`` is what they took."""
        block = b"x" * 65536
        while self.server.swallowed < 2**26:
            self.wfile.write(block)
            self.server.swallowed += len(block)

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle(self) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            super().handle()


@contextmanager
def serving() -> Iterator[Server]:
    with running(Server()) as server:
        yield server
