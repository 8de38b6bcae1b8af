"""Entities found in files and over HTTP, and models compared."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dinku.cli.options import AsJson, Corpora, Device, Labels, Model, Precision, Threads, device_of, warn
from dinku.cli.terminal import print, print_data, print_json, table, watching
from dinku.errors import DinkuError, plural

if TYPE_CHECKING:
    from dinku.data.corpus import Sentence
    from dinku.scoring.tagging import Tagging
    from dinku.serving.lines import Source


def predict(
    model: Model,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE|-]",
            help="Plain text, one sentence a line; CoNLL if it ends in .conll, JSON lines if in .jsonl. By default stdin.",
        ),
    ] = None,
    conll: Annotated[
        bool, typer.Option("--conll", help="Read CoNLL: words from the first column, sentences between blank lines.")
    ] = False,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help='Read JSON lines: {"text": "…"}; other keys are copied to the output.')
    ] = False,
    form: Annotated[str, typer.Option("--format", help="Of the output: table, conll or jsonl.")] = "table",
    threads: Threads = None,
    precision: Precision = None,
    device: Device = "cpu",
    labels: Labels = "",
) -> None:
    """Find entities in text.

    Lines are answered in order, as they are read, so the text may be of any length.
    """
    from dinku.serving import lines, reader

    if form not in ("table", "conll", "jsonl"):
        raise DinkuError(f"there is no format {form!r}", where="--format", remedy="choose table, conll or jsonl")
    if conll and jsonl:
        raise DinkuError("exclude each other", where="--conll and --jsonl", remedy="give one of them")
    with lines.opened(file) as source, _reading(source) as text:
        kind = "conll" if conll else "jsonl" if jsonl else lines.kind_of(file)
        given = {"conll": lines.conll, "jsonl": lines.jsonl, "typed": lines.typed}[kind](text)
        opened = reader.open(model, threads=threads, precision=precision, device=device_of(device), labels=labels)
        for line, tagging in opened.stream(given):
            if form == "jsonl":
                print_json(line.answer(tagging))
            elif form == "conll":
                print_data("".join(map(_column, line.sentence.words, tagging.tags)))
            else:
                said = [f"{e['text']} [{e['label']} {e['score']:.2f}]" for e in line.entities(tagging)]
                print(f"{line.text}\n    {', '.join(said) or 'no entity'}")


def bench(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="The others are compared with the first.")],
    corpus: Corpora,
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
    sentences: Annotated[
        int, typer.Option(help="The number of sentences, drawn at random, the same for all models.")
    ] = 200,
    batch: Annotated[
        list[int] | None,
        typer.Option("--batch", help="The number of texts at once; may be repeated. By default 1, 8 and 32."),
    ] = None,
    rounds: Annotated[
        int, typer.Option(help="The number of rounds, after one to warm up; models take turns within each.")
    ] = 5,
    threads: Threads = None,
    precision: Precision = None,
    as_json: AsJson = False,
) -> None:
    """Compare the speed and memory of models side by side.

    Times cover the whole path from text to entities. Each model runs in a process of its own, and they take turns.
    """
    from dinku.data import sources
    from dinku.machine import available_threads
    from dinku.serving import bench as benchmark

    data = sources.load(corpus, split)
    warn(data.notes)
    texts = [" ".join(s.words) for s in data.sample(sentences, 0)]
    with watching() as report:
        measured = benchmark.bench(
            models,
            texts,
            threads=available_threads() if threads is None else threads,
            batches=batch or benchmark.BATCHES,
            rounds=rounds,
            precision=precision,
            progress=partial(report, "tagging"),
        )
    measured = {"corpus": corpus, "split": data.split} | measured
    if as_json:
        return print_json(measured)
    names = {
        "sentences_per_second": "sentences/s",
        "p50_ms": "p50 ms",
        "p95_ms": "p95 ms",
        "ratio_to_first": "to the first",
    }
    rows = [
        [m["model"], m["precision"], *(_with_interval(m, name) for name in names), str(m["best_batch"]), _megabytes(m)]
        for m in measured["models"]
    ]
    title = f"{corpus} {data.split}, {plural(len(texts), 'sentence')}, {plural(measured['threads'], 'thread')}"
    table(["model", "precision", *names.values(), "best batch", "MB resident"], rows, title=title)
    print("p50 and p95 are for one sentence at a time; 95 % intervals in brackets")
    if any(m["resident_bytes"] is None for m in measured["models"]):
        print("memory can't be measured on this system: it has neither /proc nor getrusage")
    return None


def _megabytes(document: dict[str, Any]) -> str:
    resident = document["resident_bytes"]
    return "not measured" if resident is None else f"{resident / 1e6:.0f}"


def _with_interval(document: dict[str, Any], name: str) -> str:
    value, (low, high) = document[name], document[f"{name}_interval"]
    places = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{places}f} [{low:.{places}f}, {high:.{places}f}]"


def serve(
    model: Model,
    host: Annotated[
        str, typer.Option(help="The address to listen on; by default only this machine can connect.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0 chooses a free one.")] = 8000,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host",
            metavar="NAME",
            help="A host name that clients may use besides localhost and --host; may be repeated. "
            "By default any name is accepted if other machines can connect.",
        ),
    ] = None,
    threads: Threads = None,
    precision: Precision = None,
    labels: Labels = "",
) -> None:
    """Find entities over HTTP, with a page to try it.

    On Ctrl-C or SIGTERM the server finishes the requests that it accepted, then exits.
    """
    from dinku.serving import reader
    from dinku.serving.batcher import Limits
    from dinku.serving.http import serve as served

    opened = reader.open(model, threads=threads, precision=precision, labels=labels)
    served(
        opened,
        model=Path(model).name,
        host=host,
        port=port,
        said=lambda address: print(f"dinku: {model} at {address}; Ctrl-C stops it", file=sys.stderr, flush=True),
        limits=Limits(),
        allowed_hosts=allow_host or (),
    )


@contextmanager
def _reading(source: Source) -> Iterator[Source]:
    """The source, with a progress bar if answers don't go to the same terminal."""
    if not sys.stderr.isatty() or sys.stdout.isatty():
        yield source
        return
    with watching() as report:
        done = 0

        def read(n: int) -> None:
            nonlocal done
            if done >> 14 != (done := done + n) >> 14:
                report("bytes read", done, source.size)

        source.read = read
        yield source


def _column(word: str, tag: str) -> str:
    return f"{word}\t{tag}\n" if " " in word else f"{word} {tag}\n"  # a line with a tab is split at tabs only


def entities_of(sentence: Sentence, tagging: Tagging) -> list[str]:
    """The entities of a tagged sentence, each with its label and score."""
    return [f"{' '.join(sentence.words[s.start : s.end])} [{s.label} {p:.2f}]" for s, p in tagging.entities()]
