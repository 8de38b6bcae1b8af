"""The notebooks in docs/: they are those of scripts/notebooks.py, and their code runs."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
from test_documents import script

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def notebooks() -> ModuleType:
    return script("notebooks")


@pytest.mark.parametrize("name", ["tag", "compress", "rows"])
def test_a_notebook_is_that_of_the_script_and_was_executed(notebooks: ModuleType, name: str) -> None:
    found = json.loads((ROOT / "docs" / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
    assert {*notebooks.NOTEBOOKS} == {file.stem for file in (ROOT / "docs" / "notebooks").glob("*.ipynb")}
    assert ["".join(cell["source"]) for cell in found["cells"]] == list(notebooks.NOTEBOOKS[name])
    code = [cell for cell in found["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == [*range(1, len(code) + 1)]
    assert not [out for cell in code for out in cell["outputs"] if out["output_type"] == "error"]
    assert str(ROOT.parent) not in json.dumps(found)


@pytest.mark.parametrize("name", ["tag", "rows"])  # compress takes minutes; tests/making runs what it calls
def test_the_code_of_a_notebook_runs(
    notebooks: ModuleType, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "results").symlink_to(ROOT / "results")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for source in notebooks.NOTEBOOKS[name][1::2]:
        exec(compile(source, f"{name}.ipynb", "exec"), names)
