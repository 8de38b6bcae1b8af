"""The commands. A table for people, ``--json`` for programs; progress goes to stderr."""

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
from dinku.cli import bundles, evaluate, rows, run, start, tag
from dinku.cli import data as data_
from dinku.cli.options import print_help
from dinku.cli.terminal import print
from dinku.errors import DinkuError

app = typer.Typer(
    name="dinku",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

data = typer.Typer()
app.add_typer(data, name="data")


app.command()(start.demo)
data.callback(invoke_without_command=True)(data_.data_alone)
data.command("list")(data_.data_list)
data.command("fetch")(data_.data_fetch)
data.command("check")(data_.data_check)
app.command()(evaluate.inspect)
app.command()(evaluate.score)
app.command()(evaluate.evaluate)
app.command()(tag.predict)
app.command()(tag.bench)
app.command()(tag.serve)
app.command()(bundles.export)
app.command()(run.plan)
app.command()(run.run)
app.command()(rows.report)
app.command()(rows.claims)
app.command("results")(rows.results_)

_COMPRESS = ("torch", "transformers", "safetensors", "accelerate", "sentencepiece", "onnx", "onnxscript")
_EXTRAS = {
    **dict.fromkeys(_COMPRESS, "compress"),
    "openvino": "openvino",
    "nncf": "openvino",
    "pyarrow": "parquet",
    "ray": "ray",
}


def main() -> None:
    """Run the command line: status 0 done, 1 the work failed, 2 the request or the input was wrong."""
    arguments, debug = _without_debug(sys.argv[1:])
    _fill_closed_streams()
    if sys.stdout is None:
        sys.exit(_failed("stdout: is closed; send it to a file, or to /dev/null", 2))
    if isinstance(sys.stdout, io.TextIOWrapper):  # what it can't encode is escaped
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = app(arguments, prog_name="dinku", standalone_mode=False)
        if status == 130:  # typer's answer to Ctrl-C
            _failed("interrupted; run the same command again to go on", status)
    except SystemExit:  # typer's answer to a pipe that was closed: whoever read the output has read enough
        status = 0
    except DinkuError as error:
        if debug:
            traceback.print_exc()
        status = _failed(_with_flags(error), error.status)
    except TyperException as error:
        if debug:
            traceback.print_exc()
        status = _failed(error.format_message(), 2)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(error.name or "")
        if extra is None:
            raise
        if debug:
            traceback.print_exc()
        status = _failed(f"this command needs {error.name}; install it with: pip install 'dinku[{extra}]'", 2)
    except OSError as error:
        if debug:
            traceback.print_exc()
        reason = f"{error.filename or 'the system'}: {error.strerror or error}"
        status = _failed(f"{reason}; allow it or free some space, then run the same command again", 1)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a panic of a library in Rust isn't an Exception
        if debug:
            traceback.print_exc()
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        status = _failed(f"{reason}; run it with --debug to see where", 1)
    sys.exit(_flushed(status if isinstance(status, int) else 0))


def _without_debug(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """Arguments without ``--debug``, which may stand anywhere before a ``--``, and whether it was there."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = [a for a in arguments[:end] if a != "--debug"]
    return [*options, *arguments[end:]], len(options) < end


def _fill_closed_streams() -> None:
    """Have /dev/null stand for stdin, stdout and stderr that are closed, lest the next file that is opened take their place."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    if sys.stderr is None:  # which `print` would replace by stdout
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process runs


def _flushed(status: int) -> int:
    """The status once all of stdout is written; 1 where the system refuses that at the last moment."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes again when it ends
        if (
            isinstance(error, BrokenPipeError) or status
        ):  # whoever read the output has read enough, or it was told before
            return status
        return _failed(f"stdout: {error.strerror}; free some space, then run the same command again", 1)
    return status


# What parameters of the Python API, which errors name, are called here where that is another name.
_FLAGS = {"batches": "--batch", "texts": "--corpus", "force=True": "--force"}
_PARAMETERS = ("across", "by", "device", "precision", "rounds", "threads", "value", "where")
_FLAGS |= {name: f"--{name}" for name in _PARAMETERS}


def _with_flags(error: DinkuError) -> str:
    """An error as the command line tells it: with flags where it names parameters."""
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
        typer.Option("--debug", help="Where a command fails, also print the traceback; may stand anywhere in it."),
    ] = False,
) -> None:
    """Makes small language models smaller, and says exactly what that cost."""
    print_help(context)
