"""Rows as flat records: what is chosen, grouped and merged, and what becomes of rows that contradict one another."""

from __future__ import annotations

import csv
import io
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from made_rows import Made, counts_of, lose_counts

from dinku.errors import DinkuError
from dinku.machine import environment
from dinku.methods.registry import from_json
from dinku.report import records
from dinku.study.results import Results, totals
from dinku.study.rows import Failure


@pytest.fixture
def made(tmp_path: Path) -> Made:
    rows = Made(tmp_path / "here" / "made")
    rows.quality("dense", 0, {"hau": 90, "swa": 80})
    rows.quality("before", 0.9, {"hau": 80, "swa": 60}, seeds=2)
    rows.latency("before", 0.9, {"hau": 0.9, "swa": 1.3})
    return rows


def test_conditions_are_met_all_and_on_one_column_any(made: Made) -> None:
    found = records.records(made.results.rows())
    assert len(found) == 6 + 4 + 2
    assert len(records.chosen(found, ["arm=before"])) == 6
    assert len(records.chosen(found, ["arm=before", "language=hau"])) == 3
    assert len(records.chosen(found, ["language=hau", "language=swa"])) == 12
    assert len(records.chosen(found, ["sparsity=0.90", "kind=latency"])) == 2
    assert records.chosen(found, ["arm=before", "seed=2"]) == []
    with pytest.raises(DinkuError, match="where: there is no column colour; choose of kind, study, arm"):
        records.chosen(found, ["colour=red"])
    with pytest.raises(DinkuError, match="'arm' is no condition; write column=value"):
        records.chosen(found, ["arm"])


def test_groups_hold_means_and_how_many(made: Made) -> None:
    found = records.records(made.results.rows())
    assert records.grouped(found, ["arm", "language"], "f1") == [
        {"arm": arm, "language": language, "f1_default": pytest.approx(f1), "rows": n}
        for arm, language, f1, n in (
            ("before", "hau", 0.8, 2),
            ("before", "swa", 0.6, 2),
            ("dense", "hau", 0.9, 3),
            ("dense", "swa", 0.8, 3),
        )
    ]
    assert records.grouped(found, ["arm"], "f1", "language") == [
        {"arm": "before", "hau": pytest.approx(0.8), "swa": pytest.approx(0.6), "rows": 4},
        {"arm": "dense", "hau": pytest.approx(0.9), "swa": pytest.approx(0.8), "rows": 6},
    ]
    assert records.grouped(found, ["language"], "time") == [
        {"language": "hau", "ratio_to_dense": pytest.approx(0.9), "rows": 1},
        {"language": "swa", "ratio_to_dense": pytest.approx(1.3), "rows": 1},
    ]
    for record, value in zip(found, (10, 9, "rows", "language"), strict=False):
        record["values.x"] = value
    (line, *_) = records.grouped([{**r, "language": "hau"} for r in found if "values.x" in r], ["language"], "f1", "x")
    assert list(line) == ["language", "9", "10", "values.x=language", "values.x=rows", "rows"]
    with pytest.raises(DinkuError, match="arm is no number; choose a column of numbers"):
        records.grouped(found, ["language"], "arm")


def test_rows_of_several_machines_are_one_set_of_facts(made: Made, tmp_path: Path) -> None:
    there = replace(made, folder=tmp_path / "there" / "made")
    there.quality("dense", 0, {"hau": 90, "swa": 80}, seeds=[2, 3])
    rows, conflicts = records.merged([made.results, there.results])
    assert (len(rows), conflicts) == (12 + 2, [])
    target = Results(tmp_path / "both" / "made")
    assert records.merge([made.results, there.results], target) == (14, 0)
    assert target.rows() == rows
    assert all(target.has_counts(row) for row in rows)
    assert records.merge([there.results, made.results], target) == (0, 0)
    assert target.rows() == rows


def test_what_lost_its_counts_is_left_out_and_said_or_brought_again(made: Made, tmp_path: Path) -> None:
    target = Results(tmp_path / "both" / "made")
    lost = next(row for row in made.results.rows() if row.kind == "quality")
    file = made.folder / "counts.archive"
    whole = file.read_bytes()
    lose_counts(made.results, lost)
    assert records.merge([made.results], target) == (11, 1)
    file.write_bytes(whole)
    kept = next(row for row in target.rows() if row.kind == "quality")
    lose_counts(target, kept)
    assert records.merge([made.results], target) == (2, 0)
    assert target.rows() == made.results.rows()
    assert all(target.has_counts(row) for row in target.rows())


def test_merging_at_once_adds_a_row_once_and_keeps_what_failed(made: Made, tmp_path: Path) -> None:
    target = Results(tmp_path / "both" / "made")
    with ThreadPoolExecutor(4) as pool:
        new = list(pool.map(lambda _: Results(target.folder).extend(made.results), range(4)))
    assert sorted(new) == [0, 0, 0, 12]
    assert (target.folder / "rows.jsonl").read_bytes().count(b"\n") == 12
    failure = Failure(study="made", recipe="r", address="a", step="s", reason="why", environment=environment(1))
    made.results.fail(failure)
    records.merge([made.results], target)
    assert target.failures() == [failure]


def test_other_counts_of_one_fact_are_a_conflict(made: Made, tmp_path: Path) -> None:
    there = replace(made, folder=tmp_path / "there" / "made")
    counts = counts_of("hau", 50, 50)
    fact = next(row for row in made.results.rows() if row.language == "hau" and row.arm == "dense")
    there.results.add(fact.model_copy(update={"spans": totals(counts)}), counts)
    rows, ((row, first, second),) = records.merged([made.results, there.results])
    assert fact in rows
    assert (row.key, first, second) == (fact.key, made.folder, there.folder)
    target = Results(tmp_path / "both" / "made")
    with pytest.raises(
        DinkuError, match=r"1 fact with other counts in .*there/made, such as dense seed . hau test"
    ) as e:
        records.merge([made.results, there.results], target)
    assert e.value.status == 1
    assert not target.folder.exists()


def test_csv_holds_every_record(made: Made) -> None:
    found = records.records(made.results.rows())
    lines = list(csv.DictReader(io.StringIO(records.as_csv(found))))
    assert len(lines) == len(found)
    assert list(lines[0]) == records.columns(found)


def test_parquet_holds_every_record(made: Made, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    found = records.records(made.results.rows())
    found[0]["values.kept"], found[1]["values.kept"], found[2]["values.kept"] = [0, 1], 3, "all"
    records.write_parquet(found, tmp_path / "rows.parquet")
    back = parquet.read_table(tmp_path / "rows.parquet").to_pylist()
    assert [line["address"] for line in back] == [record["address"] for record in found]
    assert [line["values.kept"] for line in back[:4]] == ["[0, 1]", "3", "all", None]
    assert back[0]["f1_default"] == found[0]["f1_default"]


def test_csv_holds_no_formula_and_is_read_back() -> None:
    texts = ["=1+1", "+a", "-b", "@SUM(1)", "\t=1", "\r=1", "'=1", "''-x", "-1.5x", "-1_0"]
    plain = ["a=1", "", "'a", "-1.5", "+2e-3", "a-b"]
    found = [{"arm": text, "=head": number} for text, number in zip(texts + plain, range(-3, 99), strict=False)]
    read = list(csv.reader(io.StringIO(records.as_csv(found), newline="")))
    assert read[0] == ["arm", "'=head"]
    assert [row[0] for row in read[1:]] == [f"'{text}" for text in texts] + plain
    assert [int(row[1]) for row in read[1:]] == [row["=head"] for row in found]
    back = [re.sub(r"^'(?='*[=+\-@\t\r\n])", "", row[0]) for row in read[1:]]
    assert back == texts + plain


def test_a_typing_mistake_gets_a_suggestion(made: Made) -> None:
    found = records.records(made.results.rows())
    with pytest.raises(DinkuError, match=r"there is no column langage; did you mean language\? choose of kind"):
        records.chosen(found, ["langage=hau"])
    assert records.unmet(found, ["arm=before", "language=hua"]) == "did you mean hau? language holds hau, swa"
    assert records.unmet(found, ["arm=before", "seed=7"]).startswith("seed holds 0, 1")
    assert records.unmet(found, ["arm=dense", "sparsity=0.9"]) == "each is met by some row, but no row meets all"
    with pytest.raises(DinkuError, match=r"there is no method 'FineTun'; did you mean FineTune\? use one of Distil"):
        from_json({"FineTun": {}})


def test_a_mean_never_mixes_what_was_trained_on_with_what_was_not() -> None:
    """The F1 of the dense tagger over the ten languages that paper-cpu trains on is that of its report, 68.5."""
    rows = Results(Path(__file__).parent.parent.parent / "results" / "paper-cpu").rows()
    found = records.records(rows)
    dense = {
        line["seen"]: (round(100 * line["f1_default"], 1), line["rows"])
        for line in records.grouped(found, ["arm", "sparsity"], "f1")
        if line["arm"] == "dense"
    }
    assert dense == {True: (68.5, 30), False: (45.2, 6)}
    assert records.parted(found, ["arm"], "f1", "language") == ["arm"]  # a column a language mixes none
    assert records.parted(found, ["arm"], "download") == ["arm"]  # a size is the same on any text
    assert records.parted(found, ["seen"], "f1") == ["seen"]


def test_perturbed_text_other_targets_and_outdated_rows_have_groups_of_their_own(made: Made) -> None:
    found = records.records(made.results.rows())
    assert records.parted(found, ["arm"], "f1") == ["arm"]
    for changed, name in (
        ({"perturbation": "slips:0.15"}, "perturbation"),
        ({"split": "dev"}, "split"),
        ({"evaluated_on": "another"}, "evaluated_on"),
        ({"outdated": "another train split"}, "outdated"),
    ):
        more = [*found, *(record | changed for record in found)]
        assert records.parted(more, ["arm"], "f1", "language") == ["arm", name]
        assert {line["rows"] for line in records.grouped(more, ["arm"], "f1")} == {4, 6}
