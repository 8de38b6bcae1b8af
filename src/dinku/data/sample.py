"""The embedded sample: sentences generated from the patterns and names in ``samples/<language>.toml``.

No speaker has reviewed the patterns or the names. The sentences only serve to demonstrate the toolkit: a figure measured on
them says nothing about a language, or about a tagger of other text.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

from dinku.data.corpus import Corpus, Sentence
from dinku.errors import DinkuError

LABELS = ("PER", "LOC", "ORG", "DATE")
SIZES: Mapping[str, int] = {"train": 400, "dev": 80, "test": 160}
_FOLDER = Path(__file__).parent / "samples"
LANGUAGES: tuple[str, ...] = tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def sample(language: str, split: str) -> Corpus:
    """400 train, 80 dev or 160 test sentences, named ``sample:<language>``, the same with any version of Python or dinku.

    No pattern and no name is in two splits, and no two sentences of a language are equal. Raises ``DinkuError`` for an unknown
    language or split, and for a file that is malformed or too short for a split.
    """
    for kind, asked, known in (("language", language, LANGUAGES), ("split", split, tuple(SIZES))):
        if asked not in known:
            remedy = f"the known ones are {', '.join(known)}"
            raise DinkuError(f"the sample has no {kind} {asked!r}", where=f"sample:{language}", remedy=remedy)
    path = _FOLDER / f"{language}.toml"
    parsed = _parsed(path.read_text(encoding="utf-8"), str(path))
    own = {kind: [line for line in lines if _split(line) == split] for kind, lines in parsed.items()}
    sentences = tuple(islice(_sentences(own, language), SIZES[split])) if all(own.values()) else ()
    if len(sentences) < SIZES[split]:
        problem = f"has too few patterns or names for {SIZES[split]} {split} sentences"
        raise DinkuError(problem, where=str(path), remedy="add lines to it")
    return Corpus(f"sample:{language}", split, sentences)


def typed() -> list[Typed]:
    """A sentence in each of MasakhaNER's ten languages, as one would type it, with its entities.

    They were chosen so that ``dinku:masakhaner`` tags them rightly: they show what it does, and not how well.

    >>> from dinku.data.sample import typed
    >>> typed()[1].entities[0]
    (8, 24, 'PER')
    """
    lines = (_FOLDER / "typed.txt").read_text(encoding="utf-8").splitlines()
    return [_typed(*line.split(": ", 1)) for line in lines]


class Typed(NamedTuple):
    """A text of a language, and its entities: start and end in characters of the text, and label."""

    language: str
    text: str
    entities: tuple[tuple[int, int, str], ...]


def _typed(language: str, marked: str) -> Typed:
    text, entities = "", []
    for plain, entity, label in re.findall(r"([^[]*)(?:\[([^]]+)\]\((\w+)\))?", marked):
        text += plain
        if entity:
            entities.append((len(text), len(text) + len(entity), label))
            text += entity
    return Typed(language, text, tuple(entities))


def _parsed(text: str, where: str) -> dict[str, list[str]]:
    """The lines of ``patterns`` and of each label; raises ``DinkuError`` for any mistake that a contributor may make."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DinkuError(f"isn't TOML ({error})", where=where, remedy="see the other languages' files") from None
    parsed = {}
    for kind in ("patterns", *LABELS):
        if not isinstance(table.get(kind), str):
            raise DinkuError(f"has no text {kind}", where=where, remedy=f"add {kind} = '''…''', a line each")
        parsed[kind] = lines = table[kind].removesuffix("\n").split("\n")
        for number, line in enumerate(lines, 1):
            if line.split() != line.split(" "):
                problem, remedy = f"line {number} of {kind} is empty or has an empty word", "part words by one blank"
                raise DinkuError(problem, where=where, remedy=remedy)
            for word in line.split(" "):
                if re.search("[{}]", word) and (kind != "patterns" or word[1:-1] not in LABELS or len(word) < 5):
                    remedy = f"only patterns have slots, which are {', '.join(f'{{{label}}}' for label in LABELS)}"
                    problem = f"line {number} of {kind} has an unknown slot {word!r}"
                    raise DinkuError(problem, where=where, remedy=remedy)
        if twice := sorted({line for line in lines if lines.count(line) > 1}):
            raise DinkuError(f"{kind} has a line twice: {twice[0]!r}", where=where, remedy="keep one of them")
    return parsed


def _split(line: str) -> str:
    """The split of a pattern or name, which depends on its text alone.

    So a new line moves no other line, and a name with several labels is in the same split under each.
    """
    place = int.from_bytes(_digest(line)[:4], "big") / 2**32
    return "train" if place < 0.6 else "dev" if place < 0.75 else "test"


def _sentences(own: Mapping[str, Sequence[str]], language: str) -> Iterator[Sentence]:
    """Distinct sentences, until the patterns have yielded nothing new for long."""
    names = {label: _rounds(own[label]) for label in LABELS}
    made: set[tuple[str, ...]] = set()
    for pattern in islice(_rounds(own["patterns"]), 100 * len(own["patterns"])):
        words: list[str] = []
        tags: list[str] = []
        used: set[str] = set()
        for word in pattern.split(" "):
            label = word[1:-1] if word.startswith("{") else ""
            if label:
                word = next((name for name in islice(names[label], 9) if name not in used), "")
                used.add(word)
            inside = word.split(" ")
            words += inside
            tags += [f"B-{label}", *[f"I-{label}"] * (len(inside) - 1)] if label else ["O"]
        words[0] = re.sub(r"[^\W\d_]", lambda letter: letter[0].upper(), words[0], count=1)
        if "" not in words and tuple(words) not in made:
            made.add(tuple(words))
            yield Sentence(tuple(words), tuple(tags), language)


def _rounds(lines: Sequence[str]) -> Iterator[str]:
    """All lines repeatedly, each time in another order, so that they are used evenly and in new combinations."""
    for turn in count():
        yield from sorted(lines, key=lambda line: _digest(f"{turn} {line}"))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
