"""Fingerprints of the sentences that a tagger learned from, to find out later whether a test set shares any.

A saved tagger keeps them in a file of its own, 8 bytes a sentence. The file isn't part of the model: it counts neither for
its digest nor for its size. Without the file, nothing is known about what the tagger learned from. A bundle keeps no more than
`MOST` of them, the smallest numbers: as they are hashes, that is a random sample of the sentences, and it says of every sentence
with a smaller number than the largest of them whether it was learned from.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from dinku.data.corpus import Corpus
from dinku.errors import DinkuError
from dinku.files import os_errors_as_dinku

FILE = "learned.bin"
MOST = 4000  # fingerprints in a bundle: 32 kB, where the smallest bundles have 1.8 MB
WHOLE = 1 << 64  # below which all fingerprints are


def fingerprint(words: Sequence[str]) -> int:
    """A 64-bit number for the text of a sentence, which doesn't depend on its tags or on how the text is split into words."""
    text = unicodedata.normalize("NFC", "".join(words))
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def fingerprints(sentences: Iterable[Sequence[str]]) -> frozenset[int]:
    """The fingerprints of sentences."""
    return frozenset(map(fingerprint, sentences))


def seen(corpus: Corpus, learned: frozenset[int]) -> list[bool]:
    """For each sentence, whether it is among those learned from."""
    return [fingerprint(sentence.words) in learned for sentence in corpus]


def tellable(corpus: Corpus, below: int) -> int:
    """The number of sentences whose fingerprints are below a number, so that it is known whether they were learned from."""
    return len(corpus) if below == WHOLE else sum(fingerprint(sentence.words) < below for sentence in corpus)


def save(folder: Path, learned: frozenset[int], *, most: int | None = None) -> None:
    """Write the fingerprints into a model's folder, sorted, or the ``most`` smallest; without any, write nothing."""
    if learned:
        (folder / FILE).write_bytes(np.array(sorted(learned)[:most], "<u8").tobytes())


def known_below(learned: frozenset[int]) -> int:
    """The number below which a bundle's fingerprints are all of them.

    >>> known_below(frozenset({3, 5})) == WHOLE, known_below(frozenset(range(MOST)))
    (True, 4000)
    """
    return WHOLE if len(learned) < MOST else max(learned) + 1


def load(folder: Path) -> frozenset[int]:
    """The fingerprints in a model's folder; none if it has no such file. Raises `DinkuError` for a truncated file."""
    path = folder / FILE
    if not path.is_file():
        return frozenset()
    with os_errors_as_dinku(path, reading=True):
        data = path.read_bytes()
    if len(data) % 8:
        raise DinkuError("isn't whole", where=str(path), remedy="remove it, or fetch the model again")
    return frozenset(np.frombuffer(data, "<u8").tolist())
