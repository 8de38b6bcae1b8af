"""A study on Ray: a task for every step of its tree and one for the rows of every recipe, on whichever node has room.

All nodes share a POSIX file system with the driver: the store, the results, ``DINKU_HOME`` and the folder that the driver
runs in lie there. The store's locks work across nodes, so that several runs, with Ray or without, may use one store at once.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from dinku.study.failures import Failed
from dinku.study.prepare import Prepared, memory_needed
from dinku.study.results import Results
from dinku.study.run import Runner, use_threads
from dinku.training.settings import TrainingSettings

RETRIES = 3  # how often a task is done again after its process or node was lost
POLL = 0.5  # seconds between two looks at which tasks are done
PATIENCE = 10.0  # seconds within which a cluster has to answer
LOOK = 10.0  # seconds between two looks at which nodes are alive
# Variables of the driver's environment that workers get, too, because nodes may have been started without them.
_CARRIED = ("DINKU_", "HF_")


@dataclass(frozen=True)
class Worker:
    """Does tasks in a process of a node. It lives as long as the process, so that a study is read once and not for every task."""

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
        """The driver's runner, made again in this process. Raises `DinkuError` if the driver's folder isn't on this node."""
        os.environ.update(self.environment)
        try:
            os.chdir(self.folder)  # a study's paths are relative to it
        except OSError as error:
            problem = f"isn't there on {socket.gethostname()} ({error.strerror})"
            remedy = "run where all nodes see the same folder"
            raise DinkuError(problem, where=self.folder, remedy=remedy, status=1) from None
        me = f"{socket.gethostname()} {os.getpid()}"
        last = [""]

        def report(what: str, done: int, total: int) -> None:
            if [what] != last:
                last[:] = [what]
                self.board.add.remote(f"[{me}] {what}")

        use_threads(self.cores)
        runner = Runner(self.study, Store(self.store), Results(self.results), report, self.cores)
        runner.before.update(self.before)
        return runner

    @cached_property
    def gpu_runner(self) -> Runner:
        """The same runner, which makes steps on this process's GPU."""
        from dinku.nn.torch_engine import device

        return replace(self.runner, device=device("cuda"))

    def do(self, number: int, i: int, address: str, on_gpu: bool, ready: bool) -> bool:
        """Make the i-th step of a recipe, or its rows if ``i`` is beyond its steps; False if this or an earlier step failed.

        Raises `DinkuError` if this node reads other files than the driver, and passes on what the operating system refuses.
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


class ProgressBoard:
    """Collects what workers report, for the driver to read."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, line: str) -> None:
        self.lines.append(line)

    def take(self) -> list[str]:
        """The lines that were added since the last call."""
        lines, self.lines = self.lines, []
        return lines


@dataclass(frozen=True)
class Task:
    """The i-th step of a recipe, or its rows if ``i`` is beyond its steps. ``takes`` is what it needs of a node, with a GPU."""

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
    """The tasks for these recipes, each step once and after the steps before it."""
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
                takes = {"CPU": runner.threads, "memory": needed, "GPU": int(isinstance(step, TrainingSettings))}
                yield Task(prepared, place, i, takes)
        takes = {"CPU": runner.threads, "memory": shapes[-1].bytes, "GPU": int(not shapes[-1].scheme.terminal)}
        yield Task(prepared, place, len(prepared.addresses), takes)


def run(runner: Runner, address: str | None, only: Sequence[str] = (), *, device: str = "cpu") -> None:
    """Carry out a study on the Ray cluster at ``address``, or without one on a cluster of this machine alone.

    Nothing outside this machine can reach a cluster of its own. With ``device="cuda"``, or *auto* if a node has a GPU, each task
    that trains or tags in floating point gets a GPU to itself. A task whose process or node is lost is done again elsewhere, from
    its last checkpoint. Raises `DinkuError` as `Runner.run` does, and if no node has room for a step. SIGTERM stops it as Ctrl-C
    does.
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
    runner.conclude(chosen)  # all times are taken by the driver, on one machine


def _carry_out(runner: Runner, todo: Sequence[Task]) -> None:
    """Submit all tasks, and wait for them while reporting what workers do."""
    import ray

    board = _board()
    running = _submitted(runner, todo, board)
    recipes = left = sum(task.rows for task in todo)
    looked = time.monotonic()
    runner.report(f"{runner.study.name}: {plural(left, 'recipe')} to go", 0, recipes)
    while running:
        done, _ = ray.wait(list(running), num_returns=len(running), timeout=POLL, fetch_local=False)
        for line in ray.get(board.take.remote()):
            runner.report(line, recipes - left, recipes)
        ended = [(ref, running.pop(ref)) for ref in done]
        for ref, task in ended:
            _settle(runner, ref, task)
        if rows := sum(task.rows for _, task in ended):
            left -= rows
            runner.report(f"{runner.study.name}: {plural(left, 'recipe')} to go", recipes - left, recipes)
        if time.monotonic() - looked > LOOK:
            looked = time.monotonic()
            _check_room(running.values())


def _board() -> Any:
    """A `ProgressBoard` on the driver's node."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(ProgressBoard).options(num_cpus=0, scheduling_strategy=here).remote()


def _submitted(runner: Runner, todo: Sequence[Task], board: Any) -> dict[Any, Task]:
    """The tasks by Ray's references to their results. Each waits for the step before it."""
    import ray

    carried = {name: value for name, value in os.environ.items() if name.startswith(_CARRIED)}
    store, results = runner.store.root.absolute(), runner.results.folder.absolute()
    worker = Worker(runner.study, store, results, runner.threads, dict(runner.before), str(Path.cwd()), carried, board)

    def do(number: int, i: int, address: str, on_gpu: bool, ready: bool) -> bool:
        return worker.do(number, i, address, on_gpu, ready)

    remote, nodes = ray.remote(do), _nodes()
    running: dict[Any, Task] = {}
    made: dict[str, Any] = {}  # by address, the reference to the step that makes it
    for task in todo:
        takes = _available(task.takes, nodes)
        options = remote.options(
            num_cpus=takes["CPU"],
            num_gpus=takes["GPU"],
            memory=int(takes["memory"]),
            max_retries=RETRIES,
            name=task.prepared.title,
        )
        ready = next((made[a] for a in reversed(task.prepared.addresses[: task.i]) if a in made), True)
        ref = options.remote(task.number, task.i, task.address, bool(takes["GPU"]), ready)
        running[ref] = replace(task, takes=takes)
        if not task.rows:
            made[task.address] = ref
    return running


def _settle(runner: Runner, ref: Any, task: Task) -> None:
    """Keep the failure of a task that was lost; raise the error that stopped a task, as it would stop a local run."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        ray.get(ref)
    except RayTaskError as error:
        if not isinstance(error.cause, RayError):  # otherwise the step before it was lost, and that is kept already
            raise _own_error(error.cause) from None
    except RayError as error:
        runner.fail(task.prepared, task.address, task.step, _reason(error))


def _check_room(running: Iterable[Task]) -> None:
    """Raise `DinkuError` if no node that is still alive has room for a task: Ray would wait forever without a word."""
    nodes = _nodes()
    for task in running:
        if not any(_fits(task.takes, node) for node in nodes):
            raise _too_much(task.takes, nodes)


def _nodes() -> list[dict[str, float]]:
    """The resources of each node that is alive."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _available(takes: Mapping[str, float], nodes: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The resources to ask Ray for: what a task takes, but no more memory than the largest node has.

    A task that needs more than that is refused by the node, with its reason.
    """
    rest = {**takes, "memory": 0.0}
    there = [node.get("memory", 0.0) for node in nodes if _fits(rest, node)]
    if not there:
        raise _too_much(takes, nodes)
    return {**takes, "memory": min(takes["memory"], max(there))}


def _fits(takes: Mapping[str, float], node: Mapping[str, float]) -> bool:
    """Whether an idle node has room for a task."""
    return all(node.get(name, 0) >= number for name, number in takes.items())


def _too_much(takes: Mapping[str, float], nodes: Sequence[Mapping[str, float]]) -> DinkuError:
    there = "; ".join(dict.fromkeys(map(_resources, nodes)))
    problem = f"a step takes {_resources(takes)}, but nodes have {there}"
    remedy = "give it fewer threads, train on the CPU, or add a node that has more"
    return DinkuError(problem, where="Ray", remedy=remedy)


def _resources(amounts: Mapping[str, float]) -> str:
    cpus, gpus = round(amounts.get("CPU", 0)), round(amounts.get("GPU", 0))
    parts = [plural(cpus, "CPU"), *([plural(gpus, "GPU")] if gpus else []), f"{amounts.get('memory', 0) / 1e9:.1f} GB"]
    return ", ".join(parts)


def _reason(error: Exception) -> str:
    """Why Ray gave up a task, in one line."""
    first = next(iter(str(error).strip().splitlines()), "")
    return f"its process or node was lost {plural(RETRIES + 1, 'time')} ({type(error).__name__}: {first})"


def _own_error(error: BaseException) -> Exception:
    """The error that stopped a task: as it is if dinku or the system raised it, and otherwise in one line."""
    if isinstance(error, DinkuError | OSError):
        return error
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return DinkuError(reason, where="a Ray worker", remedy="install the same dinku on all nodes", status=1)


@cache
def _token() -> str:
    """The secret that this process shows to its own Ray, the same one each time: Ray keeps the first that it is given."""
    return secrets.token_hex(32)


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """Make this process the driver of a Ray cluster within the block. A cluster that it starts ends with the block."""
    # Ray reads these when it is imported.
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_task_oom_retries": str(RETRIES)}
    if address is None:
        # Despite its name, this makes a node's address 127.0.0.1 on any system; otherwise Ray would listen on all addresses.
        os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _token()}  # against other users of this machine
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
                if host and port.isdecimal():  # fails at once, while Ray would retry for minutes
                    socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()
                ray.init(address, log_to_driver=False, logging_level="ERROR")
        except (OSError, RuntimeError, ValueError, OverflowError) as error:
            reason = " ".join(str(getattr(error, "strerror", None) or error).split())[:200]
            remedy = "start a node of the cluster on this machine, or give no address"
            raise DinkuError(
                f"no Ray cluster can be joined ({reason})", where=address or "ray", remedy=remedy
            ) from None
        stack.callback(ray.shutdown)
        # Ray prints many lines there about every process that it loses.
        stack.enter_context(redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
        signal.signal(signal.SIGTERM, interrupt)  # in place of the handler that Ray sets
        yield
