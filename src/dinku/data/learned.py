"""What a tagger learned from, as fingerprints of sentences, so that it can be told later whether a test shares any with it.

A saved tagger keeps them in a file of its own, 8 bytes a sentence, which is no part of the model: neither its digest nor its
size counts them. Where there is no such file nothing is known.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from dinku.data.corpus import Corpus
from dinku.errors import DinkuError
from dinku.files import told

FILE = "learned.bin"


def fingerprint(words: Sequence[str]) -> int:
    """A number of 64 bits for a sentence: how its text is parted into words, and its tags, don't change it."""
    text = unicodedata.normalize("NFC", "".join(words))
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def fingerprints(sentences: Iterable[Sequence[str]]) -> frozenset[int]:
    return frozenset(map(fingerprint, sentences))


def seen(corpus: Corpus, learned: frozenset[int]) -> list[bool]:
    """Of each sentence, whether it is among those learned from."""
    return [fingerprint(sentence.words) in learned for sentence in corpus]


def save(folder: Path, learned: frozenset[int]) -> None:
    """Write the fingerprints into a model's folder, sorted; nothing where there are none."""
    if learned:
        (folder / FILE).write_bytes(np.array(sorted(learned), "<u8").tobytes())


def load(folder: Path) -> frozenset[int]:
    """The fingerprints in a model's folder; none where it has no such file. Raises `DinkuError` where the file is cut off."""
    path = folder / FILE
    if not path.is_file():
        return frozenset()
    with told(path, reading=True):
        data = path.read_bytes()
    if len(data) % 8:
        raise DinkuError("isn't whole", where=str(path), remedy="remove it, or fetch the model again")
    return frozenset(np.frombuffer(data, "<u8").tolist())
