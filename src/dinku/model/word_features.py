"""How a word network reads a word: a few features of it, each hashed to rows of one table of embeddings.

Two words share a row by chance, but hardly ever all of their rows, so that a table of a few thousand rows tells millions of
words apart. Source: Serrà and Karatzoglou 2017 (arXiv 1706.03993) for Bloom embeddings, Miranda et al. 2022 (arXiv 2212.09255)
for several features of a word, as in spaCy.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import Lock

import mmh3
import numpy as np
from numpy.typing import NDArray

from dinku.errors import DinkuError, brief

Rows = NDArray[np.int32]

MOST_HASHES = 4  # a hash of 128 bits gives four numbers of 32
LONGEST_RUN = 4  # the longest run of one letter in a shape
MOST_GRAMS = 16  # runs of one length from one word; of a longer word, the first and last ones are taken
_GRAMS = re.compile(r"grams([1-9])(?:-([1-9]))?")
_AFFIX = re.compile(r"(prefix|suffix)([1-9])")


def shape_of_word(word: str) -> str:
    """The kinds of a word's characters: ``X`` upper case, ``x`` any other letter, ``d`` digit, all else as it is.

    A run of one kind is cut after four.

    >>> shape_of_word("Ouagadougou-2024")
    'Xxxxx-dddd'
    """
    out: list[str] = []
    run = 0
    for character in word:
        kind = "X" if character.isupper() else "x" if character.isalpha() else "d" if character.isdigit() else character
        run = run + 1 if out and out[-1] == kind else 1
        if run <= LONGEST_RUN:
            out.append(kind)
    return "".join(out)


def grams_of_word(word: str, length: int) -> list[str]:
    """The runs of ``length`` characters of a word between ``<`` and ``>``; of more than `MOST_GRAMS` the first and last ones.

    >>> grams_of_word("Bade", 3)
    ['<Ba', 'Bad', 'ade', 'de>']
    """
    marked = f"<{word}>"
    grams = [marked[i : i + length] for i in range(len(marked) - length + 1)]
    half = MOST_GRAMS // 2
    return grams if len(grams) <= MOST_GRAMS else [*grams[:half], *grams[-half:]]


@dataclass(frozen=True)
class WordFeatures:
    """Words → rows of a table of embeddings.

    ``names`` are *word* (in lower case), *shape*, *prefixN*, *suffixN* and *gramsN* or *gramsN-M* (all runs of N to M
    characters). Each feature is hashed by ``hashes`` functions (1 to 4) to rows from 1 to ``rows``; row 0 stands for no feature.
    The hash is MurmurHash3 with 128 bits of the feature's UTF-8, so that the rows are the same on every platform. Raises
    `DinkuError` for an unknown feature.

    >>> features = WordFeatures(("word", "shape"), rows=1000, hashes=2)
    >>> features.slots
    4
    >>> features.rows_of(["Kano", "kano"]).shape
    (2, 4)
    """

    names: tuple[str, ...]
    rows: int
    hashes: int = MOST_HASHES

    def __post_init__(self) -> None:
        known = "word, shape, prefix1 … prefix9, suffix1 … suffix9, grams1 … grams9, or a range such as grams2-4"
        for name in self.names:
            grams = _GRAMS.fullmatch(name)
            if not (name in ("word", "shape") or _AFFIX.fullmatch(name) or grams):
                raise DinkuError(f"there is no feature {brief(name)}", where="features", remedy=f"use {known}")
            if grams and grams[2] and int(grams[2]) < int(grams[1]):
                raise DinkuError(
                    f"{name} begins after its end", where="features", remedy=f"write grams{grams[2]}-{grams[1]}"
                )
        if not self.names or len(set(self.names)) < len(self.names):
            raise DinkuError(f"features is {self.names}", where="features", remedy="name one or more, each once")
        if not 1 <= self.hashes <= MOST_HASHES:
            raise DinkuError(
                f"hashes is {self.hashes}", where="features", remedy=f"give a number from 1 to {MOST_HASHES}"
            )
        if self.rows < 1:
            raise DinkuError(f"rows is {self.rows}", where="features", remedy="give 1 or more")

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """The number of slots of each feature: the most rows that it can be hashed to."""
        return tuple(self._most(name) * self.hashes for name in self.names)

    @property
    def slots(self) -> int:
        return sum(self.widths)

    @staticmethod
    def _most(name: str) -> int:
        grams = _GRAMS.fullmatch(name)
        return MOST_GRAMS * (int(grams[2] or grams[1]) - int(grams[1]) + 1) if grams else 1

    def _values(self, name: str, word: str, lower: str) -> list[str]:
        if name == "word":
            return [lower]
        if name == "shape":
            return [shape_of_word(word)]
        if affix := _AFFIX.fullmatch(name):
            return [lower[: int(affix[2])] if affix[1] == "prefix" else lower[-int(affix[2]) :]]
        grams = _GRAMS.fullmatch(name)
        assert grams  # all names were checked
        return [
            gram
            for length in range(int(grams[1]), int(grams[2] or grams[1]) + 1)
            for gram in grams_of_word(lower, length)
        ]

    def rows_of(self, words: Sequence[str]) -> Rows:
        """[words, slots] the rows of each word; slots that a word doesn't need hold 0."""
        hashed = bytearray()
        places: list[int] = []
        for number, word in enumerate(words):
            word = unicodedata.normalize("NFC", word)
            lower, slot = word.lower(), number * self.slots
            for name, width in zip(self.names, self.widths, strict=True):
                for k, value in enumerate(self._values(name, word, lower)):
                    hashed += mmh3.hash_bytes(f"{name}={value}".encode("utf-8", "surrogatepass"))
                    places.append(slot + k * self.hashes)
                slot += width
        numbers = np.frombuffer(hashed, "<u4").reshape(-1, MOST_HASHES)[:, : self.hashes]
        out = np.zeros(len(words) * self.slots, np.int32)
        at = np.asarray(places, np.int64)[:, None] + np.arange(self.hashes)
        out[at] = numbers % np.uint32(self.rows) + np.uint32(1)
        return out.reshape(len(words), self.slots)


class KnownWords:
    """Words seen so far, numbered from ``first``, with their rows, so that each is hashed once. Threads may share it."""

    def __init__(self, features: WordFeatures, first: int = 0) -> None:
        self.features, self.first = features, first
        self._numbers: dict[str, int] = {}
        self._rows = np.zeros((1024, features.slots), np.int32)
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._numbers)

    def numbers(self, words: Sequence[str]) -> NDArray[np.int64]:
        """[words] the number of each word, also of new ones."""
        found = list(map(self._numbers.get, words))
        if None in found:
            self._learn(words)
            found = list(map(self._numbers.get, words))
        return np.array(found, np.int64)

    def rows(self, numbers: NDArray[np.int64]) -> Rows:
        """[numbers, slots] the rows of words by their numbers."""
        return self._rows[numbers - self.first]

    def _learn(self, words: Sequence[str]) -> None:
        with self._lock:
            missing = [word for word in dict.fromkeys(words) if word not in self._numbers]
            there = len(self._numbers)
            if (needed := there + len(missing)) > len(self._rows):
                grown = np.zeros((max(needed, 2 * len(self._rows)), self.features.slots), np.int32)
                grown[:there] = self._rows[:there]
                self._rows = grown
            self._rows[there:needed] = self.features.rows_of(missing)
            self._numbers.update(zip(missing, range(self.first + there, self.first + needed), strict=True))
