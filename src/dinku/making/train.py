"""A base and a corpus → a tagger: one fine-tuning with settings that suit both, and the best epoch by dev F1."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from dinku.digests import document_digest
from dinku.errors import DinkuError, plural
from dinku.files import written_folder
from dinku.making import corpora
from dinku.making.table import Scored, as_html, points
from dinku.method import Method
from dinku.methods.finetune import FineTune
from dinku.methods.registry import to_json
from dinku.model.folder import ModelFolder
from dinku.model.inspect import disk_bytes
from dinku.model.store import Store
from dinku.progress import Progress, silent
from dinku.settings import home
from dinku.study.definition import Block, Study
from dinku.study.results import Results
from dinku.study.run import Runner

Weights = Literal["equal", "balanced"]


@dataclass(frozen=True)
class Trained:
    """A trained tagger's ``folder``, and F1 on the split ``scored.split`` by language and label.

    ``corpus`` is the name of the corpus that it learned from, and ``notes`` are remarks on the corpus, one line each.
    """

    folder: Path
    corpus: str
    scored: Scored
    address: str
    method: Method
    notes: tuple[str, ...] = field(default=(), repr=False)

    def __repr__(self) -> str:
        return f"Trained({self.folder}: {self.scored.task.score} {points(self.scored.f1)} on {self.corpus} {self.scored.split})"

    def _repr_html_(self) -> str:
        return as_html(
            *self.scored.table(), f"{self.folder}: {self.scored.task.score} on {self.corpus} {self.scored.split}"
        )

    @property
    def bytes(self) -> int:
        """The size of its folder."""
        return disk_bytes(self.folder)

    @property
    def settings(self) -> str:
        """The settings of its training, in words."""
        how = cast(FineTune, self.method)
        weights = ", balanced weights" * (how.weights == "balanced")
        return f"at most {plural(how.epochs or 0, 'epoch')} at a rate of {how.rate:g}, batches of {how.batch}{weights}"


def train(
    base: str | os.PathLike[str],
    corpus: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    weights: Weights = "equal",
    epochs: int | None = None,
    batch: int | None = None,
    rate: float | None = None,
    seed: int = 0,
    dev: float = 0.1,
    threads: int | None = None,
    device: str = "cpu",
    store: str | os.PathLike[str] | None = None,
    progress: Progress = silent,
) -> Trained:
    """Fine-tune ``base``, an encoder or a tagger, on the train split of ``corpus``, and write the tagger to the folder ``out``.

    ``epochs``, ``batch`` and ``rate`` that aren't given are chosen to suit the encoder and the number of sentences
    (`dinku.training.settings.suited`). The weights of the epoch with the best dev F1 are kept. If there is no dev split,
    the share ``dev`` of train is set aside for it. With ``weights="balanced"``, words with rare tags count more. The same call
    continues a training that was stopped, as its steps are kept in the ``store``. F1 is scored on the test split, or on dev if
    there is none.

    Raises `DinkuError` if ``out`` holds anything but this same tagger, or something can't be trained or read, and of status 1
    if training fails.

    >>> import dinku, tempfile
    >>> from dinku.testing import tiny_tagger
    >>> folder = tempfile.mkdtemp()
    >>> _ = tiny_tagger(tags=()).save(f"{folder}/base")
    >>> made = dinku.train(f"{folder}/base", "sample:pcm", f"{folder}/tagger", epochs=1, store=f"{folder}/store")
    >>> made.scored.split, made.folder.name
    ('test', 'tagger')
    """
    given = corpora.ready(corpus, part=dev, seed=seed)
    asked = {"weights": weights, "epochs": epochs, "batch": batch, "rate": rate, "select": "best"}
    step = {"FineTune": {name: value for name, value in asked.items() if value is not None}}
    study = study_of("train", os.fspath(base), given.name, [step], seed=seed, split=given.scored)
    runner = runner_of(study, store, progress, threads=threads, device=device)
    (prepared,) = runner.prepared
    target, notes = Path(out), [*given.notes, *runner.warnings]
    there = target.exists() and any(target.iterdir() if target.is_dir() else [target])
    if there and not (runner.store.has(prepared.address) and _same(target, runner.store.tagger(prepared.address))):
        raise DinkuError("already exists", where=str(target), remedy="name a new folder, or remove it")
    for i in range(1, len(prepared.addresses)):  # rows may be complete although the store was cleaned
        runner.make(prepared, i, wait=True)
    runner.run()
    if not there:
        with written_folder(target) as folder:
            shutil.copytree(runner.store.checked(prepared.address), folder, dirs_exist_ok=True)
    notes += filter(None, [runner.silent([prepared])])
    scored = Scored.of(runner.results.rows(), prepared.address, given.scored)
    return Trained(
        target, given.asked, scored, prepared.address, prepared.recipe.steps[-1], tuple(dict.fromkeys(notes))
    )


def _same(folder: Path, other: Path) -> bool:
    """Whether two folders hold the same model."""
    return (folder / "config.json").is_file() and ModelFolder(folder).digest == ModelFolder(other).digest


def study_of(
    kind: str, base: str, corpus: str, steps: Sequence[Any], *, seed: int, split: str, arm: str = "", **more: Any
) -> Study:
    """A study of one recipe, named by the ``kind`` of work and a digest of its content."""
    written = [to_json(step) if isinstance(step, Method) else step for step in steps]
    block = Block(arm=arm or kind, steps=written, grid={}, seeds=[seed])
    told = {"base": base, "corpus": corpus, "split": split, "recipes": [block], **more}
    name = document_digest([base, corpus, split, block.model_dump(mode="json"), {k: str(v) for k, v in more.items()}])
    return Study.model_validate({"name": f"{kind}-{name[:12]}", **told})


def runner_of(
    study: Study,
    store: str | os.PathLike[str] | None,
    progress: Progress,
    *,
    threads: int | None = None,
    device: str = "cpu",
) -> Runner:
    """A runner for a study that dinku itself wrote, whose rows go to a folder under `home`."""
    where = Path(store) if store else home() / "store"
    return Runner(study, Store(where), Results(home() / "made" / study.name), progress, cores=threads, device=device)
