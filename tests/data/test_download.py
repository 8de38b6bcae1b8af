"""Fetching against a real HTTP server that misbehaves in every way that a test can make it."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import httpx2
import pytest
from made_server import BODY, Server, serving

from dinku.data import catalogue, sources
from dinku.data.download import Limits, fetch
from dinku.errors import DinkuError

DIGEST = hashlib.sha256(BODY).hexdigest()
QUICK = Limits(attempts=3, pause=0.01, timeout=60, window=60, least=1000, redirects=3)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as started:
        yield started


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy between a test and its server."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def patient(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time for an answer runs out when the server is slow on purpose, and never because the machine is."""

    class Late(Thread):
        def __init__(self, seconds: float, then: Callable[[], None]) -> None:
            super().__init__()
            self.then = then
            self.stopped = Event()

        def run(self) -> None:
            while not self.stopped.is_set():
                if server.slow.wait(0.005):
                    server.slow.clear()
                    self.then()
                    return

        def cancel(self) -> None:
            self.stopped.set()

    monkeypatch.setattr("dinku.data.download.Timer", Late)


def get(server: Server, path: Path, *, force: bool = False, limits: Limits = QUICK) -> bool:
    return fetch(server.url, path, sha256=DIGEST, size=len(BODY), force=force, limits=limits)


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock"))


def test_a_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    assert get(server, path)
    assert path.read_bytes() == BODY
    assert not get(server, path)
    assert server.asked == ["/data/file"]
    assert left(path.parent) == ["file"]


@pytest.mark.parametrize(
    ("ways", "asked"),
    [
        (["cut", "whole"], ["", "bytes=51200-"]),
        (["cut", "cut", "whole"], ["", "bytes=51200-", "bytes=76800-"]),
        (["cut", "no ranges"], ["", "bytes=51200-"]),
        (["cut", "wrong range", "whole"], ["", "bytes=51200-", ""]),
        (["503", "429", "whole"], ["", "", ""]),
        (["cut", "range", "whole"], ["", "bytes=51200-", ""]),
        (["away", "whole"], ["", ""]),
        (["slow head", "whole"], ["", ""]),
    ],
    ids=lambda v: "-".join(v),
)
@pytest.mark.usefixtures("patient")
def test_what_may_pass_is_tried_again_from_where_it_stopped(
    server: Server, tmp_path: Path, ways: list[str], asked: list[str]
) -> None:
    server.ways = ways
    assert get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == BODY
    assert [" ".join(line.split(" ")[1:]) for line in server.asked] == asked
    assert left(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("way", "said", "kept"),
    [
        ("404", "can't be fetched: the server answered 404; check DINKU_MIRROR", []),
        ("500", "can't be fetched: the server answered 500, 3 times; check the connection and run the same again", []),
        ("loop", "is redirected more than 3 times", []),
        ("ftp", "leads away from http, to ftp://else/where; try another network or mirror", []),
        ("slow head", "can't be fetched: no answer had come after 60 s, 3 times", []),
    ],
)
@pytest.mark.usefixtures("patient")
def test_what_does_not_pass_is_one_line_of_status_1(
    server: Server, tmp_path: Path, way: str, said: str, kept: list[str]
) -> None:
    server.ways = [way]
    with pytest.raises(DinkuError, match=said) as told:
        get(server, tmp_path / "file")
    assert told.value.status == 1
    assert str(told.value).startswith(server.url)
    assert left(tmp_path) == kept


@pytest.mark.usefixtures("patient")
def test_a_server_that_only_trickles_is_left_and_what_came_is_kept(server: Server, tmp_path: Path) -> None:
    server.ways = ["trickle"]
    with pytest.raises(DinkuError, match=r"can't be fetched: only \d+ bytes came in \d+ s, 2 times") as told:
        get(server, tmp_path / "file", limits=replace(QUICK, attempts=2, window=0.3))
    assert told.value.status == 1
    assert left(tmp_path) == [".file.partial"]


@pytest.mark.parametrize(
    ("way", "body", "said"),
    [
        ("no ranges", b"<html>log in to this network first", "it has 34 bytes, not 102,400"),
        ("no ranges, no length", b"<html>log in to this network first", "it ended after 34 of 102,400 bytes, 3 times"),
        ("no ranges, no length", BODY + b"and more", "it is longer than 102,400 bytes"),
        ("whole", BODY + b"and more", "it has 102,408 bytes, not 102,400"),
        ("no length", BODY + b"and more", "it is longer than 102,400 bytes"),
    ],
)
def test_what_had_come_is_kept_when_something_else_answers(
    server: Server, tmp_path: Path, way: str, body: bytes, said: str
) -> None:
    part = tmp_path / ".file.partial"
    part.write_bytes(BODY[:60_000])
    server.ways, server.body = [way], body
    with pytest.raises(DinkuError, match=said):
        get(server, tmp_path / "file")
    assert part.read_bytes() == BODY[:60_000]
    assert left(tmp_path) == [part.name]
    server.ways, server.body, server.asked = ["whole"], BODY, []
    assert get(server, tmp_path / "file")
    assert server.asked == ["/data/file bytes=60000-"]


def test_a_whole_new_file_takes_the_place_of_a_part(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".file.partial").write_bytes(b"x" * 60_000)
    server.ways = ["no ranges"]
    assert get(server, tmp_path / "file")
    assert len(server.asked) == 1
    assert left(tmp_path) == ["file"]


def test_a_folder_in_its_place_can_not_be_read(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DinkuError, match=r"can't be read \(Is a directory\)"):
        get(server, tmp_path)


def test_another_file_than_was_published_is_never_kept(server: Server, tmp_path: Path) -> None:
    server.body = BODY[:-1] + b"!"
    with pytest.raises(DinkuError, match=r"isn't the file that was published \(its sha256 differs\)"):
        get(server, tmp_path / "file")
    for body in (BODY + b"and more", b"<html>log in to this network first"):
        server.body = body
        with pytest.raises(DinkuError, match=rf"\(it has {len(body):,} bytes, not 102,400\); try another network"):
            get(server, tmp_path / "file")
    assert left(tmp_path) == []
    assert len(server.asked) == 3, "what is known to be wrong was asked for again"
    server.ways = ["no length"]
    server.body = BODY + b"and more"
    with pytest.raises(DinkuError, match=r"it is longer than 102,400 bytes"):
        get(server, tmp_path / "file")
    assert left(tmp_path) == []
    server.body = BODY[:100]
    with pytest.raises(DinkuError, match="it ended after 100 of 102,400 bytes, 3 times"):
        get(server, tmp_path / "file")
    assert left(tmp_path) == [".file.partial"]
    server.ways = ["whole"]
    server.body = BODY
    assert get(server, tmp_path / "file")
    assert left(tmp_path) == ["file"]


def test_a_part_that_does_not_fit_is_begun_again(server: Server, tmp_path: Path) -> None:
    for part in (b"another day's " * 100, b"x" * len(BODY), b"x" * (2 * len(BODY))):
        (tmp_path / ".file.partial").write_bytes(part)
        assert get(server, tmp_path / "file")
        assert (tmp_path / "file").read_bytes() == BODY
        (tmp_path / "file").unlink()


def test_a_file_of_ones_own_is_left_alone_unless_forced(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(
        DinkuError, match="is there, but isn't the file that was published; delete it, or fetch with"
    ) as told:
        get(server, tmp_path / "file")
    assert told.value.status == 2
    assert (tmp_path / "file").read_text() == "mine"
    assert get(server, tmp_path / "file", force=True)
    assert (tmp_path / "file").read_bytes() == BODY
    assert not get(server, tmp_path / "file", force=True), "what is right was fetched again"


def test_what_is_there_and_right_needs_no_writing(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(BODY)
    assert not get(server, tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert server.asked == []


def test_a_redirects_own_body_is_not_read(server: Server, tmp_path: Path) -> None:
    server.ways = ["flood", "whole"]
    assert get(server, tmp_path / "file")
    assert server.swallowed < 2**24  # what the system's own buffers take


def test_https_is_never_left(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.url.scheme == "https", "it was asked for in the open"
        return httpx2.Response(302, headers={"Location": server.url})

    client = httpx2.Client(transport=httpx2.MockTransport(answer))
    monkeypatch.setattr("dinku.data.download._client", lambda limits: client)
    with pytest.raises(DinkuError, match=f"leads away from https, to {server.url}") as told:
        fetch("https://there/file", tmp_path / "file", sha256=DIGEST, size=len(BODY), limits=QUICK)
    assert told.value.status == 1
    assert server.asked == []


@pytest.mark.parametrize(("variable", "value"), [("ALL_PROXY", "nonsense://x"), ("SSL_CERT_FILE", "/nowhere")])
def test_an_environment_that_can_not_be_used_is_told(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(DinkuError, match=r"its proxy or certificates can't be used \(.*correct HTTP_PROXY") as told:
        get(server, tmp_path / "file")
    assert told.value.status == 2
    assert left(tmp_path) == []


def test_a_proxy_of_the_environment_is_used(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url)
    assert fetch("http://there.invalid/f", tmp_path / "f", sha256=DIGEST, size=len(BODY), limits=QUICK)
    assert server.asked == ["http://there.invalid/f"]


def test_nobody_there_is_told(tmp_path: Path) -> None:
    with serving() as server:
        url = server.url
    with pytest.raises(DinkuError, match=r"can't be fetched: .*refused.*, 3 times") as told:
        fetch(url, tmp_path / "file", sha256=DIGEST, size=len(BODY), limits=QUICK)
    assert told.value.status == 1
    (tmp_path / "mine").mkdir()
    for path in (tmp_path / "a" / "b" / "file", tmp_path / "mine" / "file"):
        with pytest.raises(DinkuError, match="refused"):
            fetch(url, path, sha256=DIGEST, size=len(BODY), limits=QUICK)
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine"]
    with pytest.raises(DinkuError, match="isn't an address"):
        fetch("ftp://nowhere/file", tmp_path / "file", sha256=DIGEST, size=len(BODY), limits=QUICK)


def _get(url: str, path: Path) -> None:
    fetch(url, path, sha256=DIGEST, size=len(BODY), limits=QUICK)


def test_two_at_once_fetch_it_once(server: Server, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=_get, args=(server.url, tmp_path / "file")) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    assert len(server.asked) == 1
    assert (tmp_path / "file").read_bytes() == BODY


def test_a_folder_that_can_not_be_written_is_told(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DinkuError, match="can't be written"):
        get(server, tmp_path / "file" / "below")


def test_a_full_disk_is_told_and_what_came_is_kept(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DinkuError, match=r"file: can't be written \(No space left on device\)") as told:
            get(server, tmp_path / "file")
    assert told.value.status == 1
    assert left(tmp_path) == [".file.partial"]
    assert get(server, tmp_path / "file")


def test_a_corpus_is_fetched_into_the_repositorys_own_paths(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DINKU_HOME", str(tmp_path))
    monkeypatch.setenv("DINKU_MIRROR", f"http://127.0.0.1:{server.server_port}/")
    table = {"data/hau/train.txt": (DIGEST, len(BODY)), "data/hau/dev.txt": (DIGEST, len(BODY))}
    table["data/hau/test.txt"] = table["data/swa/train.txt"] = (DIGEST, len(BODY))
    assert len(catalogue.SOURCES["masakhaner"].published) == 95
    monkeypatch.setattr(catalogue.Source, "published", table)
    seen: list[str] = []
    found = sources.fetch("masakhaner:hau", progress=lambda what, done, of: seen.append(what))
    assert [(f.path.name, f.bytes, f.state) for f in found] == [
        (f"{split}.txt", len(BODY), "fetched") for split in ("train", "dev", "test")
    ]
    assert (tmp_path / "corpora/masakhane-ner/data/hau/train.txt").read_bytes() == BODY
    assert "fetching data/hau/dev.txt" in seen
    monkeypatch.setenv("DINKU_OFFLINE", "1")
    assert {f.state for f in sources.fetch("masakhaner:hau")} == {"there"}
    with pytest.raises(DinkuError, match="DINKU_OFFLINE forbids the network; unset it, or put a copy there"):
        sources.fetch("masakhaner:swa")
    (tmp_path / "corpora/masakhane-ner/data/hau/dev.txt").write_text("mine")
    with pytest.raises(DinkuError, match="isn't the file that was published"):
        sources.fetch("masakhaner:hau")
    with pytest.raises(DinkuError, match="DINKU_OFFLINE forbids the network"):
        sources.fetch("masakhaner:hau", force=True)
    assert len(server.asked) == 3
    for name, said in [
        (str(tmp_path), "isn't fetched from anywhere; name a known corpus, such as masakhaner:all or masakhaner2:all"),
        ("masakhaner2", "such as masakhaner2:all"),
        ("sample:hau", "comes inside dinku"),
    ]:
        with pytest.raises(DinkuError, match=said):
            sources.fetch(name)


@pytest.mark.shared
def test_the_table_of_hashes_is_that_of_the_real_files(shared: Path) -> None:
    for name, folder in (
        ("masakhaner", "masakhane-ner"),
        ("masakhane-pos", "masakhane-pos"),
        ("afrisenti", "afrisenti"),
    ):
        for path, (digest, size) in catalogue.SOURCES[name].published.items():
            file = shared / "data" / folder / path
            if file.exists():
                data = file.read_bytes()
                assert (len(data), hashlib.sha256(data).hexdigest()) == (size, digest), path


def test_every_split_of_a_known_corpus_has_its_hash() -> None:
    for source in catalogue.SOURCES.values():
        for language in (*source.languages, *source.apart):
            for split in source.apart.get(language, sources.SPLITS):
                assert f"{source.folder}/{language}/{split}{source.suffix}" in source.published
