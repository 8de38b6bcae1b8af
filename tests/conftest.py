"""What several test modules share: where the real data lies, and a skip that says so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dinku.testing import tiny_study

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Tests run side by side on few cores, where threads that spin for one another keep others from working.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real corpora and encoders beside the checkout; tests that need it skip where it is missing."""
    if not (SHARED / "data" / "masakhane-ner").is_dir():
        pytest.skip("needs ../shared with the real corpora, which is not here")
    return SHARED


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DINKU_HOME of the test's own, whose corpus cache holds the real data where there is some."""
    folder = tmp_path_factory.mktemp("home")
    if (SHARED / "data" / "masakhane-ner").is_dir():
        (folder / "corpora").mkdir()
        (folder / "corpora" / "masakhane-ner").symlink_to(SHARED / "data" / "masakhane-ner")
    monkeypatch.setenv("DINKU_HOME", str(folder))
    return folder


@pytest.fixture
def place(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tiny_study(tmp_path, home)
    return tmp_path
