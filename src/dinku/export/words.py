"""The converter of word networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from dinku.data.corpus import Corpus
from dinku.export import convert
from dinku.model.encode import LabelOn
from dinku.model.runtimes import Precision
from dinku.model.word_encoder import WordWindow
from dinku.nn.torch_engine import TorchEngine
from dinku.nn.word_network import WordNetwork
from dinku.nn.word_tagger import WordTagger, write_config


@dataclass(frozen=True)
class WordConverter:
    """See `dinku.export.converter.Converter`."""

    tagger: WordTagger

    label_on: LabelOn = "first"
    smoothing: float = 0.0  # none is needed: all inputs of layers are normalized, or bounded like the embeddings

    @property
    def length(self) -> int:
        return self.tagger.encoder.length

    def reference_engine(self) -> TorchEngine:
        return TorchEngine(self.tagger.copy().model.cpu())

    def probes(self, corpus: Corpus) -> list[WordWindow]:
        encoder = self.tagger.encoder
        lengths = sorted(
            {n for i in range(encoder.length.bit_length()) for n in (1 << i, 3 << i) if n <= encoder.length}
        )
        text = [word for sentence in corpus for word in sentence.words]
        text *= -(-2 * encoder.length // len(text))
        starts = (number * (len(text) - length) // len(lengths) for number, length in enumerate(lengths))
        return encoder.windows([text[start : start + length] for start, length in zip(starts, lengths, strict=True)])

    def to_onnx(self, path: Path) -> Path:
        convert.convertible(self.tagger)
        model = self.tagger.copy().model.cpu().eval()
        slots = model.shape.word_features.slots
        different, words = torch.export.Dim("different", min=1), torch.export.Dim("words", min=1)
        rows = torch.arange(3 * slots).reshape(1, 3, slots) % (model.shape.rows + 1)
        example = {"rows": rows.to(torch.int32), "words": torch.tensor([[0, 1, 2, 3, 1, 0]])}
        return convert.write_onnx(_Logits(model).eval(), example, {"rows": {1: different}, "words": {1: words}}, path)

    def write_reading_files(self, folder: Path, precision: Precision, corpus: Corpus) -> None:
        write_config(self.tagger, folder)

    def layer_costs(self, corpus: Corpus, strength: float) -> dict[str, float]:
        """The root mean square change of the logits if the weights of only one layer are rounded to int8."""
        model = self.tagger.copy().model.cpu().eval()
        encoder = self.tagger.encoder
        batch = encoder.batch(encoder.windows([s.words for s in corpus]))
        engine = TorchEngine(model)
        wanted = engine.logits(batch)
        out = dict[str, float]()
        for name, layer in model.named_modules():
            if isinstance(layer, torch.nn.Linear):
                weight = layer.weight.detach().clone()
                scale = weight.abs().amax(1, keepdim=True) / 127
                layer.weight.data = (weight / scale).round() * scale
                out[name] = float(np.sqrt(np.mean((engine.logits(batch) - wanted) ** 2)))
                layer.weight.data = weight
        return out

    def linear_nonzero(self, zeroed: Mapping[str, int]) -> int:
        inner = (n for name, n in zeroed.items() if not name.startswith(("head", "embeddings")))
        return self.tagger.linear[1] - sum(inner)


class _Logits(torch.nn.Module):
    """The network with a tensor as its output, as the ONNX exporter needs it."""

    def __init__(self, model: WordNetwork) -> None:
        super().__init__()
        self.network = model

    def forward(self, rows: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(rows, words).logits
        return logits
