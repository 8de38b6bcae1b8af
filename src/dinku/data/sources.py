"""Corpora by name or path, and their files in the cache.

The cache has the paths of the source repository, so that a copy of the repository can be put there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from dinku.data import hub
from dinku.data.audit import audit, labels_alone
from dinku.data.catalogue import SOURCES, Fetched, Source
from dinku.data.corpus import Corpus
from dinku.data.formats.reading import AS_USUAL, How
from dinku.data.formats.registry import CONLL, FORMATS, SUFFIXES, named, read, recognized
from dinku.data.sample import LANGUAGES, sample
from dinku.errors import DinkuError, nearest
from dinku.progress import Progress, silent
from dinku.settings import offline

SPLITS = ("train", "dev", "test")
_STEMS = {"train": "train", "dev": "dev", "valid": "dev", "validation": "dev", "test": "test"}
_SHARD = re.compile(r"-\d{5}-of-\d{5}(-[0-9a-f]+)?$")  # of a split in several files, as the library datasets names them


Name = str | os.PathLike[str]


def load(name: Name | Sequence[Name], split: str) -> Corpus:
    """One split of the corpora that ``name`` stands for, joined in their order, as a corpus of that name.

    A name is ``family:language``, with several languages as in ``masakhaner:hau,swa``, all of them as in
    ``masakhaner:all``, or all but one as in ``masakhaner:all,-hau``. The family ``sample`` is the embedded sample. A name
    may also be a path. A folder holds ``train``, ``dev`` (or ``valid``, ``validation``) and ``test`` in any format of
    `dinku.data.formats.registry`, and its name is the language; or it holds one such folder a language. A file, or a folder of
    brat's documents, is a single split: the one in its name (``dev.txt``), or else the requested one. Its language is its
    name without the suffix, or its folder's name if it is named for a split. ``hf:owner/name/config`` is a data set of the Hub
    that was fetched; its configurations are taken for languages, and named as those of a family.

    A path or a Hub name may have a format before it, ``doccano:mine.jsonl``, and after a question mark the options of
    `dinku.data.formats.reading.How`, ``mine.jsonl?misaligned=drop&documents=sentences``.

    Raises ``DinkuError`` for what is unknown, missing or unreadable.

    >>> import dinku
    >>> dinku.load("sample:hau", "dev")
    Corpus(sample:hau dev: 80 sentences, hau)
    """
    return Corpus.joined(parts(name, split), _title(name))


def parts(name: Name | Sequence[Name], split: str) -> list[Corpus]:
    """The same as `load`, but one corpus for each language, with its own findings."""
    if split not in SPLITS:
        raise DinkuError(f"there is no split {split!r}", where=_title(name), remedy=f"ask for {_or(SPLITS)}")
    name = _text(name)
    if not isinstance(name, str):
        return [part for one in name for part in parts(one, split)]
    if languages := _sampled(name):
        return [sample(language, split) for language in languages]
    if named := _source(name):
        source, languages = named
        for language in languages:
            if split not in source.apart.get(language, SPLITS):
                there = _or(source.apart[language])
                raise DinkuError(f"{language} has no {split} split", where=name, remedy=f"ask for {there}")
        return _cached(source, languages, split)
    out = []
    files, how = _found(name)
    for language, has in files.items():
        paths = has.get(_ANY) or has.get(split)
        if not paths:
            where = next(iter(has.values()))[0].parent
            remedy = f"add {split}.txt, or ask for what it has: {', '.join(has)}"
            raise DinkuError(f"has no {split} split", where=str(where), remedy=remedy)
        own = _place(paths[0])[0] if _ANY in has else ""
        read_ = [read(path, how, language=language, split=own or split) for path in paths]
        out.append(read_[0] if len(read_) == 1 else Corpus.joined(read_, str(paths[0].parent)))
    return out


def spelled(name: str, *, form: str = "", **options: str) -> str:
    """A name of a corpus with a format before it and options behind it, as `load` reads them.

    Raises `DinkuError` for a known corpus, whose format is known, and for a format or option that doesn't exist.

    >>> spelled("mine.jsonl", form="doccano", misaligned="drop", words="")
    'doccano:mine.jsonl?misaligned=drop'
    """
    given = {option: value for option, value in options.items() if value}
    if not form and not given:
        return name
    if _sampled(name) or _source(name):
        raise DinkuError("is known, and so is how it is read", where=name, remedy="leave out --from and the like")
    plain, how = _asked(name)
    if form:
        named(form, where="--from")
    how = replace(how.having(where=name, **given), form=form or how.form)
    prefix = f"{how.form}:" if how.form else ""
    return f"{prefix}{plain}" + (f"?{how.query}" if how.query else "")


def format_of(name: str) -> str:
    """The name of the format of a corpus's files. Raises `DinkuError` if there is no such corpus."""
    if _sampled(name):
        return CONLL
    if known := _source(name):
        return known[0].how.form or CONLL
    files, how = _found(name)
    first = next(paths[0] for has in files.values() for paths in has.values())
    return how.form or recognized(first).name


def fetch(name: str, *, force: bool = False, progress: Progress = silent) -> list[Fetched]:
    """Fetch every file of a known corpus into the cache, and verify it; files that are there and correct aren't fetched again.

    Raises `DinkuError` for a path or the sample, for a missing file while `offline`, and as `dinku.data.download.fetch` does.
    """
    if _sampled(name):
        raise DinkuError("comes inside dinku", where=name, remedy="use it as it is: there is nothing to fetch")
    if name.startswith(hub.PREFIX):
        return hub.fetch(_asked(name)[0], force=force, progress=progress)
    named = _source(name)
    if not named:
        known = f"{name}:all" if name in SOURCES else " or ".join(f"{family}:all" for family in SOURCES)
        raise DinkuError("isn't fetched from anywhere", where=name, remedy=f"name a known corpus, such as {known}")
    from dinku.data.download import fetch as one
    from dinku.data.download import there

    source, languages = named
    published, out = source.published, []
    for language in languages:
        for split in source.apart.get(language, SPLITS):
            path = source.file(language, split)
            at = path.relative_to(source.cache).as_posix()
            digest, size = published[at]
            if offline() and not there(path, digest, force=force):
                problem = f"isn't in the cache ({path}), and DINKU_OFFLINE forbids the network"
                raise DinkuError(problem, where=name, remedy="unset it, or put a copy there")
            report = partial(progress, f"fetching {at}")
            new = one(f"{source.mirror}/{at}", path, sha256=digest, size=size, force=force, progress=report)
            out.append(Fetched(path, size, "fetched" if new else "there"))
    return out


def listing() -> list[dict[str, Any]]:
    """The corpora that are known by name, each with the number of its files in the cache."""
    out: list[dict[str, Any]] = []
    for name, source in SOURCES.items():
        every = [*source.languages, *source.apart]
        wanted = [(one, split) for one in every for split in source.apart.get(one, SPLITS)]
        here = {file: source.file(*file).is_file() for file in wanted}
        out.append(
            {
                "name": name,
                "title": source.title,
                "languages": every,
                "licence": source.licence,
                "citation": source.citation,
                "repository": source.repository,
                "commit": source.commit,
                "files": len(wanted),
                "files_here": sum(here.values()),
                "languages_here": [one for one in every if all(here[file] for file in wanted if file[0] == one)],
            }
        )
    made = len(SPLITS) * len(LANGUAGES)
    embedded: dict[str, Any] = {
        "name": "sample",
        "title": "generated sentences, not reviewed by speakers",
        "languages": list(LANGUAGES),
        "licence": "Apache-2.0",
        "citation": "comes with dinku",
        "repository": "",
        "commit": "",
        "files": made,
        "files_here": made,
        "languages_here": list(LANGUAGES),
    }
    return [*out, embedded]


def whole(name: Name | Sequence[Name]) -> dict[str, dict[str, Corpus]]:
    """All splits of a corpus: split → language → corpus. Languages may differ in their splits.

    Raises `DinkuError` for a language without any split, as `load` does.
    """
    by_split: dict[str, dict[str, Corpus]] = {split: {} for split in SPLITS}
    for one in _each(name):
        for split in splits(one) or SPLITS[-1:]:  # `parts` raises the error for a missing split
            (part,) = parts(one, split)
            if part.languages[0] in by_split[part.split]:
                problem = f"has {part.languages[0]} {part.split} twice"
                raise DinkuError(problem, where=_title(name), remedy="name each language once")
            by_split[part.split][part.languages[0]] = part
    return {split: by_language for split, by_language in by_split.items() if by_language}


def audited(loaded: Mapping[str, Mapping[str, Corpus]]) -> dict[str, dict[str, dict[str, Any]]]:
    """`dinku.data.audit.audit` of a `whole` corpus, with ``labels_alone``: split → language → audit."""
    train = loaded.get("train", {})
    audits = {
        split: {
            language: audit(part, train.get(language) if split != "train" else None)
            for language, part in by_language.items()
        }
        for split, by_language in loaded.items()
    }
    for language in dict.fromkeys(language for by_language in audits.values() for language in by_language):
        own = {split: by_language[language] for split, by_language in audits.items() if language in by_language}
        for split, labels in labels_alone(own).items():
            own[split]["labels_alone"] = labels
    return audits


def absent(name: Name | Sequence[Name]) -> dict[str, tuple[str, ...]]:
    """The splits that each language of a corpus should have but lacks here; a file is a single split, and lacks none."""
    missing: dict[str, tuple[str, ...]] = {}
    for one in _each(name):
        if _sampled(one):
            continue
        known = _source(one)
        files = {} if known else _found(one)[0]
        if any(_ANY in has for has in files.values()):
            continue
        language = known[1][0] if known else next(iter(files))
        meant = known[0].apart.get(language, SPLITS) if known else SPLITS
        if gone := tuple(split for split in meant if split not in splits(one)):
            missing[language] = gone
    return missing


def splits(name: Name | Sequence[Name]) -> tuple[str, ...]:
    """The splits of train, dev and test that every language has, and that can be loaded.

    A file has a single split: the one in its name, or else ``test``.
    """
    name = _text(name)
    if not isinstance(name, str):
        return tuple(split for split in SPLITS if all(split in splits(one) for one in name))
    if _sampled(name):
        return SPLITS
    if named := _source(name):
        source, languages = named
        return tuple(
            split
            for split in SPLITS
            if all(split in source.apart.get(one, SPLITS) and source.file(one, split).is_file() for one in languages)
        )
    files = _found(name)[0]
    if single := [has[_ANY][0] for has in files.values() if _ANY in has]:
        return (_place(single[0])[0] or "test",)
    return tuple(split for split in SPLITS if all(split in has for has in files.values()))


def licence(name: str) -> str:
    """The licence of a known corpus, or the one that a data set's card names; empty for a path."""
    if _sampled(name):
        return "Apache-2.0"
    if named := _source(name):
        return named[0].licence
    plain, _ = _asked(name)
    if plain.startswith(hub.PREFIX):
        return hub.licence(plain)
    _path(plain, name)
    return ""


def on_hub(name: str) -> str:
    """The name on the Hub of a known corpus or a data set; empty for the sample and for a path."""
    if name.startswith(hub.PREFIX):
        return hub.repository(name)
    source = SOURCES.get(name.partition(":")[0]) if ":" in name else None
    return source.hub if source else ""


def _each(name: Name | Sequence[Name]) -> list[str]:
    """The names of the corpora in one language that a name stands for."""
    name = _text(name)
    if not isinstance(name, str):
        return [each for one in name for each in _each(one)]
    named = _source(name) if not _sampled(name) else None
    if languages := _sampled(name) or (named[1] if named else ()):
        return [f"{name.partition(':')[0]}:{language}" for language in languages]
    files, _ = _found(name)
    return [name] if len(files) == 1 else _apart(name, files)


def _source(name: str) -> tuple[Source, tuple[str, ...]] | None:
    """The known corpus and the languages that a name stands for; ``None`` for a path."""
    family, colon, wanted = name.partition(":")
    if not colon or family in FORMATS or name.startswith(hub.PREFIX):
        return None
    if family not in SOURCES and (Path(name).exists() or not re.fullmatch(r"[\w.-]{2,}", family)):
        return None
    if family not in SOURCES:
        known = ", ".join(sorted([*SOURCES, "sample"]))
        remedy = f"{nearest(family, [*SOURCES, 'sample', *FORMATS, 'hf'])}the known ones are {known}"
        raise DinkuError(f"there is no corpus family {family!r}", where=name, remedy=remedy)
    source = SOURCES[family]
    return source, _languages(name, source.title, wanted, source.languages, tuple(source.apart))


def _sampled(name: str) -> tuple[str, ...]:
    """The languages of the embedded sample that a name stands for; none for any other name."""
    family, colon, wanted = name.partition(":")
    return _languages(name, "the sample", wanted, LANGUAGES) if colon and family == "sample" else ()


def _languages(name: str, title: str, wanted: str, every: Sequence[str], apart: Sequence[str] = ()) -> tuple[str, ...]:
    languages: dict[str, None] = {}
    left_out: set[str] = set()
    for part in map(str.strip, wanted.split(",")):
        language = part.removeprefix("-")
        if part == "all":
            languages |= dict.fromkeys(every)
        elif language not in (*every, *apart):
            remedy = _known(language, "it has all,", (*every, *apart))
            raise DinkuError(f"{title} has no language {language!r}", where=name, remedy=remedy)
        elif part == language:
            languages[language] = None
        else:
            left_out.add(language)
    if idle := sorted(left_out - languages.keys()):
        raise DinkuError(f"leaves out {idle[0]}, which isn't in it", where=name, remedy="write all,-hau or hau,swa")
    if left_out >= languages.keys():
        raise DinkuError("leaves out all that is in it", where=name, remedy="name a language")
    return tuple(language for language in languages if language not in left_out)


def _cached(source: Source, languages: Sequence[str], split: str) -> list[Corpus]:
    files = {language: source.file(language, split) for language in languages}
    if lacking := [language for language, path in files.items() if not path.is_file()]:
        family = next(name for name, known in SOURCES.items() if known is source)
        remedy = f"run: dinku data fetch {family}:{','.join(lacking)} (or put a copy of {source.repository} at {source.cache})"
        raise DinkuError(f"{source.title} isn't there", where=str(files[lacking[0]]), remedy=remedy)
    how = replace(source.how, form=source.how.form or CONLL)
    return [read(path, how, language=language, split=split) for language, path in files.items()]


_ANY = ""  # the split of a single file whose name doesn't say which split it is
Files = dict[str, dict[str, tuple[Path, ...]]]  # language → split → files


def _asked(name: str) -> tuple[str, How]:
    """A name without the format before it and the options behind it, and what these say."""
    if not name or Path(os.path.expanduser(name)).exists():
        return name, AS_USUAL
    form, colon, rest = name.partition(":")
    plain, form = (rest, form) if colon and form in FORMATS else (name, "")
    if Path(os.path.expanduser(plain)).exists():
        return plain, How(form)
    plain, _, query = plain.partition("?")
    return plain, How.parse(query, where=name, form=form)


def _found(name: str) -> tuple[Files, How]:
    """The files that a path or a Hub name stands for, and how they are read. Raises `DinkuError` if there are none."""
    plain, how = _asked(name)
    if plain.startswith(hub.PREFIX):
        return hub.files(plain), how
    path = _path(plain, name)
    if path.is_file():
        return {_place(path)[1]: {_ANY: (path,)}}, how
    return _files(path, FORMATS[how.form].suffixes if how.form else SUFFIXES), how


def _path(plain: str, name: str) -> Path:
    """The file or folder that a plain name stands for. Raises `DinkuError` if there is none."""
    path = Path(os.path.expanduser(plain))
    if not plain or not path.exists():
        known = f"{name}:all" if name in SOURCES else "a known corpus such as masakhaner:hau"
        raise DinkuError(
            "isn't there", where=name, remedy=f"give a file, a folder with train, dev and test, or {known}"
        )
    if not path.is_file() and not path.is_dir():  # a corpus may be read several times, and a pipe can't
        raise DinkuError("is neither a file nor a folder", where=name, remedy="save what it gives in a file first")
    return path


def _apart(name: str, files: Files) -> list[str]:
    """The names of each language of a folder of folders, or of a data set of the Hub."""
    plain, how = _asked(name)
    within = (
        (lambda each: hub.within(plain, each)) if plain.startswith(hub.PREFIX) else (lambda each: f"{plain}/{each}")
    )
    prefix, query = f"{how.form}:" if how.form else "", f"?{how.query}" if how.query else ""
    return [f"{prefix}{within(language)}{query}" for language in files]


def _files(folder: Path, suffixes: Sequence[str]) -> Files:
    """The files of each split, by language: those in the folder, or else those in the folders within it.

    A folder of brat's documents that are not named for splits is a single split.
    """
    if own := _splits_in(folder, suffixes):
        return {_name(folder): own}
    inner = {f.name: _splits_in(f, suffixes) for f in sorted(folder.iterdir()) if f.is_dir()}
    if not any(inner.values()):
        if _is_brat(folder):
            return {_place(folder)[1]: {_ANY: (folder,)}}
        there = ", ".join(sorted(f.name for f in folder.iterdir())[:6]) or "nothing"
        remedy = f"name the files train.txt, dev.txt and test.txt, in it or in a folder a language; it holds {there}"
        raise DinkuError("has no train, dev or test", where=str(folder), remedy=remedy)
    return {language: there for language, there in inner.items() if there}


def _splits_in(folder: Path, suffixes: Sequence[str]) -> dict[str, tuple[Path, ...]]:
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        stem = _SHARD.sub("", path.stem)
        fits = path.suffix in suffixes and path.is_file() if not path.is_dir() else _is_brat(path)
        if stem in _STEMS and fits and not (path.suffix == ".txt" and path.with_suffix(".ann").exists()):
            there = files.setdefault(_STEMS[stem], [])
            if there and (stem == path.stem or there[0].suffix != path.suffix):
                problem = f"has two files for one split, {there[0].name} and {path.name}"
                raise DinkuError(problem, where=str(folder), remedy="keep one of them there")
            there.append(path)
    return {split: tuple(files[split]) for split in SPLITS if split in files}


def _is_brat(folder: Path) -> bool:
    return any(folder.rglob("*.ann"))


def _place(path: Path) -> tuple[str, str]:
    """The split in a file's name, if there is one, and the language of the file."""
    split = _STEMS.get(path.stem, "")
    return split, _name(path.absolute().parent) if split else path.stem


def _name(folder: Path) -> str:
    return Path(os.path.abspath(folder)).name


def _text(name: Name | Sequence[Name]) -> str | Sequence[Name]:
    """A path as text; names as they are."""
    return os.fspath(name) if isinstance(name, os.PathLike) else name


def _title(name: Name | Sequence[Name]) -> str:
    return str(name) if isinstance(name, str | os.PathLike) else " + ".join(map(str, name))


def _known(word: str, lead: str, known: Sequence[str]) -> str:
    return f"{nearest(word, known)}{lead} {', '.join(known)}"


def _or(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
