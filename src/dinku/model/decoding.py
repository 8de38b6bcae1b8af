"""From logits to the most probable tags that are legal together."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
_NEVER = -1e9


@cache
def legal_transitions(tags: tuple[str, ...]) -> NDArray[np.bool_]:
    """[1 + tags, tags] whether a tag may follow the one before it; row 0 is for the first word of a sentence.

    In IOB2 an ``I-X`` follows only ``B-X`` or ``I-X``.

    >>> legal_transitions(("O", "B-PER", "I-PER")).tolist()
    [[True, True, False], [True, True, False], [True, True, True], [True, True, True]]
    """
    before = ("O", *tags)
    return np.array([[not (tag.startswith("I-") and was[2:] != tag[2:]) for tag in tags] for was in before])


def legal_tags(logits: NDArray[np.float32], tags: tuple[str, ...]) -> Ids:
    """[words] the numbers of the tags whose logits [words, tags] have the largest sum of all that are legal one after another.

    The largest of each word, if these are legal; else those that Viterbi's algorithm finds.

    >>> legal_tags(np.array([[0.0, 2.0, 3.0], [0.0, 1.0, 5.0]], np.float32), ("O", "B-PER", "I-PER")).tolist()
    [1, 2]
    """
    best = logits.argmax(-1)
    legal = legal_transitions(tags)
    if legal[np.concatenate([[0], best[:-1] + 1]), best].all():
        return best
    penalty = np.where(legal, 0.0, _NEVER)
    score, back = logits[0] + penalty[0], []
    for word in logits[1:]:
        through = score[:, None] + penalty[1:]
        back.append(through.argmax(0))
        score = through.max(0) + word
    path = [int(score.argmax())]
    for step in reversed(back):
        path.append(int(step[path[-1]]))
    return np.array(path[::-1], np.int64)
