"""Download of one file whose size and sha256 are known: resumed after an interruption, and never visible half-finished."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

import httpx2

from dinku.digests import is_of
from dinku.errors import DinkuError, plural
from dinku.files import locked, os_errors_as_dinku
from dinku.progress import Count

_PASSING = (408, 425, 429, 500, 502, 503, 504)
_MAY_LEAD_TO = {"https": ("https",), "http": ("http", "https")}


@dataclass(frozen=True)
class Limits:
    """How slow a server may be, and how often a download is tried.

    An answer must begin within ``window`` seconds of the request; from then on, at least ``least`` bytes must arrive in every
    ``window``. ``timeout`` limits the seconds of silence.
    """

    attempts: int = 5
    pause: float = 1.0  # seconds before the second attempt; doubled before each further one
    timeout: float = 20.0
    window: float = 20.0
    least: int = 2_000
    redirects: int = 5


class _MayPass(Exception):
    """A failure that another attempt may not meet."""


def fetch(
    url: str,
    path: Path,
    *,
    sha256: str,
    size: int,
    force: bool = False,
    limits: Limits = Limits(),
    progress: Count = lambda done, total: None,
) -> bool:
    """Download a file to ``path``, unless it is there already; whether it was downloaded.

    Received bytes go to a partial file beside it, which a later run continues, and which is moved to ``path`` once size and hash
    are right. Processes that want the same file wait for each other. An existing file with other content is an error, unless
    ``force`` replaces it; a correct one is never fetched again. In place of the sha256 git's name of the content may be given.

    Raises `DinkuError`, of status 1 if the network fails.
    """
    if there(path, sha256, force=force):  # without a lock, so that a read-only cache works
        return False
    lock = path.with_name(f".{path.name}.lock")
    with _leaving_nothing(path), locked(lock), _leaving_nothing(lock, lock):
        if there(path, sha256, force=force):
            return False
        part = path.with_name(f".{path.name}.partial")
        for attempt in range(limits.attempts):
            try:
                with os_errors_as_dinku(path):
                    _attempt(url, part, sha256, size, limits, progress)
                    part.replace(path)
                return True
            except _MayPass as reason:
                if attempt == limits.attempts - 1:
                    problem = f"can't be fetched: {reason}, {plural(limits.attempts, 'time')}"
                    remedy = "check the connection and run the same again: it goes on where it stopped"
                    raise DinkuError(problem, where=url, remedy=remedy, status=1) from None
                time.sleep(limits.pause * 2**attempt)
    raise AssertionError("there is at least one attempt")


@contextmanager
def _leaving_nothing(path: Path, *files: Path) -> Iterator[None]:
    """If the block fails, remove these files, and the folders above ``path`` that it made, if they are empty.

    A process that waits for a removed lock file makes another.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        yield
    except BaseException:
        with suppress(OSError):  # the block's error is the one to report
            for file in files:
                file.unlink(missing_ok=True)
            for folder in made:
                folder.rmdir()
        raise


def there(path: Path, sha256: str, *, force: bool = False) -> bool:
    """Whether the file is at ``path``. Other content there raises `DinkuError`, or with ``force`` counts as no file."""
    if not path.exists():
        return False
    if is_of(path, sha256):
        return True
    if force:
        return False
    problem = "is there, but isn't the file that was published"
    raise DinkuError(problem, where=str(path), remedy="delete it, or fetch with force=True")


def _attempt(url: str, part: Path, sha256: str, size: int, limits: Limits, progress: Count) -> None:
    """Complete the partial file and check it; a wrong one is removed."""
    had = part.stat().st_size if part.exists() else 0
    if had < size or not size:
        had = _download(url, part, had, size, limits, progress)
    if (found := part.stat().st_size) < size:
        raise _MayPass(f"it ended after {found:,} of {plural(size, 'byte')}")
    if not is_of(part, sha256):
        part.unlink()
        if had:  # a part from another day, or of another server
            raise _MayPass("what had come before doesn't fit what came after")
        raise _other(url, "its sha256 differs")


def _download(url: str, part: Path, had: int, size: int, limits: Limits, progress: Count) -> int:
    """Append the missing bytes to the partial file; the number of earlier bytes that were kept.

    If the server sends the whole file instead, the earlier bytes are given up only once all of it has arrived.
    """
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={had}-"} if had else {})
    try:
        with _client(limits) as client, _answer(client, url, headers, limits) as response:
            status, given = response.status_code, response.headers
            if had and (
                status == 416 or (status == 206 and not given.get("Content-Range", "").startswith(f"bytes {had}-"))
            ):
                part.unlink()
                raise _MayPass("the server has no such part as is missing here")
            if status in _PASSING:
                raise _MayPass(f"the server answered {status}")
            if status != 200 and not (had and status == 206):
                problem, remedy = f"the server answered {status}", "check DINKU_MIRROR, the proxy, or try later"
                raise DinkuError(f"can't be fetched: {problem}", where=url, remedy=remedy, status=1)
            resumed = had if status == 206 else 0
            if (length := given.get("Content-Length", "")).isdigit() and resumed + int(length) != size:
                raise _other(url, f"it has {plural(resumed + int(length), 'byte')}, not {size:,}")
            if resumed == had:
                _receive(response, part, had, size, limits, progress, url)
            else:
                _receive_anew(response, part, size, limits, progress, url)
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
        raise DinkuError(f"isn't an address ({error})", where=url, remedy="correct DINKU_MIRROR") from None
    except httpx2.TransportError as error:
        raise _MayPass(str(error).rstrip(".") or type(error).__name__) from None
    return resumed


def _client(limits: Limits) -> httpx2.Client:
    """A client with the proxies and certificates that the environment names; redirects are left to `_answer`."""
    try:
        return httpx2.Client(timeout=limits.timeout)
    except (ImportError, OSError, ValueError, httpx2.InvalidURL) as error:
        problem = f"its proxy or certificates can't be used ({str(error).split('. ')[0]})"
        remedy = "correct HTTP_PROXY, HTTPS_PROXY, ALL_PROXY or SSL_CERT_FILE"
        raise DinkuError(problem, where="the environment", remedy=remedy) from None


@contextmanager
def _answer(client: httpx2.Client, url: str, headers: Mapping[str, str], limits: Limits) -> Iterator[httpx2.Response]:
    """The answer at the end of the redirects, its body unread. The bodies of the redirects are never read.

    The library itself would read them whole, whatever their size, and would follow a redirect before its scheme could be checked.
    """
    request = client.build_request("GET", url, headers=headers)
    for _ in range(limits.redirects + 1):
        with _watched(request, limits):
            response = client.send(request, stream=True)
        try:
            if (following := response.next_request) is None:
                yield response
                return
        finally:
            response.close()
        if following.url.scheme not in _MAY_LEAD_TO[request.url.scheme]:
            problem = f"leads away from {request.url.scheme}, to {following.url}"
            raise DinkuError(problem, where=url, remedy="try another network or mirror", status=1)
        request = following
    problem = f"is redirected more than {plural(limits.redirects, 'time')}"
    raise DinkuError(problem, where=url, remedy="try another network or mirror", status=1)


@contextmanager
def _watched(request: httpx2.Request, limits: Limits) -> Iterator[None]:
    """Hang up if the answer hasn't begun in time; the library's timeout is for one read, so each byte would extend it."""
    lines: list[socket.socket] = []
    late = False

    def note(event: str, about: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            lines.append(about["return_value"].get_extra_info("socket").dup())
            if late:
                hang_up()

    def hang_up() -> None:
        nonlocal late
        late = True
        for line in lines:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    request.extensions["trace"] = note
    timer = Timer(limits.window, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    except httpx2.TransportError:
        if late:
            raise _MayPass(f"no answer had come after {limits.window:.0f} s") from None
        raise
    finally:
        timer.cancel()
        timer.join()
        for line in lines:
            line.close()


def _other(url: str, how: str) -> DinkuError:
    remedy = "try another network or mirror; nothing of it was kept"
    return DinkuError(f"isn't the file that was published ({how})", where=url, remedy=remedy, status=1)


def _receive(
    response: httpx2.Response, part: Path, had: int, size: int, limits: Limits, progress: Count, url: str
) -> None:
    """Write the bytes that arrive, up to the expected size, as long as they arrive fast enough."""
    done = seen = had
    since = time.monotonic()
    with open(part, "r+b" if had else "wb") as file:
        file.seek(had)
        file.truncate()
        for block in response.iter_raw():  # blocks of any size: a fixed one would hold back bytes until it is full
            done += len(block)
            if done > size:
                file.truncate(had)
                if not had:
                    part.unlink()
                raise _other(url, f"it is longer than {plural(size, 'byte')}")
            file.write(block)
            progress(done, size)
            if (now := time.monotonic()) - since > limits.window:
                if done - seen < limits.least:
                    raise _MayPass(f"only {plural(done - seen, 'byte')} came in {now - since:.0f} s")
                since, seen = now, done
        file.flush()
        os.fsync(file.fileno())


def _receive_anew(response: httpx2.Response, part: Path, size: int, limits: Limits, progress: Count, url: str) -> None:
    """Replace the partial file by the whole one, once that has arrived."""
    whole = part.with_name(f"{part.name}.whole")
    try:
        _receive(response, whole, 0, size, limits, progress, url)
        if (came := whole.stat().st_size) < size:
            raise _MayPass(f"it ended after {came:,} of {plural(size, 'byte')}")
        whole.replace(part)
    finally:
        whole.unlink(missing_ok=True)
