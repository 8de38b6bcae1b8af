"""A word network as a tagger: opened, run, saved."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from dinku.data import learned
from dinku.data.task import NER, Task
from dinku.errors import DinkuError, brief
from dinku.files import written_folder
from dinku.model.encode import LabelOn
from dinku.model.folder import TASK_KEY, ModelFolder
from dinku.model.sentence_tagger import TagsByEngine
from dinku.model.shape import Scheme, check_takes
from dinku.model.word_encoder import WordEncoder
from dinku.model.word_shape import MODEL_TYPE, WordShape
from dinku.nn import surgery
from dinku.nn.torch_engine import TorchEngine
from dinku.nn.word_network import WordNetwork, fresh_network

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class WordTagger(TagsByEngine):
    """A `dinku.nn.word_network.WordNetwork` with the tags of its head, which has none before it is trained.

    See `dinku.model.sentence_tagger.SentenceTagger` for what it can do.
    """

    model: WordNetwork
    tags: tuple[str, ...]
    name: str = "WordTagger"
    learned: frozenset[int] = frozenset()
    sparse: tuple[str, ...] = ()
    computes_in: Literal["float32", "bfloat16"] = "float32"
    task: Task = NER

    legal_tags = True

    @cached_property
    def encoder(self) -> WordEncoder:
        return WordEncoder(self.model.shape.word_features, self.model.shape.reach)

    def windows_of(self, length: int) -> WordEncoder:
        """An encoder whose windows score at most ``length`` words; it shares the known words of this tagger's encoder."""
        encoder = replace(self.encoder, length=length)
        encoder.__dict__["_memory"] = self.encoder._memory
        return encoder

    @property
    def engine(self) -> TorchEngine:
        return TorchEngine(self._with_tags().model, precision=self.computes_in)

    @property
    def arithmetic(self) -> str:
        return self.computes_in

    @property
    def shape(self) -> WordShape:
        nonzero = sum(int(parameter.count_nonzero()) for parameter in self.model.parameters())
        return replace(self.model.shape, nonzero=(nonzero, nonzero))

    @property
    def scheme(self) -> Scheme:
        return self.model.shape.scheme

    @property
    def precision(self) -> str:
        return {"float32": "fp32", "bfloat16": "bf16"}[self.computes_in]

    @property
    def digest(self) -> str:
        """sha256 over names and bytes of the weights, the features and the tags, as hex."""
        whole = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            whole.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            whole.update(tensor.contiguous().cpu().numpy().data)
        whole.update(repr((MODEL_TYPE, self.tags, sorted(_config(self).items()))).encode())
        if self.task is not NER:
            whole.update(self.task.name.encode())
        return whole.hexdigest()

    @property
    def linear(self) -> tuple[int, int]:
        within = [p for name, p in self.model.named_parameters() if name.endswith("linear.weight")]
        return sum(p.numel() for p in within), sum(int(p.count_nonzero()) for p in within)

    @property
    def cpu_only(self) -> bool:
        return False

    def to(self, device: str) -> None:
        self.model.to(device)

    def in_precision(self, precision: str) -> Self:
        if precision not in ("float32", "bfloat16"):
            problem = f"there is no precision {brief(precision)}"
            raise DinkuError(problem, where="the tagger", remedy="choose float32 or bfloat16")
        return replace(self, computes_in=precision)  # type: ignore[arg-type]  # as was checked

    def as_reopened(self, folder: Path, label_on: LabelOn) -> Self:
        """The tagger that `load` would give from the folder that it was saved to."""
        self.model.eval().zero_grad(set_to_none=True)
        return replace(self, name=str(folder))

    def check_changeable(self, method: object = None) -> None:
        """Raise `DinkuError` unless ``method`` takes word networks; quantized word networks are bundles."""
        if method is not None:
            check_takes(method, self.model.shape)

    def copy(self) -> Self:
        return replace(self, model=copy.deepcopy(self.model))

    def headed(self, tags: tuple[str, ...], *, seed: int, task: Task = NER) -> Self:
        """A copy of the network with a new random head for the ``tags`` of a task, from ``seed``.

        Raises `DinkuError` for a task that labels sentences, as the network has an answer for each word.
        """
        if task.each != "word":
            remedy = "choose an encoder that reads subwords"
            raise DinkuError(f"is a word network, which can't learn {task.title}", where=self.name, remedy=remedy)
        bare = self.model
        network = fresh_network(replace(bare.shape, tags=len(tags)), seed=seed)
        weights = {name: value for name, value in bare.state_dict().items() if not name.startswith("head.")}
        network.load_state_dict(network.state_dict() | weights)
        return replace(self, model=network, tags=tags, task=task)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write a folder with its config and weights; raises `DinkuError` if it is there already."""
        target = Path(folder)
        with written_folder(target) as part:
            write_config(self, part)
            try:
                save_file({n: t.cpu().contiguous() for n, t in self.model.state_dict().items()}, part / WEIGHTS)
            except SafetensorError as error:  # as on a full disk
                raise OSError(str(error)) from error
            learned.save(part, self.learned)
        return target

    @classmethod
    def load(cls, name: str | os.PathLike[str] | ModelFolder) -> Self:
        """Open a word network; raises `DinkuError` if its files don't fit together."""
        folder = ModelFolder.of(name)
        shape = WordShape.of_folder(folder)
        file = folder.path / WEIGHTS
        try:
            stored = load_file(file)
        except (SafetensorError, OSError, ValueError) as error:
            raise DinkuError(f"can't be read ({error})", where=str(file), remedy="fetch the model again") from None
        with torch.device("meta"):
            network = WordNetwork(shape)
        wanted = {n: tuple(t.shape) for n, t in network.state_dict().items()}
        there = {n: tuple(t.shape) for n, t in stored.items()}
        if odd := sorted(wanted.items() ^ there.items()):
            problem = f"holds no weights for this config.json: {odd[0][0]} {list(odd[0][1])} isn't in both"
            raise DinkuError(problem, where=str(file), remedy="fetch the model again")
        weights = {n: t.to(torch.float32) for n, t in stored.items()}
        if odd := [n for n, t in weights.items() if not surgery.is_finite(t)]:
            raise DinkuError(
                f"{odd[0]} isn't finite", where=str(folder), remedy="fetch the model again, or train it anew"
            )
        network.load_state_dict(weights, assign=True)
        known = learned.load(folder.path)
        return cls(network.eval(), folder.tags, name=str(folder), learned=known, task=folder.task)

    def _with_tags(self) -> Self:
        if not self.tags:
            raise DinkuError("is a word network without tags", where=self.name, remedy="fine-tune it first")
        return self


def _config(tagger: WordTagger) -> dict[str, Any]:
    shape = tagger.model.shape
    sizes = ("rows", "hashes", "embedding", "width", "depth", "window", "pieces")
    return {"features": list(shape.features), **{name: getattr(shape, name) for name in sizes}}


def write_config(tagger: WordTagger, folder: Path) -> None:
    """Write config.json: the sizes, and the tags as transformers' own configs name them."""
    config: dict[str, Any] = {"model_type": MODEL_TYPE, **_config(tagger)}
    config["architectures"] = ["DinkuWordsForTokenClassification" if tagger.tags else "DinkuWords"]
    if tagger.tags:
        config["id2label"] = {str(number): tag for number, tag in enumerate(tagger.tags)}
        config["label2id"] = {tag: number for number, tag in enumerate(tagger.tags)}
    if tagger.task is not NER:
        config[TASK_KEY] = tagger.task.name
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
