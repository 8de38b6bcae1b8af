"""A server that speaks as much of the Hub's API as reading and writing repositories takes, its repositories in memory."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote, urlsplit

from made_http import LocalServer, running

LARGE = 2000  # bytes from which a file is kept as the Hub keeps large files, known by its sha256
TOKEN = "hf_made"


def blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Hub(LocalServer):
    """``files``: (*models* or *datasets*, repository, revision) → path → content; ``asked`` is every request."""

    def __init__(self) -> None:
        super().__init__(Handler)
        self.files: dict[tuple[str, str, str], dict[str, bytes]] = {}

    @property
    def url(self) -> str:
        return self.address

    def put(self, kind: str, repository: str, files: dict[str, bytes], revision: str = "main") -> None:
        self.files[kind, repository, revision] = files

    def commit(self, kind: str, repository: str, revision: str) -> str:
        """The digest of what a revision holds."""
        listing = sorted((path, blob(data)) for path, data in self.files[kind, repository, revision].items())
        return hashlib.sha1(repr(listing).encode()).hexdigest()

    def at(self, kind: str, repository: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """The commit and the files of a revision, which may be a commit."""
        for (k, r, v), files in self.files.items():
            if (k, r) == (kind, repository) and revision in (v, commit := self.commit(k, r, v)):
                return (commit if revision == v else revision), files
        return None


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(f"{self.command} {path}")
        kind = "datasets" if path.startswith(("/datasets/", "/api/datasets/")) else "models"
        parts = path.removeprefix("/api/models").removeprefix("/api/datasets").removeprefix("/datasets").split("/")[1:]
        repository, rest = "/".join(parts[:2]), parts[2:]
        if path.startswith("/api/"):
            revision = "/".join(rest[1:]) if rest[:1] in (["revision"], ["tree"]) else "main"
            if not (found := self.server.at(kind, repository, revision)):
                missing = not any(key[:2] == (kind, repository) for key in self.server.files)
                return self.refuse("RepoNotFound" if missing else "RevisionNotFound")
            commit, files = found
            if rest[:1] == ["tree"]:
                return self.answer(200, self.tree(files))
            return self.answer(200, {"id": repository, "sha": commit, "siblings": self.siblings(files)})
        revision, _, name = "/".join(rest[1:]).partition("/")
        found = self.server.at(kind, repository, revision)
        if rest[:1] != ["resolve"] or not found:
            return self.refuse("RepoNotFound")
        commit, files = found
        if name not in files:
            return self.refuse("EntryNotFound")
        return self.send(200, files[name], {"X-Repo-Commit": commit, "ETag": f'"{self.etag(files[name])}"'})

    def do_POST(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(f"{self.command} {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(self.chunks())
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401, {"error": "Invalid username or password."})
        if path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            there = ("models", name, "main") in self.server.files
            self.server.files.setdefault(("models", name, "main"), {})
            return self.answer(409 if there else 200, {"url": f"{self.server.url}/{name}", "name": name})
        _, _, _, owner, name, what, *_ = path.split("/")
        files = self.server.files["models", f"{owner}/{name}", "main"]
        if what == "preupload":
            asked = json.loads(body)["files"]
            return self.answer(
                200,
                {"files": [{"path": each["path"], "uploadMode": "regular", "shouldIgnore": False} for each in asked]},
            )
        for line in body.splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
        commit = self.server.commit("models", f"{owner}/{name}", "main")
        url = f"{self.server.url}/{owner}/{name}/commit/{commit}"
        return self.answer(200, {"success": True, "commitUrl": url, "commitOid": commit, "hookOutput": ""})

    def chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()

    def etag(self, data: bytes) -> str:
        return hashlib.sha256(data).hexdigest() if len(data) >= LARGE else blob(data)

    def siblings(self, files: dict[str, bytes]) -> list[dict[str, Any]]:
        out = []
        for path, data in files.items():
            each: dict[str, Any] = {"rfilename": path, "size": len(data), "blobId": blob(data)}
            if len(data) >= LARGE:
                each["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            out.append(each)
        return out

    def tree(self, files: dict[str, bytes]) -> list[dict[str, Any]]:
        out = []
        for path, data in files.items():
            each: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": blob(data)}
            if len(data) >= LARGE:
                each["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            out.append(each)
        return out

    def refuse(self, code: str) -> None:
        self.send(404, b'{"error": "not found"}', {"X-Error-Code": code, "X-Error-Message": "not found"})

    def answer(self, status: int, value: Any) -> None:
        self.send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def hub() -> Iterator[Hub]:
    with running(Hub()) as server:
        yield server
