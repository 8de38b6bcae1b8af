"""Prepares a corpus for training: if it has no dev split, a part of its train split is set aside as dev."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dinku.data import sources
from dinku.data.convert import divided
from dinku.data.corpus import Corpus
from dinku.data.formats.registry import write
from dinku.data.learned import fingerprint, fingerprints
from dinku.data.task import NER
from dinku.digests import document_digest
from dinku.errors import DinkuError, plural
from dinku.files import written_folder
from dinku.settings import home

FEWEST, MOST = 50, 1000  # the fewest (unless train is small) and the most sentences of a language set aside for dev


@dataclass(frozen=True)
class Ready:
    """A corpus with train and dev. ``name`` is the name under which it can be loaded, ``asked`` the name that the user gave.

    ``scored`` is the split on which results are reported: *test*, or *dev* without one. ``notes`` are remarks on the splits, one
    line each.
    """

    name: str
    asked: str
    scored: Literal["test", "dev"]
    notes: tuple[str, ...]


def ready(name: str | os.PathLike[str], *, part: float = 0.1, seed: int = 0) -> Ready:
    """Find a corpus and, for each language without dev, set ``part`` of its train split aside as dev.

    The choice of sentences only depends on the sentences and ``seed``; sentences with the same words stay on one side. The splits
    are then written to a folder under `home`. Raises `DinkuError` for a corpus without a train split, or if too little would be
    left to learn from.
    """
    asked = os.fspath(name)
    if not 0 < part < 1:
        raise DinkuError(f"is {part:g}", where="dev", remedy="give the part of train to set aside, such as 0.1")
    train = {corpus.languages[0]: corpus for corpus in sources.parts(asked, "train")}
    for corpus in train.values():
        if corpus.split != "train":
            remedy = "name a folder with train.txt, or a file that isn't named for a split"
            raise DinkuError(f"is the {corpus.split} split, and no train split", where=asked, remedy=remedy)
    whole = sources.whole(asked)
    if "train" not in whole:  # a file that isn't named for a split serves as any split, and is the only one
        whole = {}
    dev, test = (whole.get(split, {}) for split in ("dev", "test"))
    scored: Literal["test", "dev"] = "test" if test.keys() >= train.keys() else "dev"
    notes = [note for corpus in train.values() for note in corpus.notes]
    if scored == "dev":
        lacking = ", ".join(sorted(train.keys() - test.keys()))
        notes.append(
            f"{asked} has no test split ({lacking}): F1 is that on dev, by which choices are made, and is too high"
        )
    notes += _shared(asked, train, {"dev": dev, "test": test})
    if dev.keys() >= train.keys():
        return Ready(asked, asked, scored, tuple(notes))
    drawn = dict(dev)
    for language in sorted(train.keys() - dev.keys()):
        train[language], drawn[language] = apart(train[language], part, seed)
    without = sorted(drawn.keys() - dev.keys())
    number = sum(len(drawn[language]) for language in without)
    notes.append(
        f"{asked} has no dev split ({', '.join(without)}): {plural(number, 'train sentence')} (seed {seed}) "
        f"{'is' if number == 1 else 'are'} set aside for it, none of which stays in train"
    )
    splits = {"train": train, "dev": {each: drawn[each] for each in train}}
    splits |= {"test": {each: test[each] for each in train}} if scored == "test" else {}
    task = next(iter(train.values())).task
    name = sources.spelled(str(_written(splits)), task="" if task is NER else task.name)
    return Ready(name, asked, scored, tuple(notes))


def apart(corpus: Corpus, part: float, seed: int) -> tuple[Corpus, Corpus]:
    """Train and dev from one split of a language: ``part`` of the sentences for dev, between 50, if possible, and 1,000.

    >>> from dinku.testing import tiny_corpus
    >>> train, dev = apart(tiny_corpus(300).only("one"), 0.1, seed=0)
    >>> len(train), len(dev)
    (120, 30)
    """
    wanted = min(MOST, max(round(part * len(corpus)), min(FEWEST, len(corpus) // 5), 1))
    try:
        made = divided(corpus, {"dev": wanted}, seed=seed)
    except DinkuError as error:
        problem = f"has too few sentences in {corpus.languages[0]} to set some aside for dev ({error.problem})"
        raise DinkuError(problem, where=corpus.name, remedy="add sentences, or a dev split") from None
    return made["train"], made["dev"]


def _shared(asked: str, train: dict[str, Corpus], others: dict[str, dict[str, Corpus]]) -> list[str]:
    """Notes on sentences of given dev and test splits that are also in train."""
    known = fingerprints(s.words for corpus in train.values() for s in corpus)
    out = []
    for split, by_language in others.items():
        shared = sum(fingerprint(s.words) in known for corpus in by_language.values() for s in corpus)
        if shared:
            out.append(f"{plural(shared, f'{split} sentence')} of {asked} stand{'s' * (shared == 1)} in train, too")
    return out


def _written(splits: dict[str, dict[str, Corpus]]) -> Path:
    """The folder under `home` with these splits, one folder for each language; it is named by a digest of its content."""
    known = {split: [(each, corpus.fingerprint) for each, corpus in own.items()] for split, own in splits.items()}
    folder = home() / "splits" / document_digest(known)[:16]
    if not folder.is_dir():
        with written_folder(folder) as made:
            for split, own in splits.items():
                for language, corpus in own.items():
                    (made / language).mkdir(exist_ok=True)
                    form = "jsonl" if corpus.task.each == "word" else "jsonl-classes"
                    write(corpus, made / language / f"{split}.jsonl", form)
    return folder
