"""The tags that a tagger gives a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dinku.data.corpus import Corpus
from dinku.data.spans import Span, spans
from dinku.scoring.counts import Counts, count


@dataclass(frozen=True)
class Tagging:
    """The ``tags`` of a sentence, one for each word, and ``scores`` [words], the probability of each tag."""

    tags: tuple[str, ...]
    scores: NDArray[np.float32]

    def entities(self) -> list[tuple[Span, float]]:
        """Spans in seqeval's default reading, each with the mean probability of its words' tags."""
        return [(s, float(self.scores[s.start : s.end].mean())) for s in spans(self.tags)]


def counted(corpus: Corpus, found: Sequence[Tagging]) -> Counts:
    """Counts of predicted taggings against the gold tags of a corpus."""
    return count([s.tags or () for s in corpus], [t.tags for t in found], [s.language for s in corpus])
