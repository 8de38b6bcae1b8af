"""CoNLL text read and written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from dinku.data.corpus import Corpus, Findings, Sentence
from dinku.data.spans import as_iob2, is_iob2_tag, is_tag, orphans, scheme_of, spans
from dinku.data.task import NER, Task
from dinku.errors import DinkuError
from dinku.files import written

_DOCSTART = "-DOCSTART-"


_UNWRITABLE = re.compile(r"[ \t\n\r\0\ud800-\udfff]")


# Files that are often saved as data by mistake. A sentence may begin with the word "<html>", so a file is taken for a web
# page only if its first line doesn't end in a tag.
_FOREIGN = (
    (
        re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype|html)\b(?![^\n]*[ \t](?:O|[BIESLU]-\S+)\r?(?:\n|\Z))", re.I),
        "is a web page",
        "download the raw file instead of the page that shows it",
    ),
    (re.compile(rb"version https://git-lfs"), "is a Git LFS pointer", "fetch the file itself with `git lfs pull`"),
    (re.compile(rb"\x1f\x8b|\xfd7zXZ\0|\x28\xb5\x2f\xfd|PK\x03\x04"), "is a compressed file", "unpack it first"),
    (re.compile(rb"PAR1.*PAR1\Z", re.S), "is a Parquet file", "convert it to lines of a word, a blank and its tag"),
)


def read(
    path: str | os.PathLike[str],
    *,
    language: str = "",
    split: str = "",
    iob2: bool = False,
    bare: bool = False,
    task: Task = NER,
) -> Corpus:
    """The corpus in a CoNLL file, named by its path; see ``parse`` for the format and the options.

    A file that is missing, a folder, or malformed raises ``DinkuError``.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise DinkuError("isn't there", where=str(path), remedy="check the path") from None
    except IsADirectoryError:
        raise DinkuError("is a folder", where=str(path), remedy="name one of the files in it") from None
    except OSError as error:
        raise DinkuError(f"can't be read ({error.strerror})", where=str(path), remedy="check its permissions") from None
    return parse(data, str(path), language=language, split=split, iob2=iob2, bare=bare, task=task)


def parse(
    data: bytes,
    name: str,
    *,
    language: str = "",
    split: str = "",
    labelled: bool = True,
    iob2: bool = False,
    bare: bool = False,
    task: Task = NER,
) -> Corpus:
    """The corpus in CoNLL text in UTF-8: one word a line, in columns between blanks or tabs, its tag in the last.

    A line with a tab is split at tabs only, so its token may hold blanks. No other character separates columns, and only
    LF, CRLF and CR separate lines, so tokens may hold U+00A0, U+2028 and the like. A blank line ends a sentence; so does
    ``-DOCSTART-`` and, as in the reader of MasakhaNER's authors, a line with an empty token (``" O"``), with white space as
    its token, or of one character. With ``labelled=False`` the first column is read and the others are ignored; a line of
    one character is then a word.

    The scheme is determined from all tags, by `dinku.data.spans.scheme_of`: IO, IOB1, BIOES (also called IOBES) and BILOU
    are converted to IOB2 with the same spans, and ``notes`` say so. A file with a ``B-X`` that doesn't follow an ``X`` is
    IOB2; its orphan ``I-X`` stay unchanged and are counted, and if more than a tenth of its spans begin with one, ``notes``
    say that, too. With ``iob2``, the tags ``B-`` and ``I-`` are read as IOB2 in any case. With ``bare``, tags are labels
    without a prefix, ``PER`` for ``I-PER``.

    ``name`` is the name of the corpus; errors give it with the line. Malformed text raises ``DinkuError``.
    """
    text, bom = _decoded(data, name)
    reader = _Reader(language, labelled, bare, task)
    words, tags, known_words, known_tags = reader.words, reader.tags, reader.known_words, reader.known_tags
    for number, line in enumerate(text.split("\n"), 1):
        columns = line.split("\t" if "\t" in line else " ")
        if (
            len(columns) == reader.width
            and columns[0] in known_words
            and columns[-1] in known_tags
            and "" not in columns
        ):
            words.append(known_words[columns[0]])
            tags.append(known_tags[columns[-1]])
        else:
            reader.take(line, name, number)
    reader.close()
    sentences = reader.sentences
    if not sentences:
        raise DinkuError("has no sentence", where=name, remedy="give it at least one word" + " with a tag" * labelled)
    findings = Findings.within(sentences, task)
    notes: tuple[str, ...] = ()
    if labelled and task.schemes and (findings.orphan_tags or not all(map(is_iob2_tag, known_tags.values()))):
        sentences, notes = in_iob2(sentences, known_tags.values(), name, iob2)
        findings = replace(findings, orphan_tags=sum(orphans(s.tags or ()) for s in sentences))
    findings += Findings(bom=bom, empty_tokens=reader.empty_tokens, docstart=reader.docstart)
    return Corpus(name, split, tuple(sentences), findings, notes, task=task)


@dataclass
class _Reader:
    """The sentences read so far, and the words and tags of the unfinished one.

    Equal words share one object, and so do equal tags, which saves memory. Known words and tags have been checked, so `parse`
    appends them without calling `take`, which saves time.
    """

    language: str
    labelled: bool
    bare: bool = False
    task: Task = NER
    sentences: list[Sentence] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    known_words: dict[str, str] = field(default_factory=dict)
    known_tags: dict[str, str] = field(default_factory=dict)
    width: int = 0  # the number of columns, once a line has been read
    first: int = 0  # that line's number
    empty_tokens: int = 0
    docstart: int = 0

    def take(self, line: str, name: str, number: int) -> None:
        """Read a line: the end of a sentence, or a word and its tag. Raises `DinkuError` for a malformed one."""
        if not line.strip():
            self.close()
            return
        columns = _columns(line, self.width or 1 + self.labelled)
        word, tag = columns[0], columns[-1]
        if word == _DOCSTART:
            self.docstart += 1
            self.close()
        elif not word.strip() or (self.labelled and len(line.strip()) == 1):
            self.empty_tokens += 1
            self.close()
        else:
            if not self.width:
                self.width, self.first = len(columns), number
            if self.bare:
                columns[-1] = from_bare(tag)
            _check(columns, self.width, self.first, self.labelled, f"{name}:{number}", self.task)
            self.words.append(self.known_words.setdefault(word, word))
            self.tags.append(self.known_tags.setdefault(tag, columns[-1]))

    def close(self) -> None:
        """End the sentence, if it has a word."""
        if self.words:
            tags = tuple(self.tags) if self.labelled else None
            self.sentences.append(Sentence(tuple(self.words), tags, self.language))
            self.words.clear()
            self.tags.clear()


def no_tag(tag: str, named: str, where: str) -> DinkuError:
    """What is said of a tag that belongs to no scheme, and what else it may be."""
    bare = ", or read bare labels with tags=bare, or labels of each word with task=tags"
    remedy = f"write tags as O, B-X or I-X{bare * (tag.isalpha() and tag.isupper())}"
    return DinkuError(f"{named} isn't an IOB2 tag", where=where, remedy=remedy)


def from_bare(label: str) -> str:
    """The tag of IO that a label without a prefix means; ``O`` stays."""
    return label if label == "O" else f"I-{label}"


_FEW = 0.1  # the share of spans that may begin with I-X without a note


def in_iob2(
    sentences: list[Sentence], known: Iterable[str], name: str, iob2: bool
) -> tuple[list[Sentence], tuple[str, ...]]:
    """A file's sentences tagged in IOB2, and notes on how they were tagged; ``known`` are the tags that occur."""
    tagged = [s.tags or () for s in sentences]
    try:
        scheme = scheme_of(tagged, known)
    except DinkuError as error:
        raise DinkuError(error.problem, where=name, remedy=error.remedy) from None
    if scheme in ("IO", "IOB1") and iob2:
        return sentences, (
            f"{name}: every entity begins with I-, as in {scheme}; read as IOB2, so strict F1 counts none",
        )
    if scheme == "IOB2":
        lost, whole = sum(map(orphans, tagged)), sum(len(spans(tags)) for tags in tagged)
        note = f"{name}: {lost:,} of {whole:,} entities begin with I-, the others with B-; read as IOB2"
        return sentences, (note,) if lost > _FEW * whole and not iob2 else ()
    converted = [replace(s, tags=as_iob2(s.tags or ())) for s in sentences]
    return converted, (f"{name}: its tags are in {scheme}; read as IOB2, with the same entities",)


def stream(lines: Iterable[tuple[str, str]], name: str) -> Iterator[Sentence]:
    """The sentences that ``parse`` finds with ``labelled=False``, each as soon as its lines, as (place, text), are read."""
    words: list[str] = []
    width, first, empty = 0, "", True
    for where, line in chain(lines, [("", "")]):
        columns = _columns(line, width or 1) if line.strip() else [""]
        if not columns[0].strip() or columns[0] == _DOCSTART:
            if words:
                yield Sentence(tuple(words))
                words, empty = [], False
            continue
        if not width:
            width, first = len(columns), where.rpartition(":")[2]
        _check(columns, width, first, False, where)
        words.append(columns[0])
    if empty:
        raise DinkuError("has no sentence", where=name, remedy="give it at least one word")


def text(sentences: Iterable[Sentence], task: Task = NER) -> str:
    """Canonical CoNLL text: on each line a word, one blank and its tag, and a blank line after each sentence.

    Unlabelled sentences are written as words alone. Whatever ``parse`` would read back differently raises ``DinkuError``: a
    sentence without words, labelled sentences among unlabelled ones, tags that aren't the ``task``'s, and words that are empty or
    white space, that hold a blank, tab, line break or NUL, or that have a meaning in CoNLL.
    """
    sentences = tuple(sentences)
    labelled = {s.tags is not None for s in sentences}
    if len(labelled) > 1:
        raise DinkuError("labelled and unlabelled sentences can't share a file", remedy="write them apart")
    for word in sorted({word for s in sentences for word in s.words}):
        if not word.strip() or _UNWRITABLE.search(word) or word == _DOCSTART:
            raise DinkuError(f"the word {word[:40]!r} can't be written as CoNLL", remedy="replace or split it")
    for tag in sorted({tag for s in sentences for tag in s.tags or ()}):
        if not task.is_legal(tag):
            raise DinkuError(f"the tag {tag[:40]!r} can't be written as CoNLL", remedy=f"use {task.legal}")
    if any(s.each != "word" for s in sentences):
        remedy = "write them as jsonl-classes or csv-classes"
        raise DinkuError("labels of whole sentences can't be written as CoNLL", remedy=remedy)
    if not all(s.words for s in sentences):
        raise DinkuError("a sentence without words can't be written as CoNLL", remedy="leave it out")
    if sentences and sentences[0].words[0].startswith("\ufeff"):
        raise DinkuError("the first word begins with U+FEFF, which reads as a byte-order mark", remedy="remove it")
    lines = (s.words if s.tags is None else map(" ".join, zip(s.words, s.tags, strict=True)) for s in sentences)
    return "".join("\n".join(sentence) + "\n\n" for sentence in lines)


def write(sentences: Corpus | Iterable[Sentence], path: str | os.PathLike[str], task: Task | None = None) -> None:
    """Write canonical text (see ``text``) as UTF-8. The file appears whole, or not at all.

    ``task`` is that of the tags, by default the corpus's, or named entities. Raises ``DinkuError``, of status 1 if the system
    refuses to write.
    """
    own = sentences.task if isinstance(sentences, Corpus) else NER
    data = text(sentences, task or own).encode()
    with written(path) as file:
        file.write(data)


def foreign(data: bytes, name: str) -> None:
    """Raise `DinkuError` if the first bytes of a file show that it isn't text."""
    for pattern, problem, remedy in _FOREIGN:
        if pattern.match(data):
            raise DinkuError(problem, where=name, remedy=remedy)


def _decoded(data: bytes, name: str) -> tuple[str, bool]:
    """The text with LF as its only line break, and whether it began with a byte-order mark, which is dropped."""
    foreign(data, name)
    data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise DinkuError("holds a NUL byte", where=f"{name}:{line}", remedy="save the file as UTF-8 text")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DinkuError("isn't UTF-8", where=f"{name}:{line}", remedy="save the file as UTF-8 text") from None
    bare = text.lstrip("\ufeff")
    return bare, bare != text


def _columns(line: str, width: int) -> list[str]:
    """A line's columns without the blanks around them; the first is empty if the line lacks a token."""
    if "\t" in line:
        return [column.strip(" ") for column in line.rstrip(" \t").split("\t")]
    columns = [column for column in line.split(" ") if column]
    return ["", *columns] if line[0] == " " and len(columns) == width - 1 else columns


def _check(columns: list[str], width: int, first: int | str, labelled: bool, where: str, task: Task = NER) -> None:
    count = len(columns)
    if labelled and width == 1:
        raise DinkuError("has a word but no tag", where=where, remedy="give each line a word, a blank and its tag")
    if count != width:
        problem = f"has {count} column{'s' * (count > 1)} where line {first} has {width}"
        raise DinkuError(problem, where=where, remedy="give every line the same columns, the word first, its tag last")
    if labelled and not task.schemes and not task.is_legal(columns[-1]):
        problem = f"the last column, {columns[-1][:40]!r}, isn't a label"
        raise DinkuError(problem, where=where, remedy=f"write {task.legal}")
    if labelled and task.schemes and not is_tag(columns[-1]):
        raise no_tag(columns[-1], f"the last column, {columns[-1][:40]!r},", where)
