"""Distil: train a smaller student to answer as the tagger does.

What it removes: whatever the student lacks, such as layers, heads or pieces. When it helps: wherever fine-tuning the small
model alone loses F1, and most where unlabelled text in the languages is at hand: a teacher's answers on it teach what
little tagged data can't. What it needs: tagged train sentences; with ``transfer`` unlabelled text. What it cannot do: know
more than its teacher.
Source: Hinton et al. 2015 (arXiv 1503.02531) for soft targets, XtremeDistil (arXiv 2004.05686) for the transfer set, TinyBERT
(arXiv 1909.10351, eq. 8) for hidden states, MiniLMv2 (arXiv 2012.15828, eq. 3) for relations; the paper (arXiv 2404.04759)
calls it task-specific distillation, at T = 2, 3, 6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from dinku.errors import DinkuError
from dinku.method import Data, Method, Need, Supervised, Work
from dinku.shape import Shape

if TYPE_CHECKING:
    import torch

    from dinku.tagger import Tagger


@dataclass(frozen=True)
class Distil(Supervised):
    """Make a student of the tagger by the methods ``student``, and train it on the tagger's answers.

    The loss is the mean over words of ``soft``·T²·KL(teacher ‖ student) of tags' probabilities at ``temperature`` T, and of
    ``gold`` times the cross-entropy where a word has a tag; with ``hidden`` the mean squared error of hidden states is added,
    and with ``relations`` the divergence of the relations within queries, keys and values of the last layers, split into
    ``relation_heads`` (0: as many as the teacher has heads), which need teacher and student to read the same subwords.
    ``layers`` names for each layer of the student the teacher's that it shall match; none: as evenly as they go up to the
    last. ``transfer`` unlabelled sentences of the study's text, in the languages of the train split as evenly as they go, are
    read once in all, an equal part in each epoch. The student takes the teacher's head, or gets a fresh one where it has
    none. See `dinku.method.Supervised` for the other fields.
    """

    student: tuple[Any, ...] = field(default=(), metadata={"methods": True})
    temperature: float = 2.0
    soft: float = 1.0
    gold: float = 1.0
    hidden: float = 0.0
    relations: float = 0.0
    relation_heads: int = 0
    layers: tuple[int, ...] = ()
    transfer: int = 0

    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        weights = ("soft", "gold", "hidden", "relations")
        checks = {
            "temperature": (0 < self.temperature < math.inf, "give a positive number, such as 2"),
            **{name: (0 <= getattr(self, name) < math.inf, "give a weight of 0 or more") for name in weights},
            "relation_heads": (self.relation_heads >= 0, "give 0 or more"),
            "layers": (all(layer >= 0 for layer in self.layers), "number the teacher's layers from 0"),
            "transfer": (self.transfer >= 0, "give the number of unlabelled sentences, 0 or more"),
            "student": (all(isinstance(method, Method) for method in self.student), "list methods"),
        }
        for name, (fine, remedy) in checks.items():
            if not fine:
                raise DinkuError(f"{name} is {getattr(self, name)}", where="Distil", remedy=remedy)
        if not any(getattr(self, name) for name in weights):
            raise DinkuError("all weights are 0", where="Distil", remedy=f"give one of {', '.join(weights)}")

    @property
    def needs(self) -> frozenset[Need]:
        inner = frozenset[Need]().union(*(method.needs for method in self.student))
        return inner | ({"labels", "text"} if self.transfer else {"labels"})

    @property
    def _matches(self) -> bool:
        """Whether student and teacher are compared subword by subword."""
        return bool(self.hidden or self.relations)

    def resolve(self, tagger: Tagger | None, data: Data) -> Self:
        return replace(self, student=tuple(m.resolve(None, data.given(m.needs)) for m in self.student))

    def declare(self, shape: Shape) -> Shape:
        student = shape
        for method in self.student:
            student = method.declare(student)
        self._map(len(student.layers), len(shape.layers))
        return student if not self.epochs and student.tags == shape.tags else self.trained(student, shape.tags)

    def _map(self, student: int, teacher: int) -> list[int]:
        """The teacher's layer for each of the student's."""
        layers = list(self.layers) or [(i + 1) * teacher // student - 1 for i in range(student)]
        if len(layers) != student or max(layers) >= teacher:
            problem = f"layers is {self.layers} for {student} layers of the student and {teacher} of the teacher"
            raise DinkuError(problem, where="Distil", remedy="name one of the teacher's for each of the student's")
        return layers

    def apply(self, tagger: Tagger, data: Data, work: Work) -> Tagger:
        import torch

        from dinku import train, unpadded

        if not tagger.tags:
            raise DinkuError("the teacher has no tags", where="Distil", remedy="fine-tune it first")
        corpus, dev = self.tagged(data.train, "train"), self.tagged(data.dev, "dev") if self.select == "best" else None
        gold = corpus.numbered(tagger.tags)
        corpora = [corpus]
        if self.transfer:
            if data.text is None:
                raise DinkuError("there is no text", where="Distil", remedy="name a folder as the study's text")
            corpora.append(data.text.sample(self.transfer, corpus.languages))
        student = self._student(tagger, data, work)
        if not self.epochs:
            return student
        sentences = [s.words for c in corpora for s in c]
        gold += [np.full(len(words), IGNORED, np.int64) for words in sentences[len(corpus) :]]
        windows = student.windows_of(self.window).windows(sentences)
        taught = None
        if self.soft:
            logits = np.concatenate([train.word_logits(tagger, c, work) for c in corpora])
            taught = np.split(logits, np.cumsum([len(words) for words in sentences])[:-1])

        def targets(batch: Sequence[int]) -> dict[str, Any]:
            chosen = [windows[i] for i in batch]
            out = {"gold": torch.from_numpy(np.concatenate([gold[w.sentence][w.words] for w in chosen]))}
            if taught is not None:
                answers = np.concatenate([taught[w.sentence][w.words] for w in chosen]).astype(np.float32)
                out["taught"] = torch.from_numpy(answers)
            if self._matches:
                out["teachers_ids"] = torch.from_numpy(unpadded.ids(chosen, tagger.encoder.pad))
            return out

        with ExitStack() as stack:
            matching = _Matching(self, tagger, student, stack, work) if self._matches else None

            def loss(model: Any, tensors: dict[str, Any]) -> torch.Tensor:
                whole = self.word_loss(unpadded.logits(student.model, tensors).float(), tensors)
                return whole + matching.loss(tensors) if matching else whole

            train.fit(
                student,
                windows,
                self._epochs([w.sentence < len(corpus) for w in windows], work.seed),
                targets,
                loss,
                self,
                work,
                dev=dev,
                extra=matching.projections if matching else None,
                note="distilling",
            )
        return student

    def _student(self, tagger: Tagger, data: Data, work: Work) -> Tagger:
        from dinku import surgery

        student = tagger
        for method in self.student:
            student = method.apply(student, data.given(method.needs), replace(work, folder=None))
        self._map(len(student.shape.layers), len(tagger.shape.layers))
        if student.tags and student.tags != tagger.tags:
            problem = f"the student's tags {', '.join(student.tags[:3])} … aren't the teacher's"
            raise DinkuError(
                problem, where="Distil", remedy="start from an encoder, or from a tagger with the same tags"
            )
        if not student.tags:
            headed = surgery.with_head(student.model, tagger.tags, seed=work.seed)
            student = replace(student, model=headed, tags=tagger.tags)
        if self._matches and student.tokenizer.get_vocab() != tagger.tokenizer.get_vocab():
            problem = "hidden states and relations are matched subword by subword, and the student reads others"
            raise DinkuError(problem, where="Distil", remedy="set hidden and relations to 0, or keep the vocabulary")
        return student.copy()

    def _epochs(self, labelled: Sequence[bool], seed: int) -> list[list[int]]:
        """The windows of each epoch: all that are labelled, and of the others an equal part."""
        always, once = np.flatnonzero(labelled), np.flatnonzero(~np.asarray(labelled))
        parts = np.array_split(np.random.default_rng(seed).permutation(once), self.epochs)
        return [[*always.tolist(), *part.tolist()] for part in parts]

    def word_loss(self, logits: torch.Tensor, batch: dict[str, Any]) -> torch.Tensor:
        """The loss of words, from the student's ``logits`` [words, tags]; all words of a batch weigh the same."""
        from torch.nn import functional as F

        summed = logits.sum() * 0.0
        if self.gold:
            summed = summed + self.gold * F.cross_entropy(logits, batch["gold"], ignore_index=IGNORED, reduction="sum")
        if self.soft:
            known = batch["taught"].isfinite().all(-1)  # a word that the teacher has no subword for teaches nothing
            student = F.log_softmax(logits[known] / self.temperature, -1)
            teacher = F.log_softmax(batch["taught"][known] / self.temperature, -1)
            divergence = F.kl_div(student, teacher, reduction="sum", log_target=True)
            summed = summed + self.soft * self.temperature**2 * divergence
        return summed / len(logits)


IGNORED = -100  # the tag of a word that has none


class _Matching:
    """Hidden states and relations of teacher and student, which read the same row."""

    def __init__(self, method: Distil, teacher: Tagger, student: Tagger, stack: ExitStack, work: Work) -> None:
        import torch

        from dinku import surgery, unpadded

        self.method, self.teacher = method, teacher.model.to(work.device).eval()
        stack.callback(teacher.model.to, "cpu")
        stack.enter_context(unpadded.reading(teacher.model))
        layers = method._map(len(surgery.layers(student.model)), len(surgery.layers(teacher.model)))
        self.heads = method.relation_heads or teacher.shape.layers[0].heads
        self.heard = []
        for model, chosen in ((teacher.model, layers), (student.model, range(len(layers)))):
            modules = [surgery.layers(model)[i] for i in chosen] if method.hidden else []
            modules += surgery.projections(surgery.layers(model)[-1]) if method.relations else []
            self.heard.append(stack.enter_context(surgery.listening(modules)))
        widths = [(student.shape.hidden, teacher.shape.hidden)] * (len(layers) if method.hidden else 0)
        for shape in (teacher.shape, student.shape):
            if method.relations and (shape.layers[-1].heads * shape.layers[-1].head_size) % self.heads:
                problem = f"relation_heads is {self.heads}, which doesn't divide queries of hidden size {shape.hidden}"
                raise DinkuError(problem, where="Distil", remedy="choose a divisor of both hidden sizes")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(work.seed)
            # Where widths agree nothing is projected: the student's states are the teacher's.
            linear = [torch.nn.Linear(a, b) for a, b in widths if a != b]
        self.projections = torch.nn.ModuleList(linear)

    def loss(self, tensors: dict[str, Any]) -> torch.Tensor:
        """What is added to the loss of words, once the student has read the row."""
        import torch
        from torch.nn import functional as F

        from dinku import unpadded

        with torch.no_grad():
            unpadded.logits(self.teacher, {**tensors, "ids": tensors["teachers_ids"]})
        theirs, ours = ([x[0] for x in heard] for heard in self.heard)  # [subwords, width] each
        total = theirs[0].new_zeros((), dtype=torch.float32)
        if self.method.hidden:
            states = len(ours) - (3 if self.method.relations else 0)
            errors = []
            for i in range(states):
                own = self.projections[i](ours[i]) if len(self.projections) else ours[i]
                real = len(tensors["slots"]) - tensors["tail"]
                errors.append(F.mse_loss(own[:real].float(), theirs[i][:real].float()))
            total = total + self.method.hidden * torch.stack(errors).mean()
        if self.method.relations:
            pairs = zip(theirs[-3:], ours[-3:], strict=True)
            each = [unpadded.relation_loss(a, b, tensors, heads=self.heads) for a, b in pairs]
            total = total + self.method.relations * torch.stack(each).sum()
        return total
