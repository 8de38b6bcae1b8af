"""How compression changed a tagger's answers: kinds of errors, calibration, changed tags, and known and unknown names.

F1 says how much was lost. This module says which answers were lost, and how much more is lost on perturbed text. It only reads
tags, and needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from dinku.data.corpus import Corpus, Sentence
from dinku.data.perturb import Names, Perturbation, changed
from dinku.data.spans import Span, tags
from dinku.data.task import NER, Task
from dinku.errors import DinkuError
from dinku.scoring.answers import Answers
from dinku.scoring.counts import Counts, count, worst
from dinku.scoring.significance import Paired, paired
from dinku.scoring.tagging import Tagging, counted


class Errors(NamedTuple):
    """Numbers of gold spans by how they were predicted: ``correct``, with other bounds, with another label, with both, or
    ``missed``; and of predicted spans where gold has none (``spurious``)."""

    correct: int = 0
    boundary: int = 0
    label: int = 0
    both: int = 0
    missed: int = 0
    spurious: int = 0


def errors(gold: Iterable[Sequence[str]], found: Iterable[Sequence[str]], task: Task = NER) -> Errors:
    """Assign every gold and every predicted span to one class, in seqeval's default reading of the tags.

    A gold span that isn't predicted exactly is paired with the predicted span that shares the most words with it, those with
    the same label first (the classes of Chinchor & Sundheim 1993, MUC-5, as SemEval-2013 task 9.1 counts them).
    """
    total = np.zeros(len(Errors._fields), np.int64)
    for a, b in zip(gold, found, strict=True):
        left = task.spans(a)
        if a == b:
            total[0] += len(left)
            continue
        right = task.spans(b)
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
    """The number of words that two spans share."""
    return max(0, min(a.end, b.end) - max(a.start, b.start))


def calibration_error(gold: Iterable[Sequence[str]], found: Iterable[Tagging], *, bins: int = 15) -> float:
    """Expected calibration error over words, in 0…1: how far a tag's probability is from how often it is right.

    Words are put into ``bins`` of equal width by the probability of their predicted tag (Guo et al. 2017, arXiv 1706.04599,
    equation 5). 0 where there is no word.
    """
    pairs = [(g, f) for g, f in zip(gold, found, strict=True) if g]
    if not pairs:
        return 0.0
    right = np.array([one == other for g, f in pairs for one, other in zip(g, f.tags, strict=True)], np.float64)
    sure = np.concatenate([f.scores for _, f in pairs]).astype(np.float64)
    at = np.minimum((sure * bins).astype(np.int64), bins - 1)
    gap = np.bincount(at, sure, bins) - np.bincount(at, right, bins)
    return float(np.abs(gap).sum() / len(sure))


class Agreement(NamedTuple):
    """The fractions of words, and of whole sentences, that two taggers tag alike; and the numbers of other sentences, from 0."""

    words: float
    sentences: float
    differ: tuple[int, ...]


def agreement(a: Sequence[Sequence[str]], b: Sequence[Sequence[str]]) -> Agreement:
    """How far two taggers agree on the same sentences, whether they are right or not."""
    differ = tuple(i for i, (x, y) in enumerate(zip(a, b, strict=True)) if tuple(x) != tuple(y))
    unlike = sum(x != y for i in differ for x, y in zip(a[i], b[i], strict=True))
    words = sum(map(len, a))
    return Agreement((words - unlike) / words if words else 1.0, (len(a) - len(differ)) / len(a) if a else 1.0, differ)


def known(train: Corpus) -> frozenset[tuple[str, str]]:
    """(language, name) of every entity in a corpus, or of every labelled word, regardless of letter case and label."""
    if train.task.each != "word":
        return frozenset()
    return frozenset((s.language, span.name(s.words)) for s in train for span in train.task.spans(s.tags or ()))


def by_novelty(
    sentences: Sequence[Sentence], found: Sequence[Sequence[str]], names: frozenset[tuple[str, str]]
) -> tuple[Counts, Counts]:
    """Counts of the spans whose words are one of ``names``, and of those whose words aren't, gold and found alike.

    A predicted span with other bounds than gold's may fall into the other group, because each span is looked up by its own words.
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
    """The sentence's tags with its known spans only, or with its unknown spans only."""
    kept = [span for span in NER.spans(given) if ((s.language, span.name(s.words)) in names) == is_known]
    return tags(kept, len(given))


class Loss(NamedTuple):
    """F1 in 0…1 before and after, and the fraction of it that is lost."""

    where: str
    before: float
    after: float

    @property
    def relative(self) -> float:
        """The fraction lost; 0 if F1 was 0 before."""
        return 1 - self.after / self.before if self.before else 0.0


def losses(before: Mapping[str, float], after: Mapping[str, float]) -> list[Loss]:
    """Loss by language, or by label, the worst first."""
    every = [Loss(where, f1, after.get(where, 0.0)) for where, f1 in before.items()]
    return sorted(every, key=lambda loss: (-loss.relative, loss.where))


def detail(corpus: Corpus, found: Sequence[Tagging], train: Corpus | None = None) -> dict[str, Any]:
    """What ``evaluate --detail`` adds: errors, calibration, and F1 on names that occur in ``train`` and on all others."""
    gold, tagged = [s.tags or () for s in corpus], [t.tags for t in found]
    out: dict[str, Any] = {
        "errors": errors(gold, tagged, corpus.task)._asdict(),
        "calibration_error": calibration_error(gold, found),
    }
    if train is not None and corpus.task.schemes:
        parts = by_novelty(corpus.sentences, tagged, known(train))
        out |= {f"{name}_names": part.scores()._asdict() for name, part in zip(("known", "new"), parts, strict=True)}
    return out


def tagged(answers: Answers, task: Task = NER) -> list[Tagging]:
    """A tagger's answers, with probabilities rounded to half precision."""
    return [Tagging(tags, s.astype(np.float32), task) for tags, s in zip(answers.found, answers.scores, strict=True)]


def disagreements(corpus: Corpus, before: Sequence[Tagging], after: Sequence[Tagging]) -> Iterator[str]:
    """The sentences that two taggers tag differently, as lines: word, gold tag and both taggers' tags, separated by tabs.

    Sentences that lost most correct spans come first; those that gained correct spans come last.
    """

    def lost(i: int) -> int:
        gold = set(corpus.task.spans(corpus.sentences[i].tags or ()))
        right = [len(gold & set(corpus.task.spans(side[i].tags))) for side in (before, after)]
        return right[0] - right[1]

    differ = agreement([t.tags for t in before], [t.tags for t in after]).differ
    for i in sorted(differ, key=lambda i: (-lost(i), i)):
        sentence = corpus.sentences[i]
        whole = (" ".join(sentence.words),)
        units = sentence.words if corpus.task.each == "word" else whole
        gold = sentence.tags or ("",) * len(units)
        unit = corpus.task.unit
        yield f"# {sentence.language} {i + 1}, right {unit}s {-lost(i):+d}: {corpus.task.each}, gold, before, after"
        for columns in zip(units, gold, before[i].tags, after[i].tags, strict=True):
            yield "\t".join(columns)
        yield ""


def against(before: Counts, after: Counts, a: Sequence[Tagging], b: Sequence[Tagging]) -> dict[str, Any]:
    """What ``evaluate --against`` adds: the F1 lost against another tagger by language and label, and how often they agree."""
    by_language, by_type = (
        [
            loss._asdict() | {"relative": loss.relative}
            for loss in losses(*({k: s.f1 for k, s in d.items()} for d in pair))
        ]
        for pair in ((before.by_language(), after.by_language()), (before.by_type(), after.by_type()))
    )
    agree = agreement([t.tags for t in a], [t.tags for t in b])
    return {
        "difference": paired([before], [after])._asdict(),
        "by_language": by_language,
        "by_type": by_type,
        "agreement": {"words": agree.words, "sentences": agree.sentences},
    }


class Robustness(NamedTuple):
    """Counts on perturbed text, the fraction of sentences that were changed, and F1 minus that on the clean text."""

    perturbation: str
    tries: int
    changed: float
    counts: Counts
    difference: Paired


def robustness(
    tag: Callable[[Sequence[Sentence]], Sequence[Tagging]],
    corpus: Corpus,
    clean: Counts,
    perturbation: Perturbation,
    *,
    tries: int = 1,
    names: Names | None = None,
) -> Robustness:
    """Tag a perturbed corpus. With ``tries``, it is perturbed that often, and the worst result of each sentence counts.

    ``clean`` are the counts on the corpus as it is. Raises `DinkuError` for fewer than one try.
    """
    if tries < 1:
        raise DinkuError(f"tries is {tries}", where="robustness", remedy="give 1 or more")
    texts = [perturbation.apply(corpus, seed=seed, names=names) for seed in range(tries)]
    runs = [counted(text, tag(text.sentences)) for text in texts]
    counts = worst(runs)
    # Perturbed sentences have as many spans as clean ones, but not as many words, and no orphan tags where they changed.
    same = [replace(c, words=clean.words, strict=c.default) for c in (clean, counts)]
    difference = paired(same[:1], same[1:])
    share = sum(changed(corpus, text) for text in texts) / tries
    return Robustness(str(perturbation), tries, share, counts, difference)
