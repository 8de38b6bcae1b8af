"""Models in installed packages: ``dinku:NAME`` is the model of the entry point NAME in the group ``dinku.models``.

A package such as `packages/dinku-masakhaner` holds a model's folder and says where it is: the value of its entry point is the
name of the Python package that the folder ``model`` lies in. Nothing of that package is run.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

from dinku.errors import DinkuError, nearest

GROUP = "dinku.models"
PREFIX = "dinku:"
HOUSE = f"{PREFIX}house"  # the encoder inside this package


def installed_models() -> dict[str, Path]:
    """The folders of all models that are installed, by the names under which they are opened."""
    return {HOUSE: Path(__file__).parent / "house"} | {
        f"{PREFIX}{each.name}": _folder_of(each) for each in entry_points(group=GROUP)
    }


def installed_folder(name: str) -> Path:
    """The folder of the installed model ``dinku:NAME``; raises `DinkuError` if there is none, or it holds no model."""
    models = installed_models()
    if name not in models:
        package = f"dinku-{name.removeprefix(PREFIX)}"
        remedy = f"{nearest(name, models)}run `pip install {package}`, or use one of {', '.join(sorted(models))}"
        raise DinkuError("isn't installed", where=name, remedy=remedy)
    if not (models[name] / "config.json").is_file():
        remedy = f"install dinku-{name.removeprefix(PREFIX)} again"
        raise DinkuError("its package holds no model", where=name, remedy=remedy)
    return models[name]


def _folder_of(model: EntryPoint) -> Path:
    """The folder ``model`` of a package, found without running the package; one that isn't there has no config.json."""
    spec = find_spec(model.module.partition(".")[0])
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0] if places else model.module, "model")
