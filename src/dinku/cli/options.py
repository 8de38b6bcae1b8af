"""Options that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

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


def _text_option(help: str, *names: str, **more: Any) -> Any:
    return Annotated[str, typer.Option(*names, help=help, **more)]


_READING = {
    "form": _text_option("The files' format, if it can't be recognized.", "--from", metavar="FORMAT"),
    "misaligned": _text_option("Spans that cut words: error (the default), widen or drop."),
    "documents": _text_option("What of a text is one sentence: whole (the text), lines or sentences."),
    "words": _text_option("How texts are split into words: given (the default, as in the file), rule, or blanks."),
    "tags": _text_option("bare, if tags are labels without a prefix: PER."),
    "labels": _text_option("Names of tags that are numbers: O,B-PER,I-PER, or a file of them."),
    "task": _text_option(
        "What has a label: ner (spans of words, the default), tags (each word), or classes (each text)."
    ),
}


def reads_corpus(*without: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options on how its corpus is read, ``without`` some of them.

    The command gets them as part of the corpus's name. Its own last option stays the last.
    """
    offered = {name: each for name, each in _READING.items() if name not in without}

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def with_options(**given: Any) -> None:
            from dinku.data.sources import spelled

            options = {name: given.pop(name) for name in offered}
            return command(**given | {"corpus": spelled(given["corpus"], **options)})

        types = get_type_hints(command, include_extras=True)
        *first, last = [each.replace(annotation=types[each.name]) for each in signature(command).parameters.values()]
        kind = Parameter.KEYWORD_ONLY if last.kind is Parameter.KEYWORD_ONLY else Parameter.POSITIONAL_OR_KEYWORD
        reading = [Parameter(name, kind, default="", annotation=each) for name, each in offered.items()]
        with_options.__signature__ = Signature([*first, *reading, last])  # type: ignore[attr-defined]
        return with_options

    return decorated
