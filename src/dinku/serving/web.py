"""A bundle as a page that tags in the browser: one folder of files for any web server, which works without a network, too."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import dinku
from dinku.data.task import NER, Task
from dinku.digests import file_digest
from dinku.errors import DinkuError
from dinku.files import written_folder
from dinku.model.bundle import Bundle
from dinku.model.folder import ModelFolder
from dinku.model.kinds import kind_of

PAGE = ("index.html", "page.css", "page.js", "sw.js")
# What a transformer needs besides, as npm lays it out: the file that is imported first.
LIBRARIES = {
    "ort": ("onnxruntime-web", "dist/ort.wasm.min.mjs"),
    "tokenizers": ("@huggingface/tokenizers", "dist/tokenizers.min.mjs"),
}
_WASM = ("ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")  # which onnxruntime-web loads by itself


def web_page(bundle: Bundle, out: str | os.PathLike[str], *, name: str, libraries: str | os.PathLike[str] = "") -> Path:
    """Write a folder with a page that tags text in the browser with a bundle: *index.html*, its modules and *model/*.

    Any web server can offer the folder; it must come by https, or from localhost, for browsers to keep it for when there is no
    network. A word network needs nothing else. For a transformer ``libraries`` is the *node_modules* that holds onnxruntime-web
    and @huggingface/tokenizers, whose files are copied.

    Raises `DinkuError` if the bundle is for OpenVINO, which browsers can't run, or for another task than named entities, if a
    library is missing, or ``out`` exists.

    >>> import tempfile
    >>> page = web_page(Bundle.open("dinku:masakhaner"), f"{tempfile.mkdtemp()}/page", name="masakhaner")
    >>> sorted(file.name for file in page.iterdir() if file.suffix == ".html")
    ['index.html']
    """
    if bundle.manifest.runtime != "onnxruntime":
        remedy = "export it with --runtime onnxruntime"
        raise DinkuError("is a bundle for OpenVINO, which browsers can't run", where=bundle.name, remedy=remedy)
    check_entities(bundle.task, where=bundle.name)
    found = needed_libraries(bundle.model_folder, libraries)
    with written_folder(out) as part:
        for file in sorted(modules().glob("*.js")):
            shutil.copyfile(file, part / file.name)
        for page in PAGE:
            shutil.copyfile(modules() / "page" / page, part / page)
        bundle.save(part / "model")
        for target, file in found.items():
            (part / target).parent.mkdir(exist_ok=True)
            shutil.copyfile(file, part / target)
        size = sum(file.stat().st_size for file in part.rglob("*") if file.is_file())
        about: dict[str, object] = {"name": name, "size": f"{size / 1e6:.1f} MB"}
        if found:
            about["libraries"] = {key: f"./lib/{Path(file).name}" for key, (_, file) in LIBRARIES.items()}
        manifest = {
            "name": f"{name}: find names in text",
            "short_name": name,
            "start_url": ".",
            "display": "standalone",
        }
        for file_name, document in (("page.json", about), ("app.webmanifest", manifest)):
            (part / file_name).write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
        _keep(part)
    return Path(out)


def check_entities(task: Task, *, where: str) -> None:
    """Raise `DinkuError` for a model of a task that the page can't show."""
    if task is not NER:
        remedy = "export it without --web, and run `dinku serve`"
        raise DinkuError(f"is for {task.title}, and the page finds {NER.title}", where=where, remedy=remedy)


def modules() -> Path:
    """The folder of the JavaScript modules: ``js/`` of a clone, or what an installed package has of it."""
    package = Path(dinku.__file__).parent
    there = package / "js" if (package / "js").is_dir() else package.parents[1] / "js"
    if not (there / "dinku.js").is_file():
        raise DinkuError("the modules for browsers aren't here", where=str(there), remedy="install dinku again")
    return there


def needed_libraries(model: ModelFolder, folder: str | os.PathLike[str]) -> dict[str, Path]:
    """The files of libraries that a page needs for a model, by their places in the page's folder; none for a word network.

    Raises `DinkuError` if ``folder``, a *node_modules*, lacks one.
    """
    if "tokenizer.json" not in kind_of(model).bundle_files:
        return {}
    packages = " ".join(package for package, _ in LIBRARIES.values())
    remedy = f"run: npm install {packages}, and name its node_modules to --libraries"
    if not str(folder):
        raise DinkuError("is a transformer, which a browser runs by two libraries", where=str(model), remedy=remedy)
    out = {}
    for package, entry in LIBRARIES.values():
        first = Path(folder) / package / entry
        for file in (first, *(first.with_name(other) for other in _WASM if package == "onnxruntime-web")):
            if not file.is_file():
                raise DinkuError(f"holds no {file.relative_to(folder)}", where=str(folder), remedy=remedy)
            out[f"lib/{file.name}"] = file
    return out


def _keep(folder: Path) -> None:
    """Tell the service worker which files to keep. The name that it keeps them under changes whenever one of them does."""
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    files = [name for name in files if name != "sw.js"]
    whole = hashlib.sha256(repr([(name, file_digest(folder / name)) for name in files]).encode()).hexdigest()
    kept = json.dumps(["./" if name == "index.html" else name for name in files])
    worker = folder / "sw.js"
    text = worker.read_text(encoding="utf-8").replace('["@FILES@"]', kept).replace("@VERSION@", f"dinku-{whole[:16]}")
    worker.write_text(text, encoding="utf-8")
