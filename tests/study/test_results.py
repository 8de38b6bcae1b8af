"""Rows: appended as they come, read back as they were, with their counts beside them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from dinku.errors import DinkuError
from dinku.machine import _processor, environment
from dinku.scoring.counts import Counts, count
from dinku.study.results import Results, documents, totals
from dinku.study.rows import Latency, Row, Size, Training

COUNTS = count([("B-PER", "O"), ("B-LOC",)], [("B-PER", "O"), ("B-PER",)], ["hau", "hau"])


def row(address: str = "a" * 64, **changes: object) -> Row:
    fields = {
        "kind": "quality",
        "study": "s",
        "arm": "dense",
        "values": {},
        "recipe": {"base": "b", "corpus": "c", "steps": []},
        "base_digest": "d",
        "address": address,
        "seed": 0,
        "corpus": "c",
        "language": "hau",
        "split": "test",
        "fingerprint": "f" * 64,
        "sentences": 2,
        "sentences_in_split": 2,
        "spans": totals(COUNTS),
        "size": Size(parameters=10, nonzero=9, linear=4, linear_nonzero=3, bytes_disk=40, bytes_download=30),
        "environment": environment(1),
    }
    return Row.model_validate(fields | changes)


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "s")


def make_old(results: Results) -> Path:
    """Keep the counts as dinku did before there was an archive: a file a row. Returns the first row's."""
    (results.folder / "counts").mkdir()
    for row in results.rows():
        results.counts(row).save(results.folder / "counts" / row.counts_file)
    (results.folder / "counts.archive").unlink()
    return results.folder / "counts" / results.rows()[0].counts_file


def test_rows_come_back_as_they_were_whatever_their_order(results: Results) -> None:
    rows = [row(c * 64) for c in "cab"]
    for one in rows:
        results.add(one, COUNTS)
    assert results.rows() == sorted(rows, key=lambda r: r.address)
    found = results.counts(rows[0])
    assert np.array_equal(found.default, COUNTS.default)
    assert documents(rows)[0]["spans"]["default"] == {"LOC": [1, 0, 0], "PER": [1, 2, 1]}


def test_a_fact_is_kept_once_and_seen_by_who_read_before(results: Results) -> None:
    reader = Results(results.folder)
    assert reader.rows() == []
    results.add(row(), COUNTS)
    assert reader.rows() == [row()]
    results.add(row(arm="another name"), COUNTS)
    assert reader.rows() == [row()]
    results.add(row("b" * 64), COUNTS)
    assert len(reader.rows()) == 2
    reader.rows().clear()  # what a caller does to its list is its own affair
    assert len(reader.rows()) == 2


def test_a_time_is_a_fact_of_one_machine() -> None:
    other = environment(1).model_copy(update={"cpu": "another"})
    assert row().key == row(environment=other).key
    assert row(kind="latency").key != row(kind="latency", environment=other).key


def test_counts_that_are_lost_or_another_rows_are_told(results: Results, tmp_path: Path) -> None:
    results.add(row(), COUNTS)
    assert results.has_counts(row())
    file = make_old(results)
    changed = Counts(COUNTS.labels, COUNTS.languages, COUNTS.words, COUNTS.default * 2, COUNTS.strict)
    changed.save(file)
    with pytest.raises(DinkuError, match="doesn't add up to its row"):
        Results(results.folder).counts(row())
    file.unlink()
    results = Results(results.folder)
    assert not results.has_counts(row())
    with pytest.raises(DinkuError, match="isn't there"):
        results.counts(row())
    results.add(row("b" * 64), COUNTS)
    other = count([("B-PER", "O"), ("B-LOC",)], [("B-PER", "O"), ("B-LOC",)], ["hau", "hau"])
    again = row(spans=totals(other))  # measured again on a machine that rounds otherwise
    results.add(again, other)
    assert results.counts(again)
    assert results.rows() == [again, row("b" * 64)]


def test_unknown_fields_are_refused_and_what_a_training_was_is_kept(results: Results) -> None:
    with pytest.raises(ValidationError):
        row(f1=0.5)
    made = Training(address="a", seconds=1.5, precision="bfloat16", machine="m", commit=None, dirty=False)
    results.add(row(trainings=(made,)), COUNTS)
    assert results.rows()[0].trainings == (made,)
    assert row().size.sparsity == 0.25  # type: ignore[union-attr]


def test_the_environment_says_where(tmp_path: Path) -> None:
    here = environment(3)
    assert here.threads == 3
    assert here.cores >= 1
    assert here.packages["dinku"]
    assert "|3|" in here.machine


def test_rows_are_complete_as_long_as_their_counts_are_there(results: Results) -> None:
    assert results.complete() == frozenset()
    results.add(row(), COUNTS)
    assert results.complete() == {row().key}
    file = make_old(results)
    assert results.complete() == {row().key}
    time.sleep(0.02)  # a file system may tell times apart by milliseconds alone
    file.unlink()
    assert results.complete() == frozenset()
    results.add(row(), COUNTS)
    assert results.complete() == {row().key}
    (results.folder / "counts.archive").unlink()
    assert results.complete() == frozenset()
    with pytest.raises(
        DinkuError, match=r"counts\.archive/a+-hau-test-f+\.npz: isn't there; restore it, or remove it and run"
    ):
        Results(results.folder).counts(row())


def test_a_folder_with_a_file_a_row_is_continued_and_merged(results: Results, tmp_path: Path) -> None:
    results.add(row(), COUNTS)
    old = make_old(results)
    results.add(row(), COUNTS)
    assert not (results.folder / "counts.archive").exists()
    results.add(row("b" * 64), COUNTS)
    assert [path.name for path in old.parent.iterdir()] == [old.name]
    assert results.complete() == {row().key, row("b" * 64).key}
    again, target = Results(results.folder), Results(tmp_path / "merged" / "s")
    assert target.extend(again) == 2
    for each in again.rows():
        assert np.array_equal(again.counts(each).strict, COUNTS.strict)
        assert np.array_equal(target.counts(each).strict, COUNTS.strict)
    assert not (target.folder / "counts").exists()


def test_a_kill_while_a_row_is_added_leaves_the_others_and_the_row_is_added_again(results: Results) -> None:
    results.add(row(), COUNTS)
    archive, rows = results.folder / "counts.archive", results.folder / "rows.jsonl"
    before, line = archive.read_bytes(), rows.read_bytes()
    results.add(row("b" * 64), COUNTS)
    whole = archive.read_bytes()
    for length in (*range(len(before), len(whole), 29), len(whole)):
        archive.write_bytes(whole[:length])
        rows.write_bytes(line)
        killed = Results(results.folder)
        assert killed.complete() == {row().key}
        assert np.array_equal(killed.counts(row()).default, COUNTS.default)
        killed.add(row("b" * 64), COUNTS)
        assert killed.complete() == {row().key, row("b" * 64).key}
        assert np.array_equal(killed.counts(row("b" * 64)).default, COUNTS.default)


@pytest.mark.parametrize("field", ["address", "language", "split", "fingerprint", "perturbation"])
def test_a_row_whose_counts_would_lie_elsewhere_is_refused(results: Results, field: str) -> None:
    for place in ("../../there", "a\\b"):
        with pytest.raises(ValidationError, match=field):
            row(**{field: place})


def test_machines_are_told_apart_where_the_system_names_no_model() -> None:
    pi = {"CPU implementer": "0x41", "CPU part": "0xd08", "processor": "3"}
    assert "implementer 0x41 part 0xd08" in _processor(pi)
    assert _processor(pi) != _processor(pi | {"CPU part": "0xd0b"})
    assert _processor({})


def test_rows_of_an_installed_dinku_know_no_commit(results: Results) -> None:
    installed = environment(1).model_copy(update={"commit": None})
    results.add(row(environment=installed), COUNTS)
    assert results.rows()[0].environment.commit is None


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (b'"schema_version":1', b'"schema_version":2', "isn't a row of this version of dinku .*; read it with"),
        (b'"kind":"quality"', b'"kind":"quantity"', "isn't a row of this version of dinku .*; read it with"),
        (b'"seed":0', b'"sged":0', "isn't a row of this version of dinku .*; read it with"),
        (b'"linear":4', b'"linear":0', r"isn't a row of this version of dinku \(size\.linear: .*; read it with"),
        (
            b'"steps":[]',
            b'"stops":[]',
            r"isn't a row of this version of dinku \(recipe: .*it needs base, corpus and steps",
        ),
        (b'"steps":[]', b'"steps":[{"FineTune":null}]', r".*\(recipe: .*FineTune lacks its fields\)"),
        (b'"steps":[]', b'"steps":[{"Sparsify":{}}]', r".*\(recipe: .*Sparsify lacks its fields\)"),
        (b'"study"', b'"stud\xf9"', "is damaged .*; restore it, or remove the line"),
        (b'{"schema', b'"schema', "is damaged .*; restore it, or remove the line"),
    ],
)
def test_a_row_of_another_schema_or_damaged_is_told_and_left(
    results: Results, before: bytes, after: bytes, said: str
) -> None:
    results.add(row(), COUNTS)
    results.add(row("b" * 64), COUNTS)
    file = results.folder / "rows.jsonl"
    damaged = file.read_bytes().replace(before, after)
    file.write_bytes(damaged)
    for act in (results.rows, lambda: Results(results.folder).add(row("c" * 64), COUNTS)):
        with pytest.raises(DinkuError, match=rf"rows\.jsonl:1: {said}") as told:
            act()
        assert "\n" not in str(told.value)
    assert file.read_bytes() == damaged


def test_counts_that_are_no_file_are_measured_again_and_a_file_put_back_is_read_again(results: Results) -> None:
    results.add(row(), COUNTS)
    make_old(results)
    assert len(results.complete()) == 1
    (counts,) = (results.folder / "counts").iterdir()
    counts.unlink()
    counts.mkdir()
    assert not results.complete()
    file = results.folder / "rows.jsonl"
    before, state = file.read_bytes(), file.stat()
    file.write_bytes(before.replace(b'"seed":0', b'"seed":7'))
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert [row.seed for row in results.rows()] == [7]


def test_rows_that_stand_twice_are_one_and_must_say_the_same(results: Results) -> None:
    results.add(row(), COUNTS)
    results.add(row("b" * 64), COUNTS)
    file = results.folder / "rows.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole + b"\n" + whole.rstrip(b"\n"))  # as `cat` and an editor leave it
    assert [r.address for r in results.rows()] == ["a" * 64, "b" * 64]
    results.add(row("c" * 64), COUNTS)
    assert [r.address for r in Results(results.folder).rows()] == ["a" * 64, "b" * 64, "c" * 64]
    other = json.loads(whole.splitlines()[0])
    other["spans"]["default"]["PER"][2] = 0
    file.write_bytes(whole + json.dumps(other).encode() + b"\n")
    with pytest.raises(DinkuError, match=r"rows\.jsonl:3: contradicts line 1 about the same fact"):
        results.rows()
    file.unlink()
    file.mkdir()
    with pytest.raises(DinkuError, match=r"rows\.jsonl: can't be read \(Is a directory\)"):
        results.rows()


@pytest.mark.parametrize("times", [{"dense": []}, {"dense": [1.0, 0.0]}, {"again": [1.0]}, {"subject": []}])
def test_times_that_no_ratio_can_be_made_of_are_refused(times: dict[str, list[float]]) -> None:
    whole = {"reference": "f" * 64, "sentences": 2} | {name: [1.0, 2.0] for name in ("subject", "dense", "again")}
    Latency.model_validate(whole)
    with pytest.raises(ValidationError):
        Latency.model_validate(whole | times)


def test_a_bit_that_flips_in_counts_is_told(results: Results) -> None:
    results.add(row(), COUNTS)
    file = make_old(results)
    whole = file.read_bytes()
    expected = Counts.load(file)
    for at in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        file.write_bytes(damaged)
        try:
            found = Results(results.folder).counts(row())
        except DinkuError as error:
            assert str(file) == error.where  # noqa: PT017
        else:  # a date, or another field that says nothing of what is held
            assert np.array_equal(found.default, expected.default)
            assert np.array_equal(found.strict, expected.strict)
            assert found.languages == expected.languages


def test_the_corpus_is_a_field_of_its_own_and_read_from_the_name_of_older_rows() -> None:
    name = "masakhaner:all (hau) (200 of 500)"
    old = row(corpus=name)
    assert old.evaluated_on == "masakhaner:all"
    assert "source" not in documents([old])[0]
    assert row(corpus=name, source="masakhaner:all").evaluated_on == "masakhaner:all"
    assert row(corpus="mine (hau)").evaluated_on == "mine"  # which may have been the folder's own name
    assert row(corpus="mine (hau)", source="mine (hau)").evaluated_on == "mine (hau)"
