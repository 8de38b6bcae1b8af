"""Text in, entities out: from files, over HTTP, side by side."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dinku.cli.terminal import print, print_data, print_json, table, watching
from dinku.errors import DinkuError, plural

if TYPE_CHECKING:
    from dinku.data.corpus import Sentence
    from dinku.scoring.tagging import Tagging
    from dinku.serving.lines import Source
from dinku.cli.options import AsJson, Corpora, Device, Model, Precision, Threads, device_of, warn


def predict(
    model: Model,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE|-]",
            help="Text as typed, a sentence a line; with --conll or in FILE.conll CoNLL, with --jsonl or in FILE.jsonl JSON.",
        ),
    ] = None,
    conll: Annotated[
        bool, typer.Option("--conll", help="Read CoNLL: the words of its first column, its sentences.")
    ] = False,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help='Read JSON lines: {"text": "…"}, with any other keys, which are kept.')
    ] = False,
    form: Annotated[str, typer.Option("--format", help="table, conll or jsonl.")] = "table",
    threads: Threads = None,
    precision: Precision = None,
    device: Device = "cpu",
) -> None:
    """Find entities in text, of any length: lines are read as they are tagged, and answered in order."""
    from dinku.serving import lines, reader

    if form not in ("table", "conll", "jsonl"):
        raise DinkuError(f"there is no format {form!r}", where="--format", remedy="choose table, conll or jsonl")
    if conll and jsonl:
        raise DinkuError("a file is either", where="--conll --jsonl", remedy="give one of them")
    with lines.opened(file) as source, _reading(source) as told:
        kind = "conll" if conll else "jsonl" if jsonl else lines.kind_of(file)
        given = {"conll": lines.conll, "jsonl": lines.jsonl, "typed": lines.typed}[kind](told)
        opened = reader.open(model, threads=threads, precision=precision, device=device_of(device))
        for line, found in opened.stream(given):
            if form == "jsonl":
                print_json(line.answer(found))
            elif form == "conll":
                print_data("".join(map(_column, line.sentence.words, found.tags)))
            else:
                said = [f"{e['text']} [{e['label']} {e['score']:.2f}]" for e in line.entities(found)]
                print(f"{line.text}\n    {', '.join(said) or 'no entity'}")


def bench(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="The first is what others are compared with.")
    ],
    corpus: Corpora,
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
    sentences: Annotated[int, typer.Option(help="How many of it, drawn at random, the same for all.")] = 200,
    batch: Annotated[
        list[int] | None, typer.Option("--batch", help="Texts at once; may be given again. Unless given, 1, 8 and 32.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="How often, models taking turns; one more warms up.")] = 5,
    threads: Threads = None,
    precision: Precision = None,
    as_json: AsJson = False,
) -> None:
    """How fast models are, the whole path from text to entities, each in a process of its own, taking turns."""
    from dinku.data import sources
    from dinku.machine import available_threads
    from dinku.serving import bench as benchmark

    data = sources.load(corpus, split)
    warn(data.notes)
    texts = [" ".join(s.words) for s in data.sample(sentences, 0)]
    with watching() as report:
        told = benchmark.bench(
            models,
            texts,
            threads=available_threads() if threads is None else threads,
            batches=batch or benchmark.BATCHES,
            rounds=rounds,
            precision=precision,
            progress=partial(report, "tagging"),
        )
    told = {"corpus": corpus, "split": data.split} | told
    if as_json:
        return print_json(told)
    names = {
        "sentences_per_second": "sentences/s",
        "p50_ms": "p50 ms",
        "p95_ms": "p95 ms",
        "ratio_to_first": "to the first",
    }
    rows = [
        [m["model"], m["precision"], *(_with_interval(m, name) for name in names), str(m["best_batch"]), _megabytes(m)]
        for m in told["models"]
    ]
    title = f"{corpus} {data.split}, {plural(len(texts), 'sentence')}, {plural(told['threads'], 'thread')}"
    table(["model", "precision", *names.values(), "best batch", "MB resident"], rows, title=title)
    print("p50 and p95 are of one sentence at a time; in brackets 95 % intervals")
    if any(m["resident_bytes"] is None for m in told["models"]):
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
        str, typer.Option(help="The address to listen at: only this machine unless told otherwise.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 for any that is free.")] = 8000,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host",
            metavar="NAME",
            help="A name by which clients may call it, besides localhost and --host; may be given again. "
            "Where other machines reach it, any name will do unless one is given.",
        ),
    ] = None,
    threads: Threads = None,
    precision: Precision = None,
) -> None:
    """Find entities over HTTP, and on a page; Ctrl-C or SIGTERM stops it once all it accepted is answered."""
    from dinku.serving import reader
    from dinku.serving.batcher import Limits
    from dinku.serving.http import serve as served

    opened = reader.open(model, threads=threads, precision=precision)
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
    """The source, with a bar of what is read of it where that wouldn't stand among the answers."""
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
    return f"{word}\t{tag}\n" if " " in word else f"{word} {tag}\n"  # at a tab a line is parted at tabs alone


def entities_of(sentence: Sentence, found: Tagging) -> list[str]:
    return [f"{' '.join(sentence.words[s.start : s.end])} [{s.label} {p:.2f}]" for s, p in found.entities()]
