"""The commands. A table for people, ``--json`` for programs; progress goes to stderr."""

from __future__ import annotations

import io
import os
import shlex
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer
from typer.exceptions import TyperException

from dinku import __version__
from dinku.cli.terminal import duration, print, print_data, print_json, table, watching
from dinku.errors import DinkuError, plural

if TYPE_CHECKING:
    from dinku.data.corpus import Corpus, Sentence
    from dinku.export.pipeline import About
    from dinku.model.encode import Encoder
    from dinku.scoring.tagging import Tagging
    from dinku.serving.lines import Source
    from dinku.study.definition import Study
    from dinku.study.results import Results
    from dinku.study.run import Runner

app = typer.Typer(
    name="dinku",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

data = typer.Typer()
app.add_typer(data, name="data")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")]
Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A folder, a name under DINKU_HOME/models, an address in the store, or a Hub id."
    ),
]
Corpora = Annotated[
    str, typer.Option("--corpus", help="masakhaner:hau, masakhaner:all, a CoNLL file or a folder of splits.")
]
Precision = Annotated[
    str | None, typer.Option(help="float32, unless bfloat16 is asked for; a bundle has a precision of its own.")
]


def _bounded(given: typer.CallbackParam, asked: int | None) -> int | None:
    """The value of an option that says how many threads or processes, refused where no machine has so many."""
    from dinku.model.inspect import check_threads

    check_threads(asked, where=given.opts[0])
    return asked


Threads = Annotated[int | None, typer.Option(callback=_bounded, help="All cores unless told otherwise.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:N, or auto: a GPU where there is one.")]
StudyFile = Annotated[
    Path,
    typer.Argument(
        metavar="STUDY",
        help="A study's YAML file, a built-in one (demo, paper, paper-cpu, paper-noise), or the name of one that has rows; "
        ":section for a part of one.",
    ),
]
AnyStudy = Annotated[
    Path | None, typer.Argument(metavar="[STUDY]", help="As for run; without one, all that have rows.")
]
Store = Annotated[Path | None, typer.Option("--store", help="Where taggers are kept; DINKU_HOME/store unless given.")]
ResultsFolder = Annotated[
    Path, typer.Option("--results", help="The folder of rows; a study's are in a folder of its name.")
]


_COMPRESS = ("torch", "transformers", "safetensors", "accelerate", "sentencepiece", "onnx", "onnxscript")
_EXTRAS = {
    **dict.fromkeys(_COMPRESS, "compress"),
    "openvino": "openvino",
    "nncf": "openvino",
    "pyarrow": "parquet",
    "ray": "ray",
}


def main() -> None:
    """Run the command line: status 0 done, 1 the work failed, 2 the request or the input was wrong."""
    arguments, debug = _without_debug(sys.argv[1:])
    _fill_closed_streams()
    if sys.stdout is None:
        sys.exit(_failed("stdout: is closed; send it to a file, or to /dev/null", 2))
    if isinstance(sys.stdout, io.TextIOWrapper):  # what it can't encode is escaped
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = app(arguments, prog_name="dinku", standalone_mode=False)
        if status == 130:  # typer's answer to Ctrl-C
            _failed("interrupted; run the same command again to go on", status)
    except SystemExit:  # typer's answer to a pipe that was closed: whoever read the output has read enough
        status = 0
    except DinkuError as error:
        if debug:
            traceback.print_exc()
        status = _failed(_with_flags(error), error.status)
    except TyperException as error:
        if debug:
            traceback.print_exc()
        status = _failed(error.format_message(), 2)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(error.name or "")
        if extra is None:
            raise
        if debug:
            traceback.print_exc()
        status = _failed(f"this command needs {error.name}; install it with: pip install 'dinku[{extra}]'", 2)
    except OSError as error:
        if debug:
            traceback.print_exc()
        reason = f"{error.filename or 'the system'}: {error.strerror or error}"
        status = _failed(f"{reason}; allow it or free some space, then run the same command again", 1)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a panic of a library in Rust isn't an Exception
        if debug:
            traceback.print_exc()
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        status = _failed(f"{reason}; run it with --debug to see where", 1)
    sys.exit(_flushed(status if isinstance(status, int) else 0))


def _without_debug(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """Arguments without ``--debug``, which may stand anywhere before a ``--``, and whether it was there."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = [a for a in arguments[:end] if a != "--debug"]
    return [*options, *arguments[end:]], len(options) < end


def _fill_closed_streams() -> None:
    """Have /dev/null stand for stdin, stdout and stderr that are closed, lest the next file that is opened take their place."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    if sys.stderr is None:  # which `print` would replace by stdout
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process runs


def _flushed(status: int) -> int:
    """The status once all of stdout is written; 1 where the system refuses that at the last moment."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes again when it ends
        if (
            isinstance(error, BrokenPipeError) or status
        ):  # whoever read the output has read enough, or it was told before
            return status
        return _failed(f"stdout: {error.strerror}; free some space, then run the same command again", 1)
    return status


# What parameters of the Python API, which errors name, are called here where that is another name.
_FLAGS = {"batches": "--batch", "texts": "--corpus", "force=True": "--force"}
_PARAMETERS = ("across", "by", "device", "precision", "rounds", "threads", "value", "where")
_FLAGS |= {name: f"--{name}" for name in _PARAMETERS}


def _with_flags(error: DinkuError) -> str:
    """An error as the command line tells it: with flags where it names parameters."""
    remedy = error.remedy.replace("force=True", _FLAGS["force=True"])
    return str(DinkuError(error.problem, where=_FLAGS.get(error.where, error.where), remedy=remedy))


def _failed(message: str, status: int) -> int:
    print(f"dinku: {message}", file=sys.stderr)
    return status


def _version(asked: bool) -> None:
    if asked:
        print(f"dinku {__version__}")
        raise typer.Exit


def _help(context: typer.Context) -> None:
    """What a command that is none without another one says."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.callback(invoke_without_command=True)
def dinku(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[  # `main` takes it out of any command
        bool,
        typer.Option("--debug", help="Where a command fails, also print the traceback; may stand anywhere in it."),
    ] = False,
) -> None:
    """Makes small language models smaller, and says exactly what that cost."""
    _help(context)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="The folder to work in; a second run goes on from the first.")] = Path(
        "dinku-demo"
    ),
    as_json: AsJson = False,
) -> None:
    """The whole story offline, in minutes: the encoder and the sample sentences that come along."""
    from dinku.cli.story import run_demo

    if out.exists() and not out.is_dir():
        raise DinkuError("is a file", where=str(out), remedy="name a folder to --out")
    with watching() as report:
        done = run_demo(out, report)
    if as_json:
        document = {"page": str(done.page), "bundle": str(done.bundle), "f1": done.f1, "bytes_disk": done.bytes_disk}
        return print_json(document | {"sentences_per_second": done.speed})
    for sentence, tagging in done.found:
        found = ", ".join(_entities(sentence, tagging)) or "no entity"
        print(f"{sentence.language}  {' '.join(sentence.words)}\n     {found}")
    rows = [
        [name, f"{100 * f1:.1f}", f"{done.bytes_disk[name] / 1e6:.1f}", f"{done.speed[name]:.0f}"]
        for name, f1 in done.f1.items()
    ]
    titles = ["the dense tagger in", "F1", "MB on disk", "sentences/s here"]
    table(titles, rows, title=f"{plural(done.sentences, 'test sentence')} (sample)")
    print(done.quantized)
    print(f"What pruning cost, by language, on generated sentences (sample): {done.page}")
    typed = f"echo {shlex.quote(done.suggestion)} | " if done.suggestion else ""
    print(f"A bundle to play with:  {typed}dinku predict {shlex.quote(str(done.bundle))}")
    return None


@data.callback(invoke_without_command=True)
def data_alone(context: typer.Context) -> None:
    """Known corpora, and what is wrong in a corpus."""
    _help(context)


@data.command("list")
def data_list(as_json: AsJson = False) -> None:
    """Corpora known by name, their licences, and what of them is in the cache."""
    from dinku.data.sources import listing

    known = listing()
    if as_json:
        return print_json(known)
    rows = [
        [c["name"], c["title"], " ".join(c["languages"]), f"{c['files_here']} of {c['files']}", c["licence"]]
        for c in known
    ]
    table(
        ["", "corpus", "languages", "files here", "licence"],
        rows,
        title="A language: masakhaner:hau · all: masakhaner:all",
    )
    for c in known:
        print(f"{c['name']}: {c['citation']}" + f"; {c['repository']} at {c['commit'][:7]}" * bool(c["repository"]))
    return None


@data.command("fetch")
def data_fetch(
    corpus: Annotated[str, typer.Argument(metavar="CORPUS", help="Such as masakhaner:hau or masakhaner:all.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace files that aren't those that were published.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Download a known corpus into the cache, verified; run again, it goes on where it stopped."""
    from dinku.data import catalogue, sources

    with watching() as report:
        found = sources.fetch(corpus, force=force, progress=report)
    source = catalogue.SOURCES[corpus.partition(":")[0]]
    print(f"{source.title}: {source.licence}; cite {source.citation}", file=sys.stderr)
    if as_json:
        return print_json([{"path": str(f.path), "bytes": f.bytes, "state": f.state} for f in found])
    new = sum(f.state == "fetched" for f in found)
    there = plural(len(found) - new, "was there", "were there")
    print(f"{plural(new, 'file')} fetched, {there}; {sum(f.bytes for f in found) / 1e6:.1f} MB in all")
    return None


@data.command("check")
def data_check(
    corpus: Annotated[
        str, typer.Argument(metavar="CORPUS", help="A known corpus, a CoNLL file or a folder of splits.")
    ],
    model: Annotated[str | None, typer.Option(help="Also count subwords as this model reads them.")] = None,
    before: Annotated[
        str | None, typer.Option(help="The model that it was before its vocabulary was trimmed: what that changed.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What one wants to know of a corpus before training on it."""
    from dinku.data import sources
    from dinku.data.audit import labels_alone, merged

    if before and not model:
        raise DinkuError("has nothing to be held against", where="--before", remedy="add --model")
    if model:
        from dinku.model.encode import segmentation, subwords_of

        encoder = _encoder(model)
        whole_encoder = _encoder(before) if before else None
    loaded = sources.whole(corpus)
    _warn(note for parts in loaded.values() for part in parts.values() for note in part.notes)
    found, absent = sources.audited(loaded), sources.absent(corpus)
    if model:
        for split, parts in loaded.items():
            for language, part in parts.items():
                found[split][language] |= subwords_of(encoder, part)
                if whole_encoder:
                    changed = segmentation(whole_encoder, encoder, part)[language]
                    found[split][language]["segmentation"] = changed._asdict()
    if as_json:
        whole = {split: merged(parts) for split, parts in found.items()}
        alone = labels_alone(whole)
        splits = {s: whole[s] | {"labels_alone": alone[s], "by_language": parts} for s, parts in found.items()}
        return print_json({"corpus": corpus, "splits": splits, "absent": absent})
    labels = sorted({label for parts in found.values() for part in parts.values() for label in part["spans"]})
    names = {"orphan_tags": "orphan I-", "invisible": "invisible", "not_nfc": "not NFC", "duplicates": "twice"}
    names |= {"also_in_train": "in train", "longest": "longest"}
    names |= {"longest_subwords": "in subwords", "over_window": "over window", "unknown": "unknown"} if model else {}
    head = ["", "split", "sentences", "words", *labels, *names.values(), *(["subwords a word"] if model else [])]
    rows = [
        [language, split, *(f"{part[k]:,}" for k in ("sentences", "words"))]
        + [f"{part['spans'].get(label, 0):,}" for label in labels]
        + [f"{part[name]:,}" if part[name] else "" for name in names]
        + ([f"{part['subwords'] / max(1, part['words']):.2f}"] if model else [])
        for language in dict.fromkeys(language for parts in found.values() for language in parts)
        for split, part in ((s, p[language]) for s, p in found.items() if language in p)
    ]
    table(head, rows, title=corpus)
    if before:
        table(*_trimmed(found), title=f"{corpus} as {model} reads it, and {before} did")
    for language, gone in absent.items():
        compared = "; whether its other splits repeat it can't be told" if "train" in gone else ""
        print(f"{language} has no {' and no '.join(gone)} here{compared}")
    for line in _oddities(found):
        print(line)
    return None


def _trimmed(found: dict[str, dict[str, dict[str, Any]]]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of what a smaller vocabulary changed, a language and split a row."""
    head = ["", "split", "segmented as before", "subwords a word", "before", "words with unknown pieces", "before"]
    head += ["words of entities segmented otherwise"]
    rows = []
    for split, parts in found.items():
        for language, part in parts.items():
            told = part["segmentation"]
            words, (moved, named) = max(1, told["words"]), told["entity_words"]
            (few, many), (then, now) = told["subwords"], told["unknown"]
            shares = [f"{many / words:.2f}", f"{few / words:.2f}", f"{now / words:.2%}", f"{then / words:.2%}"]
            as_before = f"{told['as_before'] / max(1, told['sentences']):.1%}"
            rows.append([language, split, as_before, *shares, f"{moved / max(1, named):.2%}"])
    return head, rows


def _encoder(model: str) -> Encoder:
    """How a model reads words; with torch only where its folder needs it."""
    from dinku.model.encode import opened
    from dinku.model.folder import model_folder

    if encoder := opened(model_folder(model)):
        return encoder
    from dinku.nn.tagger import Tagger

    return Tagger.load(model).encoder


def _oddities(found: dict[str, dict[str, dict[str, Any]]]) -> Iterator[str]:
    """What is odd in an audited corpus, in words, a line each."""
    said = {
        "orphan_tags": ("tag I-X continues nothing", "tags I-X continue nothing"),
        "invisible": ("word holds an invisible character", "words hold an invisible character"),
        "not_nfc": ("word isn't in Unicode's NFC", "words aren't in Unicode's NFC"),
        "duplicates": ("sentence stood before", "sentences stood before"),
        "also_in_train": ("sentence also stands in train", "sentences also stand in train"),
        "bom": ("file begins with a byte-order mark", "files begin with a byte-order mark"),
        "empty_tokens": ("line has no token and ends a sentence", "lines have no token and end a sentence"),
    }
    for split, parts in found.items():
        for language, part in parts.items():
            place = " ".join(filter(None, (language, split)))
            if part["sentences"] == 1 and part["words"] > 200:
                yield f"{place}: all {part['words']:,} words are one sentence; is the blank line after each missing?"
            if part["words"] and not part["spans"]:
                yield f"{place}: there is no entity; every tag is O"
            for name, what in said.items():
                if part[name]:
                    at = f", first in sentence {part['first'][name]}" if name in part["first"] else ""
                    yield f"{place}: {plural(part[name], *what)}{at}"
    everywhere = {label for parts in found.values() for part in parts.values() for label in part["spans"]}
    for language in sorted({language for parts in found.values() for language in parts}):
        own = {split: set(parts[language]["spans"]) for split, parts in found.items() if language in parts}
        for label in sorted(everywhere) if len(own) > 1 else ():
            if 0 < (n := sum(label in labels for labels in own.values())) < len(own):
                lacks = ", ".join(split for split, labels in own.items() if label not in labels)
                yield f"{language}: {label} is in {n} of {plural(len(own), 'split')}; {lacks} lacks it"


@app.command()
def inspect(model: Model, as_json: AsJson = False) -> None:
    """Where the bytes and the multiply-adds of a model are."""
    from dinku.model import bundle
    from dinku.model.folder import model_folder
    from dinku.model.inspect import disk_bytes, download_bytes, inspection

    folder = model_folder(model)
    found = (bundle.inspection if bundle.is_bundle(folder) else inspection)(folder)
    with watching() as report:
        report("compressing", 0, 0)
        found |= {"bytes_disk": disk_bytes(folder), "bytes_download": download_bytes(folder)}
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
        f"{plural(found['layers'], 'layer')}, hidden {found['hidden']}, vocabulary {found['vocabulary']:,}{nonzero}; "
        f"{found['multiply_adds'] / 1e6:,.0f} M multiply-adds for a sentence of {plural(found['subwords'], 'subword')}; "
        f"its folder {found['bytes_disk'] / 1e6:,.1f} MB on disk, {found['bytes_download'] / 1e6:,.1f} MB as a zstd download"
    )
    return None


@app.command()
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
    _warn([*reference.notes, *(note for note in predicted.notes if note not in reference.notes)])
    align(reference, predicted)
    counts = count([s.tags or () for s in reference], [s.tags or () for s in predicted])
    _scores(document(counts), as_json, title=f"{pred} against {gold}")


@app.command()
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
    _warn(data.notes)
    splits = sources.splits(corpus) if detail or perturbations else ()
    others = {name: sources.load(corpus, name) for name in splits if name != data.split}
    train = others.pop("train", None)
    names = unseen_names(train, others.values()) if train else None
    for each in perturbations:
        each.check(names)
    device = _device(device)
    opened = reader.open(model, precision=precision, device=device)
    tagger, options = opened.tagger, opened.options
    if against:
        other = reader.open(against, precision=precision, device=device)
    never = sorted(set(data.labels) - {tag[2:] for tag in tagger.tags})
    if never and tagger.tags:
        print(f"{model} never gives {', '.join(never)}, which {corpus} has", file=sys.stderr)
    with watching() as report:
        found = tagger.tag(data.sentences, progress=lambda n, of: report("tagging", n, of), **options)
    counts = counted(data, found)
    if shared := sum(seen(data, getattr(tagger, "learned", frozenset()))):
        _warn([f"{model} learned from {shared:,} of the {plural(len(data), 'sentence')} of {data.name} {data.split}"])
    if save:
        write([Sentence(s.words, t.tags) for s, t in zip(data, found, strict=True)], save)
    if silence := counts.silence:
        _warn([f"{model} {silence}; {LEARN_MORE}"])
    told = document(counts)
    if shared:
        told["learned_from"] = shared
    if detail:
        told["detail"] = error_analysis.detail(data, found, train)
    if against:
        with watching() as report:
            progress = partial(report, f"tagging with {against}")
            dense = other.tagger.tag(data.sentences, progress=progress, **other.options)
        told["against"] = {"model": against} | error_analysis.against(counted(data, dense), counts, dense, found)
        if changed:
            with written(changed) as out:
                out.writelines(f"{line}\n".encode() for line in error_analysis.disagreements(data, dense, found))
    if perturbations:
        told["perturbed"] = []
        with watching() as report:
            for each in perturbations:
                progress = partial(report, f"tagging with {each}")
                tag = partial(tagger.tag, progress=progress, **options)  # type: ignore[arg-type]
                found_in = error_analysis.robustness(tag, data, counts, each, tries=worst_of, names=names)
                about = {"perturbation": found_in.perturbation, "tries": worst_of, "changed": found_in.changed}
                about["difference"] = found_in.difference._asdict()
                told["perturbed"].append(about | document(found_in.counts))
    _scores(told, as_json, title=f"{model} on {data.name} {data.split}")


@app.command()
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
        opened = reader.open(model, threads=threads, precision=precision, device=_device(device))
        for line, found in opened.stream(given):
            if form == "jsonl":
                print_json(line.answer(found))
            elif form == "conll":
                print_data("".join(map(_column, line.sentence.words, found.tags)))
            else:
                said = [f"{e['text']} [{e['label']} {e['score']:.2f}]" for e in line.entities(found)]
                print(f"{line.text}\n    {', '.join(said) or 'no entity'}")


@app.command()
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
    _warn(data.notes)
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


@app.command()
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


@app.command()
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
    from dinku.model.folder import model_folder
    from dinku.model.inspect import disk_bytes, download_bytes
    from dinku.nn.tagger import Tagger

    if exporting.finished(model_folder(model)):
        given = {"runtime": runtime, "precision": precision, "mode": mode, "tolerance": tolerance, "corpus": corpus}
        given |= {"licence": licence or None, "trained-on": trained_on}
        return _copied(model, out, {name: value for name, value in given.items() if value is not None}, as_json)
    runtime, precision = runtime or "onnxruntime", precision or "fp32"
    compared = sources.load(corpus or "sample:all", "dev")
    test = _tested(corpus, compared.split, precision)
    tagger, about = Tagger.load(model), _about(model, trained_on, licence)
    if test:
        exporting.unseen(test, tagger.learned, where=f"{corpus} test")
    if precision == "int8" and not corpus:
        told = "without --corpus int8 is calibrated and compared on generated sentences (sample)"
        _warn([f"{told}: layers may stay in fp32 that needn't, and F1 isn't measured; name your corpus to --corpus"])
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


def _copied(model: str, out: Path, given: dict[str, Any], as_json: bool) -> None:
    """Copy out what is a bundle, or quantized for torch, already."""
    from dinku.export import pipeline as exporting
    from dinku.model.inspect import disk_bytes, download_bytes

    made = exporting.copied(model, out, given)
    sizes = {"bytes_disk": disk_bytes(out), "bytes_download": download_bytes(out)}
    if as_json:
        return print_json({"tagger" if made["runtime"] == "torch" else "bundle": str(out), **made, **sizes})
    print(
        f"{out}: {sizes['bytes_disk'] / 1e6:.1f} MB on disk, {sizes['bytes_download'] / 1e6:.1f} MB as a zstd download\n"
        f"Copied from {model}, which is {made['precision']} for {made['runtime']} already; its files are the same"
    )
    return None


def _about(model: str, trained_on: str | None, licence: str) -> About:
    """What is known of a model: its name, what it is said to be trained on, and where it lies in a store the steps."""
    from dinku.data import sources
    from dinku.export.pipeline import About
    from dinku.model.folder import model_folder
    from dinku.model.store import Store

    folder = model_folder(model).resolve()
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


def _entities(sentence: Sentence, found: Tagging) -> list[str]:
    return [f"{' '.join(sentence.words[s.start : s.end])} [{s.label} {p:.2f}]" for s, p in found.entities()]


@app.command()
def plan(
    study: StudyFile, results: ResultsFolder = Path("results"), store: Store = None, as_json: AsJson = False
) -> None:
    """The steps of a study, what recipes share, declared sizes and an estimate; runs nothing."""
    from dinku.study.plan import GPU_RATE
    from dinku.study.plan import plan as planned

    document = planned(_runner(study, results, store, planning=True))
    _warn(document["warnings"])
    if as_json:
        return print_json(document)
    rows = [
        ["  " * depth + s["name"], str(s["recipes"]), f"{s['bytes'] / 1e6:.1f}", _range(s["nonzero"]), s["state"]]
        for depth, s in _tree(document["steps"])
    ]
    table(["step", "recipes", "MB", "not zero", "state"], rows, title=document["title"])
    print(
        f"{plural(document['recipes'], 'recipe')}, {document['recipes_done']} with all their rows. "
        f"{plural(document['trainings'], 'training')} "
        f"where {document['trainings_unshared']} would be done without sharing ({document['sharing']:.2f} times). To do: "
        f"{plural(document['trainings_to_do'], 'training')}, about {duration(document['seconds'])} on this machine "
        f"({document['estimate']}), or {duration(3600 * document['gpu_hours'])} of a GPU that makes {GPU_RATE:.0e} "
        "multiply-adds a second, which is assumed."
    )
    return None


@app.command()
def run(
    study: StudyFile,
    only: Annotated[list[str] | None, typer.Option("--only", help="An arm of the study; may be given again.")] = None,
    results: ResultsFolder = Path("results"),
    store: Store = None,
    processes: Annotated[
        int,
        typer.Option(
            "--processes",
            callback=_bounded,
            help="How many share the work here; more may, on any machine that sees the store.",
        ),
    ] = 1,
    threads: Annotated[
        int | None,
        typer.Option(
            callback=_bounded, help="Of each process, where the study doesn't say; all there are, or one on Ray."
        ),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(help="Where steps are made: by this process, or on a Ray cluster that sees the same folders."),
    ] = "local",
    address: Annotated[
        str | None, typer.Option(help="The Ray cluster's, as HOST:PORT; without it, Ray runs on this machine alone.")
    ] = None,
    device: Annotated[
        str, typer.Option(help="What trains, and tags in floating point: cpu, cuda, cuda:N, or auto; on Ray no N.")
    ] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Carry out a study. Stop it whenever you like: run again, and it goes on."""
    from dinku.study import ray
    from dinku.study.processes import run as run_together
    from dinku.study.results import documents

    if engine == "ray" and processes > 1:
        raise DinkuError("Ray starts them itself", where="--processes", remedy="leave it out")
    if engine == "local" and address:
        raise DinkuError("is a Ray cluster's", where="--address", remedy="add --engine ray")
    here = engine == "local" and processes == 1
    place = _device(device) if engine == "local" else device
    with watching() as report:
        cores = threads or (1 if engine == "ray" else None)
        runner = _runner(study, results, store, report=report, cores=cores, device=place if here else "cpu")
        _warn(runner.warnings)
        if engine == "ray":
            ray.run(runner, address, only or (), device=device)
        elif processes == 1:
            runner.run(only or ())
        else:
            arguments = [str(study), "--results", str(results), "--store", str(runner.store.root), "--device", device]
            arguments += [f"--only={arm}" for arm in only or ()]
            run_together(runner, arguments, processes, only or ())
    rows = runner.results.rows()
    _warn(filter(None, [runner.silent(runner.chosen(only or ()))]))
    if as_json:
        return print_json(documents(rows))
    command = f"dinku report {runner.study.whole(study)}{'' if results == Path('results') else f' --results {results}'}"
    print(f"{plural(len(rows), 'row')} in {runner.results.folder}; see them with: {command}")
    return None


@app.command()
def report(
    study: AnyStudy = None,
    results: ResultsFolder = Path("results"),
    out: Annotated[Path | None, typer.Option(help="Where to write; DINKU_HOME/reports unless given.")] = None,
    as_json: AsJson = False,
) -> None:
    """A page, Markdown, CSV and a figure from the rows of a study, or of every study that has any; these also on one page."""
    from dinku.report import build as reporting
    from dinku.settings import home

    reports, written, unfinished = [], {}, list[reporting.Unfinished]()
    below = out or home() / "reports"
    for described in _studies(study, results):
        try:
            reports.append(reporting.Report.of(described, _results(described, results)))
        except reporting.Unfinished as error:
            unfinished.append(error)
            continue
        written[described.name] = reports[-1].write(out if study and out else below / described.name)
    if unfinished and not written:
        raise unfinished[0]
    _warn(str(error) for error in unfinished)
    if len(reports) > 1:
        written["*"] = reporting.write_together(reports, below)  # no study can have that name
    if as_json:
        documents = {name: {path.name: str(path) for path in paths} for name, paths in written.items()}
        return print_json(next(iter(documents.values())) if study else documents)
    for path in (path for paths in written.values() for path in paths):
        print(path)
    return None


@app.command()
def claims(study: AnyStudy = None, results: ResultsFolder = Path("results"), as_json: AsJson = False) -> None:
    """The paper's claims: holds, fails, undecided or not measured, each with its numbers.

    Without a study, what each study that measures something of a claim says of it.
    """
    from dinku.claims.ledger import ledger, together

    studies = _studies(study, results)
    if study and not _results(studies[0], results).rows():
        remedy = f"run `dinku run {study}`, or name the folder that its rows are in with --results"
        raise DinkuError("has no rows to judge", where=str(results / studies[0].name), remedy=remedy)
    verdicts = {s.name: ledger(_results(s, results)) for s in studies}
    if as_json:
        every = [(name, verdict) for name, told in verdicts.items() for verdict in told]
        return print_json([verdict.document() | ({} if study else {"study": name}) for name, verdict in every])
    if study:
        for verdict in next(iter(verdicts.values())):
            print(f"{verdict.claim}  {verdict.verdict:12}  {verdict.said}\n    {verdict.found}\n")
        return None
    for claim, told in together(verdicts).items():
        print(f"{claim}  {told[0][1].said}")
        for name, verdict in told:
            print(f"    {verdict.verdict}{f' in {name}' if name else ''}: {verdict.found}")
        print()
    return None


@app.command("results")
def results_(
    study: AnyStudy = None,
    results: Annotated[
        list[Path] | None,
        typer.Option("--results", help="A folder of rows; given again, rows of several machines as one."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=VALUE", help="Rows that meet it; again: all, or any of one column."),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN,…",
            help="Group by these, such as arm,language; and by what no mean may mix, such as languages seen and unseen.",
        ),
    ] = None,
    value: Annotated[str, typer.Option(help="The column whose mean is told.")] = "f1",
    across: Annotated[str | None, typer.Option(metavar="COLUMN", help="Make a column of each of its values.")] = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", help="Write CSV there; ' stands before text that spreadsheets take for a formula."),
    ] = None,
    parquet: Annotated[Path | None, typer.Option("--parquet", help="Write Parquet there.")] = None,
    merge: Annotated[Path | None, typer.Option("--merge", help="Write all these rows into one folder of rows.")] = None,
    as_json: AsJson = False,
) -> None:
    """Rows, filtered, grouped and pivoted; those of several machines merged; what failed."""
    from dinku import files
    from dinku.report import records
    from dinku.study.current import Current
    from dinku.study.results import Results

    places = results or [Path("results")]
    studies = _studies(study, *places)
    if absent := [place for place in results or () if not place.is_dir()]:
        raise DinkuError("no such folder", where=str(absent[0]), remedy="name the folder that holds results")
    folders = {each.name: [Results(f / each.name) for f in places if (f / each.name).is_dir()] for each in studies}
    if merge:
        if where or by or across or csv or parquet:
            raise DinkuError("adds all rows, as they are", where="--merge", remedy="leave the other options out")
        return _merge(studies, folders, merge, as_json)
    if across and not by:
        raise DinkuError("makes columns of what rows are grouped by", where="--across", remedy="add --by")
    if value != "f1" and not by:
        raise DinkuError("is told of groups", where="--value", remedy="add --by")
    together = {name: records.merged(own) for name, own in folders.items()}
    rows = [row for name in together for row in together[name].rows]
    for row, first, second in (conflict for m in together.values() for conflict in m.conflicts):
        _warn([f"{records.told(row)}: other counts in {second} than in {first}, whose are shown"])
    failures = [failure for own in folders.values() for each in own for failure in each.failures()]
    if not rows and not failures:
        raise DinkuError("holds no rows", where=str(places[0]), remedy="run `dinku run STUDY` first")
    current = {name: Current.together([Current.read(each.folder) for each in own]) for name, own in folders.items()}
    every = records.records(rows, current)
    asked = [name.strip() for each in by or () for name in each.split(",")]
    names = [records.column(every, name, where="by") for name in asked if name]
    found = records.chosen(every, where or ()) if rows else []
    if names and found:
        names = records.parted(found, names, value, across)
    shown = records.grouped(found, names, value, across) if names and found else found
    if csv:
        with files.written(csv) as file:
            file.write(records.as_csv(shown).encode())
    if parquet:
        records.write_parquet(shown, parquet)
    if as_json:
        return print_json({"rows": shown, "failures": [f.model_dump(mode="json", exclude_none=True) for f in failures]})
    if csv or parquet:
        return print(f"{plural(len(shown), 'row')} in {' and '.join(str(path) for path in (csv, parquet) if path)}")
    there = records.columns(shown)
    head = there if by else [c for c in _SHOWN if any(r.get(c) not in (None, "") for r in shown)]
    head = head if by else [*head, *(c for c in there if c.startswith("values."))]
    unit = records.column(found, value, where="value") if across and found else ""
    if found:
        plain = {*names, "rows"} if by else set(head)
        told = [[_figure(name if name in plain else unit or name, r.get(name)) for name in head] for r in shown]
        title = f"{plural(len(shown), 'row')} of {', '.join(folders)}"
        lead = len(names) or sum(name in _NAMING for name in head)
        table([name.removeprefix("values.") for name in head], told, title=title, lead=lead)
    elif rows:
        print(f"none of {plural(len(rows), 'row')} meets --where; {records.unmet(every, where or ())}")
    for failure in failures:
        print(f"failed ×{failure.attempts}: {failure.told}")
    return None


def _merge(studies: Sequence[Study], folders: dict[str, list[Results]], into: Path, as_json: bool) -> None:
    """Add rows to those of a folder, whose own studies are kept; nothing is written where any of them contradict one another."""
    from dinku.report import records
    from dinku.study.current import Current
    from dinku.study.definition import Study
    from dinku.study.results import Results

    targets = {name: Results(into / name) for name in folders}
    for name, own in folders.items():
        records.check_alike([targets[name], *own])
    new = {}
    for described in studies:
        name = described.name
        kept = into / name / "study.json"
        if not kept.is_file():
            targets[name].describe(described.document())
        elif Study.read(kept) != described:
            _warn([f"{kept}: is another study of that name, and is kept"])
        new[name], lost = records.merge(folders[name], targets[name])
        together = Current.together([Current.read(each.folder) for each in (targets[name], *folders[name])])
        if together.recipes:
            together.keep(targets[name].folder)
        if lost:
            _warn([f"{plural(lost, 'row')} of {name} left out, as no folder has the counts behind them"])
    return print_json(new) if as_json else print(f"{plural(sum(new.values()), 'row')} added to {into}")


_NAMING = ("study", "arm", "seed", "language", "split", "perturbation")
_SHOWN = (*_NAMING, "f1_default", "bytes_download", "ratio_to_dense", "outdated")


def _figure(name: str, number: Any) -> str:
    """A cell: F1 in points, sizes in MB."""
    from dinku.report.records import plain

    if name.startswith("bytes") and number is not None:
        return f"{number / 1e6:.1f} MB"
    if isinstance(number, float):
        return f"{100 * number:.1f}" if name.startswith("f1") else f"{number:.4g}"
    return plain(number)


def _warn(warnings: Iterable[str]) -> None:
    for line in warnings:
        print(f"dinku: warning: {line}", file=sys.stderr)


def _studies(study: Path | None, *places: Path) -> list[Study]:
    """The study of a file, or one of that name that has rows; without one all that have rows in the folders of results."""
    from dinku.study.definition import BUILT_IN, Study

    if study is None:
        found = [(place, each) for place in places for each in _with_rows(place)]
    elif not study.is_file() and (there := [p for p in places if (p / study / "study.json").is_file()]):
        found = [(place, Study.read(place / study / "study.json")) for place in there]
    elif study.is_file() or study.suffix or ":" in study.name or str(study) in BUILT_IN or len(study.parts) > 1:
        named = Study.read(study)
        if named.section:
            remedy = f"name {named.whole(study)}"
            raise DinkuError("rows are told of a study as a whole", where=str(study), remedy=remedy)
        found = [(study, named)]
    else:
        names = sorted({each.name for place in places for each in _with_rows(place)})
        problem = f"is no study that has rows in {' or '.join(map(str, places))}"
        raise DinkuError(problem, where=str(study), remedy=f"name a YAML file, or one of {', '.join(names)}")
    first: dict[str, Study] = {}
    for place, each in found:
        if first.setdefault(each.name, each) != each:
            _warn([f"{each.name} is described otherwise in {place}; the first folder's description is taken"])
    return [first[name] for name in sorted(first)]


def _with_rows(place: Path) -> list[Study]:
    """The studies that have rows in a folder of results; raises `DinkuError` where there is none."""
    from dinku.files import told
    from dinku.study.definition import Study

    found = []
    with told(place, reading=True):
        for folder in sorted(path for path in place.glob("*") if path.is_dir()):
            described = folder / "study.json"
            if not any((folder / name).exists() for name in ("rows.jsonl", "failures.jsonl")):
                continue
            if not described.exists():
                _warn([f"{folder}: its rows are left out, as there is no study.json beside them; run the study again"])
                continue
            found.append(Study.read(described))
            if found[-1].name != folder.name:
                remedy = f"keep it in a folder named {found[-1].name}"
                raise DinkuError(f"is the study {found[-1].name!r}", where=str(described), remedy=remedy)
    if not found:
        raise DinkuError("holds the rows of no study", where=str(place), remedy="name a study, or another --results")
    return found


def _runner(study: Path, results: Path, store: Path | None, **how: Any) -> Runner:
    from dinku.model.store import Store as Stored
    from dinku.settings import home
    from dinku.study.definition import BUILT_IN, Study
    from dinku.study.run import Runner

    name, colon, section = str(study).partition(":")
    kept = results / name / "study.json"
    if not study.is_file() and name not in BUILT_IN and kept.is_file():  # as `dinku report` takes the name of one
        study = Path(f"{kept}{colon}{section}")
    described = Study.read(study)
    return Runner(described, Stored(store or home() / "store"), _results(described, results), **how)


def _results(study: Any, folder: Path) -> Any:
    from dinku.study.results import Results

    return Results(folder / study.name)


def _device(asked: str) -> str:
    """Where torch shall work, which it is asked for only where that isn't plain."""
    if asked == "cpu":
        return asked
    from dinku.nn.torch_engine import device

    return device(asked)


def _scores(document: dict[str, Any], as_json: bool, *, title: str) -> None:
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


def _tree(steps: list[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Steps with their depth, each under the one before it."""
    made = {step["address"] for step in steps}
    waiting = [(0, step) for step in reversed(steps) if step["before"] not in made]
    while waiting:
        depth, step = waiting.pop()
        yield depth, step
        waiting += [(depth + 1, s) for s in reversed(steps) if s["before"] == step["address"]]


def _range(bounds: list[int]) -> str:
    low, high = (f"{n / 1e6:.1f} M" for n in bounds)
    return low if low == high else f"{low} to {high}"
