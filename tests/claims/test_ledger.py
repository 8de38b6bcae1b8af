"""The claims: each verdict can be reached, by the numbers its rule names and by no others.

`Made` writes made-up rows whose F1 is chosen; the tests of the report use it, too.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from statistics import stdev
from typing import Any

import numpy as np
import pytest
from made_rows import LESS, MACHINE, TUNE, Made, distil, steps_of

from dinku.claims.ledger import ledger
from dinku.claims.verdict import STATEMENTS
from dinku.methods.layers import KeepLayers
from dinku.methods.registry import to_json
from dinku.study.rows import Latency, Training


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path / "results" / "made")


def test_every_claim_is_listed_though_nothing_is_measured(made: Made) -> None:
    found = ledger(made.measurements)
    assert [v.claim for v in found] == [*(f"C{i}" for i in range(1, 9)), "Q1", "Q2", "Q3", "N1", "N2", "N3"]
    assert all((v.verdict, v.measured, v.interval, v.rows) == ("not measured", None, None, ()) for v in found)


def test_a_document_is_json_with_the_keys_that_others_rely_on(made: Made) -> None:
    made.quality("dense", 0, 80)
    made.quality("before", 0.6, 80)
    first, *_, last = json.loads(json.dumps([v.document() for v in ledger(made.measurements)]))
    assert set(first) >= {"claim", "verdict", "measured", "interval", "rows"}
    assert (first["claim"], first["verdict"], first["measured"]) == ("C1", "holds", 0.0)
    assert first["interval"] == [0.0, 0.0]
    assert first["rows"] == sorted({r.address for r in made.results.rows()})
    assert (last["verdict"], last["measured"], last["interval"], last["rows"]) == ("not measured", None, None, [])
    assert last["said"] == STATEMENTS["N3"].said


@pytest.mark.parametrize(
    ("at", "verdict"),
    [
        ({0.3: 80, 0.6: 81}, "holds"),
        ({0.3: 80, 0.6: 78}, "undecided"),
        ({0.3: 80, 0.6: 60}, "fails"),
        ({0.3: 60, 0.6: 80}, "fails"),
        ({0.6: 80, 0.7: 10}, "holds"),
    ],
)
def test_c1_is_about_every_level_up_to_60_percent(made: Made, at: dict[float, int], verdict: str) -> None:
    made.quality("dense", 0, 80)
    for sparsity, f1 in at.items():
        made.quality("before", sparsity, f1)
    found = made.verdict("C1")
    assert found.verdict == verdict
    assert found.measured == pytest.approx(at[0.6] - 80)
    assert found.interval is not None
    assert found.interval[0] <= at[0.6] - 80 <= found.interval[1]


@pytest.mark.parametrize("f1", [80, 20])
def test_c1_is_undecided_by_two_seeds_and_says_so(made: Made, f1: int) -> None:
    made.quality("dense", 0, 80)
    made.quality("before", 0.3, 80)
    made.quality("before", 0.6, f1, seeds=2)
    found = made.verdict("C1")
    assert found.verdict == "undecided"
    assert found.measured == pytest.approx(f1 - 80)
    assert "60 % has fewer than 3 seeds" in found.found
    assert "(2 seeds)" in found.found


def test_c1_without_60_percent_is_undecided_and_without_any_level_not_measured(made: Made) -> None:
    made.quality("dense", 0, 80)
    made.quality("before", 0.7, 80)
    assert made.verdict("C1").verdict == "not measured"
    made.quality("before", 0.5, 80)
    found = made.verdict("C1")
    assert (found.verdict, found.measured, found.interval) == ("undecided", None, None)
    assert "50 % +0.00" in found.found


@pytest.mark.parametrize(("before", "verdict"), [(60, "holds"), (40, "undecided"), (20, "fails")])
def test_c2_is_about_the_highest_level_with_three_seeds(made: Made, before: int, verdict: str) -> None:
    for order, f1 in (("before", before), ("after", 40)):
        made.quality(order, 0.7, 50)
        made.quality(order, 0.9, f1)
    made.quality("before", 0.95, 1 if before > 40 else 39, seeds=1, strict=0)
    made.quality("after", 0.95, 20, seeds=1)
    found = made.verdict("C2")
    assert found.verdict == verdict
    assert found.measured == pytest.approx(before - 40)
    assert "95 % " in found.found
    assert "(1 seed)" in found.found


def test_c2_with_too_few_seeds_is_undecided_and_without_high_sparsity_not_measured(made: Made) -> None:
    made.quality("before", 0.6, 80)
    made.quality("after", 0.6, 20)
    assert made.verdict("C2").verdict == "not measured"
    made.quality("before", 0.8, 80, seeds=2)
    made.quality("after", 0.8, 20, seeds=2)
    found = made.verdict("C2")
    assert found.verdict == "undecided"
    assert found.measured == pytest.approx(60)
    assert "No level has 3 seeds" in found.found


def test_c2_tells_the_spread_and_what_recovery_gives(made: Made) -> None:
    made.quality("dense", 0, {"hau": 90, "swa": 80})
    made.quality("before", 0.9, {"hau": 70, "swa": 64})
    made.quality("after", 0.9, {"hau": 10, "swa": 40})
    made.quality("after with recovery", 0.9, {"hau": 75, "swa": 69})
    found = made.verdict("C2").found
    before, after = stdev([20, 16] * 3), stdev([80, 40] * 3)
    assert f"before {before:.2f}, after {after:.2f}" in found
    assert "After with recovery, at as many epochs, minus before at 90 %: +5.00" in found


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ({0.1: 1.0, 0.5: 0.8, 0.9: 0.5}, "holds"),
        ({0.1: 1.0, 0.5: 1.0, 0.9: 1.0}, "fails"),
        ({0.1: 1.0, 0.5: 1.2, 0.9: 1.4}, "fails"),
        ({0.1: 0.5, 0.5: 0.5, 0.9: 0.5}, "undecided"),
        ({0.1: 1.0, 0.5: 0.8, 0.8: 0.5}, "undecided"),
        ({0.9: 0.5}, "undecided"),
    ],
)
def test_c7_is_about_the_slope_and_the_clocks_own_noise(made: Made, ratios: dict[float, float], verdict: str) -> None:
    for sparsity, ratio in ratios.items():
        made.quality("before", sparsity, 50, seeds=1)
        made.latency("before", sparsity, ratio)
    found = made.verdict("C7")
    assert found.verdict == verdict
    if len(ratios) > 1:
        x, y = list(ratios), list(ratios.values())
        assert found.measured == pytest.approx(np.polyfit(x, y, 1)[0], abs=1e-9)
        assert found.measured is not None
        assert found.interval is not None
        assert found.interval[0] - 1e-9 <= found.measured <= found.interval[1] + 1e-9
    else:
        assert (found.measured, found.interval) == (None, None)
    assert "itself: 0.960 to 1.040" in found.found
    assert "48 of 200 test sentences" in found.found


def test_c7_tells_the_spread_of_languages_and_keeps_to_one_machine(made: Made) -> None:
    made.latency("before", 0.5, 1.0)
    made.latency("before", 0.9, {"hau": 0.4, "swa": 0.8})
    made.latency("before", 0.9, 9.0, environment=MACHINE.model_copy(update={"cpu": "Another"}))
    found = made.verdict("C7")
    assert "0.600, from 0.400 (hau) to 0.800 (swa)" in found.found
    assert "4 points on one machine (A Processor" in found.found
    assert "2 rows of other bases" in found.found


def test_steps_count_and_not_the_names_of_arms(made: Made) -> None:
    made.quality("dense", 0, 80, arm="one")
    made.quality("before", 0.6, 80, arm="after")
    made.quality("after", 0.9, 70, arm="before")
    made.quality("before", 0.9, 10, arm="after")
    assert made.verdict("C1").verdict == "holds"
    assert made.verdict("C2").verdict == "fails"


def test_zeros_that_training_gives_up_are_no_pruning(made: Made) -> None:
    made.quality("dense", 0, 80)
    made.quality("before", 0.6, 80, training={"keep_zeros": False})
    assert made.verdict("C1").verdict == "not measured"


def test_other_bases_and_other_training_are_not_mixed_in(made: Made) -> None:
    made.quality("dense", 0, 80)
    made.quality("before", 0.6, 80)
    before = made.verdict("C1")
    made.base = "other"
    made.quality("before", 0.6, 20)
    made.base = "tiny"
    made.quality("before", 0.6, 20, training={"rate": 1.0})
    found = made.verdict("C1")
    assert (found.verdict, found.measured, found.rows) == (before.verdict, before.measured, before.rows)
    assert "Measured on tiny (sha256 " in found.found
    assert "12 rows of other bases" in found.found


def test_an_encoder_may_be_cut_first_and_is_then_the_dense_one(made: Made) -> None:
    """Of the base whole, of which there are fewer rows, nothing is said."""
    shape: list[dict[str, Any]] = [{"TrimVocabulary": {"size": 60_000}}, {"KeepLayers": {"keep": [0, 1]}}]
    made.quality("dense", 0, 95, arm="whole")
    made.quality("dense", 0, 80, steps=[*shape, *steps_of("dense", 0)], arm="cut")
    made.quality("before", 0.6, 80, steps=[*shape, *steps_of("before", 0.6)], arm="cut, before")
    found = made.verdict("C1")
    assert (found.verdict, found.measured) == ("holds", 0)
    assert "after TrimVocabulary, KeepLayers, another encoder" in found.found


def test_a_seed_is_never_two(made: Made) -> None:
    """As where a method's version rose, or the train split changed, and a study was carried out again."""
    for versions, read, f1 in (({"FineTune": 2}, "b", 40), ({"FineTune": 3}, "b", 80), ({"FineTune": 3}, "a", 20)):
        trained = Training(
            address="f" * 64, seconds=1, precision="float32", machine="m", consumes={"train": read}, dirty=False
        )
        words = trained.model_copy(update={"consumes": {"train": f"the words of {read} alone"}})
        for arm, level in (("dense", 0), ("before", 0.6)):
            if read == "b" or arm == "dense":  # most rows learnt from this one
                told = (words, trained) if arm == "before" else (trained,)
                address = hashlib.sha256(f"{versions}{read}{arm}".encode()).hexdigest()
                made.quality(arm, level, f1, seeds=[0], versions=versions, trainings=told, address=address)
    first, second = made.measurements.comparable
    assert {run.title: round(run.mean) for run in first.runs} == {
        "dense": 80,
        "before sparsity=0.6": 80,
    }
    assert {run.title: round(run.mean) for run in second.runs} == {"dense": 20}
    assert made.verdict("C1").measured == pytest.approx(0)


def test_a_run_that_is_not_measured_on_every_language_is_left_out(made: Made) -> None:
    made.quality("dense", 0, 80)
    made.quality("before", 0.6, 80)
    made.languages = ("hau",)
    made.quality("before", 0.3, 10)
    found = made.verdict("C1")
    assert found.verdict == "holds"
    assert "30 %" not in found.found
    assert "3 rows of other bases" in found.found


def test_found_names_encoder_languages_seeds_and_what_part_of_the_split(made: Made) -> None:
    made.split_size = 552
    made.quality("dense", 0, 80)
    made.quality("before", 0.6, 80)
    found = made.verdict("C1").found
    assert "another encoder than the paper's AfriBERTa" in found
    assert "hau, swa; 200 of 1,104 test sentences; 3 seeds" in found
    assert "sample" not in found


def test_the_papers_encoder_and_the_sample_are_called_what_they_are(made: Made) -> None:
    made.base, made.corpus = "castorini/afriberta_base", "sample:hau,swa"
    made.quality("dense", 0, 80)
    made.quality("before", 0.6, 80)
    found = made.verdict("C1").found
    assert "another encoder" not in found
    assert "the embedded sample, no real corpus" in found


@pytest.mark.parametrize(("f1", "verdict"), [(80, "holds"), (70, "fails"), (78, "undecided")])
def test_c3_is_about_students_that_are_a_quarter_smaller(made: Made, f1: int, verdict: str) -> None:
    assert made.verdict("C3").verdict == "not measured"
    made.quality("dense", 0, 80, steps=[TUNE], arm="teacher")
    made.quality("dense", 0, f1, steps=[TUNE, distil()], arm="student", parameters=36_000)
    made.quality("dense", 0, 20, steps=[TUNE, distil(temperature=3.0)], arm="tiny", parameters=10_000)
    found = made.verdict("C3")
    assert found.verdict == verdict
    assert found.measured == pytest.approx(f1 - 80)
    assert "28 % smaller (student)" in found.found
    assert "80 % smaller (tiny)" in found.found
    assert len(found.rows) == 9


def test_c3_is_harder_the_more_students_there_are(tmp_path: Path) -> None:
    made = Made(tmp_path / "results" / "made", languages=("hau", "ibo", "kin", "lug", "swa", "yor"))
    made.quality("dense", 0, 80, steps=[TUNE], arm="teacher")
    made.quality("dense", 0, 79, steps=[TUNE, distil()], arm="student", parameters=36_000)
    assert made.verdict("C3").verdict == "holds"
    for i in range(8):
        made.quality("dense", 0, 77, steps=[TUNE, distil(gold=i / 10)], arm=f"student {i}", parameters=36_000)
    found = made.verdict("C3")
    assert found.verdict == "undecided"
    assert found.measured == pytest.approx(-1)


def test_c3_is_undecided_by_two_seeds_or_by_smaller_students(made: Made) -> None:
    made.quality("dense", 0, 80, steps=[TUNE])
    made.quality("dense", 0, 50, steps=[TUNE, distil()], parameters=20_000, arm="student")
    assert made.verdict("C3").verdict == "undecided"
    made.quality("dense", 0, 79, steps=[TUNE, distil(gold=0.5)], parameters=36_000, seeds=2, arm="two")
    found = made.verdict("C3")
    assert found.verdict == "undecided"
    assert found.measured == pytest.approx(-1.0)
    assert "too few to judge by" in found.found


def test_the_teacher_is_the_recipe_without_the_distillation(made: Made) -> None:
    """On text it is the encoder that was fine-tuned whole, though otherwise trained; a student without one isn't judged."""
    on_text = {"DistilText": {"sentences": 1000, "student": [LESS]}}
    other = {"FineTune": {"epochs": 9, "rate": 2e-4}}
    made.quality("dense", 0, 60, steps=[on_text, other], parameters=36_000, arm="student")
    found = made.verdict("C3")
    assert found.verdict == "not measured"
    assert "student, seed 0 1 2 (no teacher measured with the same seed, data and text)" in found.found
    made.quality("dense", 0, 10, steps=[LESS, TUNE], parameters=36_000, arm="small alone")
    made.quality("dense", 0, 65, steps=[{"FineTune": {"epochs": 1, "rate": 1e-4}}], arm="little")
    assert made.verdict("C3").measured == pytest.approx(-5)
    made.quality("dense", 0, 70, steps=[TUNE], arm="teacher")
    assert made.verdict("C3").measured == pytest.approx(-10)  # the better recipe of those that were trained otherwise
    made.quality("dense", 0, 99, steps=[{"FineTune": {"epochs": 2, "rate": 1e-4}}], arm="lucky", seeds=1)
    assert made.verdict("C3").measured == pytest.approx(-10)  # one recipe for all seeds, never the best of each
    made.quality("dense", 0, 65, steps=[other], arm="the same")
    assert made.verdict("C3").measured == pytest.approx(-5)


def test_c3_is_about_layers_and_a_teacher_that_is_one(made: Made) -> None:
    def found(f1: int, said: str, **more: Any) -> None:
        made.quality("dense", 0, f1, **{"parameters": 36_000, "arm": "student", **more})
        verdict = made.verdict("C3")
        assert verdict.verdict == "not measured"
        assert f"student ({said})" in verdict.found

    made.quality("dense", 0, 80, steps=[TUNE], arm="teacher")
    trimmed = distil(student=[{"TrimVocabulary": {"size": 9}}])
    found(80, "it has another vocabulary than its teacher", steps=[TUNE, trimmed])
    made.folder = made.folder.parent.parent / "worse" / "made"
    made.quality("dense", 0, 40, steps=[TUNE], arm="teacher")
    found(50, "its teacher does worse than it", steps=[TUNE, distil()])
    made.folder = made.folder.parent.parent / "weak" / "made"
    made.quality("dense", 0, 51, steps=[TUNE], arm="teacher")
    made.quality("dense", 0, 60, steps=[LESS, TUNE], arm="alone", parameters=36_000)
    found(50, "a smaller encoder without a teacher does better than its teacher", steps=[TUNE, distil()])


def test_what_was_read_is_not_mixed(made: Made) -> None:
    """Neither text of another name, nor content that is known to be other under the same name."""

    def training(**consumes: str) -> tuple[Training, ...]:
        return (Training(address="a", seconds=1.0, precision="float32", machine="m", dirty=False, consumes=consumes),)

    made.quality("dense", 0, 80, steps=[TUNE], arm="teacher", trainings=training(train="new"))
    made.quality("dense", 0, 79, steps=[TUNE, distil()], arm="old", parameters=36_000, trainings=training(train="old"))
    found = made.verdict("C3")
    assert found.verdict == "not measured"
    assert "old, seed 0 1 2 (no teacher measured with the same seed, data and text)" in found.found
    first = {"KeepLayers": {"keep": [0, 1, 2, 3, 4]}}
    made.quality("dense", 0, 75, steps=[first, TUNE], arm="base", parameters=40_000)
    for text, content in (("one", "a"), ("other", "a"), ("one", "b")):
        base = Made(made.folder.parent.parent / f"{text}-{content}" / "made")
        read = {"transfer": 9}
        for made_, steps, arm, n, t, c in (
            (base, [TUNE], "teacher", 50_000, "one", "a"),
            (base, [first, TUNE], "base", 40_000, "one", "a"),
            (base, [TUNE, distil(**read)], "large's", 20_000, "one", "a"),
            (base, [first, TUNE, distil(**read)], "base's", 20_000, text, content),
        ):
            f1 = {"teacher": 80, "base": 75, "large's": 74, "base's": 70}[arm]
            more: dict[str, Any] = {"text": t, "trainings": training(text=c)}
            made_.quality("dense", 0, f1, steps=steps, arm=arm, parameters=n, **more)
        verdict = base.verdict("C4")
        if (text, content) == ("one", "a"):
            assert verdict.measured == pytest.approx(4)
            assert "Left out" not in verdict.found
        else:
            assert verdict.verdict == "not measured"
            assert "large's (no such student of another teacher with the same seed, data and text)" in verdict.found


def test_c4_pairs_students_of_one_build_and_training(made: Made) -> None:
    first = {"KeepLayers": {"keep": [0, 1, 2, 3, 4]}}
    narrow = [LESS, {"RegroupHeads": {"heads": 2}}]
    made.quality("dense", 0, 80, steps=[TUNE], arm="large", parameters=50_000)
    made.quality("dense", 0, 75, steps=[first, TUNE], arm="base", parameters=40_000)
    made.quality("dense", 0, 70, steps=[TUNE, distil(student=narrow)], arm="large's", parameters=20_000)
    made.quality("dense", 0, 60, steps=[first, TUNE, distil()], arm="base's", parameters=20_000)
    assert made.verdict("C4").verdict == "not measured"  # of other heads, though as large
    made.quality("dense", 0, 61, steps=[TUNE, distil(), TUNE], arm="tuned", parameters=20_000)
    assert made.verdict("C4").verdict == "not measured"  # one was trained on
    made.quality("dense", 0, 66, steps=[TUNE, distil()], arm="same", parameters=20_000)
    for importance in ("magnitude", "taylor"):
        chosen = distil(student=[to_json(KeepLayers(layers=3, importance=importance))])
        made.quality("dense", 0, 90, steps=[TUNE, chosen], arm=f"by {importance}", parameters=20_000)
    again = distil(student=[{"KeepLayers": {"keep": [1, 2, 3]}}])
    made.quality("dense", 0, 79, steps=[TUNE, again], arm="zz, lucky", parameters=20_000, seeds=2)
    found = made.verdict("C4")
    assert found.measured == pytest.approx(6)
    assert "zz, lucky (another such student is judged)" in found.found
    assert (
        "by magnitude; by taylor; large's; tuned (no such student of another teacher with the same seed, data and text)"
        in found.found
    )


@pytest.mark.parametrize(
    ("of_large", "of_base", "base", "verdict"),
    [(79, 70, 75, "fails"), (79, 70, 71, "holds"), (70, 76, 80, "fails"), (75, 75, 76, "undecided")],
)
def test_c4_is_about_two_teachers_students_of_one_size(
    made: Made, of_large: int, of_base: int, base: int, verdict: str
) -> None:
    made.quality("dense", 0, 81, steps=[TUNE], arm="large", parameters=50_000)
    made.quality("dense", 0, of_large, steps=[TUNE, distil()], arm="large's", parameters=20_000)
    assert made.verdict("C4").verdict == "not measured"
    first = {"KeepLayers": {"keep": [0, 1, 2, 3, 4]}}
    made.quality("dense", 0, base, steps=[first, TUNE], arm="base", parameters=40_000)
    made.quality("dense", 0, of_base, steps=[first, TUNE, distil(layers=[1])], arm="base's", parameters=20_000)
    made.quality("dense", 0, 1, steps=[first, TUNE, distil(temperature=9.0)], arm="otherwise", parameters=20_000)
    found = made.verdict("C4")
    assert found.verdict == verdict
    assert found.measured == pytest.approx(of_large - of_base)
    assert f"{100 * of_large / 81:.1f} % and {100 * of_base / base:.1f} % of their teachers' F1" in found.found
    assert len(found.rows) == 12


def test_c4_compares_students_of_two_bases(made: Made, tmp_path: Path) -> None:
    made.quality("dense", 0, 80, steps=[TUNE], parameters=50_000, seeds=2)
    made.quality("dense", 0, 78, steps=[TUNE, distil()], parameters=20_000, seeds=2, arm="student")
    other = Made(made.folder, base="smaller")
    other.quality("dense", 0, 75, steps=[TUNE], parameters=40_000, seeds=2)
    other.quality("dense", 0, 74, steps=[TUNE, distil()], parameters=20_000, seeds=2, arm="student")
    found = made.verdict("C4")
    assert found.verdict == "undecided"
    assert found.measured == pytest.approx(4)
    assert "fewer than 3 seeds" in found.found
    assert re.search(
        r"Measured on smaller \(sha256 \w+\) and tiny \(sha256 \w+\), other encoders than the paper's", found.found
    )


def test_a_teacher_on_other_sentences_spoils_no_claim(made: Made) -> None:
    """As where a study's sample was made larger half-way."""
    made.quality("dense", 0, 80, steps=[TUNE], arm="teacher", sentences=50)
    made.quality("dense", 0, 80, steps=[TUNE], arm="teacher")
    made.quality("dense", 0, 75, steps=[TUNE, distil()], arm="student", parameters=36_000)
    assert made.verdict("C3").measured == pytest.approx(-5)


def quantized(made: Made, kind: str, f1: int | dict[str, int], **more: Any) -> None:
    fields = {"threshold": 6.0, "rest": "float16"} if kind == "QuantizeLLMInt8" else {}
    steps = [*steps_of("dense", 0), {kind: fields}]
    made.quality("dense", 0, f1, steps=steps, arm=kind, **more)


def timed(made: Made, ratio: float) -> None:
    rows = made.results.rows()
    reference = next(r.address for r in rows if r.arm == "dense" and r.seed == 0)
    (steps,) = [r.recipe["steps"] for r in rows if r.arm == "QuantizeLLMInt8" and r.seed == 0 and r.language == "hau"]
    times = Latency(reference=reference, sentences=24, subject=(ratio,) * 5, dense=(1.0,) * 5, again=(1.0,) * 5)
    for language in made.languages:
        row = made.row("dense", 0, 0, language, arm="QuantizeLLMInt8", steps=steps, kind="latency", latency=times)
        made.results.add(row)


@pytest.mark.parametrize(
    ("f1", "bytes_disk", "ratio", "verdict"),
    [
        (80, 72_000, 0.45, "holds"),
        (80, 72_000, 0.55, "fails"),  # not twice as fast
        (80, 95_000, 0.45, "fails"),  # 52.5 % smaller, where arithmetic says 55 %
        (80, 90_000, 0.45, "holds"),
        (60, 72_000, 0.45, "fails"),  # too much of F1
        (80, 72_000, None, "undecided"),
    ],
)
def test_c5_is_about_size_time_and_f1(made: Made, f1: int, bytes_disk: int, ratio: float | None, verdict: str) -> None:
    made.quality("dense", 0, 80)
    quantized(made, "QuantizeLLMInt8", f1, bytes_disk=bytes_disk)
    if ratio:
        timed(made, ratio)
    found = made.verdict("C5")
    assert found.verdict == verdict
    assert found.measured == pytest.approx(f1 - 80)
    assert len(found.rows) == 6
    assert f"{100 * (1 - bytes_disk / 200_000):.1f} % smaller on disk" in found.found
    assert ("hasn't been measured" in found.found) == (ratio is None)


def test_c5_and_c6_never_take_two_encoders_for_seeds(made: Made) -> None:
    for base, f1 in (("one", 80), ("another", 40)):
        of = Made(made.folder, base=base)
        of.quality("dense", 0, 80, seeds=2)
        quantized(of, "QuantizeLLMInt8", f1, seeds=2, bytes_disk=72_000)
        quantized(of, "QuantizeDynamic", 60, seeds=2)
    for claim in ("C5", "C6"):
        found = made.verdict(claim)
        assert (found.verdict, len(found.rows)) == ("undecided", 2 * 2)  # of one encoder and two seeds
        assert found.measured in (pytest.approx(-40), pytest.approx(0), pytest.approx(20), pytest.approx(-20))


def test_c5_and_c6_never_mix_two_corpora(made: Made) -> None:
    for corpus in (made.corpus, "masakhaner2:hau,swa"):
        of = Made(made.folder, corpus=corpus)
        of.quality("dense", 0, 80)
        quantized(of, "QuantizeLLMInt8", 80, bytes_disk=72_000)
        quantized(of, "QuantizeDynamic", 60)
    assert [made.verdict(claim).found.count("6 test sentences") for claim in ("C5", "C6")] == [0, 0]
    assert [made.verdict(claim).verdict for claim in ("C5", "C6")] == ["undecided", "holds"]


def test_c5_needs_three_seeds_for_f1_and_the_tagger_it_was_made_from(made: Made) -> None:
    quantized(made, "QuantizeLLMInt8", 80, bytes_disk=72_000, seeds=2)
    assert made.verdict("C5").verdict == "not measured"
    made.quality("dense", 0, 80)
    timed(made, 0.4)
    found = made.verdict("C5")
    assert found.verdict == "undecided"
    assert "fewer than 3 seeds" in found.found


@pytest.mark.parametrize(
    ("llm", "dynamic", "verdict"),
    [
        ({"hau": 80, "swa": 80}, {"hau": 60, "swa": 60}, "holds"),
        ({"hau": 60, "swa": 60}, {"hau": 80, "swa": 80}, "fails"),
        ({"hau": 90, "swa": 40}, {"hau": 50, "swa": 60}, "fails"),  # better on average, worse in a language
        ({"hau": 80, "swa": 80}, {"hau": 80, "swa": 80}, "undecided"),
        ({"hau": 90, "swa": 80}, {"hau": 60, "swa": 80}, "undecided"),  # not in all languages
    ],
)
def test_c6_is_about_every_language(made: Made, llm: dict[str, int], dynamic: dict[str, int], verdict: str) -> None:
    quantized(made, "QuantizeLLMInt8", llm)
    assert made.verdict("C6").verdict == "not measured"
    quantized(made, "QuantizeDynamic", dynamic)
    found = made.verdict("C6")
    assert found.verdict == verdict
    assert found.measured == pytest.approx(sum(llm.values()) / 2 - sum(dynamic.values()) / 2)


def test_c6_with_two_seeds_is_undecided(made: Made) -> None:
    quantized(made, "QuantizeLLMInt8", 80, seeds=2)
    quantized(made, "QuantizeDynamic", 40)
    assert made.verdict("C6").verdict == "undecided"


def test_nothing_to_lose_is_no_claim_that_holds(made: Made) -> None:
    made.quality("dense", 0, 19)
    made.quality("before", 0.6, 19)
    made.quality("dense", 0, 19, steps=[TUNE], arm="teacher")
    made.quality("dense", 0, 19, steps=[TUNE, distil()], arm="student", parameters=36_000)
    quantized(made, "QuantizeLLMInt8", 19, bytes_disk=72_000)
    timed(made, 0.4)
    assert [made.verdict(claim).verdict for claim in ("C1", "C3", "C5")] == ["undecided", "not measured", "undecided"]
    assert "too little to lose" in made.verdict("C1").found
    made.quality("before", 0.5, 9)
    assert made.verdict("C1").verdict == "undecided"
    assert "its teacher has less than 20 F1" in made.verdict("C3").found
