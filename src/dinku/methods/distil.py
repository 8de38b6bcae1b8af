"""Distil: train a smaller student to answer as the tagger does.

What it removes: whatever the student lacks, such as layers, heads or pieces. When it helps: if the small model loses F1 when it
is fine-tuned alone, and most with unlabelled text in the languages, on which a teacher's answers teach what little tagged data
can't. What it needs: tagged train sentences, and with ``transfer`` unlabelled text. What it cannot do: know more than its
teacher. Source: Hinton et al. 2015 (arXiv 1503.02531) for soft targets, XtremeDistil (arXiv 2004.05686) for the transfer set,
TinyBERT (arXiv 1909.10351, eq. 8) for hidden states, MiniLMv2 (arXiv 2012.15828, eq. 3) for relations; the paper (arXiv
2404.04759) calls it task-specific distillation, at T = 2, 3, 6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from dinku.data.corpus import Corpus
from dinku.data.learned import fingerprints
from dinku.errors import DinkuError, plural
from dinku.method import LATER, Data, Need, Planned, Reading, Work
from dinku.model import labels
from dinku.model.shape import EncoderShape, Shape
from dinku.model.word_shape import WordShape
from dinku.training.settings import HEAVIEST, WEIGHT, StudentTraining, SupervisedTraining

if TYPE_CHECKING:
    import torch

    from dinku.nn.tagger import Tagger


@dataclass(frozen=True)
class Distil(SupervisedTraining, StudentTraining):
    """Make a student from the tagger by the methods ``student``, and train it on the tagger's answers.

    The loss is the mean over words of ``soft``·T²·KL(teacher ‖ student), the divergence of the tags' probabilities at
    ``temperature`` T, plus ``gold`` times the cross-entropy of words that have a tag. `StudentTraining` says what ``hidden`` and
    ``relations`` add. ``transfer`` is the number of unlabelled sentences of the study's text to read, spread evenly over the
    languages of the train split; each is read ``passes`` times in all, an equal part of them in each epoch. The student keeps the
    teacher's tag head; a student without a head gets a new one. A student that doesn't start from the teacher's weights can learn
    from a quantized teacher, too, or from a bundle, which answers several times as fast.
    `dinku.training.settings.SupervisedTraining` describes the other fields; those that aren't given are chosen to suit the
    student.
    """

    soft: float = 1.0
    gold: float = 1.0
    transfer: int = 0
    passes: int = field(default=1, metadata=LATER)

    version: ClassVar[int] = 2  # relations are compared in float32
    takes: ClassVar[tuple[type, ...]] = (EncoderShape, WordShape)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(
            soft=(0 <= self.soft <= HEAVIEST, WEIGHT),
            gold=(0 <= self.gold <= HEAVIEST, WEIGHT),
            transfer=(self.transfer >= 0, "give the number of unlabelled sentences, 0 or more"),
            passes=(self.passes >= 1, "give 1 or more"),
        )
        if not (self.soft or self.gold or self.matches):
            remedy = "give one of soft, gold, hidden, relations"
            raise DinkuError("all weights are 0", where="Distil", remedy=remedy)
        if self.transfer and not (self.soft or self.matches):
            problem = "unlabelled sentences teach nothing if only gold tags count"
            raise DinkuError(
                problem, where="Distil", remedy="give one of soft, hidden, relations, or set transfer to 0"
            )

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"labels", "text"} if self.transfer else {"labels"})

    @property
    def reads(self) -> Reading:
        once, every_pass = bool(self.soft and self.epochs), bool(self.matches and self.epochs)
        return Reading(
            train_passes=self.epochs or 0,
            text_lines=self.transfer,
            text_passes=self.passes if self.epochs else 0,
            teacher="both" if once and every_pass else "once" if once else "every pass" if every_pass else "nothing",
        )

    def resolve(self, tagger: Tagger | Planned | None, data: Data) -> Self:
        method = super().resolve(tagger, data)
        if tagger is None:
            return method.settled(None, data.train)
        student: Any = tagger.shape
        for each in method.student:
            student = each.declare(student)
        return method.settled(student, data.train)

    def declare(self, shape: Shape | WordShape) -> Shape | WordShape:
        if not shape.tags:
            raise self._untagged()
        student = self.student_shape(shape)
        head = shape.tags, shape.pooled
        if student.tags and (student.tags, student.pooled) != head:
            problem = f"the student has {plural(student.tags, 'tag')}, the teacher {shape.tags}"
            remedy = "start from an encoder, or from a tagger with the same tags"
            raise DinkuError(problem, where="Distil", remedy=remedy)
        if self.epochs == 0 and (student.tags, student.pooled) == head:
            return student
        return self.trained(student, shape.tags, pooled=shape.pooled)

    def apply(self, tagger: Tagger, data: Data, work: Work) -> Tagger:
        import torch

        from dinku.training import fit, reading, teacher_answers
        from dinku.training.teacher_states import state_loss

        if self.needs_weights:
            tagger.check_changeable(self)
        if not tagger.tags:
            raise self._untagged()
        corpus, dev = self.tagged(data.train, "train"), self.tagged(data.dev, "dev") if self.select == "best" else None
        labels.check_task(tagger.task, corpus, where="Distil")
        units = tagger.task.units
        gold = labels.numbered(corpus, tagger.tags, tagger.task) if self.gold else _unlabelled(units, corpus)
        corpora = [corpus]
        if self.transfer:
            corpora.append(data.text_for(self).sample(self.transfer, corpus.languages))
        student = self._headed(self.cut(tagger, data, work), tagger, work.seed)
        method = self.settled(student.shape, corpus)
        if not method.epochs:
            return student
        sentences = [s.words for c in corpora for s in c]
        student = replace(student, learned=student.learned | tagger.learned | fingerprints(sentences))
        gold += [label for more in corpora[1:] for label in _unlabelled(units, more)]
        windows = self.reader(student, tagger).windows(sentences)
        taught = None
        if self.soft:
            precision = fit.precision_of(self, work)
            logits = np.concatenate(
                [teacher_answers.word_logits(tagger, c, work, precision=precision) for c in corpora]
            )
            taught = np.split(logits, np.cumsum([units(len(words)) for words in sentences])[:-1])
        with state_loss(self, tagger, student, work) as matched:

            def targets(batch: Sequence[int]) -> dict[str, Any]:
                chosen = [windows[i] for i in batch]
                out = {"gold": torch.from_numpy(np.concatenate([gold[w.sentence][w.words] for w in chosen]))}
                if taught is not None:
                    answers = np.concatenate([taught[w.sentence][w.words] for w in chosen]).astype(np.float32)
                    out["taught"] = torch.from_numpy(answers)
                return out | (matched.tensors(chosen) if matched else {})

            def loss(model: Any, tensors: dict[str, Any]) -> torch.Tensor:
                whole = self.word_loss(reading.logits(student.model, tensors).float(), tensors)
                return whole + matched.loss(tensors) if matched else whole

            epochs = self.windows_read(
                [w.sentence < len(corpus) for w in windows], method.epochs, work.seed, self.passes
            )
            examples = fit.Examples(windows, epochs, targets)
            objective = fit.Objective(loss, matched.projections if matched else None)
            return fit.fit(student, examples, objective, method, work, dev=dev, note="distilling")

    def _untagged(self) -> DinkuError:
        return DinkuError("the teacher has no tags", where="Distil", remedy="fine-tune it first")

    def _headed(self, student: Tagger, teacher: Tagger, seed: int) -> Tagger:
        if not student.tags:
            return student.headed(teacher.tags, seed=seed, task=teacher.task)
        if (student.tags, student.task) != (teacher.tags, teacher.task):
            problem = f"the student's tags {', '.join(student.tags[:3])} … aren't the teacher's"
            remedy = "start from an encoder, or from a tagger with the same tags"
            raise DinkuError(problem, where="Distil", remedy=remedy)
        return student

    @staticmethod
    def windows_read(labelled: Sequence[bool], epochs: int, seed: int, passes: int = 1) -> list[list[int]]:
        """The windows of each epoch: all labelled ones, and an equal part of ``passes`` over the others."""
        always, others = np.flatnonzero(labelled), np.flatnonzero(~np.asarray(labelled))
        random = np.random.default_rng(seed)
        parts = np.array_split(np.concatenate([random.permutation(others) for _ in range(passes)]), epochs)
        return [[*always.tolist(), *part.tolist()] for part in parts]

    def word_loss(self, logits: torch.Tensor, batch: dict[str, Any]) -> torch.Tensor:
        """The loss from the student's ``logits`` [words, tags]; all words of a batch have the same weight."""
        from torch.nn import functional as F

        summed = logits.sum() * 0.0
        if self.gold:
            summed = summed + self.gold * F.cross_entropy(logits, batch["gold"], ignore_index=IGNORED, reduction="sum")
        if self.soft:
            known = batch["taught"].isfinite().all(-1)  # not those of words without a subword
            student = F.log_softmax(logits[known] / self.temperature, -1)
            teacher = F.log_softmax(batch["taught"][known] / self.temperature, -1)
            divergence = F.kl_div(student, teacher, reduction="sum", log_target=True)
            summed = summed + self.soft * self.temperature**2 * divergence
        return summed / len(logits)


IGNORED = -100  # stands for the tag of an untagged unit


def _unlabelled(units: Callable[[int], int], corpus: Corpus) -> list[NDArray[np.int64]]:
    return [np.full(units(len(sentence.words)), IGNORED, np.int64) for sentence in corpus]
