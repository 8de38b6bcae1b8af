"""The first commands: an example from start to end, and making taggers from one's own data."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dinku.cli.options import AsJson, Corpora, Device, Labels, Store, Threads, device_of, reads_corpus, warn
from dinku.cli.tag import entities_of
from dinku.cli.terminal import duration, print, print_json, table, watching
from dinku.errors import DinkuError, plural
from dinku.model.runtimes import DEFAULT, Runtime

if TYPE_CHECKING:
    from dinku.making.outcome import Compressed
    from dinku.making.plan import Plan


def demo(
    out: Annotated[Path, typer.Option(help="The folder to work in; a second run continues the first.")] = Path(
        "dinku-demo"
    ),
    as_json: AsJson = False,
) -> None:
    """Run an example from start to end, offline.

    Takes minutes, and needs nothing but the encoder and the sample sentences in the package.
    """
    from dinku.cli.story import run_demo, typed_sentences

    if out.exists() and not out.is_dir():
        raise DinkuError("is a file", where=str(out), remedy="give --out a folder")
    if not as_json:
        for text, found in typed_sentences():
            entities = ", ".join(f"{entity['text']} ({entity['label']})" for entity in found)
            print(f"{text.language}  {text.text}\n     {entities}")
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


Share = Annotated[str, typer.Option(help="The part of train to set aside if there is no dev split, such as 10%.")]


@reads_corpus("labels")
def train(
    base: Annotated[
        str,
        typer.Argument(metavar="BASE", help="The encoder or tagger to start from: a folder, dinku:house, or a Hub id."),
    ],
    corpus: Corpora,
    out: Annotated[Path, typer.Option("--out", help="The folder for the tagger; it must not exist yet.")],
    weights: Annotated[
        Literal["equal", "balanced"],
        typer.Option(help="balanced gives words with rare tags more weight, for labels with few entities."),
    ] = "equal",
    epochs: Annotated[int | None, typer.Option(help="Passes over train; by default chosen by its size.")] = None,
    batch: Annotated[
        int | None, typer.Option(help="Sentences in each step; by default chosen by their number.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="The learning rate; by default chosen by the encoder's size.")
    ] = None,
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
    table(*scored.table(), title=f"{scored.task.score} on {corpus} {scored.split}, the worst first")
    print(f"{out}: {made.bytes / 1e6:.1f} MB, {made.settings}")
    print(f"Next:  dinku compress {shlex.quote(str(out))} --corpus {shlex.quote(corpus)} --out small --max-size 12MB")
    return None


@reads_corpus("labels")
def compress(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A tagger, or an encoder, which is trained first: a folder, an address, a Hub id."
        ),
    ],
    corpus: Corpora,
    out: Annotated[
        Path | None, typer.Option("--out", help="The folder for the bundle; the record of the search goes beside it.")
    ] = None,
    max_size: Annotated[str | None, typer.Option(help="The most bytes on disk, such as 12MB.")] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            help="The part of the tagger's mean F1 to keep, such as 95%, which is the default without other limits."
        ),
    ] = None,
    keep_worst: Annotated[
        str | None, typer.Option(help="The part of F1 to keep in the language that keeps least, such as 90%.")
    ] = None,
    min_speed: Annotated[
        str | None, typer.Option(help="The fewest sentences a second in batches, such as 500/s.")
    ] = None,
    max_latency: Annotated[str | None, typer.Option(help="The longest time of one sentence, such as 5ms.")] = None,
    text: Annotated[
        str | None, typer.Option(help="A folder of unlabelled text, <language>.txt, from which students learn most.")
    ] = None,
    time: Annotated[str | None, typer.Option(help="The longest time of the whole search, such as 2h or 40min.")] = None,
    effort: Annotated[
        Literal["quick", "default", "thorough"],
        typer.Option(help="How many students are tried, unless --time is given."),
    ] = "default",
    runtime: Annotated[Runtime, typer.Option(help="The runtime that the bundle is for.")] = DEFAULT,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only show which students fit and how long the search takes.")
    ] = False,
    seed: Annotated[int, typer.Option(help="The seed of trainings and of the search.")] = 0,
    dev: Share = "10%",
    store: Store = None,
    threads: Threads = None,
    device: Device = "cpu",
    labels: Labels = "",
    as_json: AsJson = False,
) -> None:
    """Make a small bundle from a tagger, within a budget.

    Small transformers and word networks are tried as its students. Without a limit on size or speed, the result is the smallest
    that keeps enough F1, otherwise the best that keeps all limits. The same command continues a search that was stopped.
    """
    from dinku.making.budget import Budget, quantity, share
    from dinku.making.compress import compress as search
    from dinku.making.compress import planned
    from dinku.making.request import Request, SearchSettings

    limits = {
        "size": max_size and quantity(max_size, "size", where="--max-size"),
        "keep": keep and share(keep, where="--keep"),
        "keep_worst": keep_worst and share(keep_worst, where="--keep-worst"),
        "speed": min_speed and quantity(min_speed, "speed", where="--min-speed"),
        "latency": max_latency and quantity(max_latency, "latency", where="--max-latency"),
    }
    settings = SearchSettings(
        text=text,
        time=time and quantity(time, "time", where="--time"),
        effort=effort,
        runtime=runtime,
        seed=seed,
        dev=share(dev, where="--dev"),
        threads=threads,
        device=device_of(device),
        store=store,
        labels=labels,
    )
    budget = Budget(**limits)
    if plan:
        with watching() as report:
            made_plan = planned(Request.of(model, corpus, budget, settings), report)
        if as_json:
            return print_json(made_plan.document())
        return _print_plan(made_plan, model, corpus)
    if out is None:
        raise DinkuError("is missing", where="--out", remedy="name the folder of the bundle, or add --plan")
    with watching() as report:
        shown = None if as_json else partial(_print_plan, model=model, corpus=corpus)
        made = search(model, corpus, budget, settings, out=out, on_plan=shown, progress=report)
    if as_json:
        print_json(made.document())
    else:
        _print_outcome(made, out)
    if made.missed:
        misses, relaxed = "; ".join(m.summary for m in made.missed), " ".join(m.relaxed for m in made.missed)
        problem = f"kept on dev, by which it was chosen, and missed on {made.test.split}: {misses}"
        raise DinkuError(problem, where=str(out), remedy=f"relax it to {relaxed}, or give more --text", status=1)
    return None


def _print_plan(plan: Plan, model: str, corpus: str) -> None:
    """Print what a search would do, and warnings about the corpus."""
    warn(plan.notes)
    students = ", ".join(
        f"{sum(s.family == family for s in plan.fitting):,} of {sum(s.family == family for s in plan.students):,} {name}"
        for family, name in (("words", "word networks"), ("transformer", "transformers"))
        if family in plan.families
    )
    limits = "; ".join(limit.summary for limit in plan.budget.limits)
    print(
        f"{model}: {plan.teacher.summary}, {plan.teacher.bytes / 1e6:.1f} MB; {corpus}: {plan.train:,} train sentences,"
    )
    print(f"{plan.text:,} lines of text. {limits}. By the cost model, {students} fit.")
    if not plan.fitting:
        return
    rows = [
        [p["student"], f"{p['bytes'] / 1e6:.1f}", f"{p['sentences_per_second']:,.0f}", f"{p['latency_ms']:.1f}",
         duration(p["seconds"])]
        for p in map(plan.predicted, plan.first)
    ]  # fmt: skip
    table(["the first", "MB", "sentences/s", "ms", "full training"], rows, title="predicted, in int8")
    numbers = ", then ".join(
        f"{number} {'shortly' if level == 0 else 'longer'}" for level, number in enumerate(plan.schedule)
    )
    print(f"{numbers}; the best in int8, chosen on dev; test is scored once. About {duration(plan.seconds)} from here.")


def _print_outcome(made: Compressed, out: Path) -> None:
    """Print the table of students, the F1 that the chosen one keeps, its folder and what to do next."""
    table(*made.table(), title="students, the chosen one among those in int8 (~ predicted)")
    head = ["language", "dense", "this", "lost", "kept"]
    from dinku.making.table import points

    own, dense = made.test.by_language, made.dense_test.by_language
    rows = [
        [la, points(dense[la]), points(own[la]), f"{100 * (dense[la] - own[la]):.1f}", f"{100 * part:.1f} %"]
        for la, part in made.test.kept(made.dense_test).items()
    ]
    once = "scored once" if made.test.split == "test" else "by which it was chosen"
    table(head, rows, title=f"{made.test.task.score} on {made.asked} {made.test.split}, {once}, the worst first")
    sizes, facts = made.plan.teacher.bytes / made.facts["size"], made.facts
    print(
        f"{out}: {made.chosen.student.summary}; {facts['size'] / 1e6:.1f} MB ({sizes:.0f} times smaller), "
        f"{facts['speed']:,.0f} sentences/s, {1000 * facts['latency']:.1f} ms; keeps {100 * facts['keep']:.1f} % of F1"
    )
    if made.chosen.student.family == "words":
        print("A word network loses languages that it wasn't trained on; its card says how much.")
    beside = out.with_name(f"{out.name}-search")
    print(
        f"{beside}: the front (front.png), all students (students.csv), and the study that makes it again (study.yaml)"
    )
    print(f"It took {duration(made.seconds)}.  Next:  dinku predict {shlex.quote(str(out))} FILE")
