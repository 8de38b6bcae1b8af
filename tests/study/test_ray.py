"""A study on Ray: the rows of a local run, whatever happens to nodes and workers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_study import runner

from dinku.errors import DinkuError
from dinku.model.store import Store
from dinku.study import ray
from dinku.study.results import Results
from dinku.testing import facts

pytestmark = pytest.mark.usefixtures("place")
COMMAND = [sys.executable, "-P", "-c", "from dinku.cli.app import main; main()", "run", "small.yaml"]
LOOPBACK = ("0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000")


def start(*more: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*COMMAND, *more], env=environment, stderr=subprocess.PIPE, text=True)


def working(process: subprocess.Popen[str], at_once: int) -> list[int]:
    """Wait until so many workers train, and tell their processes."""
    assert process.stderr is not None
    pids, said = set[int](), []
    for line in process.stderr:
        said.append(line)
        if found := re.match(r"\[\S+ (\d+)\] .*: fine-tuning", line):
            pids.add(int(found[1]))
            if len(pids) == at_once:
                return sorted(pids)
    return pytest.fail(f"{at_once} never trained: {''.join(said)}")


def gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 20
    while left := [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
        if time.monotonic() > deadline:
            return pytest.fail(f"left behind: {left}")
        time.sleep(0.1)
    return True


def descendants(pid: int) -> list[int]:
    children = [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [one for child in children for one in (child, *descendants(child))]


def listening(pids: list[int]) -> set[str]:
    """The addresses, as the kernel writes them, that processes listen at."""
    sockets = {str(fd.readlink()) for pid in pids for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()}
    lines = [line.split() for kind in ("tcp", "tcp6") for line in Path(f"/proc/net/{kind}").read_text().splitlines()]
    return {f[1].partition(":")[0] for f in lines if f[3] == "0A" and f"socket:[{f[9]}]" in sockets}


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Any]:
    """A cluster of two nodes with a CPU each, on the loopback."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        utils = pytest.importorskip(
            "ray.cluster_utils", reason="needs ray, which isn't installed", exc_type=ImportError
        )
        made = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        try:
            made.other = made.add_node(num_cpus=1)
            yield made
        finally:
            made.shutdown()


def test_a_failed_step_is_a_row_and_the_rest_goes_on(place: Path, two_nodes: Any) -> None:
    broken = (
        "  - arm: broken\n    steps: [FineTune: {epochs: 1}, TrimVocabulary: {size: 8}, Sparsify: {sparsity: 0.5}]\n"
    )
    study = (place / "small.yaml").read_text(encoding="utf-8")
    (place / "small.yaml").write_text(study[: study.index("  - arm: before")] + broken, encoding="utf-8")
    process = start("--engine", "ray", "--address", two_nodes.address)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 1
    assert re.match(r"dinku: \S*results/small: 1 step failed, and 1 recipe lacks", said.splitlines()[-1]), said
    assert len(Results(Path("results/small")).rows()) == 4


def test_what_asks_for_more_than_any_node_has_is_refused(two_nodes: Any) -> None:
    process = start("--engine", "ray", "--address", two_nodes.address, "--threads", "64")
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2
    assert re.fullmatch(r"dinku: Ray: a step takes 64 CPUs, \S+ GB, but nodes have 1 CPU, .*\n", said)


def test_a_node_that_is_killed_costs_its_running_steps_alone(home: Path, two_nodes: Any) -> None:
    process = start("--engine", "ray", "--address", two_nodes.address)
    pids = working(process, 2)
    done = {file: file.stat().st_mtime_ns for file in (home / "store").glob("*/*/step.json")}
    two_nodes.remove_node(two_nodes.other, allow_graceful=False)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert sum(Path(f"/proc/{pid}").exists() for pid in pids) <= 1
    assert {file: file.stat().st_mtime_ns for file in done} == done
    on_ray = facts(Results(Path("results/small")))
    assert len(on_ray) == 10
    Path("results").rename("on ray")
    replace(runner(home), store=Store(Path("another")), cores=1).run()
    assert facts(Results(Path("results/small"))) == on_ray


def test_alone_it_listens_to_this_machine_and_leaves_nothing_when_it_is_stopped(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="needs ray, which isn't installed")
    monkeypatch.setenv("TMPDIR", "/tmp")  # a socket's path may have a hundred characters
    process = start("--engine", "ray")
    working(process, 1)
    started = descendants(process.pid)
    heard = listening([process.pid, *started])
    assert heard
    assert heard <= {*LOOPBACK}
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "dinku: interrupted; run the same command again to go on"
    assert gone(started)


def test_one_process_may_start_a_ray_of_its_own_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="needs ray, which isn't installed")
    monkeypatch.setenv("TMPDIR", "/tmp")  # a socket's path may have a hundred characters
    twice = "from dinku.study.ray import _connected, _nodes\nfor _ in 1, 2:\n    with _connected(None):\n        assert _nodes()"
    done = subprocess.run([sys.executable, "-P", "-c", twice], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--address", "127.0.0.1:6379"], "--address: needs --engine ray; add it, or leave --address out"),
        (
            ["--engine", "ray", "--device", "cuda:1"],
            "--device: there is no device 'cuda:1' on Ray; choose cpu, cuda or auto",
        ),
        (
            ["--engine", "ray", "--processes", "2"],
            "--processes: doesn't apply to Ray, which starts processes itself; leave it out",
        ),
    ],
)
def test_options_that_contradict_one_another_are_refused(
    options: list[str], message: str, dinku: Callable[..., tuple[int, str, str]]
) -> None:
    assert dinku("run", "small.yaml", *options) == (2, "", f"dinku: {message}\n")


def test_without_ray_it_says_how_to_install_it(
    dinku: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    missing = "dinku: this command needs ray; install it with: pip install 'dinku[ray]'\n"
    assert dinku("run", "small.yaml", "--engine", "ray") == (2, "", missing)


def test_steps_that_recipes_share_are_one_task(home: Path) -> None:
    todo = list(ray.tasks(runner(home), runner(home).prepared))
    assert todo == []  # of another runner's recipes it knows nothing
    whole = runner(home)
    todo = list(ray.tasks(whole, whole.prepared))
    steps = [task.address for task in todo if not task.rows]
    assert sorted(steps) == sorted({a for p in whole.prepared for a in p.addresses[1:]})
    assert sum(task.rows for task in todo) == len(whole.prepared) == 5


def test_memory_that_no_node_has_is_asked_for_as_far_as_there_is_any(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [{"CPU": 1.0, "memory": 9e9}, {"CPU": 4.0, "memory": 5e9}]
    assert ray._available({"CPU": 1, "memory": 2e9}, nodes) == {"CPU": 1, "memory": 2e9}
    assert ray._available({"CPU": 1, "memory": 1e12}, nodes) == {"CPU": 1, "memory": 9e9}
    assert ray._available({"CPU": 2, "memory": 1e12}, nodes) == {"CPU": 2, "memory": 5e9}
    with pytest.raises(DinkuError, match=r"a step takes 8 CPUs, 1\.0 GB, but nodes have 1 CPU, 9\.0 GB; 4 CPUs"):
        ray._available({"CPU": 8, "memory": 1e9}, nodes)
