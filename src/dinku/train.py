"""One resumable training entry on `transformers.Trainer`; the loss is an argument.

The order of all batches is planned before the first step, so a run that is killed anywhere goes on from its last whole
checkpoint to the same weights, bit for bit on the same machine with the same threads.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, SequentialSampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from dinku.errors import DinkuError
from dinku.method import Work
from dinku.results import BFLOAT16, cpu
from dinku.tagger import quietly

DONE = "done"  # the marker of a whole checkpoint: transformers itself takes the highest number, complete or not
CHECKPOINT_SECONDS = 60.0

Collate = Callable[[Sequence[int]], dict[str, Any]]
Loss = Callable[[Any, dict[str, Any]], torch.Tensor]


@dataclass(frozen=True)
class Schedule:
    """How weights move: AdamW at a rate that falls linearly to zero after a linear warm-up (a fraction of the steps)."""

    rate: float
    warmup: float = 0.0
    weight_decay: float = 0.0
    clip: float = 1.0
    bfloat16: bool = False


def has_bfloat16(device: str) -> bool:
    """Whether bfloat16 is a gain there: on a GPU that has it, and on a CPU with instructions for it."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported()
    if device != "cpu":
        return False
    return not cpu()[1].isdisjoint(BFLOAT16)


def plan(lengths: Sequence[int], *, batch: int, epochs: int, seed: int) -> list[list[int]]:
    """Batches of every epoch, each at random from all that is left; within a batch the shortest come first.

    Known as a whole before training begins. Every index comes once an epoch.
    """
    sizes = np.asarray(lengths)
    steps: list[list[int]] = []
    for epoch in range(epochs):
        order = np.random.default_rng((seed, epoch)).permutation(len(sizes))
        batches = (order[i : i + batch] for i in range(0, len(order), batch))
        steps += [b[np.argsort(sizes[b], kind="stable")].tolist() for b in batches]
    return steps


def last_checkpoint(folder: Path) -> Path | None:
    """The latest checkpoint whose marker was written, which is the last thing that a checkpoint gets."""
    whole = [c for c in folder.glob("checkpoint-*") if (c / DONE).is_file()]
    return max(whole, key=lambda c: int(c.name.rsplit("-", 1)[1]), default=None)


def train(
    model: Any,
    steps: Sequence[Sequence[int]],
    collate: Collate,
    loss: Loss,
    schedule: Schedule,
    work: Work,
    *,
    after_step: Callable[[int], None] | None = None,
    note: str = "training",
) -> None:
    """Train ``model`` in place through the planned ``steps``, each a batch of indices that ``collate`` makes tensors of.

    ``loss(model, tensors)`` is a scalar. ``after_step(n)`` runs after the n-th step of the optimizer, from 1. Resumes
    from ``work.folder``, whose checkpoints stay: whoever owns it removes it once the trained model is safe.
    """
    if work.threads:
        torch.set_num_threads(work.threads)
    on_cpu = work.device == "cpu"
    scratch = work.folder or Path(tempfile.mkdtemp(prefix="dinku-train-"))
    scratch.mkdir(parents=True, exist_ok=True)
    arguments = TrainingArguments(
        output_dir=str(scratch),
        max_steps=len(steps),
        per_device_train_batch_size=1,  # an item of the data set is a planned batch
        learning_rate=schedule.rate,
        warmup_steps=schedule.warmup,
        weight_decay=schedule.weight_decay,
        max_grad_norm=schedule.clip,
        lr_scheduler_type="linear",
        optim="adamw_torch_fused",
        bf16=schedule.bfloat16,
        use_cpu=on_cpu,
        seed=work.seed,
        save_strategy="no",
        save_total_limit=2,
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
    callbacks: list[TrainerCallback] = [_Progress(work, len(steps), note)]
    if after_step is not None:
        callbacks.insert(0, _AfterStep(after_step))
    if work.folder is not None:
        callbacks.append(_Checkpoint())
    _discard_partial(scratch)
    resume = last_checkpoint(scratch)
    try:
        with quietly(), torch.random.fork_rng(devices=[] if on_cpu else None):
            trainer = _Planned(model=model, args=arguments, train_dataset=list(steps), callbacks=callbacks)
            trainer.remove_callback(PrinterCallback)
            trainer.collate, trainer.planned_loss = collate, loss
            trainer.train(resume_from_checkpoint=str(resume) if resume else None)
            # Footgun: with bf16, accelerate leaves the model's own forward wrapped in autocast.
            trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    finally:
        if work.folder is None:
            shutil.rmtree(scratch, ignore_errors=True)
    if not all(bool(torch.isfinite(p).all()) for p in model.parameters()):
        raise DinkuError("the weights are no longer finite", where=note, remedy="lower the learning rate", status=1)


def _discard_partial(folder: Path) -> None:
    for checkpoint in folder.glob("checkpoint-*"):
        if not (checkpoint / DONE).is_file():
            shutil.rmtree(checkpoint)


class _Planned(Trainer):
    """A Trainer that walks a plan of batches and asks a given function for the loss."""

    collate: Collate
    planned_loss: Loss

    def get_train_dataloader(self) -> DataLoader[Any]:
        dataset: Any = self.train_dataset
        return DataLoader(dataset, sampler=SequentialSampler(dataset), collate_fn=lambda items: self.collate(items[0]))

    def compute_loss(self, model: Any, inputs: Any, *_: Any, **__: Any) -> torch.Tensor:
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
    def __init__(self, work: Work, total: int, note: str) -> None:
        self.work, self.total, self.note = work, total, note

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.work.progress(state.global_step, self.total, self.note)


class _Checkpoint(TrainerCallback):
    """Saves by the clock, since a step takes from milliseconds to seconds, and marks what was saved whole."""

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
