"""Answers: gold tags, predicted tags and their probabilities, kept beside a row's counts; never words.

From them agreement, kinds of errors and calibration are computed later, without the model and without the text.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dinku.errors import DinkuError, plural
from dinku.files import content, written
from dinku.scoring.npz import arrays

Tags = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Answers:
    """For every sentence, the ``gold`` tag of each word, the tag ``found`` by a tagger, and ``scores`` [words], the probability
    of each found tag in half precision."""

    gold: Tags
    found: Tags
    scores: tuple[NDArray[np.float16], ...]

    @classmethod
    def of(cls, gold: Sequence[Sequence[str]], found: Sequence[Sequence[str]], scores: Sequence[NDArray[Any]]) -> Self:
        """Raises `DinkuError` if the three don't cover the same sentences and words."""
        if not [*map(len, gold)] == [*map(len, found)] == [*map(len, scores)]:
            raise DinkuError("gold, found and scores differ in length", where="answers", remedy="give one each a word")
        return cls(tuple(map(tuple, gold)), tuple(map(tuple, found)), tuple(s.astype(np.float16) for s in scores))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a compressed ``.npz``, whole or not at all.

        Raises `DinkuError`, of status 1, where the system refuses to write, and for more than 256 different tags.
        """
        names = sorted({tag for side in (self.gold, self.found) for tags in side for tag in tags})
        if len(names) > 256:
            raise DinkuError(f"has {plural(len(names), 'different tag')}", where=str(path), remedy="give at most 256")
        number = {name: i for i, name in enumerate(names)}
        gold, found = (
            np.array([number[t] for tags in side for t in tags], np.uint8) for side in (self.gold, self.found)
        )
        with written(path) as file:
            np.savez_compressed(
                file,
                tags=np.array(names, dtype=np.str_),
                lengths=np.array([len(tags) for tags in self.gold], np.uint32),
                gold=gold,
                found=found,
                scores=np.concatenate([np.zeros(0, np.float16), *self.scores]),
            )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote; raises `DinkuError` for anything else."""
        try:
            stored = arrays(content(path))
            names = [str(name) for name in stored["tags"]]
            lengths = stored["lengths"].astype(np.int64)
            codes, scores = (stored["gold"], stored["found"]), stored["scores"].astype(np.float16)
            if {*map(len, (*codes, scores))} != {int(lengths.sum())}:
                raise ValueError("of different lengths")
            ends = np.cumsum(lengths).tolist()
            places = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
            known = np.array(names, dtype=object)
            sides = [known[side].tolist() for side in codes]
            gold, found = (tuple(tuple(side[at]) for at in places) for side in sides)
        except FileNotFoundError:
            raise DinkuError("isn't there", where=str(path), remedy="restore it, or remove it") from None
        except Exception as error:  # a damaged archive fails in struct, zlib or numpy, each with errors of its own
            problem = f"holds no answers ({type(error).__name__})"
            raise DinkuError(problem, where=str(path), remedy="restore it, or remove it") from None
        return cls(gold, found, tuple(scores[at] for at in places))
