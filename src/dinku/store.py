"""Store: address → folder. What is there is whole, and is made by one process at a time.

``<root>/<first two digits>/<address>/`` holds ``tagger/``, ``work/`` while a step may have to be resumed, and
``step.json``, written last by a rename: without it there is nothing at the address. ``<root>/answers/`` is a cache.
"""

from __future__ import annotations

import json
import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dinku.errors import DinkuError
from dinku.files import locked, told, written


@dataclass(frozen=True)
class Store:
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
        with told(folder):
            folder.mkdir(parents=True, exist_ok=True)
        for left in (self.tagger(address), *folder.glob(".tagger.*.part")):
            shutil.rmtree(left, ignore_errors=True)
        return self.tagger(address)

    def finish(self, address: str, step: dict[str, Any]) -> None:
        """Mark an address as whole. ``step`` says how it was made."""
        folder = self.folder(address)
        with written(folder / "step.json") as file:
            file.write(json.dumps(step, indent=1).encode())
        shutil.rmtree(self.work(address), ignore_errors=True)

    def step(self, address: str) -> dict[str, Any]:
        path = self.folder(address) / "step.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise DinkuError("isn't readable", where=str(path), remedy="remove its folder and run again") from None

    def lock(self, address: str, *, wait: bool) -> AbstractContextManager[bool]:
        """Hold an address against other processes; says whether it was had. A kill lets it go."""
        return locked(self.folder(address) / ".lock", wait=wait)
