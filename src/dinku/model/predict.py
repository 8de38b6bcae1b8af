"""From an engine, an encoder and a list of tags to the tag of every word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, TypeVar

import numpy as np

from dinku.data.corpus import Corpus, Sentence
from dinku.data.spans import as_iob2
from dinku.data.task import NER, Task
from dinku.errors import DinkuError, brief, check_count, plural
from dinku.model.decoding import legal_tags
from dinku.model.engine import Engine
from dinku.model.labels import check_task, scheme_of_head
from dinku.model.windows import Encoder, Logits, W, Window, buckets
from dinku.progress import Count
from dinku.scoring.counts import Counts
from dinku.scoring.tagging import Tagging, counted

Thing = TypeVar("Thing")


def each(given: Iterable[Thing], *kinds: type[Thing]) -> Iterator[Thing]:
    """The given things one by one. Raises `DinkuError` if they aren't an iterable of things of these ``kinds``."""
    names = [kind.__name__ for kind in kinds]
    remedy = f"give a list of {' or '.join(f'{name}s' for name in names)}"
    if not isinstance(given, Iterable) or isinstance(given, str | bytes):
        raise DinkuError(f"{brief(given)} isn't a list", where="the tagger", remedy=remedy)
    for thing in given:
        if not isinstance(thing, kinds):
            raise DinkuError(f"{brief(thing)} is no {' or '.join(names)}", where="the tagger", remedy=remedy)
        yield thing


def _check_asked(sentences: Sequence[Sentence], options: Mapping[str, Any]) -> None:
    for number, sentence in enumerate(sentences, 1):
        try:
            "".join(sentence.words).encode()
        except (TypeError, UnicodeEncodeError):  # no text, or half a surrogate pair
            problem = f"its words are {brief(sentence.words)}"
            raise DinkuError(problem, where=f"sentence {number}", remedy="give words as a tuple of str") from None
    for name in ("tokens", "most"):
        if options.get(name) is not None:
            check_count(options[name], name, where="the tagger")


def answers(
    engine: Engine,
    encoder: Encoder[W],
    sentences: Sequence[Sentence],
    *,
    tokens: int | None = None,
    most: int | None = None,
    progress: Count | None = None,
) -> Iterator[tuple[W, Logits]]:
    """The logits [scored words, tags] of every window of the sentences; see `answered`."""
    windows = encoder.windows([s.words for s in sentences])
    yield from answered(engine, encoder, windows, tokens=tokens, most=most, progress=progress)


def answered(
    engine: Engine,
    encoder: Encoder[W],
    windows: Sequence[W],
    *,
    tokens: int | None = None,
    most: int | None = None,
    progress: Count | None = None,
) -> Iterator[tuple[W, Logits]]:
    """Logits [scored words, tags] of every window, the longest windows first.

    Windows are batched by size, at most ``tokens`` subwords (or words) and ``most`` windows at once, by default the encoder's
    ``together``.
    """
    done = 0
    units, count = encoder.together
    for group in buckets([w.size for w in windows], tokens or units, most or count):
        chosen = [windows[i] for i in group]
        ends = np.cumsum([len(w.words) for w in chosen])
        yield from zip(chosen, np.split(engine.logits(encoder.batch(chosen)), ends[:-1]), strict=True)
        done += len(group)
        if progress:
            progress(done, len(windows))


_NEVER = np.float32(-1e4)  # a logit whose probability is 0


class Draft:
    """The tags of sentences, collected as their windows are answered, in any order. Tags of entities are IOB2, whatever the
    head's scheme.

    ``lengths`` are the units of each sentence: its words, or 1 where the ``task`` labels sentences. A word that no window scores
    is ``O`` with probability 1; without such a tag all of the head's are equally probable, and the first is taken. With
    ``legal``, the tags are the most probable legal sequence, otherwise the most probable tag of each unit. If a unit is scored in
    several windows, as a long text is, the mean of their logits counts.
    """

    def __init__(self, tags: Sequence[str], *lengths: int, legal: bool = False, task: Task = NER) -> None:
        self._tags, self._lengths, self._task = tuple(tags), lengths, task
        self._legal = legal and task.schemes
        self._starts = list(accumulate(lengths, initial=0))
        self._logits = np.full((self._starts[-1], len(tags)), _NEVER if task.outside else 0.0, np.float32)
        if task.outside:
            self._logits[:, self._tags.index(task.outside)] = 0.0
        self._windows = np.zeros(self._starts[-1], np.int64)

    def take(self, window: Window, logits: Logits) -> None:
        """Note the tags of a window's words. Raises `DinkuError` if the logits aren't one for each of the tags."""
        if logits.shape[1] != len(self._tags):
            problem = (
                f"answers with {plural(logits.shape[1], 'logit')} a word, and has {plural(len(self._tags), 'tag')}"
            )
            raise DinkuError(problem, where="the model", remedy="fetch or export it again")
        at = self._starts[window.sentence] + window.words
        before = self._windows[at, None]
        self._logits[at] = np.where(before, (before * self._logits[at] + logits) / (before + 1), logits)
        self._windows[at] += 1

    def taggings(self) -> list[Tagging]:
        """The tags known so far, one `Tagging` for each sentence."""
        logits = self._logits
        best = legal_tags(logits, self._tags, self._lengths) if self._legal and len(logits) else logits.argmax(-1)
        scores = 1 / np.exp(logits - np.take_along_axis(logits, best[:, None], -1)).sum(-1)
        names = [self._tags[number] for number in best.tolist()]
        sentences = [tuple(names[start:end]) for start, end in pairwise(self._starts)]
        if self._task.schemes and scheme_of_head(self._tags) != "IOB2":
            sentences = [as_iob2(tags) for tags in sentences]
        return [
            Tagging(tags, scores[start:end], self._task)
            for tags, (start, end) in zip(sentences, pairwise(self._starts), strict=True)
        ]


def tag(
    engine: Engine,
    encoder: Encoder[Any],
    tags: Sequence[str],
    sentences: Sequence[Sentence],
    *,
    legal: bool = False,
    task: Task = NER,
    **options: Any,
) -> list[Tagging]:
    """Tag every unit of every sentence; ``legal`` and ``task`` are those of `Draft`, other ``options`` those of `answers`.

    A word without subwords is ``O`` with probability 1, see `Draft`. Raises `DinkuError` if an engine answers for other tags.
    """
    sentences = [*each(sentences, Sentence)]
    _check_asked(sentences, options)
    draft = Draft(tags, *(task.units(len(s.words)) for s in sentences), legal=legal, task=task)
    for window, logits in answers(engine, encoder, sentences, **options):
        draft.take(window, logits)
    return draft.taggings()


def evaluate(
    engine: Engine,
    encoder: Encoder[Any],
    tags: Sequence[str],
    corpus: Corpus,
    *,
    legal: bool = False,
    task: Task = NER,
    progress: Count | None = None,
) -> Counts:
    """Counts of gold, predicted and correct spans, or units, for every sentence of a tagged corpus."""
    if not isinstance(corpus, Corpus):
        raise DinkuError(
            f"{brief(corpus)} isn't a Corpus", where="evaluate", remedy="give what `dinku.data.sources.load` gives"
        )
    check_task(task, corpus, where="the tagger")
    return counted(corpus, tag(engine, encoder, tags, corpus.sentences, legal=legal, task=task, progress=progress))
