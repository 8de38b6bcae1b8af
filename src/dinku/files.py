"""Files that appear whole or not at all, wherever the process that writes them is stopped; and reading of nothing but files."""

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
    """Open a file for reading bytes. Raises `DinkuError` where it is a pipe or a device, which may never end or never begin."""
    with open(path, "rb", opener=_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise _irregular(path)
        yield file


def content(path: str | os.PathLike[str]) -> bytes:
    """All bytes of a file; see `reading`."""
    with reading(path) as file:
        return file.read()


def check_regular(folder: Path) -> None:
    """Raise `DinkuError` where a folder holds a pipe, a device or a socket: other libraries would wait for it without end."""
    with told(folder, reading=True):
        for path in sorted(folder.iterdir()):
            if path.exists() and not path.is_file() and not path.is_dir():
                raise _irregular(path)


def _at_once(path: str, flags: int) -> int:
    """Open without waiting for whoever writes to a pipe, where the system knows pipes."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _irregular(path: str | os.PathLike[str]) -> DinkuError:
    return DinkuError("is a pipe or a device, not a file", where=str(path), remedy="put the file itself there")


@contextmanager
def written(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing bytes; it takes its place at ``path`` when the block ends without an error.

    What is there and is neither file nor folder, such as a pipe, can't be replaced and is written to as it is. Raises
    `DinkuError`, of status 1, where the system refuses, and of 2 for a path that names no file.
    """
    target, part = Path(path), _beside(path)
    with told(target):
        if target.exists() and not target.is_file() and not target.is_dir():
            with open(target, "wb") as file:
                yield file
            return
        try:
            with open(part, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, target)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)


@contextmanager
def written_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A folder to fill, which takes its place at ``path`` in the same way; the modes of its files follow the umask.

    Raises `DinkuError` before anything is done where anything but an empty folder is there.
    """
    target, part = Path(path), _beside(path)
    with told(target):
        if target.exists() and any(target.iterdir() if target.is_dir() else [target]):
            raise DinkuError("is there already", where=str(target), remedy="name a new folder")
        try:
            part.mkdir(parents=True)
            yield part
            _follow_umask(part)
            if target.is_dir():
                target.rmdir()
            os.replace(part, target)
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold a lock file against other processes; yields whether it was had. A kill lets it go.

    Raises `DinkuError`, of status 1, where the file system has no such locks: a file that stands for one would outlive a
    kill, and be waited for without end.
    """
    with told(path.parent):
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
def told(path: Path, *, reading: bool = False) -> Iterator[None]:
    """What the system refuses within the block, as one line: where, why, and what to do."""
    try:
        yield
    except OSError as error:
        problem = f"can't be {'read' if reading else 'written'} ({error.strerror or error})"
        remedy = "check its permissions" if reading else "check the folder, its permissions and space"
        raise DinkuError(problem, where=str(path), remedy=remedy, status=1) from None


def _follow_umask(folder: Path) -> None:
    """Give each file the mode of one that is just opened for writing: other libraries write theirs for the owner alone.

    The folder was made under the umask, which can't be asked without being changed for all threads.
    """
    mode = folder.stat().st_mode & 0o666
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(mode)


def _beside(path: str | os.PathLike[str]) -> Path:
    """The name under which a file is written: no two processes share it, and no pattern for whole files matches it."""
    if not (name := Path(path).name):
        raise DinkuError("names no file", where=str(Path(path)), remedy="add a name")
    return Path(path).with_name(f".{name}.{uuid.uuid4().hex[:8]}.part")
