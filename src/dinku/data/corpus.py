"""Corpora: sentences of words and tags.

Readers keep what the authors of a corpus wrote. They drop a byte-order mark, convert tags of other schemes to IOB2, and
count what is odd (``Findings``). What can't be read is an error that names file and line.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import chain
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dinku.data.spans import orphans
from dinku.data.task import NER, Task
from dinku.errors import DinkuError, plural


@dataclass(frozen=True, slots=True)
class Origin:
    """What the record that a sentence was read from says beside words and tags.

    ``where`` is the record's place, as *file:line* · ``keys`` are its other keys, such as an *id* · ``text`` is the text as it
    was typed, ``None`` if the record has words alone · ``offsets`` are the start and end of each word in the text.
    """

    where: str
    keys: Mapping[str, Any] = field(default_factory=dict)
    text: str | None = None
    offsets: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words in order, one tag a word (``None`` if unlabelled), and the code of the language, if it is known.

    ``origin`` is what else its record says, for sentences of formats that say more than CoNLL; equal sentences may differ in it.
    ``each`` is what has a tag: *word*, or *sentence* where the one tag is that of the whole.

    >>> from dinku import Sentence
    >>> Sentence(("Ade", "lives", "in", "Kano"), ("B-PER", "O", "O", "B-LOC")).words[3]
    'Kano'
    """

    words: tuple[str, ...]
    tags: tuple[str, ...] | None = None
    language: str = ""
    origin: Origin | None = field(default=None, compare=False, repr=False)
    each: Literal["word", "sentence"] = field(default="word", repr=False)

    def __post_init__(self) -> None:
        if self.tags is not None and len(self.tags) != (len(self.words) if self.each == "word" else 1):
            raise DinkuError(
                f"a sentence of {plural(len(self.words), 'word')} has {plural(len(self.tags), 'tag')}",
                remedy=f"give one tag a {self.each}",
            )


@dataclass(frozen=True)
class Findings:
    """Counts of what a reader repaired or tolerated; those of several files can be added.

    ``bom``: files that began with a byte-order mark, which was dropped · ``invisible``: words with an invisible format
    character (Unicode category Cf, such as a zero-width space) · ``not_nfc``: words that aren't in NFC · ``orphan_tags``:
    ``I-X`` that follow neither ``B-X`` nor ``I-X`` · ``empty_tokens``: lines with an empty token, each of which ended a
    sentence · ``docstart``: lines that mark the start of a document.
    """

    bom: int = 0
    invisible: int = 0
    not_nfc: int = 0
    orphan_tags: int = 0
    empty_tokens: int = 0
    docstart: int = 0

    def __add__(self, other: Findings) -> Findings:
        return Findings(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    @classmethod
    def within(cls, sentences: Iterable[Sentence], task: Task = NER) -> Findings:
        """The findings that sentences show by themselves, without their file: all but ``bom``, ``empty_tokens`` and
        ``docstart``."""
        sentences = tuple(sentences)
        times = Counter(chain.from_iterable(s.words for s in sentences))
        odd = [word for word in times if not word.isascii()]
        unseen = {c for c in set().union(*odd) if unicodedata.category(c) == "Cf"}
        return cls(
            invisible=sum(times[word] for word in odd if not unseen.isdisjoint(word)) if unseen else 0,
            not_nfc=sum(times[word] for word in odd if not unicodedata.is_normalized("NFC", word)),
            orphan_tags=sum(orphans(s.tags) for s in sentences if s.tags) if task.schemes else 0,
        )


OF_SENTENCES = ("orphan_tags", "invisible", "not_nfc")  # the findings that sentences alone show


@dataclass(frozen=True)
class Corpus:
    """Sentences under the name by which they were requested, and their reader's findings.

    ``notes`` name the scheme of each file whose tags aren't plain IOB2, one line a file. ``part_of`` is the name of the corpus
    from which these sentences were taken, empty for a whole corpus. ``task`` says what its tags are.

    >>> from dinku import Corpus, Sentence
    >>> Corpus("mine", "train", (Sentence(("Kano",), ("B-LOC",), "hau"),))
    Corpus(mine train: 1 sentence, hau)
    """

    name: str
    split: str
    sentences: tuple[Sentence, ...]
    findings: Findings = field(default=Findings())
    notes: tuple[str, ...] = field(default=(), compare=False)
    part_of: str = field(default="", compare=False)
    task: Task = NER

    def __repr__(self) -> str:
        languages = ", ".join(filter(None, self.languages)) or "language unknown"
        return f"Corpus({self.name} {self.split}: {plural(len(self), 'sentence')}, {languages})"

    def __len__(self) -> int:
        return len(self.sentences)

    def __iter__(self) -> Iterator[Sentence]:
        return iter(self.sentences)

    @property
    def source(self) -> str:
        """The name of the whole corpus."""
        return self.part_of or self.name

    @cached_property
    def words(self) -> int:
        """The number of words."""
        return sum(len(s.words) for s in self.sentences)

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """The languages, in the order of their first sentences."""
        return tuple(dict.fromkeys(s.language for s in self.sentences))

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The labels that occur, sorted."""
        return tuple(sorted({self.task.label_of(tag) for s in self.sentences for tag in s.tags or ()} - {""}))

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of a head for these labels; for entities ``O``, then ``B`` and ``I`` of each."""
        return self.task.tags_of(self.labels)

    def check_tags(self, tags: Sequence[str], *, where: str = "") -> None:
        """Raise `DinkuError` if a word has a tag that isn't among a head's ``tags``."""
        if unknown := sorted({t for s in self.sentences for t in s.tags or ()} - set(tags)):
            problem = f"has the tag {unknown[0]}, which isn't among the head's"
            place = ": ".join(filter(None, [where, self.name]))
            raise DinkuError(problem, where=place, remedy="name all tags")

    def numbered(self, tags: Sequence[str]) -> list[NDArray[np.int64]]:
        """The index of each word's tag in ``tags``, by sentence."""
        self.check_tags(tags)
        number = {tag: i for i, tag in enumerate(tags)}
        return [np.array([number[t] for t in s.tags or ()], np.int64) for s in self.sentences]

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of words, tags and languages in order, as hex; the name and the files' format don't enter it."""
        digest = hashlib.sha256()
        if self.task is not NER:
            digest.update(f"{self.task.name}\n".encode())
        for s in self.sentences:
            digest.update(json.dumps((s.language, s.words, s.tags), separators=(",", ":")).encode("ascii") + b"\n")
        return digest.hexdigest()

    def without_tags(self) -> Corpus:
        """The same sentences, unlabelled, whatever their task."""
        bare = tuple(Sentence(s.words, None, s.language) for s in self.sentences)
        return replace(self, sentences=bare, findings=replace(self.findings, orphan_tags=0), notes=(), task=NER)

    def only(self, languages: str | Iterable[str]) -> Corpus:
        """The sentences in these languages, in their order here. Raises ``DinkuError`` for a language without sentences."""
        wanted = (languages,) if isinstance(languages, str) else tuple(dict.fromkeys(languages))
        for language in wanted:
            if language not in self.languages:
                there = ", ".join(sorted(filter(None, self.languages))) or "no language that is known"
                raise DinkuError(f"has nothing in {language!r}", where=self.name, remedy=f"it holds {there}")
        if set(wanted) == set(self.languages):
            return self
        return self._part([s for s in self.sentences if s.language in wanted], ", ".join(wanted))

    @classmethod
    def joined(cls, corpora: Sequence[Corpus], name: str) -> Corpus:
        """Several corpora one after another; if their splits differ, the split is named as in ``train+dev``."""
        if not corpora:
            raise DinkuError("there is nothing to join", where=name, remedy="give at least one corpus")
        if len({c.task for c in corpora}) > 1:
            several = " and ".join(f"{task.title} ({task.name})" for task in dict.fromkeys(c.task for c in corpora))
            raise DinkuError(f"joins corpora of {several}", where=name, remedy="name corpora of one task")
        split = "+".join(dict.fromkeys(c.split for c in corpora if c.split))
        together = tuple(chain.from_iterable(c.sentences for c in corpora))
        notes = tuple(dict.fromkeys(chain.from_iterable(c.notes for c in corpora)))
        findings = sum((c.findings for c in corpora), Findings())
        return cls(name, split, together, findings, notes, task=corpora[0].task)

    def sample(self, n: int, seed: int) -> Corpus:
        """A sample of ``n`` sentences in their order here; the corpus itself if it has no more.

        The choice depends only on ``n``, ``seed`` and the number of sentences, not on the version of any library, and a
        smaller sample with the same seed lies within a larger one. The sample's name says ``n of N``, so that results on it can't
        be mistaken for results on the whole.
        """
        if n < 1:
            raise DinkuError(f"can't sample {plural(n, 'sentence')}", where=self.name, remedy="ask for at least one")
        if n >= len(self):
            return self
        ranks = sorted(range(len(self)), key=lambda i: hashlib.sha256(f"{seed} {i}".encode()).digest())
        return self._part([self.sentences[i] for i in sorted(ranks[:n])], f"{n} of {len(self)}")

    def _part(self, sentences: Sequence[Sentence], note: str) -> Corpus:
        found = Findings.within(sentences, self.task)
        return Corpus(f"{self.name} ({note})", self.split, tuple(sentences), found, self.notes, self.source, self.task)
