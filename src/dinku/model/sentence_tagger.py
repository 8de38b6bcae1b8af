"""`SentenceTagger`: the protocol of everything that tags the words of sentences, whatever the kind of model and the runtime.

Studies, exports, commands and servers use taggers only through this protocol, so that none of them depends on whether a tagger
reads subwords or words, or whether it runs in torch or as a bundle. `TagsByEngine` implements the half of the
protocol that follows from an engine, an encoder and the tags; `dinku.nn.tagger.Tagger` and `dinku.model.bundle.Bundle` both
build on it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

from dinku.data.corpus import Corpus, Sentence
from dinku.data.learned import WHOLE
from dinku.data.task import NER, Task
from dinku.model import predict
from dinku.model.encode import LabelOn
from dinku.model.engine import InspectableEngine
from dinku.model.numerics import Numerics, measure_numerics
from dinku.model.shape import Costs, Scheme
from dinku.model.windows import Encoder, Logits, W
from dinku.progress import Count
from dinku.scoring.counts import Counts
from dinku.scoring.tagging import Tagging


class SentenceTagger(Protocol):
    """Whatever tags the words of sentences."""

    @property
    def name(self) -> str:
        """Its name in errors: the folder that it comes from, or its class."""
        ...

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that it gives, in the order of its logits; empty for an encoder that has yet to be fine-tuned."""
        ...

    @property
    def task(self) -> Task:
        """What its tags are: names of entities in a scheme, or labels of words or sentences."""
        ...

    @property
    def encoder(self) -> Encoder[Any]:
        """How it reads words."""
        ...

    @property
    def legal_tags(self) -> bool:
        """Whether the tags of a sentence are legal one after another, by `dinku.model.decoding`."""
        ...

    @property
    def shape(self) -> Costs:
        """What it costs, as measured: parameters, bytes, multiply-adds."""
        ...

    @property
    def scheme(self) -> Scheme:
        """How its weights are stored; nothing can be done to a tagger whose scheme is ``terminal``."""
        ...

    @property
    def precision(self) -> str:
        """What it computes in, as tables show it: *fp32*, *bf16*, *int8*, or how it is quantized for torch."""
        ...

    @property
    def digest(self) -> str:
        """sha256, as hex, over everything that its answers depend on."""
        ...

    @property
    def learned(self) -> frozenset[int]:
        """The fingerprints of the sentences that it was trained on, by `dinku.data.learned`, as far as they are known."""
        ...

    @property
    def learned_below(self) -> int:
        """The number below which ``learned`` are all fingerprints: a bundle keeps a sample of many."""
        ...

    @property
    def linear(self) -> tuple[int, int]:
        """The weights of its linear layers, the tag head aside: how many there are, and how many aren't zero."""
        ...

    @property
    def cpu_only(self) -> bool:
        """Whether it can't run on a GPU."""
        ...

    def to(self, device: str) -> None:
        """Move it to a device of torch, *cpu* or *cuda*. Whatever is ``cpu_only`` stays where it is."""
        ...

    def in_precision(self, precision: str) -> Self:
        """The same tagger computing in *float32* or *bfloat16*; raises `DinkuError` if it can't."""
        ...

    def tag(
        self,
        sentences: Sequence[Sentence],
        *,
        tokens: int | None = None,
        most: int | None = None,
        progress: Count | None = None,
    ) -> list[Tagging]:
        """The tag of every word of every sentence; see `dinku.model.predict.tag`."""
        ...

    def answered(self, windows: Sequence[Any]) -> Iterator[tuple[Any, Logits]]:
        """The logits of each window, for a caller that decides itself which windows are read next."""
        ...

    def evaluate(self, corpus: Corpus, *, progress: Count | None = None) -> Counts:
        """Counts of spans over a tagged corpus."""
        ...

    def numerics(self, sentences: Sequence[Sentence]) -> Numerics:
        """How it computes, measured on these sentences."""
        ...

    def check_changeable(self, method: object = None) -> None:
        """Raise `DinkuError` if it can't be changed because it is quantized or a bundle, or if ``method`` can't change it."""
        ...

    def as_reopened(self, folder: Path, label_on: LabelOn) -> Self | None:
        """The tagger that opening ``folder``, to which it was saved, would give, with weights from memory; ``None`` for a
        bundle."""
        ...

    def copy(self) -> Self:
        """The same tagger with weights, or an engine, of its own."""
        ...

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write its folder, which `dinku.nn.loading.open_tagger` opens as an equal tagger.

        Raises `DinkuError` if the folder is there already.
        """
        ...


class _ByEngine(Protocol):
    """What `TagsByEngine` needs of the class that it is mixed into."""

    @property
    def engine(self) -> InspectableEngine: ...
    @property
    def encoder(self) -> Encoder[Any]: ...
    @property
    def tags(self) -> tuple[str, ...]: ...
    @property
    def legal_tags(self) -> bool: ...
    @property
    def task(self) -> Task: ...
    @property
    def arithmetic(self) -> str:
        """How it computes, as a row's numerics name it."""
        ...


class TagsByEngine:
    """Tagging with an ``engine``, an ``encoder`` and ``tags``, which the class that it is mixed into has."""

    legal_tags = False
    learned_below = WHOLE
    task: Task = NER

    def tag(
        self: _ByEngine,
        sentences: Sequence[Sentence],
        *,
        tokens: int | None = None,
        most: int | None = None,
        progress: Count | None = None,
    ) -> list[Tagging]:
        """The tag of every word of every sentence; see `dinku.model.predict.tag`."""
        asked: dict[str, Any] = {"tokens": tokens, "most": most, "progress": progress}
        own: dict[str, Any] = {"legal": self.legal_tags, "task": self.task}
        return predict.tag(self.engine, self.encoder, self.tags, sentences, **own, **asked)

    def answered(self: _ByEngine, windows: Sequence[W]) -> Iterator[tuple[W, Logits]]:
        """The logits of each window; see `dinku.model.predict.answered`."""
        return predict.answered(self.engine, self.encoder, windows)

    def evaluate(self: _ByEngine, corpus: Corpus, *, progress: Count | None = None) -> Counts:
        """Counts of spans over a tagged corpus."""
        how: dict[str, Any] = {"legal": self.legal_tags, "task": self.task, "progress": progress}
        return predict.evaluate(self.engine, self.encoder, self.tags, corpus, **how)

    def numerics(self: _ByEngine, sentences: Sequence[Sentence]) -> Numerics:
        """How its engine computes on these sentences."""
        return measure_numerics(self.engine, self.encoder, sentences, scheme=self.arithmetic)
