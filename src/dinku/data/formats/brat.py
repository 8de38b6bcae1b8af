"""brat's standoff: ``.txt`` files of text, and beside each an ``.ann`` file of the entities in it, in a folder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from dinku.data.conll import foreign
from dinku.data.corpus import Sentence
from dinku.data.formats.format import Format, Head, all_labelled
from dinku.data.formats.reading import Collected, Mark, marks_of
from dinku.errors import DinkuError, plural
from dinku.files import content, written, written_folder

_ENTITY = re.compile(r"(T\S*)\t(\S+) (\d+ \d+(?:;\d+ \d+)*)(?:\t(.*))?")


def _recognizes(head: Head) -> bool:
    if head.path.is_dir():
        return any(head.path.rglob("*.ann"))
    return head.path.suffix == ".ann" and head.path.with_suffix(".txt").is_file()


def _read(into: Collected) -> None:
    """Each line of a document is a sentence, as brat shows it, unless documents are asked for in another way."""
    folder = into.path
    files = sorted(folder.rglob("*.ann")) if folder.is_dir() else [folder]
    for path in sorted(folder.rglob("*.txt")) if folder.is_dir() else []:
        if not path.with_suffix(".ann").exists():
            into.left_out(str(path), "text without an .ann file", "texts without an .ann file")
    for path in files:
        name = path.relative_to(folder).with_suffix("").as_posix() if folder.is_dir() else path.stem
        text = path.with_suffix(".txt")
        if not text.is_file():
            raise DinkuError("has no text beside it", where=str(path), remedy=f"put {text.name} there, or remove it")
        _document(into, path, _decoded(text), name)


def _document(into: Collected, path: Path, text: str, name: str) -> None:
    marks: list[Mark] = []
    for number, line in enumerate(_decoded(path).split("\n"), 1):
        where = f"{path}:{number}"
        if not line.startswith("T"):  # relations, events, attributes and notes
            continue
        found = _ENTITY.fullmatch(line.rstrip("\r"))
        if not found:
            raise DinkuError(
                "isn't an entity of brat", where=where, remedy="write T1, a tab, PER 0 3, a tab and the text"
            )
        _, label, offsets, said = found.groups()
        parts = [tuple(map(int, part.split(" "))) for part in offsets.split(";")]
        (start, _), (_, end) = parts[0], parts[-1]
        there = " ".join(text[a:b] for a, b in parts)
        if end > len(text) or (said is not None and _flat(there) != _flat(said)):
            problem = f"says {(said or '')[:40]!r}, but at {offsets} the text has {there[:40]!r}"
            raise DinkuError(problem, where=where, remedy="check that the text is the one that was annotated")
        if len(parts) > 1 and into.how.misaligned == "error":
            problem = f"is an entity in {plural(len(parts), 'piece')}, {there[:40]!r}"
            remedy = "join them, or read it with misaligned=widen or misaligned=drop"
            raise DinkuError(problem, where=where, remedy=remedy)
        if len(parts) > 1 and into.how.misaligned == "drop":
            into.left_out(where, "entity in pieces", "entities in pieces")
            continue
        marks.append((start, end, label))
    into.text(text, marks, str(path), {"document": name}, documents="lines")


def _flat(text: str) -> str:
    return re.sub(r"\s", " ", text).strip()


def _decoded(path: Path) -> str:
    """The text of a file as it is: brat counts a CR and a byte-order mark, too."""
    data = content(path)
    foreign(data, str(path))
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DinkuError("isn't UTF-8", where=f"{path}:{line}", remedy="save the file as UTF-8 text") from None


def entities(marks: Sequence[Mark], text: str, *, first: int = 1, shift: int = 0) -> str:
    """The lines of an ``.ann`` file for spans of a text that begins ``shift`` characters into its document."""
    return "".join(
        f"T{number}\t{label} {start + shift} {end + shift}\t{_flat(text[start:end])}\n"
        for number, (start, end, label) in enumerate(marks, first)
    )


def settings(labels: Iterable[str]) -> str:
    """The text of ``annotation.conf``, by which brat knows the labels of a folder."""
    return "\n".join(["[entities]", *sorted(labels), "[relations]", "[events]", "[attributes]", ""])


CONF = "annotation.conf"


def _write(sentences: Iterable[Sentence], path: Path) -> None:
    """A sentence a line, in a document for each ``document`` that the sentences come from, or else in one."""
    all_labelled(sentences, path)
    documents: dict[str, list[Sentence]] = {}
    for sentence in sentences:
        name = sentence.origin.keys.get("document") if sentence.origin else None
        own = isinstance(name, str) and re.fullmatch(r"\w[\w. -]*", name)  # a name that can't leave the folder
        documents.setdefault(str(name) if own else path.name, []).append(sentence)
    labels = {tag[2:] for s in sentences for tag in s.tags or () if tag != "O"}
    with written_folder(path) as folder:
        (folder / CONF).write_text(settings(labels), encoding="utf-8")
        for name, inside in documents.items():
            texts, found, at, number = [], [], 0, 1
            for sentence in inside:
                text, marks = marks_of(sentence)
                if "\n" in text or "\r" in text:
                    problem = f"a text has a line break: {text[:40]!r}"
                    remedy = "split it into lines or sentences, as with documents=lines"
                    raise DinkuError(problem, where=str(path), remedy=remedy)
                found.append(entities(marks, text, first=number, shift=at))
                texts.append(text + "\n")
                at, number = at + len(text) + 1, number + len(marks)
            for suffix, parts in ((".txt", texts), (".ann", found)):
                with written(folder / f"{name}{suffix}") as file:
                    file.write("".join(parts).encode())


FORMAT = Format("brat", "brat standoff", ("", ".ann"), _recognizes, _read, _write, words=False)
