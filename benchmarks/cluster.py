"""What Ray costs: ``python benchmarks/cluster.py [--steps 1000] [--cpus 1 2]``.

A study of so many short steps, each sparsifying a tiny tagger otherwise and tagging a few sentences, run by one process and then
on a Ray of this machine's own with each number of CPUs. Rows have to be the same. To start Ray and its workers takes what a
study of a step for each CPU does, told as ``start``; ``ratio`` is of the seconds without it. Between them the same tasks are
given to Ray where they are done already: that is what Ray and the driver take for each.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from dinku.data.conll import write
from dinku.model.store import Store
from dinku.study import ray
from dinku.study.definition import Study
from dinku.study.results import Results
from dinku.study.run import Runner
from dinku.testing import tiny_corpus, tiny_tagger


def base() -> None:
    """What the study begins with, in the working folder."""
    tiny_tagger().save(Path("base"))
    for split, seed in (("train", 0), ("test", 1)):
        (Path("corpus") / "one").mkdir(parents=True, exist_ok=True)
        write(tiny_corpus(8, seed=seed).only("one"), Path("corpus") / "one" / f"{split}.txt")


def short(steps: int) -> Study:
    """The study."""
    grid = {"sparsity": [n / steps for n in range(steps)]}
    block = {"arm": "short", "grid": grid, "steps": [{"Sparsify": {"sparsity": "$sparsity"}}]}
    document = {"name": "short", "title": "Short steps", "base": "base", "corpus": "corpus", "recipes": [block]}
    return Study.model_validate(document)


def unworked(study: Study, place: str) -> float:
    """Seconds that all tasks of a study take, by workers that are up, where there is nothing left to do in them."""
    blank = Runner(study, Store(Path("none")), Results(Path("none") / study.name), cores=1)
    todo = list(ray.tasks(blank, blank.prepared))
    done = Runner(study, Store(Path(place) / "store"), Results(Path(place) / study.name), cores=1)
    with ray._connected(None):
        todo = [replace(task, takes={**task.takes, "GPU": 0}) for task in todo]
        ray._carry_out(done, todo[-2:])
        begin = time.perf_counter()
        ray._carry_out(done, todo)
        return time.perf_counter() - begin


def timed(study: Study, place: str, run: Callable[[Runner], None]) -> tuple[float, list[object]]:
    """Seconds, and what the rows say."""
    results = Results(Path(place) / "short")
    begin = time.perf_counter()
    run(Runner(study, Store(Path(place) / "store"), results, cores=1))
    seconds = time.perf_counter() - begin
    return seconds, [(row.key, row.spans, results.counts(row).default.tobytes()) for row in results.rows()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--cpus", type=int, nargs="+", default=[1])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        base()
        study = short(options.steps)
        alone, expected = timed(study, "local", Runner.run)
        told: list[dict[str, Any]] = [{"engine": "local", "seconds": alone}]
        told.append({"engine": "ray, nothing left to do", "seconds": unworked(study, "local")})
        for cpus in options.cpus:
            ray.available_threads = partial(int, cpus)  # type: ignore[attr-defined]
            start, _ = timed(short(cpus), f"start-{cpus}", lambda runner: ray.run(runner, None))
            seconds, facts = timed(study, f"ray-{cpus}", lambda runner: ray.run(runner, None))
            assert facts == expected, "the rows differ"
            told.append(
                {"engine": f"ray, {cpus} CPU", "seconds": seconds, "start": start, "ratio": (seconds - start) / alone}
            )
        for run in told:
            run["ms_a_step"] = 1000 * run["seconds"] / options.steps
        os.chdir("/")
    if options.json:
        print(json.dumps({"steps": options.steps, "runs": told}))
        return
    for run in told:
        print("  ".join(f"{key} {value if isinstance(value, str) else f'{value:.2f}'}" for key, value in run.items()))


if __name__ == "__main__":
    main()
