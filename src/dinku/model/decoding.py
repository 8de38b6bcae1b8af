"""From logits to the most probable legal sequence of tags."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
_NEVER = -1e9


@cache
def legal_transitions(tags: tuple[str, ...]) -> NDArray[np.bool_]:
    """[1 + tags, tags] whether the column's tag may follow the row's; row 0 stands for the start of a sentence.

    In IOB2 an ``I-X`` follows only ``B-X`` or ``I-X``.

    >>> legal_transitions(("O", "B-PER", "I-PER")).tolist()
    [[True, True, False], [True, True, False], [True, True, True], [True, True, True]]
    """
    before = ("O", *tags)
    return np.array([[not (tag.startswith("I-") and was[2:] != tag[2:]) for tag in tags] for was in before])


def legal_tags(logits: NDArray[np.float32], tags: tuple[str, ...], lengths: Sequence[int] | None = None) -> Ids:
    """[words] the indices of the legal sequence of tags whose logits [words, tags] have the largest sum.

    The words are those of sentences with these ``lengths``, by default of one sentence. If the most probable tag of each word
    makes a legal sequence, that is taken; otherwise Viterbi's algorithm finds the best one.

    >>> legal_tags(np.array([[0.0, 2.0, 3.0], [0.0, 1.0, 5.0]], np.float32), ("O", "B-PER", "I-PER")).tolist()
    [1, 2]
    """
    best = logits.argmax(-1)
    legal = legal_transitions(tags)
    ends = np.cumsum([len(logits)] if lengths is None else lengths)
    before = np.concatenate([[0], best[:-1] + 1])
    before[ends[:-1][ends[:-1] < len(best)]] = 0
    wrong = np.unique(np.searchsorted(ends, np.flatnonzero(~legal[before, best]), side="right"))
    if len(wrong):
        starts = np.concatenate([[0], ends[:-1]])
        _viterbi(logits, starts[wrong], ends[wrong], legal, best)
    return best


def _viterbi(logits: NDArray[np.float32], starts: Ids, ends: Ids, legal: NDArray[np.bool_], best: Ids) -> None:
    """Write the best legal tags of the sentences from ``starts`` to ``ends`` to ``best``; sentences advance together, by
    words."""
    order = np.argsort(starts - ends, kind="stable")  # longest first, so that those with words left are adjacent
    starts, lengths = starts[order], (ends - starts)[order]
    penalty = np.where(legal, 0.0, _NEVER)
    score, back = logits[starts] + penalty[0], []
    reading = [int(np.count_nonzero(lengths > word)) for word in range(lengths[0])]  # sentences that have this word
    for word, count in enumerate(reading[1:], 1):
        through = score[:count, :, None] + penalty[1:]
        back.append(through.argmax(1))
        score[:count] = through.max(1) + logits[starts[:count] + word]
    tag = score.argmax(1)
    for word in range(lengths[0] - 1, 0, -1):
        count = reading[word]
        best[starts[:count] + word] = tag[:count]
        tag[:count] = back[word - 1][np.arange(count), tag[:count]]
    best[starts] = tag
