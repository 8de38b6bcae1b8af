"""What compression did to a tagger's answers: kinds of errors, calibration, changed minds, names known and unknown.

F1 says how much was lost; this says of what. All of it looks at tags alone and needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from dinku.corpus import Corpus, Sentence
from dinku.predict import Tagging
from dinku.score import Counts, count
from dinku.spans import Span, spans, tags


class Errors(NamedTuple):
    """Gold spans found (``correct``), found with other bounds, another label, or both, or ``missed``; and spans found where
    there is none (``spurious``)."""

    correct: int = 0
    boundary: int = 0
    label: int = 0
    both: int = 0
    missed: int = 0
    spurious: int = 0


def errors(gold: Iterable[Sequence[str]], found: Iterable[Sequence[str]]) -> Errors:
    """Every gold span and every found one in one class, in seqeval's default reading of the tags.

    A gold span that isn't found as it is belongs with the found one that shares most words with it, one of its own label
    before others (the classes of Chinchor & Sundheim 1993, MUC-5, as SemEval-2013 task 9.1 counts them).
    """
    total = np.zeros(len(Errors._fields), np.int64)
    for a, b in zip(gold, found, strict=True):
        left, right = spans(a), spans(b)
        same = {*left} & {*right}
        total[0] += len(same)
        rest = [span for span in right if span not in same]
        for span in left:
            if span in same:
                continue
            other = max(
                rest, key=lambda r: (_shared(span, r) > 0, r.label == span.label, _shared(span, r)), default=None
            )
            if other is None or not _shared(span, other):
                total[4] += 1
                continue
            rest.remove(other)
            total[1 if other.label == span.label else 2 if other[:2] == span[:2] else 3] += 1
        total[5] += len(rest)
    return Errors(*map(int, total))


def _shared(a: Span, b: Span) -> int:
    """How many words two spans share."""
    return max(0, min(a.end, b.end) - max(a.start, b.start))


def calibration_error(gold: Iterable[Sequence[str]], found: Iterable[Tagging], *, bins: int = 15) -> float:
    """Expected calibration error over words, in 0…1: how far a tag's probability is from how often it is right.

    Words are put into ``bins`` of equal width by the probability of the tag they got (Guo et al. 2017, arXiv 1706.04599,
    equation 5). 0 where there is no word.
    """
    pairs = [(np.array([*map(str.__eq__, g, f.tags)]), f.scores) for g, f in zip(gold, found, strict=True) if g]
    if not pairs:
        return 0.0
    right, sure = (np.concatenate(part).astype(np.float64) for part in zip(*pairs, strict=True))
    at = np.minimum((sure * bins).astype(np.int64), bins - 1)
    gap = np.bincount(at, sure, bins) - np.bincount(at, right, bins)
    return float(np.abs(gap).sum() / len(sure))


class Agreement(NamedTuple):
    """Fractions of the words, and of the sentences as a whole, that two taggers tag alike; and the others' numbers, from 0."""

    words: float
    sentences: float
    differ: tuple[int, ...]


def agreement(a: Sequence[Sequence[str]], b: Sequence[Sequence[str]]) -> Agreement:
    """How far two taggers agree on the same sentences, whatever is right."""
    differ = tuple(i for i, (x, y) in enumerate(zip(a, b, strict=True)) if tuple(x) != tuple(y))
    unlike = sum(x != y for i in differ for x, y in zip(a[i], b[i], strict=True))
    words = sum(map(len, a))
    return Agreement((words - unlike) / words if words else 1.0, (len(a) - len(differ)) / len(a) if a else 1.0, differ)


def known(train: Corpus) -> frozenset[tuple[str, str]]:
    """(language, name) of every entity in a corpus, in whatever letter case and under whatever label."""
    return frozenset((s.language, _name(s.words, span)) for s in train for span in spans(s.tags or ()))


def _name(words: Sequence[str], span: Span) -> str:
    return " ".join(words[span.start : span.end]).casefold()


def by_novelty(
    sentences: Sequence[Sentence], found: Sequence[Sequence[str]], names: frozenset[tuple[str, str]]
) -> tuple[Counts, Counts]:
    """Counts of the spans whose words are one of ``names``, and of those whose words aren't, gold and found alike.

    A span found with other bounds than gold's may be on the other side: what is counted is what a reader would look up.
    """
    languages = [s.language for s in sentences]
    parts = []
    for is_known in (True, False):
        both = [
            [_only(s, given, names, is_known) for s, given in zip(sentences, side, strict=True)]
            for side in ([s.tags or () for s in sentences], found)
        ]
        parts.append(count(both[0], both[1], languages))
    return parts[0], parts[1]


def _only(s: Sentence, given: Sequence[str], names: frozenset[tuple[str, str]], is_known: bool) -> tuple[str, ...]:
    """The tags of those spans that are known, or of those that aren't."""
    kept = [span for span in spans(given) if ((s.language, _name(s.words, span)) in names) == is_known]
    return tags(kept, len(given))


class Loss(NamedTuple):
    """F1 in 0…1 before and after, and which fraction of it is gone."""

    where: str
    before: float
    after: float

    @property
    def relative(self) -> float:
        """0 where there was nothing to lose."""
        return 1 - self.after / self.before if self.before else 0.0


def losses(before: Mapping[str, float], after: Mapping[str, float]) -> list[Loss]:
    """Loss by language, or by label, the worst first."""
    every = [Loss(where, f1, after.get(where, 0.0)) for where, f1 in before.items()]
    return sorted(every, key=lambda loss: (-loss.relative, loss.where))
