"""A study on Ray: a task for every step of its tree, then one for the rows of every recipe, wherever there is room.

Nodes share one POSIX file system with the driver, on which lie the store, the results, ``DINKU_HOME`` and the folder that the
driver runs in. Locks hold as ever, so that runs of either engine may work on one store at once.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from dinku.errors import DinkuError, plural
from dinku.machine import available_threads
from dinku.method import Method
from dinku.model.store import Store
from dinku.study.definition import Study
from dinku.study.prepare import Prepared, memory_needed
from dinku.study.results import Results
from dinku.study.run import Failed, Runner, use_threads
from dinku.training.settings import Trained

RETRIES = 3  # of a task whose process or node was lost
POLL = 0.5  # seconds between two looks at what is done
PATIENCE = 10.0  # seconds in which a cluster has to answer
LOOK = 10.0  # seconds between two looks at which nodes are left
# What else lies in the environment of the driver and says where things are; the nodes may have been started without it.
_CARRIED = ("DINKU_", "HF_")


@dataclass(frozen=True)
class Worker:
    """What runs in a process of a node, for as long as the process lives: the study is read there once, not for every task."""

    study: Study
    store: Path
    results: Path
    cores: int
    before: dict[str, int]
    folder: str
    environment: dict[str, str]
    board: Any

    @cached_property
    def runner(self) -> Runner:
        """The driver's, in this process. Raises `DinkuError` where its folder isn't here."""
        os.environ.update(self.environment)
        try:
            os.chdir(self.folder)  # a study's paths are relative to it
        except OSError as error:
            problem = f"isn't there on {socket.gethostname()} ({error.strerror})"
            remedy = "run where all nodes see the same folder"
            raise DinkuError(problem, where=self.folder, remedy=remedy, status=1) from None
        me = f"{socket.gethostname()} {os.getpid()}"
        told: list[str] = []

        def tell(what: str, done: int, total: int) -> None:
            if [what] != told:
                told[:] = [what]
                self.board.tell.remote(f"[{me}] {what}")

        use_threads(self.cores)
        runner = Runner(self.study, Store(self.store), Results(self.results), tell, self.cores)
        runner.before.update(self.before)
        return runner

    @cached_property
    def gpu_runner(self) -> Runner:
        """It again, where steps are made on this process's GPU."""
        from dinku.nn.torch_engine import device

        return replace(self.runner, device=device("cuda"))

    def do(self, number: int, i: int, address: str, on_gpu: bool, ready: bool) -> bool:
        """Make the i-th step of a recipe, or its rows where it has no such step; False where that or what it needs failed.

        Raises `DinkuError` where this node reads other files than the driver, and what the system refuses.
        """
        if not ready:
            return False
        runner = self.gpu_runner if on_gpu else self.runner
        prepared = runner.prepared[number]
        if address not in prepared.addresses:
            problem = f"{socket.gethostname()} has another base or corpus than the driver"
            remedy = "let all nodes see the same files"
            raise DinkuError(problem, where=prepared.title, remedy=remedy, status=1)
        try:
            if i < len(prepared.addresses):
                return runner.make(prepared, i, wait=True)
            return runner.finish(prepared, wait=True)
        except Failed:
            return False


class Board:
    """Where the workers write what they do, for the driver to read."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def tell(self, line: str) -> None:
        self.lines.append(line)

    def told(self) -> list[str]:
        """The lines since this was asked last."""
        lines, self.lines = self.lines, []
        return lines


@dataclass(frozen=True)
class Task:
    """The i-th step of a recipe, or its rows where it has no such step, and what of a node it takes, were there GPUs for all."""

    prepared: Prepared
    number: int
    i: int
    takes: Mapping[str, float]

    @property
    def rows(self) -> bool:
        return self.i == len(self.prepared.addresses)

    @property
    def address(self) -> str:
        return self.prepared.addresses[min(self.i, len(self.prepared.addresses) - 1)]

    @property
    def step(self) -> Method | str:
        return "tagging" if self.rows else self.prepared.recipe.steps[self.i - 1]


def tasks(runner: Runner, chosen: Sequence[Prepared]) -> Iterator[Task]:
    """What is to be done for recipes, what comes before first, and no step twice."""
    wanted, begun = {id(p) for p in chosen}, set[str]()
    for place, prepared in enumerate(runner.prepared):
        if id(prepared) not in wanted or not runner.missing(prepared):
            continue
        shapes = prepared.shapes
        for i, address in enumerate(prepared.addresses[1:], 1):
            if address not in begun and not runner.store.has(address):
                begun.add(address)
                step = prepared.recipe.steps[i - 1]
                needed = memory_needed(step, shapes[i - 1], shapes[i])
                takes = {"CPU": runner.threads, "memory": needed, "GPU": int(isinstance(step, Trained))}
                yield Task(prepared, place, i, takes)
        takes = {"CPU": runner.threads, "memory": shapes[-1].bytes, "GPU": int(not shapes[-1].scheme.terminal)}
        yield Task(prepared, place, len(prepared.addresses), takes)


def run(runner: Runner, address: str | None, only: Sequence[str] = (), *, device: str = "cpu") -> None:
    """Carry out a study on the Ray cluster at ``address``, or on one of this machine's own that nothing outside it can reach.

    With ``device="cuda"``, or *auto* where a node has a GPU, what trains or tags in floating point gets one to itself. What is
    lost with a process or a node is made again elsewhere, and goes on from its last checkpoint. Raises `DinkuError` as
    `Runner.run` does, and where no node has room for a step. SIGTERM stops it as Ctrl-C does.
    """
    chosen = runner.chosen(only)
    runner.results.check_writable()
    runner.begin(chosen)
    if device not in ("cpu", "cuda", "auto"):
        raise DinkuError(f"there is no device {device!r} on Ray", where="device", remedy="choose cpu, cuda or auto")
    if todo := list(tasks(runner, chosen)):
        with _connected(address):
            gpus = device == "cuda" or (device == "auto" and any(node.get("GPU") for node in _nodes()))
            _carry_out(runner, todo if gpus else [replace(t, takes={**t.takes, "GPU": 0}) for t in todo])
    use_threads(runner.threads)
    runner.conclude(chosen)  # time is told by one machine's clock: the driver's


def _carry_out(runner: Runner, todo: Sequence[Task]) -> None:
    import ray
    from ray.exceptions import RayError, RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    board = ray.remote(Board).options(num_cpus=0, scheduling_strategy=here).remote()
    carried = {name: value for name, value in os.environ.items() if name.startswith(_CARRIED)}
    store, results = runner.store.root.absolute(), runner.results.folder.absolute()
    worker = Worker(runner.study, store, results, runner.threads, dict(runner.before), str(Path.cwd()), carried, board)

    def do(number: int, i: int, address: str, on_gpu: bool, ready: bool) -> bool:
        return worker.do(number, i, address, on_gpu, ready)

    remote, nodes = ray.remote(do), _nodes()
    running: dict[Any, Task] = {}
    made: dict[str, Any] = {}  # what is being made at an address, for what comes after it to wait for
    for task in todo:
        given = _given(task.takes, nodes)
        asked = remote.options(
            num_cpus=given["CPU"],
            num_gpus=given["GPU"],
            memory=int(given["memory"]),
            max_retries=RETRIES,
            name=task.prepared.title,
        )
        needed = next((made[a] for a in reversed(task.prepared.addresses[: task.i]) if a in made), True)
        ref = asked.remote(task.number, task.i, task.address, bool(given["GPU"]), needed)
        running[ref] = replace(task, takes=given)
        if not task.rows:
            made[task.address] = ref
    recipes = left = sum(task.rows for task in todo)
    looked = time.monotonic()
    runner.report(f"{runner.study.name}: {plural(left, 'recipe')} to go", 0, recipes)
    while running:
        done, _ = ray.wait(list(running), num_returns=len(running), timeout=POLL, fetch_local=False)
        for line in ray.get(board.told.remote()):
            runner.report(line, recipes - left, recipes)
        before = left
        for ref in done:
            task = running.pop(ref)
            left -= task.rows
            try:
                ray.get(ref)
            except RayTaskError as error:
                if not isinstance(error.cause, RayError):  # else what it needs was lost, which is told of that
                    raise _told(error.cause) from None
            except RayError as error:
                runner.fail(task.prepared, task.address, task.step, _reason(error))
        if left < before:
            runner.report(f"{runner.study.name}: {plural(left, 'recipe')} to go", recipes - left, recipes)
        if time.monotonic() - looked > LOOK:
            looked = time.monotonic()
            nodes = _nodes()
            for task in running.values():
                if not any(_fits(task.takes, node) for node in nodes):
                    raise _too_much(task.takes, nodes)


def _nodes() -> list[dict[str, float]]:
    """What each node that is up has."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _given(takes: Mapping[str, float], nodes: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """What Ray shall keep for a task: what it takes, but no more memory than a node has, which refuses it with its reason."""
    rest = {**takes, "memory": 0.0}
    there = [node.get("memory", 0.0) for node in nodes if _fits(rest, node)]
    if not there:
        raise _too_much(takes, nodes)
    return {**takes, "memory": min(takes["memory"], max(there))}


def _fits(takes: Mapping[str, float], node: Mapping[str, float]) -> bool:
    """Whether a node, when it is idle, has room for a task."""
    return all(node.get(name, 0) >= number for name, number in takes.items())


def _too_much(takes: Mapping[str, float], nodes: Sequence[Mapping[str, float]]) -> DinkuError:
    """What is said where no node has room, as Ray would wait for one without a word."""
    there = "; ".join(dict.fromkeys(map(_resources, nodes)))
    problem = f"a step takes {_resources(takes)}, where nodes have {there}"
    remedy = "let it take less, by --threads or --device, or add a node that has more"
    return DinkuError(problem, where="--engine ray", remedy=remedy)


def _resources(of: Mapping[str, float]) -> str:
    cpus, gpus = round(of.get("CPU", 0)), round(of.get("GPU", 0))
    told = [f"{cpus} CPU{'s' * (cpus != 1)}", *([f"{gpus} GPU{'s' * (gpus != 1)}"] if gpus else [])]
    return ", ".join([*told, f"{of.get('memory', 0) / 1e9:.1f} GB"])


def _reason(error: Exception) -> str:
    """Why Ray gave a task up, in a line."""
    first = next(iter(str(error).strip().splitlines()), "")
    return f"its process or node was lost {plural(RETRIES + 1, 'time')} ({type(error).__name__}: {first})"


def _told(error: BaseException) -> Exception:
    """What stopped a task, as it would stop a local run."""
    if isinstance(error, DinkuError | OSError):
        return error
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return DinkuError(reason, where="a Ray worker", remedy="install dinku alike on all nodes", status=1)


@cache
def _token() -> str:
    """What this process shows to its own Ray: for as long as it lives Ray keeps the first one that it was given."""
    return secrets.token_hex(32)


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """Within the block this process is a driver of a Ray cluster; what it began ends with it."""
    # Ray reads these as it is imported.
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_task_oom_retries": str(RETRIES)}
    if address is None:
        # So named, it makes a node's address 127.0.0.1 on any system: Ray would listen on all of the machine's otherwise.
        os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _token()}  # and others may log in here
    import ray

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    with ExitStack() as stack:
        stack.callback(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        try:
            if address is None:
                logs = stack.enter_context(tempfile.TemporaryDirectory(prefix="dinku-ray-", ignore_cleanup_errors=True))
                own = {"num_cpus": available_threads(), "object_store_memory": 128 << 20, "_temp_dir": logs}
                ray.init("local", **quiet, **own)
            else:
                host, _, port = address.rpartition(":")
                if host and port.isdecimal():  # Ray would try again for minutes
                    socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()
                ray.init(address, log_to_driver=False, logging_level="ERROR")
        except (OSError, RuntimeError, ValueError, OverflowError) as error:
            reason = " ".join(str(getattr(error, "strerror", None) or error).split())[:200]
            remedy = "start a node of the cluster on this machine, or leave --address out"
            raise DinkuError(
                f"no Ray cluster can be joined ({reason})", where=address or "ray", remedy=remedy
            ) from None
        stack.callback(ray.shutdown)
        # Ray tells there of every process that it loses, in many lines.
        stack.enter_context(redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
        signal.signal(signal.SIGTERM, interrupt)  # Ray has put its own there
        yield
