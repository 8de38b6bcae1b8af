"""Entities found in files and over HTTP, and models compared."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dinku.cli.options import AsJson, Corpora, Device, Labels, Model, Precision, Threads, device_of, warn
from dinku.cli.terminal import print, print_data, print_json, print_list, table, watching
from dinku.errors import DinkuError, nearest, plural

if TYPE_CHECKING:
    from dinku.data.corpus import Sentence
    from dinku.model.sentence_tagger import SentenceTagger
    from dinku.scoring.tagging import Tagging
    from dinku.serving.lines import Line, Source


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
    form: Annotated[
        str,
        typer.Option("--format", help="The format of the output: table, conll, jsonl, doccano, label-studio or brat."),
    ] = "table",
    out: Annotated[Path | None, typer.Option(help="For brat: the new folder to write.")] = None,
    threshold: Annotated[float, typer.Option(help="Leave out entities whose score (0 to 1) is lower.")] = 0.0,
    sort: Annotated[
        str, typer.Option(help="uncertain prints the least certain sentences first, and holds all in memory.")
    ] = "",
    threads: Threads = None,
    precision: Precision = None,
    device: Device = "cpu",
    labels: Labels = "",
) -> None:
    """Find entities in text, or what else a model labels.

    echo "Amina ta je Kano" | dinku predict bundle

    dinku predict bundle notes.txt --format label-studio --sort uncertain > tasks.json

    Lines are answered in order, as they are read, so the text may be of any length. The formats of annotation tools
    hold the entities as suggestions to correct.
    """
    from dinku.serving import lines, reader, suggestions

    _check_asked(form, out, threshold, sort)
    if conll and jsonl:
        raise DinkuError("exclude each other", where="--conll and --jsonl", remedy="give one of them")
    with lines.opened(file) as source, _reading(source) as text:
        kind = "conll" if conll else "jsonl" if jsonl else lines.kind_of(file)
        given = {"conll": lines.conll, "jsonl": lines.jsonl, "typed": lines.typed}[kind](text)
        opened = reader.open(model, threads=threads, precision=precision, device=device_of(device), labels=labels)
        answers: Iterable[tuple[Line, Tagging]] = opened.stream(given)
        if sort:
            answers = sorted(answers, key=lambda answer: suggestions.certainty(answer[1]))
        _say(answers, form, threshold, Path(model).name, out, file, opened.tagger)


_FORMS = ("table", "conll", "jsonl", "doccano", "label-studio", "brat")


def _check_asked(form: str, out: Path | None, threshold: float, sort: str) -> None:
    if form not in _FORMS:
        remedy = f"{nearest(form, _FORMS)}choose {', '.join(_FORMS[:-1])} or {_FORMS[-1]}"
        raise DinkuError(f"there is no format {form!r}", where="--format", remedy=remedy)
    if (form == "brat") != (out is not None):
        remedy = "name a new folder with --out" if form == "brat" else "leave it out, and send the output to a file"
        problem = "writes a folder" if form == "brat" else "only applies to brat"
        raise DinkuError(problem, where="--format brat" if form == "brat" else "--out", remedy=remedy)
    if not 0 <= threshold <= 1:
        raise DinkuError(f"is {threshold:g}", where="--threshold", remedy="give a number from 0 to 1")
    if sort not in ("", "uncertain"):
        raise DinkuError(f"there is no order {sort!r}", where="--sort", remedy="give uncertain, or leave it out")


def _say(
    answers: Iterable[tuple[Line, Tagging]],
    form: str,
    threshold: float,
    model: str,
    out: Path | None,
    file: Path | None,
    tagger: SentenceTagger,
) -> None:
    """Print the answers in a format, or write them to a folder."""
    from dinku.serving import suggestions

    tags, task = tagger.tags, tagger.task
    if form == "conll" and task.each != "word":
        problem = f"holds a tag for each word, and {model} gives {task.title}"
        raise DinkuError(problem, where="--format conll", remedy="choose table or jsonl")
    kept = ((line, suggestions.above(found, threshold) if threshold else found) for line, found in answers)
    if out is not None:
        labels = {*map(task.label_of, tags)} - {""}
        name = file.stem if file and str(file) != "-" else "text"
        entities = suggestions.to_brat(kept, out, name, labels)
        return print(f"{out}: {plural(entities, 'entity', 'entities')}")
    if form == "label-studio":
        certain = suggestions.certainty
        return print_list(suggestions.for_label_studio(line, found, model, certain(found)) for line, found in kept)
    for line, found in kept:
        if form == "jsonl":
            print_json(line.answer(found))
        elif form == "doccano":
            print_json(suggestions.for_doccano(line, found))
        elif form == "conll":
            print_data("".join(map(_column, line.sentence.words, found.tags)))
        else:
            said = [f"{e.get('text', '')} [{e['label']} {e['score']:.2f}]".strip() for e in line.entities(found)]
            print(f"{line.text}\n    {', '.join(said) or 'no entity'}")
    return None


def bench(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="The models; the others are compared with the first.")
    ],
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
    labels: Labels = "",
    as_json: AsJson = False,
) -> None:
    """Compare the speed and memory of models.

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
            labels=labels,
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
    return [f"{s.text(sentence.words)} [{s.label} {p:.2f}]" for s, p in tagging.entities()]
