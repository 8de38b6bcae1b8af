"""The server as its clients meet it: over real sockets, with a bundle, and its page in a real browser."""

from __future__ import annotations

import base64
import errno
import http.client
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import Browser

from dinku.data.task import NER
from dinku.errors import DinkuError
from dinku.model.bundle import Bundle, summed
from dinku.model.encode import SubwordEncoder, SubwordWindow
from dinku.model.windows import Logits
from dinku.serving import reader
from dinku.serving.batcher import TOGETHER, Batcher, Busy, Limits
from dinku.serving.connections import OncePerKind, Server
from dinku.serving.http import application, serve
from dinku.serving.lines import Line
from dinku.serving.openapi import openapi
from dinku.serving.reader import Reader
from dinku.testing import tiny_tagger

JSON = {"content-type": "application/json"}
USUAL = Limits()
Answered = tuple[int, dict[str, str], bytes]


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Callable[..., Path]) -> Path:
    return tiny_bundle()


@pytest.fixture(scope="module", params=["onnxruntime", "openvino"])
def both(request: pytest.FixtureRequest, tiny_bundle: Callable[..., Path]) -> Path:
    pytest.importorskip(request.param)
    return tiny_bundle(request.param)


def ask(
    port: int, method: str = "POST", path: str = "/predict", body: Any = None, headers: dict[str, str] = JSON
) -> Answered:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(method, path, data, headers)
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
    finally:
        connection.close()


@contextmanager
def served(
    tagger: Any, limits: Limits = USUAL, *, most: int = 100, listening: socket.socket | None = None
) -> Iterator[tuple[int, Batcher]]:
    """A server in a thread of this process."""
    batcher = Batcher(tagger, limits)
    listening = listening or socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    app = application(batcher, model="tiny", hosts={"known.example"})
    server = Server(app, listening, limits, most=most, alive=lambda: batcher.alive)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield port, batcher
    finally:
        server.should_exit = True
        thread.join()
        batcher.close()


@pytest.fixture(scope="module")
def port(bundle: Path) -> Iterator[int]:
    with served(reader.open(str(bundle), threads=1)) as (port, _):
        yield port


@contextmanager
def process(bundle: Path, before: str = "", options: Sequence[str] = ()) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """``dinku serve`` in a process of its own, on a port that is free."""
    dinku = [sys.executable, "-c", "from dinku.cli.app import main; main()", "serve", str(bundle), "--port", "0"]
    command = ["bash", "-c", f'{before} exec "$@"', "bash", *dinku, "--threads", "1", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stderr
            told = serving.stderr.readline()
            found = re.search(r" at http://[\d.]+:(\d+)/", told)
            assert found, told + serving.stderr.read()
            yield serving, int(found[1])
        finally:
            serving.kill()


TEXTS = [
    "Badeo Adeba ki",
    "",
    "  Kiland\tmuna ",
    "Ẹ̀kọ́ Adeba \U0001f600 Badeo",
    "\x00\x07\x1b[31m Adeba\u202e",
    "ba " * 10_000,
]


def test_answers_are_those_of_predict(port: int, bundle: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from dinku.cli.app import main; main()",
        "predict",
        str(bundle),
        "--format",
        "jsonl",
    ]
    given = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS)
    predicted = subprocess.run([*command, "--jsonl"], input=given, capture_output=True, text=True, check=True)
    wanted = [json.loads(line) for line in predicted.stdout.splitlines()]
    status, headers, body = ask(port, body=[{"text": text} for text in TEXTS])
    answers = json.loads(body)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert [answer["text"] for answer in answers] == TEXTS
    assert sum(len(answer["entities"]) for answer in wanted) > 0
    for answer, one in zip(answers, wanted, strict=True):
        assert answer.keys() == one.keys()
        for found, entity in zip(answer["entities"], one["entities"], strict=True):
            assert found == entity | {"score": pytest.approx(entity["score"], abs=1e-5)}
            assert answer["text"][found["start"] : found["end"]] == found["text"]
    assert json.loads(ask(port, body={"text": ""})[2]) == {"text": "", "entities": []}
    assert json.loads(ask(port, body=TEXTS)[2]) == answers
    assert json.loads(ask(port, body=TEXTS[0])[2]) == answers[0]
    assert json.loads(ask(port, body=[])[2]) == []


WRONG: list[tuple[str, dict[str, Any], int, str]] = [
    ("no JSON", {"body": b'{"text": '}, 400, "isn't JSON (EOF while parsing a value at line 1 column 9)"),
    ("no body", {"body": b""}, 400, "isn't JSON (EOF while"),
    ("not UTF-8", {"body": b'{"text": "\xff"}'}, 400, "isn't JSON"),
    ("half a surrogate pair", {"body": b'{"text": "\\ud800"}'}, 400, "isn't JSON (unexpected end of hex escape"),
    ("the other half", {"body": b'{"text": "\\udc00 a"}'}, 400, "isn't JSON (lone"),
    ("not a number", {"body": b'{"text": NaN}'}, 400, "isn't JSON"),
    ("far too deep", {"body": b"[" * 100_000}, 400, "isn't JSON (recursion limit"),
    ("no text", {"body": {}}, 422, 'request: it has no text; give {"text": "…"}, or a list of such, or of texts'),
    ("no string", {"body": [{"text": "a"}, {"text": 3}]}, 422, "request: item 2: its text is 3; give"),
    ("texts in it", {"body": {"text": ["a", "b"]}}, 422, "request: its text is ['a', 'b']; give"),
    ("no object", {"body": ["a", 7]}, 422, "request: item 2: its text is 7; give"),
    ("too many", {"body": [{"text": "a"}] * 300}, 422, "at most 256 texts, this one 300; send several"),
    ("too long", {"body": {"text": "a" * 100_001}}, 422, "at most 100,000 characters, this one 100,001"),
    ("50 MB", {"body": b" " * 50_000_000}, 413, "a request has at most 1,048,576 bytes; send several"),
    ("plain text", {"body": b"a", "headers": {"content-type": "text/plain"}}, 415, "send application/json"),
    ("no type", {"body": b"a", "headers": {}}, 415, "send application/json"),
    ("another method", {"method": "GET"}, 405, "Method Not Allowed"),
    ("another method", {"method": "DELETE", "path": "/"}, 405, "Method Not Allowed"),
    ("another path", {"path": "/predict/"}, 404, "Not Found"),
    ("a name elsewhere", {"headers": JSON | {"host": "evil.example"}}, 421, "isn't meant for this server by its Host"),
    ("no name", {"headers": JSON | {"host": "[::1"}}, 421, "isn't meant for this server by its Host"),
    ("a target elsewhere", {"path": "http://evil.example/predict"}, 421, "isn't meant for this server"),
    (
        "two lengths",
        {"body": b"0\r\n\r\n", "headers": JSON | {"transfer-encoding": "chunked", "content-length": "5"}},
        400,
        "Content-Length beside",
    ),
    ("a path outside", {"path": "/../../etc/passwd", "method": "GET"}, 404, "Not Found"),
]


@pytest.mark.parametrize(("request_", "status", "said"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_a_wrong_request_has_its_status_and_one_line(
    port: int, request_: dict[str, Any], status: int, said: str
) -> None:
    found, headers, body = ask(port, **request_)
    assert (found, headers["content-type"]) == (status, "application/json")
    refused = json.loads(body)
    assert list(refused) == ["error"]
    assert said in refused["error"]
    assert "\n" not in refused["error"]
    assert status != 405 or headers["allow"]
    assert ask(port, body={"text": "a"})[0] == 200


def test_a_body_that_does_not_come_is_not_waited_for(bundle: Path) -> None:
    with (
        served(reader.open(str(bundle), threads=1), Limits(read_seconds=0.2)) as (port, _),
        socket.create_connection(("127.0.0.1", port), timeout=20) as client,
    ):
        client.sendall(
            b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"
        )
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"wasn't whole after 0.2 seconds" in answer


def test_who_hangs_up_costs_nothing(port: int, caplog: pytest.LogCaptureFixture) -> None:
    before = counted(port).get('dinku_requests_total{status="400"}', 0)
    head = b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(head)
    until(lambda: counted(port).get('dinku_requests_total{status="400"}', 0) == before + 1)
    with socket.create_connection(("127.0.0.1", port)) as client:  # before its answer
        client.sendall(head.replace(b": 9", b": 15") + b'"text": "ba"}\n')
    assert ask(port, body={"text": "a"})[0] == 200
    until(lambda: counted(port)["dinku_open_requests"] == 0)
    assert [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []


class Held:
    """A reader that answers when it is let, notes how many windows it is given at once, and falls over where it is poisoned."""

    precision = "fp32"

    def __init__(self, opened: Reader) -> None:
        self.inner, self.tagger, self.sizes = opened.tagger, self, list[int]()
        self.tags, self.encoder = self.inner.tags, self.inner.encoder
        self.legal_tags = self.inner.legal_tags
        self.task = self.inner.task
        self.begun, self.go = threading.Event(), threading.Event()
        self.poison = {int(i) for i in self.encoder.windows([["poison"]])[0].ids} - {
            int(i) for i in self.encoder.windows([["a"]])[0].ids
        }

    def answered(self, windows: Sequence[SubwordWindow]) -> Iterator[tuple[SubwordWindow, Logits]]:
        self.begun.set()
        assert self.go.wait(60)
        self.sizes.append(len(windows))
        if any(self.poison <= set(window.ids.tolist()) for window in windows):
            raise RuntimeError("the engine fell over")
        return self.inner.answered(windows)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_clients_are_batched_and_too_many_are_sent_away(bundle: Path) -> None:
    held = Held(reader.open(str(bundle), threads=1))
    with served(held, Limits(waiting=60)) as (port, batcher), ThreadPoolExecutor(12) as pool:
        first = pool.submit(ask, port, body={"text": "Ade"})
        assert held.begun.wait(60)
        others = [pool.submit(ask, port, body={"text": f"Badeo {n} ki"}) for n in range(5)]
        until(lambda: batcher.waiting == 4 + 5 * 11)
        status, headers, body = ask(port, body={"text": "one more"})
        assert (status, headers["retry-after"]) == (503, "1")
        assert json.loads(body) == {"error": "too much is waiting; try again in a moment"}
        held.go.set()
        assert {f.result()[0] for f in (first, *others)} == {200}
        assert held.sizes == [1, 5]


def test_other_keys_go_with_the_answer_as_predict_keeps_them(port: int, bundle: Path) -> None:
    asked = [{"id": 7, "text": "Badeo Adeba", "entities": "old", "n": 10**30}, {"text": "ki", "wörds": [1.5, None]}]
    command = [
        sys.executable,
        "-c",
        "from dinku.cli.app import main; main()",
        "predict",
        str(bundle),
        "--format",
        "jsonl",
    ]
    given = "".join(json.dumps(one) + "\n" for one in asked)
    predicted = subprocess.run([*command, "--jsonl"], input=given, capture_output=True, text=True, check=True)
    answers = json.loads(ask(port, body=asked)[2])
    for answer, line in zip(answers, predicted.stdout.splitlines(), strict=True):
        one = json.loads(line)
        assert list(answer) == list(one)
        assert {**answer, "entities": len(answer["entities"])} == {**one, "entities": len(one["entities"])}
    assert (answers[0]["id"], answers[0]["n"], answers[1]["wörds"]) == (7, 10**30, [1.5, None])


LONG = "Badeo Adeba lo ba Kiland muna ki " * 300  # hundreds of windows of a tiny model


def test_long_texts_take_turns_with_short_ones(bundle: Path) -> None:
    opened = reader.open(str(bundle), threads=1)
    held = Held(opened)
    batcher = Batcher(held, Limits())  # type: ignore[arg-type]
    ends: list[tuple[str, int]] = []
    answers: dict[str, Any] = {}
    asked = {"long": [LONG], "another": [LONG + "Badeo"], "many": ["Ade lo"] * 250, "short": ["Badeo"], "last": ["ki"]}
    for name, texts in asked.items():
        answers[name] = batcher.ask(texts)
        answers[name].add_done_callback(lambda _, name=name: ends.append((name, len(held.sizes))))
        assert held.begun.wait(60)  # in the first turn there is the first alone
    assert batcher.waiting == sum(len(text) + 1 for texts in asked.values() for text in texts)
    held.go.set()
    batcher.close()
    assert {name for name, _ in ends[:2]} == {"short", "last"}
    assert max(turn for _, turn in ends[:2]) <= 3
    assert [name for name, _ in ends[2:]] == ["many", "long", "another"]
    assert max(held.sizes) <= TOGETHER[0]
    for name in ("long", "another"):
        (answer,) = answers[name].result()
        wanted = opened.find(asked[name][0])
        assert len(wanted) > 300
        assert [e | {"score": 0} for e in answer["entities"]] == [e | {"score": 0} for e in wanted]
    assert batcher.waiting == 0
    with pytest.raises(Busy):
        batcher.ask(["a"])


def test_a_long_text_ends_while_short_ones_never_do(bundle: Path) -> None:
    held = Held(reader.open(str(bundle), threads=1))
    batcher = Batcher(held, Limits())  # type: ignore[arg-type]
    long = batcher.ask([LONG])
    short = 0

    def again(_: object = None) -> None:
        nonlocal short
        short += 1
        if not long.done() and short < 100_000:
            batcher.ask(["Ade lo ba " * 4] * 60).add_done_callback(again)  # which would fill every turn

    again()
    again()
    held.go.set()
    assert long.result(timeout=60)
    assert short < 100_000
    batcher.close()


def test_requests_for_long_texts_leave_room_for_short_ones(bundle: Path) -> None:
    held = Held(reader.open(str(bundle), threads=1))
    batcher = Batcher(held, Limits(waiting=100, long=20, waiting_long=60))  # type: ignore[arg-type]
    first = batcher.ask(["ba " * 10])
    with pytest.raises(Busy):
        batcher.ask(["ba " * 10])
    others = [batcher.ask(["Badeo"]) for _ in range(11)]
    with pytest.raises(Busy):
        batcher.ask(["Badeo"])
    held.go.set()
    assert all(each.result(timeout=60) for each in (first, *others))
    batcher.close()


def test_what_nobody_waits_for_is_not_computed(bundle: Path) -> None:
    held = Held(reader.open(str(bundle), threads=1))
    with served(held) as (port, batcher), ThreadPoolExecutor(1) as pool:
        body = json.dumps({"text": LONG}).encode()
        head = "POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        head += f"content-length: {len(body)}\r\n\r\n"
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(head.encode() + body)
                until(lambda: batcher.waiting == len(LONG) + 1)
            until(lambda: batcher.waiting == 0)
        short = pool.submit(ask, port, body={"text": "Badeo"})
        until(lambda: batcher.waiting == 6)
        held.go.set()
        assert short.result()[0] == 200
    assert len(held.sizes) == 2  # the turn in which the first was when it hung up, and that of the short text


def test_eight_clients_get_their_own_answers_from_either_engine(both: Path) -> None:
    opened = reader.open(str(both), threads=1)
    names = ["Badeo", "Adeba", "Kiland", "muna", "lo", "Ade", "Muland", "wa"]
    texts = [
        [f"{names[n]} {' '.join(names[(n + i) % 8] for i in range(turn))}" for turn in range(12)] for n in range(8)
    ]
    with served(opened) as (port, _), ThreadPoolExecutor(8) as pool:
        got = pool.map(lambda mine: [json.loads(ask(port, body={"text": text})[2]) for text in mine], texts)
        answers = [answer for one in got for answer in one]
    assert [answer["text"] for answer in answers] == [text for mine in texts for text in mine]
    assert len({json.dumps(answer["entities"]) for answer in answers}) > 40
    for answer in answers:
        wanted = opened.find(answer["text"])
        assert [e | {"score": 0} for e in answer["entities"]] == [e | {"score": 0} for e in wanted]


def test_one_text_that_fails_costs_no_other(bundle: Path) -> None:
    held = Held(reader.open(str(bundle), threads=1))
    with served(held) as (port, batcher), ThreadPoolExecutor(4) as pool:
        good = [pool.submit(ask, port, body={"text": f"Ade {n}"}) for n in range(3)]
        bad = pool.submit(ask, port, body=[{"text": "Ade"}, {"text": "poison"}, {"text": "lo"}])
        until(lambda: batcher.texts == 0 and b"open_requests 4" in ask(port, "GET", "/metrics")[2])
        held.go.set()
        assert {f.result()[0] for f in good} == {200}
        status, _, body = bad.result()
        assert (status, list(json.loads(body))) == (500, ["error"])
        assert ask(port, "GET", "/health")[0] == 200
        assert batcher.waiting == 0


def test_health_metrics_and_the_document(port: int) -> None:
    status, _, body = ask(port, "GET", "/health")
    assert (status, json.loads(body)["status"], json.loads(body)["precision"]) == (200, "ok", "fp32")
    before = counted(port)
    ask(port, body=[{"text": "Badeo Adeba"}, {"text": "ki"}])
    ask(port, body=b"")
    after = counted(port)
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown["dinku_texts_total"] == 2
    assert grown["dinku_words_total"] == 3
    assert grown["dinku_batches_total"] == 1
    assert grown['dinku_requests_total{status="400"}'] == 1
    assert after["dinku_request_seconds_count"] == after['dinku_request_seconds_bucket{le="+Inf"}']
    document = json.loads(ask(port, "GET", "/openapi.json")[2])
    assert document == openapi(Limits())
    refs = {value for value in walked(document) if isinstance(value, str) and value.startswith("#/")}
    assert (
        {ref.rpartition("/")[2] for ref in refs}
        == {"Asked", "Found", "Entity", "Refused"}
        == set(document["components"]["schemas"])
    )
    for path, (method,) in document["paths"].items():
        assert ask(port, method.upper(), path)[0] not in (404, 405)
    told = {str(status) for _, _, status, _ in WRONG} - {"404", "405"}
    assert told < set(document["paths"]["/predict"]["post"]["responses"])


def counted(port: int) -> dict[str, float]:
    lines = ask(port, "GET", "/metrics")[2].decode().splitlines()
    return {k: float(v) for k, _, v in (line.rpartition(" ") for line in lines if not line.startswith("#"))}


def walked(value: Any) -> Iterator[Any]:
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walked(inner)


def test_fifty_clients_get_their_own_answers(port: int, bundle: Path) -> None:
    opened = Bundle.open(str(bundle), threads=1)
    names = ["Badeo", "Adeba", "Kiland", "muna", "lo", "wa"]

    def client(number: int) -> list[tuple[str, dict[str, Any]]]:
        got = []
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        for turn in range(4):
            texts = [f"{names[(number + turn + i) % 6]} {number}.{turn}.{i} {names[i]}" for i in range(1 + number % 3)]
            body = [{"text": text} for text in texts] if number % 2 else {"text": texts[0]}
            connection.request("POST", "/predict", json.dumps(body), JSON)
            response = connection.getresponse()
            answers = json.loads(response.read())
            assert response.status == 200
            got += list(zip(texts, answers if number % 2 else [answers], strict=False))
            assert len(answers) == len(texts) if number % 2 else answers["text"] == texts[0]
        connection.close()
        return got

    with ThreadPoolExecutor(50) as pool:
        got = [pair for pairs in pool.map(client, range(50)) for pair in pairs]
    assert len(got) == sum((1 + n % 3 if n % 2 else 1) * 4 for n in range(50))
    lines = [Line.typed(text) for text, _ in got]
    for line, found, (text, answer) in zip(lines, opened.tag([x.sentence for x in lines]), got, strict=True):
        wanted = line.answer(found)
        assert answer["text"] == text
        assert [e | {"score": 0} for e in answer["entities"]] == [e | {"score": 0} for e in wanted["entities"]]


def half_a_head(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=60)
    client.sendall(b"GET /health HTTP/1.1\r\nhost: localh")
    return client


def test_a_head_that_does_not_come_is_not_waited_for(bundle: Path) -> None:
    with served(reader.open(str(bundle), threads=1), Limits(head_seconds=0.3)) as (port, _):
        silent = socket.create_connection(("127.0.0.1", port), timeout=60)
        half = half_a_head(port)
        assert silent.recv(4096) == b""
        answer = b"".join(iter(lambda: half.recv(4096), b""))
        for client in (silent, half):
            client.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"error": "the request wasn't begun within 0.3 seconds"}


def test_what_is_no_http_is_told_as_json(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(b"hello\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"error": "this isn't an HTTP request"}


@pytest.mark.parametrize(
    "head",
    [
        "",
        "POST /predict HTTP/1.1\r\nhost: localhost\r\n"
        + "content-type: application/json\r\ncontent-length: 9\r\n\r\n{",
    ],
)
def test_who_keeps_it_waiting_makes_room_for_others(bundle: Path, head: str, caplog: pytest.LogCaptureFixture) -> None:
    with served(reader.open(str(bundle), threads=1), most=8) as (port, _):
        waiting = [half_a_head(port) for _ in range(30)]
        for client in waiting if head else ():
            with suppress(OSError):  # it has made room already
                client.sendall(head.encode())
        for n in range(5):
            assert ask(port, body={"text": f"Badeo {n}"})[0] == 200
        for client in waiting:
            client.close()
    assert [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []


def test_slow_bodies_make_room_for_others(bundle: Path) -> None:
    head = (
        b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9000\r\n\r\n"
    )
    with served(reader.open(str(bundle), threads=1), Limits(bodies=10_000)) as (port, _):
        clients = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(3)]
        for n, client in enumerate(clients):
            client.sendall(head + b" " * 4_000)  # too much for three
            until(lambda n=n: counted(port)["dinku_open_requests"] == min(n + 1, 2))  # type: ignore[misc]
        assert b"HTTP/1.1 408 " in clients[0].recv(4096)
        assert ask(port, body={"text": "Badeo"})[0] == 200
        for client in clients:
            client.close()


def test_more_connections_than_descriptors_stop_nobody(bundle: Path) -> None:
    with process(bundle, "ulimit -n 96;") as (serving, port):
        waiting = [half_a_head(port) for _ in range(300)]
        for n in range(5):
            assert ask(port, "GET", "/health")[0] == 200
            assert ask(port, body={"text": f"Badeo {n}"})[0] == 200
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(timeout=60) == 0
        assert serving.stderr
        assert serving.stderr.read() == ""
        for client in waiting:
            client.close()


def test_too_few_descriptors_are_told(bundle: Path) -> None:
    command = f"ulimit -n 32; exec {sys.executable} -c 'from dinku.cli.app import main; main()' serve {bundle} --port 0"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert re.fullmatch(
        r"dinku: serve: only 32 files may be open at once, and \d+ are; allow more \(ulimit -n \d+\)\n", done.stderr
    )


def test_faults_of_one_kind_are_logged_once(bundle: Path) -> None:
    class Fails(socket.socket):
        def accept(self) -> Any:
            tries.append(1)
            if len(tries) < 4:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return super().accept()

    tries: list[int] = []
    said: list[str] = []
    once, log = OncePerKind(), logging.getLogger("dinku.serving.http")
    heard = logging.Handler()
    heard.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    log.addFilter(once)
    log.addHandler(heard)
    try:
        with Fails() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            with served(reader.open(str(bundle), threads=1), listening=listening) as (port, _):
                assert ask(port, "GET", "/health")[0] == 200
    finally:
        log.removeFilter(once)
        log.removeHandler(heard)
    assert said == ["can't accept a connection (Too many open files)"]
    late = OncePerKind(seconds=0.05)
    records = [logging.makeLogRecord({"name": "a", "msg": msg}) for msg in ("x %s", "x %s", "y", "x %s", "x %s")]
    assert [late.filter(record) for record in records[:4]] == [True, False, True, False]
    time.sleep(0.1)
    assert late.filter(records[4])
    assert records[4].msg == "x %s (and 2 times since this was last said)"


def test_a_name_that_is_allowed_and_a_target_in_full_are_answered(port: int) -> None:
    for name in (
        "localhost",
        "LOCALHOST.:80",
        "127.0.0.1",
        "127.9.9.9:1",
        "[::1]:8000",
        "known.example:1",
        "a.localhost",
    ):
        assert ask(port, body={"text": "a"}, headers=JSON | {"host": name})[0] == 200
    for name in ("known.example.evil", "10.0.0.1", "", "localhost@evil", "localhost:8000:1", "[::2]"):
        assert ask(port, body={"text": "a"}, headers=JSON | {"host": name})[0] == 421
    assert ask(port, "GET", f"http://localhost:{port}/health", headers={"host": "evil.example"})[0] == 200
    assert ask(port, "GET", "http://known.example/health?a=b")[0] == 200
    assert ask(port, "GET", "http://known.example")[0] == 200
    assert ask(port, "GET", "http://known.example/nothing")[0] == 404


@pytest.mark.parametrize(
    ("host", "allowed", "status"),
    [
        ("127.0.0.1", (), 421),
        ("127.0.0.1", ("Else.example",), 200),
        ("0.0.0.0", (), 200),
        ("0.0.0.0", ("known.example",), 421),
    ],
)
def test_who_may_ask_by_which_name(bundle: Path, host: str, allowed: tuple[str, ...], status: int) -> None:
    options = [option for name in allowed for option in ("--allow-host", name)]
    with process(bundle, options=["--host", host, *options]) as (_, port):
        assert ask(port, "GET", "/health", headers={"host": "else.example"})[0] == status
        assert ask(port, "GET", "/health")[0] == 200


@pytest.fixture
def panicking(bundle: Path, tmp_path: Path) -> Path:
    """A bundle whose tokenizer panics on everything but ASCII: its table of normal forms ends there."""
    folder = tmp_path / "panicking"
    shutil.copytree(bundle, folder)
    path, manifest = folder / "tokenizer.json", json.loads((folder / "bundle.json").read_text())
    table = base64.b64encode((512).to_bytes(4, "little") + bytes(513)).decode()
    told = json.loads(path.read_text()) | {"normalizer": {"type": "Precompiled", "precompiled_charsmap": table}}
    path.write_text(json.dumps(told))
    manifest["files"]["tokenizer.json"] = summed(path).model_dump()
    (folder / "bundle.json").write_text(json.dumps(manifest))
    return folder


def test_a_tokenizer_that_panics_costs_one_answer(panicking: Path) -> None:
    with served(reader.open(str(panicking), threads=1)) as (port, batcher):
        for _ in range(3):
            status, _, body = ask(port, body=["Ade", "Ẹ̀kọ́"])
            assert (status, json.loads(body)) == (
                500,
                {"error": "the tagger failed on this; the server's log says how"},
            )
            assert ask(port, body=["Ade", "lo"])[0] == 200
        assert ask(port, "GET", "/health")[0] == 200
        assert batcher.waiting == 0


def test_a_tokenizer_that_panics_ends_a_command_in_one_line_of_its_own(panicking: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from dinku.cli.app import main; main()",
        "predict",
        str(panicking),
        "--format",
        "jsonl",
    ]
    done = subprocess.run(command, input="Ẹ̀kọ́\n", capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]  # those before it are of the tokenizers library
    assert last.startswith("dinku: encode: the tokenizer breaks down (index out of bounds")
    assert last.endswith("; fetch the model again, or install another version of tokenizers")


def test_a_dead_worker_is_answered_for_and_ends_the_server(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_: object) -> None:
        raise SystemExit(3)

    monkeypatch.setattr(Batcher, "_turn", dies)
    got: list[Answered] = []
    thread: list[threading.Thread] = []

    def said(address: str) -> None:
        port = int(address.rstrip("/").rpartition(":")[2])
        thread.append(threading.Thread(target=lambda: got.append(ask(port, body={"text": "Ade"}))))
        thread[0].start()

    opened = reader.open(str(bundle), threads=1)
    with pytest.raises(DinkuError, match="serve: the thread that tags has died; the log says why") as raised:
        serve(opened, model="tiny", host="127.0.0.1", port=0, said=said, limits=Limits())
    thread[0].join()
    assert raised.value.status == 1
    assert [(status, json.loads(body)) for status, _, body in got] == [
        (500, {"error": "the server can't tag any more, and stops"})
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_in_mid_load_it_answers_what_it_accepted(bundle: Path, number: signal.Signals) -> None:
    with process(bundle) as (serving, port):
        assert serving.stderr
        stopping, begun = threading.Event(), threading.Semaphore(0)
        partial: list[str] = []
        whole: list[int] = []

        def client(n: int) -> None:
            while True:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                try:
                    connection.connect()
                    body = json.dumps([{"text": f"Badeo {n} Adeba " * 20}] * 4)
                    connection.request("POST", "/predict", body, JSON)
                    response = connection.getresponse()  # its first byte is a promise
                except (OSError, http.client.HTTPException):
                    connection.close()
                    if stopping.is_set():
                        return
                    raise
                try:
                    answers = json.loads(response.read())
                    assert [a["text"] for a in answers] == [f"Badeo {n} Adeba " * 20] * 4
                    whole.append(n)
                    begun.release()
                except Exception as error:
                    partial.append(repr(error))
                finally:
                    connection.close()

        with ThreadPoolExecutor(20) as pool:
            running = [pool.submit(client, n) for n in range(20)]
            for _ in range(40):
                assert begun.acquire(timeout=60)
            # One whose body is on its way when the signal comes: it is accepted, and has its answer.
            late = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            late.putrequest("POST", "/predict")
            body = json.dumps({"text": "Kiland"}).encode()
            for name, value in (*JSON.items(), ("content-length", str(len(body)))):
                late.putheader(name, value)
            late.endheaders(body[:5])
            until(lambda: counted(port)["dinku_open_requests"] >= 1)
            time.sleep(0.2)
            stopping.set()
            serving.send_signal(number)
            until(lambda: refused(port))
            late.send(body[5:])
            assert json.loads(late.getresponse().read())["text"] == "Kiland"
            late.close()
            for each in running:
                each.result(timeout=60)
        assert partial == []
        assert len(whole) >= 40
        assert serving.wait(timeout=60) == 0
        assert serving.stderr.read() == ""


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionError:
        return True
    return False


def test_an_address_that_is_taken_is_told(bundle: Path) -> None:
    command = [sys.executable, "-c", "from dinku.cli.app import main; main()", "serve", str(bundle)]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        there = str(taken.getsockname()[1])
        done = subprocess.run([*command, "--port", there], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == (
        f"dinku: 127.0.0.1:{there}: cannot listen on this address (Address already in use); name another --host or --port\n"
    )


CTRL, ENTER = 2, {"windowsVirtualKeyCode": 13}


class Certain:
    """A reader that finds a person in every second word."""

    precision = "fp32"
    legal_tags = False
    task = NER
    tags = ("O", "B-PER")

    def __init__(self, encoder: SubwordEncoder) -> None:
        self.encoder, self.tagger = encoder, self

    def answered(self, windows: Sequence[SubwordWindow]) -> Iterator[tuple[SubwordWindow, Logits]]:
        for window in windows:
            person = (window.words == 1).astype(np.float32)
            yield window, np.stack([1 - person, person], axis=1)


def test_the_page_in_a_browser(browser: Browser) -> None:
    with served(Certain(tiny_tagger().encoder)) as (port, _):
        browser.call("Emulation.setDeviceMetricsOverride", width=360, height=640, deviceScaleFactor=2, mobile=True)
        address = f"http://127.0.0.1:{port}/"
        browser.call("Page.navigate", url=address)
        until(lambda: browser.js("document.readyState === 'complete' && !!window.find && location.port != ''"))

        # By keyboard alone: the field has the focus, Ctrl+Enter asks, Tab leads to the button, Enter presses it.
        assert browser.js("document.activeElement.id") == "text"
        browser.call("Input.insertText", text="\U0001f600 Àdébáyọ̀ <img src=x onerror=alert(1)>\n\n<b>two words")
        browser.key("Enter", CTRL, **ENTER)
        until(lambda: browser.js("said.textContent") == "2 entities")
        assert browser.js("[...found.children].map(p => p.textContent)") == [
            "\U0001f600 Àdébáyọ̀PER <img src=x onerror=alert(1)>",
            "<bPER>two words",
        ]
        assert browser.js(
            "[...document.querySelectorAll('mark')].map(m => [m.firstChild.data, m.lastChild.textContent])"
        ) == [
            ["Àdébáyọ̀", "PER"],
            ["b", "PER"],
        ]
        assert browser.js("found.querySelectorAll(':not(p, mark, mark > b)').length") == 0
        browser.js("text.value = ''")
        browser.key("Tab", windowsVirtualKeyCode=9)
        assert browser.js("document.activeElement.tagName") == "BUTTON"
        assert browser.js("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        browser.key("Enter", text="\r", **ENTER)
        until(lambda: browser.js("said.textContent") == "Type a sentence first.")
        assert browser.js("said.getAttribute('role')") == "status"
        assert browser.js("document.querySelector('label').htmlFor") == "text"
        browser.js("text.value = 'a'.repeat(100001)")
        browser.key("Enter", text="\r", **ENTER)
        until(lambda: "at most 100,000 characters" in browser.js("said.textContent"))

        # On a phone nothing sticks out, and what is pressed is large enough; in the dark it is dark.
        assert browser.js("document.documentElement.scrollWidth <= innerWidth")
        assert browser.js("document.querySelector('button').getBoundingClientRect().height") >= 44
        light = browser.js("getComputedStyle(document.body).backgroundColor")
        browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        assert browser.js("getComputedStyle(document.body).backgroundColor") != light

        # Its policy lets nothing else run, and it asked no one else.
        refused = "fetch('https://example.org/').then(() => 'sent', () => 'refused')"
        assert browser.js(refused) == "refused"
        assert browser.js(
            "(() => { const s = document.createElement('script'); s.text = 'window.ran = 1';"
            " document.body.append(s); return window.ran === undefined; })()"
        )
        asked = {url for url in browser.requests if not url.startswith(("data:", "https://example.org"))}
        assert asked <= {address, address + "predict", "about:blank"}
    browser.js("text.value = 'gone'; find()")
    until(lambda: browser.js("said.textContent") == "The server can't be reached.")
