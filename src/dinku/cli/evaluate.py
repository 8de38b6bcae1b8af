"""Scores, and where the bytes are."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from dinku.cli.options import AsJson, Corpora, Device, Model, Precision, device_of, warn
from dinku.cli.terminal import print, print_json, table, watching
from dinku.errors import DinkuError, plural


def inspect(model: Model, as_json: AsJson = False) -> None:
    """Where the bytes and the multiply-adds of a model are."""
    from dinku.model.folder import ModelFolder
    from dinku.model.inspect import disk_bytes, download_bytes, inspection
    from dinku.model.kinds import kind_of

    folder = ModelFolder.of(model)
    found, shape = inspection(folder), kind_of(folder).shape(folder)
    with watching() as report:
        report("compressing", 0, 0)
        found |= {"bytes_disk": disk_bytes(folder.path), "bytes_download": download_bytes(folder.path)}
    if as_json:
        return print_json(found)
    rows = [
        [c["name"], f"{c['parameters']:,}", f"{c['bytes'] / 1e6:,.1f}", f"{c['parameters'] / found['parameters']:.1%}"]
        for c in found["components"]
    ]
    total = [["all", f"{found['parameters']:,}", f"{found['bytes'] / 1e6:,.1f}", ""]]
    stored = found.get("scheme") or found.get("precision", "float32")
    table(["part", "parameters", f"MB in {stored}", "share"], rows + total, title=model)
    nonzero = "" if found["nonzero"] is None else f", {plural(found['nonzero'], 'parameter')} not zero"
    print(
        f"{shape.summary}{nonzero}; "
        f"{found['multiply_adds'] / 1e6:,.0f} M multiply-adds for a sentence of {plural(found['subwords'], shape.unit)}; "
        f"its folder {found['bytes_disk'] / 1e6:,.1f} MB on disk, {found['bytes_download'] / 1e6:,.1f} MB as a zstd download"
    )
    return None


def score(
    gold: Annotated[Path, typer.Argument(metavar="GOLD", help="A CoNLL file.")],
    pred: Annotated[Path, typer.Argument(metavar="PRED", help="A CoNLL file of the same words.")],
    as_json: AsJson = False,
) -> None:
    """Span F1 of one CoNLL file against another.

    Tags in IO, IOB1, BIOES or BILOU are read as IOB2 with the same entities. Where GOLD is in IOB2, PRED's B- and I- are, too.
    """
    from dinku.data.conll import read
    from dinku.scoring.counts import align, count, document

    reference = read(gold)
    predicted = read(pred, iob2=bool(reference.labels) and not reference.notes)  # what I-X alone mean, gold tells
    warn([*reference.notes, *(note for note in predicted.notes if note not in reference.notes)])
    align(reference, predicted)
    counts = count([s.tags or () for s in reference], [s.tags or () for s in predicted])
    print_scores(document(counts), as_json, title=f"{pred} against {gold}")


def evaluate(
    model: Model,
    corpus: Corpora,
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
    save: Annotated[Path | None, typer.Option(help="Also write the predicted tags as CoNLL.")] = None,
    precision: Precision = None,
    detail: Annotated[
        bool, typer.Option("--detail", help="Also kinds of errors, calibration, and names that train has or hasn't.")
    ] = False,
    against: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Also what is lost against another tagger, the worst first.")
    ] = None,
    changed: Annotated[
        Path | None,
        typer.Option(help="With --against: write the sentences that the two tag otherwise, the worst first."),
    ] = None,
    perturb: Annotated[
        str | None,
        typer.Option(metavar="NAME[:RATE],…", help="Also on perturbed text: all, or some of slips, diacritics, ocr …"),
    ] = None,
    worst_of: Annotated[int, typer.Option(help="Perturb so many times, and count the worst for each sentence.")] = 1,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Span F1 of a tagger on a corpus."""
    from dinku.data import sources
    from dinku.data.conll import write
    from dinku.data.corpus import Sentence
    from dinku.data.learned import seen
    from dinku.data.perturb import Perturbation, unseen_names
    from dinku.files import written
    from dinku.scoring import error_analysis
    from dinku.scoring.counts import LEARN_MORE, document
    from dinku.scoring.tagging import counted
    from dinku.serving import reader

    perturbations = Perturbation.listed(perturb) if perturb else []
    if worst_of < 1 or (worst_of > 1 and not perturbations):
        problem = f"{worst_of} is no number of tries" if worst_of < 1 else "there is nothing to perturb"
        raise DinkuError(problem, where="--worst-of", remedy="give 1 or more, with --perturb")
    for option, file in (("--save", save), ("--changed", changed)):
        if file and file.exists():
            raise DinkuError("is there already", where=str(file), remedy=f"name a new file to {option}")
    if changed and not against:
        raise DinkuError("there is no other tagger", where="--changed", remedy="name one to --against")
    data = sources.load(corpus, split)
    warn(data.notes)
    splits = sources.splits(corpus) if detail or perturbations else ()
    others = {name: sources.load(corpus, name) for name in splits if name != data.split}
    train = others.pop("train", None)
    names = unseen_names(train, others.values()) if train else None
    for each in perturbations:
        each.check(names)
    device = device_of(device)
    tagger = reader.open(model, precision=precision, device=device).tagger
    if against:
        other = reader.open(against, precision=precision, device=device).tagger
    never = sorted(set(data.labels) - {tag[2:] for tag in tagger.tags})
    if never and tagger.tags:
        print(f"{model} never gives {', '.join(never)}, which {corpus} has", file=sys.stderr)
    with watching() as report:
        found = tagger.tag(data.sentences, progress=partial(report, "tagging"))
    counts = counted(data, found)
    if shared := sum(seen(data, tagger.learned)):
        warn([f"{model} learned from {shared:,} of the {plural(len(data), 'sentence')} of {data.name} {data.split}"])
    if save:
        write([Sentence(s.words, t.tags) for s, t in zip(data, found, strict=True)], save)
    if silence := counts.silence:
        warn([f"{model} {silence}; {LEARN_MORE}"])
    told = document(counts)
    if shared:
        told["learned_from"] = shared
    if detail:
        told["detail"] = error_analysis.detail(data, found, train)
    if against:
        with watching() as report:
            progress = partial(report, f"tagging with {against}")
            dense = other.tag(data.sentences, progress=progress)
        told["against"] = {"model": against} | error_analysis.against(counted(data, dense), counts, dense, found)
        if changed:
            with written(changed) as out:
                out.writelines(f"{line}\n".encode() for line in error_analysis.disagreements(data, dense, found))
    if perturbations:
        told["perturbed"] = []
        with watching() as report:
            for each in perturbations:
                progress = partial(report, f"tagging with {each}")
                tag = partial(tagger.tag, progress=progress)
                found_in = error_analysis.robustness(tag, data, counts, each, tries=worst_of, names=names)
                about = {"perturbation": found_in.perturbation, "tries": worst_of, "changed": found_in.changed}
                about["difference"] = found_in.difference._asdict()
                told["perturbed"].append(about | document(found_in.counts))
    print_scores(told, as_json, title=f"{model} on {data.name} {data.split}")


def print_scores(document: dict[str, Any], as_json: bool, *, title: str) -> None:
    if as_json:
        return print_json(document)
    rows = [[name, document[name]] for name in ("default", "strict")]
    absent = document.get("without_absent")
    if absent:
        rows += [[f"{name}, labels that gold has", absent[name]] for name in ("default", "strict")]
    rows += [[f"  {label}", s] for label, s in document["by_type"].items()]
    rows += [[f"  {language}", s.get("default", s)] for language, s in document.get("by_language", {}).items()]
    cells = [[n, *(f"{100 * s[k]:.2f}" for k in ("precision", "recall", "f1")), f"{s['support']:,}"] for n, s in rows]
    table(["", "precision", "recall", "F1", "spans"], cells, title=title)
    print(
        f"{plural(document['words'], 'word')}, {plural(document['sentences'], 'sentence')}; "
        "types and languages in the default reading"
        + (f"; {plural(absent['dropped'], 'span')} found of labels that gold lacks" if absent else "")
    )
    _damage(document)
    return None


def _damage(document: dict[str, Any]) -> None:
    """What ``evaluate`` was asked to tell beside scores."""
    if detail := document.get("detail"):
        kinds = ", ".join(f"{kind} {n:,}" for kind, n in detail["errors"].items())
        print(f"spans: {kinds}; calibration error {100 * detail['calibration_error']:.1f} %")
        if "new_names" in detail:
            f1 = (detail[name] for name in ("known_names", "new_names"))
            told, new = (f"{100 * s['f1']:.1f} ({plural(s['support'], 'span')})" for s in f1)
            print(f"F1 on names that train has {told}, on those that it hasn't {new}")
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
        table(["the worst first", "before", "after", "gone"], rows, title=f"F1 against {against['model']}")
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
        table(["perturbed", "sentences changed", "F1", "against clean text"], rows, title=f"On perturbed text{tries}")
