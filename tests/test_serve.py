"""The server as its clients meet it: over real sockets, with a bundle, and its page in a real browser."""

from __future__ import annotations

import http.client
import json
import os
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

import pytest
import uvicorn

from dinku import reader
from dinku.bundle import Bundle
from dinku.export import export
from dinku.predict import Line, Tagging
from dinku.reader import Reader
from dinku.serve import Busy, Desk, Limits, application, openapi
from dinku.testing import tiny_corpus, tiny_tagger

JSON = {"content-type": "application/json"}
USUAL = Limits()
Answered = tuple[int, dict[str, str], bytes]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "bundle"
    export(tiny_tagger(), folder, tiny_corpus(160), threads=1)
    return folder


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
def served(tagger: Any, limits: Limits = USUAL) -> Iterator[tuple[int, Desk]]:
    """A server in a thread of this process."""
    desk = Desk(tagger, limits)
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(application(desk, model="tiny"), http="h11", ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield listening.getsockname()[1], desk
    finally:
        server.should_exit = True
        thread.join()
        desk.close()


@pytest.fixture(scope="module")
def port(bundle: Path) -> Iterator[int]:
    with served(reader.open(str(bundle), threads=1)) as (port, _):
        yield port


@contextmanager
def process(bundle: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """``dinku serve`` in a process of its own, on a port that is free."""
    command = [sys.executable, "-c", "from dinku.cli import main; main()", "serve", str(bundle), "--port", "0"]
    with subprocess.Popen([*command, "--threads", "1"], stderr=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stderr
            told = serving.stderr.readline()
            assert "at http://127.0.0.1:" in told, told + serving.stderr.read()
            yield serving, int(told.partition("127.0.0.1:")[2].partition("/")[0])
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
    command = [sys.executable, "-c", "from dinku.cli import main; main()", "predict", str(bundle), "--format", "jsonl"]
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
    assert json.loads(ask(port, body=[])[2]) == []


WRONG: list[tuple[str, dict[str, Any], int, str]] = [
    ("no JSON", {"body": b'{"text": '}, 400, "isn't JSON (EOF while parsing a value at line 1 column 9)"),
    ("no body", {"body": b""}, 400, "isn't JSON (EOF while"),
    ("not UTF-8", {"body": b'{"text": "\xff"}'}, 400, "isn't JSON"),
    ("half a surrogate pair", {"body": b'{"text": "\\ud800"}'}, 400, "isn't JSON (unexpected end of hex escape"),
    ("the other half", {"body": b'{"text": "\\udc00 a"}'}, 400, "isn't JSON (lone"),
    ("not a number", {"body": b'{"text": NaN}'}, 400, "isn't JSON"),
    ("far too deep", {"body": b"[" * 100_000}, 400, "isn't JSON (recursion limit"),
    ("no text", {"body": {}}, 422, "0.text is missing"),
    ("another key", {"body": {"text": "a", "wörds": 1}}, 422, "there is no field 0.wörds"),
    ("no string", {"body": [{"text": "a"}, {"text": 3}]}, 422, "1.text is 3; give text"),
    ("no object", {"body": "a"}, 422, "0 is 'a'"),
    ("too many", {"body": [{"text": "a"}] * 300}, 422, "at most 256 texts, this one 300; send several"),
    ("too long", {"body": {"text": "a" * 100_001}}, 422, "at most 100,000 characters, this one 100,001"),
    ("50 MB", {"body": b" " * 50_000_000}, 413, "a request has at most 1,048,576 bytes; send several"),
    ("plain text", {"body": b"a", "headers": {"content-type": "text/plain"}}, 415, "send application/json"),
    ("no type", {"body": b"a", "headers": {}}, 415, "send application/json"),
    ("another method", {"method": "GET"}, 405, "Method Not Allowed"),
    ("another method", {"method": "DELETE", "path": "/"}, 405, "Method Not Allowed"),
    ("another path", {"path": "/predict/"}, 404, "Not Found"),
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
            b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"
        )
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"wasn't whole after 0.2 seconds" in answer


def test_who_hangs_up_costs_nothing(port: int, caplog: pytest.LogCaptureFixture) -> None:
    before = counted(port).get('dinku_requests_total{status="400"}', 0)
    head = b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(head)
    until(lambda: counted(port).get('dinku_requests_total{status="400"}', 0) == before + 1)
    with socket.create_connection(("127.0.0.1", port)) as client:  # before its answer
        client.sendall(head.replace(b": 9", b": 15") + b'"text": "ba"}\n')
    assert ask(port, body={"text": "a"})[0] == 200
    until(lambda: counted(port)["dinku_open_requests"] == 0)
    assert [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []


class Held:
    """A reader that answers when it is let, and notes how much it is given at once."""

    precision = "fp32"

    def __init__(self, inner: Reader) -> None:
        self.inner, self.sizes = inner, list[int]()
        self.begun, self.go = threading.Event(), threading.Event()

    def tag(self, lines: Sequence[Line]) -> list[Tagging]:
        self.begun.set()
        assert self.go.wait(60)
        self.sizes.append(len(lines))
        if any("poison" in line.text for line in lines):
            raise RuntimeError("the engine fell over")
        return self.inner.tag(lines)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_clients_are_batched_and_too_many_are_sent_away(bundle: Path) -> None:
    held = Held(reader.open(str(bundle), threads=1))
    with served(held, Limits(waiting=60)) as (port, desk), ThreadPoolExecutor(12) as pool:
        first = pool.submit(ask, port, body={"text": "Ade"})
        assert held.begun.wait(60)
        others = [pool.submit(ask, port, body={"text": f"Badeo {n} ki"}) for n in range(5)]
        until(lambda: desk.waiting == 5 * 11)
        status, headers, body = ask(port, body={"text": "one more"})
        assert (status, headers["retry-after"]) == (503, "1")
        assert json.loads(body) == {"error": "too much is waiting; try again in a moment"}
        held.go.set()
        assert {f.result()[0] for f in (first, *others)} == {200}
        assert held.sizes == [1, 5]


def test_a_long_request_lets_others_by(bundle: Path) -> None:
    held = Held(reader.open(str(bundle), threads=1))
    desk = Desk(held, Limits())  # type: ignore[arg-type]
    ends: list[str] = []
    for name, texts in (("first", ["a"]), ("long", ["Ade lo"] * 250), ("short", ["Badeo"])):
        desk.ask(texts).add_done_callback(lambda _, name=name: ends.append(name))  # type: ignore[misc]
        assert held.begun.wait(60)
    held.go.set()
    desk.close()
    assert ends == ["first", "short", "long"]
    assert held.sizes == [1, 64, 64, 64, 59]
    with pytest.raises(Busy):
        desk.ask(["a"])


def test_one_text_that_fails_costs_no_other(bundle: Path) -> None:
    held = Held(reader.open(str(bundle), threads=1))
    with served(held) as (port, desk), ThreadPoolExecutor(4) as pool:
        good = [pool.submit(ask, port, body={"text": f"Ade {n}"}) for n in range(3)]
        bad = pool.submit(ask, port, body=[{"text": "Ade"}, {"text": "poison"}, {"text": "lo"}])
        until(lambda: desk.texts == 0 and b"open_requests 4" in ask(port, "GET", "/metrics")[2])
        held.go.set()
        assert {f.result()[0] for f in good} == {200}
        status, _, body = bad.result()
        assert (status, list(json.loads(body))) == (500, ["error"])
        assert ask(port, "GET", "/health")[0] == 200
        assert desk.waiting == 0


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
    command = [sys.executable, "-c", "from dinku.cli import main; main()", "serve", str(bundle)]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        there = str(taken.getsockname()[1])
        done = subprocess.run([*command, "--port", there], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == (
        f"dinku: 127.0.0.1:{there}: can't be listened at (Address already in use); name another --host or --port\n"
    )


class Browser:
    """Debian's chromium, spoken to through a pipe by its DevTools protocol."""

    def __init__(self, program: str, folder: Path) -> None:
        (there, self._out), (self._in, back) = os.pipe(), os.pipe()
        options = "--headless --no-sandbox --disable-gpu --no-first-run --disable-extensions --remote-debugging-pipe"
        start = f'exec "$0" {options} --user-data-dir="$1" 3<&{there} 4>&{back}'
        command = ["bash", "-c", start, program, str(folder)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, pass_fds=(there, back), **quiet)  # type: ignore[call-overload]
        os.close(there)
        os.close(back)
        self._number, self._rest, self._session = 0, b"", ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.requests: list[str] = []
        self.call("Network.enable")

    def call(self, method: str, **params: Any) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        os.write(
            self._out, json.dumps(message | ({"sessionId": self._session} if self._session else {})).encode() + b"\0"
        )
        while True:
            while b"\0" not in self._rest:
                read = os.read(self._in, 1 << 16)
                assert read, "the browser is gone"
                self._rest += read
            told, _, self._rest = self._rest.partition(b"\0")
            answer = json.loads(told)
            if answer.get("method") == "Network.requestWillBeSent":
                self.requests.append(answer["params"]["request"]["url"])
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def js(self, code: str) -> Any:
        found = self.call("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def key(self, key: str, modifiers: int = 0, **more: Any) -> None:
        about = {"key": key, "code": key, "modifiers": modifiers, **more}
        self.call("Input.dispatchKeyEvent", type="keyDown", **about)
        self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def close(self) -> None:
        with suppress(AssertionError, OSError):
            self._session = ""
            self.call("Browser.close")
        self._process.wait(timeout=30)
        os.close(self._out)
        os.close(self._in)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    program = shutil.which("chromium")
    if not program:
        pytest.skip("needs chromium, which is not here")
    opened = Browser(program, tmp_path / "profile")
    yield opened
    opened.close()


CTRL, ENTER = 2, {"windowsVirtualKeyCode": 13}


class Certain:
    """A reader that finds a person in every first word."""

    precision = "fp32"

    def tag(self, lines: Sequence[Line]) -> list[Tagging]:
        import numpy as np

        return [
            Tagging(tuple("B-PER" if i == 1 else "O" for i in range(len(x.spans))), np.ones(len(x.spans), np.float32))
            for x in lines
        ]


def test_the_page_in_a_browser(browser: Browser) -> None:
    with served(Certain()) as (port, _):
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
