"""The command that exports a tagger as a bundle."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dinku.cli.options import AsJson, Labels, Model, warn
from dinku.cli.terminal import print, print_json, watching
from dinku.errors import DinkuError
from dinku.model.runtimes import DEFAULT, NAMES, having

if TYPE_CHECKING:
    from dinku.data.corpus import Corpus
    from dinku.export.card import About
    from dinku.model.folder import ModelFolder


def export(
    model: Model,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write; it must not exist yet.")],
    runtime: Annotated[str | None, typer.Option(help=f"{NAMES}; by default {DEFAULT}.")] = None,
    precision: Annotated[
        str | None, typer.Option(help=f"fp32 (the default), int8, or bf16 ({', '.join(having('bf16'))}).")
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            help="For int8: static (the default), with ranges measured on the train split, or dynamic, with those of each batch."
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="The F1 (of 1) on dev that int8 may lose, by default 0.005; to keep within it, layers stay in fp32."
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
    web: Annotated[
        bool,
        typer.Option(
            "--web",
            help="Write a page that tags in the browser, without a server of yours; in int8 unless told otherwise.",
        ),
    ] = False,
    libraries: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="With --web, for a transformer: the node_modules with onnxruntime-web and @huggingface/tokenizers.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Convert a tagger to a bundle that runs without torch.

    Nothing is written unless the bundle tags as its tagger does on sentences of a corpus. A bundle, or a tagger that is
    quantized for torch, is copied unchanged. With --web the bundle becomes part of a page.
    """
    from dinku.model.folder import ModelFolder

    if libraries and not web:
        raise DinkuError("is for --web alone", where="--libraries", remedy="add --web, or leave it out")
    folder = ModelFolder.of(model, labels=labels)
    asked = {"runtime": runtime, "precision": precision, "mode": mode, "tolerance": tolerance, "corpus": corpus}
    about = {"licence": licence, "trained-on": trained_on, "labels": labels}
    if web:
        document, lines = _page(folder, model, out, str(libraries or ""), asked, about)
    else:
        document, lines = _bundle(folder, model, out, asked, about)
    if as_json:
        return print_json(document)
    sizes = (
        f"{document['bytes_disk'] / 1e6:.1f} MB on disk, {document['bytes_download'] / 1e6:.1f} MB as a zstd download"
    )
    print("\n".join([f"{out}: {sizes}", *lines]))
    return None


def _bundle(
    folder: ModelFolder, model: str, out: Path, asked: dict[str, Any], about: dict[str, str | None]
) -> tuple[dict[str, Any], list[str]]:
    """Write a bundle as ``asked``; the command's JSON document and its lines."""
    from dinku.export import pipeline

    if pipeline.finished(folder):
        given = asked | {name: value or None for name, value in about.items()}
        return _copied(folder, model, out, {name: value for name, value in given.items() if value is not None})
    settings = {name: asked[name] for name in ("mode", "tolerance")}
    settings |= {"runtime": asked["runtime"] or DEFAULT, "precision": asked["precision"] or "fp32"}
    told = about_of(model, about["trained-on"], about["licence"] or "")
    return _converted(folder, model, out, asked["corpus"], told, settings)


def _page(
    folder: ModelFolder, model: str, out: Path, libraries: str, asked: dict[str, Any], about: dict[str, str | None]
) -> tuple[dict[str, Any], list[str]]:
    """Write a page around a bundle, which is made in a temporary folder first; the command's JSON document and its lines."""
    from dinku.model.bundle import Bundle
    from dinku.serving.web import check_entities, needed_libraries, web_page

    if asked["runtime"] not in (None, "onnxruntime"):
        raise DinkuError(f"browsers don't run {asked['runtime']}", where="--runtime", remedy="leave it out")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DinkuError("already exists", where=str(out), remedy="name a new folder")
    check_entities(folder.task, where=model)
    needed_libraries(folder, libraries)
    if not folder.is_bundle:
        asked = asked | {"precision": asked["precision"] or "int8"}
    with TemporaryDirectory(prefix="dinku-") as temporary:
        made = Path(temporary) / "bundle"
        document, lines = _bundle(folder, model, made, asked, about)
        web_page(Bundle.open(made), out, name=Path(model).name.rpartition(":")[2], libraries=libraries)
    document |= {"bundle": str(out / "model"), "page": str(out), **_sizes(out)}
    look = f"Look at it with: python -m http.server --directory {out}, at http://localhost:8000"
    return document, [*lines, look, "For others, put the folder on a server with https"]


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
        warn(
            [
                f"{problem}: more layers than necessary may stay in fp32, and F1 isn't measured; give your corpus with --corpus"
            ]
        )
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
    return document, [*lines, quantization.summary] if quantization else lines


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
    if "dev" not in splits:  # a file that isn't named for a split serves as any split
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
    known = trained_on if data_licence else Path(trained_on or "").name  # a path would reveal folders of this machine
    return About(
        name=name,
        data=(known,) if known else (),
        data_licence=data_licence,
        weights_licence=licence,
        recipe=steps or None,
        address=address,
    )
