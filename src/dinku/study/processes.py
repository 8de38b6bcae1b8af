"""Several processes on one study. Each runs it as `dinku run` alone does, and the store's locks divide the work among them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue
from threading import Thread
from typing import IO

from dinku.errors import DinkuError, plural
from dinku.machine import available_threads, check_threads
from dinku.study.run import Runner

STOPPED = 20.0  # seconds that a process has to stop in before it is killed


def run(runner: Runner, arguments: Sequence[str], processes: int, only: Sequence[str] = ()) -> None:
    """Run ``dinku run`` with these arguments in several processes, which share the threads; SIGTERM stops them all.

    A process that is killed loses nothing: the others, or the next run, take over what it was doing. Raises `DinkuError` as
    `Runner.run` does, and if processes ended before all was done.
    """
    chosen = runner.chosen(only)
    threads = runner.study.threads or runner.cores or max(1, available_threads() // processes)
    check_threads(threads, where=f"{runner.study.name}: threads")
    runner.results.check_writable()
    runner.begin(chosen)
    command = [sys.executable, "-P", "-m", "dinku", "run", *arguments]
    command += ["--threads", str(threads)]
    lines: SimpleQueue[tuple[int, str]] = SimpleQueue()
    last = [""] * processes
    with _stopping() as started:
        for number in range(processes):
            environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,  # so that Ctrl-C reaches the first process alone, which stops the others
            )
            started.append(process)
            assert process.stderr is not None
            Thread(target=_read, args=(process.stderr, number, lines.put), daemon=True).start()
        running = processes
        while running:
            number, line = lines.get()
            if line:
                last[number] = line
                if not line.startswith("dinku: "):  # its last error, or a warning that was printed before
                    runner.report(f"[{number + 1}] {line}", sum(not runner.missing(p) for p in chosen), len(chosen))
            else:
                running -= 1
        statuses = [process.wait() for process in started]
    runner.check(chosen)
    left = sum(bool(runner.missing(p)) for p in chosen)
    wrong = [n for n, status in enumerate(statuses) if status > 0 or (status and (left or all(statuses)))]
    if wrong or left:
        ends = "; ".join(f"process {n + 1} ended with status {statuses[n]}: {last[n]}" for n in wrong[:3])
        recipes = plural(left, "recipe lacks", "recipes lack")
        remedy = "run the same command again to go on"
        raise DinkuError(f"{recipes} rows ({ends})", where=runner.study.name, remedy=remedy, status=1)


def _read(pipe: IO[str], number: int, put: Callable[[tuple[int, str]], None]) -> None:
    """Pass on each line that a process writes, and an empty one when it ends."""
    for line in pipe:
        if text := line.strip():
            put((number, text))
    put((number, ""))


@contextmanager
def _stopping() -> Iterator[list[subprocess.Popen[str]]]:
    """A list of processes, which are stopped and waited for however the block ends. SIGTERM ends the block as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    started: list[subprocess.Popen[str]] = []
    with ExitStack() as stack:
        before = signal.signal(signal.SIGTERM, interrupt)
        stack.callback(signal.signal, signal.SIGTERM, before)
        try:
            yield started
        finally:
            for process in started:
                process.terminate()  # does nothing to a process that has ended
            for process in started:
                try:
                    process.wait(STOPPED)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
