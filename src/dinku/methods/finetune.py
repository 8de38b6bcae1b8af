"""FineTune: supervised training of the whole tagger on tagged sentences.

What it does: gives an encoder a tag head if it has none, and trains both on word-level cross-entropy. When it helps: once in
every recipe, and again after surgery as recovery. What it needs: tagged train sentences, and a dev split to select the best epoch
by. What it cannot do: learn more of a language than its sentences hold.
Source: rate, batch, warm-up and epochs, unless they are given, are chosen to suit the encoder and the number of train sentences
(`dinku.training.settings.suited`). The rest is AfriBERTa's own NER recipe (Ogueji et al. 2021): windows of 164 subwords, a rate
that falls linearly to zero, no weight decay, gradients clipped at 1, the last weights kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from dinku.data.learned import fingerprints
from dinku.data.task import TASKS, task_named
from dinku.errors import DinkuError
from dinku.method import LATER, Category, Data, Need, Planned, Work
from dinku.model.labels import check_task
from dinku.model.shape import EncoderShape
from dinku.model.word_shape import WordShape
from dinku.training.settings import S, SupervisedTraining

if TYPE_CHECKING:
    import torch

    from dinku.nn.tagger import Tagger
    from dinku.nn.word_tagger import WordTagger
    from dinku.training.fit import T


@dataclass(frozen=True)
class FineTune(SupervisedTraining):
    """Train for ``epochs`` over the train split; see `dinku.training.settings.SupervisedTraining` for its
    fields and their defaults.

    ``tags`` are those of the head, and ``task`` says what they are; `resolve` takes both from the train split, and a tagger
    whose head has others, or in another order, gets a new head. With ``weights="balanced"`` a word counts in the loss by the
    inverse square root of how often its tag occurs in the train split, so that labels with few entities are learned, at some
    cost to the others.
    """

    tags: tuple[str, ...] = ()
    weights: Literal["equal", "balanced"] = field(default="equal", metadata=LATER)
    task: str = field(default="ner", metadata=LATER)

    version: ClassVar[int] = 3  # 2: batches at random, those of like length cost a point of F1; 3: read as one row
    category: ClassVar[Category] = "training"
    needs: ClassVar[frozenset[Need]] = frozenset({"labels"})
    takes: ClassVar[tuple[type, ...]] = (EncoderShape, WordShape)

    def __post_init__(self) -> None:
        super().__post_init__()
        task = task_named(self.task, where="FineTune")
        if len(set(self.tags)) < len(self.tags) or not all(map(task.is_legal, self.tags)):
            kind = "IOB2 tag" if task.schemes else "label"
            raise DinkuError(f"tags is {self.tags}", where="FineTune", remedy=f"name each {kind} once")

    def resolve(self, tagger: Tagger | WordTagger | Planned | None, data: Data) -> Self:
        method = self.settled(tagger.shape if tagger else None, data.train)
        if self.tags or data.train is None:
            return method
        return replace(method, tags=data.train.tags, task=data.train.task.name)

    def can_use(self, data: Data) -> None:
        super().can_use(data)
        if data.train:
            data.train.task.check_labels(data.train.labels, where=f"FineTune: {data.train.name}")
        if self.tags and data.train:
            check_task(TASKS[self.task], data.train, where="FineTune")
        if self.tags and self.epochs and data.train:
            data.train.check_tags(self.tags, where="FineTune")

    def declare(self, shape: S) -> S:
        head = len(self.tags), TASKS[self.task].each == "sentence"
        if self.epochs == 0 and (shape.tags, shape.pooled) == head:
            return shape
        return self.trained(shape, head[0], pooled=head[1])

    def apply(self, tagger: T, data: Data, work: Work) -> T:
        import torch

        from dinku.training import fit

        tagger.check_changeable(self)
        corpus, dev = self.tagged(data.train, "train"), self.tagged(data.dev, "dev") if self.select == "best" else None
        method = self.resolve(tagger, data)
        trained = tagger.copy()
        task = TASKS[method.task]
        check_task(task, corpus, where="FineTune")
        if (trained.tags, trained.task) != (method.tags, task):
            trained = tagger.headed(method.tags, seed=work.seed, task=task)
        if not method.epochs:
            return trained
        trained = replace(trained, learned=trained.learned | fingerprints(s.words for s in corpus))
        windows = trained.windows_of(self.window).windows([s.words for s in corpus])
        labels = corpus.numbered(method.tags)

        def targets(batch: Sequence[int]) -> dict[str, Any]:
            chosen = [windows[i] for i in batch]
            return {"gold": torch.from_numpy(np.concatenate([labels[w.sentence][w.words] for w in chosen]))}

        examples = fit.Examples(windows, [range(len(windows))] * method.epochs, targets)
        loss = word_loss
        if self.weights == "balanced":
            loss = partial(word_loss, weights=torch.from_numpy(balanced(np.concatenate(labels), len(method.tags))))
        return fit.fit(trained, examples, fit.Objective(loss), method, work, dev=dev, note="fine-tuning")


def balanced(labels: NDArray[np.int64], tags: int) -> NDArray[np.float32]:
    """The weight of each tag: by the inverse square root of how often it is in ``labels``, and 1 on average over these.

    >>> balanced(np.array([0, 0, 0, 0, 1]), 2).round(2).tolist()
    [0.83, 1.67]
    """
    counts = np.bincount(labels, minlength=tags)
    weights = 1 / np.sqrt(np.maximum(counts, 1))
    return np.asarray(weights * counts.sum() / (weights * counts).sum(), np.float32)


def word_loss(model: Any, batch: dict[str, Any], weights: torch.Tensor | None = None) -> torch.Tensor:
    """The mean cross-entropy over the scored words, of the logits at the subwords that represent them."""
    import torch

    from dinku.training import reading

    logits = reading.logits(model, batch).float()
    weights = weights.to(logits.device) if weights is not None else None
    return torch.nn.functional.cross_entropy(logits, batch["gold"], weight=weights)
