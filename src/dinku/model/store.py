"""The store: a folder for each address, complete once it is finished, and made by one process at a time.

``<root>/<first two digits>/<address>/`` holds ``tagger/``, ``work/`` as long as a step may have to be resumed, and
``step.json``. That file is written last, by a rename; without it, an address counts as empty. It holds the sha256 of every file
of ``tagger/`` and of itself, so that a damaged file is never used. ``<root>/answers/`` is a cache. A process that works on any of
these holds the ``.lock`` beside it.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Collection
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dinku.digests import document_digest, file_digest
from dinku.errors import DinkuError
from dinku.files import locked, os_errors_as_dinku, written


@dataclass(frozen=True)
class Store:
    """A folder of taggers and other results of steps, by the addresses of the steps."""

    root: Path

    def folder(self, address: str) -> Path:
        return self.root / address[:2] / address

    def has(self, address: str) -> bool:
        return (self.folder(address) / "step.json").is_file()

    def tagger(self, address: str) -> Path:
        return self.folder(address) / "tagger"

    def work(self, address: str) -> Path:
        """The scratch folder of a step, which survives a kill and is removed when the step is done."""
        return self.folder(address) / "work"

    @property
    def answers(self) -> Path:
        """Teachers' answers, kept for all students; may be removed at any time, and are then computed again."""
        return self.root / "answers"

    def begin(self, address: str) -> Path:
        """The folder to save an address's tagger to, without the unfinished files of a killed process."""
        folder = self.folder(address)
        with os_errors_as_dinku(folder):
            folder.mkdir(parents=True, exist_ok=True)
        for left in (self.tagger(address), *folder.glob(".tagger.*.part")):
            shutil.rmtree(left, ignore_errors=True)
        return self.tagger(address)

    def finish(self, address: str, step: dict[str, Any]) -> None:
        """Mark an address as complete. ``step`` describes how it was made."""
        folder = self.folder(address)
        whole = {**step, "files": _digests(self.tagger(address))}
        with written(folder / "step.json") as file:
            file.write(json.dumps({**whole, "sha256": document_digest(whole)}, indent=1).encode())
        self.clean(address)

    def clean(self, address: str) -> None:
        """Remove the scratch folder of an address, which mainly holds checkpoints; a kill may have left it behind."""
        shutil.rmtree(self.work(address), ignore_errors=True)

    def step(self, address: str) -> dict[str, Any]:
        """How an address was made; raises `DinkuError` if the file was damaged."""
        path = self.folder(address) / "step.json"
        remedy = f"remove {path.parent} and run again"
        try:
            step = json.loads(path.read_text(encoding="utf-8"))
            digest = step.pop("sha256", None)  # older steps have no digest of their own
        except (OSError, ValueError, AttributeError, RecursionError):
            raise DinkuError("isn't readable", where=str(path), remedy=remedy) from None
        if digest is not None and digest != document_digest(step):
            raise DinkuError("isn't as it was written", where=str(path), remedy=remedy)
        return step

    def checked(self, address: str) -> Path:
        """The folder of an address's tagger; raises a `DinkuError` that names a damaged file of it."""
        folder, known = self.tagger(address), self.step(address).get("files")
        if known is not None and known != (found := _digests(folder)):
            name = min(name for name in {*known, *found} if known.get(name) != found.get(name))
            remedy = f"remove {folder.parent} and run again"
            raise DinkuError("isn't as it was written", where=str(folder / name), remedy=remedy, status=1)
        return folder

    def taggers(self) -> list[tuple[str, int]]:
        """The complete addresses, each with the bytes of its folder."""
        return [(folder.name, _bytes(folder)) for folder in self._folders() if (folder / "step.json").is_file()]

    def sizes(self) -> dict[str, int]:
        """The bytes of *taggers*, of teachers' *answers*, and of *unfinished* steps."""
        unfinished = sum(_bytes(folder) for folder in self._folders() if not (folder / "step.json").is_file())
        whole = sum(size for _, size in self.taggers())
        return {"taggers": whole, "answers": _bytes(self.answers), "unfinished": unfinished}

    def clean_up(self, parts: Collection[str]) -> int:
        """Remove some of the parts of `sizes`, except addresses that a process works on; the bytes that were removed."""
        freed = 0
        if "answers" in parts:
            freed += _bytes(self.answers)
            shutil.rmtree(self.answers, ignore_errors=True)
        for folder in self._folders():
            whole = (folder / "step.json").is_file()
            if ("taggers" if whole else "unfinished") not in parts:
                continue
            with self.lock(folder.name, wait=False) as held:
                if held:
                    size = _bytes(folder)
                    (folder / "step.json").unlink(
                        missing_ok=True
                    )  # first, so that half a tagger isn't taken for a complete one
                    for path in folder.iterdir():
                        if path.name != ".lock":
                            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
                    freed += size - _bytes(folder)
        return freed

    def _folders(self) -> list[Path]:
        """The folders of addresses, complete or not."""
        with os_errors_as_dinku(self.root, reading=True):
            return sorted(
                path for path in self.root.glob("[0-9a-f][0-9a-f]/*") if path.is_dir() and _ADDRESS.match(path.name)
            )

    def lock(self, address: str, *, wait: bool) -> AbstractContextManager[bool]:
        """Lock an address against other processes; yields whether the lock was acquired. A kill releases it."""
        return locked(self.folder(address) / ".lock", wait=wait)


_ADDRESS = re.compile("[0-9a-f]{64}$")  # not other errors, such as those of the lock of its rows


def _bytes(folder: Path) -> int:
    """The bytes of all files in a folder, except files that vanish meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size if path.is_file() and not path.is_symlink() else 0
    return total


def _digests(folder: Path) -> dict[str, str]:
    """sha256 of every file in a folder, by its path there."""
    out = {}
    with os_errors_as_dinku(folder, reading=True):
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            out[path.relative_to(folder).as_posix()] = file_digest(path)
    return out
