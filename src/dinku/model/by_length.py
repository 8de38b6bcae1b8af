"""Reading without padding, for encoders whose answer to a sentence depends on how much padding follows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from dinku.model.encode import SubwordBatch
from dinku.model.engine import InspectableEngine
from dinku.model.family import read_unpadded
from dinku.model.windows import Batch, Logits


def by_length_if_needed(engine: InspectableEngine, config: Mapping[str, Any]) -> InspectableEngine:
    """The engine, or one that reads without padding if a model of this ``config.json`` needs that."""
    return ByLengthEngine(engine) if read_unpadded(config) else engine


def by_length(answer: Callable[[SubwordBatch], Logits], batch: SubwordBatch) -> Logits:
    """[scored words, tags] of a batch that is answered in groups of windows of equal length, so that nothing is padded."""
    lengths = np.array([window.size for window in batch.windows])
    out: list[Logits] = [np.zeros((0, 0), np.float32)] * len(lengths)
    for length in np.unique(lengths):
        chosen = np.flatnonzero(lengths == length)
        part = SubwordBatch(batch.ids[chosen, :length], batch.mask[chosen, :length], [batch.windows[i] for i in chosen])
        ends = np.cumsum([len(window.at) for window in part.windows])
        for i, logits in zip(chosen, np.split(answer(part), ends[:-1]), strict=True):
            out[i] = logits
    return np.concatenate(out)


@dataclass(frozen=True)
class ByLengthEngine:
    """An engine of an encoder whose answers depend on padding (`dinku.model.family.UNPADDED`): it is never given any."""

    engine: InspectableEngine

    def logits(self, batch: Batch) -> Logits:
        """See `Engine.logits`."""
        return by_length(self.engine.logits, cast(SubwordBatch, batch))

    def executed(self, batch: Batch) -> dict[str, int]:
        """See `InspectableEngine.executed`."""
        return self.engine.executed(batch)

    @property
    def kernels(self) -> str:
        return self.engine.kernels

    @property
    def instructions(self) -> str:
        return self.engine.instructions
