"""Addresses, verdicts and tables of all that is committed are those of the golden files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from golden import FOLDER, RESULTS, STUDIES, addresses, found

from dinku.claims.compare import Difference


@pytest.mark.parametrize("name", STUDIES, ids=lambda name: Path(name).stem)
def test_addresses_of_a_study_stay(name: str, tmp_path: Path) -> None:
    golden = json.loads((FOLDER / "studies.json").read_text(encoding="utf-8"))
    assert addresses(name, tmp_path / "text") == golden[Path(name).stem]


@pytest.mark.parametrize("folder", RESULTS, ids=lambda folder: folder.name)
def test_rows_come_to_the_same_verdicts_and_tables(folder: Path) -> None:
    assert found(folder) == json.loads((FOLDER / "results" / f"{folder.name}.json").read_text(encoding="utf-8"))


def test_no_verdict_or_table_shows_a_negative_zero() -> None:
    shown = "".join(path.read_text(encoding="utf-8") for path in sorted((FOLDER / "results").iterdir()))
    assert not re.findall(r"[-−]0(?:\.0+)?(?![\d.])(?: %|[],;\" ])", shown)
    assert str(Difference(3, -0.001, -0.004, 0.0)) == "+0.00 [+0.00, +0.00] (3 seeds)"
