"""How sentences reach an engine, whatever the kind of model: windows of a sentence, batches of windows, and what makes both.

A kind of model implements these three protocols: `dinku.model.encode` does for models that read subwords.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Logits = NDArray[np.float32]


class Window(Protocol):
    """A stretch of one sentence that an engine reads at once."""

    @property
    def sentence(self) -> int:
        """The number of the sentence."""
        ...

    @property
    def words(self) -> Ids:
        """[words] the words of the sentence that this window scores, in the order of its logits."""
        ...

    @property
    def size(self) -> int:
        """How much there is to read, in what the model reads: subwords, or words."""
        ...

    def numbered(self, sentence: int) -> Self:
        """The same window as one of the sentence of that number."""
        ...


class Batch(Protocol):
    """Windows that an engine reads together."""

    @property
    def windows(self) -> Sequence[Window]: ...

    @property
    def inputs(self) -> Mapping[str, NDArray[Any]]:
        """The inputs of the model by name, as its ONNX file names them."""
        ...

    @property
    def needed_inputs(self) -> Mapping[str, NDArray[Any]]:
        """`inputs` without those that change nothing for this batch, such as a mask that masks nothing."""
        ...

    @property
    def answer_shape(self) -> tuple[int, ...]:
        """The shape of what the model answers, without its last axis, which is that of the tags."""
        ...

    def scored(self, output: Any) -> Any:
        """[scored words, tags] out of what the model answers, an array or a tensor; words in the order of `windows`."""
        ...


W = TypeVar("W", bound=Window)


class Encoder(Protocol[W]):
    """Words → windows → batches. Every word that the model can read is in exactly one window; the others are ``O``."""

    def windows(self, sentences: Sequence[Sequence[str]]) -> list[W]:
        """The windows of all sentences, in order."""
        ...

    def stretches(self, words: Sequence[str]) -> Generator[None, None, list[W]]:
        """The windows of one sentence, as `windows` gives them; yields now and then while it reads a long one."""
        ...

    def batch(self, windows: Sequence[W]) -> Batch: ...

    @property
    def together(self) -> tuple[int, int]:
        """How much is read together unless told otherwise: so many subwords or words, padding included, in so many windows."""
        ...

    def unknown(self, sentences: Sequence[Sequence[str]]) -> tuple[int, int]:
        """How much there is to read in all (`Window.size`), and how many words the model knows nothing of."""
        ...


def buckets(lengths: Sequence[int], tokens: int, most: int) -> list[list[int]]:
    """Indices grouped into batches of like length: up to ``tokens`` subwords or words, padding included, and ``most`` windows."""
    out: list[list[int]] = []
    for i in np.argsort(np.asarray(lengths), kind="stable")[::-1].tolist():
        if out and len(out[-1]) < most and lengths[out[-1][0]] * (len(out[-1]) + 1) <= tokens:
            out[-1].append(i)
        else:
            out.append([i])
    return out
