"""Store: address → folder. What is there is whole, and is made by one process at a time.

``<root>/<first two digits>/<address>/`` holds ``tagger/``, ``work/`` while a step may have to be resumed, and
``step.json``, written last by a rename: without it there is nothing at the address. It holds the sha256 of every file of
``tagger/``, and of itself, so that what a disk changed is never used. ``<root>/answers/`` is a cache; ``.lock`` beside any of
these says who works on it.
"""

from __future__ import annotations

import json
import shutil
from contextlib import AbstractContextManager
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
        """Scratch that survives a kill, and goes when the step is done."""
        return self.folder(address) / "work"

    @property
    def answers(self) -> Path:
        """What teachers answered, kept for every student; may be removed at any time, and is then made again."""
        return self.root / "answers"

    def begin(self, address: str) -> Path:
        """Where to save the tagger of an address; what a killed process left half-written there is removed."""
        folder = self.folder(address)
        with os_errors_as_dinku(folder):
            folder.mkdir(parents=True, exist_ok=True)
        for left in (self.tagger(address), *folder.glob(".tagger.*.part")):
            shutil.rmtree(left, ignore_errors=True)
        return self.tagger(address)

    def finish(self, address: str, step: dict[str, Any]) -> None:
        """Mark an address as whole. ``step`` says how it was made."""
        folder = self.folder(address)
        whole = {**step, "files": _digests(self.tagger(address))}
        with written(folder / "step.json") as file:
            file.write(json.dumps({**whole, "sha256": document_digest(whole)}, indent=1).encode())
        self.clean(address)

    def clean(self, address: str) -> None:
        """Remove what only making an address needed, checkpoints before all; a kill may have left that of one that is whole."""
        shutil.rmtree(self.work(address), ignore_errors=True)

    def step(self, address: str) -> dict[str, Any]:
        """How an address was made; raises `DinkuError` where that isn't as it was written."""
        path = self.folder(address) / "step.json"
        remedy = f"remove {path.parent} and run again"
        try:
            step = json.loads(path.read_text(encoding="utf-8"))
            digest = step.pop("sha256", None)  # steps made before it was kept have none
        except (OSError, ValueError, AttributeError, RecursionError):
            raise DinkuError("isn't readable", where=str(path), remedy=remedy) from None
        if digest is not None and digest != document_digest(step):
            raise DinkuError("isn't as it was written", where=str(path), remedy=remedy)
        return step

    def checked(self, address: str) -> Path:
        """Where the tagger of an address is; raises `DinkuError` naming a file of it that isn't as it was written."""
        folder, known = self.tagger(address), self.step(address).get("files")
        if known is not None and known != (found := _digests(folder)):
            name = min(name for name in {*known, *found} if known.get(name) != found.get(name))
            remedy = f"remove {folder.parent} and run again"
            raise DinkuError("isn't as it was written", where=str(folder / name), remedy=remedy, status=1)
        return folder

    def lock(self, address: str, *, wait: bool) -> AbstractContextManager[bool]:
        """Hold an address against other processes; says whether it was had. A kill lets it go."""
        return locked(self.folder(address) / ".lock", wait=wait)


def _digests(folder: Path) -> dict[str, str]:
    """sha256 of every file in a folder, by its path there."""
    out = {}
    with os_errors_as_dinku(folder, reading=True):
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            out[path.relative_to(folder).as_posix()] = file_digest(path)
    return out
