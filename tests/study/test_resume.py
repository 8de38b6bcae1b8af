"""A study that is killed, run twice at once, or run again: the same rows, and no step done twice."""

from __future__ import annotations

import shutil
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
from made_rows import lose_counts
from made_study import runner, started

from dinku.errors import DinkuError
from dinku.machine import environment
from dinku.study.prepare import Prepared
from dinku.study.results import Results
from dinku.study.rows import Row
from dinku.study.run import Runner
from dinku.testing import facts


def status(process: ForkServerProcess) -> int | None:
    """The exit status of a process once it has ended, which it has to within two minutes."""
    process.join(120)
    return process.exitcode


def test_killed_anywhere_and_run_again_it_ends_with_the_same_rows(place: Path, home: Path) -> None:
    begin = time.monotonic()
    runner(home).run()
    whole = time.monotonic() - begin
    expected = facts(Results(Path("results/small")))
    assert len(expected) == 5 * 2
    shutil.move("results", "undisturbed")
    shutil.rmtree(home / "store")
    kills = 0
    for part in (0.1, 0.3, 0.3, 0.5, 0.7):
        process = started()
        process.join(part * whole)
        kills += process.is_alive()
        process.kill()
        process.join()
    assert status(started()) == 0
    assert kills >= 2
    assert facts(Results(Path("results/small"))) == expected
    finished = Path("finished").read_text().split()
    assert len(finished) == len(set(finished)), "a step that was done was done again"


def test_two_at_once_share_the_work(place: Path, home: Path) -> None:
    assert [status(process) for process in [started(), started()]] == [0, 0]
    finished = Path("finished").read_text().split()
    steps = {address for prepared in runner(home).prepared for address in prepared.addresses[1:]}
    assert sorted(finished) == sorted(steps)
    rows = Results(Path("results/small")).rows()
    assert len(rows) == len({row.key for row in rows}) == 10


def test_complete_rows_are_enough_and_lost_counts_are_made_again(
    place: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner(home).run(["dense"])
    before = facts(Results(Path("results/small")))
    shutil.rmtree(home / "store")
    monkeypatch.setattr(Runner, "make", lambda *_, **__: pytest.fail("a step was made though its rows are complete"))
    runner(home).run(["dense"])
    monkeypatch.undo()
    monkeypatch.chdir(place)
    monkeypatch.setenv("DINKU_HOME", str(home))
    results = Results(Path("results/small"))
    lose_counts(results, results.rows()[0])
    runner(home).run(["dense"])
    assert facts(Results(Path("results/small"))) == before


def test_timing_trains_nothing_again(place: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timed = (place / "small.yaml").read_text() + "latency: {reference: dense, sentences: 2, rounds: 2}\n"
    (place / "small.yaml").write_text(timed, encoding="utf-8")
    runner(home).run()
    latencies = [row for row in Results(Path("results/small")).rows() if row.kind == "latency"]
    assert len(latencies) == 3 * 2
    assert all(len(row.latency.subject) == len(row.latency.again) == 2 for row in latencies if row.latency)
    made: list[str] = []
    timing = Runner._row

    def told(self: Runner, prepared: Prepared, *rest: Any, **measured: Any) -> Row:
        made.append(prepared.title)
        return timing(self, prepared, *rest, **measured)

    monkeypatch.setattr(Runner, "_row", told)
    runner(home).run()
    assert made == []  # timed here already
    elsewhere = environment(1).model_copy(update={"cpu": "another"})
    monkeypatch.setattr("dinku.study.measure.environment", lambda *_: elsewhere)
    runner(home).run()
    assert len(made) == 3 * 2  # another machine's clock, the taggers at hand
    made.clear()
    shutil.rmtree(home / "store")
    monkeypatch.setattr(
        "dinku.study.measure.environment", lambda *_: environment(1).model_copy(update={"cpu": "a third"})
    )
    runner(home).run()
    assert made == []  # a third machine, and no tagger: nothing is trained for its clock
    assert not (home / "store").exists() or not list((home / "store").glob("*/*/step.json"))


def test_a_line_cut_short_is_no_row_and_is_repaired(place: Path, home: Path) -> None:
    runner(home).run(["dense"])
    file = Path("results/small/rows.jsonl")
    whole, expected = file.read_bytes(), facts(Results(Path("results/small")))
    for cut in (1, 2, 40):
        file.write_bytes(whole[:-cut])
        assert len(Results(Path("results/small")).rows()) == len(expected) - (
            cut > 1
        )  # without its line end it is whole
        runner(home).run(["dense"])
        assert facts(Results(Path("results/small"))) == expected
        file.write_bytes(whole)
    file.write_bytes(whole.replace(b'"kind":"quality"', b'"kind":"other"', 1))
    with pytest.raises(DinkuError, match=r"rows\.jsonl:1: isn't a row of this version"):
        runner(home).run(["dense"])


def test_rows_of_another_study_are_refused(place: Path, home: Path) -> None:
    runner(home).run(["dense"])
    shutil.copytree("results/small", "results/other")
    with pytest.raises(DinkuError, match="is a row of the study 'small'; keep it in a folder named small"):
        Results(Path("results/other")).rows()
