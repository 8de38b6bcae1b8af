"""Builds, checks and tags a release of the version in ``src/dinku/__init__.py``, and stops before the upload.

``python scripts/release.py`` refuses a working tree with changes, a version that has a tag or no heading in the changelog,
and a package whose metadata or command isn't that version's. It leaves the files in ``dist/`` and an annotated tag
``v<version>``, and prints the commands that publish both. It needs nothing but Python, pip, git and setuptools.
"""

from __future__ import annotations

import argparse
import email
import email.message
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Refused(Exception):
    """Why there is no release, as one line."""


def run(*command: str | Path, root: Path = ROOT) -> str:
    """What a command prints; raises `Refused` with the last line of its errors if it fails."""
    done = subprocess.run([*map(str, command)], cwd=root, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        raise Refused(f"{' '.join(map(str, command[:4]))} ended with status {done.returncode}: {said[-1]}")
    return done.stdout.strip()


def version_of(root: Path) -> str:
    """The version of dinku, from the one place where it stands."""
    source = (root / "src" / "dinku" / "__init__.py").read_text(encoding="utf-8")
    (version,) = re.findall(r'^__version__ = "(.+)"$', source, re.M)
    return str(version)


def check_source(root: Path, version: str) -> str:
    """The changelog's text on a version; raises `Refused` unless the commit is fit to be tagged."""
    if changed := run("git", "status", "--porcelain", root=root):
        raise Refused(f"the working tree has changes ({changed.splitlines()[0].strip()}, …); commit or remove them")
    if run("git", "tag", "--list", f"v{version}", root=root):
        raise Refused(f"v{version} is tagged already; raise the version in src/dinku/__init__.py")
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$\n(.*?)(?=^## |\Z)"
    if not (found := re.search(heading, changelog, re.M | re.S)):
        raise Refused(f"CHANGELOG.md has no heading '## [{version}] - <date>'; write one above what is new")
    if not (text := found[1].strip()):
        raise Refused(f"CHANGELOG.md says nothing under [{version}]; write what is new")
    return text


def build(root: Path, out: Path) -> tuple[Path, Path]:
    """Build the source distribution and the wheel into a folder, from the committed files alone.

    A ``build`` folder in the working tree would lend the wheel what is no longer there.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        run("git", "archive", "--output", Path(folder, "source.tar"), "HEAD", root=root)
        with tarfile.open(Path(folder, "source.tar")) as file:
            file.extractall(source, filter="data")
        for kind in ("sdist", "wheel"):
            code = f"import setuptools.build_meta as backend, sys; backend.build_{kind}(sys.argv[1])"
            run(sys.executable, "-c", code, out, root=source)
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return sdist, wheel


def check_metadata(root: Path, sdist: Path, wheel: Path) -> None:
    """Raise `Refused` where the metadata of either file isn't the project's, or a file that it needs at run time is missing."""
    about = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        (name,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        in_wheel = file.read(name)
    with tarfile.open(sdist) as file:
        member = file.extractfile(f"{sdist.name.removesuffix('.tar.gz')}/PKG-INFO")
        assert member is not None
        in_sdist = member.read()
    for where, raw in ((wheel.name, in_wheel), (sdist.name, in_sdist)):
        found: email.message.Message = email.message_from_bytes(raw)
        wanted = {
            "Name": about["name"],
            "Version": version_of(root),
            "Summary": about["description"],
            "Requires-Python": about["requires-python"],
            "License-Expression": about["license"],
            "Description-Content-Type": "text/markdown",
        }
        for key, value in wanted.items():
            if found[key] != value:
                raise Refused(f"{where}: {key} is {found[key]!r}, not {value!r}")
        if found.get_payload(decode=True) != (root / "README.md").read_bytes():
            raise Refused(f"{where}: its description isn't README.md")
    tracked = run("git", "ls-files", "src/dinku", root=root).splitlines()
    if missing := sorted({path.removeprefix("src/") for path in tracked} - names):
        raise Refused(f"{wheel.name}: lacks {missing[0]}; add it to the package data in pyproject.toml")


def check_installed(wheel: Path, version: str) -> None:
    """Install the wheel alone into a fresh folder, and raise `Refused` unless its command tells the version."""
    with tempfile.TemporaryDirectory() as folder:
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target")
        run(*pip, folder, wheel)
        # -I keeps the checkout and the environment's variables out, so that the installed files are the ones that run.
        code = f"import sys; sys.path.insert(0, {folder!r}); from dinku.__main__ import main; main()"
        said = run(sys.executable, "-I", "-c", code, "--version", root=Path(folder))
    if said != f"dinku {version}":
        raise Refused(f"{wheel.name}: once installed, dinku --version prints {said!r}")


def release(root: Path) -> list[str]:
    """Build, check and tag; the commands that publish the release."""
    version = version_of(root)
    text = check_source(root, version)
    out = root / "dist"
    out.mkdir(exist_ok=True)
    for old in (*out.glob("*.whl"), *out.glob("*.tar.gz")):
        old.unlink()
    sdist, wheel = build(root, out)
    check_metadata(root, sdist, wheel)
    check_installed(wheel, version)
    message = f"dinku {version}\n\n{text}"
    run(
        "git", "tag", "--annotate", "--cleanup=verbatim", "--message", message, f"v{version}", root=root
    )  # headings stay
    return [
        f"git push origin v{version}",
        f"python -m twine upload {sdist.relative_to(root)} {wheel.relative_to(root)}",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script; 0 once the release is built and tagged, 1 with one line on stderr if it is refused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(arguments)
    try:
        commands = release(ROOT)
    except Refused as refused:
        print(f"release: {refused}", file=sys.stderr)
        return 1
    print("built, checked and tagged; publish it with:", *commands, sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
