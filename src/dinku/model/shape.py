"""What a model costs, by arithmetic: parameters, bytes and multiply-adds, before anything is built or run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, Self, cast

from dinku.errors import DinkuError, plural
from dinku.model.family import Build, Family, described, known, named, refusal
from dinku.model.folder import ModelFolder, is_pooled, model_tags


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
    """How a folder stores weights: the bytes of a value in matrices of linear layers, and of any other value.

    There is one of the ``scales``, of four bytes, for each row or each matrix. With ``head``, the matrix of the tag head counts
    as that of a linear layer, and with ``words`` so do word embeddings. With ``smooth``, each feature that linear layers read
    has a factor of four bytes.
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
        """Whether a tagger stored like this can no longer be changed."""
        return bool(self.scales)

    def refuse(self, where: str) -> None:
        """Raise `DinkuError` if a tagger stored like this can't be changed."""
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
    """How a model's weights are stored, by its config; raises `DinkuError` for a way that dinku can't read."""
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
    """What a model of any kind costs, declared by arithmetic or measured. `Shape` holds the costs of transformers."""

    @property
    def tags(self) -> int:
        """How many tags its head scores; 0 without one."""
        ...

    @property
    def zeros(self) -> int:
        """The number of zeros that sparsification made on purpose."""
        ...

    @property
    def nonzero(self) -> tuple[int, int]:
        """The least and the most parameters that aren't zero; equal once they are counted."""
        ...

    @property
    def scheme(self) -> Scheme: ...

    @property
    def parts(self) -> dict[str, int]:
        """Parameters by component, from input to output."""
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
        """The unit that it reads: *subword* or *word*."""
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
        """The same model with ``nonzero`` known from counting."""
        ...

    def as_stored(self, scheme: Scheme, *, nonzero: int, zeros: int, kept: int) -> Self:
        """The same model stored by another scheme, with ``nonzero`` counted, and ``kept`` bytes more than the scheme alone
        takes."""
        ...


class EncoderShape:
    """What shapes of encoders have in common, of described families (`Shape`) and of others (`dinku.model.measured`)."""

    __slots__ = ()

    family: str
    vocabulary: int
    positions: int
    hidden: int
    tags: int
    zeros: int
    nonzero: tuple[int, int]
    spread: frozenset[str]
    scheme: Scheme
    kept: int

    @property
    def parts(self) -> dict[str, int]:
        """See `Costs.parts`."""
        raise NotImplementedError

    @property
    def depth(self) -> int:
        """How many layers a sentence goes through."""
        raise NotImplementedError

    @property
    def offset(self) -> bool:
        """Whether positions are counted from after the padding id."""
        raise NotImplementedError

    def matrices(self, *, embeddings: bool) -> list[tuple[int, int]]:
        """Rows and columns of the matrices that unstructured sparsity may zero: those of the encoder's linear layers.

        With ``embeddings`` the word embeddings come last, without their padding row.
        """
        raise NotImplementedError

    def _stored(self, part: str, parameters: int) -> int:
        """Bytes of a component."""
        raise NotImplementedError

    @property
    def parameters(self) -> int:
        return sum(self.parts.values())

    @property
    def bytes(self) -> int:
        """Bytes of the tensors as they are stored, without a file's header."""
        return sum(component.bytes for component in self.components)

    def weights(self, *, embeddings: bool) -> list[int]:
        """Sizes of `matrices`."""
        return [rows * columns for rows, columns in self.matrices(embeddings=embeddings)]

    @property
    def components(self) -> tuple[Component, ...]:
        stored = [Component(name, n, self._stored(name, n)) for name, n in self.parts.items() if n]
        return (*stored, *([Component("layers kept in float32", 0, self.kept)] if self.kept else []))

    def _bytes(self, parameters: int, matrices: Sequence[tuple[int, int]], read: int) -> int:
        """Bytes of a component with these matrices [rows, columns], which read so many features."""
        weights, rows = sum(r * c for r, c in matrices), sum(r for r, _ in matrices)
        scales = {"": 0, "row": rows, "matrix": len(matrices)}[self.scheme.scales]
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
        return {"layers": self.depth, "hidden": self.hidden, "vocabulary": self.vocabulary}

    @property
    def summary(self) -> str:
        return f"{plural(self.depth, 'layer')}, hidden {self.hidden}, vocabulary {self.vocabulary:,}"

    def counted(self, nonzero: int) -> Self:
        """See `Costs.counted`."""
        return self._with(nonzero=(nonzero, nonzero))

    def as_stored(self, scheme: Scheme, *, nonzero: int, zeros: int, kept: int) -> Self:
        """See `Costs.as_stored`."""
        return self._with(scheme=scheme, nonzero=(nonzero, nonzero), zeros=zeros, kept=kept)

    def smaller(self, **sizes: Any) -> Self:
        """The same encoder with parts removed; the removed parts may have held any number of zeros, also of those made on
        purpose."""
        less = self._with(**sizes)
        gone = self.parameters - less.parameters
        zeros = max(0, self.zeros - gone)
        low, high = self.nonzero
        return less._with(zeros=zeros, nonzero=(max(0, low - gone), min(high, less.parameters - zeros)))

    def quantized(self, scheme: Scheme, *, where: str, chosen: bool = False) -> Self:
        """The same tagger stored by a scheme, which may round small weights to zero and keeps zeros. With ``chosen``, data decide
        which layers are quantized.

        Raises `DinkuError` if it is already quantized, or has no tags, which it couldn't get afterwards.
        """
        self.scheme.refuse(where)
        if not self.tags:
            raise DinkuError("there are no tags", where=where, remedy="fine-tune the encoder first")
        spread = self.spread | {"precision"} if chosen else self.spread
        nonzero = (0, min(self.nonzero[1], self.parameters - self.zeros))
        return self._with(scheme=scheme, spread=spread, nonzero=nonzero)

    def with_tags(self, tags: int, *, pooled: bool = False) -> Self:
        """The same encoder with a new tag head in place of any other; whether its biases are zero is left open.

        Raises `DinkuError` for a ``pooled`` head, which labels whole texts, if the family isn't described.
        """
        if pooled:
            remedy = f"use one of {', '.join(each.name for each in known())}"
            raise DinkuError("can't have a head that labels whole texts", where=self.summary, remedy=remedy)
        return self._headed({"tags": 0}, {"tags": tags})

    def _headed(self, without: Mapping[str, Any], head: Mapping[str, Any]) -> Self:
        bare, headed = self._with(**without), self._with(**{**without, **head})
        added, gone = headed.parameters - bare.parameters, self.parameters - bare.parameters
        low, high = self.nonzero
        return headed._with(nonzero=(max(0, low - gone), min(high, bare.parameters) + added))

    def _with(self, **fields: Any) -> Self:
        return cast(Self, replace(cast(Any, self), **fields))

    def broken_by(self, measured: Costs) -> str:
        """How a measured shape differs from this, the declared one; empty if it keeps the law.

        All sizes must be equal, or add up to the same where data spread them over layers. There must be at least as many zeros
        made on purpose, and the number of parameters that aren't zero must lie within the interval.
        """
        if not isinstance(measured, type(self)) or not self._alike(measured):
            return f"declared {self}, measured {measured}"
        if measured.zeros < self.zeros:
            return f"declared {self.zeros:,} zeros or more, measured {measured.zeros:,}"
        low, high = self.nonzero
        if not low <= measured.nonzero[0] <= measured.nonzero[1] <= high:
            return f"declared {low:,} to {high:,} parameters that aren't zero, measured {measured.nonzero}"
        return ""

    def _alike(self, measured: Self) -> bool:
        """Whether all sizes that don't depend on data are equal."""
        kept = self.kept if "precision" in self.spread else measured.kept
        return measured._with(zeros=self.zeros, nonzero=self.nonzero, spread=self.spread, kept=kept) == self


@dataclass(frozen=True, slots=True)
class Shape(EncoderShape):
    """The sizes of an encoder of a described family with a tag head (``tags == 0``: none), and the ``scheme`` by which its folder
    stores them.

    An encoder without tags may have a ``masked_lm`` head, whose decoder is the word embeddings and not counted twice.

    ``layers`` may differ. With a ``rank``, the word embeddings are a product, [vocabulary, rank] by [rank, hidden]. ``spread``
    names the sizes, *heads* or *width*, of which only the sum over layers is known because data will divide it; a method that
    declares this gives ``layers`` any sizes with that sum. *precision* in ``spread`` means that data decide which linear layers
    of a quantized tagger stay in float32, which takes ``kept`` more bytes.

    ``zeros`` counts those that sparsification made on purpose; a method declares their least number. ``nonzero`` is an interval
    for all parameters, as a checkpoint may also hold other zeros. ``build`` describes the encoder apart from its sizes. A
    ``pooled`` head labels whole texts, by the state of their first subword, which a linear layer reads first.

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
    build: Build = field(default_factory=Build)
    pooled: bool = False

    @classmethod
    def of_config(
        cls,
        config: Mapping[str, Any],
        *,
        tags: int | None = None,
        masked_lm: bool = False,
        pooled: bool | None = None,
        where: str = "config.json",
    ) -> Self:
        """The dense shape that a Hugging Face ``config.json`` describes, with its own tags, or with ``tags`` tags.

        Raises `DinkuError` for a family that isn't described, or a config without its sizes.
        """
        family = described(config)
        if family is None:
            raise refusal(config.get("model_type"), where=where)

        def size(name: str, most: int = 10_000_000, least: int = 1) -> int:  # refused before it fills the memory
            key = family.key(name)
            value = config.get(key, family.defaults.get(key))
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                problem = f"{key} is {value!r}, not a number from {least} to {most:,}"
                raise DinkuError(problem, where=where, remedy="restore the file")
            return value

        hidden, heads = size("hidden_size"), size("num_attention_heads")
        if hidden % heads:
            raise DinkuError(
                f"hidden size {hidden} isn't a multiple of {plural(heads, 'head')}", where=where, remedy="correct it"
            )
        build = family.build(config)
        assert build is not None  # otherwise the family isn't described
        for name in ("width", "relative", "head_relative"):
            value = getattr(build, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1_000_000:
                problem = f"its {name} is {value!r}, not a number up to 1,000,000"
                raise DinkuError(problem, where=where, remedy="restore the file")
        layer = Layer(heads, hidden // heads, size("intermediate_size"))
        dense = cls(
            family=str(config["model_type"]),
            vocabulary=size("vocab_size"),
            positions=size("max_position_embeddings"),
            types=size("type_vocab_size", least=min(1, family.defaults["type_vocab_size"])) if family.types else 0,
            hidden=hidden,
            layers=_uneven(config, where) or (layer,) * size("num_hidden_layers", most=1000),
            tags=len(model_tags(config)) if tags is None else tags,
            zeros=0,
            nonzero=(0, 0),
            masked_lm=masked_lm and family.masked_lm,
            rank=size("dinku_rank", 100_000) if config.get("dinku_rank") else 0,
            scheme=scheme_of(config, where=where),
            build=build,
        )
        if dense.tags and (is_pooled(config) if pooled is None else pooled):
            dense = replace(dense, pooled=True)
        return replace(dense, nonzero=(0, dense.parameters))

    @classmethod
    def of_folder(cls, folder: ModelFolder) -> Self:
        """The dense shape of a model folder, from its config and the names of its weights."""
        return cls.of_config(folder.config, masked_lm=folder.masked_lm, where=folder.config_file)

    @property
    def known_family(self) -> Family:
        """The family, as it is described."""
        family = named(self.family)
        assert family is not None
        return family

    @property
    def depth(self) -> int:
        return len(self.layers)

    @property
    def offset(self) -> bool:
        return self.known_family.offset

    @property
    def embedding_width(self) -> int:
        """The width of the embeddings."""
        return self.build.width or self.hidden

    @property
    def stored_layers(self) -> tuple[Layer, ...]:
        """The layers that have weights of their own."""
        return self.layers[:1] if self.build.shared else self.layers

    @property
    def parts(self) -> dict[str, int]:
        """Parameters by component, in the order of the data's flow."""
        h, own, width, layers = self.hidden, self.build, self.embedding_width, self.stored_layers
        inner = [layer.heads * layer.head_size for layer in layers]
        wide = 2 if own.gated else 1
        positions = (self.positions if own.table else 0) + self.types
        relative = own.relative * h + own.head_relative * self.layers[0].heads
        head = self.tags * (h + 1)
        if own.dense and self.tags:
            head += h * (h + own.dense_bias + own.norm)
        elif self.pooled:
            head += h * (h + 1)
        return {
            "word embeddings": self.vocabulary * self.rank + self.rank * width
            if self.rank
            else self.vocabulary * width,
            "position and type embeddings": positions * width + relative,
            "embedding projection": (own.width + 1) * h if own.width else 0,
            "attention": sum(
                (own.projected + 1) * h * a + own.projected * a * own.attention_bias + h * own.out_bias for a in inner
            ),
            "feed-forward": sum((wide + 1) * h * la.width + (wide * la.width + h) * own.forward_bias for la in layers),
            "layer norms": own.norm * (own.width + h * (own.outer + 2 * len(layers))),
            "tag head": head,
            "masked-LM head": (h + 3) * h + self.vocabulary if self.masked_lm else 0,
        }

    def matrices(self, *, embeddings: bool) -> list[tuple[int, int]]:
        """See `EncoderShape.matrices`."""
        linear = [m for layer in self.stored_layers for m in [*self._attention(layer), *self._forward(layer)]]
        linear = [*self._projection, *linear]
        return [*linear, (self.vocabulary - 1, self.rank or self.embedding_width)] if embeddings else linear

    @property
    def _projection(self) -> list[tuple[int, int]]:
        return [(self.hidden, self.build.width)] if self.build.width else []

    def _attention(self, layer: Layer) -> list[tuple[int, int]]:
        inner, stacked = layer.heads * layer.head_size, self.known_family.stacked
        return [(stacked * inner, self.hidden)] * (self.build.projected // stacked) + [(self.hidden, inner)]

    def _forward(self, layer: Layer) -> list[tuple[int, int]]:
        return [((2 if self.build.gated else 1) * layer.width, self.hidden), (self.hidden, layer.width)]

    def _stored(self, part: str, parameters: int) -> int:
        """Bytes of a component: its matrices [rows, columns], their scales and the rest of it."""
        h, layers = self.hidden, self.stored_layers
        head = [(h, h)] * (self.build.dense or self.pooled) + [(self.tags, h)]
        matrices = {
            "embedding projection": self._projection,
            "attention": [m for layer in layers for m in self._attention(layer)],
            "feed-forward": [m for layer in layers for m in self._forward(layer)],
            "tag head": head if self.scheme.head else [],
            "word embeddings": self._tables if self.scheme.words else [],
        }.get(part, [])
        read = {
            "embedding projection": self.build.width,
            "attention": sum(
                h + la.heads * la.head_size for la in layers
            ),  # queries, keys and values read the same input
            "feed-forward": sum(h + la.width for la in layers),
            "tag head": h * len(head),
            "word embeddings": self.rank,
        }.get(part, 0)
        return self._bytes(parameters, matrices, read)

    @property
    def masked_lm_multiply_adds(self) -> int:
        return self.hidden * (self.vocabulary + self.hidden) if self.masked_lm else 0

    @property
    def _tables(self) -> list[tuple[int, int]]:
        """The matrices of the word embeddings."""
        if self.rank:
            return [(self.vocabulary, self.rank), (self.embedding_width, self.rank)]
        return [(self.vocabulary, self.embedding_width)]

    def multiply_adds(self, subwords: int) -> int:
        """Multiply-adds of one forward pass over a sentence of that many subwords (linear layers and attention)."""
        h, own = self.hidden, self.build
        inner = [la.heads * la.head_size for la in self.layers]
        linear = sum(4 * h * a for a in inner) + sum((3 if own.gated else 2) * h * la.width for la in self.layers)
        head = (self.tags + h * (own.dense or self.pooled)) * h * bool(self.tags)
        once = own.width * h + self.rank * self.embedding_width + head * (not self.pooled)
        attention = sum(2 * subwords * subwords * a for a in inner)
        relative = sum(
            2 * own.relative * a * (h + subwords) for a in inner
        )  # the table is projected, and multiplied with
        return subwords * (linear + once) + attention + relative + head * self.pooled

    def _alike(self, measured: Self) -> bool:
        alike = measured._with(layers=self.layers)
        same = measured.spread_sizes(self.spread) == self.spread_sizes(self.spread)
        return same and EncoderShape._alike(self, alike)

    def spread_sizes(self, spread: frozenset[str]) -> list[Any]:
        """The sizes of the layers, and the sums of those that are ``spread``."""
        heads = [la.heads for la in self.layers]
        width = [la.width for la in self.layers]
        return [
            [la.head_size for la in self.layers],
            sum(heads) if "heads" in spread else heads,
            sum(width) if "width" in spread else width,
        ]

    def known(self, *names: str, where: str) -> None:
        """Raise `DinkuError` if a method needs sizes by layer that data have yet to decide."""
        if open := sorted(self.spread.intersection(names)):
            problem = f"the layers' {open[0]} are spread by data, and it has to know each layer's"
            raise DinkuError(problem, where=where, remedy="put it before the step that spreads them")

    def with_tags(self, tags: int, *, pooled: bool = False) -> Self:
        """See `EncoderShape.with_tags`."""
        return self._headed({"tags": 0, "masked_lm": False, "pooled": False}, {"tags": tags, "pooled": pooled})

    def with_masked_lm(self) -> Self:
        """The same encoder with a new masked-LM head in place of any other; raises `DinkuError` if dinku can't train one."""
        if not self.known_family.masked_lm:
            problem = f"the masked-LM head of {self.known_family.name} isn't one that dinku trains"
            raise DinkuError(problem, where="Pretrain", remedy="leave the step out, or start from BERT or RoBERTa")
        return self._headed({"tags": 0, "masked_lm": False, "pooled": False}, {"masked_lm": True})


def _uneven(config: Mapping[str, Any], where: str) -> tuple[Layer, ...]:
    """The layers of a config that lists the sizes of each; none for other configs."""
    listed, family = config.get("dinku_layers"), described(config)
    if listed is None or family is None:
        return ()
    fine = isinstance(listed, list) and 1 <= len(listed) <= 1000
    for sizes in listed if fine else ():
        fine = fine and isinstance(sizes, list) and len(sizes) == 3
        fine = (
            fine
            and all(type(size) is int and 1 <= size <= 100_000 for size in sizes)
            and sizes[0] * sizes[1] <= 100_000
        )
    if not fine or len(listed) != config.get(family.key("num_hidden_layers")):
        problem = "dinku_layers isn't heads, their size and the width of each layer"
        raise DinkuError(problem, where=where, remedy="restore the file")
    return tuple(Layer(*sizes) for sizes in listed)


def check_takes(method: object, shape: Costs) -> None:
    """Raise `DinkuError` for a method that can't change a model of this kind.

    It changes encoders of described families, unless its ``takes`` names other classes of costs.
    """
    if not isinstance(shape, getattr(method, "takes", Shape)):
        problem = "can't change a model of this kind"
        remedy = "leave the step out, or put it before the model is replaced"
        if isinstance(shape, EncoderShape):
            problem = f"can't cut an encoder of the type {shape.family}, whose parts dinku doesn't know"
            remedy = f"leave the step out, or start from one of these: {', '.join(each.name for each in known())}"
        raise DinkuError(problem, where=type(method).__name__, remedy=remedy)
