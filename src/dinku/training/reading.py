"""How models read windows while they train: a way for each kind of model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, singledispatch
from typing import Any

import numpy as np
import torch

from dinku.errors import DinkuError
from dinku.model.encode import SubwordWindow
from dinku.model.engine import Engine
from dinku.nn.tagger import Tagger
from dinku.nn.torch_engine import TorchEngine
from dinku.nn.word_network import WordNetwork
from dinku.nn.word_tagger import WordTagger
from dinku.training import unpadded, while_training
from dinku.training.unpadded import UnpaddedEngine


@dataclass(frozen=True)
class View:
    """A model that is being trained: ``tensors(windows)`` are what `logits` takes, and ``engine`` tags with it as it is now."""

    tensors: Callable[[Sequence[Any]], dict[str, Any]]
    engine: Engine


@singledispatch
def logits(model: Any, tensors: dict[str, Any]) -> torch.Tensor:
    """[scored words, tags] that a model answers to the tensors of its `View`."""
    return unpadded.logits(model, tensors)


@logits.register
def _(model: WordNetwork, tensors: dict[str, Any]) -> torch.Tensor:
    rows, words, scored = (tensors[name].to(model.device) for name in ("rows", "words", "scored"))
    found: torch.Tensor = model(rows, words).logits[0]
    return found.index_select(0, scored)


@singledispatch
@contextmanager
def reading(tagger: Any, windows: Sequence[Any], *, all_rows: bool) -> Iterator[View]:
    """Prepare a tagger's model for training on these windows, and put it back afterwards.

    With ``all_rows`` rows of the word embeddings that no window uses may move, too.
    """
    raise DinkuError("is of a kind that can't be trained", where=tagger.name, remedy="train a tagger of another kind")
    yield


@reading.register
@contextmanager
def _subwords(tagger: Tagger, windows: Sequence[SubwordWindow], *, all_rows: bool) -> Iterator[View]:
    model = tagger.model
    used = None if all_rows else _used(tagger, windows)
    with (
        while_training.compact_embeddings(model, used) as row,
        while_training.quick_dropout(model),
        unpadded.reading(model),
    ):
        read = partial(unpadded.row, model=model, pad=tagger.encoder.pad, renumber=row)
        yield View(read, UnpaddedEngine(model, read))


@reading.register
@contextmanager
def _words(tagger: WordTagger, windows: Sequence[Any], *, all_rows: bool) -> Iterator[View]:
    encoder, engine = tagger.encoder, TorchEngine(tagger.model)

    def tensors(some: Sequence[Any]) -> dict[str, Any]:
        batch = encoder.batch(some)
        return {
            "rows": torch.from_numpy(batch.rows),
            "words": torch.from_numpy(batch.places),
            "scored": torch.from_numpy(batch.scored_places),
        }

    with while_training.quick_dropout(tagger.model):
        yield View(tensors, engine)


def _used(tagger: Tagger, windows: Sequence[SubwordWindow]) -> torch.Tensor:
    """The rows of the word embeddings that these windows use, sorted.

    Rows up to the padding id are among them, so that its number stays: RoBERTa counts positions from it.
    """
    rows = np.unique(np.concatenate([np.arange(tagger.encoder.pad + 1), *(w.ids for w in windows)]))
    return torch.from_numpy(rows)
