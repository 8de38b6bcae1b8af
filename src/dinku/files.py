"""Files that are written whole or not at all, even if the process is killed; and reading that refuses pipes and devices."""

from __future__ import annotations

import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from dinku.errors import DinkuError


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[BufferedReader]:
    """Open a file for reading bytes. Raises `DinkuError` for a pipe or a device, which might never end or never begin."""
    with open(path, "rb", opener=_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise _irregular(path)
        yield file


def content(path: str | os.PathLike[str]) -> bytes:
    """All bytes of a file. Raises `DinkuError` as `reading` does."""
    with reading(path) as file:
        return file.read()


def check_regular(folder: Path) -> None:
    """Raise `DinkuError` if a folder holds a pipe, a device or a socket, which other libraries might wait for forever."""
    with os_errors_as_dinku(folder, reading=True):
        for path in sorted(folder.iterdir()):
            if path.exists() and not path.is_file() and not path.is_dir():
                raise _irregular(path)


def _at_once(path: str, flags: int) -> int:
    """An opener that doesn't wait for the writer of a pipe, on systems that have pipes."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _irregular(path: str | os.PathLike[str]) -> DinkuError:
    return DinkuError("is a pipe or a device, not a file", where=str(path), remedy="put the file itself there")


@contextmanager
def written(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing bytes; it appears at ``path`` when the block ends without an error.

    A pipe or a device at ``path`` can't be replaced, so it is written to directly. Raises `DinkuError`, of status 1 if the system
    refuses, and of 2 for a path that names no file.
    """
    target, part = Path(path), _beside(path)
    with os_errors_as_dinku(target):
        if target.exists() and not target.is_file() and not target.is_dir():
            with open(target, "wb") as file:
                yield file
            return
        try:
            with open(part, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)


@contextmanager
def written_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A folder to fill, which appears at ``path`` when the block ends without an error; the modes of its files follow the umask.

    Raises `DinkuError` at once if anything but an empty folder is at ``path``.
    """
    target, part = Path(path), _beside(path)
    with os_errors_as_dinku(target):
        if target.exists() and any(target.iterdir() if target.is_dir() else [target]):
            raise DinkuError("already exists", where=str(target), remedy="name a new folder")
        try:
            part.mkdir(parents=True)
            yield part
            _follow_umask(part)
            if target.is_dir():
                target.rmdir()
            part.replace(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold a lock file against other processes; yields whether the lock was acquired. If the process is killed, it is released.

    Raises `DinkuError`, of status 1, if the file system has no locks: a file in place of a lock would outlive a killed
    process, and others would wait for it forever.
    """
    with os_errors_as_dinku(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, fallback_to_soft=False)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:  # which is an OSError
        yield False
        return
    except OSError as error:
        problem = f"can't be locked ({error.strerror or error})"
        remedy = "check its permissions, or use a folder on a file system that has locks"
        raise DinkuError(problem, where=str(path), remedy=remedy, status=1) from None
    try:
        yield True
    finally:
        lock.release()


@contextmanager
def os_errors_as_dinku(path: Path, *, reading: bool = False) -> Iterator[None]:
    """Turn an `OSError` within the block into a `DinkuError` of status 1 that names ``path``."""
    try:
        yield
    except OSError as error:
        problem = f"can't be {'read' if reading else 'written'} ({error.strerror or error})"
        remedy = "check its permissions" if reading else "check the folder, its permissions and space"
        raise DinkuError(problem, where=str(path), remedy=remedy, status=1) from None


def _follow_umask(folder: Path) -> None:
    """Give each file the mode that `open` would give it; some libraries make files for their owner alone.

    The mode is derived from the folder's, as the umask can't be read without changing it for all threads.
    """
    mode = folder.stat().st_mode & 0o666
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(mode)


def _beside(path: str | os.PathLike[str]) -> Path:
    """The name of the unfinished file: unique to the process, and not matched by patterns for finished files."""
    if not (name := Path(path).name):
        raise DinkuError("names no file", where=str(Path(path)), remedy="add a name")
    return Path(path).with_name(f".{name}.{uuid.uuid4().hex[:8]}.part")
