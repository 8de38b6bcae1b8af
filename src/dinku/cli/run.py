"""Studies planned and run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dinku.cli.options import AsJson, ResultsFolder, Store, StudyFile, bounded, device_of, warn
from dinku.cli.rows import results_of
from dinku.cli.terminal import duration, print, print_json, table, watching
from dinku.errors import DinkuError, check_count, plural

if TYPE_CHECKING:
    from dinku.study.prepare import Prepared
    from dinku.study.rows import Row
    from dinku.study.run import Runner

RECIPES = 40  # in the table after a run


def plan(
    study: StudyFile, results: ResultsFolder = Path("results"), store: Store = None, as_json: AsJson = False
) -> None:
    """Estimate a study's steps, sizes and time."""
    from dinku.study.plan import GPU_RATE
    from dinku.study.plan import plan as planned

    document = planned(runner_of(study, results, store, planning=True))
    warn(document["warnings"])
    if as_json:
        return print_json(document)
    rows = [
        ["  " * depth + s["name"], str(s["recipes"]), f"{s['bytes'] / 1e6:.1f}", _range(s["nonzero"]), s["state"]]
        for depth, s in _tree(document["steps"])
    ]
    table(["step", "recipes", "MB", "not zero", "state"], rows, title=document["title"])
    print(
        f"{plural(document['recipes'], 'recipe')}, {document['recipes_done']} with all their rows. "
        f"{plural(document['trainings'], 'training')} "
        f"where {document['trainings_unshared']} would be done without sharing ({document['sharing']:.2f} times). To do: "
        f"{plural(document['trainings_to_do'], 'training')}, about {duration(document['seconds'])} on this machine "
        f"({document['estimate']}), or {duration(3600 * document['gpu_hours'])} of a GPU that makes {GPU_RATE:.0e} "
        "multiply-adds a second, which is assumed."
    )
    return None


def run(
    study: StudyFile,
    only: Annotated[list[str] | None, typer.Option("--only", help="Run only this arm; may be repeated.")] = None,
    results: ResultsFolder = Path("results"),
    store: Store = None,
    processes: Annotated[
        int,
        typer.Option(
            "--processes",
            callback=bounded,
            help="The number of processes that share the work; other machines with the same store may join in.",
        ),
    ] = 1,
    threads: Annotated[
        int | None,
        typer.Option(help="Threads of each process, unless the study sets them; by default all cores, or 1 on Ray."),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(help="Where steps run: local, or ray, a Ray cluster with the same folders."),
    ] = "local",
    address: Annotated[
        str | None, typer.Option(help="The Ray cluster, as HOST:PORT; by default a private one on this machine.")
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            help="Where taggers train and tag in floating point: cpu, cuda, cuda:N or auto; on Ray without N."
        ),
    ] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Run a study, or continue one that was stopped."""
    from dinku.machine import check_threads
    from dinku.study import ray
    from dinku.study.processes import run as run_together
    from dinku.study.results import documents

    if engine == "ray" and processes > 1:
        raise DinkuError(
            "doesn't apply to Ray, which starts processes itself", where="--processes", remedy="leave it out"
        )
    if engine == "local" and address:
        raise DinkuError("needs --engine ray", where="--address", remedy="add it, or leave --address out")
    if engine == "local":  # on Ray, the nodes report their cores
        check_threads(threads, where="--threads")
    elif threads is not None:
        check_count(threads, "--threads", where="run")
    here = engine == "local" and processes == 1
    place = device_of(device) if engine == "local" else device
    with watching() as report:
        cores = threads or (1 if engine == "ray" else None)
        runner = runner_of(study, results, store, report=report, cores=cores, device=place if here else "cpu")
        warn(runner.warnings)
        if engine == "ray":
            ray.run(runner, address, only or (), device=device)
        elif processes == 1:
            runner.run(only or ())
        else:
            arguments = [str(study), "--results", str(results), "--store", str(runner.store.root), "--device", device]
            arguments += [f"--only={arm}" for arm in only or ()]
            run_together(runner, arguments, processes, only or ())
    rows, chosen = runner.results.rows(), runner.chosen(only or ())
    warn(filter(None, [runner.silent(chosen)]))
    if as_json:
        return print_json(documents(rows))
    _print_recipes(chosen, rows, runner.study.split)
    elsewhere = "" if results == Path("results") else f" --results {results}"
    command = f"dinku report {runner.study.whole(study)}{elsewhere}"
    print(f"{plural(len(rows), 'row')} in {runner.results.folder}; see them with: {command}")
    print("Next:  dinku export ADDRESS OUT --corpus CORPUS  makes a bundle of one of them")
    return None


def _print_recipes(chosen: Sequence[Prepared], rows: Sequence[Row], split: str) -> None:
    """Print a line for each recipe: F1, the worst language, megabytes on disk, and the address that other commands take."""
    from dinku.making.table import Scored, points

    sizes = {row.address: row.size.bytes_disk for row in rows if row.size}
    cells, measures = [], []
    for prepared in chosen[:RECIPES]:
        scored = Scored.of(rows, prepared.address, split)
        if scored.spans:
            measures.append(scored.task.score)
            worst = f"{scored.worst} {points(scored.by_language[scored.worst])}"
            size = f"{sizes[prepared.address] / 1e6:.1f}"
            cells.append([prepared.title, points(scored.f1), worst, size, prepared.address[:8]])
    more = f"; {len(chosen) - RECIPES:,} more in the report" if len(chosen) > RECIPES else ""
    if cells:
        measure = " or ".join(dict.fromkeys(measures))
        head = ["arm", measure, "worst language", "MB", "address"]
        table(head, cells, title=f"{measure} on {split}, mean over languages{more}")


def runner_of(study: Path, results: Path, store: Path | None, **how: Any) -> Runner:
    """A runner of a study that is named by its file, as a built-in one, or by the name under which it has rows."""
    from dinku.model.store import Store as Stored
    from dinku.settings import home
    from dinku.study.definition import BUILT_IN, Study
    from dinku.study.run import Runner

    name, colon, section = str(study).partition(":")
    description = results / name / "study.json"
    if not study.is_file() and name not in BUILT_IN and description.is_file():
        study = Path(f"{description}{colon}{section}")
    described = Study.read(study)
    return Runner(described, Stored(store or home() / "store"), results_of(described, results), **how)


def _tree(steps: list[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Steps with their depth in the tree, each below the step that it follows."""
    made = {step["address"] for step in steps}
    waiting = [(0, step) for step in reversed(steps) if step["before"] not in made]
    while waiting:
        depth, step = waiting.pop()
        yield depth, step
        waiting += [(depth + 1, s) for s in reversed(steps) if s["before"] == step["address"]]


def _range(bounds: list[int]) -> str:
    low, high = (f"{n / 1e6:.1f} M" for n in bounds)
    return low if low == high else f"{low} to {high}"
