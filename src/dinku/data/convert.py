"""Corpora written in another format, and divided into train, dev and test."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dinku.data import sources
from dinku.data.corpus import Corpus, Sentence
from dinku.data.formats.reading import text_of
from dinku.data.formats.registry import named, write
from dinku.data.learned import fingerprint
from dinku.data.word_boundaries import words
from dinku.errors import DinkuError, plural
from dinku.files import written_folder

_DOCUMENTS = 30  # a division keeps a document's sentences together if there are this many documents


@dataclass(frozen=True)
class Written:
    """A file that a conversion wrote. ``moved`` counts the sentences whose word boundaries neither the format nor the rule
    keeps."""

    path: Path
    sentences: int
    moved: int


def convert(name: str, out: Path, form: str, *, split: str = "") -> list[Written]:
    """Write a corpus in another format: one file for what is a single split, else a folder that `dinku.load` reads.

    The folder holds a file for each split, and if there are several languages, a folder for each of them. Raises `DinkuError`
    if something is at ``out`` already, or the format can't say what the corpus holds; then nothing is written.
    """
    named(form, where="--to", writes=True)
    one = {split: {part.languages[0]: part for part in sources.parts(name, split)}} if split else {}
    whole = one or sources.whole(name)
    if sum(map(len, whole.values())) == 1 and (split or not sources.absent(name)):
        ((part,),) = (by_language.values() for by_language in whole.values())
        return [_write_one(part, out, form)]
    return write_splits(whole, out, form)


def write_splits(whole: Mapping[str, Mapping[str, Corpus]], out: Path, form: str) -> list[Written]:
    """Write split → language → corpus as a folder. Raises `DinkuError` as `convert` does."""
    several = len({language for by_language in whole.values() for language in by_language}) > 1
    suffix = named(form, where="--to", writes=True).suffixes[0]
    done = []
    with written_folder(out) as folder:
        for split, by_language in whole.items():
            for language, part in by_language.items():
                at = Path(language, f"{split}{suffix}") if several else Path(f"{split}{suffix}")
                (folder / at).parent.mkdir(exist_ok=True)
                one = _write_one(part, folder / at, form)
                done.append(Written(out / at, one.sentences, one.moved))
    return done


def _write_one(part: Corpus, path: Path, form: str) -> Written:
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise DinkuError("already exists", where=str(path), remedy="name a new file")
    write(part, path, form)
    moved = 0 if named(form, where="--to").words else sum(map(_moves, part))
    return Written(path, len(part), moved)


def _moves(sentence: Sentence) -> bool:
    """Whether the rule for words would split a sentence's text in another way."""
    text, offsets = text_of(sentence)
    return words(text) != list(offsets)


def divided(corpus: Corpus, shares: Mapping[str, float], *, seed: int) -> dict[str, Corpus]:
    """A corpus divided at random: each split of ``shares`` gets that share of the sentences (or that many, from 1 on), and
    *train* the rest; always the same for a seed.

    Sentences of equal text stay on one side, however they are tagged or split into words, and so do those of one document
    if there are at least 30 documents. Each language is divided by itself. Raises `DinkuError` if a split
    or train would be empty.

    >>> from dinku.data.sample import sample
    >>> {split: len(part) for split, part in divided(sample("hau", "train"), {"test": 50, "dev": 0.1}, seed=0).items()}
    {'train': 310, 'test': 50, 'dev': 40}
    """
    sides: dict[int, str] = {}
    for language in corpus.languages:
        places = [i for i, s in enumerate(corpus) if s.language == language]
        room = {split: round(share * len(places)) if share < 1 else int(share) for split, share in shares.items()}
        for group in _groups(corpus.sentences, places, seed):
            side = next((split for split, left in room.items() if len(group) <= left), "train")
            if side in room:
                room[side] -= len(group)
            sides |= dict.fromkeys(group, side)
        for split in ("train", *(split for split, share in shares.items() if share)):
            if split not in {sides[i] for i in places}:
                problem = f"{plural(len(places), 'sentence')} can't be divided: {split} would be empty"
                raise DinkuError(problem, where=corpus.name, remedy="ask for other shares, or add sentences")
    out = {}
    for split in ("train", *shares):
        if chosen := tuple(s for i, s in enumerate(corpus) if sides[i] == split):
            out[split] = Corpus(corpus.name, split, chosen, notes=corpus.notes, task=corpus.task)
    return out


def _groups(sentences: Sequence[Sentence], places: Iterable[int], seed: int) -> list[list[int]]:
    """The places of sentences that must stay together, in an order that depends on the seed and the texts alone."""
    places = list(places)
    documents = {i: origin.where for i in places if (origin := sentences[i].origin)}
    if len(set(documents.values())) < _DOCUMENTS:
        documents = {}
    leader: dict[int, int] = {}
    first: dict[object, int] = {}

    def lead(i: int) -> int:
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = leader[i]
        return i

    prints = {i: fingerprint(sentences[i].words) for i in places}
    for i in places:
        leader[i] = i
        for key in (prints[i], *([documents[i]] if i in documents else [])):
            leader[lead(i)] = lead(first.setdefault(key, i))
    groups: dict[int, list[int]] = {}
    for i in places:
        groups.setdefault(lead(i), []).append(i)
    return sorted(
        groups.values(), key=lambda g: hashlib.sha256(f"{seed} {min(prints[i] for i in g)}".encode()).digest()
    )
