"""Encoders of any shape as transformers' own classes: layers unlike one another, factorized word embeddings.

A folder whose config.json has ``dinku_layers`` or ``dinku_rank`` is refused by plain transformers, whose classes can't have
such sizes. The classes of this module open it, as `dinku.nn.tagger.Tagger` does, without running code from the folder:

    from dinku.modeling import AutoModelForTokenClassification
    model = AutoModelForTokenClassification.from_pretrained("folder")

``dinku_layers`` lists for each layer its heads, the size of a head and the width of its feed-forward part; ``dinku_rank`` is
the rank of the word embeddings.
"""

from __future__ import annotations

from functools import cache
from inspect import signature
from typing import Any, NamedTuple, cast

import torch
import transformers
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, PreTrainedModel

from dinku.errors import DinkuError
from dinku.model.family import Family, described, known
from dinku.model.shape import Layer, Shape


class Linears(NamedTuple):
    """The linear layers of a transformer layer, by what they compute.

    ``into_heads`` are those whose outputs are cut into heads: queries, keys, values and the like; the weight of each stacks
    ``stacked`` such matrices. ``out`` reads the outputs of the heads. The weight of ``widen`` stacks ``wide`` matrices (2: values
    and gates), and ``narrow`` reads their result.
    """

    into_heads: tuple[nn.Linear, ...]
    out: nn.Linear
    widen: nn.Linear
    narrow: nn.Linear
    stacked: int
    wide: int

    @property
    def query(self) -> nn.Linear:
        """The layer that makes queries; also that of `key` and `value` if one layer makes all three."""
        return self.into_heads[0]

    @property
    def key(self) -> nn.Linear:
        return self.into_heads[1 % len(self.into_heads)]

    @property
    def value(self) -> nn.Linear:
        return self.into_heads[2 % len(self.into_heads)]

    @property
    def reading(self) -> tuple[nn.Linear, ...]:
        """The linear layers that read hidden states."""
        return (*self.into_heads, self.widen)

    @property
    def all(self) -> tuple[nn.Linear, ...]:
        return (*self.into_heads, self.out, self.widen, self.narrow)


def family_of(model: PreTrainedModel) -> Family:
    """The family of a model; raises `DinkuError` if dinku doesn't describe it."""
    family = described(model.config.to_dict())
    if family is None:
        where = type(model).__name__
        problem = "has insides that dinku doesn't know"
        raise DinkuError(problem, where=where, remedy=f"use one of {', '.join(each.name for each in known())}")
    return family


def layers(model: PreTrainedModel) -> nn.ModuleList:
    """The transformer layers that have weights of their own; each answers with hidden states [batch, subwords, hidden]."""
    return cast(nn.ModuleList, model.base_model.get_submodule(family_of(model).layers))


def attention(layer: nn.Module) -> Any:
    """The module of a layer that cuts queries, keys and values into heads."""
    return layer.get_submodule(_family_of_layer(layer).attention)


def head_size(layer: nn.Module) -> int:
    """How many numbers a head of a layer has."""
    own = attention(layer)
    return int(own.head_dim if hasattr(own, "head_dim") else own.attention_head_size)


def linears(layer: nn.Module) -> Linears:
    """The linear layers of a transformer layer."""
    family, there = _family_of_layer(layer), dict(layer.named_modules())
    into = tuple(cast(nn.Linear, there[name]) for name in family.into_heads if name in there)
    out, widen, narrow = (cast(nn.Linear, there[name]) for name in (family.out, family.widen, family.narrow))
    return Linears(into, out, widen, narrow, family.stacked, widen.out_features // narrow.in_features)


def _family_of_layer(layer: nn.Module) -> Family:
    """A family whose layers have the parts of this one; several families may have the same parts."""
    there = dict(layer.named_modules())
    return next(each for each in known() if {each.into_heads[0], each.out, each.widen, each.narrow} <= there.keys())


def set_heads(layer: nn.Module, heads: int, size: int) -> None:
    """Set the number of heads, and their size, into which a layer cuts its queries, keys and values."""
    own = attention(layer)
    sizes = {"n_heads": heads, "num_attention_heads": heads, "attention_head_size": size, "head_dim": size}
    for name, value in {**sizes, "all_head_size": heads * size, "scaling": size**-0.5}.items():
        if hasattr(own, name):
            setattr(own, name, value)


class FactorizedEmbedding(nn.Embedding):
    """Word embeddings as a product: ``weight`` [vocabulary, rank], then ``projection`` [hidden, rank] (ALBERT)."""

    def __init__(self, rows: int, rank: int, hidden: int, padding_idx: int | None) -> None:
        super().__init__(rows, rank, padding_idx)
        self.projection = nn.Parameter(nn.init.normal_(torch.empty(hidden, rank), std=rank**-0.5))

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return F.linear(super().forward(input), self.projection)


class FactorizedDecoder(nn.Linear):
    """The last layer of a masked-LM head over factorized word embeddings, whose product is its weight."""

    def __init__(self, table: FactorizedEmbedding, bias: nn.Parameter) -> None:
        super().__init__(1, 1, device="meta")
        self.in_features, self.out_features = len(table.projection), table.num_embeddings
        self.weight, self.bias = table.weight, bias
        self.table = (table,)  # not a part of this module, lest its weights be counted twice

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return F.linear(F.linear(input, self.table[0].projection.T), self.weight, self.bias)


def factorize(model: PreTrainedModel, table: FactorizedEmbedding) -> None:
    """Put factorized word embeddings into a model, under its masked-LM head too."""
    model.base_model.set_input_embeddings(table)
    decoder = model.get_output_embeddings()
    if decoder is not None:
        model.set_output_embeddings(FactorizedDecoder(table, cast(Any, decoder).bias))


def describe(model: PreTrainedModel) -> None:
    """Write the sizes of a model's modules into its config, in the keys of transformers if these suffice, else in dinku's."""
    config, table, family = model.config, cast(nn.Embedding, model.base_model.get_input_embeddings()), family_of(model)
    sizes = []
    for layer in layers(model):
        own, size = linears(layer), head_size(layer)
        sizes.append([own.out.in_features // size, size, own.narrow.in_features])
    rank = table.embedding_dim if isinstance(table, FactorizedEmbedding) else 0
    hidden = linears(layers(model)[0]).out.out_features
    build = family.build(config.to_dict())
    if build and build.shared:
        sizes *= config.num_hidden_layers
    elif hasattr(config, "layer_types"):
        config.layer_types = [cast(Any, layer).attention_type for layer in layers(model)]
    if build and not build.width and hasattr(config, "embedding_size"):
        config.embedding_size = hidden
    heads, size, _ = sizes[0]
    config.hidden_size, config.num_hidden_layers = hidden, len(sizes)
    config.num_attention_heads = 1 if hidden % heads else heads  # transformers builds no others, and they are replaced
    if family.rotary:
        config.head_dim = size
    setattr(config, family.key("intermediate_size"), max(each[2] for each in sizes))
    plain = heads * size == hidden and all(each == sizes[0] for each in sizes)
    for name, value in (("dinku_layers", None if plain else sizes), ("dinku_rank", rank)):
        config.__dict__.pop(name, None)
        if value:
            setattr(config, name, value)


def _is_plain(config: Any) -> bool:
    return not (getattr(config, "dinku_layers", None) or getattr(config, "dinku_rank", None))


@cache
def _shaped(kind: Any) -> Any:
    """A subclass of the same name whose models get the sizes that dinku wrote into their config."""

    def __init__(self: Any, config: Any, **options: Any) -> None:  # noqa: N807 - becomes that of the class below
        kind.__init__(self, config, **options)
        shape = Shape.of_config(config.to_dict())
        for layer, sizes in zip(layers(self), shape.stored_layers, strict=True):
            _resize(layer, sizes, getattr(config, "initializer_range", 0.02))
        if shape.rank:
            pad = self.base_model.get_input_embeddings().padding_idx
            factorize(self, FactorizedEmbedding(shape.vocabulary, shape.rank, shape.embedding_width, pad))

    return type(kind.__name__, (kind,), {"__init__": __init__, "__module__": __name__})


def _resize(layer: nn.Module, sizes: Layer, deviation: float) -> None:
    inner, own = sizes.heads * sizes.head_size, linears(layer)
    hidden = own.out.out_features
    wanted = [(own.stacked * inner, hidden)] * len(own.into_heads)
    wanted += [(hidden, inner), (own.wide * sizes.width, hidden), (hidden, sizes.width)]
    for linear, (rows, columns) in zip(own.all, wanted, strict=True):
        linear.out_features, linear.in_features = rows, columns
        linear.weight = nn.Parameter(nn.init.normal_(linear.weight.new_empty(rows, columns), std=deviation))
        if linear.bias is not None:
            linear.bias = nn.Parameter(linear.bias.new_zeros(rows))
    set_heads(layer, sizes.heads, sizes.head_size)


class _Auto:
    """One of transformers' auto classes, extended to configs into which dinku wrote sizes."""

    def __init__(self, plain: Any, kinds: Any) -> None:
        self.plain, self.kinds = plain, kinds

    def from_config(self, config: Any, **options: Any) -> Any:
        """An untrained model of the config's sizes, as in transformers."""
        if _is_plain(config):
            return self.plain.from_config(config, **options)
        return _shaped(self.kinds[type(config)])._from_config(config, **options)

    def from_pretrained(self, name: Any, *, config: Any = None, **options: Any) -> Any:
        """The model in a folder or on the Hub, as in transformers, except that remote code is never run."""
        options["trust_remote_code"] = False
        if config is None:  # which takes what it knows, such as num_labels
            own = {key: options[key] for key in (*_WHERE, *_MODELS) if key in options}
            told = {key: value for key, value in options.items() if key not in _MODELS}
            config, options = AutoConfig.from_pretrained(name, return_unused_kwargs=True, **told)
            options |= own
        kind = self.plain if _is_plain(config) else _shaped(self.kinds[type(config)])
        return kind.from_pretrained(name, config=config, **options)


# The options of `from_pretrained` that say which files it means, and whether their code is run.
_WHERE = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token", "trust_remote_code")
_MODELS = ("dtype", "torch_dtype", "quantization_config")  # those that are the model's, though a config knows them
AutoModel = _Auto(transformers.AutoModel, transformers.MODEL_MAPPING)
AutoModelForMaskedLM = _Auto(transformers.AutoModelForMaskedLM, transformers.MODEL_FOR_MASKED_LM_MAPPING)
AutoModelForTokenClassification = _Auto(
    transformers.AutoModelForTokenClassification, transformers.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING
)
AutoModelForSequenceClassification = _Auto(
    transformers.AutoModelForSequenceClassification, transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
)
HEADS = {
    "ForTokenClassification": AutoModelForTokenClassification,
    "ForSequenceClassification": AutoModelForSequenceClassification,
}
_POOLED = "ForSequenceClassification"


def is_pooled(model: Any) -> bool:
    """Whether a model labels whole windows, by the state of their first subword."""
    return type(model).__name__.endswith(_POOLED)


def without_pooler(kind: Any, config: Any) -> dict[str, bool]:
    """The options for building an encoder without a pooler; none for a class that doesn't know them."""
    if kind is not AutoModel or "add_pooling_layer" not in signature(kind.kinds[type(config)].__init__).parameters:
        return {}
    return {"add_pooling_layer": False}
