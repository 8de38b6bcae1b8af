"""The kinds of models, and how the folder of each is read without torch. `dinku.nn.loading` loads them in torch.

A new kind is an entry in `KINDS` here and one in `dinku.nn.loading`; no other module asks for the kind of a model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any, cast

from dinku.errors import DinkuError, plural
from dinku.model import encode
from dinku.model.encode import LabelOn, SubwordEncoder
from dinku.model.family import model_types, refusal
from dinku.model.folder import BUNDLE_FILE, ModelFolder, is_masked_lm
from dinku.model.measured import MeasuredShape, shape_of_folder
from dinku.model.onnx_file import AGAIN
from dinku.model.shape import Costs, Shape
from dinku.model.windows import Encoder
from dinku.model.word_encoder import WORD_INPUTS, WordEncoder
from dinku.model.word_shape import MODEL_TYPE, WordShape


@dataclass(frozen=True)
class Kind:
    """How dinku reads the folder of one kind of model.

    ``model_types`` are the values of ``model_type`` in config.json. ``shape`` declares what a model costs from its folder.
    ``encoder`` gives its encoder of words, or ``None`` if that needs torch; ``bundle_encoder`` gives that of a bundle whose
    manifest has this ``length`` and ``label_on``. With ``legal_tags`` its tags are the most probable legal sequence, otherwise
    the most probable tag of each word. ``holds`` says whether a tensor of a weights file belongs to the model or is left out. A
    bundle has ``bundle_files`` beside its config and its model, whose inputs are ``inputs``.
    """

    name: str
    model_types: Collection[str]
    shape: Callable[[ModelFolder], Costs]
    encoder: Callable[[ModelFolder], Encoder[Any] | None]
    bundle_encoder: Callable[[ModelFolder, int, LabelOn], Encoder[Any]]
    holds: Callable[[str, Costs], bool]
    bundle_files: Collection[str]
    inputs: Collection[str]
    legal_tags: bool = False


def _bundle_encoder(folder: ModelFolder, length: int, label_on: LabelOn) -> SubwordEncoder:
    encoder = encode.opened(folder, ["tokenizer_config.json"])
    if encoder is None:
        where = str(folder.path / "tokenizer_config.json")
        raise DinkuError("names no padding token", where=where, remedy=AGAIN)
    if length > encoder.length:
        problem = f"its windows of {plural(length, 'subword')} are longer than its model's {encoder.length:,}"
        raise DinkuError(problem, where=str(folder.path / BUNDLE_FILE), remedy=AGAIN)
    return replace(encoder, length=length, label_on=label_on)


# The tensors of a checkpoint that a tagger leaves out, and the second copy of the word embeddings.
_LEFT_OUT = re.compile(r"(^|\.)(pooler|position_ids|scale|SCB|weight_format)(\.|$)")
_TIED = re.compile(r"(^|\.)((lm_head|cls\.predictions)\.decoder\.|vocab_projector\.weight$)")
_POOLED = re.compile(
    r"(pooler|pre_classifier|classifier|score|head)\."
)  # the head of whole texts, which may be in the encoder
_HEAD = re.compile(r"(classifier|score|head)\.")  # the tag head; part of ModernBERT's masked-LM head has the same name


def _holds(name: str, shape: Costs) -> bool:
    """Whether a tensor belongs to the encoder or its head, and not to a pooler or another head."""
    if isinstance(shape, MeasuredShape):
        encoder, kept = shape.measured.encoder, shape.measured.encoder
    else:
        encoder, kept = cast(Shape, shape).known_family.encoder, ()
    if name.split(".")[0] not in encoder:
        if is_masked_lm(name):
            return cast(Shape, shape).masked_lm and not (_TIED.search(name) or _LEFT_OUT.search(name))
        if cast(Shape, shape).pooled:
            return bool(_POOLED.match(name))
        return bool(shape.tags and _HEAD.match(name)) and not _LEFT_OUT.search(name)
    if cast(Shape, shape).pooled and _POOLED.match(name.partition(".")[2]):
        return True
    left_out = _LEFT_OUT.search(name)
    return not left_out or left_out[2] in kept


TRANSFORMER = Kind(
    name="transformer",
    model_types=model_types(),
    shape=shape_of_folder,
    encoder=encode.opened,
    bundle_encoder=_bundle_encoder,
    holds=_holds,
    bundle_files=("tokenizer.json", "tokenizer_config.json"),
    inputs=encode.SUBWORD_INPUTS,
)


def _word_encoder(folder: ModelFolder) -> WordEncoder:
    shape = WordShape.of_folder(folder)
    return WordEncoder(shape.word_features, shape.reach)


def _word_bundle_encoder(folder: ModelFolder, length: int, label_on: LabelOn) -> WordEncoder:
    return replace(_word_encoder(folder), length=length)


WORDS = Kind(
    name="words",
    model_types=(MODEL_TYPE,),
    shape=WordShape.of_folder,
    encoder=_word_encoder,
    bundle_encoder=_word_bundle_encoder,
    holds=lambda name, shape: True,
    bundle_files=(),
    inputs=WORD_INPUTS,
    legal_tags=True,
)
KINDS = (TRANSFORMER, WORDS)


def kind_of(folder: ModelFolder) -> Kind:
    """The kind of the model in a folder; raises `DinkuError` for a ``model_type`` that no kind has."""
    model_type = folder.config.get("model_type")
    for kind in KINDS:
        if model_type in kind.model_types:
            return kind
    raise refusal(model_type, where=folder.config_file)


def subword_encoder(folder: ModelFolder) -> SubwordEncoder | None:
    """A model's encoder of subwords, ``None`` if that needs torch; raises `DinkuError` for a model that reads whole words."""
    encoder = kind_of(folder).encoder(folder)
    if encoder is None or isinstance(encoder, SubwordEncoder):
        return encoder
    raise DinkuError("reads whole words, and has no subwords to count", where=str(folder), remedy="name another model")
