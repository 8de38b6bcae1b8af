"""Words to windows of words, for word networks. Nothing is padded, and a word that occurs twice in a batch is read once."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dinku.model.windows import Ids
from dinku.model.word_features import KnownWords, Rows, WordFeatures

WORD_INPUTS = ("rows", "words")  # of an ONNX model that reads words
LENGTH = 512  # words that a window scores at most
TOGETHER = 4096, 256  # words and windows: enough that the overhead of a call doesn't matter
REMEMBERED = 500_000  # words; once there are more, they are forgotten


class WordWindow(NamedTuple):
    """A stretch of one sentence: ``numbers`` [read words] of words ``known``.

    It scores ``words``. The words around them, ``lead`` of which come first, are read because they influence these logits.
    """

    sentence: int
    numbers: Ids
    known: KnownWords
    lead: int
    words: Ids

    @property
    def size(self) -> int:
        return len(self.numbers)

    def numbered(self, sentence: int) -> WordWindow:
        return self._replace(sentence=sentence)


class WordBatch(NamedTuple):
    """Windows joined into one row. ``rows`` [1, different words, slots]; ``places`` [1, words] gives the word at each place by
    its number from 1, with a 0 before and after each window."""

    rows: Rows
    places: Ids
    windows: list[WordWindow]

    @property
    def inputs(self) -> Mapping[str, NDArray[Any]]:
        return {"rows": self.rows, "words": self.places}

    @property
    def needed_inputs(self) -> Mapping[str, NDArray[Any]]:
        return self.inputs

    @property
    def answer_shape(self) -> tuple[int, ...]:
        return self.places.shape

    def scored(self, output: Any) -> Any:
        """See `dinku.model.windows.Batch.scored`; ``output`` is [1, words, tags]."""
        return output[0, self.scored_places]

    @property
    def scored_places(self) -> Ids:
        """[scored words] the place of each word that is scored."""
        starts = np.cumsum([1, *(len(w.numbers) + 1 for w in self.windows)])
        return np.concatenate(
            [start + w.lead + np.arange(len(w.words)) for start, w in zip(starts, self.windows, strict=False)]
        )


@dataclass(frozen=True)
class WordEncoder:
    """Words → windows, for a network whose answer for a word depends on the words up to ``reach`` words away.

    A sentence of more than ``length`` words is read through several windows, each with ``reach`` words more on either side, so
    that the logits are those of the whole sentence.
    """

    features: WordFeatures
    reach: int
    length: int = LENGTH

    @cached_property
    def _memory(self) -> list[KnownWords]:
        """A list with the current `KnownWords` as its only item, so that these can be replaced in a frozen object."""
        return [KnownWords(self.features)]

    def _known(self) -> KnownWords:
        known = self._memory[0]
        if len(known) > REMEMBERED:  # numbering continues, so that earlier windows stay valid
            self._memory[0] = known = KnownWords(self.features, known.first + len(known))
        return known

    def windows(self, sentences: Sequence[Sequence[str]]) -> list[WordWindow]:
        """The windows of all sentences, in order; every word is in exactly one of them."""
        known = self._known()
        numbers = known.numbers([word for words in sentences for word in words])
        ends = np.cumsum([len(words) for words in sentences]).tolist()
        parts = (numbers[end - len(words) : end] for end, words in zip(ends, sentences, strict=True))
        return [window for number, part in enumerate(parts) for window in self._windows(number, part, known)]

    def stretches(self, words: Sequence[str], most: int = 4096) -> Generator[None, None, list[WordWindow]]:
        """The windows of one sentence, as `windows` gives them, read ``most`` words at a time; yields between two."""
        known, parts = self._known(), [np.zeros(0, np.int64)]
        for start in range(0, len(words), most):
            if start:
                yield
            parts.append(known.numbers(words[start : start + most]))
        return list(self._windows(0, np.concatenate(parts), known))

    def _windows(self, sentence: int, numbers: Ids, known: KnownWords) -> Iterator[WordWindow]:
        for start in range(0, len(numbers), self.length):
            end = min(start + self.length, len(numbers))
            low, high = max(0, start - self.reach), min(len(numbers), end + self.reach)
            yield WordWindow(sentence, numbers[low:high], known, start - low, np.arange(start, end))

    @property
    def together(self) -> tuple[int, int]:
        return TOGETHER

    def batch(self, windows: Sequence[WordWindow]) -> WordBatch:
        """Windows joined into one row, with a 0 between them."""
        between = np.full(1, -1)
        numbers = np.concatenate([between, *(part for w in windows for part in (w.numbers, between))])
        different, inverse = np.unique(numbers, return_inverse=True)
        rows = np.zeros((len(different) - 1, self.features.slots), np.int32)  # all but the -1 between windows
        for known in {id(w.known): w.known for w in windows}.values():
            own = slice(*np.searchsorted(different[1:], [known.first, known.first + len(known)]))
            rows[own] = known.rows(different[1:][own])
        return WordBatch(rows[None], inverse.reshape(1, -1), list(windows))

    def unknown(self, sentences: Sequence[Sequence[str]]) -> tuple[int, int]:
        """The number of words, and 0 unknown ones, because every word has a hash."""
        return sum(map(len, sentences)), 0
