"""The release script, up to the upload: what it refuses, and what it builds, checks and tags."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dinku import __version__

ROOT = Path(__file__).parent.parent
PARTS = ("src", "scripts", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", ".gitignore")


def git(*arguments: str, root: Path) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout


def commit(root: Path) -> None:
    git("add", "--all", root=root)
    git("commit", "--quiet", "--message", "Change", root=root)


def released(root: Path) -> tuple[int, str, str]:
    command = [sys.executable, "scripts/release.py"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of what a release is made from, as it stands in this checkout."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a checkout, to know which files are part of the source")
    root = tmp_path / "dinku"
    for name in git("ls-files", "--cached", "--others", "--exclude-standard", *PARTS, root=ROOT).splitlines():
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, root / name)
    git("init", "--quiet", root=root)
    for key, value in (("user.name", "A. Person"), ("user.email", "person@example.org")):
        git("config", key, value, root=root)
    commit(root)
    return root


def test_a_release_is_built_checked_and_tagged_unless_something_is_amiss(repository: Path) -> None:
    heading = f"## [{__version__}] - 2026-01-31"
    changelog = repository / "CHANGELOG.md"
    said = changelog.read_text(encoding="utf-8").replace(f"## [{__version__}]", "## [0.0.0]")
    changelog.write_text(said, encoding="utf-8")
    (repository / "new.py").touch()
    status, _, err = released(repository)
    assert (status, "the working tree has changes" in err) == (1, True)
    commit(repository)
    status, _, err = released(repository)
    assert (status, f"CHANGELOG.md has no heading '## [{__version__}] - <date>'" in err) == (1, True)
    changelog.write_text(said.replace("## [Unreleased]", f"{heading}\n\n## [0.0.1] - 2025-01-31"), encoding="utf-8")
    commit(repository)
    status, _, err = released(repository)
    assert (status, f"CHANGELOG.md says nothing under [{__version__}]" in err) == (1, True)
    changelog.write_text(said.replace("## [Unreleased]", heading), encoding="utf-8")
    commit(repository)
    assert not (repository / "dist").exists()

    status, out, err = released(repository)
    assert (status, err) == (0, "")
    sdist, wheel = (f"dist/dinku-{__version__}{end}" for end in (".tar.gz", "-py3-none-any.whl"))
    assert out.splitlines()[1:] == [
        f"  git push origin v{__version__}",
        f"  python -m twine upload {sdist} {wheel}",
    ]
    assert sorted(path.relative_to(repository).as_posix() for path in (repository / "dist").iterdir()) == sorted(
        [sdist, wheel]
    )
    assert git("cat-file", "-t", f"v{__version__}", root=repository) == "tag\n"
    assert "### Added" in git("tag", "--list", "--format=%(contents)", f"v{__version__}", root=repository)
    assert git("rev-parse", f"v{__version__}^{{commit}}", root=repository) == git("rev-parse", "HEAD", root=repository)
    assert git("status", "--porcelain", root=repository) == ""

    status, _, err = released(repository)
    assert (status, f"v{__version__} is tagged already" in err) == (1, True)
    git("tag", "--delete", f"v{__version__}", root=repository)
    config = repository / "pyproject.toml"
    config.write_text(config.read_text(encoding="utf-8").replace('"study/built_in/*.yaml", ', ""), encoding="utf-8")
    commit(repository)
    status, _, err = released(repository)
    assert (status, "lacks dinku/study/built_in/" in err) == (1, True)
    assert git("tag", "--list", root=repository) == ""
