"""Opens the model in a folder, of any kind: a bundle without torch, or a tagger in torch.

`dinku.model.kinds` holds what doesn't need torch of each kind, and `_LOADERS` the loader in torch, which is imported at first
use.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from dinku.model.bundle import Bundle
from dinku.model.encode import LabelOn
from dinku.model.folder import ModelFolder
from dinku.model.kinds import TRANSFORMER, WORDS, kind_of
from dinku.model.sentence_tagger import SentenceTagger

Loader = Callable[[ModelFolder, LabelOn | None], SentenceTagger]


def _transformer(folder: ModelFolder, label_on: LabelOn | None) -> SentenceTagger:
    from dinku.nn.tagger import Tagger

    return Tagger.load(folder, label_on=label_on)


def _words(folder: ModelFolder, label_on: LabelOn | None) -> SentenceTagger:
    from dinku.nn.word_tagger import WordTagger

    return WordTagger.load(folder)


_LOADERS: dict[str, Loader] = {TRANSFORMER.name: _transformer, WORDS.name: _words}  # by the name of the kind


def load(model: str | os.PathLike[str] | ModelFolder, *, label_on: LabelOn | None = None) -> SentenceTagger:
    """The model in a folder in torch, as methods change it: a `dinku.nn.tagger.Tagger`, or the class of another kind.

    ``label_on`` says which subword represents a word, unless the folder says so. Raises `DinkuError` for a bundle, and for a
    folder that can't be read.
    """
    folder = ModelFolder.of(model)
    return _LOADERS[kind_of(folder).name](folder, label_on)


def open_tagger(
    model: str | os.PathLike[str] | ModelFolder, *, threads: int | None = None, label_on: LabelOn | None = None
) -> SentenceTagger:
    """The model in a folder, ready to tag: a bundle on ``threads`` threads without torch, or a tagger in torch."""
    folder = ModelFolder.of(model)
    return Bundle.open(folder, threads=threads) if folder.is_bundle else load(folder, label_on=label_on)
