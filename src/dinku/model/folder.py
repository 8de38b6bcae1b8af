"""Models: their folders by path, name, address or Hub id, and what their files say without torch."""

from __future__ import annotations

import hashlib
import json
import os
import pickletools
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from dinku.data import learned
from dinku.data.spans import label_of
from dinku.data.task import NER, TASKS, Task, task_named
from dinku.digests import file_digest
from dinku.errors import DinkuError, brief, plural, reason
from dinku.files import check_regular, content, reading
from dinku.model.installed import PREFIX, installed_folder
from dinku.model.labels import checked, read_labels, renamed
from dinku.model.runtimes import MODEL_PATTERNS
from dinku.model.store import Store
from dinku.settings import home, offline

_MODEL_FILES = ("config.json", "*.safetensors", "pytorch_model.bin", "tokenizer.json", "tokenizer_config.json",
                "special_tokens_map.json", "sentencepiece.bpe.model", "spm.model", "spiece.model", "vocab.json", "vocab.txt",
                "merges.txt")  # fmt: skip

HUB = "hf:"  # before a Hub id, which may otherwise be the name of a folder, too
BUNDLE_FILE = "bundle.json"  # what makes a folder a bundle
_WEIGHTS = ("model.int8.safetensors", "model.safetensors", "model-*-of-*.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class ModelFolder:
    """The folder of a model, and what its files say, without torch. Each file is read once, at first use.

    It describes the folder as it was first read; after files change, make another `ModelFolder`. ``names`` are names for its
    tags or labels in place of those in its config.
    """

    path: Path
    names: Mapping[str, str] = field(default_factory=dict, hash=False)

    @classmethod
    def of(cls, model: str | os.PathLike[str] | ModelFolder, *, labels: str = "") -> ModelFolder:
        """The folder of a model by name, as in `find_folder`, or a folder that is already open.

        ``labels`` gives its tags or labels other names: see `dinku.model.labels.read_labels`.
        """
        folder = model if isinstance(model, ModelFolder) else cls(find_folder(model))
        return replace(folder, names=read_labels(labels)) if labels else folder

    def __str__(self) -> str:
        return str(self.path)

    @property
    def config_file(self) -> str:
        """The path of ``config.json``, for errors."""
        return str(self.path / "config.json")

    @cached_property
    def config(self) -> dict[str, Any]:
        """``config.json``; raises `DinkuError` if it can't be read."""
        return _config(self.path)

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """The tags of a head, of entities in any scheme, none for an encoder.

        Raises `DinkuError` for tags that the task doesn't have; of entities for tags of no scheme, with the names to type.
        """
        tags = model_tags(self.config)
        if tags and self.task.each == "sentence":
            self._check_one_of_several(tags)
        if self.names:
            tags = renamed(tags, self.names, where=self.config_file, task=self.task)
        return checked(tags, where=self.config_file, task=self.task) if tags else ()

    def _check_one_of_several(self, tags: Sequence[str]) -> None:
        """Raise `DinkuError` for a head that gives numbers, or several labels to a text."""
        kind = self.config.get("problem_type")
        if len(tags) < 2 or kind not in (None, "single_label_classification"):
            problem = f"its head gives numbers, or several labels to a text ({kind or plural(len(tags), 'label')})"
            raise DinkuError(
                problem, where=self.config_file, remedy="name a model that gives each text one of several labels"
            )

    @cached_property
    def task(self) -> Task:
        """What its head is for; entities if it has none. Raises `DinkuError` for a task that isn't known."""
        return model_task(self.config, where=self.config_file) or NER

    @property
    def is_bundle(self) -> bool:
        return (self.path / BUNDLE_FILE).is_file()

    @cached_property
    def weight_files(self) -> list[Path]:
        """The files that weights are read from: those of one format, safetensors if there are any."""
        return next((files for pattern in _WEIGHTS if (files := sorted(self.path.glob(pattern)))), [])

    def is_spare(self, path: Path) -> bool:
        """Whether a file of the folder holds weights that aren't read, because another format is."""
        weights = path.suffix == ".safetensors" or path.name == "pytorch_model.bin"
        beside = self if path.parent == self.path else ModelFolder(path.parent)
        return weights and path not in beside.weight_files

    @property
    def files(self) -> list[Path]:
        """The files that make the model what it is, sorted by name; weights in one format."""
        files = {path for pattern in _MODEL_FILES for path in self.path.glob(pattern)}
        return sorted(path for path in files if not self.is_spare(path))

    @cached_property
    def digest(self) -> str:
        """sha256, as hex, over the names and contents of `files`; it enters the addresses of what a study makes from the
        model."""
        whole = hashlib.sha256()
        for path in self.files:
            digest = _settings_digest(path) if path.name == "tokenizer_config.json" else file_digest(path)
            whole.update(f"{path.name} {digest}\n".encode())
        return whole.hexdigest()

    @cached_property
    def tensors(self) -> dict[Path, tuple[dict[str, Any], int]]:
        """`safetensors_header` of each of the weight files that are safetensors."""
        return {path: safetensors_header(path) for path in self.weight_files if path.suffix == ".safetensors"}

    @cached_property
    def masked_lm(self) -> bool:
        """Whether the model is an encoder with a masked-LM head: its config says so, and its files hold some of the head.

        Checkpoints that were stripped of the head often keep the config; they are plain encoders.
        """
        architectures = self.config.get("architectures") or ()
        if model_tags(self.config) or not any("ForMaskedLM" in name for name in architectures):
            return False
        return any(map(is_masked_lm, self._weight_names()))

    def _weight_names(self) -> Iterator[str]:
        """The names of the weights, without torch; for a pickle, all of its strings."""
        for path in self.weight_files:
            yield from self.tensors[path][0] if path in self.tensors else _pickled_strings(path)


def labels_by_model(models: Sequence[str], labels: str) -> dict[str, str]:
    """For each model ``labels``, which name tags or labels otherwise, or nothing if its head has none of them.

    Raises `DinkuError` if no model has any.
    """
    if not labels or not models:
        return dict.fromkeys(models, "")
    names = read_labels(labels)
    configs = {model: ModelFolder.of(model).config for model in models}
    heads = {model: model_tags(config) for model, config in configs.items()}
    has = {model: any({tag, label_of(tag)} & names.keys() for tag in tags) for model, tags in heads.items()}
    if not any(has.values()):
        renamed(heads[models[0]], names, where=models[0], task=model_task(configs[models[0]]) or NER)
    return {model: labels * has[model] for model in models}


def find_folder(name: str | os.PathLike[str]) -> Path:
    """The folder of a model by its name: ``dinku:house`` or another installed model (`dinku.model.installed`), a path, a name
    under ``home()/models``, the address of a tagger in ``home()/store`` or at least its first eight digits, or a Hub id,
    ``owner/name[@revision]`` or ``hf:owner/name[@revision]``.

    A Hub model is downloaded to the Hub's own cache (never while `offline`): its weights, config and tokenizer, and the model
    file of a bundle. Raises `DinkuError` if there is no such folder, or it holds pipes or devices.
    """
    try:
        text = os.fspath(name)
        if not isinstance(text, str) or not text or "\0" in text:
            raise TypeError
    except TypeError:
        remedy = "give a folder, a name, an address or a Hub id as text"
        raise DinkuError("isn't the name of a model", where=brief(name), remedy=remedy) from None
    try:
        folder = _folder(text)
    except OSError as error:  # such as a name that is too long for any file
        problem = f"can't be looked for ({error.strerror or error})"
        raise DinkuError(problem, where=brief(text), remedy="check the name and the permissions") from None
    check_regular(folder)
    return folder


def _folder(text: str) -> Path:
    if text.startswith(HUB):
        return _from_hub(text)
    if text.startswith(PREFIX):
        return installed_folder(text)
    if Path(text).is_dir():
        return Path(text)
    if ".." not in Path(text).parts and (home() / "models" / text).is_dir():
        return home() / "models" / text
    if Path(text).exists():
        raise DinkuError("isn't a folder", where=text, remedy="name the folder that holds config.json")
    if re.fullmatch("[0-9a-f]{8,64}", text):
        return _stored(text)
    return _from_hub(text)


def _from_hub(text: str) -> Path:
    repository, _, revision = text.removeprefix(HUB).partition("@")
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", repository, re.ASCII):
        raise DinkuError(
            "there is no such model", where=text, remedy=f"name a folder, one under {home() / 'models'}, or a Hub id"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        fetch = partial(snapshot_download, repository, local_files_only=offline())
        folder = Path(fetch(revision=revision or None, allow_patterns=[*_MODEL_FILES, learned.FILE, BUNDLE_FILE]))
        if (folder / BUNDLE_FILE).is_file():
            fetch(revision=folder.name, allow_patterns=MODEL_PATTERNS)
        return folder
    except HFValidationError as error:
        raise DinkuError(
            f"isn't the name of a model ({reason(error)})", where=text, remedy="name a folder or a Hub id"
        ) from None
    except (LocalEntryNotFoundError, OSError) as error:  # the first also if the Hub didn't answer
        why, remedy = f"can't be fetched from the Hub ({reason(error)})", "check the name, or name a folder"
        if offline():
            why = "isn't in the Hub's cache, and DINKU_OFFLINE forbids the network"
            remedy = "unset DINKU_OFFLINE, or name a folder"
        elif not isinstance(error, HfHubHTTPError):
            why = "isn't in the Hub's cache, and the Hub can't be reached"
            remedy = "check the connection, the proxy or HF_ENDPOINT and run the same again, or name a folder"
        raise DinkuError(f"no such folder, and it {why}", where=text, remedy=remedy) from None


def _stored(address: str) -> Path:
    """The folder in the store at the address that begins with ``address``."""
    store = Store(home() / "store")
    found = sorted(path.parent for path in store.root.glob(f"{address[:2]}/{address}*/step.json"))
    if not found:
        remedy = "see `dinku results --by arm,seed,address`, or run the study again"
        raise DinkuError(f"isn't an address in {store.root}", where=address, remedy=remedy)
    if len(found) > 1:
        several = " and ".join(path.name for path in found)
        raise DinkuError("is the beginning of several addresses", where=address, remedy=f"tell {several} apart")
    return store.checked(found[0].name)


def _settings_digest(path: Path) -> str:
    """sha256 of a tokenizer_config.json, as hex, with its class under the name that transformers 5 uses.

    Earlier versions of dinku wrote that name, so an encoder that is saved again keeps its digest, and studies their addresses.
    """
    text = path.read_bytes()
    if b'"backend": "tokenizers"' in text:  # which transformers 4 never wrote
        text = text.replace(b'"tokenizer_class": "PreTrainedTokenizerFast"', b'"tokenizer_class": "TokenizersBackend"')
    return hashlib.sha256(text).hexdigest()


def _config(folder: Path) -> dict[str, Any]:
    """A model folder's ``config.json``, its types checked."""
    path = folder / "config.json"
    try:
        config = json.loads(content(path))
    except FileNotFoundError:
        raise DinkuError("holds no config.json", where=str(folder), remedy="name a model's folder") from None
    except (ValueError, OSError, RecursionError) as error:
        raise DinkuError(f"isn't readable JSON ({error})", where=str(path), remedy="fetch the model again") from None
    if not isinstance(config, dict):
        raise DinkuError("isn't a JSON object", where=str(path), remedy="fetch the model again")
    names, architectures = config.get("id2label") or {}, config.get("architectures") or []
    numbered = isinstance(names, dict) and sorted(names) == sorted(str(i) for i in range(len(names)))
    numbered = numbered and (
        bool(names) or config.get("num_labels", 2) == 2
    )  # from which transformers would make up names
    if not numbered or not all(isinstance(n, str) for n in (*names.values(), *architectures)):
        problem = "its id2label or architectures aren't as transformers writes them"
        raise DinkuError(problem, where=str(path), remedy="fetch the model again")
    return config


_MASKED_LM = re.compile(r"(^|\.)(lm_head|cls\.predictions|vocab_transform|vocab_layer_norm|vocab_projector)\.")


def is_masked_lm(weight: str) -> bool:
    """Whether a weight of that name is part of a masked-LM head."""
    return bool(_MASKED_LM.search(weight))


def _pickled_strings(path: Path) -> Iterator[str]:
    """All strings in the pickles of a ``pytorch_model.bin``, read without running them."""
    try:
        with reading(path) as file:
            streams: list[Any] = [file] * 4  # before 2020 torch wrote four pickles, the names of weights in the last
            if zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as archive:
                    pickles = [entry for entry in archive.infolist() if entry.filename.endswith("data.pkl")]
                    if sum(entry.file_size for entry in pickles) > path.stat().st_size:
                        raise zipfile.BadZipFile("it holds compressed data, which torch doesn't write")
                    streams = [archive.read(entry) for entry in pickles]
            file.seek(0)
            for stream in streams:
                yield from (value for _, value, _ in pickletools.genops(stream) if isinstance(value, str))
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        problem = f"its weights can't be read ({reason(error)})"
        raise DinkuError(problem, where=str(path), remedy="fetch the model again") from None


def safetensors_header(path: Path) -> tuple[dict[str, Any], int]:
    """The header's entries for tensors in a safetensors file, and where the tensors begin; no entries without a valid header."""
    with reading(path) as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            whole = 0 < length <= min(path.stat().st_size - 8, 1 << 27)
            header = json.loads(file.read(length)) if whole else {}
        except (ValueError, RecursionError):
            header = {}
    header = header if isinstance(header, dict) else {}
    return {name: entry for name, entry in header.items() if name != "__metadata__"}, 8 + length


TASK_KEY = "dinku_task"  # in the config of a head whose tags don't tell that they aren't those of entities


def model_task(config: Mapping[str, Any], *, where: str = "config.json") -> Task | None:
    """The task of a config's head, none for a bare encoder: the one that it names, else the first that has such a head."""
    named = config.get(TASK_KEY)
    known = [task_named(str(named), where=where)] if named is not None else TASKS.values()
    architectures = config.get("architectures") or ()
    return next((task for task in known if any(task.head in name for name in architectures)), None)


def is_pooled(config: Mapping[str, Any]) -> bool:
    """Whether a config's head labels whole texts, by the state of their first subword."""
    task = model_task(config)
    return task is not None and task.each == "sentence"


def model_tags(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The tags of a config's head, in the order of its logits; none for a bare encoder."""
    if model_task(config) is None:
        return ()
    names = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    return tuple(names[key] for key in sorted(names, key=int))
