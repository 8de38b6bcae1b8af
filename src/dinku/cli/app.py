"""The command line. Commands print tables for people or, with ``--json``, for programs; progress goes to stderr."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import TyperException

from dinku import __version__
from dinku.cli import bundles, evaluate, hub, inventory, rows, run, start, tag
from dinku.cli import data as data_
from dinku.cli.helping import Command, Grouped, help_
from dinku.cli.options import print_help
from dinku.cli.terminal import print
from dinku.errors import DinkuError
from dinku.model.runtimes import RUNTIMES

app = typer.Typer(
    name="dinku",
    cls=Grouped,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

data = typer.Typer(cls=Grouped)
app.add_typer(data, name="data")

for command in (
    *(start.demo, start.train, start.compress),
    *(tag.predict, tag.serve, bundles.export, hub.push),
    *(evaluate.evaluate, tag.bench, evaluate.inspect, evaluate.score),
    *(run.plan, run.run, rows.report, rows.claims, inventory.methods, inventory.store),
):
    app.command(cls=Command)(command)
app.command("results", cls=Command)(rows.results_)
app.command("help", hidden=True)(help_)
data.callback(invoke_without_command=True)(data_.data_alone)
data.command("list", cls=Command)(data_.data_list)
data.command("fetch", cls=Command)(data_.data_fetch)
data.command("check", cls=Command)(data_.data_check)
data.command("convert", cls=Command)(data_.data_convert)
data.command("split", cls=Command)(data_.data_split)

_COMPRESS = ("torch", "transformers", "safetensors", "accelerate", "sentencepiece", "onnx", "onnxscript", "optuna")
_EXTRAS = {
    **dict.fromkeys(_COMPRESS, "compress"),
    **{
        name: facts.extra
        for facts in RUNTIMES.values()
        for name in (*facts.packages, *facts.export_packages)
        if facts.extra
    },
    "pyarrow": "parquet",
    **dict.fromkeys(("conllu", "huggingface_hub", "sentencex", "spacy"), "formats"),
    "ray": "ray",
}


def main() -> None:
    """Run the command line, and exit: with 0 if all went well, 1 if work failed, 2 if the request or an input was wrong."""
    arguments, debug = _without_debug(sys.argv[1:])
    _fill_closed_streams()
    if sys.stdout is None:
        sys.exit(_failed("stdout: is closed; send it to a file, or to /dev/null", 2))
    if isinstance(sys.stdout, io.TextIOWrapper):  # characters that it can't encode are escaped
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(_flushed(_status(arguments, debug)))


def _status(arguments: Sequence[str], debug: bool) -> int:
    """Run a command; its exit status, after a line on stderr if it failed, and with ``debug`` the traceback."""
    try:
        status = app(arguments, prog_name="dinku", standalone_mode=False)
        if status == 130:  # typer's answer to Ctrl-C
            _failed("interrupted; run the same command again to go on", status)
        return status if isinstance(status, int) else 0
    except SystemExit:  # typer's answer to a closed pipe: the reader of the output wants no more
        return 0
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a panic of a library in Rust isn't an Exception
        message, status = _explained(error)
        if debug:
            traceback.print_exc()
        return _failed(message, status)


def _explained(error: BaseException) -> tuple[str, int]:
    """The message and the exit status for an error; raises it if it is a bug in what is installed."""
    if isinstance(error, DinkuError):
        return _with_flags(error), error.status
    if isinstance(error, TyperException):
        return error.format_message(), 2
    if isinstance(error, ModuleNotFoundError):
        if (extra := _EXTRAS.get(error.name or "")) is None:
            raise error
        return f"this command needs {error.name}; install it with: pip install 'dinku[{extra}]'", 2
    if isinstance(error, OSError):
        reason = f"{error.filename or 'the system'}: {error.strerror or error}"
        return f"{reason}; allow it or free some space, then run the same command again", 1
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return f"{reason}; run it with --debug to see where", 1


def _without_debug(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """The arguments without ``--debug``, and whether it was among them; it may stand anywhere before ``--``."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = [a for a in arguments[:end] if a != "--debug"]
    return [*options, *arguments[end:]], len(options) < end


def _fill_closed_streams() -> None:
    """Open /dev/null in place of closed standard streams; otherwise the next file to be opened would take their place."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    if sys.stderr is None:  # which `print` would replace by stdout
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process runs


def _flushed(status: int) -> int:
    """Flush stdout, and return the status; 1 if the flush fails."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes again when it ends
        if isinstance(error, BrokenPipeError) or status:  # the reader wants no more, or an error was printed before
            return status
        return _failed(f"stdout: {error.strerror}; free some space, then run the same command again", 1)
    return status


# Options by the parameters of the Python API that errors name.
_FLAGS = {"batches": "--batch", "texts": "--corpus", "force=True": "--force"}
_PARAMETERS = ("across", "by", "device", "precision", "rounds", "threads", "value", "where")
_FLAGS |= {name: f"--{name}" for name in _PARAMETERS}


def _with_flags(error: DinkuError) -> str:
    """An error with the options of the command line in place of Python's parameters."""
    remedy = error.remedy.replace("force=True", _FLAGS["force=True"])
    return str(DinkuError(error.problem, where=_FLAGS.get(error.where, error.where), remedy=remedy))


def _failed(message: str, status: int) -> int:
    print(f"dinku: {message}", file=sys.stderr)
    return status


def _version(asked: bool) -> None:
    if asked:
        print(f"dinku {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def dinku(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[  # `main` takes it out of any command
        bool,
        typer.Option("--debug", help="If a command fails, also print the traceback."),
    ] = False,
) -> None:
    """Compress small language models, and measure what it costs."""
    print_help(context)
