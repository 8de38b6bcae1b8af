"""An engine, an encoding and a list of tags → the tag of every word, and from there entities in the text as given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from dinku.corpus import Corpus, Sentence
from dinku.encode import Batch, Encoder, Window, buckets
from dinku.errors import DinkuError, brief, check_count
from dinku.score import Counts, count
from dinku.spans import Span, spans
from dinku.words import words

Thing = TypeVar("Thing")
Logits = NDArray[np.float32]
Progress = Callable[[int, int], None]  # (done, of how many)


def each(given: Iterable[Thing], kind: type[Thing]) -> Iterator[Thing]:
    """What was given, one by one. Raises `DinkuError` for what isn't of that kind, or is no list of such."""
    listed = isinstance(given, Iterable) and not isinstance(given, str | bytes)
    for thing in given if listed else [given]:
        if not isinstance(thing, kind):
            remedy = f"give a list of {kind.__name__}s"
            raise DinkuError(f"{brief(thing)} is no {kind.__name__}", where="the tagger", remedy=remedy)
        yield thing


def _check_asked(sentences: Sequence[Sentence], options: Mapping[str, Any]) -> None:
    for number, sentence in enumerate(sentences, 1):
        try:
            "".join(sentence.words).encode()
        except (TypeError, UnicodeEncodeError):  # no text, or half a surrogate pair
            problem = f"its words are {brief(sentence.words)}"
            raise DinkuError(problem, where=f"sentence {number}", remedy="give words as a tuple of str") from None
    for name in ("tokens", "most"):
        check_count(options.get(name, 1), name, where="the tagger")


class Engine(Protocol):
    """What answers for a batch."""

    def logits(self, batch: Batch) -> Logits:
        """[windows, subwords] → [scored words, tags], the words in the order of ``batch.rows``."""
        ...


class Told(Engine, Protocol):
    """An engine that says how it computes."""

    def executed(self, batch: Batch) -> dict[str, int]:
        """How often each operator that computes much runs for a batch, by the type it computes in: *int8 MatMul*."""
        ...

    @property
    def kernels(self) -> str:
        """What multiplies, and its version."""
        ...

    @property
    def instructions(self) -> str:
        """The instructions that it may use."""
        ...


@dataclass(frozen=True)
class Tagging:
    """One sentence tagged: ``tags`` a word, and ``scores`` [words] the probability of each of them."""

    tags: tuple[str, ...]
    scores: NDArray[np.float32]

    def entities(self) -> list[tuple[Span, float]]:
        """Spans in seqeval's default reading, each with the mean probability of its words' tags."""
        return [(s, float(self.scores[s.start : s.end].mean())) for s in spans(self.tags)]


def answers(
    engine: Engine,
    encoder: Encoder,
    sentences: Sequence[Sentence],
    *,
    tokens: int = 1024,
    most: int = 16,
    progress: Progress | None = None,
) -> Iterator[tuple[Window, Logits]]:
    """Logits [scored words, tags] of every window of the sentences, the longest windows first.

    Windows are batched by length, at most ``tokens`` subwords and ``most`` windows at once.
    """
    windows = encoder.windows([s.words for s in sentences])
    done = 0
    for group in buckets([len(w.ids) for w in windows], tokens, most):
        batch = encoder.batch([windows[i] for i in group])
        ends = np.cumsum([len(w.words) for w in batch.windows])
        yield from zip(batch.windows, np.split(engine.logits(batch), ends[:-1]), strict=True)
        done += len(group)
        if progress:
            progress(done, len(windows))


def tag(
    engine: Engine,
    encoder: Encoder,
    tags: Sequence[str],
    sentences: Sequence[Sentence],
    **options: Any,
) -> list[Tagging]:
    """Tag every word of every sentence; ``options`` are those of `answers`.

    A word that yields no subword is ``O`` with probability 1. Raises `DinkuError` where an engine answers for other tags.
    """
    sentences = [*each(sentences, Sentence)]
    _check_asked(sentences, options)
    best = [np.full(len(s.words), tags.index("O"), np.int64) for s in sentences]
    scores = [np.ones(len(s.words), np.float32) for s in sentences]
    for window, logits in answers(engine, encoder, sentences, **options):
        if logits.shape[1] != len(tags):
            problem = f"answers with {logits.shape[1]} logits a word, and has {len(tags)} tags"
            raise DinkuError(problem, where="the model", remedy="fetch or export it again")
        best[window.sentence][window.words] = logits.argmax(-1)
        scores[window.sentence][window.words] = 1 / np.exp(logits - logits.max(-1, keepdims=True)).sum(-1)
    return [Tagging(tuple(tags[int(i)] for i in b), p) for b, p in zip(best, scores, strict=True)]


def evaluate(
    engine: Engine, encoder: Encoder, tags: Sequence[str], corpus: Corpus, *, progress: Progress | None = None
) -> Counts:
    """Counts of gold, predicted and correct spans for every sentence of a tagged corpus."""
    if not isinstance(corpus, Corpus):
        raise DinkuError(
            f"{brief(corpus)} is no Corpus", where="evaluate", remedy="give what `dinku.sources.load` gives"
        )
    return counted(corpus, tag(engine, encoder, tags, corpus.sentences, progress=progress))


def counted(corpus: Corpus, found: Sequence[Tagging]) -> Counts:
    """Counts of a tagged corpus against what was found in its sentences."""
    return count([s.tags or () for s in corpus], [t.tags for t in found], [s.language for s in corpus])


@dataclass(frozen=True)
class Line:
    """A text as given, and where the words are that it is read as."""

    text: str
    spans: tuple[tuple[int, int], ...]
    keys: Mapping[str, Any] = field(default_factory=dict)  # what came with the text, and goes with its answer

    @classmethod
    def typed(cls, text: str) -> Self:
        """Words as `dinku.words` finds them. Raises `DinkuError` for what is no text."""
        if not isinstance(text, str):
            raise DinkuError(f"{brief(text)} is no text", where="the text", remedy="give it as a str")
        return cls(text, tuple(words(text)))

    @classmethod
    def joined(cls, given: Sequence[str]) -> Self:
        """Words that are known, joined by blanks."""
        ends = list(accumulate((len(word) + 1 for word in given), initial=0))
        return cls(" ".join(given), tuple((a, b - 1) for a, b in pairwise(ends)))

    def with_keys(self, keys: Mapping[str, Any]) -> Self:
        return replace(self, keys=keys)

    @property
    def sentence(self) -> Sentence:
        return Sentence(tuple(self.text[a:b] for a, b in self.spans))

    def answer(self, found: Tagging) -> dict[str, Any]:
        """What is said of the line as JSON: its keys, *text* and *entities*."""
        return {**self.keys, "text": self.text, "entities": self.entities(found)}

    def entities(self, found: Tagging) -> list[dict[str, Any]]:
        """Entities with character offsets into the text as given."""
        out = []
        for span, probability in found.entities():
            start, end = self.spans[span.start][0], self.spans[span.end - 1][1]
            entity = {"start": start, "end": end, "label": span.label, "text": self.text[start:end]}
            out.append({**entity, "score": probability})
        return out
