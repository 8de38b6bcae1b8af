"""The converters of all kinds of taggers; a new kind is an entry in `_CONVERTERS`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dinku.errors import DinkuError
from dinku.export.converter import Converter
from dinku.export.transformer import TransformerConverter
from dinku.export.words import WordConverter
from dinku.model.sentence_tagger import SentenceTagger
from dinku.nn.tagger import Tagger
from dinku.nn.word_tagger import WordTagger

_CONVERTERS: dict[type, Callable[[Any], Converter]] = {Tagger: TransformerConverter, WordTagger: WordConverter}


def converter_of(tagger: SentenceTagger) -> Converter:
    """How a tagger is converted; raises `DinkuError` for one that can't be, such as a bundle."""
    tagger.check_changeable()
    if type(tagger) not in _CONVERTERS:
        remedy = "export a tagger of another kind"
        raise DinkuError("is of a kind that can't become a bundle", where=tagger.name, remedy=remedy)
    return _CONVERTERS[type(tagger)](tagger)
