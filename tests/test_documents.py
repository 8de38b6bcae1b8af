"""What documents say of measurements is what the rows say: run ``python scripts/documents.py`` if one of these fails."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def documents() -> ModuleType:
    return script("documents")


def test_the_findings_are_those_of_the_rows(documents: ModuleType) -> None:
    assert documents.FINDINGS.read_text(encoding="utf-8") == documents.findings()


def test_the_readme_says_of_sizes_what_the_rows_do(documents: ModuleType) -> None:
    text = documents.README.read_text(encoding="utf-8")
    assert text == documents.readme(text)


def test_the_chart_shows_the_points_of_the_rows(documents: ModuleType) -> None:
    shown = documents.points()
    assert len(shown) > 5
    assert documents.charted(documents.CHART.read_bytes()) == shown
    assert documents.charted(documents.chart(shown[:3])) == shown[:3]


def test_a_recipe_that_is_asked_for_must_be_one(documents: ModuleType) -> None:
    with pytest.raises(LookupError, match="pruning-cpu: nothing"):
        documents.rows("pruning-cpu")("nothing")
    with pytest.raises(LookupError, match="transfer-cpu: dense"):
        documents.rows("transfer-cpu")("dense")  # on five corpora
    with pytest.raises(LookupError, match="0 tables"):
        documents.logged("of nothing at all")


def test_numbers_cited_from_the_log_stand_there(documents: ModuleType) -> None:
    assert documents.cited("spaCy CNN", "mean") == "68.6"
    assert documents.logged("spaCy's CNN") in (ROOT / "docs" / "peers.md").read_text(encoding="utf-8")


def test_the_terminal_shows_what_commands_print() -> None:
    terminal = script("terminal")
    measured = re.compile(r"\b[01]\.\d+\b")  # scores and MB, which round otherwise on another machine
    shown, now = (measured.sub("n", text) for text in (terminal.SVG.read_text(encoding="utf-8"), terminal.terminal()))
    assert shown == now
    assert not re.search(r"(?:href|url\()[^#]*https?:", shown)
