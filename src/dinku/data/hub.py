"""Data sets of the Hub as corpora: their files, never their code, fetched at one commit and verified.

``hf:owner/name[@revision][/config]``; configurations are taken for languages. What was fetched lies under
``DINKU_HOME/corpora/hf`` with the paths of the repository, beside a list of its files and of which split each holds.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import yaml

from dinku.data.catalogue import Fetched
from dinku.data.formats.registry import SUFFIXES
from dinku.errors import DinkuError, nearest, plural, reason
from dinku.files import content, written
from dinku.progress import Progress, silent
from dinku.settings import home, offline

PREFIX = "hf:"
_NAME = re.compile(r"hf:([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w.-]+))?(?:/([\w.,-]+))?", re.ASCII)
_SPLITS = {"train": "train", "dev": "dev", "validation": "dev", "valid": "dev", "val": "dev", "test": "test"}
_LIST = "dinku-files.json"
_CARD = "README.md"
_CONVERTED = "refs/convert/parquet"  # where the Hub keeps data sets as Parquet, also those made by a script


@dataclass(frozen=True)
class _Asked:
    """The parts of a name; ``configs`` is empty if the name has none."""

    repository: str
    revision: str
    configs: tuple[str, ...]

    @classmethod
    def of(cls, name: str) -> _Asked:
        found = _NAME.fullmatch(name)
        if not found or ".." in name:
            remedy = "write it as in hf:owner/name or hf:owner/name/config"
            raise DinkuError("is no data set of the Hub", where=name, remedy=remedy)
        repository, revision, configs = found.groups()
        return cls(repository, revision or "", tuple(filter(None, (configs or "").split(","))))

    @property
    def folder(self) -> Path:
        own = f"{self.repository}@{self.revision}" if self.revision else self.repository
        return home() / "corpora" / "hf" / own

    def chosen(self, configs: Iterable[str], name: str) -> tuple[str, ...]:
        """The configurations that the name asks for: those in it, every one for *all*, or the only one there is."""
        there = tuple(configs)
        if not self.configs and len(there) > 1:
            problem = f"has {plural(len(there), 'configuration')}: {', '.join(there[:12])}"
            remedy = (
                f"name one or several, as in {PREFIX}{self.repository}/{there[0]}, or {PREFIX}{self.repository}/all"
            )
            raise DinkuError(problem, where=name, remedy=remedy)
        if not self.configs or (self.configs == ("all",) and "all" not in there):
            return there
        for each in self.configs:
            if each not in there:
                remedy = f"{nearest(each, there)}it has {', '.join(there)}"
                raise DinkuError(f"has no configuration {each!r}", where=name, remedy=remedy)
        return self.configs


def within(name: str, config: str) -> str:
    """The name of one configuration of a data set."""
    asked = _Asked.of(name)
    return f"{PREFIX}{asked.repository}" + (f"@{asked.revision}" if asked.revision else "") + f"/{config}"


def repository(name: str) -> str:
    """The repository of a data set, *owner/name*, from its name with whatever follows."""
    found = re.match(r"hf:([\w.-]+/[\w.-]+)", name, re.ASCII)
    return found[1] if found else ""


def licence(name: str) -> str:
    """The licence that the card of a fetched data set names; empty if it names none."""
    return str((_listed(_Asked.of(name).folder) or {}).get("licence", ""))


def files(name: str) -> dict[str, dict[str, tuple[Path, ...]]]:
    """The fetched files of a data set: configuration → split → files. Raises `DinkuError` if they aren't there."""
    asked = _Asked.of(name)
    remedy = f"run: dinku data fetch {name}"
    if not (listed := _listed(asked.folder)):
        raise DinkuError("isn't there", where=name, remedy=remedy)
    out = {}
    for config in asked.chosen(listed["configs"], name):
        by_split = {s: tuple(asked.folder / p for p in paths) for s, paths in listed["configs"][config].items()}
        if lacking := [path for paths in by_split.values() for path in paths if not path.is_file()]:
            raise DinkuError(f"{lacking[0].name} isn't there", where=name, remedy=remedy)
        out[_language(config, asked)] = by_split
    return out


def fetch(name: str, *, force: bool = False, progress: Progress = silent) -> list[Fetched]:
    """Fetch the data files of a data set into the cache, and verify each against the digest that the Hub gives.

    A commit that was fetched once stays, also for further configurations, unless ``force`` asks for the present one. Raises
    `DinkuError`, of status 1 if the Hub can't be reached.
    """
    from dinku.data.download import fetch as one
    from dinku.data.download import there

    asked = _Asked.of(name)
    listed = _listed(asked.folder)
    if force or not listed:
        if offline():
            problem = f"isn't in the cache ({asked.folder}), and DINKU_OFFLINE forbids the network"
            raise DinkuError(problem, where=name, remedy="unset it, or put a copy there")
        listed = _listing(asked, name)
    configs = asked.chosen(listed["configs"], name)
    wanted = [p for config in configs for paths in listed["configs"][config].values() for p in paths]
    wanted += [path for path in listed["files"] if path == _CARD]
    out = []
    for path in dict.fromkeys(wanted):
        digest, size = listed["files"][path]
        target = asked.folder / path
        if offline() and not there(target, digest, force=force):
            problem = f"{path} isn't in the cache, and DINKU_OFFLINE forbids the network"
            raise DinkuError(problem, where=name, remedy="unset it, or put a copy there")
        url = f"{_endpoint()}/datasets/{asked.repository}/resolve/{listed['commit']}/{quote(path)}"
        report = partial(progress, f"fetching {path}")
        new = one(url, target, sha256=digest, size=size, force=force, progress=report)
        out.append(Fetched(target, size, "fetched" if new else "there"))
    asked.folder.mkdir(parents=True, exist_ok=True)
    with written(asked.folder / _LIST) as file:
        file.write(json.dumps(listed, indent=1).encode())
    return out


def _language(config: str, asked: _Asked) -> str:
    return asked.repository.partition("/")[2] if config == "default" else config


def _endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def _listed(folder: Path) -> dict[str, Any] | None:
    path = folder / _LIST
    return json.loads(content(path)) if path.is_file() else None


def _listing(asked: _Asked, name: str) -> dict[str, Any]:
    """What the Hub says of a data set: its commit, the digest and size of each file, and the files of each split."""
    info = _info(asked.repository, asked.revision or "main", name)
    card = _card(asked.repository, info.sha, info.siblings, name)
    configs = _configs([each.rfilename for each in info.siblings], card)
    if not configs and not asked.revision:  # a script makes it, or its files are of other formats
        info = _info(asked.repository, _CONVERTED, name, missing_ok=True) or info
        configs = _configs([each.rfilename for each in info.siblings], {})
    if not configs:
        problem = "has no data files that dinku reads, and the Hub has no Parquet version of it"
        remedy = f"the formats are those of {', '.join(SUFFIXES)}; download the data, convert it, and name the file"
        raise DinkuError(problem, where=name, remedy=remedy)
    used = {path for by_split in configs.values() for paths in by_split.values() for path in paths} | {_CARD}
    digests = {
        each.rfilename: (each.lfs.sha256 if each.lfs else each.blob_id, each.size)
        for each in info.siblings
        if each.rfilename in used
    }
    said = card.get("license")
    licence = ", ".join(map(str, said)) if isinstance(said, list) else str(said or "")
    return {
        "repository": asked.repository,
        "commit": info.sha,
        "licence": licence,
        "files": digests,
        "configs": configs,
    }


def _info(repository: str, revision: str, name: str, *, missing_ok: bool = False) -> Any:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        return HfApi(endpoint=_endpoint()).dataset_info(repository, revision=revision, files_metadata=True)
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        if missing_ok:
            return None
        what = "revision" if isinstance(error, RevisionNotFoundError) else "public data set"
        remedy = "check the name; of a private one fetch the files with `hf download`, and name their folder"
        raise DinkuError(f"there is no such {what} on the Hub", where=name, remedy=remedy) from None
    except (HfHubHTTPError, OSError) as error:
        problem = f"can't be fetched from the Hub ({reason(error)})"
        remedy = "check the connection, the proxy or HF_ENDPOINT, and run the same again"
        raise DinkuError(problem, where=name, remedy=remedy, status=1) from None


def _card(repository: str, commit: str, siblings: Iterable[Any], name: str) -> Mapping[str, Any]:
    """The metadata in a data set's README.md, which says which files make up which configuration."""
    import tempfile

    from dinku.data.download import fetch as one

    found = next((each for each in siblings if each.rfilename == _CARD), None)
    if not found:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / _CARD
        url = f"{_endpoint()}/datasets/{repository}/resolve/{commit}/{_CARD}"
        one(url, path, sha256=found.lfs.sha256 if found.lfs else found.blob_id, size=found.size)
        text = path.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n")
    parts = text.split("---\n", 2)
    try:
        said = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip() else {}
    except yaml.YAMLError:
        raise DinkuError(f"the metadata in its {_CARD} isn't YAML", where=name, remedy="tell its owner") from None
    return said if isinstance(said, dict) else {}


Configs = dict[str, dict[str, list[str]]]


def _configs(paths: Iterable[str], card: Mapping[str, Any]) -> Configs:
    """configuration → split → data files: as the card says, or else by the names of folders and files."""
    data = [path for path in paths if _is_data(PurePosixPath(path))]
    if said := _by_card(data, card.get("configs")):
        return said
    out: Configs = {}
    for path in sorted(data):
        *folders, file = PurePosixPath(path).parts
        words = re.split(r"[-_.]", PurePosixPath(file).stem)
        split = next((_SPLITS[part] for part in [*reversed(folders), *words] if part in _SPLITS), "")
        config = next((part for part in folders if part not in _SPLITS and part != "data"), "default")
        if split:
            out.setdefault(config, {}).setdefault(split, []).append(path)
    return out


def _is_data(path: PurePosixPath) -> bool:
    """Whether a file may hold sentences; a path that leads out of the repository is none."""
    return (
        path.suffix in SUFFIXES and not path.name.startswith(".") and not path.is_absolute() and ".." not in path.parts
    )


def _by_card(data: list[str], configs: Any) -> Configs:
    out: Configs = {}
    for config in configs if isinstance(configs, list) else []:
        entries = config.get("data_files") if isinstance(config, dict) else None
        for entry in entries if isinstance(entries, list) else []:
            split = _SPLITS.get(entry.get("split", "")) if isinstance(entry, dict) else None
            patterns = entry.get("path") if split else None
            for pattern in patterns if isinstance(patterns, list) else [patterns]:
                found = [path for path in data if isinstance(pattern, str) and fnmatchcase(path, pattern)]
                if split and found:
                    by_split = out.setdefault(str(config.get("config_name", "default")), {})
                    by_split.setdefault(split, []).extend(found)
    return out
