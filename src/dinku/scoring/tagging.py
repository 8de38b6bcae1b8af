"""The tags that a tagger gives a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dinku.data.corpus import Corpus
from dinku.data.spans import Span
from dinku.data.task import NER, Task
from dinku.errors import DinkuError
from dinku.scoring.counts import Counts, count


@dataclass(frozen=True)
class Tagging:
    """The ``tags`` of a sentence, one for each word, and ``scores`` [words], the probability of each tag.

    Of a ``task`` that labels whole sentences both hold one value.
    """

    tags: tuple[str, ...]
    scores: NDArray[np.float32]
    task: Task = NER

    def entities(self) -> list[tuple[Span, float]]:
        """Spans in seqeval's default reading, each with the mean probability of its words' tags; of other tasks each unit."""
        return [(s, float(self.scores[s.start : s.end].mean())) for s in self.task.spans(self.tags)]


def counted(corpus: Corpus, found: Sequence[Tagging]) -> Counts:
    """Counts of predicted taggings against the gold tags of a corpus. Raises `DinkuError` if they are of two tasks."""
    if other := next((t.task for t in found if t.task is not corpus.task), None):
        problem = f"is about {corpus.task.title}, and what was found about {other.title}"
        raise DinkuError(
            problem, where=corpus.name, remedy=f"name a model of the task {corpus.task.name}, or another corpus"
        )
    gold, languages = [s.tags or () for s in corpus], [s.language for s in corpus]
    words = None if corpus.task.each == "word" else [len(s.words) for s in corpus]
    return count(gold, [t.tags for t in found], languages, task=corpus.task, words=words)
