"""CoNLL-U with entities in its last column, MISC, as ``NER=B-PER``; parsed by the library conllu."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dinku.data.corpus import Sentence
from dinku.data.formats.format import Format, Head, all_labelled
from dinku.data.formats.json_records import decoded
from dinku.data.formats.reading import Collected, keys_of, text_of
from dinku.errors import DinkuError, brief, reason
from dinku.files import written

_NAMES = ("NER", "ner", "NE", "Ner", "NamedEntity", "Entity", "entity")  # keys that treebanks use
_TEXT = "text"
_UNWRITABLE = re.compile(r"[\t\n\r\0\v\f\x1c-\x1e\x85\u2028\u2029]")


def _recognizes(head: Head) -> bool:
    rows = [line for line in head.lines if not line.startswith("#")]
    return bool(rows) and all(line.count("\t") == 9 and re.match(r"\d+[-.]?\d*\t", line) for line in rows)


def _read(into: Collected) -> None:
    from conllu import parse
    from conllu.exceptions import ParseException

    tagged = False
    for where, block in _blocks(decoded(into.path), str(into.path)):
        try:
            (tokens,) = parse(block) or [None]
            words, tags, said = _words(tokens or (), where)
        except (ParseException, ValueError, KeyError) as error:  # the last, where a comment names other columns
            remedy = "give each word the ten columns of CoNLL-U"
            raise DinkuError(f"isn't CoNLL-U ({reason(error)})", where=where, remedy=remedy) from None
        if not tokens:
            continue
        tagged |= said
        keys = {name: value for name, value in tokens.metadata.items() if name != _TEXT}
        into.tagged(words, tags, where, keys, *placed(words, tokens.metadata.get(_TEXT)))
    if into.sentences and not tagged:
        problem = f"has no entities: no word has {_NAMES[0]}= in its last column, MISC"
        raise DinkuError(problem, where=str(into.path), remedy="write NER=B-PER, NER=I-PER and NER=O there")


def _blocks(text: str, name: str) -> list[tuple[str, str]]:
    """(place, lines) for each sentence."""
    out: list[tuple[str, str]] = []
    lines: list[str] = []
    first = 1
    for number, line in enumerate([*text.replace("\r\n", "\n").split("\n"), ""], 1):
        if line.strip():
            first = first if lines else number
            lines.append(line)
            if not line.startswith("#") and line.count("\t") != 9:
                problem = f"has {line.count(chr(9)) + 1} columns between tabs, not ten"
                raise DinkuError(problem, where=f"{name}:{number}", remedy="give each word the ten columns of CoNLL-U")
        elif lines:
            out.append((f"{name}:{first}", "\n".join(lines) + "\n\n"))
            lines = []
    return out


def _words(tokens: Any, where: str) -> tuple[list[str], list[str], bool]:
    """The words as they stand in the text, their tags, and whether any tag is given.

    Where several syntactic words are written as one (2-3), that one is the word; its tag is its own, or the first of theirs.
    Words that aren't written (1.1) are left out.
    """
    words: list[str] = []
    tags: list[str] = []
    said, whole = False, 0
    for token in tokens:
        tag = _tag(token, where)
        said |= bool(tag)
        number = token["id"]
        if isinstance(number, tuple):
            if number[1] == ".":
                continue
            whole = number[2]
        elif number <= whole:
            if tags[-1] == "":
                tags[-1] = tag if tag != "O" else ""
            if number == whole:
                tags[-1] = tags[-1] or "O"
            continue
        words.append(token["form"])
        tags.append(tag or ("" if isinstance(number, tuple) else "O"))
    return words, [tag or "O" for tag in tags], said


def _tag(token: Any, where: str) -> str:
    misc = token["misc"] or {}
    for name in _NAMES:
        if name in misc:
            tag = misc[name] or "O"
            if not isinstance(tag, str) or "(" in tag or ")" in tag:
                problem = f"{name}={brief(tag)} of word {token['id']} has brackets, as mentions in coreference do"
                raise DinkuError(problem, where=where, remedy="write entities as tags: NER=B-PER, NER=I-PER, NER=O")
            return "O" if tag == "_" else tag
    return ""


def placed(words: Sequence[str], text: str | None) -> tuple[str | None, tuple[tuple[int, int], ...]]:
    """A text, and where the words stand in it one after another; no text if there is none, or one of them doesn't."""
    out, at = [], 0
    for word in words:
        start = text.find(word, at) if text else -1
        if not text or start < 0 or text[at:start].strip():
            return None, ()
        at = start + len(word)
        out.append((start, at))
    return (text, tuple(out)) if text and not text[at:].strip() else (None, ())


def _write(sentences: Iterable[Sentence], path: Path) -> None:
    all_labelled(sentences, path)
    with written(path) as file:
        for sentence in sentences:
            text, offsets = text_of(sentence)
            keys = keys_of(sentence, _TEXT)
            said = {n: str(v) for n, v in keys.items() if isinstance(v, str | int | float) and not isinstance(v, bool)}
            said |= {_TEXT: text}
            lines = [
                f"# {n} = {v}" for n, v in said.items() if not _UNWRITABLE.search(f"{n}{v}") and v == v.strip() != ""
            ]
            for at, (word, tag) in enumerate(zip(sentence.words, sentence.tags or (), strict=True)):
                if _UNWRITABLE.search(word) or "|" in tag or word != word.strip():
                    problem = f"the word {word[:40]!r} with the tag {tag} can't be written as CoNLL-U"
                    raise DinkuError(problem, where=str(path), remedy="replace it, or choose another format")
                after = offsets[at + 1][0] if at + 1 < len(offsets) else len(text)
                close = "|SpaceAfter=No" * (after == offsets[at][1] and after < len(text))
                lines.append(f"{at + 1}\t{word}" + "\t_" * 7 + f"\tNER={tag}{close}")
            file.write(("\n".join(lines) + "\n\n").encode())


FORMAT = Format("conllu", "CoNLL-U, entities in MISC", (".conllu", ".conll", ".txt"), _recognizes, _read, _write)
