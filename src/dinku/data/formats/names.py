"""Names of tags that are numbers: from ``labels``, a file's own metadata, or a file beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from dinku.data.formats.reading import How
from dinku.errors import DinkuError, brief

_BESIDE = ("dataset_info.json", "dataset_infos.json", "README.md")  # where the library datasets writes features
_LIST = "labels.txt"


def namer(path: Path, how: How, column: str, own: Any = None) -> Callable[[Any, str], Any]:
    """Turns a sentence's tags into names: those that are numbers by the first source that has their names, others as they are.

    The sources are ``labels``, the features in the file's own metadata (``own``), ``labels.txt`` beside the file with a name a
    line, and the features in the data set's ``dataset_info.json`` or ``README.md`` beside it or one or two folders above.
    """
    known: dict[int, str] = {}

    def named(tags: Any, where: str) -> Any:
        if not isinstance(tags, list) or not any(type(tag) is int for tag in tags):
            return tags
        if not known:
            known.update(_names(path, how, column, own))
        if missing := sorted({tag for tag in tags if type(tag) is int} - known.keys()):
            problem = f"the tag {missing[0]} has no name" if known else "its tags are numbers, whose names aren't known"
            remedy = f"give them, as in labels=O,B-PER,I-PER, or one a line in {_LIST} beside the file"
            raise DinkuError(problem, where=where, remedy=remedy)
        return [known[tag] if type(tag) is int else tag for tag in tags]

    return named


def _names(path: Path, how: How, column: str, own: Any) -> dict[int, str]:
    if given := how.names(str(path)):
        return given
    if found := of_features(own, column):
        return found
    beside = path.with_name(_LIST)
    if beside.is_file():
        return How(labels=str(beside)).names(str(path))
    for folder in path.absolute().parents[:3]:
        every = [names for name in _BESIDE for names in _in_file(folder / name, column, path)]
        if every:
            if any(names != every[0] for names in every):
                problem = "its tags are numbers, and the data set's configurations name them differently"
                raise DinkuError(problem, where=str(path), remedy="give the names, as in labels=O,B-PER,I-PER")
            return every[0]
    return {}


def _in_file(path: Path, column: str, data: Path) -> list[dict[int, str]]:
    """The names in a data set's own description; of several configurations that of the file's folder, if there is one."""
    if not path.is_file():
        return []
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".md":
            text = text.split("---\n")[1] if text.startswith("---\n") else ""
        # YAML reads JSON, too, but slowly.
        said = (json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)) or {}
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise DinkuError(
            f"can't be read ({brief(str(error))})", where=str(path), remedy="correct or remove it"
        ) from None
    if not isinstance(said, dict):
        return []
    info = said.get("dataset_info", said)
    one = isinstance(info, dict) and "features" in info
    every = [info] if one else list(info.values()) if isinstance(info, dict) else info if isinstance(info, list) else []
    every = [each for each in every if isinstance(each, dict)]
    own = [each for each in every if each.get("config_name") in data.absolute().parts]
    return [names for each in own or every if (names := of_features(each.get("features"), column))]


def of_features(features: Any, column: str) -> dict[int, str]:
    """The names of a column's classes in features as the library datasets writes them; none if it doesn't say."""
    if isinstance(features, list):  # in YAML
        features = {each.get("name"): each for each in features if isinstance(each, dict)}
    found = _class_names(features.get(column)) if isinstance(features, dict) else None
    if isinstance(found, dict):
        found = [found[key] for key in sorted(found, key=lambda key: int(key) if str(key).isdecimal() else 0)]
    return dict(enumerate(map(str, found))) if isinstance(found, list) else {}


def _class_names(feature: Any) -> Any:
    """The *names* somewhere within a feature, which may be nested: a list of classes, a sequence of them."""
    if isinstance(feature, dict):
        if "names" in feature:
            return feature["names"]
        return next((found for value in feature.values() if (found := _class_names(value))), None)
    return (
        next((found for value in feature if (found := _class_names(value))), None)
        if isinstance(feature, list)
        else None
    )
