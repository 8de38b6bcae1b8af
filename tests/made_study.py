"""Studies that tests run: in this process, or in one that is forked after the imports, which take seconds."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stderr
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from dinku.cli.app import main
from dinku.model.store import Store
from dinku.study.definition import Study
from dinku.study.results import Results
from dinku.study.run import Runner


def runner(home: Path) -> Runner:
    return Runner(Study.read("small.yaml"), Store(home / "store"), Results(Path("results/small")))


def started() -> ForkServerProcess:
    """A process that has begun ``dinku run small.yaml`` in the current folder and environment."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["dinku.cli.app", "dinku.cli.run", "dinku.testing", "dinku.training.fit"])
    process = context.Process(target=_run, args=(dict(os.environ), Path.cwd()))
    process.start()
    return process


def _run(environment: dict[str, str], folder: Path) -> None:
    """``dinku run small.yaml``, which appends the address of each step that it finishes to the file ``finished``."""
    from dinku.training import fit

    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    fit.CHECKPOINT_SECONDS = 0.0
    finish = Store.finish

    def noted(self: Store, address: str, step: dict[str, Any]) -> None:
        finish(self, address, step)
        with Path("finished").open("a") as log:
            log.write(f"{address}\n")

    Store.finish = noted  # type: ignore[method-assign]
    sys.argv = ["dinku", "run", "small.yaml"]
    with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):
        main()
