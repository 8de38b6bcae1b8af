"""The commands to begin with: an example from start to end, and taggers made from one's own data."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from dinku.cli.options import AsJson, Corpora, Device, Store, Threads, device_of, warn
from dinku.cli.tag import entities_of
from dinku.cli.terminal import print, print_json, table, watching
from dinku.errors import DinkuError, plural


def demo(
    out: Annotated[Path, typer.Option(help="The folder to work in; a second run continues the first.")] = Path(
        "dinku-demo"
    ),
    as_json: AsJson = False,
) -> None:
    """Run an example from start to end, offline.

    Takes minutes, and needs nothing but the encoder and the sample sentences in the package.
    """
    from dinku.cli.story import run_demo

    if out.exists() and not out.is_dir():
        raise DinkuError("is a file", where=str(out), remedy="give --out a folder")
    with watching() as report:
        done = run_demo(out, report)
    if as_json:
        document = {"page": str(done.page), "bundle": str(done.bundle), "f1": done.f1, "bytes_disk": done.bytes_disk}
        return print_json(document | {"sentences_per_second": done.speed})
    for sentence, tagging in done.found:
        entities = ", ".join(entities_of(sentence, tagging)) or "no entity"
        print(f"{sentence.language}  {' '.join(sentence.words)}\n     {entities}")
    rows = [
        [name, f"{100 * f1:.1f}", f"{done.bytes_disk[name] / 1e6:.1f}", f"{done.speed[name]:.0f}"]
        for name, f1 in done.f1.items()
    ]
    titles = ["the dense tagger in", "F1", "MB on disk", "sentences/s here"]
    table(titles, rows, title=f"{plural(done.sentences, 'test sentence')} (sample)")
    print(done.quantized)
    print(f"The cost of pruning by language, on generated sentences (sample): {done.page}")
    typed = f"echo {shlex.quote(done.suggestion)} | " if done.suggestion else ""
    print(f"To try the bundle:  {typed}dinku predict {shlex.quote(str(done.bundle))}")
    return None


Share = Annotated[
    str, typer.Option(help="The part of train that is set aside where there is no dev split, such as 10%.")
]


def train(
    base: Annotated[
        str,
        typer.Argument(metavar="BASE", help="The encoder or tagger to start from: a folder, dinku:house, or a Hub id."),
    ],
    corpus: Corpora,
    out: Annotated[Path, typer.Option("--out", help="The folder of the tagger that is made.")],
    weights: Annotated[
        Literal["equal", "balanced"],
        typer.Option(help="balanced has words with rare tags count more, for labels with few entities."),
    ] = "equal",
    epochs: Annotated[int | None, typer.Option(help="Passes over train; by default what suits its size.")] = None,
    batch: Annotated[int | None, typer.Option(help="Sentences a step; by default what suits their number.")] = None,
    rate: Annotated[float | None, typer.Option(help="The learning rate; by default what suits the encoder.")] = None,
    seed: Annotated[int, typer.Option(help="The seed of the training, and of the choice of dev sentences.")] = 0,
    dev: Share = "10%",
    store: Store = None,
    threads: Threads = None,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Make a tagger from your own tagged sentences.

    The epoch that is best on dev is kept. The same command continues a training that was stopped.
    """
    from dinku.making.budget import share
    from dinku.making.train import train as trained

    with watching() as report:
        made = trained(
            *(base, corpus, out),
            weights=weights,
            epochs=epochs,
            batch=batch,
            rate=rate,
            seed=seed,
            dev=share(dev, where="--dev"),
            threads=threads,
            device=device_of(device),
            store=store,
            progress=report,
        )
    warn(made.notes)
    scored, languages = made.scored, made.scored.by_language
    if as_json:
        document = {"tagger": str(out), "address": made.address, "bytes_disk": made.bytes, "split": scored.split}
        spans = {language: dict(own) for language, own in scored.spans.items()}
        return print_json(
            document | {"f1": scored.f1, "f1_by_language": languages, "spans": spans, "notes": made.notes}
        )
    table(*scored.table(), title=f"F1 on {corpus} {scored.split}, the worst first")
    print(f"{out}: {made.bytes / 1e6:.1f} MB, {made.settings}")
    print(f"Next:  dinku compress {shlex.quote(str(out))} --corpus {shlex.quote(corpus)} --out small --max-size 12MB")
    return None
