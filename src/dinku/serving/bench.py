"""Compares the speed of taggers, from typed text to entities, each in a separate process.

In a process of its own, a model's memory can be measured, a bundle runs without torch, and no model inherits another's heap.
In every round the processes run one after another, in an order that rotates, so that a slow phase of the machine affects all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dinku.errors import DinkuError
from dinku.machine import check_threads, environment, interleaved
from dinku.model.folder import labels_by_model
from dinku.progress import Count
from dinku.serving.lines import Line

BATCHES = (1, 8, 32)
COMMAND = (sys.executable, "-P", "-m", "dinku.serving.bench")  # runs `attend` with a bundle or a tagger
WARMUP = 1
Tag = Callable[[Sequence[str]], object]  # texts of a batch → their entities
Opened = tuple[str, Tag]  # a precision, and what tags


class Memory(NamedTuple):
    """Bytes of memory that a process holds now, and its peak; ``None`` if the system doesn't say."""

    resident: int | None
    peak: int | None


@contextmanager
def bench_process(model: str, command: Sequence[str], asked: Mapping[str, Any]) -> Iterator[BenchProcess]:
    """A process that runs `attend`, with its model open. Raises the `DinkuError` of opening it."""
    environment = os.environ | {"RAYON_NUM_THREADS": str(asked["threads"])}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield BenchProcess(model, process, asked)
        finally:
            process.kill()  # it is idle between batches


class BenchProcess:
    """A process that runs `attend`, as its parent sees it."""

    def __init__(self, model: str, process: subprocess.Popen[str], asked: Mapping[str, Any]) -> None:
        self.model, self._process = model, process
        self.precision = str(self._say({"model": model, **asked})["precision"])
        self.seconds: dict[int, list[list[float]]] = {}  # by batch, [rounds][batches]

    def run(self, batch: int) -> None:
        """Tag all texts once."""
        self.seconds.setdefault(batch, []).append(self._say(batch)["seconds"])

    @property
    def memory(self) -> Memory:
        return Memory(*self._say(0)["memory"])

    def _say(self, message: Any) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline() or "null")
        except BrokenPipeError:
            answer = None
        if answer is None:
            remedy = "try it alone with dinku predict"
            raise DinkuError("its process ended", where=self.model, remedy=remedy, status=1)
        if "missing" in answer:
            raise ModuleNotFoundError(f"No module named {answer['missing']!r}", name=answer["missing"])
        if "error" in answer:
            problem, where, remedy = answer["error"]
            raise DinkuError(problem, where=where, remedy=remedy, status=answer["status"])
        return dict(answer)


def attend(opened: Callable[[dict[str, Any]], Opened]) -> None:
    """Run in a bench process: open the model that the first line of stdin names, then tag its texts once for each further line,
    which gives the size of batches."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # so that a library's print isn't taken for an answer

    def say(**answer: Any) -> None:
        print(json.dumps(answer), file=out, flush=True)

    asked = json.loads(sys.stdin.readline())
    try:
        precision, tag = opened(asked)
    except DinkuError as error:
        return say(error=[error.problem, error.where, error.remedy], status=error.status)
    except ModuleNotFoundError as error:
        return say(missing=error.name)
    say(precision=precision)
    texts = asked["texts"]
    for line in sys.stdin:
        if not (batch := int(line)):
            say(memory=_memory())
            continue
        seconds = []
        for start in range(0, len(texts), batch):
            began = time.perf_counter()
            tag(texts[start : start + batch])
            seconds.append(time.perf_counter() - began)
        say(seconds=seconds)
    return None


def compare(
    processes: Sequence[BenchProcess],
    *,
    batches: Sequence[int] = BATCHES,
    rounds: int,
    progress: Count | None = None,
) -> list[dict[str, Any]]:
    """The results of ``bench`` for each model: speed at its best batch size, times of single sentences, memory; with 95 %
    intervals.

    Ratios compare a model's speed with the first model's within the same round, each at its best batch size.
    """
    turns = [(each, batch) for batch in sorted({1, *batches}) for each in processes]
    done, total = 0, len(turns) * (rounds + WARMUP)

    def run(each: BenchProcess, batch: int) -> None:
        nonlocal done
        each.run(batch)
        done += 1
        if progress:
            progress(done, total)

    interleaved({str(n): partial(run, *turn) for n, turn in enumerate(turns)}, rounds=rounds, warmup=WARMUP)
    return [_told(each, batches, processes[0]) for each in processes]


def _speeds(each: BenchProcess, batch: int) -> NDArray[np.float64]:
    """[rounds] sentences per second."""
    return np.array([len(each.seconds[1][0]) / sum(r) for r in each.seconds[batch][WARMUP:]])


def _best(each: BenchProcess, batches: Sequence[int]) -> int:
    return max(batches, key=lambda batch: float(np.median(_speeds(each, batch))))


def _told(each: BenchProcess, batches: Sequence[int], first: BenchProcess) -> dict[str, Any]:
    best, memory = _best(each, batches), each.memory
    speed = _speeds(each, best)
    told: dict[str, Any] = {"model": each.model, "precision": each.precision}
    told |= _interval("sentences_per_second", speed[None], 0.5) | {"best_batch": best}
    told |= {"by_batch": {str(batch): float(np.median(_speeds(each, batch))) for batch in batches}}
    for share in (50, 95):
        told |= _interval(f"p{share}_ms", 1000 * np.array(each.seconds[1][WARMUP:]), share / 100)  # [rounds, sentences]
    told |= {"resident_bytes": memory.resident, "peak_bytes": memory.peak}
    return told | _interval("ratio_to_first", (speed / _speeds(first, _best(first, batches)))[None], 0.5)


def _interval(name: str, values: NDArray[np.float64], share: float) -> dict[str, Any]:
    """A quantile of all values [rounds, n], and its percentile bootstrap interval from draws along the last axis."""
    drawn = np.random.default_rng(0).integers(0, values.shape[1], (1000, values.shape[1]))
    quantiles = [np.quantile(values[:, each], share) for each in drawn]
    low, high = np.quantile(quantiles, [0.025, 0.975])
    return {name: float(np.quantile(values, share)), f"{name}_interval": [float(low), float(high)]}


def bench(
    models: Sequence[str],
    texts: Sequence[str],
    *,
    threads: int,
    batches: Sequence[int] = BATCHES,
    rounds: int = 5,
    precision: str | None = None,
    labels: str = "",
    progress: Count | None = None,
) -> dict[str, Any]:
    """`compare` models by name on texts, with ``threads`` threads each.

    ``labels`` renames tags or labels (`dinku.model.labels.read_labels`) of those models that have them. Raises `DinkuError` if a
    model can't be opened, or none has a name that is given.
    """
    for name, value in (
        ("rounds", rounds),
        ("batches", min(batches, default=0)),
        ("texts", len(texts)),
    ):
        if value < 1:
            raise DinkuError(f"must be at least 1 (got {value})", where=name)
    check_threads(threads, where="threads")
    asked = {"texts": list(texts), "threads": threads, "precision": precision}
    named = labels_by_model(models, labels)
    with ExitStack() as stack:
        running = [
            stack.enter_context(bench_process(model, COMMAND, asked | {"labels": named[model]})) for model in models
        ]
        told = compare(running, batches=batches, rounds=rounds, progress=progress)
    about: dict[str, Any] = {"sentences": len(texts), "threads": threads, "rounds": rounds}
    about["environment"] = environment(threads).model_dump()
    return about | {"models": told}


def _opened(asked: dict[str, Any]) -> Opened:
    from dinku.serving import reader

    opened = reader.open(
        asked["model"], threads=asked["threads"], precision=asked["precision"], labels=asked.get("labels", "")
    )

    def tag(texts: Sequence[str]) -> object:
        lines = [Line.typed(text) for text in texts]
        return [line.entities(found) for line, found in zip(lines, opened.tag(lines), strict=True)]

    return opened.precision, tag


def _memory(status: Path = Path("/proc/self/status")) -> Memory:
    if status.exists():
        kilobytes = {line.split()[0]: line.split()[1] for line in status.read_text().splitlines() if line[:2] == "Vm"}
        return Memory(int(kilobytes["VmRSS:"]) << 10, int(kilobytes["VmHWM:"]) << 10)
    try:
        import resource
    except ImportError:  # Windows
        return Memory(None, None)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << (0 if sys.platform == "darwin" else 10)
    return Memory(most, most)


if __name__ == "__main__":
    attend(_opened)
