"""Bundles: a tagger for one engine, without torch."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from dinku.cli.terminal import print, print_json, watching
from dinku.errors import DinkuError

if TYPE_CHECKING:
    from dinku.data.corpus import Corpus
    from dinku.export.pipeline import About
    from dinku.model.folder import ModelFolder
from dinku.cli.options import AsJson, Model, warn


def export(
    model: Model,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write, which isn't there yet.")],
    runtime: Annotated[str | None, typer.Option(help="onnxruntime (the default) or openvino.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32 (the default), int8, or bf16 (openvino).")] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            help="Of int8: static, with ranges of the corpus' train split (the default), or dynamic, with those of a batch."
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="F1 (of 1) on dev that int8 may cost, 0.005 unless told; layers stay in fp32 for it."),
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option(
            "--corpus", help="Compare on its dev split, and give F1 on its test split; else the sample's dev."
        ),
    ] = None,
    licence: Annotated[str, typer.Option(help="Of the encoder's weights, for the card; such as MIT.")] = "",
    trained_on: Annotated[
        str | None, typer.Option(metavar="CORPUS", help="What it was fine-tuned on, for the card and its licence.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a bundle that tags without torch, once it is shown to be the same tagger; a bundle, or a tagger that is quantized
    for torch, is copied as it is."""
    from dinku.data import sources
    from dinku.export import pipeline as exporting
    from dinku.model.folder import ModelFolder
    from dinku.model.inspect import disk_bytes, download_bytes
    from dinku.nn.loading import load

    folder = ModelFolder.of(model)
    if exporting.finished(folder):
        given = {"runtime": runtime, "precision": precision, "mode": mode, "tolerance": tolerance, "corpus": corpus}
        given |= {"licence": licence or None, "trained-on": trained_on}
        return _copied(folder, model, out, {name: value for name, value in given.items() if value is not None}, as_json)
    runtime, precision = runtime or "onnxruntime", precision or "fp32"
    compared = sources.load(corpus or "sample:all", "dev")
    test = _tested(corpus, compared.split, precision)
    tagger, about = load(folder), about_of(model, trained_on, licence)
    if test:
        exporting.unseen(test, tagger.learned, where=f"{corpus} test")
    if precision == "int8" and not corpus:
        told = "without --corpus int8 is calibrated and compared on generated sentences (sample)"
        warn([f"{told}: layers may stay in fp32 that needn't, and F1 isn't measured; name your corpus to --corpus"])
    with watching() as report:
        made = exporting.export(
            tagger,
            out,
            compared,
            runtime=cast(Any, runtime),
            precision=cast(Any, precision),
            mode=cast(Any, mode),
            tolerance=tolerance,
            calibration=sources.load(corpus or "sample:all", "train") if precision == "int8" else None,
            about=about,
            progress=report,
        )
        if test:
            exporting.measure(made, test, about, known=tagger.learned, progress=partial(report, "tagging"))
        report("compressing", 0, 0)
        sizes = {"bytes_disk": disk_bytes(out), "bytes_download": download_bytes(out)}
    gate, int8 = made.manifest.gate, made.manifest.quantization
    if as_json:
        document = {"bundle": str(out), "runtime": runtime, "precision": precision, **sizes, "gate": gate}
        return print_json(document | {"quantization": int8 and int8.model_dump()})
    print(
        f"{out}: {sizes['bytes_disk'] / 1e6:.1f} MB on disk, {sizes['bytes_download'] / 1e6:.1f} MB as a zstd download\n"
        f"Compared with {model} on {gate['corpus']} {gate['split']}: {gate['equal']:.2%} of {gate['words']:,} tags are equal, "
        f"the largest difference of a logit is {gate['logits']:.2g}"
    )
    if int8:
        print(int8.told)
    return None


def _tested(corpus: str | None, compared: str, precision: str) -> Corpus | None:
    """The test split that a bundle's card gives F1 on; none where the corpus has none.

    Raises `DinkuError` where one file would be compared on, calibrated on and tested on at once.
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


def _copied(folder: ModelFolder, model: str, out: Path, given: dict[str, Any], as_json: bool) -> None:
    """Copy out what is a bundle, or quantized for torch, already."""
    from dinku.export import pipeline as exporting
    from dinku.model.inspect import disk_bytes, download_bytes

    made = exporting.copied(folder, out, given, where=model)
    sizes = {"bytes_disk": disk_bytes(out), "bytes_download": download_bytes(out)}
    if as_json:
        return print_json({"tagger" if made["runtime"] == "torch" else "bundle": str(out), **made, **sizes})
    print(
        f"{out}: {sizes['bytes_disk'] / 1e6:.1f} MB on disk, {sizes['bytes_download'] / 1e6:.1f} MB as a zstd download\n"
        f"Copied from {model}, which is {made['precision']} for {made['runtime']} already; its files are the same"
    )
    return None


def about_of(model: str, trained_on: str | None, licence: str) -> About:
    """What is known of a model: its name, what it is said to be trained on, and where it lies in a store the steps."""
    from dinku.data import sources
    from dinku.export.pipeline import About
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
    known = trained_on if data_licence else Path(trained_on or "").name  # a path of this machine is nobody's business
    return About(
        name=name,
        data=(known,) if known else (),
        data_licence=data_licence,
        weights_licence=licence,
        recipe=steps or None,
        address=address,
    )
