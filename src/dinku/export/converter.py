"""What export needs to know of one kind of tagger; `dinku.export.converters` has one converter for each kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from dinku.data.corpus import Corpus
from dinku.model.bundle import Precision
from dinku.model.encode import LabelOn
from dinku.model.engine import InspectableEngine
from dinku.model.windows import Window


class Converter(Protocol):
    """A tagger in torch on its way to a bundle.

    ``length`` is the most that a window of the bundle holds, ``label_on`` what its manifest says of subwords. ``smoothing`` is
    how much of the spread of features goes over to the weights before they become int8, by `dinku.export.int8.smooth`; 0 for
    none.
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
        """Windows of all lengths from 1 to the longest, numbered from 0 by ``sentence``, of the text of real sentences.

        The gate compares the logits of everything in them.
        """
        ...

    def to_onnx(self, path: Path) -> Path:
        """Write the model as ONNX, its weights inside; its inputs are those of its kind, its output is *logits*."""
        ...

    def write_reading_files(self, folder: Path, precision: Precision, corpus: Corpus) -> None:
        """Write config.json and what else says how the bundle reads words.

        Raises `DinkuError` if it would read ``corpus`` in another way than the tagger does.
        """
        ...

    def layer_costs(self, corpus: Corpus, strength: float) -> dict[str, float]:
        """What int8 costs in each linear layer, by its name in the ONNX file; the layers that cost most may stay in float32."""
        ...

    def linear_nonzero(self, zeroed: Mapping[str, int]) -> int:
        """The weights of linear layers, the tag head aside, that aren't zero and that int8 didn't make ``zeroed``, by layer."""
        ...
