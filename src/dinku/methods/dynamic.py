"""QuantizeDynamic: all linear layers in PyTorch's dynamic int8.

What it removes: three quarters of the linear layers' bytes. When it helps: on a CPU, where PyTorch's int8 products are its
fastest. What it needs: a fine-tuned tagger, and no data. Activations are scaled when they are computed, over all subwords of a
batch, so that an answer depends on its batch. What it cannot do: guarantee F1, because a weight matrix has a single scale,
which its largest weight sets, and small multilingual encoders lose points by that (docs/log.md); make embeddings smaller, which
stay float32: AfriBERTa-large has 287.8 MB, 42.5 % less than in float32; run on a GPU; or be trained or pruned afterwards.
Source: PyTorch's ``torch.ao.quantization.quantize_dynamic`` with its defaults; the paper's section on quantization (arXiv
2404.04759).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from dinku.method import Category, Data, Need, Validated, Work
from dinku.model.shape import DYNAMIC, EncoderShape, Shape

if TYPE_CHECKING:
    from dinku.nn.tagger import Tagger


@dataclass(frozen=True)
class QuantizeDynamic(Validated):
    """Store and multiply linear layers, including the tag head, in int8. The rest stays float32. No step can follow."""

    version: ClassVar[int] = 1
    category: ClassVar[Category] = "quantization"
    takes: ClassVar[tuple[type, ...]] = (EncoderShape,)
    needs: ClassVar[frozenset[Need]] = frozenset()

    def declare(self, shape: Shape) -> Shape:
        return shape.quantized(DYNAMIC, where="QuantizeDynamic")

    def apply(self, tagger: Tagger, data: Data, work: Work) -> Tagger:
        from dinku.nn import quantized

        tagger.check_changeable(self)
        self.declare(tagger.shape)
        return replace(tagger, model=quantized.to_dynamic(tagger.model))
