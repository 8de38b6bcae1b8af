"""What export needs to know about a kind of tagger; `dinku.export.converters` has a converter for each kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from dinku.data.corpus import Corpus
from dinku.model.encode import LabelOn
from dinku.model.engine import InspectableEngine
from dinku.model.runtimes import Precision
from dinku.model.windows import Window


class Converter(Protocol):
    """A tagger in torch on its way to a bundle.

    ``length`` is the largest number of subwords or words in a window of the bundle, and ``label_on`` the value in its manifest.
    ``smoothing`` is the strength of `dinku.export.int8.smooth`, which moves the spread of features to the weights before int8; 0
    for none.
    """

    @property
    def length(self) -> int: ...
    @property
    def label_on(self) -> LabelOn: ...
    @property
    def smoothing(self) -> float: ...

    def reference_engine(self) -> InspectableEngine:
        """The tagger in torch, in float32 on the CPU, computing as its ONNX file will."""
        ...

    def probes(self, corpus: Corpus) -> Sequence[Window]:
        """Windows of lengths from 1 to the longest, from real text, numbered from 0 by ``sentence``.

        The gate compares the logits of everything in them.
        """
        ...

    def to_onnx(self, path: Path) -> Path:
        """Write the model as ONNX, its weights inside; its inputs are those of its kind, its output is *logits*."""
        ...

    def write_reading_files(self, folder: Path, precision: Precision, corpus: Corpus) -> None:
        """Write config.json and the other files that say how the bundle reads words.

        Raises `DinkuError` if the bundle would read ``corpus`` differently from the tagger.
        """
        ...

    def layer_costs(self, corpus: Corpus, strength: float) -> dict[str, float]:
        """The loss by int8 in each linear layer, by its name in the ONNX file; layers that lose most may stay in float32."""
        ...

    def linear_nonzero(self, zeroed: Mapping[str, int]) -> int:
        """The weights of linear layers, the tag head aside, that aren't zero and that int8 didn't make ``zeroed``, by layer."""
        ...
