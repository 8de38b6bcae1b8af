"""Options that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from dinku.cli.terminal import print

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else, on stdout.")]


Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A folder, a name under DINKU_HOME/models, an address in the store, or hf:owner/name."
    ),
]


Corpora = Annotated[
    str, typer.Option("--corpus", help="masakhaner:hau, masakhaner:all, hf:owner/name, a file or a folder of splits.")
]


Labels = Annotated[
    str,
    typer.Option(
        "--labels",
        metavar="OLD=NEW,…",
        help="Rename the model's tags or labels, as LABEL_1=B-PER or PERSON=PER; MISC= drops one. Also a file of such lines.",
    ),
]


Precision = Annotated[str | None, typer.Option(help="float32 (the default) or bfloat16, for a tagger in torch.")]


def bounded(given: typer.CallbackParam, asked: int | None) -> int | None:
    """A number of threads or processes as given; raises `DinkuError` for less than one, or far more than there are cores."""
    from dinku.machine import check_threads

    check_threads(asked, where=given.opts[0])
    return asked


Threads = Annotated[int | None, typer.Option(callback=bounded, help="The number of threads; all cores by default.")]


Device = Annotated[str, typer.Option(help="cpu (the default), cuda, cuda:N, or auto: a GPU if there is one.")]


StudyFile = Annotated[
    Path,
    typer.Argument(
        metavar="STUDY",
        help="A YAML file, a built-in study (demo, paper, paper-cpu, paper-noise, tasks-cpu), or the name of a study that has "
        "rows. STUDY:SECTION names a section of it.",
    ),
]


AnyStudy = Annotated[
    Path | None, typer.Argument(metavar="[STUDY]", help="A study, as for run; by default, every study that has rows.")
]


Store = Annotated[
    Path | None, typer.Option("--store", help="Where the taggers of steps are kept; by default DINKU_HOME/store.")
]


ResultsFolder = Annotated[Path, typer.Option("--results", help="The folder of rows, with a folder for each study.")]


def print_help(context: typer.Context) -> None:
    """Print the help of a group of commands that was called without one of them."""
    if context.invoked_subcommand is None:
        print(context.get_help())


def warn(warnings: Iterable[str]) -> None:
    """Print each warning as a line on stderr."""
    for line in warnings:
        print(f"dinku: warning: {line}", file=sys.stderr)


def device_of(asked: str) -> str:
    """The device for torch; torch is imported only to check a device other than the CPU."""
    if asked == "cpu":
        return asked
    from dinku.nn.torch_engine import device

    return device(asked)
