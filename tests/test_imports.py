"""What is imported when: the torch-free part works where there is no torch, and importing dinku is light."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
from test_law import FILES, WITH_TORCH, room

from dinku.data.conll import read, write
from dinku.model.runtimes import Runtime
from dinku.scoring.counts import document
from dinku.testing import tiny_corpus, tiny_tagger

SOURCE = Path(__file__).parent.parent / "src" / "dinku"


@pytest.fixture(scope="module")
def without_torch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has everything the plain install has, and no torch.

    Its packages are links to those of this environment, so that nothing is fetched.
    """
    root = tmp_path_factory.mktemp("plain")
    venv.create(root, with_pip=False)
    here = Path(next(p for p in sys.path if p.endswith("site-packages")))
    there = next((root / "lib").glob("python3*")) / "site-packages"
    missing = ("torch", "transformers", "accelerate", "sentencepiece", "safetensors", "onnx-", "onnx_", "onnxscript")
    for entry in here.iterdir():
        if entry.name != "onnx" and not entry.name.lower().startswith(missing):
            (there / entry.name).symlink_to(entry)
    (there / "0.pth").write_text(str(SOURCE.parent))  # first, lest the environment's own dinku be tested
    return root / "bin" / "python"


def plain(python: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python), "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": ""},
    )


def test_the_torch_free_part_works_without_torch(without_torch: Path, tmp_path: Path) -> None:
    names = [
        name.removesuffix(".__init__")
        for name in FILES
        if room(name) not in WITH_TORCH and not name.startswith(("nn.", "methods."))
    ]
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module('dinku.' + name)\n"
    code += "try:\n import torch\nexcept ImportError: print('none')"
    done = plain(without_torch, code, *names)
    assert (done.returncode, done.stdout) == (0, "none\n"), done.stderr
    corpus = tiny_corpus()
    write(corpus, tmp_path / "gold.txt")
    folder = tiny_tagger().save(tmp_path / "tagger")
    command = "from dinku.cli.app import main; main()"
    scored = plain(without_torch, command, "score", str(tmp_path / "gold.txt"), str(tmp_path / "gold.txt"), "--json")
    assert '"f1": 1.0' in scored.stdout, scored.stderr
    inspected = plain(without_torch, command, "inspect", str(folder), "--json")
    assert f'"parameters": {tiny_tagger().shape.parameters}' in inspected.stdout, inspected.stderr
    checked = plain(
        without_torch, command, "data", "check", str(tmp_path / "gold.txt"), "--model", str(folder), "--json"
    )
    assert '"over_window": 0' in checked.stdout, checked.stderr
    refused = plain(without_torch, command, "evaluate", str(folder), "--corpus", str(tmp_path / "gold.txt"))
    assert refused.returncode == 2
    assert refused.stderr.strip() == "dinku: this command needs torch; install it with: pip install 'dinku[compress]'"


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_bundle_runs_without_torch(
    without_torch: Path, runtime: Runtime, tiny_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    corpus, tagger, bundle = tiny_corpus(160), tiny_tagger(), str(tiny_bundle(runtime))
    write(corpus, tmp_path / "gold.txt")
    command = "from dinku.cli.app import main; main()"
    asked = (bundle, "--corpus", str(tmp_path / "gold.txt"), "--json")
    evaluated = plain(without_torch, command, "evaluate", *asked)
    assert json.loads(evaluated.stdout or "{}") == document(tagger.evaluate(read(tmp_path / "gold.txt"))), (
        evaluated.stderr
    )
    predicted = plain(
        without_torch,
        command,
        "predict",
        bundle,
        str(tmp_path / "gold.txt"),
        "--conll",
        "--format",
        "conll",
    )
    tags = [line.split(" ")[1] for line in predicted.stdout.splitlines() if line]
    assert tags == [tag for found in tagger.tag(corpus.sentences) for tag in found.tags], predicted.stderr
    inspected = plain(without_torch, command, "inspect", bundle, "--json")
    assert json.loads(inspected.stdout or "{}")["runtime"] == runtime, inspected.stderr


def test_importing_dinku_is_light() -> None:
    heavy = ("torch", "transformers", "matplotlib", "numpy", "pydantic", "httpx2")
    code = f"import dinku.cli.app, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# Prints what GNU OpenMP would read at the moment when torch is about to be imported, and imports no torch.
_AS_TORCH_COMES = """
import os, sys
class Watch:
    def find_spec(self, name, *rest):
        if name == "torch":
            print(os.environ.get("GOMP_SPINCOUNT"), os.environ.get("OMP_WAIT_POLICY"))
            sys.stdout.flush()
            os._exit(0)
sys.meta_path.insert(0, Watch())
"""


@pytest.mark.parametrize(
    "route",
    [
        "from dinku.nn.tagger import Tagger",
        "import dinku.training.fit",
        "import dinku; dinku.open('tagger')",
        "from dinku.methods.finetune import word_loss; word_loss(None, {})",
        "import sys; sys.argv[1:] = ['evaluate', 'tagger', '--corpus', 'sample:hau']; "
        "from dinku.cli.app import main; main()",
    ],
)
def test_threads_wait_briefly_however_torch_is_reached(route: str, tmp_path: Path) -> None:
    (tmp_path / "tagger").mkdir()
    config = {
        "model_type": "bert",
        "architectures": ["BertForTokenClassification"],
        "id2label": {"0": "O", "1": "B-PER"},
    }
    (tmp_path / "tagger" / "config.json").write_text(json.dumps(config))
    bare = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    for given, expected in (
        ({}, "2000 None"),
        ({"GOMP_SPINCOUNT": "7"}, "7 None"),
        ({"OMP_WAIT_POLICY": "active"}, "None active"),
    ):
        command = [sys.executable, "-c", _AS_TORCH_COMES + route]
        done = subprocess.run(command, env=bare | given, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout == expected + "\n", done.stderr
