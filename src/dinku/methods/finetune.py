"""FineTune: supervised training of the whole tagger on tagged sentences.

What it does: gives an encoder a tag head where it has none, and trains both on word-level cross-entropy. When it helps:
always, once; after surgery as recovery. What it needs: tagged train sentences, and a dev split where it selects by one.
What it cannot do: read more from a language than its sentences hold.
Source: defaults are AfriBERTa's own NER recipe (Ogueji et al. 2021): windows of 164 subwords, batch 16, 50 epochs, rate
5e-5 falling linearly to zero, no warm-up, no weight decay, gradients clipped at 1, the last weights kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from dinku import predict
from dinku.corpus import Corpus
from dinku.encode import Batch, Window
from dinku.errors import DinkuError
from dinku.files import written
from dinku.method import Data, Need, Work
from dinku.shape import Shape
from dinku.spans import is_iob2_tag

if TYPE_CHECKING:
    import torch

    from dinku.tagger import Tagger


Read = Callable[[Sequence[Window]], dict[str, Any]]  # windows → the tensors of `unpadded.row`


@dataclass(frozen=True)
class FineTune:
    """Train for ``epochs`` over the train split, ``batch`` windows at a time, drawn at random.

    ``tags`` are those of the head; `resolve` takes them from the train split, and a tagger whose head has others, or in
    another order, gets a fresh one. ``keep_zeros`` keeps the zeros of parts that were sparsified, after every step of the
    optimizer (no bias, no padding row and no head is ever held at zero). ``select="best"`` keeps the weights of the epoch
    with the best dev F1 rather than the last. ``precision="auto"`` is bfloat16 autocast where the processor has it, else
    float32. ``window`` is the most subwords a training window holds; longer sentences are read through several.
    """

    epochs: int = 50
    rate: float = 5e-5
    batch: int = 16
    window: int = 164
    warmup: float = 0.0
    weight_decay: float = 0.0
    clip: float = 1.0
    keep_zeros: bool = True
    select: Literal["last", "best"] = "last"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    tags: tuple[str, ...] = ()

    version: ClassVar[int] = 3  # 2: batches at random, those of like length cost a point of F1; 3: read as one row
    needs: ClassVar[frozenset[Need]] = frozenset({"labels"})

    def __post_init__(self) -> None:
        checks = {
            "epochs": (self.epochs >= 0, "give 0 or more"),
            "rate": (0 < self.rate < math.inf, "give a positive number, such as 5e-5"),
            "batch": (self.batch >= 1, "give 1 or more"),
            "window": (self.window >= 8, "give 8 subwords or more"),
            "warmup": (0 <= self.warmup < 1, "give the fraction of steps, 0 ≤ warmup < 1"),
            "weight_decay": (0 <= self.weight_decay < math.inf, "give 0 or more"),
            "tags": (
                len(set(self.tags)) == len(self.tags) and all(map(is_iob2_tag, self.tags)),
                "name each IOB2 tag once",
            ),
            "clip": (0 < self.clip < math.inf, "give a positive number, such as 1.0"),
        }
        for name, (fine, remedy) in checks.items():
            if not fine:
                raise DinkuError(f"{name} is {getattr(self, name)}", where="FineTune", remedy=remedy)

    def resolve(self, tagger: Tagger | None, data: Data) -> Self:
        if self.tags or data.train is None:
            return self
        tags = ("O", *(f"{prefix}-{label}" for label in data.train.labels for prefix in "BI"))
        return replace(self, tags=tags)

    def declare(self, shape: Shape) -> Shape:
        if not self.epochs and shape.tags == len(self.tags):
            return shape
        headed = shape.with_tags(len(self.tags)) if len(self.tags) != shape.tags else shape
        zeros = shape.zeros if self.keep_zeros else 0
        # Training may land on a zero of its own; a weight in a thousand is allowed for.
        low = max(0, headed.nonzero[0] - headed.parameters // 1000)
        return replace(headed, zeros=zeros, nonzero=(low, headed.parameters - zeros))

    def apply(self, tagger: Tagger, data: Data, work: Work) -> Tagger:
        import torch

        from dinku import surgery, train, unpadded

        corpus, dev = _tagged(data.train, "train"), _tagged(data.dev, "dev") if self.select == "best" else None
        method = self.resolve(tagger, data)
        trained = tagger.copy()
        if trained.tags != method.tags:
            trained = replace(
                trained, model=surgery.with_head(tagger.model, method.tags, seed=work.seed), tags=method.tags
            )
        if not self.epochs:
            return trained
        windows = trained.windows_of(self.window).windows([s.words for s in corpus])
        if not windows:
            raise DinkuError(
                "no word of the train split yields a subword", where=corpus.name, remedy="check the tokenizer"
            )
        number = {tag: i for i, tag in enumerate(method.tags)}
        unknown = sorted({t for s in corpus for t in s.tags or ()} - set(number))
        if unknown:
            raise DinkuError(
                f"has the tag {unknown[0]}, which isn't among the head's", where=corpus.name, remedy="name all tags"
            )
        labels = [np.array([number[t] for t in s.tags or ()], np.int64) for s in corpus]

        model = trained.model.to(work.device)
        steps = train.plan([len(w.ids) for w in windows], batch=self.batch, epochs=self.epochs, seed=work.seed)
        low = self.precision == "bfloat16" or (self.precision == "auto" and train.has_bfloat16(work.device))
        schedule = train.Schedule(self.rate, self.warmup, self.weight_decay, self.clip, bfloat16=low)
        used = self._used(trained, [*windows, *(trained.encoder.windows([s.words for s in dev]) if dev else [])])
        with (
            surgery.compact_embeddings(model, torch.from_numpy(used)) as row,
            surgery.quick_dropout(model),
            unpadded.reading(model),
        ):
            read = partial(unpadded.row, family=model.config.model_type, pad=trained.encoder.pad, renumber=row)
            zeros = surgery.meant_zeros(model, trained.sparse) if self.keep_zeros else {}
            views = surgery.prunable(model, embeddings="embeddings" in trained.sparse) if zeros else {}
            held = [(v, mask) for name, masks in zeros.items() for v, mask in zip(views[name], masks, strict=True)]

            def collate(step: Sequence[int]) -> dict[str, Any]:
                batch = [windows[i] for i in step]
                gold = np.concatenate([labels[w.sentence][w.words] for w in batch])
                return {**read(batch), "gold": torch.from_numpy(gold)}

            best = _Best(trained, dev, read, work.folder) if dev else None

            def after_step(n: int) -> None:
                with torch.no_grad():
                    for view, mask in held:
                        view.masked_fill_(mask, 0.0)
                if best and n % (len(steps) // self.epochs) == 0:
                    best.offer()

            train.train(model, steps, collate, word_loss, schedule, work, after_step=after_step, note="fine-tuning")
            if best:
                best.take()
        model.to("cpu").eval()
        return trained

    def _used(self, tagger: Tagger, windows: Sequence[Window]) -> NDArray[np.int64]:
        """Rows of the word embeddings that training may touch, sorted: all of them where weight decay moves them all.

        Rows up to the padding id come along, so that it stays the same number: RoBERTa counts positions by it.
        """
        if self.weight_decay > 0:
            return np.arange(tagger.model.config.vocab_size)
        return np.unique(np.concatenate([np.arange(tagger.encoder.pad + 1), *(w.ids for w in windows)]))


def word_loss(model: Any, batch: dict[str, Any]) -> torch.Tensor:
    """Cross-entropy, the mean over the scored words, of logits at the subwords that speak for them."""
    import torch

    from dinku import unpadded

    return torch.nn.functional.cross_entropy(unpadded.logits(model, batch).float(), batch["gold"])


def _tagged(corpus: Corpus | None, split: str) -> Corpus:
    if corpus is None or not len(corpus):
        raise DinkuError(f"there is no {split} split", where="FineTune", remedy="name a corpus that has one")
    if any(sentence.tags is None for sentence in corpus):
        raise DinkuError("has sentences without tags", where=corpus.name, remedy="name a tagged corpus")
    return corpus


class _Best:
    """The weights of the best epoch on dev, kept in memory and, where training may be resumed, in its folder."""

    def __init__(self, tagger: Tagger, dev: Corpus, read: Read, folder: Path | None) -> None:
        from safetensors import safe_open

        self.tagger, self.dev, self.engine = tagger, dev, _Engine(tagger.model, read)
        self.file = folder / "best.safetensors" if folder else None
        self.f1, self.weights = -1.0, dict[str, Any]()
        if self.file and self.file.exists():
            with safe_open(self.file, "pt") as stored:
                self.f1 = float(stored.metadata()["f1"])
                self.weights = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118

    def offer(self) -> None:
        from safetensors.torch import save

        tagger = self.tagger
        f1 = predict.evaluate(self.engine, tagger.encoder, tagger.tags, self.dev).scores().f1
        if f1 <= self.f1:
            return
        self.f1 = f1
        self.weights = {name: tensor.detach().cpu().clone() for name, tensor in tagger.model.state_dict().items()}
        if self.file:
            with written(self.file) as file:
                file.write(save(self.weights, metadata={"f1": repr(f1)}))

    def take(self) -> None:
        self.tagger.model.load_state_dict(self.weights)


class _Engine:
    """An engine for a model while it trains."""

    def __init__(self, model: Any, read: Read) -> None:
        self.model, self.read = model, read

    def logits(self, batch: Batch) -> predict.Logits:
        import torch

        from dinku import unpadded

        self.model.eval()
        with torch.inference_mode():
            scored = unpadded.logits(self.model, self.read(batch.windows))
        self.model.train()
        return scored.float().cpu().numpy()
