"""What is to be seen first: a sentence, facts, and what each kind of compression made of the dense tagger."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from made_report import STUDY, table
from made_rows import TUNE, Made, distil, steps_of

from dinku.claims.recipes import Steps
from dinku.report import build
from dinku.report.kinds import Kind, kind_of
from dinku.report.tables import Table

CUT = {"KeepLayers": {"keep": [0]}}
PRUNE = {"Sparsify": {"sparsity": 0.5}}
INT8 = {"Quantize": {"mode": "static"}}
SPARSE = {"FineTune": {"epochs": 3, "sparsity": 0.9}}


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([TUNE], ""),
        ([PRUNE, TUNE], "pruned before training"),
        ([TUNE, PRUNE], "pruned after training"),
        ([TUNE, PRUNE, TUNE], "pruned, then trained on"),
        ([TUNE, PRUNE, INT8], "pruned after training, quantized"),
        ([CUT, TUNE], "cut before training"),
        ([TUNE, CUT, CUT, TUNE], "cut, then trained on"),
        ([TUNE, distil()], "distilled"),
        ([INT8, distil(), INT8], "distilled, quantized"),  # what was quantized first is the teacher
        ([SPARSE], "pruned in training"),
        ([INT8], "quantized"),
        ([{"OfAnotherPackage": {}}, TUNE], "changed"),
    ],
)
def test_a_kind_is_said_by_what_methods_declare(steps: list[dict[str, Any]], said: str) -> None:
    assert kind_of(Steps(steps)) == said


def test_what_shapes_the_dense_tagger_itself_is_not_said() -> None:
    dense = Steps([CUT, TUNE])
    assert kind_of(Steps([CUT, TUNE, PRUNE]), dense) == "pruned after training"
    assert kind_of(Steps([TUNE, PRUNE]), dense) == "pruned after training"


@pytest.fixture
def made(tmp_path: Path) -> Made:
    rows = Made(tmp_path / "results" / "made")
    rows.quality("dense", 0, {"hau": 90, "swa": 80})
    rows.quality("before", 0.3, {"hau": 90, "swa": 80})
    rows.quality("before", 0.5, {"hau": 89, "swa": 79}, seeds=1)
    rows.quality("before", 0.9, {"hau": 60, "swa": 40})
    rows.quality("after", 0.9, {"hau": 20, "swa": 31})
    for arm in ("before", "after"):
        rows.latency(arm, 0.9, 0.5)
    return rows


def text(made: Made, out: str = "out") -> str:
    paths = build.write(STUDY, made.results, made.folder.parent / out)
    return next(path for path in paths if path.suffix == ".md").read_text()


def test_the_first_sentence_says_what_is_kept_in_how_much_and_from_where_it_breaks(made: Made) -> None:
    lead = text(made).split("\n\n")[1]
    assert lead.startswith("**before 30 %** keeps 100.0 % of the dense tagger's F1 (85.0, dense 85.0) in 0.2 MB")
    assert "Sparsity costs less than 2 F1 up to 30 % where pruned before training (more from 90 %)." in lead
    assert "pruned after training" not in lead  # there is one level, so nothing to choose from
    made.quality("after", 0.8, {"hau": 30, "swa": 31})
    assert "Sparsity costs more than 2 F1 from 80 % where pruned after training." in text(made).split("\n\n")[1]


def test_the_first_table_has_a_recipe_of_each_kind(made: Made) -> None:
    head, *lines = table(text(made), after="# A made-up study")
    assert head[:5] == ["recipe", "F1", "minus dense", "worst language", "MB"]
    assert head[5:] == ["times smaller", "time", "of its kind", "the paper"]
    by = {line[0]: dict(zip(head, line, strict=True)) for line in lines}
    assert list(by) == [
        "**dense**",
        "**before 30 %** (pruned before training)",
        "**after 90 %** (pruned after training)",
    ]
    dense, before, after = by.values()
    assert (dense["worst language"], dense["times smaller"], dense["minus dense"]) == ("swa 80.0", "1.0", "")
    assert before["of its kind"] == "1 of 3 within 2 F1; before 90 % -35.0"
    assert (before["minus dense"], before["the paper"]) == ("+0.0 [+0.0, +0.0]", "consistent to 60 % (C1)")
    assert (after["worst language"], after["of its kind"], after["time"]) == ("hau -70.0", "", "×0.50")
    assert after["the paper"] == "less stable than before (C2)"


def test_chips_say_what_is_unfinished_outdated_single_and_judged(made: Made) -> None:
    document = STUDY.model_dump(mode="json", exclude_unset=True)
    document["recipes"].append({"arm": "never", "base": "large", "seeds": [0, 1], "steps": []})
    study = type(STUDY).model_validate(document)
    report = build.Report.of(study, made.results)
    assert report.summary is not None
    said = [chip.text for chip in report.first[1].chips]  # type: ignore[union-attr]
    assert re.fullmatch(r"unfinished: \d+ of \d+ recipes", said[0])
    assert said[1] == "no rows on large"
    assert "a single seed for 1 of 5 recipes" in said
    assert "✓ 1 of the paper's 8 claims holds" in said
    assert "time not measured" not in said


def test_of_a_kind_the_smallest_within_the_margin_stands_for_it(made: Made) -> None:
    made.quality("before", 0.7, {"hau": 90, "swa": 80})  # smaller, and as good
    made.quality("after", 0.3, {"hau": 21, "swa": 31})  # better than 90 %, and beyond the margin as well
    found = Kind.all(Table.of(STUDY, made.measurements.comparable[0]))
    assert [(kind.name, kind.best.label) for kind in found] == [
        ("pruned before training", "before 70 %"),
        ("pruned after training", "after 30 %"),
    ]


def test_without_a_dense_tagger_the_best_and_the_smallest_are_named(tmp_path: Path) -> None:
    made = Made(tmp_path / "results" / "made")
    made.quality("before", 0.3, {"hau": 90, "swa": 80})
    assert text(made).split("\n\n")[1] == "**before 30 %** reaches 85.0 F1 in 0.2 MB; its worst language is swa 80.0."
    made.quality("before", 0.9, {"hau": 60, "swa": 40})
    lead = text(made).split("\n\n")[1]
    assert (
        lead == "**before 30 %** has the most F1, 85.0 in 0.2 MB. **before 90 %** is the smallest: 50.0 F1 in 0.2 MB."
    )


def test_where_nothing_stays_within_the_margin_that_is_said(tmp_path: Path) -> None:
    made = Made(tmp_path / "results" / "made")
    made.quality("dense", 0, 80)
    made.quality("before", 0.9, 40)
    said = "No recipe is known to stay within 2 F1 of the dense tagger (80.0); **before 90 %** comes closest, -40.0 F1."
    assert said in text(made)


def test_recipes_that_quantize_otherwise_are_kinds_of_their_own(tmp_path: Path) -> None:
    made = Made(tmp_path / "results" / "made")
    made.quality("dense", 0, 80)
    for mode in ("static", "dynamic"):
        steps = [*steps_of("dense", 0), {"Quantize": {"mode": mode}}]
        made.quality("dense", 0, 79, arm=f"int8, {mode}", steps=steps)
    found = Kind.all(Table.of(STUDY, made.measurements.comparable[0]))
    assert [kind.best.label for kind in found] == ["int8, dynamic", "int8, static"]
