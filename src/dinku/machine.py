"""The machine and the software: processor, cores, memory, packages, commit."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import dinku
from dinku.errors import DinkuError
from dinku.schema import Record

_PACKAGES = ("numpy", "tokenizers", "torch", "transformers")
_FLAGS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimddp", "bf16")
BFLOAT16_FLAGS = frozenset(["avx512_bf16", "amx_bf16", "bf16"])  # instructions that make bfloat16 a gain
SOURCE = Path(dinku.__file__).parent  # the whole source tree, wherever in it this module stands


class Environment(Record):
    """Where something was measured. ``gpu`` is the name of the GPU that the tagger was on, if any."""

    system: str
    cpu: str
    gpu: str | None = None
    instructions: tuple[str, ...]
    cores: int
    threads: int
    python: str
    packages: dict[str, str]
    commit: str | None = None
    dirty: bool

    @property
    def machine(self) -> str:
        """The parts of the environment that must be equal for two times to be comparable."""
        parts = [self.system, self.cpu, str(self.threads), self.packages.get("torch", ""), self.gpu]
        return "|".join(part for part in parts if part is not None)


@cache
def environment(threads: int, device: str = "cpu") -> Environment:
    """The environment of this process. ``commit`` is the checkout's, if dinku runs from one."""
    gpu = None
    if device != "cpu":
        import torch

        gpu = torch.cuda.get_device_name(device)
    commit, dirty = commit_of(SOURCE)
    return Environment(
        system=f"{platform.system()} {platform.machine()}",
        cpu=cpu()[0],
        gpu=gpu,
        instructions=instructions(),
        cores=os.cpu_count() or 1,
        threads=threads,
        python=platform.python_version(),
        packages=installed(_PACKAGES),
        commit=commit,
        dirty=dirty,
    )


def installed(packages: Iterable[str]) -> dict[str, str]:
    """The version of dinku, and that of each of the other packages that is installed."""
    found = {"dinku": dinku.__version__}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def instructions() -> tuple[str, ...]:
    """The processor's instruction sets for narrow numbers, by their names in ``/proc/cpuinfo``."""
    return tuple(flag for flag in _FLAGS if flag in cpu()[1])


@cache
def cpu() -> tuple[str, frozenset[str]]:
    """The processor's name and its flags; no flags if the system doesn't list them."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in reversed(lines))}
    family = " ".join(f"{k} {fields[k]}" for k in ("cpu family", "model") if k in fields)
    name = fields.get("model name") or _processor(fields)
    flags = fields.get("flags", fields.get("Features", ""))
    return f"{name} ({family})" if family else name, frozenset(flags.split())


def _processor(fields: dict[str, str]) -> str:
    """A name for a processor that has none in ``/proc/cpuinfo``, as on ARM: its numbers there, or the system's name for it."""
    if numbers := " ".join(f"{key[4:]} {fields[key]}" for key in fields if key.startswith("CPU ")):
        return f"{platform.machine()} ({numbers})"
    if platform.system() == "Darwin":
        done = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False)
        return done.stdout.strip() or platform.processor()
    return platform.processor() or platform.machine()


def commit_of(folder: Path) -> tuple[str | None, bool]:
    """The commit of the checkout that a folder of source is part of, and whether any file in the folder differs from it.

    ``None`` if the folder isn't part of one.
    """

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD") if git("ls-files", "--", ".") else None
    return commit, bool(commit and git("status", "--porcelain", "--untracked-files=no", "--", "."))


def available_threads() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


THREADS_A_CORE = 4  # more than these wait for one another, and starting thousands takes longer than the work


def check_threads(asked: int | None, *, where: str) -> None:
    """Raise `DinkuError` for a number of threads or processes that is less than 1, or far more than this machine's cores."""
    most = THREADS_A_CORE * available_threads()
    if asked is not None and not 1 <= asked <= most:
        remedy = f"give 1 to {most:,}, four for each core here"
        raise DinkuError(f"is {asked:,}", where=where, remedy=remedy)


def memory_bytes() -> int:
    """The bytes of memory that this process may use: the machine's, or its control group's limit if that is less."""
    limits = [sys.maxsize]  # unless the system says
    with suppress(AttributeError, ValueError):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # no such group, or "max": no limit
            limits.append(int(Path(path).read_text()))
    return min(limits)


def interleaved(
    subjects: Mapping[str, Callable[[], object]], *, rounds: int, warmup: int = 1
) -> dict[str, list[float]]:
    """Seconds of each subject in each round; every round runs all subjects, in an order that rotates.

    When a machine slows down, it slows down all subjects of a round, so times are compared within rounds.
    """
    names = list(subjects)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-warmup, rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            start = time.perf_counter()
            subjects[name]()
            if number >= 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds
