"""The word network in torch: hashed embeddings of a word's features, mixed, and convolutions over the words around it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from dinku.model.word_shape import WordShape

DROPOUT = 0.1


class Maxout(nn.Module):
    """The largest of ``pieces`` linear functions, for each of ``outputs`` numbers (Goodfellow et al. 2013, arXiv 1302.4389)."""

    def __init__(self, inputs: int, outputs: int, pieces: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs * pieces)
        self.pieces = pieces

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x).unflatten(-1, (self.pieces, -1)).amax(-2)


class WordNetwork(nn.Module):
    """See `dinku.model.word_shape.WordShape` for its layers, `dinku.model.word_encoder.WordBatch` for what it reads.

    ``rows`` [1, different words, slots] and ``words`` [1, words] → ``logits`` [1, words, tags], or states [1, words, width] of a
    network without tags. A place with word 0 separates sentences, and whatever it answers there means nothing.
    """

    def __init__(self, shape: WordShape) -> None:
        super().__init__()
        self.shape = shape
        self.widths = shape.word_features.widths
        self.embeddings = nn.Embedding(shape.rows + 1, shape.embedding, padding_idx=0)
        self.mix = Maxout(shape.mixed, shape.width, shape.pieces)
        self.mix_norm = nn.LayerNorm(shape.width)
        span = (2 * shape.window + 1) * shape.width
        self.convolutions = nn.ModuleList(Maxout(span, shape.width, shape.pieces) for _ in range(shape.depth))
        self.norms = nn.ModuleList(nn.LayerNorm(shape.width) for _ in range(shape.depth))
        self.dropout = nn.Dropout(DROPOUT)
        self.head = nn.Linear(shape.width, shape.tags) if shape.tags else nn.Identity()

    @property
    def device(self) -> torch.device:
        return self.embeddings.weight.device

    def forward(self, rows: torch.Tensor, words: torch.Tensor) -> Any:
        vectors = self.word_vectors(rows)
        none = vectors.new_zeros(1, 1, self.shape.width)
        real = (words > 0).unsqueeze(-1).to(vectors.dtype)
        x = torch.cat([none, vectors], 1)[0].index_select(0, words[0])[None]
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            y = norm(convolution(self._neighbours(x)))
            x = (x + self.dropout(y)) * real
        return SimpleNamespace(logits=self.head(x))

    def word_vectors(self, rows: torch.Tensor) -> torch.Tensor:
        """The vectors [1, words, width] of words without their context."""
        found = self.embeddings(rows)
        if len({*self.widths}) == 1:
            sums = found.unflatten(-2, (len(self.widths), -1)).sum(-2).flatten(-2)
        else:
            sums = torch.cat([part.sum(-2) for part in found.split(self.widths, -2)], -1)
        return self.mix_norm(self.mix(self.dropout(sums)))

    def _neighbours(self, x: torch.Tensor) -> torch.Tensor:
        """[1, words, (2 · window + 1) · width]: each word joined with the words around it, zeros beyond the ends."""
        window, length = self.shape.window, x.size(1)
        padded = F.pad(x, (0, 0, window, window))
        return torch.cat([padded[:, i : i + length] for i in range(2 * window + 1)], -1)


def fresh_network(shape: WordShape, *, seed: int) -> WordNetwork:
    """A network with weights drawn at random: embeddings evenly from −0.1 to 0.1, layers by Glorot and Bengio (2010)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = WordNetwork(shape)
        nn.init.uniform_(network.embeddings.weight, -0.1, 0.1)
        for name, parameter in network.named_parameters():
            if name.endswith("linear.weight") or name == "head.weight":
                nn.init.xavier_uniform_(parameter)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        with torch.no_grad():
            network.embeddings.weight[0] = 0.0
    return network.eval()
