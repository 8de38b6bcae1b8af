"""Resumable training on `transformers.Trainer`, for any loss.

The order of all batches is planned before the first step. A run that is killed therefore continues from its last whole
checkpoint to the same weights, bit for bit on the same machine with the same number of threads.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch.utils.data import DataLoader, SequentialSampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from dinku.data.corpus import Corpus
from dinku.errors import DinkuError
from dinku.files import written
from dinku.machine import BFLOAT16_FLAGS, cpu
from dinku.method import Work
from dinku.model import predict
from dinku.model.engine import Engine
from dinku.nn import surgery
from dinku.nn.quiet import quietly
from dinku.nn.tagger import Tagger
from dinku.nn.word_tagger import WordTagger
from dinku.training import importance, while_training
from dinku.training.reading import reading
from dinku.training.settings import TrainingSettings

DONE = "done"  # marks a whole checkpoint; transformers itself takes the highest number, complete or not
LOSSES = 10  # how often a training reports its loss
CHECKPOINT_SECONDS = 60.0
RAISES = 32  # the most steps in which sparsity rises

T = TypeVar("T", Tagger, WordTagger)
Collate = Callable[[Sequence[int]], dict[str, Any]]
Loss = Callable[[Any, dict[str, Any]], torch.Tensor]


def has_bfloat16(device: str) -> bool:
    """Whether bfloat16 is faster on a device: on a GPU that has it, and on a CPU with instructions for it."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device != "cpu":
        return False
    return not BFLOAT16_FLAGS.isdisjoint(cpu()[1])


def plan(lengths: Sequence[int], epochs: Sequence[Sequence[int]], *, batch: int, seed: int) -> list[list[list[int]]]:
    """The batches of every epoch, each chosen at random from the items that the epoch reads; in a batch the shortest come first.

    ``epochs`` holds, for each epoch, indices into ``lengths``.
    """
    sizes = np.asarray(lengths)
    out: list[list[list[int]]] = []
    for epoch, items in enumerate(epochs):
        order = np.random.default_rng((seed, epoch)).permutation(np.asarray(items))
        batches = (order[i : i + batch] for i in range(0, len(order), batch))
        out.append([b[np.argsort(sizes[b], kind="stable")].tolist() for b in batches])
    return out


@dataclass(frozen=True)
class Examples:
    """The windows of a training: which of them each epoch reads, and ``targets(batch)``, the tensors that a loss compares to.

    ``lengths`` are those of the windows; give them if it takes long to make a window.
    """

    windows: Sequence[Any]  # `Window` of the tagger's encoder
    epochs: Sequence[Sequence[int]]
    targets: Callable[[Sequence[int]], dict[str, Any]]
    lengths: Sequence[int] | None = None

    def batches(self, batch: int, seed: int) -> list[list[list[int]]]:
        """The batches of every epoch, by `plan`."""
        return plan(self.lengths or [w.size for w in self.windows], self.epochs, batch=batch, seed=seed)


@dataclass(frozen=True)
class Objective:
    """What a training minimizes: ``loss(model, tensors)`` of the tensors that `dinku.training.reading` gives and the targets.

    ``extra`` is a module that is trained along, for the loss alone. ``all_rows`` says that the loss moves rows of the word
    embeddings that no window uses.
    """

    loss: Loss
    extra: torch.nn.Module | None = None
    all_rows: bool = False


def fit(
    tagger: T,
    examples: Examples,
    objective: Objective,
    how: TrainingSettings,
    work: Work,
    *,
    dev: Corpus | None = None,
    note: str,
) -> T:
    """Train a tagger in place, on unpadded rows. The tagger that is returned names the parts that are sparse by now.

    With ``dev`` the weights of the epoch with the best F1 on it are kept. ``note`` says in reports what is being done.
    """
    tagger.check_changeable()
    windows: Sequence[Any] = examples.windows
    if not len(windows):
        problem = "no text that it would read has a subword"
        raise DinkuError(problem, where=type(how).__name__, remedy="check the text and the tokenizer")
    steps = examples.batches(how.pace[1], work.seed)
    ends = set(np.cumsum([len(epoch) for epoch in steps]).tolist())
    read_later: Sequence[Any] = tagger.encoder.windows([s.words for s in dev]) if dev else []
    all_rows = objective.all_rows or how.weight_decay > 0
    model = tagger.model.to(work.device)
    sparse = tuple(sorted({*tagger.sparse, "linear"})) if how.sparsity else tagger.sparse
    try:
        with (
            reading(tagger, [*windows, *read_later], all_rows=all_rows) as view,
            while_training.zeros(model, tagger.sparse if how.keep_zeros else (), growing=how.sparsity > 0) as zeros,
        ):
            levels = rising(zeros.sparsity, how.sparsity, sum(map(len, steps)), over=how.rise) if how.sparsity else {}
            best = _Best(tagger, dev, view.engine, work.folder) if dev else None

            def collate(step: Sequence[int]) -> dict[str, Any]:
                return {**view.tensors([windows[i] for i in step]), **examples.targets(step)}

            def after_step(n: int) -> None:
                zeros.hold()
                if n in levels:
                    zeros.grow(levels[n], importance.least)
                if best and n in ends and n >= max(levels, default=0):  # the best of those that are sparse enough
                    best.offer()

            whole = torch.nn.ModuleList([model, objective.extra]) if objective.extra else model
            _train(
                *(whole, list(chain(*steps)), collate, objective.loss, how, work),
                after_step=after_step,
                note=note,
                said=lambda: best.said if best else "",
            )
            if best:
                best.take()
    finally:
        model.to("cpu").eval()
    return replace(tagger, sparse=sparse) if sparse != tagger.sparse else tagger


def rising(start: float, end: float, steps: int, *, over: float) -> dict[int, float]:
    """The sparsity to reach at some of the steps, numbered from 1: a cubic curve that ends after the fraction ``over`` of them.

    Zhu and Gupta 2017 (arXiv 1710.01878), equation 1.
    """
    last, part = max(1, round(over * steps)), [(k + 1) / RAISES for k in range(RAISES)]
    return {max(1, round(p * last)): end + (start - end) * (1 - p) ** 3 for p in part}


def precision_of(how: TrainingSettings, work: Work) -> str:
    """*float32* or *bfloat16*: what a method asks for, or by *auto* the faster one on the device."""
    if how.precision != "auto":
        return how.precision
    return "bfloat16" if has_bfloat16(work.device) else "float32"


def last_checkpoint(folder: Path) -> Path | None:
    """The latest whole checkpoint. Its marker is the last of its files to be written."""
    whole = [c for c in folder.glob("checkpoint-*") if (c / DONE).is_file()]
    return max(whole, key=lambda c: int(c.name.rsplit("-", 1)[1]), default=None)


def _train(
    model: Any,
    steps: Sequence[Sequence[int]],
    collate: Collate,
    loss: Loss,
    how: TrainingSettings,
    work: Work,
    *,
    after_step: Callable[[int], None],
    note: str,
    said: Callable[[], str],
) -> None:
    """Train ``model`` in place through the planned ``steps``, each a batch of indices that ``collate`` makes tensors of.

    ``loss(model, tensors)`` is a scalar. ``after_step(n)`` runs after the n-th step of the optimizer, numbered from 1. Reports
    end in what ``said`` gives. Training resumes from the checkpoints in ``work.folder`` and leaves them there; the folder's
    owner removes it.
    """
    if work.threads:
        torch.set_num_threads(work.threads)
    with _scratch(work) as scratch:
        callbacks: list[TrainerCallback] = [_AfterStep(after_step), _Progress(work, len(steps), note, said)]
        if work.folder is not None:
            callbacks.append(_Checkpoint())
        _discard_partial(scratch)
        resume = last_checkpoint(scratch)
        with quietly(), torch.random.fork_rng(devices=[] if work.device == "cpu" else None):
            arguments = _arguments(scratch, len(steps), how, work)
            trainer = _Planned(model=model, args=arguments, train_dataset=list(steps), callbacks=callbacks)
            trainer.remove_callback(PrinterCallback)
            trainer.collate, trainer.planned_loss = collate, loss
            trainer.bfloat16 = precision_of(how, work) == "bfloat16"
            trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    if not all(map(surgery.is_finite, model.parameters())):
        raise DinkuError("the weights are no longer finite", where=note, remedy="lower the learning rate", status=1)


@contextmanager
def _scratch(work: Work) -> Iterator[Path]:
    """The folder for checkpoints: the caller's own, which stays, or a temporary one."""
    if work.folder is not None:
        work.folder.mkdir(parents=True, exist_ok=True)
        yield work.folder
        return
    with tempfile.TemporaryDirectory(prefix="dinku-train-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _arguments(scratch: Path, steps: int, how: TrainingSettings, work: Work) -> TrainingArguments:
    rate, _, warmup = how.pace
    return TrainingArguments(
        output_dir=str(scratch),
        max_steps=steps,
        per_device_train_batch_size=1,  # an item of the data set is a planned batch
        learning_rate=rate,
        warmup_steps=warmup,
        weight_decay=how.weight_decay,
        max_grad_norm=how.clip,
        lr_scheduler_type="linear",
        optim="adamw_torch_fused",
        use_cpu=work.device == "cpu",
        seed=work.seed,
        save_strategy="no",
        save_total_limit=2,
        logging_strategy="steps",
        logging_steps=max(1, steps // LOSSES),
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )


def _discard_partial(folder: Path) -> None:
    for checkpoint in folder.glob("checkpoint-*"):
        if not (checkpoint / DONE).is_file():
            shutil.rmtree(checkpoint)


class _Planned(Trainer):
    """A Trainer that walks a plan of batches and takes the loss of a given function."""

    collate: Collate
    planned_loss: Loss
    bfloat16: bool

    def get_train_dataloader(self) -> DataLoader[Any]:
        dataset: Any = self.train_dataset
        return DataLoader(dataset, sampler=SequentialSampler(dataset), collate_fn=lambda items: self.collate(items[0]))

    def compute_loss(self, model: Any, inputs: Any, *_: Any, **__: Any) -> torch.Tensor:
        # Not `TrainingArguments.bf16`, which wraps the model's forward and leaves it wrapped.
        with torch.autocast(self.args.device.type, torch.bfloat16, enabled=self.bfloat16):
            return self.planned_loss(model, inputs)

    def get_batch_samples(self, iterator: Any, count: int, device: Any) -> tuple[list[Any], None]:
        return [next(iterator) for _ in range(count)], None

    def floating_point_ops(self, inputs: Any) -> int:
        return 0


class _AfterStep(TrainerCallback):
    def __init__(self, then: Callable[[int], None]) -> None:
        self.then = then

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.then(state.global_step)


class _Progress(TrainerCallback):
    """Reports every step, with the mean loss over the last whole one of the `LOSSES` parts of training."""

    def __init__(self, work: Work, total: int, note: str, said: Callable[[], str]) -> None:
        self.work, self.total, self.note, self.said = work, total, note, said

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        losses = [entry["loss"] for entry in state.log_history if "loss" in entry]  # a checkpoint restores earlier ones
        what = f"{self.note}, loss {losses[-1]:.3f}" if losses else self.note
        self.work.progress(what + self.said(), state.global_step, self.total)


class _Checkpoint(TrainerCallback):
    """Saves by the clock, because a step takes from milliseconds to seconds, and marks each checkpoint that is whole."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if time.monotonic() - self.last >= CHECKPOINT_SECONDS and state.global_step < state.max_steps:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        with open(folder / DONE, "w") as marker:
            os.fsync(marker.fileno())
        self.last = time.monotonic()


class _Best:
    """The weights of the best epoch on dev, kept in memory and, if training can be resumed, in its folder."""

    def __init__(self, tagger: Tagger | WordTagger, dev: Corpus, engine: Engine, folder: Path | None) -> None:
        self.tagger, self.dev, self.engine = tagger, dev, engine
        self.file = folder / "best.safetensors" if folder else None
        self.f1, self.weights = -1.0, dict[str, Any]()
        if self.file and self.file.exists():
            with safe_open(self.file, "pt") as stored:
                self.f1 = float(stored.metadata()["f1"])
                self.weights = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118

    @property
    def said(self) -> str:
        """The best F1 so far, for reports; empty before the first epoch ends."""
        return f", best dev {self.tagger.task.score} {100 * self.f1:.1f}" if self.weights else ""

    def offer(self) -> None:
        tagger = self.tagger
        how: dict[str, Any] = {"legal": tagger.legal_tags, "task": tagger.task}
        counts = predict.evaluate(self.engine, tagger.encoder, tagger.tags, self.dev, **how)
        f1 = counts.scores().f1
        if f1 <= self.f1:
            return
        self.f1 = f1
        self.weights = {name: tensor.detach().cpu().clone() for name, tensor in tagger.model.state_dict().items()}
        if self.file:
            with written(self.file) as file:
                file.write(save(self.weights, metadata={"f1": repr(f1)}))

    def take(self) -> None:
        self.tagger.model.load_state_dict(self.weights)
