"""What compression did, in a report: every number is that of a second computation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_report import STUDY, table
from made_rows import HOME, Made, Tagged

from dinku.report import build
from dinku.report.figures import Matrix
from dinku.report.sections import f1_kept_matrix
from dinku.report.tables import Table
from dinku.scoring.answers import Answers
from dinku.scoring.counts import count
from dinku.scoring.error_analysis import agreement, calibration_error, tagged
from dinku.study.results import totals


@pytest.fixture
def made(tmp_path: Path) -> Tagged:
    return Tagged(tmp_path / "results" / "made")


def written(made: Made) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in build.write(STUDY, made.results, made.folder.parent / "out")}


def test_a_matrix_of_sources_and_targets_is_drawn_with_what_pruning_took(made: Tagged) -> None:
    def f1(source: str, target: str, lost: int) -> int:
        return (80 if source == target else 40) - lost

    for source in HOME:
        one = Tagged(made.folder, corpus=f"masakhaner:{source}")
        for order, sparsity, lost in (("dense", 0.0, 0), ("before", 0.6, 10)):
            for target in (*HOME, "fon"):
                one.on(order, sparsity, {target: f1(source, target, lost)}, corpus="all", seeds=2)
    files = written(made)
    assert {"transfer.svg", "transfer.png"} <= set(files)
    text = files["report.md"].decode()
    assert "![F1 by what was trained on and what was tagged](transfer.svg)" in text
    assert files["report.html"].count(b"<svg") == 3
    for title, lost in (("dense", 0), ("before 60 %", 10)):
        head, *lines = table(text, after=f"### {title}, trained on … and tagging …")
        assert head == ["", "fon", "hau", "swa"]
        for line in lines:
            source = line[0].removeprefix("masakhaner:")
            assert line[1:] == [f"{f1(source, target, lost):.1f}" for target in ("fon", "hau", "swa")]
    again = written(made)
    assert again == files


def test_one_source_makes_no_matrix(made: Tagged) -> None:
    made.pruned("", {0: dict.fromkeys(HOME, 80), 0.6: dict.fromkeys(HOME, 60)})
    files = written(made)
    assert "transfer.svg" not in files
    assert "## Transfer" not in files["report.md"].decode()


def test_what_is_kept_on_other_texts_is_drawn(made: Tagged) -> None:
    made.pruned("", {0: dict.fromkeys(HOME, 80), 0.6: dict.fromkeys(HOME, 60), 0.9: dict.fromkeys(HOME, 0)})
    assert "kept.svg" not in written(made)
    for corpus, dense, pruned in (("elsewhere", 40, 10), ("illegible", 19, 10)):
        made.on("dense", 0, {"da": dense}, corpus=corpus)
        made.on("before", 0.6, {"da": pruned}, corpus=corpus)
    made.on("before", 0.3, dict.fromkeys(HOME, 40), seeds=1)
    made.on("before", 0.3, {"da": 40}, corpus="elsewhere", seeds=1)
    files = written(made)
    assert {"kept.svg", "kept.png"} <= set(files)
    assert "(kept.svg)" in files["report.md"].decode()
    tables = [Table.of(STUDY, part) for part in made.measurements.comparable]
    found = f1_kept_matrix(tables, made.measurements)
    assert found is not None
    home, elsewhere = found.targets
    assert (elsewhere, found.sources) == ("elsewhere", ["before 30 % (1 seed)", "before 60 %", "before 90 %"])
    assert found.f1 == {
        ("before 30 % (1 seed)", home): pytest.approx(50),
        ("before 30 % (1 seed)", elsewhere): pytest.approx(100),
        ("before 60 %", home): pytest.approx(75),
        ("before 60 %", elsewhere): pytest.approx(25),
        ("before 90 %", home): 0,
    }


def test_what_is_kept_is_of_the_first_base_whatever_others_there_are(made: Tagged) -> None:
    made.pruned("", {0: dict.fromkeys(HOME, 80), 0.6: dict.fromkeys(HOME, 60)})
    made.pruned("elsewhere", {0: {"da": 40}, 0.6: {"da": 10}})

    def found() -> Matrix | None:
        return f1_kept_matrix([Table.of(STUDY, part) for part in made.measurements.comparable], made.measurements)

    alone = found()
    assert alone is not None
    assert len(alone.targets) == 2
    other = replace(made, base="other")
    other.pruned("", {0: dict.fromkeys(HOME, 70)}, seeds=2)
    assert found() == alone


def test_a_difference_of_matrices_is_of_what_both_have() -> None:
    a = Matrix("dense", ["x", "y"], ["x"], {("x", "x"): 80.0, ("y", "x"): 40.0})
    b = Matrix("pruned", ["x", "y"], ["x"], {("x", "x"): 70.0})
    assert b.minus(a) == Matrix("pruned minus dense", ["x", "y"], ["x"], {("x", "x"): -10.0})


def test_targets_say_how_they_are_read_beside_their_f1(made: Tagged) -> None:
    made.pruned(
        "", {0: {"hau": 80, "swa": 60}, 0.6: {"hau": 70, "swa": 50}}, features={"swa": {"unknown": 12, "subwords": 310}}
    )
    head, *lines = table(written(made)["report.md"].decode(), after="## Targets")
    found = {line[0]: dict(zip(head[1:], line[1:], strict=True)) for line in lines}
    assert found["swa"]["words with an unknown piece"] == "12.0 %"
    assert found["swa"]["subwords a word"] == "3.10"
    assert found["swa"]["F1, dense"] == "60.0"
    assert found["hau"]["words with an unknown piece"] == "3.0 %"
    assert found["hau"]["without labels it lacks"] == ""


def test_perturbed_text_stands_beside_clean_text(made: Tagged) -> None:
    for order, level, clean, noisy in (("dense", 0.0, 80, 60), ("before", 0.6, 70, 35)):
        made.on(order, level, dict.fromkeys(HOME, clean))
        made.on(order, level, dict.fromkeys(HOME, noisy), perturbation="slips:0.15", changed=50)
        made.on(order, level, dict.fromkeys(HOME, clean), perturbation="lower:1", changed=100)
    text = written(made)["report.md"].decode()
    head, *lines = table(text, after="## Perturbed text")
    assert head == ["recipe", "clean", "lower:1", "slips:0.15"]
    assert lines == [
        ["dense", "80.0", "80.0 (100 %)", "60.0 (75 %)"],
        ["before 60 %", "70.0", "70.0 (100 %)", "35.0 (50 %)"],
        ["sentences changed", "", "100 %", "50 %"],
    ]
    assert table(text, after="## F1")[1][1].startswith("80.0 [")  # where perturbed rows don't count
    assert "Left out" not in text


def answered(made: Tagged, order: str, sparsity: float, found: Mapping[str, tuple[str, float]]) -> None:
    """One sentence of three words in each language, with what was found and how surely."""
    for language, (tags, sure) in found.items():
        gold, answer = [("B-PER", "I-PER", "B-LOC")] * 4, [tuple(tags.split())] * 4
        counts = count(gold, answer, [language] * 4)
        row = made.row(order, sparsity, 0, language, kind="quality", spans=totals(counts))
        made.results.add(row, counts, Answers.of(gold, answer, [np.full(3, sure)] * 4))


def test_damage_is_told_by_language_by_kind_and_by_agreement(made: Tagged) -> None:
    answered(made, "dense", 0, {"hau": ("B-PER I-PER B-LOC", 1.0), "swa": ("B-PER I-PER B-LOC", 0.5)})
    answered(made, "before", 0.6, {"hau": ("B-PER I-PER O", 1.0), "swa": ("B-PER O B-PER", 1.0)})
    text = written(made)["report.md"].decode()
    head, (line,) = (lambda rows: (rows[0], rows[1:]))(table(text, after="## Damage"))
    cells = dict(zip(head, line, strict=True))
    assert cells["part of F1 gone, the worst first"] == "swa 100.0 %, hau 33.3 %"
    assert cells["spread over languages, points"] == "33.3"
    assert cells["by label"] == "LOC 100.0 %, PER 60.0 %"
    assert cells["F1 minus dense"].startswith("-66.67 [")
    rows = {(r.arm, r.language): made.results.answers(r) for r in made.results.rows()}
    sides = [[t for language in HOME for t in rows[arm, language].found] for arm in ("dense", "before")]  # type: ignore[union-attr]
    words, sentences, _ = agreement(*sides)
    assert (cells["words tagged alike"], cells["sentences tagged alike"]) == (
        f"{100 * words:.1f} %",
        f"{100 * sentences:.1f} %",
    )
    head, dense, pruned = table(text, after="### Kinds of errors")
    assert head[1:7] == ["correct", "boundary", "label", "both", "missed", "spurious, to 100 gold"]
    assert dense[1:7] == ["100.0 %", "0.0 %", "0.0 %", "0.0 %", "0.0 %", "0.0"]
    assert pruned[1:7] == ["25.0 %", "25.0 %", "25.0 %", "0.0 %", "25.0 %", "0.0"]
    answers = [rows["before", language] for language in HOME]
    errors = [calibration_error(a.gold, tagged(a)) for a in answers if a]
    assert pruned[7] == f"{100 * np.mean(errors):.1f} %"
    for file in (made.folder / "answers").iterdir():
        file.unlink()
    text = written(made)["report.md"].decode()
    assert "Kinds of errors" not in text
    assert "tagged alike" not in text
    assert "swa 100.0 %, hau 33.3 %" in text
