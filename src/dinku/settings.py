"""Settings from the environment: the folder of dinku's files, and whether the network may be used."""

from __future__ import annotations

import os
from pathlib import Path

from dinku.errors import DinkuError


def home() -> Path:
    """The folder of the cache and the store: ``DINKU_HOME``, else ``dinku`` in ``XDG_CACHE_HOME``, else ``~/.cache/dinku``.

    Raises `DinkuError` if it is in a home folder that isn't known; an empty ``HOME`` would mean ``/``.
    """
    own = os.environ.get("DINKU_HOME")
    folder = own or f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/dinku"
    expanded = os.path.expanduser(folder)
    if folder.startswith("~") and (expanded == folder or (folder[1:2] == "/" and os.environ.get("HOME") == "")):
        problem = "there is no such home folder" if own else "there is no home folder for the cache"
        raise DinkuError(problem, where=folder, remedy="set DINKU_HOME to the path of a folder")
    return Path(expanded)


def offline() -> bool:
    """Whether ``DINKU_OFFLINE`` forbids the network."""
    return os.environ.get("DINKU_OFFLINE", "") not in ("", "0")
