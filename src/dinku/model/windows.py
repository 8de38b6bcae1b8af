"""The protocols by which sentences reach an engine: windows of a sentence, batches of windows, and the encoder that makes both.

Each kind of model implements all three, as `dinku.model.encode` does for models that read subwords.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Logits = NDArray[np.float32]


class Window(Protocol):
    """A part of one sentence that an engine reads at once."""

    @property
    def sentence(self) -> int:
        """The number of the sentence."""
        ...

    @property
    def words(self) -> Ids:
        """[words] the indices of the words that this window scores, in the order of its logits."""
        ...

    @property
    def size(self) -> int:
        """Its length in the unit that the model reads: subwords or words."""
        ...

    def numbered(self, sentence: int) -> Self:
        """The same window with another number of its sentence."""
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
        """`inputs` without those that have no effect on this batch, such as a mask without padding."""
        ...

    @property
    def answer_shape(self) -> tuple[int, ...]:
        """The shape of the model's output without the last axis, that of the tags."""
        ...

    def scored(self, output: Any) -> Any:
        """[scored words, tags] from the model's output, an array or a tensor, with words in the order of `windows`."""
        ...


W = TypeVar("W", bound=Window)


class Encoder(Protocol[W]):
    """Words → windows → batches. Every word that the model can read is in exactly one window; the others are ``O``."""

    def windows(self, sentences: Sequence[Sequence[str]]) -> list[W]:
        """The windows of all sentences, in order."""
        ...

    def stretches(self, words: Sequence[str]) -> Generator[None, None, list[W]]:
        """The windows of one sentence, as in `windows`; yields from time to time while it reads a long one."""
        ...

    def batch(self, windows: Sequence[W]) -> Batch: ...

    @property
    def together(self) -> tuple[int, int]:
        """The default limits of a batch: subwords or words, padding included, and windows."""
        ...

    def unknown(self, sentences: Sequence[Sequence[str]]) -> tuple[int, int]:
        """The number of units (`Window.size`) in all sentences, and the number of words with an unknown unit."""
        ...


def buckets(lengths: Sequence[int], tokens: int, most: int) -> list[list[int]]:
    """Indices in batches of similar length: up to ``tokens`` subwords or words, padding included, and ``most`` windows."""
    out: list[list[int]] = []
    for i in np.argsort(np.asarray(lengths), kind="stable")[::-1].tolist():
        if out and len(out[-1]) < most and lengths[out[-1][0]] * (len(out[-1]) + 1) <= tokens:
            out[-1].append(i)
        else:
            out.append([i])
    return out
