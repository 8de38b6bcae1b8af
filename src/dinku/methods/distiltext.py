"""DistilText: train a smaller encoder on unlabelled text to compute the same states as a larger one.

What it removes: whatever the student lacks, such as layers or heads. When it helps: before fine-tuning, if one small encoder is
to serve many tasks, or if there is more text than tagged data. What it needs: a folder of text, and no tags. What it cannot do:
teach what only tags tell; fine-tune the student afterwards, or distil it with `Distil`. Source: MiniLMv2 (arXiv 2012.15828) for
relations, TinyBERT (arXiv 1909.10351) for hidden states; the paper (arXiv 2404.04759) calls it task-agnostic distillation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from dinku.errors import DinkuError
from dinku.method import Data, Need, Reading, Work
from dinku.model.shape import Shape
from dinku.training.settings import StudentTraining

if TYPE_CHECKING:
    import torch

    from dinku.nn.tagger import Tagger


@dataclass(frozen=True)
class DistilText(StudentTraining):
    """Make a student from the encoder by the methods ``student``, and train it on ``sentences`` of the study's text.

    The sentences are spread evenly over the languages of the train split, and each epoch reads all of them. The loss is that of
    `dinku.training.settings.StudentTraining`, by default relations alone. A head of the encoder stays as it is.
    `dinku.training.settings.TrainingSettings` describes the other fields.
    """

    rate: float = 5e-5
    batch: int = 16
    warmup: float = 0.0
    epochs: int = 1
    relations: float = 1.0
    sentences: int = 60_000

    version: ClassVar[int] = 2  # relations are compared in float32
    needs: ClassVar[frozenset[Need]] = frozenset({"text"})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(sentences=(self.sentences >= 1, "give the number of sentences to read, 1 or more"))
        if not self.matches:
            raise DinkuError("hidden and relations are 0", where="DistilText", remedy="give one of them a weight")

    @property
    def reads(self) -> Reading:
        return Reading(
            text_lines=self.sentences,
            text_passes=self.epochs,
            teacher="every pass" if self.epochs else "nothing",
        )

    def declare(self, shape: Shape) -> Shape:
        student = self.student_shape(shape)
        return self.trained(student, student.tags, pooled=student.pooled) if self.epochs else student

    def apply(self, tagger: Tagger, data: Data, work: Work) -> Tagger:
        from dinku.training import fit, unpadded
        from dinku.training.teacher_states import state_loss

        tagger.check_changeable(self)
        unlabelled = data.text_for(self)
        student = self.cut(tagger, data, work)
        if not self.epochs:
            return student
        text = unlabelled.sample(self.sentences, unlabelled.languages)
        windows = self.reader(student, tagger).windows([s.words for s in text])
        encoder = replace(student, model=student.model.base_model, tags=())  # the weights are the student's own
        with state_loss(self, tagger, encoder, work) as matched:
            assert matched is not None

            def targets(batch: Sequence[int]) -> dict[str, Any]:
                return matched.tensors([windows[i] for i in batch])

            def loss(model: Any, tensors: dict[str, Any]) -> torch.Tensor:
                unpadded.read(encoder.model, tensors)
                return matched.loss(tensors)

            examples = fit.Examples(windows, [range(len(windows))] * self.epochs, targets)
            objective = fit.Objective(loss, matched.projections)
            trained = fit.fit(encoder, examples, objective, self, work, note="distilling on text")
        return replace(student, sparse=trained.sparse)
