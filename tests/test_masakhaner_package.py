"""packages/dinku-masakhaner: what it weighs, what it finds, and what its card says."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

import dinku
from dinku.data.sample import Typed, typed
from dinku.model.installed import installed_models

PACKAGE = Path(__file__).parent.parent / "packages" / "dinku-masakhaner"
MODEL = PACKAGE / "src" / "dinku_masakhaner" / "model"


def test_it_is_found_by_its_name() -> None:
    assert installed_models()["dinku:masakhaner"] == MODEL


def test_it_weighs_little_and_holds_nothing_but_a_bundle() -> None:
    files = {str(path.relative_to(MODEL)): path.stat().st_size for path in MODEL.rglob("*") if path.is_file()}
    listed = json.loads((MODEL / "bundle.json").read_text(encoding="utf-8"))["files"]
    assert set(files) == {*listed, "bundle.json", "README.md"}
    assert sum(files.values()) < 3_000_000


@pytest.mark.parametrize("sentence", typed(), ids=lambda sentence: sentence.language)
def test_it_finds_what_is_in_typed_sentences(sentence: Typed) -> None:
    found = dinku.open("dinku:masakhaner", threads=1).find(sentence.text)
    assert tuple((each["start"], each["end"], each["label"]) for each in found) == sentence.entities


def test_its_licence_stands_in_the_package_and_on_the_card() -> None:
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["license"] == "CC-BY-NC-4.0"
    card = (PACKAGE / "README.md").read_text(encoding="utf-8")
    assert "CC BY-NC 4.0" in card
    assert "MasakhaNER" in card
