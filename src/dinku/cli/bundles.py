"""Bundles exported: a tagger for one engine, without torch."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dinku.cli.options import AsJson, Labels, Model, warn
from dinku.cli.terminal import print, print_json, watching
from dinku.errors import DinkuError

if TYPE_CHECKING:
    from dinku.data.corpus import Corpus
    from dinku.export.card import About
    from dinku.model.folder import ModelFolder


def export(
    model: Model,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write; it must not exist yet.")],
    runtime: Annotated[str | None, typer.Option(help="onnxruntime (the default) or openvino.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32 (the default), int8, or bf16 (openvino).")] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            help="For int8: static (the default), with ranges measured on the train split, or dynamic, with those of each batch."
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="The F1 (of 1) on dev that int8 may cost, by default 0.005; layers stay in fp32 to keep to it."
        ),
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option(
            "--corpus",
            help="Compare on its dev split and report F1 on its test split; by default the sample's dev split.",
        ),
    ] = None,
    licence: Annotated[str, typer.Option(help="The licence of the encoder's weights, for the card, such as MIT.")] = "",
    trained_on: Annotated[
        str | None,
        typer.Option(metavar="CORPUS", help="The corpus that it was fine-tuned on, for the card and its licence."),
    ] = None,
    labels: Labels = "",
    as_json: AsJson = False,
) -> None:
    """Convert a tagger to a bundle, free of torch.

    Nothing is written unless the bundle is shown to tag as its tagger does. A bundle, or a tagger that is quantized for torch, is
    copied unchanged.
    """
    from dinku.export import pipeline
    from dinku.model.folder import ModelFolder

    given = {"runtime": runtime, "precision": precision, "mode": mode, "tolerance": tolerance, "corpus": corpus}
    folder = ModelFolder.of(model, labels=labels)
    if pipeline.finished(folder):
        given |= {"licence": licence or None, "trained-on": trained_on, "labels": labels or None}
        document, lines = _copied(
            folder, model, out, {name: value for name, value in given.items() if value is not None}
        )
    else:
        asked = {
            "runtime": runtime or "onnxruntime",
            "precision": precision or "fp32",
            "mode": mode,
            "tolerance": tolerance,
        }
        document, lines = _converted(folder, model, out, corpus, about_of(model, trained_on, licence), asked)
    if as_json:
        return print_json(document)
    sizes = (
        f"{document['bytes_disk'] / 1e6:.1f} MB on disk, {document['bytes_download'] / 1e6:.1f} MB as a zstd download"
    )
    print("\n".join([f"{out}: {sizes}", *lines]))
    return None


def _converted(
    folder: ModelFolder, model: str, out: Path, corpus: str | None, about: About, asked: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Convert a tagger; the command's JSON document and its lines."""
    from dinku.data import sources
    from dinku.export import card, pipeline
    from dinku.model.labels import check_common
    from dinku.nn.loading import load

    int8 = asked["precision"] == "int8"
    compared = sources.load(corpus or "sample:all", "dev")
    test = _tested(corpus, compared.split, asked["precision"])
    tagger = load(folder)
    if corpus:
        warn(check_common(tagger.tags, compared, where=model, task=tagger.task))
    elif tagger.task is not compared.task:
        compared = compared.without_tags()  # which are those of entities
    if test:
        card.unseen(test, tagger.learned, where=f"{corpus} test")
    if int8 and not corpus:
        problem = "without --corpus int8 is calibrated and compared on generated sentences (sample)"
        warn([f"{problem}: layers may stay in fp32 that needn't, and F1 isn't measured; name your corpus to --corpus"])
    with watching() as report:
        bundle = pipeline.export(
            tagger,
            out,
            compared,
            **asked,
            calibration=sources.load(corpus or "sample:all", "train") if int8 else None,
            about=about,
            progress=report,
        )
        if test:
            card.measure(bundle, test, about, known=tagger.learned, progress=partial(report, "tagging"))
        report("compressing", 0, 0)
        sizes = _sizes(out)
    gate, quantization = bundle.manifest.gate, bundle.manifest.quantization
    document = {"bundle": str(out), "runtime": asked["runtime"], "precision": asked["precision"], **sizes, "gate": gate}
    document["quantization"] = quantization and quantization.model_dump()
    equal = f"{gate['equal']:.2%} of {gate['words']:,} tags are equal"
    lines = [
        f"Compared with {model} on {gate['corpus']} {gate['split']}: {equal}, "
        f"the largest difference of a logit is {gate['logits']:.2g}"
    ]
    return document, [*lines, quantization.told] if quantization else lines


def _sizes(folder: Path) -> dict[str, int]:
    from dinku.model.inspect import disk_bytes, download_bytes

    return {"bytes_disk": disk_bytes(folder), "bytes_download": download_bytes(folder)}


def _tested(corpus: str | None, compared: str, precision: str) -> Corpus | None:
    """The test split for the F1 on a bundle's card; none if the corpus has none.

    Raises `DinkuError` if one file would serve for comparison, calibration and test at once.
    """
    from dinku.data import sources

    if not corpus:
        return None
    remedy = "name a folder with train, dev and test (train.txt, dev.txt, test.txt)"
    if compared != "dev":
        problem = f"is the {compared} split, and bundles are compared on dev"
        raise DinkuError(problem, where=corpus, remedy=remedy)
    splits = sources.splits(corpus)
    if "dev" not in splits:  # a file whose name names no split is whatever split is asked for
        problem = "is one file, which can't be calibration, dev and test at once"
        raise DinkuError(problem, where=corpus, remedy=remedy)
    if precision == "int8" and "train" not in splits:
        problem = "has no train split, whose sentences int8 is calibrated on"
        raise DinkuError(problem, where=corpus, remedy=remedy)
    return sources.load(corpus, "test") if "test" in splits else None


def _copied(folder: ModelFolder, model: str, out: Path, given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Copy a bundle, or a tagger that is quantized for torch; the command's JSON document and its lines."""
    from dinku.export import pipeline

    copied = pipeline.copied(folder, out, given, where=model)
    document = {"tagger" if copied["runtime"] == "torch" else "bundle": str(out), **copied, **_sizes(out)}
    return document, [f"Copied unchanged from {model}, which already is {copied['precision']} for {copied['runtime']}"]


def about_of(model: str, trained_on: str | None, licence: str) -> About:
    """What a card says about a model: its name, its training corpus as given, and its steps if it lies in a store."""
    from dinku.data import sources
    from dinku.export.card import About
    from dinku.model.folder import find_folder
    from dinku.model.store import Store

    folder = find_folder(model).resolve()
    steps: list[Any] = []
    address, name = "", Path(model).name if Path(model).is_dir() else model
    if folder.name == "tagger" and (folder.parent / "step.json").is_file():
        store, address = Store(folder.parents[2]), folder.parent.name
        name, at = f"Tagger {address[:8]}", address
        while store.has(at):
            step = store.step(at)
            steps.insert(0, step["step"])
            at = step["before"]
    data_licence = sources.licence(trained_on) if trained_on else ""
    known = trained_on if data_licence else Path(trained_on or "").name  # a path would tell about this machine
    return About(
        name=name,
        data=(known,) if known else (),
        data_licence=data_licence,
        weights_licence=licence,
        recipe=steps or None,
        address=address,
    )
