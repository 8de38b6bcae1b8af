"""What several test modules share: where the real data lies, and a skip that says so."""

from __future__ import annotations

import gc
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from chromium import Browser

from dinku.cli.app import main
from dinku.files import locked

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Tests run side by side on few cores, where threads that spin for one another keep others from working.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

if TYPE_CHECKING:
    from dinku.model.runtimes import Runtime
    from dinku.nn.tagger import Tagger

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


def pytest_collection_finish() -> None:
    """Keep all that was imported out of the garbage collector's sight.

    accelerate ends each training with a full collection, which takes longer than training a tiny tagger.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real corpora and encoders beside the checkout; tests that need it skip where it is missing."""
    if not (SHARED / "data" / "masakhane-ner").is_dir():
        pytest.skip("needs ../shared with the real corpora, which is not here")
    return SHARED


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """Debian's chromium."""
    program = shutil.which("chromium")
    if not program:
        pytest.skip("needs chromium, which is not here")
    opened = Browser(program, tmp_path / "profile")
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """Where transformers.js, onnxruntime-web and the tokenizers lie for node: installed once, and kept beside other caches."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("needs node and npm, which aren't here")
    pins = [Path(__file__).parent / "export" / "javascript" / name for name in ("package.json", "package-lock.json")]
    digest = sha256(b"".join(path.read_bytes() for path in pins)).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "dinku-tests"
    folder = cache / f"javascript-{digest}"
    with locked(cache / f"javascript-{digest}.lock"):
        if not (folder / "whole").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for path in pins:
                shutil.copy(path, folder)
            command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            if done.returncode and subprocess.run(["npm", "ping"], cwd=folder, capture_output=True).returncode:
                pytest.skip("needs the npm registry, which can't be reached")
            assert done.returncode == 0, done.stderr
            (folder / "whole").touch()
    return folder / "node_modules"


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DINKU_HOME of the test's own, whose corpus cache holds the real data where there is some.

    What the developer's environment says of the network and of mirrors doesn't reach the test.
    """
    folder = tmp_path_factory.mktemp("home")
    if (SHARED / "data" / "masakhane-ner").is_dir():
        (folder / "corpora").mkdir()
        (folder / "corpora" / "masakhane-ner").symlink_to(SHARED / "data" / "masakhane-ner")
    monkeypatch.setenv("DINKU_HOME", str(folder))
    for name in ("DINKU_OFFLINE", "DINKU_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def dinku(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command line in this process, in a folder of the test's own: its status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dinku", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, err

    return run


@pytest.fixture
def place(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of the test's own with ``small.yaml`` and its corpus; its encoder is in `home`."""
    from dinku.testing import tiny_study  # which imports torch

    monkeypatch.chdir(tmp_path)
    tiny_study(tmp_path, home)
    return tmp_path


@pytest.fixture(scope="session")
def onnx_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `converted_once` keeps what it has converted."""
    return tmp_path_factory.mktemp("onnx")


@pytest.fixture(scope="module")
def converted_once(onnx_files: Path) -> Iterator[None]:
    """Within a module torch converts each tagger to ONNX once, which takes seconds; afterwards the file is copied."""
    from dinku.export import convert

    to_onnx = convert.to_onnx

    def copied(tagger: Tagger, path: Path) -> Path:
        known = onnx_files / f"{tagger.digest}.onnx"
        if not known.exists():
            to_onnx(tagger, known)
        return shutil.copyfile(known, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convert, "to_onnx", copied)
        yield


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Runtime], Path]:
    """The bundle of `tiny_tagger` for a runtime, in fp32: exported once for all tests, which read it and change copies."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # which all workers of a run share

    def bundle(runtime: Runtime = "onnxruntime") -> Path:
        from dinku.export.pipeline import export
        from dinku.testing import tiny_corpus, tiny_tagger

        folder = root / runtime / "bundle"
        with locked(root / f"{runtime}.lock"):
            if not folder.exists():
                export(tiny_tagger(), folder, tiny_corpus(160), runtime=runtime, threads=1)
        return folder

    return bundle
