"""What dinku knows of a family of encoders: its keys in config.json, where its weights are, and what it consists of.

Each file in `dinku.model.families` describes one family. An encoder of any other family is measured, by `dinku.model.measured`,
and can't be cut.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from dinku.errors import DinkuError
from dinku.model import families


@dataclass(frozen=True, slots=True)
class Build:
    """What an encoder is made of, besides its sizes, as its config says.

    ``projected`` are the linear layers of a layer that make queries, keys, values and whatever else is cut into heads;
    ``attention_bias``, ``out_bias`` and ``forward_bias`` say whether linear layers have biases, and ``norm`` how many numbers a
    norm has for each coordinate. With ``gated`` the first feed-forward matrix has twice as many rows, half of which are gates.
    ``outer`` counts the norms of the hidden states outside of layers. ``width`` is that of the embeddings if a linear layer turns
    them into hidden states, else 0. ``table`` says whether there are position embeddings, ``relative`` is the number of rows of a
    table of relative positions [rows, hidden], and ``head_relative`` that of one [rows, heads]. With ``shared`` all layers are
    one. With ``dense`` the tag head begins with a linear layer, with a bias if ``dense_bias``, and a norm.
    """

    projected: int = 3
    attention_bias: bool = True
    out_bias: bool = True
    forward_bias: bool = True
    norm: int = 2
    gated: bool = False
    outer: int = 1
    width: int = 0
    table: bool = True
    relative: int = 0
    head_relative: int = 0
    shared: bool = False
    dense: bool = False
    dense_bias: bool = False


@dataclass(frozen=True)
class Family:
    """A family of encoders.

    ``model_types`` are the values of ``model_type`` in config.json; ``keys`` says what the config calls what BERT's calls
    otherwise, ``defaults`` what an absent key means. ``build`` reads a config, and gives ``None`` for one with a part that isn't
    described: then the encoder is measured. ``encoder`` lists the first words of the names of an encoder's weights in a
    checkpoint.

    ``layers`` is the path of the list of layers in the model. The other paths are within a layer: ``attention`` is what cuts
    queries, keys and values into heads; ``into_heads`` are the linear layers that make these, ``out`` the one that reads the
    result, ``widen`` and ``narrow`` those of the feed-forward part. Each of ``into_heads`` has ``stacked`` matrices one below
    another. The linear layer at ``projection`` turns ``embeddings`` into hidden states; with ``projects_unlike`` only if they
    have unlike widths.

    ``offset`` says that positions are counted from after the padding id, ``unpadded`` that attention can be replaced, so that
    training reads rows without padding, ``masked_lm`` that
    dinku trains its masked-LM head, and ``rotary`` that positions are angles of a head's coordinates. ``refuses`` gives, by the
    name of a method, the reason why it makes no sense here and what does. With ``first_stays`` the first layer is unlike the
    others.
    """

    name: str
    model_types: tuple[str, ...]
    encoder: tuple[str, ...]
    layers: str
    attention: str
    into_heads: tuple[str, ...]
    out: str
    widen: str
    narrow: str
    build: Callable[[Mapping[str, Any]], Build | None] = lambda config: Build()
    keys: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, int] = field(
        default_factory=lambda: {"vocab_size": 30522, "max_position_embeddings": 512, "type_vocab_size": 2}
    )
    types: bool = True
    stacked: int = 1
    projection: str = ""
    projects_unlike: bool = False
    embeddings: str = "embeddings"
    offset: bool = False
    unpadded: bool = True
    masked_lm: bool = True
    rotary: bool = False
    first_stays: bool = False
    refuses: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def key(self, name: str) -> str:
        """What a config of this family calls what BERT's calls ``name``."""
        return self.keys.get(name, name)

    def check_makes_sense(self, method: object) -> None:
        """Raise `DinkuError` for a method that makes no sense in this family."""
        if reason := self.refuses.get(type(method).__name__):
            raise DinkuError(reason[0], where=type(method).__name__, remedy=reason[1])


@cache
def known() -> tuple[Family, ...]:
    """The families that are described, by the name of their files."""
    names = sorted(module.name for module in pkgutil.iter_modules(families.__path__))
    return tuple(importlib.import_module(f"{families.__name__}.{name}").FAMILY for name in names)


@cache
def named(model_type: str) -> Family | None:
    """The family of a ``model_type``, if it is described."""
    return next((family for family in known() if model_type in family.model_types), None)


def described(config: Mapping[str, Any]) -> Family | None:
    """The family of a config, if all of its parts are described."""
    family = named(str(config.get("model_type")))
    return family if family and family.build(config) else None


# Encoders whose answer to a sentence depends on how much padding follows it, whatever their mask says, because convolutions and
# hashes reach into it. They are read in groups of equal length, so that nothing is padded.
UNPADDED = ("convbert", "nystromformer", "yoso")
# Encoders for which transformers has token classifiers, and which read text like any other: subwords in, hidden states out.
MEASURED = (
    *("convbert", "data2vec-text", "deberta", "esm", "esmc", "eurobert", "flaubert", "gte"),
    *("jina_embeddings_v3", "layoutlm", "longformer", "mobilebert", "nomic_bert", "nystromformer"),
    *("openai_privacy_filter", "rembert", "roberta-prelayernorm", "roc_bert", "roformer"),
    *("squeezebert", "ultrabert", "xlm", "xlnet", "xmod", "yoso"),
)
_WHY_NOT = {
    "computes its attention only on a GPU, and silently answers zeros elsewhere": ("mra",),
    "gives other answers if windows are padded, or depending on what was read before": ("big_bird", "fnet", "funnel"),
    "reads more than subwords: places, entities, images or characters": (
        *(
            "bros",
            "canine",
            "layoutlmv2",
            "layoutlmv3",
            "lilt",
            "luke",
            "markuplm",
            "modernvbert",
            "mluke",
            "qwen3_asr",
        ),
    ),
    "is an encoder–decoder": (
        "bart",
        "mbart",
        "mt5",
        "m2m_100",
        "t5",
        "t5gemma",
        "t5gemma2",
        "umt5",
        "marian",
        "ultravbert",
    ),
    "is a decoder, which reads each word without those after it": (
        *(
            "bloom",
            "falcon",
            "gemma",
            "gemma2",
            "gpt2",
            "gpt_bigcode",
            "gpt_neo",
            "gpt_neox",
            "llama",
            "mistral",
            "mixtral",
        ),
        *("mpt", "opt", "phi", "phi3", "qwen2", "qwen3", "xglm"),
    ),
    "keeps quantizers in its layers": ("ibert",),
}


def read_unpadded(config: Any) -> bool:
    """Whether an encoder with this config, a mapping or one of transformers', has to read windows without any padding."""
    kind = config.get("model_type") if isinstance(config, Mapping) else getattr(config, "model_type", None)
    return kind in UNPADDED


# What a config of a measured encoder must say: the key, whether a config is fine, and what to do if it isn't.
_MUST: dict[str, tuple[str, Callable[[Mapping[str, Any]], bool], str]] = {
    "nystromformer": (
        "reads windows of one length alone",
        lambda config: config.get("num_landmarks", 64) == config.get("segment_means_seq_len", 64),
        "use one whose num_landmarks equals its segment_means_seq_len",
    ),
    "yoso": (
        "draws its attention at random",
        lambda config: config.get("use_expectation", True) is True,
        "set use_expectation to true",
    ),
}


def check_readable(config: Mapping[str, Any], *, where: str) -> None:
    """Raise `DinkuError` for an encoder whose config asks for what transformers no longer computes, or has it answer now so, now
    otherwise.
    """
    if config.get("is_decoder"):
        remedy = "use an encoder, or set is_decoder to false if it was trained as one"
        raise DinkuError("is set up as a decoder", where=where, remedy=remedy)
    positions = config.get("position_embedding_type")
    if positions not in (None, "absolute") and config.get("model_type") not in ("esm", "esmc"):
        # Footgun: transformers 5 ignores the key, and leaves the weights of relative positions out without a word.
        problem = f"its position embeddings are {positions!r}, which transformers no longer computes"
        raise DinkuError(problem, where=where, remedy="use an encoder with absolute positions")
    if (must := _MUST.get(str(config.get("model_type")))) and not must[1](config):
        raise DinkuError(must[0], where=where, remedy=must[2])


def supported() -> str:
    """What dinku opens, in words: the described families, then the types of config.json that it measures."""
    return f"{', '.join(family.name for family in known())}; or, to be trained and quantized but not cut, {', '.join(MEASURED)}"


def model_types() -> tuple[str, ...]:
    """All values of ``model_type`` of encoders that dinku opens."""
    return (*(name for family in known() for name in family.model_types), *MEASURED)


def support(config: Mapping[str, Any]) -> str:
    """What can be done to an encoder with this config, in a sentence; the same as in docs/encoders.md."""
    if family := described(config):
        without = [*family.refuses, *([] if family.masked_lm else ["Pretrain"])]
        but = f" but {', '.join(without)}" if without else ""
        return f"{family.name}, a described family: every method{but}"
    return f"{config.get('model_type')}, a measured encoder: {', '.join(WITHOUT_FAMILY)}"


WITHOUT_FAMILY = (
    *(
        "FineTune",
        "Sparsify",
        "Distil",
        "TrimVocabulary",
        "QuantizeLLMInt8",
        "QuantizeDynamic",
        "Quantize",
        "StartFrom",
    ),
    "StartFresh",
)  # the methods that need no description of a family


def refusal(model_type: Any, *, where: str) -> DinkuError:
    """Why a model of this type isn't opened, and what is."""
    if model_type is None:
        remedy = "restore the file, whose model_type says what the model is"
        return DinkuError("names no architecture", where=where, remedy=remedy)
    why = next((why for why, types in _WHY_NOT.items() if model_type in types), "is no encoder that dinku opens")
    return DinkuError(f"the architecture {model_type!r} {why}", where=where, remedy=f"use one of {supported()}")
