"""What a word network costs, by arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from dinku.errors import DinkuError, plural
from dinku.model.folder import ModelFolder, model_tags
from dinku.model.shape import FLOAT32, Component, Scheme
from dinku.model.word_features import WordFeatures

MODEL_TYPE = "dinku-words"
_FIELDS = ("rows", "hashes", "embedding", "width", "depth", "window", "pieces")
_MOST = 10_000_000


@dataclass(frozen=True, slots=True)
class WordShape:
    """The sizes of a word network with a tag head (``tags == 0``: none), and the ``scheme`` by which its folder stores them.

    A word's ``features`` are hashed by ``hashes`` functions to a table [``rows`` + 1, ``embedding``], whose first row stays zero.
    The sums of their rows, one sum a feature, are mixed to a vector of ``width`` numbers by a maxout layer of ``pieces``. Then
    ``depth`` residual convolutions over ``window`` words on either side follow, each again a maxout layer of ``pieces``. ``kept``
    and *precision* in ``spread`` are those of `dinku.model.shape.Shape`.
    """

    features: tuple[str, ...]
    rows: int
    hashes: int
    embedding: int
    width: int
    depth: int
    window: int
    pieces: int
    tags: int
    zeros: int = 0
    nonzero: tuple[int, int] = (0, 0)
    scheme: Scheme = FLOAT32
    kept: int = 0
    pooled: ClassVar[bool] = False
    spread: frozenset[str] = frozenset()

    @classmethod
    def of_config(cls, config: Mapping[str, Any], *, where: str = "config.json") -> Self:
        """The dense shape that a ``config.json`` describes; raises `DinkuError` if a size is missing or no number."""
        features = config.get("features")
        if not isinstance(features, list) or not all(isinstance(name, str) for name in features):
            raise DinkuError(f"features is {features!r}, not a list of names", where=where, remedy="restore the file")
        sizes = {name: config.get(name) for name in _FIELDS}
        for name, value in sizes.items():
            if type(value) is not int or not 0 < value <= _MOST:
                problem = f"{name} is {value!r}, not a number from 1 to {_MOST:,}"
                raise DinkuError(problem, where=where, remedy="restore the file")
        dense = cls(features=tuple(features), tags=len(model_tags(config)), **sizes)  # type: ignore[arg-type]
        return replace(dense, nonzero=(0, dense.parameters))

    @classmethod
    def of_folder(cls, folder: ModelFolder) -> Self:
        """The dense shape of a model folder."""
        return cls.of_config(folder.config, where=folder.config_file)

    @property
    def word_features(self) -> WordFeatures:
        return WordFeatures(self.features, self.rows, self.hashes)

    @property
    def reach(self) -> int:
        """The largest distance, in words, at which a word influences an answer."""
        return self.depth * self.window

    @property
    def mixed(self) -> int:
        """The number of inputs of the mixing layer for a word."""
        return len(self.features) * self.embedding

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """[rows, columns] of the matrices by component; the convolutions have one each."""
        out = self.width * self.pieces
        return {
            "word embeddings": (self.rows + 1, self.embedding),
            "word mixing": (out, self.mixed),
            "convolutions": (out * self.depth, self.width * (2 * self.window + 1)),
            "tag head": (self.tags, self.width),
        }

    @property
    def parts(self) -> dict[str, int]:
        """Parameters by component, in the order of the data's flow."""
        sizes = {name: rows * columns for name, (rows, columns) in self.matrices.items()}
        biases = self.width * self.pieces
        return {
            "word embeddings": sizes["word embeddings"],
            "word mixing": sizes["word mixing"] + biases,
            "convolutions": sizes["convolutions"] + self.depth * biases,
            "layer norms": 2 * self.width * (1 + self.depth),
            "tag head": sizes["tag head"] + self.tags,
        }

    @property
    def parameters(self) -> int:
        return sum(self.parts.values())

    @property
    def components(self) -> tuple[Component, ...]:
        stored = [Component(name, n, self._stored(name, n)) for name, n in self.parts.items() if n]
        return (*stored, *([Component("layers kept in float32", 0, self.kept)] if self.kept else []))

    def _stored(self, part: str, parameters: int) -> int:
        """Bytes of a component: its matrix, the matrix's scales, and its other parameters."""
        rows, columns = self.matrices.get(part, (0, 0))
        if (part == "word embeddings" and not self.scheme.words) or (part == "tag head" and not self.scheme.head):
            rows = 0
        scales = rows if self.scheme.scales == "row" else 0
        weights = rows * columns
        return self.scheme.linear * weights + self.scheme.rest * (parameters - weights) + 4 * scales

    @property
    def bytes(self) -> int:
        """Bytes of the tensors as they are stored, without a file's header."""
        return sum(component.bytes for component in self.components)

    @property
    def linear(self) -> int:
        """The weights of the linear layers, the tag head aside."""
        return sum(rows * columns for rows, columns in (self.matrices["word mixing"], self.matrices["convolutions"]))

    @property
    def unit(self) -> str:
        return "word"

    @property
    def sizes(self) -> dict[str, int]:
        return {"layers": self.depth, "width": self.width, "rows": self.rows}

    @property
    def summary(self) -> str:
        features = ", ".join(self.features)
        return f"{plural(self.depth, 'convolution')}, width {self.width}, {plural(self.rows, 'row')} for {features}"

    @property
    def masked_lm_multiply_adds(self) -> int:
        return 0

    def multiply_adds(self, words: int) -> int:
        """Multiply-adds of a sentence of that many words, all different."""
        return words * (self.linear + self.tags * self.width)

    def with_tags(self, tags: int, *, pooled: bool = False) -> Self:
        """The same network with a new tag head in place of any other; whether its biases are zero is left open.

        Raises `DinkuError` for a head that labels whole texts.
        """
        if pooled:
            problem = "a word network answers for each word, and can't label whole texts"
            raise DinkuError(problem, where="StartWords", remedy="choose an encoder that reads subwords")
        bare, headed = replace(self, tags=0), replace(self, tags=tags)
        more = headed.parameters - bare.parameters
        old = self.parameters - bare.parameters
        low, high = self.nonzero
        return replace(headed, nonzero=(max(0, low - old) + max(0, more - tags - 1), min(high, bare.parameters) + more))

    def quantized(self, scheme: Scheme, *, where: str, chosen: bool = False) -> Self:
        """The same tagger stored by a scheme. With ``chosen``, data decide which layers stay in float32.

        Raises `DinkuError` if it is already quantized, or has no tags, which it couldn't get afterwards.
        """
        self.scheme.refuse(where)
        if not self.tags:
            raise DinkuError("there are no tags", where=where, remedy="fine-tune the network first")
        spread = self.spread | {"precision"} if chosen else self.spread
        return replace(self, scheme=scheme, spread=spread, nonzero=(0, self.nonzero[1]))

    def counted(self, nonzero: int) -> Self:
        """The same shape with ``nonzero`` known from counting."""
        return replace(self, nonzero=(nonzero, nonzero))

    def as_stored(self, scheme: Scheme, *, nonzero: int, zeros: int, kept: int) -> Self:
        """The same shape as a bundle stores it."""
        return replace(self, scheme=scheme, nonzero=(nonzero, nonzero), zeros=zeros, kept=kept)

    def broken_by(self, measured: Any) -> str:
        """How a measured shape differs from this, the declared one; empty if it keeps the law."""
        if not isinstance(measured, WordShape):
            return f"declared a word network, measured {measured}"
        alike = replace(measured, zeros=self.zeros, nonzero=self.nonzero, spread=self.spread)
        if "precision" in self.spread:
            alike = replace(alike, kept=self.kept)
        if alike != self:
            return f"declared {self}, measured {measured}"
        low, high = self.nonzero
        if not low <= measured.nonzero[0] <= measured.nonzero[1] <= high:
            return f"declared {low:,} to {high:,} parameters that aren't zero, measured {measured.nonzero}"
        return ""
