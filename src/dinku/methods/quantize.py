"""Quantize: int8 for a CPU, run by onnxruntime or OpenVINO without torch.

What it removes: three quarters of the bytes of all matrices, including the word embeddings, and most of the time of products.
When it helps: as the last step for a tagger that is to run on a plain CPU. What it needs: a tagged corpus. Its train sentences,
balanced over languages, give the ranges of activations, and its dev sentences show the loss of F1. To keep the loss within
``tolerance``, the fewest linear layers that suffice stay in float32, those whose rounding costs most first. What it cannot do:
be trained or pruned afterwards. Source: SmoothQuant (arXiv 2211.10438) before either tool's own post-training quantization; int8
embeddings with one scale a row as in Guan et al. 2019 (arXiv 1911.02079).
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from dinku.errors import DinkuError
from dinku.method import Category, Data, Need, Validated, Work
from dinku.model.runtimes import Runtime
from dinku.model.shape import INT8, EncoderShape
from dinku.model.word_shape import WordShape
from dinku.training.settings import S

if TYPE_CHECKING:
    from dinku.model.bundle import Bundle
    from dinku.nn.tagger import Tagger
    from dinku.nn.word_tagger import WordTagger


@dataclass(frozen=True)
class Quantize(Validated):
    """Make a bundle in int8 for ``runtime``. No step can follow.

    ``mode`` *static* scales activations by their ranges over train sentences, *dynamic* by their range in the batch, so that
    onnxruntime's answer for a sentence depends slightly on the others in the batch. ``tolerance`` is the F1 (of 1) that may be
    lost on dev: to keep it, layers stay in float32, and if that isn't enough the step fails. With 1, all layers are int8
    regardless of the loss.
    """

    runtime: Runtime = "onnxruntime"
    mode: Literal["static", "dynamic"] = "static"
    tolerance: float = 0.005

    version: ClassVar[int] = 2
    category: ClassVar[Category] = "quantization"
    needs: ClassVar[frozenset[Need]] = frozenset({"labels"})
    takes: ClassVar[tuple[type, ...]] = (EncoderShape, WordShape)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.tolerance <= 1:
            problem, remedy = f"tolerance is {self.tolerance}", "give the F1 (of 1) that may be lost, such as 0.005"
            raise DinkuError(problem, where="Quantize", remedy=remedy)

    def declare(self, shape: S) -> S:
        return shape.quantized(INT8, where="Quantize", chosen=self.tolerance < 1)

    def can_use(self, data: Data) -> None:
        for corpus, split in ((data.train, "train"), (data.dev, "dev")):
            if corpus is None or not len(corpus):
                raise DinkuError(f"there is no {split} split", where="Quantize", remedy="name a corpus that has one")

    def apply(self, tagger: Tagger | WordTagger, data: Data, work: Work) -> Bundle:
        from dinku.export.pipeline import export

        tagger.shape.quantized(INT8, where="Quantize")
        self.can_use(data)
        assert data.train
        assert data.dev
        folder = Path(tempfile.mkdtemp(dir=work.folder))
        try:
            made = export(
                tagger,
                folder / "bundle",
                data.dev,
                runtime=self.runtime,
                precision="int8",
                mode=self.mode,
                tolerance=self.tolerance,
                calibration=data.train,
                threads=work.threads,
                progress=work.progress,
                silent=True,  # a study's row says what was measured
            )
        except BaseException:
            shutil.rmtree(folder)
            raise
        weakref.finalize(made, shutil.rmtree, folder, ignore_errors=True)
        return made
