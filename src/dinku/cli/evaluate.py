"""Models sizes and scored."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dinku.cli.options import AsJson, Corpora, Device, Labels, Model, Precision, device_of, reads_corpus, warn
from dinku.cli.terminal import print, print_json, table, watching
from dinku.data.task import TASKS
from dinku.errors import DinkuError, plural

if TYPE_CHECKING:
    from dinku.data.corpus import Corpus
    from dinku.data.perturb import Names, Perturbation
    from dinku.model.sentence_tagger import SentenceTagger
    from dinku.scoring.counts import Counts
    from dinku.scoring.tagging import Tagging


def inspect(model: Model, as_json: AsJson = False) -> None:
    """Show which parts of a model take how many bytes."""
    from dinku.model.folder import ModelFolder
    from dinku.model.inspect import disk_bytes, download_bytes, inspection
    from dinku.model.kinds import kind_of

    folder = ModelFolder.of(model)
    sizes, shape = inspection(folder), kind_of(folder).shape(folder)
    with watching() as report:
        report("compressing", 0, 0)
        sizes |= {"bytes_disk": disk_bytes(folder.path), "bytes_download": download_bytes(folder.path)}
    if as_json:
        return print_json(sizes)
    rows = [
        [
            c["name"],
            f"{c['parameters']:,}",
            f"{c['bytes'] / 1e6:,.1f}",
            f"{c['parameters'] / sizes['parameters']:.1%}",
        ]
        for c in sizes["components"]
    ]
    total = [["all", f"{sizes['parameters']:,}", f"{sizes['bytes'] / 1e6:,.1f}", ""]]
    stored = sizes.get("scheme") or sizes.get("precision", "float32")
    table(["part", "parameters", f"MB in {stored}", "share"], rows + total, title=model)
    nonzero = "" if sizes["nonzero"] is None else f", {plural(sizes['nonzero'], 'parameter')} not zero"
    print(
        f"{shape.summary}{nonzero}; "
        f"{sizes['multiply_adds'] / 1e6:,.0f} M multiply-adds for a sentence of {plural(sizes['subwords'], shape.unit)}; "
        f"its folder {sizes['bytes_disk'] / 1e6:,.1f} MB on disk, {sizes['bytes_download'] / 1e6:,.1f} MB as a zstd download"
    )
    if "support" in sizes:
        print(f"{sizes['support']} (docs/encoders.md)")
    return None


def score(
    gold: Annotated[Path, typer.Argument(metavar="GOLD", help="A CoNLL file.")],
    pred: Annotated[Path, typer.Argument(metavar="PRED", help="A CoNLL file of the same words.")],
    as_json: AsJson = False,
) -> None:
    """Compute the span F1 of one CoNLL file against another.

    Tags in IO, IOB1, BIOES or BILOU are read as IOB2 with the same entities. If GOLD is in IOB2, PRED is read as IOB2 as well.
    """
    from dinku.data.conll import read
    from dinku.scoring.counts import align, count, document

    reference = read(gold)
    predicted = read(
        pred, iob2=bool(reference.labels) and not reference.notes
    )  # GOLD's scheme decides what a lone I-X means
    warn([*reference.notes, *(note for note in predicted.notes if note not in reference.notes)])
    align(reference, predicted)
    counts = count([s.tags or () for s in reference], [s.tags or () for s in predicted])
    print_scores(document(counts), as_json, title=f"{pred} against {gold}")


@reads_corpus("labels")
def evaluate(
    model: Model,
    corpus: Corpora,
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
    save: Annotated[Path | None, typer.Option(help="Also write the predicted tags to this file, as CoNLL.")] = None,
    precision: Precision = None,
    detail: Annotated[
        bool,
        typer.Option("--detail", help="Also report kinds of errors, calibration, and names seen or not seen in train."),
    ] = False,
    against: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Also report losses against another tagger, the worst first.")
    ] = None,
    changed: Annotated[
        Path | None,
        typer.Option(help="With --against: write the sentences that the two tag differently, the worst first."),
    ] = None,
    perturb: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:RATE],…", help="Also score on perturbed text: all, or some of slips, diacritics, ocr …"
        ),
    ] = None,
    worst_of: Annotated[
        int, typer.Option(help="Perturb each sentence this many times, and count its worst result.")
    ] = 1,
    device: Device = "cpu",
    labels: Labels = "",
    as_json: AsJson = False,
) -> None:
    """Score a tagger on a corpus, by label and language."""
    from dinku.data import sources
    from dinku.data.conll import write
    from dinku.data.corpus import Sentence
    from dinku.data.perturb import Perturbation, unseen_names
    from dinku.files import written
    from dinku.model.folder import labels_by_model
    from dinku.model.labels import check_common, check_task
    from dinku.scoring import error_analysis
    from dinku.scoring.counts import document
    from dinku.scoring.tagging import counted
    from dinku.serving import reader

    perturbations = Perturbation.listed(perturb) if perturb else []
    _check_options(perturbations, worst_of, against, save=save, changed=changed)
    data = sources.load(corpus, split)
    warn(data.notes)
    splits = sources.splits(corpus) if detail or perturbations else ()
    others = {name: sources.load(corpus, name) for name in splits if name != data.split}
    train = others.pop("train", None)
    names = unseen_names(train, others.values()) if train and data.task.schemes else None
    for each in perturbations:
        each.check(names, data.task)
    device = device_of(device)
    named = labels_by_model([model, *([against] if against else [])], labels)
    opened = {
        name: reader.open(name, precision=precision, device=device, labels=own).tagger for name, own in named.items()
    }
    tagger, other = opened[model], opened[against] if against else None
    warn(check_common(tagger.tags, data, where=model, task=tagger.task))
    if other:
        check_task(other.task, data, where=against or "")
    if save and data.task.each != "word":
        remedy = "leave it out; predict --format jsonl writes labels of texts"
        raise DinkuError("writes tags of words", where="--save", remedy=remedy)
    taggings = _tagged(tagger, data, "tagging")
    counts = counted(data, taggings)
    scores = document(counts) | _suspicions(model, tagger, data, counts)
    if save:
        write([Sentence(s.words, t.tags) for s, t in zip(data, taggings, strict=True)], save, data.task)
    if detail:
        scores["detail"] = error_analysis.detail(data, taggings, train)
    if other:
        before = _tagged(other, data, f"tagging with {against}")
        compared = error_analysis.against(counted(data, before), counts, before, taggings)
        scores["against"] = {"model": against} | compared
        if changed:
            with written(changed) as out:
                out.writelines(f"{line}\n".encode() for line in error_analysis.disagreements(data, before, taggings))
    if perturbations:
        scores["perturbed"] = [_perturbed(tagger, data, counts, each, worst_of, names) for each in perturbations]
    print_scores(scores, as_json, title=f"{model} on {data.name} {data.split}")


def _check_options(
    perturbations: Sequence[Perturbation],
    worst_of: int,
    against: str | None,
    *,
    save: Path | None,
    changed: Path | None,
) -> None:
    """Raise `DinkuError` for options that contradict one another, and for files that exist."""
    if worst_of < 1:
        raise DinkuError(f"must be at least 1 (got {worst_of})", where="--worst-of")
    if worst_of > 1 and not perturbations:
        raise DinkuError("needs --perturb", where="--worst-of", remedy="name the perturbations to try")
    for option, file in (("--save", save), ("--changed", changed)):
        if file and file.exists():
            raise DinkuError("already exists", where=str(file), remedy=f"give {option} a new file")
    if changed and not against:
        raise DinkuError("needs --against", where="--changed", remedy="name the tagger to compare with")


def _tagged(tagger: SentenceTagger, data: Corpus, what: str) -> Sequence[Tagging]:
    """The tags that a tagger gives the sentences of a corpus, with progress shown under ``what``."""
    with watching() as report:
        return tagger.tag(data.sentences, progress=partial(report, what))


def _suspicions(model: str, tagger: SentenceTagger, data: Corpus, counts: Counts) -> dict[str, int]:
    """Warn if a tagger learned from what it is tested on, or finds nothing; the number of sentences it learned from, if any."""
    from dinku.data.learned import seen, tellable
    from dinku.scoring.counts import LEARN_MORE

    shared = sum(seen(data, tagger.learned))
    if shared:
        known = tellable(data, tagger.learned_below)
        among = f" ({shared:,} of the {known:,} that its sample tells of)" if known < len(data) else ""
        shared = round(shared / known * len(data))
        of = f"{'about ' * bool(among)}{shared:,} of the {plural(len(data), 'sentence')}"
        warn([f"{model} learned from {of} of {data.name} {data.split}{among}"])
    if silence := counts.silence:
        warn([f"{model} {silence}; {LEARN_MORE}"])
    return {"learned_from": shared} if shared else {}


def _perturbed(
    tagger: SentenceTagger, data: Corpus, counts: Counts, perturbation: Perturbation, tries: int, names: Names | None
) -> dict[str, Any]:
    """Scores on a perturbed corpus, and their difference from those on the clean one."""
    from dinku.scoring import error_analysis
    from dinku.scoring.counts import document

    with watching() as report:
        progress = partial(report, f"tagging with {perturbation}")
        tag = partial(tagger.tag, progress=progress)
        result = error_analysis.robustness(tag, data, counts, perturbation, tries=tries, names=names)
    about = {"perturbation": result.perturbation, "tries": tries, "changed": result.changed}
    return about | {"difference": result.difference._asdict()} | document(result.counts)


def print_scores(document: dict[str, Any], as_json: bool, *, title: str) -> None:
    """Print scores as a table and sentences for people, or as one JSON document."""
    if as_json:
        return print_json(document)
    task = TASKS[document.get("task", "ner")]
    rows = (
        [[name, document[name]] for name in ("default", "strict")] if task.schemes else [["all", document["default"]]]
    )
    absent = document.get("without_absent")
    if absent:
        rows += [[f"{name}, labels that gold has", absent[name]] for name in ("default", "strict")]
    rows += [[f"  {label}", s] for label, s in document["by_type"].items()]
    rows += [[f"  {language}", s.get("default", s)] for language, s in document.get("by_language", {}).items()]
    cells = [[n, *(f"{100 * s[k]:.2f}" for k in ("precision", "recall", "f1")), f"{s['support']:,}"] for n, s in rows]
    table(["", "precision", "recall", "F1", f"{task.unit}s"], cells, title=title)
    others = f"accuracy {100 * document.get('accuracy', 0):.2f}, macro-F1 {100 * document.get('macro_f1', 0):.2f}"
    print(
        f"{plural(document['words'], 'word')}, {plural(document['sentences'], 'sentence')}; "
        + ("types and languages in the default reading" if task.schemes else f"{task.measure} is the score; {others}")
        + (f"; {plural(absent['dropped'], 'span')} found of labels that gold lacks" if absent else "")
    )
    _damage(document)
    return None


def _damage(document: dict[str, Any]) -> None:
    """Print what ``evaluate`` was asked to report beside scores."""
    if detail := document.get("detail"):
        kinds = ", ".join(f"{kind} {n:,}" for kind, n in detail["errors"].items())
        unit = TASKS[document.get("task", "ner")].unit
        print(f"{unit}s: {kinds}; calibration error {100 * detail['calibration_error']:.1f} %")
        if "new_names" in detail:
            f1 = (detail[name] for name in ("known_names", "new_names"))
            known, new = (f"{100 * s['f1']:.1f} ({plural(s['support'], 'span')})" for s in f1)
            print(f"F1 on names that train has {known}, on names that it lacks {new}")
    if against := document.get("against"):
        rows = [
            [
                loss["where"],
                f"{100 * loss['before']:.1f}",
                f"{100 * loss['after']:.1f}",
                f"{100 * loss['relative']:z.1f} %",
            ]
            for loss in (*against["by_language"], *against["by_type"])
        ]
        measure = document.get("measure", "F1")
        table(["the worst first", "before", "after", "gone"], rows, title=f"{measure} against {against['model']}")
        agree = against["agreement"]
        print(
            f"the two agree on {agree['words']:.2%} of the words, and all of {agree['sentences']:.1%} of the sentences"
        )
    if perturbed := document.get("perturbed"):
        rows = []
        for p in perturbed:
            gone = "{:+z.1f} [{:+z.1f}, {:+z.1f}]".format(
                *(100 * p["difference"][k] for k in ("difference", "low", "high"))
            )
            rows.append([p["perturbation"], f"{p['changed']:.0%}", f"{100 * p['default']['f1']:.1f}", gone])
        tries = f", the worst of {perturbed[0]['tries']} in each sentence" if perturbed[0]["tries"] > 1 else ""
        head = ["perturbed", "sentences changed", document.get("measure", "F1"), "against clean text"]
        table(head, rows, title=f"On perturbed text{tries}")
