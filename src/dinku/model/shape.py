"""What a model costs, by arithmetic: parameters, bytes and multiply-adds, before anything is built or run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, Self

from dinku.errors import DinkuError, plural
from dinku.model.folder import ModelFolder, model_tags

# What a family calls otherwise than the rest, and what an absent key of a config.json means.
_OWN_KEYS = {
    "distilbert": {
        "hidden_size": "dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim",
    }
}
_DEFAULTS = {"vocab_size": 30522, "max_position_embeddings": 512, "type_vocab_size": 2}
FAMILIES = ("bert", "distilbert", "roberta", "xlm-roberta")


def config_key(family: str, name: str) -> str:
    """What a family's config.json calls what BERT's calls ``name``."""
    return _OWN_KEYS.get(family, {}).get(name, name)


@dataclass(frozen=True, slots=True)
class Layer:
    """One transformer layer: attention heads, the size of a head, and the width of the feed-forward part."""

    heads: int
    head_size: int
    width: int


@dataclass(frozen=True, slots=True)
class Component:
    """A named part of a model: what `dinku inspect` lists."""

    name: str
    parameters: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Scheme:
    """How the weights lie in a folder: bytes of a value in the matrices of linear layers, and of any other value.

    ``scales``, of four bytes, are one a row or one a matrix. The matrix of the tag head is one of them where ``head`` is,
    and word embeddings are where ``words`` is. With ``smooth`` each feature that linear layers read has a factor of four
    bytes.
    """

    name: str
    linear: int
    rest: int
    scales: Literal["", "row", "matrix"] = ""
    head: bool = False
    words: bool = False
    smooth: bool = False

    @property
    def terminal(self) -> bool:
        """Whether nothing may be done to a tagger any more."""
        return bool(self.scales)

    def refuse(self, where: str) -> None:
        """Raise `DinkuError` where a tagger that is stored so can't be changed."""
        if self.terminal:
            problem = f"can't change a quantized tagger ({self.name})"
            raise DinkuError(problem, where=where, remedy="do it before quantizing: that step comes last")


FLOAT32 = Scheme("float32", 4, 4)
LLM_INT8 = {
    "float16": Scheme("LLM.int8(), rest float16", 1, 2, "row"),
    "float32": Scheme("LLM.int8(), rest float32", 1, 4, "row"),
}
DYNAMIC = Scheme("dynamic int8", 1, 4, "matrix", head=True)
BFLOAT16 = Scheme("bfloat16", 2, 2)
INT8 = Scheme("int8", 1, 4, "row", head=True, words=True, smooth=True)


def scheme_of(config: Mapping[str, Any], *, where: str = "config.json") -> Scheme:
    """How a model's config says that its weights are stored; raises `DinkuError` for what dinku can't read."""
    if config.get("dinku_quantized") == "dynamic":
        return DYNAMIC
    given = config.get("quantization_config")
    if given is None:
        return FLOAT32
    dtype = str(config.get("dtype") or config.get("torch_dtype")).removeprefix("torch.")
    eight = isinstance(given, Mapping) and given.get("quant_method") == "bitsandbytes" and given.get("load_in_8bit")
    if not eight or dtype not in LLM_INT8:
        problem = "its weights are quantized in a way that dinku doesn't read"
        raise DinkuError(problem, where=where, remedy="use the model that it was made from")
    return LLM_INT8[dtype]


class Costs(Protocol):
    """What a model costs, whatever its kind: declared by arithmetic, or measured. `Shape` is that of transformers."""

    @property
    def tags(self) -> int:
        """How many tags its head scores; 0 without one."""
        ...

    @property
    def zeros(self) -> int:
        """The zeros that sparsification meant."""
        ...

    @property
    def nonzero(self) -> tuple[int, int]:
        """The least and the most parameters that aren't zero; equal once they are counted."""
        ...

    @property
    def scheme(self) -> Scheme: ...

    @property
    def parts(self) -> dict[str, int]:
        """Parameters by component, in the order of the data's flow."""
        ...

    @property
    def components(self) -> tuple[Component, ...]:
        """The components with their parameters and bytes."""
        ...

    @property
    def parameters(self) -> int: ...

    @property
    def bytes(self) -> int:
        """Bytes of the tensors as they are stored, without a file's header."""
        ...

    @property
    def linear(self) -> int:
        """The weights of linear layers, the tag head aside."""
        ...

    @property
    def unit(self) -> str:
        """What it reads one after another: *subword*, or *word*."""
        ...

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes that ``dinku inspect --json`` gives, such as *layers* and *hidden*."""
        ...

    @property
    def summary(self) -> str:
        """The same sizes in words: *4 layers, hidden 384, vocabulary 30,000*."""
        ...

    @property
    def masked_lm_multiply_adds(self) -> int:
        """Multiply-adds of its masked-LM head for one subword; 0 without one."""
        ...

    def multiply_adds(self, subwords: int) -> int:
        """Multiply-adds of one forward pass over a sentence of that many units."""
        ...

    def broken_by(self, measured: Any) -> str:
        """How a measured model differs from this, the declared one; empty if it keeps the law."""
        ...

    def counted(self, nonzero: int) -> Self:
        """The same model once its parameters that aren't zero are counted."""
        ...

    def as_stored(self, scheme: Scheme, *, nonzero: int, zeros: int, kept: int) -> Self:
        """The same model stored by another scheme, ``nonzero`` parameters counted, ``kept`` bytes more than the scheme says."""
        ...


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of an encoder with a tag head (``tags == 0``: none), and the ``scheme`` by which its folder stores them.

    An encoder without tags may have a ``masked_lm`` head, whose decoder is the word embeddings and not counted twice.

    ``layers`` may differ. With a ``rank`` the word embeddings are a product, [vocabulary, rank] by [rank, hidden]. ``spread``
    names what is known in all but not yet layer by layer, *heads* or *width*, as data decide: a method that declares it gives
    ``layers`` any sizes that add up. *precision* in it means that data decide which linear layers of a quantized tagger stay
    in float32: ``kept`` bytes more than if none did.

    ``zeros`` are those that sparsification meant, in the parts it was applied to; a method declares how many there are
    at least. ``nonzero`` is an interval for all parameters: a checkpoint may hold zeros that mean nothing.

    >>> from dinku.testing import tiny_tagger
    >>> tiny_tagger().shape.parameters
    6421
    """

    family: str
    vocabulary: int
    positions: int
    types: int
    hidden: int
    layers: tuple[Layer, ...]
    tags: int
    zeros: int
    nonzero: tuple[int, int]
    masked_lm: bool = False
    rank: int = 0
    spread: frozenset[str] = frozenset()
    scheme: Scheme = FLOAT32
    kept: int = 0

    @classmethod
    def of_config(
        cls,
        config: Mapping[str, Any],
        *,
        tags: int | None = None,
        masked_lm: bool = False,
        where: str = "config.json",
    ) -> Self:
        """The dense shape that a Hugging Face ``config.json`` describes, with its own tags unless told how many.

        Raises `DinkuError` for an architecture whose arithmetic dinku doesn't know, or a config without its sizes.
        """
        family = config.get("model_type")
        if family not in FAMILIES:
            raise DinkuError(
                f"the architecture {family!r} isn't one that dinku can measure",
                where=where,
                remedy=f"use one of {', '.join(FAMILIES)}",
            )
        family = str(family)

        def size(name: str, most: int = 10_000_000) -> int:  # a wrong size is told before it fills the memory
            key = config_key(family, name)
            value = config.get(key, _DEFAULTS.get(key))
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                problem = f"{key} is {value!r}, not a number from 1 to {most:,}"
                raise DinkuError(problem, where=where, remedy="restore the file")
            return value

        hidden, heads = size("hidden_size"), size("num_attention_heads")
        if hidden % heads:
            raise DinkuError(
                f"hidden size {hidden} isn't a multiple of {plural(heads, 'head')}", where=where, remedy="correct it"
            )
        layer = Layer(heads, hidden // heads, size("intermediate_size"))
        dense = cls(
            family=family,
            vocabulary=size("vocab_size"),
            positions=size("max_position_embeddings"),
            types=0 if family == "distilbert" else size("type_vocab_size"),
            hidden=hidden,
            layers=_uneven(config, where) or (layer,) * size("num_hidden_layers", most=1000),
            tags=len(model_tags(config)) if tags is None else tags,
            zeros=0,
            nonzero=(0, 0),
            masked_lm=masked_lm,
            rank=size("dinku_rank", 100_000) if config.get("dinku_rank") else 0,
            scheme=scheme_of(config, where=where),
        )
        return replace(dense, nonzero=(0, dense.parameters))

    @classmethod
    def of_folder(cls, folder: ModelFolder) -> Self:
        """The dense shape of a model folder, from its config and the names of its weights."""
        return cls.of_config(folder.config, masked_lm=folder.masked_lm, where=folder.config_file)

    @property
    def parts(self) -> dict[str, int]:
        """Parameters by component, in the order of the data's flow."""
        h = self.hidden
        inner = [layer.heads * layer.head_size for layer in self.layers]
        return {
            "word embeddings": self.vocabulary * self.rank + self.rank * h if self.rank else self.vocabulary * h,
            "position and type embeddings": (self.positions + self.types) * h,
            "attention": sum(4 * h * a + 3 * a + h for a in inner),
            "feed-forward": sum(2 * h * layer.width + layer.width + h for layer in self.layers),
            "layer norms": 2 * h * (1 + 2 * len(self.layers)),
            "tag head": self.tags * (h + 1),
            "masked-LM head": (h + 3) * h + self.vocabulary if self.masked_lm else 0,
        }

    @property
    def parameters(self) -> int:
        return sum(self.parts.values())

    @property
    def bytes(self) -> int:
        """Bytes of the tensors as they are stored, without a file's header."""
        return sum(component.bytes for component in self.components)

    def matrices(self, *, embeddings: bool) -> list[tuple[int, int]]:
        """Rows and columns of the matrices that unstructured sparsity may zero: the encoder's linear layers, in their order.

        With ``embeddings`` the word embeddings come last, without their padding row.
        """
        linear = [m for layer in self.layers for m in [*_attention(layer, self.hidden), *_forward(layer, self.hidden)]]
        return [*linear, (self.vocabulary - 1, self.rank or self.hidden)] if embeddings else linear

    def weights(self, *, embeddings: bool) -> list[int]:
        """Sizes of `matrices`."""
        return [rows * columns for rows, columns in self.matrices(embeddings=embeddings)]

    @property
    def components(self) -> tuple[Component, ...]:
        stored = [Component(name, n, self._stored(name, n)) for name, n in self.parts.items() if n]
        return (*stored, *([Component("layers kept in float32", 0, self.kept)] if self.kept else []))

    def _stored(self, part: str, parameters: int) -> int:
        """Bytes of a component: its matrices [rows, columns], their scales and the rest of it."""
        inner, h = [layer.heads * layer.head_size for layer in self.layers], self.hidden
        matrices = {
            "attention": [m for layer in self.layers for m in _attention(layer, h)],
            "feed-forward": [m for layer in self.layers for m in _forward(layer, h)],
            "tag head": [(self.tags, h)] if self.scheme.head else [],
            "word embeddings": self._tables if self.scheme.words else [],
        }.get(part, [])
        weights, rows = sum(r * c for r, c in matrices), sum(r for r, _ in matrices)
        scales = {"": 0, "row": rows, "matrix": len(matrices)}[self.scheme.scales]
        read = {
            "attention": sum(h + a for a in inner),  # queries, keys and values read the same
            "feed-forward": sum(h + layer.width for layer in self.layers),
            "tag head": h,
            "word embeddings": self.rank,
        }.get(part, 0)
        factors = read if self.scheme.smooth else 0
        return self.scheme.linear * weights + self.scheme.rest * (parameters - weights) + 4 * (scales + factors)

    @property
    def linear(self) -> int:
        """The weights of the encoder's linear layers."""
        return sum(self.weights(embeddings=False))

    @property
    def unit(self) -> str:
        return "subword"

    @property
    def sizes(self) -> dict[str, int]:
        return {"layers": len(self.layers), "hidden": self.hidden, "vocabulary": self.vocabulary}

    @property
    def summary(self) -> str:
        return f"{plural(len(self.layers), 'layer')}, hidden {self.hidden}, vocabulary {self.vocabulary:,}"

    @property
    def masked_lm_multiply_adds(self) -> int:
        return self.hidden * (self.vocabulary + self.hidden) if self.masked_lm else 0

    @property
    def _tables(self) -> list[tuple[int, int]]:
        """The matrices of the word embeddings."""
        if self.rank:
            return [(self.vocabulary, self.rank), (self.hidden, self.rank)]
        return [(self.vocabulary, self.hidden)]

    def multiply_adds(self, subwords: int) -> int:
        """Multiply-adds of one forward pass over a sentence of that many subwords (linear layers and attention)."""
        attention = sum(2 * subwords * subwords * la.heads * la.head_size for la in self.layers)
        return subwords * (self.linear + (self.rank + self.tags) * self.hidden) + attention

    def broken_by(self, measured: Costs) -> str:
        """How a measured shape differs from this, the declared one; empty where it keeps the law.

        All sizes are equal, those that are spread over the layers by data in all; the meant zeros are at least as many; the
        parameters that aren't zero lie within the interval.
        """
        if not isinstance(measured, Shape):
            return f"declared {self}, measured {measured}"
        alike = replace(measured, zeros=self.zeros, nonzero=self.nonzero, layers=self.layers, spread=self.spread)
        if "precision" in self.spread:
            alike = replace(alike, kept=self.kept)
        if alike != self or measured.spread_sizes(self.spread) != self.spread_sizes(self.spread):
            return f"declared {self}, measured {measured}"
        if measured.zeros < self.zeros:
            return f"declared {self.zeros:,} zeros or more, measured {measured.zeros:,}"
        low, high = self.nonzero
        if not low <= measured.nonzero[0] <= measured.nonzero[1] <= high:
            return f"declared {low:,} to {high:,} parameters that aren't zero, measured {measured.nonzero}"
        return ""

    def spread_sizes(self, spread: frozenset[str]) -> list[Any]:
        """The layers' sizes, and of those that are ``spread`` over them what they add up to."""
        heads = [la.heads for la in self.layers]
        width = [la.width for la in self.layers]
        return [
            [la.head_size for la in self.layers],
            sum(heads) if "heads" in spread else heads,
            sum(width) if "width" in spread else width,
        ]

    def known(self, *names: str, where: str) -> None:
        """Raise `DinkuError` where a method has to know layer by layer what only data will tell."""
        if open := sorted(self.spread.intersection(names)):
            problem = f"the layers' {open[0]} are spread by data, and it has to know each layer's"
            raise DinkuError(problem, where=where, remedy="put it before the step that spreads them")

    def counted(self, nonzero: int) -> Shape:
        """See `Costs.counted`."""
        return replace(self, nonzero=(nonzero, nonzero))

    def as_stored(self, scheme: Scheme, *, nonzero: int, zeros: int, kept: int) -> Shape:
        """See `Costs.as_stored`."""
        return replace(self, scheme=scheme, nonzero=(nonzero, nonzero), zeros=zeros, kept=kept)

    def smaller(self, **sizes: Any) -> Shape:
        """The same encoder with parts taken away: what is gone may have held zeros, meant ones too, or none."""
        less = replace(self, **sizes)
        gone = self.parameters - less.parameters
        zeros = max(0, self.zeros - gone)
        low, high = self.nonzero
        return replace(less, zeros=zeros, nonzero=(max(0, low - gone), min(high, less.parameters - zeros)))

    def quantized(self, scheme: Scheme, *, where: str, chosen: bool = False) -> Shape:
        """The same tagger stored by a scheme: small weights are rounded to zero, and no zero to anything else. With ``chosen``
        data decide which layers are.

        Raises `DinkuError` for what is quantized already, or has no tags: nothing could give it any.
        """
        self.scheme.refuse(where)
        if not self.tags:
            raise DinkuError("there are no tags", where=where, remedy="fine-tune the encoder first")
        spread = self.spread | {"precision"} if chosen else self.spread
        nonzero = (0, min(self.nonzero[1], self.parameters - self.zeros))
        return replace(self, scheme=scheme, spread=spread, nonzero=nonzero)

    def with_tags(self, tags: int) -> Shape:
        """The same encoder under a fresh tag head instead of any other: its zero biases count as either."""
        return self._headed(tags=tags, masked_lm=False)

    def with_masked_lm(self) -> Shape:
        """The same encoder under a fresh masked-LM head instead of any other."""
        return self._headed(tags=0, masked_lm=True)

    def _headed(self, *, tags: int, masked_lm: bool) -> Shape:
        bare = replace(self, tags=0, masked_lm=False)
        headed = replace(self, tags=tags, masked_lm=masked_lm)
        added, gone = headed.parameters - bare.parameters, self.parameters - bare.parameters
        low, high = self.nonzero
        return replace(headed, nonzero=(max(0, low - gone), min(high, bare.parameters) + added))


def _attention(layer: Layer, hidden: int) -> list[tuple[int, int]]:
    inner = layer.heads * layer.head_size
    return [(inner, hidden)] * 3 + [(hidden, inner)]


def _forward(layer: Layer, hidden: int) -> list[tuple[int, int]]:
    return [(layer.width, hidden), (hidden, layer.width)]


def _uneven(config: Mapping[str, Any], where: str) -> tuple[Layer, ...]:
    """The layers of a config that lists their sizes one by one; none where it doesn't."""
    listed = config.get("dinku_layers")
    if listed is None:
        return ()
    fine = isinstance(listed, list) and 1 <= len(listed) <= 1000
    for sizes in listed if fine else ():
        fine = fine and isinstance(sizes, list) and len(sizes) == 3
        fine = (
            fine
            and all(type(size) is int and 1 <= size <= 100_000 for size in sizes)
            and sizes[0] * sizes[1] <= 100_000
        )
    if not fine or len(listed) != config.get(config_key(str(config["model_type"]), "num_hidden_layers")):
        problem = "dinku_layers isn't heads, their size and the width of each layer"
        raise DinkuError(problem, where=where, remedy="restore the file")
    return tuple(Layer(*sizes) for sizes in listed)


def check_takes(method: object, shape: Costs) -> None:
    """Raise `DinkuError` for a method that can't change a model of this kind.

    It changes transformers, unless its ``takes`` names other classes of costs.
    """
    if not isinstance(shape, getattr(method, "takes", Shape)):
        problem = "can't change a model of this kind"
        remedy = "leave the step out, or put it before the model is replaced"
        raise DinkuError(problem, where=type(method).__name__, remedy=remedy)
