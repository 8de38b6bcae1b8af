"""Models that packages bring."""

from __future__ import annotations

from pathlib import Path

import pytest

from dinku.errors import DinkuError
from dinku.model.folder import find_folder
from dinku.model.installed import HOUSE, installed_models


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package as pip installs it, which brings the model ``dinku:try``; running it would fail."""
    about = tmp_path / "dinku_try-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: dinku-try\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[dinku.models]\ntry = dinku_try\ngone = dinku_gone\n")
    model = tmp_path / "dinku_try" / "model"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (tmp_path / "dinku_try" / "__init__.py").write_text("raise SystemExit")
    monkeypatch.syspath_prepend(tmp_path)
    return model


def test_a_model_of_a_package_is_found_by_its_name(package: Path) -> None:
    assert find_folder("dinku:try") == package
    assert {HOUSE, "dinku:try"} <= set(installed_models())


def test_what_is_not_installed_is_told_with_the_command_that_installs_it(package: Path) -> None:
    with pytest.raises(DinkuError, match=r"dinku:masakhane: isn't installed; .*run `pip install dinku-masakhane`"):
        find_folder("dinku:masakhane")
    with pytest.raises(DinkuError, match=r"did you mean dinku:try\?"):
        find_folder("dinku:tri")


def test_a_package_without_its_folder_is_refused(package: Path) -> None:
    with pytest.raises(DinkuError, match="dinku:gone: its package holds no model; install dinku-gone again"):
        find_folder("dinku:gone")
