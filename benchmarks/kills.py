"""Kill a small study over and over, everywhere in its runtime, and see that its counts are those of one left alone.

python benchmarks/kills.py --kills 50

Two processes share a study of five recipes. In turn a worker, the process that started it, or all of them get SIGKILL: in a
training, within a tenth of a second around a rename, or at any time. What is left is started again. Kills are as far apart as
the study's own runtime over their number; where it ends before the last of them it is compared, and begun anew. Needs Linux.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from dinku.study.results import Results
from dinku.testing import facts, tiny_study

MOMENTS = [
    *[("training", "worker"), ("any time", "driver"), ("rename", "worker")],
    *[("training", "all"), ("rename", "all"), ("training", "driver")],
]  # no two workers in a row, after which there would be none left
NEAR = 0.1  # seconds around a rename
# Comes into every process: checkpoints are frequent, as what is killed is short, and renames are announced and take a while.
HOOK = f"""
import os, sys, time
replace = os.replace
def told(*given, **options):
    with open(os.environ["RENAMES"], "a") as log:
        log.write(f"{{os.getpid()}}\\n")
    time.sleep({NEAR / 2})
    replace(*given, **options)
    time.sleep({NEAR / 2})
if "RENAMES" in os.environ:
    from dinku.training import fit
    fit.CHECKPOINT_SECONDS = 0.5
    os.replace = told
"""


class Killed:
    """A study in a folder of its own, and the processes that run it."""

    def __init__(self, folder: Path, epochs: int) -> None:
        self.folder, self.home = folder, folder / "home"
        tiny_study(folder, self.home, epochs=epochs)
        (folder / "sitecustomize.py").write_text(HOOK, encoding="utf-8")
        self.said, self.renames = folder / "said", folder / "renames"
        self.driver: subprocess.Popen[bytes] | None = None
        self.orphans: set[int] = set()

    def start(self) -> None:
        self.said.write_bytes(b"")
        self.renames.write_bytes(b"")
        path = os.pathsep.join([str(self.folder), *filter(None, sys.path)])
        environment = {**os.environ, "DINKU_HOME": str(self.home), "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
        command = [
            sys.executable,
            "-c",
            "from dinku.cli.app import main; main()",
            "run",
            "small.yaml",
            "--processes",
            "2",
        ]
        with open(self.said, "ab") as log:
            self.driver = subprocess.Popen(
                command,
                cwd=self.folder,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={**environment, "RENAMES": str(self.renames)},
            )

    @property
    def running(self) -> bool:
        return self.driver is not None and self.driver.poll() is None

    def workers(self) -> list[int]:
        """The processes that this one's driver started and that haven't ended."""
        assert self.driver is not None
        with suppress(OSError):
            text = Path(f"/proc/{self.driver.pid}/task/{self.driver.pid}/children").read_text()
            return [int(pid) for pid in text.split()]
        return []

    def told(self) -> str:
        """What was said last."""
        return (self.said.read_text(errors="replace").splitlines() or [""])[-1]

    def kill(self, victim: str, renaming: int | None) -> bool:
        """Whether there was anything to kill."""
        assert self.driver is not None
        workers = self.workers()
        if victim == "worker":
            chosen = [renaming if renaming in workers else next(iter(workers), None)]
        else:
            self.orphans |= {*workers}
            chosen = [self.driver.pid, *(self.orphans if victim == "all" else ())]
            self.orphans = self.orphans if victim == "driver" else set()
        hit = 0
        for pid in filter(None, chosen):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                hit += 1
        if victim != "worker":
            self.driver.wait()
        return hit > 0

    def next_moment(self, moment: str, wait: float) -> tuple[bool, int | None]:
        """Whether it came before the study ended, and for a rename the process that makes it."""
        while self.running and not self.said.stat().st_size:
            time.sleep(0.02)
        end = time.monotonic() + wait
        while self.running and time.monotonic() < end:
            time.sleep(0.01)
        before = self.renames.stat().st_size
        while self.running:
            if moment == "any time" or (moment == "training" and "fine-tuning" in self.told()):
                return True, None
            if moment == "rename" and self.renames.stat().st_size > before:
                time.sleep(random.uniform(0, NEAR))
                return self.running, int(self.renames.read_text().split()[-1])
            time.sleep(0.002)
        return False, None

    def finish(self) -> list[tuple[object, ...]]:
        """Run what is left to its end; its rows are taken away, so that the next run begins anew."""
        while (
            self.driver is None or self.driver.wait() != 0
        ):  # a driver fails where a worker was killed before all was done
            self.start()
        for pid in self.orphans:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.orphans.clear()
        results = Results(self.folder / "results" / "small")
        found = facts(results)
        assert not results.failures(), [failure.summary for failure in results.failures()]
        shutil.rmtree(results.folder)
        shutil.rmtree(self.home / "store")
        self.driver = None
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=60)
    options = parser.parse_args()
    random.seed(0)
    with tempfile.TemporaryDirectory() as folder:
        study = Killed(Path(folder), options.epochs)
        study.start()
        study.next_moment("any time", 0)
        begun = time.monotonic()
        expected = study.finish()
        seconds = time.monotonic() - begun
        print(f"undisturbed: {len(expected)} rows in {seconds:.1f} s", flush=True)
        kills: Counter[str] = Counter()
        ended = 0
        while kills.total() < options.kills:
            moment, victim = MOMENTS[kills.total() % len(MOMENTS)]
            if not study.running:
                study.start()
            came, renaming = study.next_moment(moment, seconds / options.kills * random.uniform(0.5, 1.5))
            if came and study.kill(victim, renaming):
                kills[f"{moment}, {victim}"] += 1
                print(f"kill {kills.total()}: {moment}, {victim}; {study.told()}", flush=True)
            elif study.driver is not None and study.driver.returncode == 0:
                assert study.finish() == expected, "other rows than undisturbed"
                ended += 1
                print(f"ended {ended} times, with the same rows", flush=True)
        assert study.finish() == expected, "other rows than undisturbed"
        each = ", ".join(f"{n} × {name}" for name, n in sorted(kills.items()))
        print(
            f"{kills.total()} kills ({each}); ended {ended + 1} times, each with the {len(expected)} rows undisturbed"
        )


if __name__ == "__main__":
    main()
