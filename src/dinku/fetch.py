"""One file from the network to the disk: known by its size and sha256 beforehand, resumed after a cut, never half there."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx2

from dinku.errors import DinkuError
from dinku.files import locked, told

Progress = Callable[[int, int], None]  # (bytes there, of how many)


@dataclass(frozen=True)
class Limits:
    """What a server is allowed. ``least`` bytes must come in every ``window`` seconds, ``timeout`` is for one answer."""

    attempts: int = 5
    pause: float = 1.0  # seconds before the second attempt; doubled before each further one
    timeout: float = 20.0
    window: float = 20.0
    least: int = 2_000
    redirects: int = 5


class _MayPass(Exception):
    """What another attempt may not meet."""


def fetch(
    url: str,
    path: Path,
    *,
    sha256: str,
    size: int,
    force: bool = False,
    limits: Limits = Limits(),
    progress: Progress = lambda done, total: None,
) -> bool:
    """Have the file at ``path``; False where it was there already.

    What arrived stands in a partial file beside it, which another run goes on from, and takes its place once its size
    and hash are right. Processes that want one file wait for each other. A file that is there with other content is left
    alone and is an error, unless ``force`` replaces it. Raises `DinkuError`: of status 1 where the network fails.
    """
    with locked(path.with_name(f".{path.name}.lock")):
        if path.exists() and not force:
            if _sha256(path) == sha256:
                return False
            problem = "is there, but isn't the file that was published"
            raise DinkuError(problem, where=str(path), remedy="move it away, or fetch with --force")
        part = path.with_name(f".{path.name}.partial")
        for attempt in range(limits.attempts):
            try:
                with told(path):
                    _attempt(url, part, sha256, size, limits, progress)
                    os.replace(part, path)
                return True
            except _MayPass as reason:
                if attempt == limits.attempts - 1:
                    problem = f"can't be fetched: {reason}, {limits.attempts} times"
                    remedy = "check the connection and run the same again: it goes on where it stopped"
                    raise DinkuError(problem, where=url, remedy=remedy, status=1) from None
                time.sleep(limits.pause * 2**attempt)
    raise AssertionError("there is at least one attempt")


def _attempt(url: str, part: Path, sha256: str, size: int, limits: Limits, progress: Progress) -> None:
    """Complete the partial file, and check it; what is wrong with it is removed."""
    had = part.stat().st_size if part.exists() else 0
    if had < size or not size:
        had = _download(url, part, had, size, limits, progress)
    if (found := part.stat().st_size) < size:
        raise _MayPass(f"it ended after {found:,} of {size:,} bytes")
    if _sha256(part) != sha256:
        part.unlink()
        if had:  # a part from another day, or of another server
            raise _MayPass("what had come before doesn't fit what came after")
        problem = "isn't the file that was published (its sha256 differs)"
        raise DinkuError(problem, where=url, remedy="try another network or mirror; nothing was kept", status=1)


def _download(url: str, part: Path, had: int, size: int, limits: Limits, progress: Progress) -> int:
    """Append to the partial file what is missing; how many of its bytes were there before and were kept."""
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={had}-"} if had else {})
    client = httpx2.Client(timeout=limits.timeout, follow_redirects=True, max_redirects=limits.redirects)
    try:
        with client, client.stream("GET", url, headers=headers) as response:
            steps = [str(r.url) for r in (*response.history, response)]
            if steps[0].startswith("https:") and not all(step.startswith("https:") for step in steps):
                problem = f"leads away from https, to {next(s for s in steps if not s.startswith('https:'))}"
                raise DinkuError(problem, where=url, remedy="try another network or mirror", status=1)
            _check(response.status_code, url)
            if response.status_code != 206 or not response.headers.get("Content-Range", "").startswith(f"bytes {had}-"):
                if response.status_code == 206:
                    part.unlink(missing_ok=True)
                    raise _MayPass("the server sent another part than was asked for")
                had = 0
            _receive(response, part, had, size, limits, progress, url)
    except httpx2.TooManyRedirects:
        problem = f"is redirected more than {limits.redirects} times"
        raise DinkuError(problem, where=url, remedy="try another network or mirror", status=1) from None
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
        raise DinkuError(f"is no address ({error})", where=url, remedy="correct DINKU_MIRROR") from None
    except httpx2.TransportError as error:
        raise _MayPass(str(error) or type(error).__name__) from None
    return had


def _check(status: int, url: str) -> None:
    if status in (200, 206):
        return
    if status in (408, 425, 429, 500, 502, 503, 504):
        raise _MayPass(f"the server answered {status}")
    problem = f"can't be fetched: the server answered {status}"
    raise DinkuError(problem, where=url, remedy="check DINKU_MIRROR, the proxy, or try later", status=1)


def _receive(
    response: httpx2.Response, part: Path, had: int, size: int, limits: Limits, progress: Progress, url: str
) -> None:
    """Write what comes, no more than there should be, as long as it comes fast enough."""
    done = seen = had
    since = time.monotonic()
    with open(part, "r+b" if had else "wb") as file:
        file.seek(had)
        file.truncate()
        for block in response.iter_raw():  # of no set size, which would hold back what came before a cut
            done += len(block)
            if done > size:
                file.close()
                part.unlink()
                problem = f"isn't the file that was published (it is longer than {size:,} bytes)"
                raise DinkuError(problem, where=url, remedy="try another network or mirror; nothing was kept", status=1)
            file.write(block)
            progress(done, size)
            if (now := time.monotonic()) - since > limits.window:
                if done - seen < limits.least:
                    raise _MayPass(f"only {done - seen:,} bytes came in {now - since:.0f} s")
                since, seen = now, done
        file.flush()
        os.fsync(file.fileno())


def _sha256(path: Path) -> str:
    with told(path), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
