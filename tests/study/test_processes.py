"""Several processes on one study: the same rows as one has, whatever happens to some of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from made_study import runner

from dinku.study.results import Results
from dinku.testing import facts

pytestmark = pytest.mark.usefixtures("place")
COMMAND = [sys.executable, "-c", "from dinku.cli.app import main; main()", "run", "small.yaml"]


def start(*more: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*COMMAND, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def children(pid: int) -> list[int]:
    """The processes that one has started and that haven't ended."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for(what: str, process: subprocess.Popen[str]) -> None:
    """Read what a process tells until a line holds this."""
    assert process.stderr is not None
    for line in process.stderr:
        if what in line:
            return
    pytest.fail(f"it never said {what!r}")


def test_a_device_that_there_isnt_is_refused_before_any_starts(home: Path) -> None:
    process = start("--processes", "2", "--device", "foo")
    _, said = process.communicate(timeout=120)
    assert (process.returncode, said.count("\n"), "device: there is no device 'foo'" in said) == (2, 1, True), said


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find processes")
def test_one_that_is_killed_loses_nothing(home: Path) -> None:
    process = start("--processes", "2", "--json")
    wait_for("fine-tuning", process)
    (first, _) = children(process.pid)
    os.kill(first, signal.SIGKILL)
    out, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert len(json.loads(out)) == 10
    rows = Results(Path("results/small")).rows()
    assert len(rows) == len({row.key for row in rows}) == 10
    together = facts(Results(Path("results/small")))
    Path("results").rename("together")
    alone = runner(home)
    for prepared in alone.prepared:
        assert all(alone.store.has(address) for address in prepared.addresses[1:])
    alone.run()
    assert facts(Results(Path("results/small"))) == together


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find processes")
def test_what_is_told_to_stop_stops_its_processes_and_goes_on_when_run_again(home: Path) -> None:
    process = start("--processes", "2")
    wait_for("fine-tuning", process)
    started = children(process.pid)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "dinku: interrupted; run the same command again to go on"
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{child}").exists() for child in started):
        assert time.monotonic() < deadline, "a process is left behind"
        time.sleep(0.1)
    runner(home).run()
    assert len(Results(Path("results/small")).rows()) == 10


def test_a_failed_step_is_told_once_and_each_process_has_the_threads_that_were_asked_for(place: Path) -> None:
    broken = "  - arm: broken\n    steps: [FineTune: {epochs: 1}, TrimVocabulary: {size: 8}]\n"
    whole = (place / "small.yaml").read_text(encoding="utf-8")
    (place / "small.yaml").write_text(whole[: whole.index("  - arm: before")] + broken, encoding="utf-8")
    out, said = start("--processes", "2", "--threads", "3").communicate(timeout=120)
    assert out == ""
    last = said.splitlines()[-1]
    assert last.startswith("dinku: results/small: 1 step failed, and 1 recipe lack")
    assert "broken seed 0: TrimVocabulary: " in last
    rows = Results(Path("results/small")).rows()
    assert len(rows) == 4
    assert {row.environment.threads for row in rows} == {3}, said
