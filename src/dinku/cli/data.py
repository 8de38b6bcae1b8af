"""Corpora: listed, downloaded and checked."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dinku.cli.options import AsJson, print_help, reads_corpus, warn
from dinku.cli.terminal import print, print_json, table, watching
from dinku.errors import DinkuError, plural

if TYPE_CHECKING:
    from dinku.model.encode import SubwordEncoder


Named = Annotated[
    str, typer.Argument(metavar="CORPUS", help="A known corpus, hf:owner/name, a file, or a folder of splits.")
]


def data_alone(context: typer.Context) -> None:
    """List, fetch, check, convert and split corpora."""
    print_help(context)


def data_list(as_json: AsJson = False) -> None:
    """List the corpora known by name, with their licences.

    Also says how many of their files are in the cache.
    """
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
        title="One language: masakhaner:hau · all: masakhaner:all",
    )
    for c in known:
        print(f"{c['name']}: {c['citation']}" + f"; {c['repository']} at {c['commit'][:7]}" * bool(c["repository"]))
    return None


def data_fetch(
    corpus: Annotated[
        str,
        typer.Argument(
            metavar="CORPUS", help="A corpus such as masakhaner:hau, masakhaner:all or hf:owner/name/config."
        ),
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace files that differ from the published ones.")] = False,
    as_json: AsJson = False,
) -> None:
    """Download a known corpus, or a data set of the Hub.

    After an interruption, the same command continues where it stopped.
    """
    from dinku.data import catalogue, sources

    with watching() as report:
        fetched = sources.fetch(corpus, force=force, progress=report)
    if source := catalogue.SOURCES.get(corpus.partition(":")[0]):
        print(f"{source.title}: {source.licence}; cite {source.citation}", file=sys.stderr)
    if as_json:
        return print_json([{"path": str(f.path), "bytes": f.bytes, "state": f.state} for f in fetched])
    new = sum(f.state == "fetched" for f in fetched)
    there = plural(len(fetched) - new, "was there", "were there")
    print(f"{plural(new, 'file')} fetched, {there}; {sum(f.bytes for f in fetched) / 1e6:.1f} MB in all")
    return None


@reads_corpus()
def data_check(
    corpus: Named,
    model: Annotated[str | None, typer.Option(help="Also count subwords, with this model's tokenizer.")] = None,
    before: Annotated[
        str | None,
        typer.Option(help="Also compare with this model, whose vocabulary was trimmed to make --model's."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Count what a corpus holds, and what is odd in it."""
    from dinku.data import sources
    from dinku.data.audit import labels_alone, merged

    if before and not model:
        raise DinkuError("needs --model", where="--before", remedy="name the trimmed model")
    if model:
        from dinku.model.encode import segmentation, subwords_of

        encoder = encoder_of(model)
        whole_encoder = encoder_of(before) if before else None
    loaded = sources.whole(corpus)
    warn(note for parts in loaded.values() for part in parts.values() for note in part.notes)
    audits, absent = sources.audited(loaded), sources.absent(corpus)
    if model:
        for split, parts in loaded.items():
            for language, part in parts.items():
                audits[split][language] |= subwords_of(encoder, part)
                if whole_encoder:
                    changed = segmentation(whole_encoder, encoder, part)[language]
                    audits[split][language]["segmentation"] = changed._asdict()
    if as_json:
        whole = {split: merged(parts) for split, parts in audits.items()}
        alone = labels_alone(whole)
        splits = {s: whole[s] | {"labels_alone": alone[s], "by_language": parts} for s, parts in audits.items()}
        return print_json({"corpus": corpus, "splits": splits, "absent": absent})
    kinds = sorted({label for parts in audits.values() for part in parts.values() for label in part["spans"]})
    names = {"orphan_tags": "orphan I-", "invisible": "invisible", "not_nfc": "not NFC", "duplicates": "twice"}
    names |= {"also_in_train": "in train", "longest": "longest"}
    names |= {"longest_subwords": "in subwords", "over_window": "over window", "unknown": "unknown"} if model else {}
    head = ["", "split", "sentences", "words", *kinds, *names.values(), *(["subwords a word"] if model else [])]
    rows = [
        [language, split, *(f"{part[k]:,}" for k in ("sentences", "words"))]
        + [f"{part['spans'].get(label, 0):,}" for label in kinds]
        + [f"{part[name]:,}" if part[name] else "" for name in names]
        + ([f"{part['subwords'] / max(1, part['words']):.2f}"] if model else [])
        for language in dict.fromkeys(language for parts in audits.values() for language in parts)
        for split, part in ((s, p[language]) for s, p in audits.items() if language in p)
    ]
    table(head, rows, title=corpus)
    if before:
        table(*_trimmed(audits), title=f"{corpus} as tokenized by {model}, and before by {before}")
    for language, gone in absent.items():
        compared = "; whether its other splits repeat it is unknown" if "train" in gone else ""
        print(f"{language} has no {' and no '.join(gone)} here{compared}")
    for line in _oddities(audits):
        print(line)
    return None


@reads_corpus()
def data_convert(
    corpus: Named,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="A new file, or a new folder if there are several splits.")
    ],
    to: Annotated[
        str, typer.Option(help="conll, jsonl, parquet, csv, conllu, spacy, prodigy, doccano, label-studio, brat.")
    ],
    split: Annotated[str, typer.Option(help="Only train, dev or test.")] = "",
    as_json: AsJson = False,
) -> None:
    """Write a corpus in another format."""
    from dinku.data import convert, sources

    done = convert.convert(corpus, out, to, split=split)
    warn(note for parts in sources.whole(corpus).values() for part in parts.values() for note in part.notes)
    _say_written(done, as_json)


def _say_written(done: list[Any], as_json: bool) -> None:
    if as_json:
        return print_json([{"path": str(w.path), "sentences": w.sentences, "words_moved": w.moved} for w in done])
    for w in done:
        print(f"{w.path}: {plural(w.sentences, 'sentence')}")
    if moved := sum(w.moved for w in done):
        has = plural(moved, "sentence has words", "sentences have words")
        print(
            f"{has} that dinku's rule would split differently, and this format doesn't keep words: read it with words=blanks"
        )
    return None


@reads_corpus()
def data_split(
    corpus: Named,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder, for train, dev and test.")],
    dev: Annotated[str, typer.Option(help="The share of dev, as in 10%, or its number of sentences.")] = "10%",
    test: Annotated[str, typer.Option(help="The share of test, or its number of sentences; 0 for none.")] = "10%",
    seed: Annotated[int, typer.Option(help="The seed of the random division.")] = 0,
    split: Annotated[str, typer.Option(help="The split of CORPUS to divide: train, dev or test.")] = "",
    to: Annotated[str, typer.Option(help="The format to write; by default that of CORPUS.")] = "",
    as_json: AsJson = False,
) -> None:
    """Divide a corpus into train, dev and test.

    Equal sentences are never on both sides; nor are sentences of one document, if there are many documents.
    """
    from dinku.data import convert, sources
    from dinku.data.corpus import Corpus
    from dinku.data.formats.registry import CONLL, FORMATS

    there = sources.splits(corpus)
    if not split and len(there) > 1:
        remedy = f"say which to divide, as in --split {there[0]}"
        raise DinkuError(f"is divided already, into {', '.join(there)}", where=corpus, remedy=remedy)
    shares = {name: _share(value, f"--{name}") for name, value in (("test", test), ("dev", dev))}
    parts = sources.parts(corpus, split or there[0])
    warn(note for part in parts for note in part.notes)
    own = sources.format_of(corpus)
    divided = convert.divided(Corpus.joined(parts, corpus), shares, seed=seed)
    whole = {
        name: {language: part.only(language) for language in part.languages}
        for name, part in sorted(divided.items(), key=lambda item: sources.SPLITS.index(item[0]))
    }
    _say_written(convert.write_splits(whole, out, to or (own if FORMATS[own].write else CONLL)), as_json)


def _share(text: str, where: str) -> float:
    """A share, 0 to 1, or a number of sentences."""
    if found := re.fullmatch(r"(\d+(?:\.\d+)?) ?%", text):
        share = float(found[1]) / 100
        if share < 1:
            return share
    elif text.isdecimal():
        return int(text)
    raise DinkuError(f"is {text!r}", where=where, remedy="give a share below 100%, as in 10%, or a number of sentences")


def _trimmed(audits: dict[str, dict[str, dict[str, Any]]]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of a table of what a smaller vocabulary changed, one row for each language and split."""
    head = ["", "split", "segmented as before", "subwords a word", "before", "words with unknown pieces", "before"]
    head += ["words of entities segmented differently"]
    rows = []
    for split, parts in audits.items():
        for language, part in parts.items():
            changed = part["segmentation"]
            words, (moved, named) = max(1, changed["words"]), changed["entity_words"]
            (few, many), (then, now) = changed["subwords"], changed["unknown"]
            shares = [f"{many / words:.2f}", f"{few / words:.2f}", f"{now / words:.2%}", f"{then / words:.2%}"]
            as_before = f"{changed['as_before'] / max(1, changed['sentences']):.1%}"
            rows.append([language, split, as_before, *shares, f"{moved / max(1, named):.2%}"])
    return head, rows


def encoder_of(model: str) -> SubwordEncoder:
    """A model's encoder of words; torch is imported only if the model's folder needs it."""
    from dinku.model.folder import ModelFolder
    from dinku.model.kinds import subword_encoder

    folder = ModelFolder.of(model)
    if encoder := subword_encoder(folder):
        return encoder
    from dinku.nn.tagger import Tagger

    return Tagger.load(folder).encoder


def _oddities(audits: dict[str, dict[str, dict[str, Any]]]) -> Iterator[str]:
    """The oddities of an audited corpus, one line each."""
    said = {
        "orphan_tags": ("tag I-X continues nothing", "tags I-X continue nothing"),
        "invisible": ("word holds an invisible character", "words hold an invisible character"),
        "not_nfc": ("word isn't in Unicode's NFC", "words aren't in Unicode's NFC"),
        "duplicates": ("sentence repeats an earlier one", "sentences repeat earlier ones"),
        "also_in_train": ("sentence also stands in train", "sentences also stand in train"),
        "bom": ("file begins with a byte-order mark", "files begin with a byte-order mark"),
        "empty_tokens": ("line has no token and ends a sentence", "lines have no token and end a sentence"),
    }
    for split, parts in audits.items():
        for language, part in parts.items():
            place = " ".join(filter(None, (language, split)))
            if part["sentences"] == 1 and part["words"] > 200:
                yield f"{place}: all {part['words']:,} words are one sentence; is the blank line after each missing?"
            if part["words"] and not part["spans"]:  # as only entities may be
                yield f"{place}: there is no entity; every tag is O"
            for name, what in said.items():
                if part[name]:
                    at = f", first in sentence {part['first'][name]}" if name in part["first"] else ""
                    yield f"{place}: {plural(part[name], *what)}{at}"
    everywhere = {label for parts in audits.values() for part in parts.values() for label in part["spans"]}
    for language in sorted({language for parts in audits.values() for language in parts}):
        own = {split: set(parts[language]["spans"]) for split, parts in audits.items() if language in parts}
        for label in sorted(everywhere) if len(own) > 1 else ():
            if 0 < (n := sum(label in labels for labels in own.values())) < len(own):
                lacks = ", ".join(split for split, labels in own.items() if label not in labels)
                yield f"{language}: {label} is in {n} of {plural(len(own), 'split')}; {lacks} lacks it"
