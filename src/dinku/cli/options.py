"""Options that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from dinku.cli.terminal import print

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")]


Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A folder, a name under DINKU_HOME/models, an address in the store, or a Hub id."
    ),
]


Corpora = Annotated[
    str, typer.Option("--corpus", help="masakhaner:hau, masakhaner:all, a CoNLL file or a folder of splits.")
]


Precision = Annotated[
    str | None, typer.Option(help="float32, unless bfloat16 is asked for; a bundle has a precision of its own.")
]


def bounded(given: typer.CallbackParam, asked: int | None) -> int | None:
    """The number of threads or processes that an option asks for, refused if it is far more than there are cores."""
    from dinku.machine import check_threads

    check_threads(asked, where=given.opts[0])
    return asked


Threads = Annotated[int | None, typer.Option(callback=bounded, help="All cores unless told otherwise.")]


Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:N, or auto: a GPU where there is one.")]


StudyFile = Annotated[
    Path,
    typer.Argument(
        metavar="STUDY",
        help="A study's YAML file, a built-in one (demo, paper, paper-cpu, paper-noise), or the name of one that has rows; "
        ":section for a part of one.",
    ),
]


AnyStudy = Annotated[
    Path | None, typer.Argument(metavar="[STUDY]", help="As for run; without one, all that have rows.")
]


Store = Annotated[Path | None, typer.Option("--store", help="Where taggers are kept; DINKU_HOME/store unless given.")]


ResultsFolder = Annotated[
    Path, typer.Option("--results", help="The folder of rows; a study's are in a folder of its name.")
]


def print_help(context: typer.Context) -> None:
    """What a command that is none without another one says."""
    if context.invoked_subcommand is None:
        print(context.get_help())


def warn(warnings: Iterable[str]) -> None:
    for line in warnings:
        print(f"dinku: warning: {line}", file=sys.stderr)


def device_of(asked: str) -> str:
    """Where torch shall work, which it is asked for only where that isn't plain."""
    if asked == "cpu":
        return asked
    from dinku.nn.torch_engine import device

    return device(asked)
