"""Models: their folders by path, name, address or Hub id, and what their files say without torch."""

from __future__ import annotations

import hashlib
import json
import os
import pickletools
import re
import zipfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from dinku.data import learned
from dinku.data.spans import is_iob2_tag
from dinku.digests import file_digest
from dinku.errors import DinkuError, brief, reason
from dinku.files import check_regular, content, reading
from dinku.model.store import Store
from dinku.settings import home, offline

_MODEL_FILES = ("config.json", "*.safetensors", "pytorch_model.bin", "tokenizer.json", "tokenizer_config.json",
                "special_tokens_map.json", "sentencepiece.bpe.model", "vocab.json", "vocab.txt", "merges.txt")  # fmt: skip

HOUSE = "dinku:house"  # the encoder inside the package


def model_folder(name: str | os.PathLike[str]) -> Path:
    """The folder of a model: a path, a name under ``home()/models``, ``dinku:house``, what a run left in ``home()/store`` by its
    address or at least eight digits of it, or a Hub id, ``owner/name[@revision]``.

    A Hub id is fetched into the Hub's own cache (never while `offline`); only weights, config and tokenizer are, and of a
    bundle what its engine reads. Raises `DinkuError` where there is no such folder, or it holds what isn't a file.
    """
    try:
        text = os.fspath(name)
        if not isinstance(text, str) or not text or "\0" in text:
            raise TypeError
    except TypeError:
        remedy = "give a folder, a name, an address or a Hub id as text"
        raise DinkuError("is no name of a model", where=brief(name), remedy=remedy) from None
    try:
        folder = _folder(text)
    except OSError as error:  # such as a name that is too long for any file
        problem = f"can't be looked for ({error.strerror or error})"
        raise DinkuError(problem, where=brief(text), remedy="check the name and the permissions") from None
    check_regular(folder)
    return folder


def _folder(text: str) -> Path:
    if text == HOUSE:
        return Path(__file__).parent / "house"
    if Path(text).is_dir():
        return Path(text)
    if ".." not in Path(text).parts and (home() / "models" / text).is_dir():
        return home() / "models" / text
    if Path(text).exists():
        raise DinkuError("is no folder", where=text, remedy="name the folder that holds config.json")
    if re.fullmatch("[0-9a-f]{8,64}", text):
        return _stored(text)
    repository, _, revision = text.partition("@")
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", repository, re.ASCII):
        raise DinkuError(
            "there is no such model", where=text, remedy=f"name a folder, one under {home() / 'models'}, or a Hub id"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        fetch = partial(snapshot_download, repository, local_files_only=offline())
        folder = Path(fetch(revision=revision or None, allow_patterns=[*_MODEL_FILES, learned.FILE, "bundle.json"]))
        if (folder / "bundle.json").is_file():
            fetch(revision=folder.name, allow_patterns=["onnx/*", "openvino/*"])
        return folder
    except HFValidationError as error:
        raise DinkuError(
            f"is no name of a model ({reason(error)})", where=text, remedy="name a folder or a Hub id"
        ) from None
    except (LocalEntryNotFoundError, OSError) as error:  # the first, where no answer came from the Hub, either
        why, remedy = f"can't be had from the Hub ({reason(error)})", "check the name, or name a folder"
        if offline():
            why = "isn't in the Hub's cache, and DINKU_OFFLINE forbids the network"
            remedy = "unset DINKU_OFFLINE, or name a folder"
        elif not isinstance(error, HfHubHTTPError):
            why = "isn't in the Hub's cache, and the Hub can't be reached"
            remedy = "check the connection, the proxy or HF_ENDPOINT and run the same again, or name a folder"
        raise DinkuError(f"no such folder, and it {why}", where=text, remedy=remedy) from None


def _stored(address: str) -> Path:
    """What `dinku.model.store` keeps at an address, of which ``address`` is the beginning."""
    store = Store(home() / "store")
    found = sorted(path.parent for path in store.root.glob(f"{address[:2]}/{address}*/step.json"))
    if not found:
        remedy = "see `dinku results --by arm,seed,address`, or run the study again"
        raise DinkuError(f"is no address in {store.root}", where=address, remedy=remedy)
    if len(found) > 1:
        several = " and ".join(path.name for path in found)
        raise DinkuError("is the beginning of several addresses", where=address, remedy=f"tell {several} apart")
    return store.checked(found[0].name)


_WEIGHTS = ("model.int8.safetensors", "model.safetensors", "model-*-of-*.safetensors", "pytorch_model.bin")


def weight_files(folder: Path) -> list[Path]:
    """The files of a model folder that its weights are read from: of several formats one, which is safetensors if it can be."""
    return next((found for pattern in _WEIGHTS if (found := sorted(folder.glob(pattern)))), [])


def is_spare(path: Path) -> bool:
    """Whether a file of a model folder holds weights, but not those that are read."""
    weights = path.suffix == ".safetensors" or path.name == "pytorch_model.bin"
    return weights and path not in weight_files(path.parent)


def model_files(folder: Path) -> list[Path]:
    """The files of a model folder that make the model what it is, sorted by name; weights once."""
    files = {path for pattern in _MODEL_FILES for path in folder.glob(pattern)}
    return sorted(path for path in files if not is_spare(path))


def model_digest(folder: Path) -> str:
    """sha256 over the names and contents of `model_files`, as hex: what a base is known by in an address."""
    whole = hashlib.sha256()
    for path in model_files(folder):
        digest = _settings_digest(path) if path.name == "tokenizer_config.json" else file_digest(path)
        whole.update(f"{path.name} {digest}\n".encode())
    return whole.hexdigest()


def _settings_digest(path: Path) -> str:
    """sha256 of a tokenizer_config.json, as hex, its class by the name that transformers 5 has for it.

    That is the name dinku itself wrote once: an encoder that is written again keeps its digest, and studies their addresses.
    """
    text = path.read_bytes()
    if b'"backend": "tokenizers"' in text:  # which transformers 4 never wrote
        text = text.replace(b'"tokenizer_class": "PreTrainedTokenizerFast"', b'"tokenizer_class": "TokenizersBackend"')
    return hashlib.sha256(text).hexdigest()


def model_config(folder: Path) -> dict[str, Any]:
    """A model folder's ``config.json``; raises `DinkuError` where there is none that can be read."""
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
    numbered = numbered and (bool(names) or config.get("num_labels", 2) == 2)  # which transformers would make names of
    if not numbered or not all(isinstance(n, str) for n in (*names.values(), *architectures)):
        problem = "its id2label or architectures aren't as transformers writes them"
        raise DinkuError(problem, where=str(path), remedy="fetch the model again")
    return config


_MASKED_LM = re.compile(r"(^|\.)(lm_head|cls\.predictions|vocab_transform|vocab_layer_norm|vocab_projector)\.")


def is_masked_lm(weight: str) -> bool:
    """Whether a weight of that name is part of a masked-LM head."""
    return bool(_MASKED_LM.search(weight))


def holds_masked_lm(folder: Path) -> bool:
    """Whether a model is an encoder with a masked-LM head: its config says so, and its files hold some of the head.

    Checkpoints that were stripped of the head often keep the config; they are plain encoders.
    """
    config = model_config(folder)
    if model_tags(config) or not any("ForMaskedLM" in name for name in config.get("architectures") or ()):
        return False
    return any(is_masked_lm(name) for path in weight_files(folder) for name in _weight_names(path))


def _weight_names(path: Path) -> Iterator[str]:
    """The names of the weights in a file, without torch; of a pickle all strings, read without running it."""
    if path.suffix == ".safetensors":
        yield from safetensors_header(path)[0]
        return
    try:
        with reading(path) as file:
            streams: list[Any] = [file] * 4  # before 2020 torch wrote four pickles, the names of weights in the last
            if zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as archive:
                    pickles = [entry for entry in archive.infolist() if entry.filename.endswith("data.pkl")]
                    if sum(entry.file_size for entry in pickles) > path.stat().st_size:
                        raise zipfile.BadZipFile("torch compresses nothing, and here something is")
                    streams = [archive.read(entry) for entry in pickles]
            file.seek(0)
            for stream in streams:
                yield from (value for _, value, _ in pickletools.genops(stream) if isinstance(value, str))
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        problem = f"its weights can't be read ({reason(error)})"
        raise DinkuError(problem, where=str(path), remedy="fetch the model again") from None


def safetensors_header(path: Path) -> tuple[dict[str, Any], int]:
    """What a safetensors file says of its tensors, and where they begin; empty where it has no header."""
    with reading(path) as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            whole = 0 < length <= min(path.stat().st_size - 8, 1 << 27)
            header = json.loads(file.read(length)) if whole else {}
        except (ValueError, RecursionError):
            header = {}
    header = header if isinstance(header, dict) else {}
    return {name: entry for name, entry in header.items() if name != "__metadata__"}, 8 + length


def model_tags(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The tags of a token classifier's config, in the order of its head; none for a bare encoder."""
    if not any("ForTokenClassification" in name for name in config.get("architectures") or ()):
        return ()
    names = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    return tuple(names[key] for key in sorted(names, key=int))


def iob2_tags(folder: Path) -> tuple[str, ...]:
    """`model_tags` of a model folder; raises `DinkuError` where they aren't IOB2."""
    tags = model_tags(model_config(folder))
    if tags and ("O" not in tags or not all(is_iob2_tag(tag) for tag in tags)):
        remedy = "give id2label the tags that training used, O among them"
        raise DinkuError(f"its tags {', '.join(tags[:4])} … aren't IOB2", where=f"{folder}/config.json", remedy=remedy)
    return tags
