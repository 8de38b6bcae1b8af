"""A teacher's and a student's hidden states and attention relations, compared while the student trains.

Source: TinyBERT (arXiv 1909.10351, eq. 8) for hidden states, MiniLMv2 (arXiv 2012.15828, eq. 3 to 5) for relations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from dinku import modeling
from dinku.errors import DinkuError
from dinku.method import Work
from dinku.model.encode import SubwordWindow, first_position
from dinku.nn import surgery
from dinku.nn.tagger import Tagger
from dinku.training import unpadded
from dinku.training.settings import StudentTraining


@dataclass(frozen=True)
class StateLoss:
    """What a student's loss gains by its states: a teacher and a student that read the same rows.

    ``projections`` [student's hidden size → teacher's] are trained along with the student. ``shift`` is added to the student's
    positions to get the teacher's. ``compared`` layers have their states compared. ``theirs`` and ``ours`` hold what the teacher
    and the student computed of the last row.
    """

    how: StudentTraining
    teacher: Any
    pad: int
    shift: int
    heads: int
    compared: int
    theirs: list[torch.Tensor]
    ours: list[torch.Tensor]
    projections: torch.nn.ModuleList

    def tensors(self, windows: Sequence[SubwordWindow]) -> dict[str, torch.Tensor]:
        """The teacher's input, to be added to the tensors of `dinku.training.unpadded.row`."""
        return {"teachers_ids": torch.from_numpy(unpadded.ids(windows, self.pad))}

    def loss(self, tensors: dict[str, Any]) -> torch.Tensor:
        """The part of the loss for the row that the student has just read."""
        with torch.no_grad():
            positions = tensors["positions"] + self.shift
            unpadded.read(self.teacher, {**tensors, "ids": tensors["teachers_ids"], "positions": positions})
        # [subwords, width] each
        theirs, ours = ([unpadded.flat(x, tensors) for x in heard] for heard in (self.theirs, self.ours))
        total = torch.zeros((), device=theirs[0].device)
        if self.how.hidden:
            real = len(tensors["slots"]) - tensors["tail"]
            projected = [p(x) for p, x in zip(self.projections, ours, strict=False)] if self.projections else ours
            pairs = zip(projected[: self.compared], theirs[: self.compared], strict=True)
            errors = [F.mse_loss(own[:real].float(), their[:real].float()) for own, their in pairs]
            total = total + self.how.hidden * torch.stack(errors).mean()
        if self.how.relations:
            pairs = zip(_apart(theirs[self.compared :]), _apart(ours[self.compared :]), strict=True)
            each = [relation_loss(a, b, tensors, heads=self.heads) for a, b in pairs]
            total = total + self.how.relations * torch.stack(each).sum()
        return total


@contextmanager
def state_loss(how: StudentTraining, teacher: Tagger, student: Tagger, work: Work) -> Iterator[StateLoss | None]:
    """Record the states of teacher and student while the student trains; ``None`` if only answers are compared.

    Raises `DinkuError` if they read different subwords, or if their layers or heads don't fit.
    """
    how.check_matching(student.shape, teacher.shape)
    if not how.matches:
        yield None
        return
    layers, heads = how.fitted(student.shape, teacher.shape)
    if unpadded.padded(student.model) != unpadded.padded(teacher.model):
        problem = (
            "hidden states and relations are compared while both read alike, and one of the two reads padded windows"
        )
        raise DinkuError(
            problem, where=type(how).__name__, remedy="take both of one family, or set hidden and relations to 0"
        )
    if student.tokenizer.get_vocab() != teacher.tokenizer.get_vocab():
        raise how.other_vocabulary()
    with torch.random.fork_rng(devices=[]), ExitStack() as stack:
        torch.manual_seed(work.seed)
        narrow = how.hidden and student.shape.hidden != teacher.shape.hidden  # else the states are compared as they are
        linear = [torch.nn.Linear(student.shape.hidden, teacher.shape.hidden) for _ in layers] if narrow else []
        model = teacher.model.base_model.to(work.device).eval()
        stack.callback(model.to, "cpu")
        stack.enter_context(unpadded.reading(teacher.model))
        theirs = stack.enter_context(surgery.listening(_parts(how, teacher, layers)))
        ours = stack.enter_context(surgery.listening(_parts(how, student, range(len(layers)))))
        first, students = (first_position(t.shape.offset, t.encoder.pad) for t in (teacher, student))
        projections = torch.nn.ModuleList(linear)
        compared = len(layers) if how.hidden else 0
        yield StateLoss(how, model, teacher.encoder.pad, first - students, heads, compared, theirs, ours, projections)


def _parts(how: StudentTraining, tagger: Tagger, layers: Sequence[int]) -> list[torch.nn.Module]:
    """The layers whose states are compared, then the modules that make the last one's queries, keys and values."""
    own = modeling.layers(tagger.model)
    states: list[torch.nn.Module] = [own[i] for i in layers] if how.hidden else []
    return states + (list(modeling.linears(own[-1]).into_heads[:3]) if how.relations else [])


def _apart(made: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
    """Queries, keys and values [subwords, width], which one linear layer may have made at once."""
    return made[0].chunk(3, -1) if len(made) == 1 else made


def relation_loss(teacher: torch.Tensor, student: torch.Tensor, tensors: dict[str, Any], *, heads: int) -> torch.Tensor:
    """MiniLMv2's divergence of relations within windows, from vectors [subwords, width] of a row; widths may differ.

    A relation is the softmax over a window of scaled products of one head's vectors; the result is the mean, over heads and
    subwords, of KL(teacher ‖ student) (arXiv 2012.15828, eq. 3 to 5).
    """
    masks = [mask.to(teacher.device) for mask in tensors["masks"]]
    sizes = [mask.size(0) * mask.size(-1) for mask in masks]
    spread = tensors["spread"].to(teacher.device)
    total = torch.zeros((), device=teacher.device)
    apart = [x.float().index_select(0, spread).split(sizes) for x in (teacher, student)]
    for mask, *parts in zip(masks, *apart, strict=True):
        total = total + _Divergence.apply(*parts, mask, heads)
    return total / (heads * (len(tensors["slots"]) - tensors["tail"]))


class _Divergence(torch.autograd.Function):
    """The divergence of a group of windows, summed over heads and subwords, from both models' vectors [slots, width].

    `forward` computes the gradient as well. It is small beside the relations, which then needn't be kept or computed again: the
    gradient of the scores z = c·x·xᵀ is the student's relation minus the teacher's, G, and that of x is c·(G + Gᵀ)·x.
    """

    @staticmethod
    def forward(ctx: Any, teacher: torch.Tensor, student: torch.Tensor, mask: torch.Tensor, heads: int) -> torch.Tensor:
        with torch.autocast(mask.device.type, enabled=False):  # which would take the products in bfloat16
            found = []
            for x in (teacher, student):
                # [windows, heads, longest, size]
                split = x.view(mask.size(0), mask.size(-1), heads, -1).transpose(1, 2)
                scale = split.size(-1) ** -0.5
                scores = (split @ split.transpose(-1, -2)).mul_(scale).add_(mask)
                # Not the exponential of the logarithm, which takes several times as long where it is next to nothing.
                found.append((scores.softmax(-1), scores.log_softmax(-1)))
            (their, log_their), (own, log_own) = found
            real = (mask == 0).transpose(-1, -2)  # [windows, 1, longest, 1]
            total = log_their.sub_(log_own).mul_(their).mul_(real).sum()
            if ctx.needs_input_grad[1]:
                change = own.sub_(their).mul_(real)
                gradient = (change + change.transpose(-1, -2)) @ split * scale
                ctx.save_for_backward(gradient.transpose(1, 2).reshape(student.shape))
            return total

    @staticmethod
    def backward(ctx: Any, given: torch.Tensor) -> tuple[None, torch.Tensor | None, None, None]:
        return None, (given * ctx.saved_tensors[0] if ctx.needs_input_grad[1] else None), None, None
