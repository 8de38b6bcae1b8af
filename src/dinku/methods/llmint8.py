"""QuantizeLLMInt8: the encoder's linear layers in int8 by LLM.int8(), everything else in float16.

What it removes: three quarters of the linear layers' bytes, and half of all others. When it helps: for a model that consists
mostly of linear layers, on a GPU with little memory to spare. What it needs: bitsandbytes (``dinku[quantize]``) and a
fine-tuned tagger, but no data: weights are scaled by row, and activations by subword when they are computed. A feature that
reaches ``threshold`` anywhere in a batch is multiplied in the precision of the rest, so that an answer depends on its batch.

The paper's 64 % follows from arithmetic and says nothing about languages: AfriBERTa-large has 500.2 MB in float32 and 179.6 MB
by this method, 64.1 % less (int8 70.8, float16 108.5, scales 0.3). Embeddings don't become small: they stay float16, and are 60
% of those 179.6 MB. Models with fewer layers save less (AfriBERTa-base 62.7 %). What it cannot do: make a plain CPU faster,
where int8 and float16 products, rounding and outliers cost more than they save; or be trained or pruned afterwards. Source:
Dettmers et al. 2022 (arXiv 2208.07339); the paper's section on quantization (arXiv 2404.04759).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from dinku.errors import DinkuError
from dinku.method import Category, Data, Need, Validated, Work
from dinku.model.shape import LLM_INT8, EncoderShape, Shape

if TYPE_CHECKING:
    from dinku.nn.tagger import Tagger


@dataclass(frozen=True)
class QuantizeLLMInt8(Validated):
    """Multiply in int8 all features but those of magnitude ``threshold`` or more; with 0, all of them.

    ``rest`` is the type of everything else: embeddings, norms, biases, the tag head, and all that is computed between the linear
    layers. No step can follow.
    """

    threshold: float = 6.0
    rest: Literal["float16", "float32"] = "float16"

    version: ClassVar[int] = 1
    category: ClassVar[Category] = "quantization"
    takes: ClassVar[tuple[type, ...]] = (EncoderShape,)
    needs: ClassVar[frozenset[Need]] = frozenset()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.threshold < math.inf:
            problem = f"threshold is {self.threshold}"
            raise DinkuError(problem, where="QuantizeLLMInt8", remedy="give a magnitude such as 6, or 0 for none")

    def declare(self, shape: Shape) -> Shape:
        if min(columns for _, columns in shape.matrices(embeddings=False)) < 2:
            problem = "a linear layer reads a single number, which int8 products aren't made for"
            raise DinkuError(problem, where="QuantizeLLMInt8", remedy="keep two heads, neurons and coordinates or more")
        return shape.quantized(LLM_INT8[self.rest], where="QuantizeLLMInt8")

    def apply(self, tagger: Tagger, data: Data, work: Work) -> Tagger:
        from dinku.nn import quantized

        tagger.check_changeable(self)
        self.declare(tagger.shape)
        return replace(tagger, model=quantized.to_llm_int8(tagger.model, threshold=self.threshold, rest=self.rest))
