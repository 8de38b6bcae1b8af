"""A real browser for tests of pages."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any


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
