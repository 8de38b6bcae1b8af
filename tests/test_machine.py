"""The machine and the source: threads that are refused, the commit of the whole source tree, one version."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import dinku
from dinku import machine
from dinku.errors import DinkuError
from dinku.machine import available_threads, check_threads, commit_of, environment
from dinku.model.store import Store
from dinku.study.definition import Study
from dinku.study.results import Results
from dinku.study.run import Runner

ROOT = Path(__file__).parent.parent
SOURCE = Path(dinku.__file__).parent


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.mark.parametrize("asked", [0, -1, 4096])
def test_threads_that_no_user_means_are_refused(asked: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "available_threads", lambda: 2)
    with pytest.raises(DinkuError) as error:
        check_threads(asked, where="--threads")
    assert str(error.value) == f"--threads: is {asked:,}; give 1 to 8, four for each core here"
    check_threads(8, where="--threads")
    check_threads(None, where="--threads")


def test_a_study_may_be_read_where_it_can_not_be_run(place: Path, home: Path) -> None:
    (place / "small.yaml").write_text((place / "small.yaml").read_text(encoding="utf-8") + "threads: 4096\n", "utf-8")
    study = Study.read("small.yaml")
    with pytest.raises(DinkuError, match=rf"^small: threads: is 4,096; give 1 to {4 * available_threads()}, four"):
        Runner(study, Store(home / "store"), Results(Path("results/small"))).run()
    assert not Path("results").exists()


def test_the_commit_in_rows_is_that_of_the_whole_source_tree(tmp_path: Path) -> None:
    copy = tmp_path / "src" / "dinku"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "README.md").write_text("as it is")
    assert commit_of(copy) == (None, False)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "src", "README.md")
    git(tmp_path, "commit", "--quiet", "-m", "all")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert commit_of(copy) == (commit, False)
    (tmp_path / "README.md").write_text("changed")  # which is no source
    assert commit_of(copy) == (commit, False)
    for changed in ("training/fit.py", "study/built_in/paper.yaml", "__init__.py"):
        before = (copy / changed).read_bytes()
        (copy / changed).write_bytes(before + b"\n")
        assert commit_of(copy) == (commit, True), changed
        (copy / changed).write_bytes(before)
    assert machine.SOURCE == SOURCE
    code = "from dinku.machine import environment; print(environment(1).commit)"
    there = {"PYTHONPATH": str(copy.parent), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=there)
    assert done.stdout.strip() == commit


def test_the_version_stands_in_one_place() -> None:
    with open(ROOT / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "dinku.__version__"}
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.M)
    assert cited
    assert cited[1] == dinku.__version__
    assert environment(1).packages["dinku"] == dinku.__version__
