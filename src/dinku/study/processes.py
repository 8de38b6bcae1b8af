"""Several processes on one study. Each walks it as `dinku run` does alone, and they share the work by the store's locks."""

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

STOPPED = 20.0  # seconds in which a process that was told to stop has to


def run(runner: Runner, arguments: Sequence[str], processes: int, only: Sequence[str] = ()) -> None:
    """Have ``processes`` run ``dinku run`` with these arguments, each with its part of the threads; SIGTERM stops them all.

    One that is killed loses nothing: what it held is taken by the others, or by the next run. Raises `DinkuError` as
    `Runner.run` does, and where a process ended before all was done.
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
                start_new_session=True,  # a terminal's Ctrl-C comes to the first process alone, which stops the others
            )
            started.append(process)
            assert process.stderr is not None
            Thread(target=_read, args=(process.stderr, number, lines.put), daemon=True).start()
        running = processes
        while running:
            number, line = lines.get()
            if line:
                last[number] = line
                if not line.startswith("dinku: "):  # its last word, or a warning that was told before
                    runner.report(f"[{number + 1}] {line}", sum(not runner.missing(p) for p in chosen), len(chosen))
            else:
                running -= 1
        statuses = [process.wait() for process in started]
    runner.check(chosen)
    left = sum(bool(runner.missing(p)) for p in chosen)
    wrong = [n for n, status in enumerate(statuses) if status > 0 or (status and (left or all(statuses)))]
    if wrong or left:
        told = "; ".join(f"process {n + 1} ended with status {statuses[n]}: {last[n]}" for n in wrong[:3])
        recipes = plural(left, "recipe lacks", "recipes lack")
        remedy = "run the same command again to go on"
        raise DinkuError(f"{recipes} rows ({told})", where=runner.study.name, remedy=remedy, status=1)


def _read(pipe: IO[str], number: int, put: Callable[[tuple[int, str]], None]) -> None:
    """Pass on the lines that a process writes, and an empty one at its end."""
    for line in pipe:
        if text := line.strip():
            put((number, text))
    put((number, ""))


@contextmanager
def _stopping() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that are told to stop, and waited for, however the block ends; SIGTERM ends it as Ctrl-C does."""

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
                process.terminate()  # which does nothing to one that has ended
            for process in started:
                try:
                    process.wait(STOPPED)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
