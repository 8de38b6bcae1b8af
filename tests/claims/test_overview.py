"""Verdicts of several studies in a few words."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_report import STUDY
from made_rows import Made

from dinku.claims.ledger import ledger, repeats, together
from dinku.claims.overview import Progress, agreed, cell, sentence, weightiest


@pytest.fixture
def made(tmp_path: Path) -> Made:
    rows = Made(tmp_path / "results" / "whole")
    rows.quality("dense", 0, 80)
    rows.quality("before", 0.3, 80)
    rows.quality("before", 0.6, 60)
    return rows


def test_the_same_rows_are_counted_once(made: Made) -> None:
    part = Made(made.folder.parent / "part")
    part.quality("dense", 0, 80)
    part.quality("before", 0.6, 60)
    other = Made(made.folder.parent / "other", base="another")
    other.quality("dense", 0, 80)
    other.quality("before", 0.6, 80)
    by = together({each.folder.name: ledger(each.measurements) for each in (made, part, other)})["C1"]
    assert repeats(by) == {"part": "whole"}
    assert agreed(by) == "holds in 1 of 2, fails in 1"
    assert weightiest(by)[0] == "whole"
    twice = together({name: ledger(made.measurements) for name in ("b", "a", "c")})["C1"]
    assert repeats(twice) == {"b": "a", "c": "a"}
    assert agreed(twice) == "fails in 1 study"


def test_a_cell_and_a_sentence_name_what_decides(made: Made) -> None:
    by = together({"whole": ledger(made.measurements)})
    ((_, verdict),) = by["C1"]
    assert cell(verdict) == "✗ -20.0"
    said = sentence("C1", by["C1"])
    assert "Here it fails: 60 %: -20.0 [" in said
    assert said.endswith(" ×3, on tiny, 2 languages, 3 seeds, in whole.")
    assert sentence("C2", by["C2"]).endswith("Not measured.")
    made.quality("before", 0.5, 30)
    low = made.verdict("C1")
    assert low.measured == pytest.approx(-20)
    assert low.number == "-20.0"


def test_a_lower_level_that_alone_fails_c1_is_the_one_that_decides(tmp_path: Path) -> None:
    made = Made(tmp_path / "results" / "made")
    for level, f1 in ((0.0, 80), (0.3, 60), (0.6, 80)):
        made.quality("before" if level else "dense", level, f1)
    found = made.verdict("C1")
    assert (found.verdict, found.measured, found.number) == ("fails", 0.0, "-20.0")
    assert found.decides.startswith("30 %: -20.0 [")


def test_what_is_left_out_is_told_by_reason(made: Made) -> None:
    made.quality("before", 0.6, 20, training={"rate": 1.0}, seeds=1)
    Made(made.folder, base="another").quality("dense", 0, 20, seeds=1)
    left = made.verdict("C1").left_out
    assert left == {"trained otherwise": 2, "another base": 2}
    assert f"{sum(left.values())} rows of other bases" in made.verdict("C1").found


def test_progress_counts_recipes_and_names_a_base_without_rows(made: Made) -> None:
    blocks = [block.model_copy(update={"seeds": [0, 1, 2]}) for block in STUDY.recipes]
    blocks[2] = blocks[2].model_copy(update={"base": "never"})
    progress = Progress.of(STUDY.model_copy(update={"recipes": blocks}), made.measurements.rows)
    assert str(progress) == "3 of 9 recipes measured; none on never"
    assert not progress.is_finished
