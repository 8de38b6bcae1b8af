"""Tagger: a torch encoder with a head, its tokenizer and its tags; loaded from and saved to Hugging Face folders."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self, cast

import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_tensors
from safetensors.torch import save_file as save_tensors
from tokenizers import pre_tokenizers
from transformers import AutoConfig, PreTrainedTokenizerFast

from dinku.data import learned
from dinku.data.task import NER, Task
from dinku.errors import DinkuError, brief, plural, reason
from dinku.files import written_folder
from dinku.model import int8_rows
from dinku.model.encode import LabelOn, SubwordEncoder, check_ids, uncut
from dinku.model.folder import ModelFolder
from dinku.model.measured import architecture, shape_of, shape_of_folder
from dinku.model.sentence_tagger import TagsByEngine
from dinku.model.shape import DYNAMIC, Scheme, Shape, check_takes, scheme_of
from dinku.modeling import HEADS, AutoModel, AutoModelForMaskedLM, without_pooler
from dinku.nn import quantized, surgery
from dinku.nn.quiet import quietly
from dinku.nn.tokenizer import tokenizer_of
from dinku.nn.torch_engine import TorchEngine


@dataclass(frozen=True)
class Tagger(TagsByEngine):
    """An encoder with a head that scores ``tags`` for each word. If ``tags`` are empty, it has no such head, but may have the
    masked-LM head that it was trained with.

    ``label_on`` says which subword represents a word, and ``sparse`` names the parts with zeros that were made on purpose
    (*linear*, *embeddings*); both are in the folder's ``config.json``, where plain transformers ignores them. ``learned`` holds
    the fingerprints of the sentences that it was trained on, by `dinku.data.learned`, as far as they are known. ``computes_in``
    is the precision in which `tag` and `evaluate` compute, and ``task`` says what its tags are.

    >>> import dinku, tempfile
    >>> from dinku.testing import tiny_tagger
    >>> tagger = dinku.Tagger.load(tiny_tagger().save(f"{tempfile.mkdtemp()}/tagger"))
    >>> tagger
    Tagger(2 layers, 0.0 M, LOC PER)
    >>> [tagging.tags for tagging in tagger.tag([dinku.Sentence(("Ade", "Kiland"))])]
    [('B-LOC', 'B-LOC')]
    """

    model: Any
    tokenizer: PreTrainedTokenizerFast
    tags: tuple[str, ...]
    label_on: LabelOn = "first"
    sparse: tuple[str, ...] = ()
    learned: frozenset[int] = frozenset()
    computes_in: Literal["float32", "bfloat16"] = "float32"
    task: Task = NER

    def __repr__(self) -> str:
        labels = " ".join(sorted({*map(self.task.label_of, self.tags)} - {""})) or "no tags"
        depth, parameters = shape_of(self.model.config.to_dict()).depth, sum(p.numel() for p in self.model.parameters())
        return f"Tagger({plural(depth, 'layer')}, {parameters / 1e6:.1f} M, {labels})"

    @cached_property
    def encoder(self) -> SubwordEncoder:
        return self.windows_of(self.tokenizer.model_max_length)

    def windows_of(self, length: int) -> SubwordEncoder:
        """An encoder whose windows hold at most ``length`` subwords, or as many as the model has positions for."""
        length = min(length, self.tokenizer.model_max_length)
        own = self.tokenizer
        return SubwordEncoder(own.backend_tokenizer, length, own.pad_token_id, self.label_on, self.task.each)

    @property
    def shape(self) -> Shape:
        return surgery.shape_of(self.model, tags=len(self.tags), sparse=self.sparse)

    @property
    def digest(self) -> str:
        """sha256 over the names and bytes of weights and buffers, the tokenizer, the tags and all else that determines
        answers."""
        whole = hashlib.sha256()
        whole_model = quantized.tensors(self.model) if self.scheme.terminal else self.model.state_dict()
        for name, tensor in sorted(whole_model.items()):
            whole.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            whole.update(tensor.contiguous().cpu().numpy().data)
        tokenizer = json.loads(uncut(self.tokenizer.backend_tokenizer).to_str())  # which writes its maps in any order
        whole.update(json.dumps(tokenizer, sort_keys=True).encode())
        config = self.model.config
        heads = getattr(config, "dinku_layers", None) or config.num_attention_heads  # which the weights don't show
        whole.update(repr((self.tags, self.label_on, self.sparse, heads)).encode())
        if self.task is not NER:
            whole.update(self.task.name.encode())
        if config.model_type not in _FIRST:
            whole.update(architecture(config.to_dict()).encode())
        elif (how := _computes(config)) != _computes(type(config)()):
            whole.update(repr(how).encode())
        if self.scheme.terminal:
            threshold = getattr(self.model.config, "quantization_config", {}).get(quantized.THRESHOLD)
            whole.update(repr((self.scheme.name, threshold)).encode())
        return whole.hexdigest()

    @cached_property
    def scheme(self) -> Scheme:
        """How its weights are stored; a tagger whose scheme is terminal can't be changed."""
        return scheme_of(self.model.config.to_dict(), where=self.name)

    def copy(self) -> Self:
        """The same tagger with weights of its own."""
        return replace(self, model=copy.deepcopy(self.model))

    @property
    def precision(self) -> str:
        """*fp32*, *bf16*, or how it is quantized."""
        return self.scheme.name if self.scheme.terminal else {"float32": "fp32", "bfloat16": "bf16"}[self.computes_in]

    def in_precision(self, precision: str) -> Self:
        """The same tagger, its weights shared, computing in *float32* or *bfloat16*.

        Raises `DinkuError` for any other precision, and for bfloat16 if it is quantized.
        """
        if precision not in ("float32", "bfloat16"):
            problem = f"there is no precision {brief(precision)}"
            raise DinkuError(problem, where="the tagger", remedy="choose float32 or bfloat16")
        if self.scheme.terminal and precision != "float32":
            problem = f"is quantized ({self.scheme.name}) and can't run in {precision}"
            raise DinkuError(problem, where=self.name, remedy="leave precision out")
        return replace(self, computes_in=cast(Any, precision))

    @property
    def engine(self) -> TorchEngine:
        """The engine that runs it; raises `DinkuError` for an encoder without tags."""
        if not self.tags:
            raise DinkuError("is an encoder without tags", where=self.name, remedy="fine-tune it first")
        return TorchEngine(self.model, precision=self.computes_in)

    @property
    def arithmetic(self) -> str:
        return self.scheme.name

    @property
    def linear(self) -> tuple[int, int]:
        weights = surgery.matrices(self.model).values()
        return sum(w.numel() for w in weights), sum(int(w.count_nonzero()) for w in weights)

    @property
    def cpu_only(self) -> bool:
        return self.scheme.terminal

    def to(self, device: str) -> None:
        """Move it to *cpu* or *cuda*; a quantized tagger stays on the CPU."""
        if not self.cpu_only:
            self.model.to(device)

    def as_reopened(self, folder: Path, label_on: LabelOn) -> Self:
        """The tagger that `load` would give from the folder that it was saved to; only the tokenizer's files are read.

        A tokenizer from a folder writes more to tokenizer_config.json than one that was made in memory.
        """
        model = self.model.eval()
        model.zero_grad(set_to_none=True)
        if not self.scheme.terminal:
            model.requires_grad_(True)
        return replace(self, tokenizer=tokenizer_of(folder, model.config), label_on=label_on)

    def headed(self, tags: tuple[str, ...], *, seed: int, task: Task = NER) -> Self:
        """A copy of the encoder with a new random head for the ``tags`` of a task, from ``seed``."""
        return replace(self, model=surgery.with_head(self.model, tags, seed=seed, task=task), tags=tags, task=task)

    def check_changeable(self, method: object = None) -> None:
        self.scheme.refuse(self.name)
        if method is not None:
            check_takes(method, shape_of(self.model.config.to_dict(), tags=0))

    @property
    def name(self) -> str:
        return str(self.model.config.name_or_path or type(self.model).__name__)

    def save(self, folder: str | os.PathLike[str], *, weights: Literal["float32", "int8"] = "float32") -> Path:
        """Write a Hugging Face folder with config, safetensors and tokenizer, which appears whole. Plain transformers can read
        it if its classes allow the sizes; otherwise it needs `dinku.modeling`.

        With ``weights="int8"``, weights are stored by `dinku.model.int8_rows` in a quarter of the bytes, which only `load` reads.
        A quantized tagger keeps its weights, and transformers with bitsandbytes reads those of LLM.int8(). Raises `DinkuError` if
        the folder exists.
        """
        if weights not in ("float32", "int8"):
            raise DinkuError(f"there are no weights of type {weights!r}", where="save", remedy="choose float32 or int8")
        if weights == "int8":
            self.scheme.refuse("save")
        target = Path(folder)
        with written_folder(target) as part:
            model = self.model
            surgery.record_sizes(model)
            model.config.dinku_sparse, model.config.dinku_label_on = list(self.sparse), self.label_on
            try:
                with quietly():
                    if self.scheme.terminal:
                        model.config.architectures = [type(model).__name__]
                        model.config.save_pretrained(part)
                        # Under its usual name, other libraries would read the tensors of dynamic layers as plain weights.
                        file = part / (int8_rows.FILE if self.scheme == DYNAMIC else "model.safetensors")
                        stored = {n: t.cpu().contiguous() for n, t in quantized.tensors(model).items()}
                        save_tensors(stored, file, metadata={"format": "pt"})
                    elif weights == "int8":
                        model.config.architectures = [type(model).__name__]
                        model.config.save_pretrained(part)
                        save_file(int8_rows.packed(_arrays(model)), part / int8_rows.FILE)
                    else:
                        model.save_pretrained(part)
            except SafetensorError as error:  # as on a full disk
                raise OSError(str(error)) from error
            self.save_tokenizer(part)
            learned.save(part, self.learned)
        return target

    def save_tokenizer(self, folder: Path) -> None:
        """Write the tokenizer alone, without truncation and padding."""
        uncut(self.tokenizer.backend_tokenizer)
        self.tokenizer.save_pretrained(folder)
        path = folder / "tokenizer_config.json"
        settings = json.loads(path.read_text(encoding="utf-8"))
        settings["tokenizer_class"] = (
            "PreTrainedTokenizerFast"  # transformers 5 writes a name that transformers 4 doesn't know
        )
        words = self.tokenizer.backend_tokenizer.pre_tokenizer
        if isinstance(words, pre_tokenizers.ByteLevel):  # which transformers 4 takes from here, not from tokenizer.json
            settings["add_prefix_space"] = words.add_prefix_space
        path.write_text(json.dumps(settings, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, name: str | os.PathLike[str] | ModelFolder, *, label_on: LabelOn | None = None) -> Self:
        """Open a token classifier, or an encoder (whose ``tags`` are then empty), by Hub id or folder.

        A masked LM keeps its head; if the checkpoint lacks the head's weights, it is opened as an encoder without a head.

        Weights are read as safetensors, or as ``pytorch_model.bin`` with ``weights_only``; remote code is never run.
        Raises `DinkuError` if the folder isn't a model, its parts don't fit together, or its tags belong to no scheme.
        """
        folder = ModelFolder.of(name)
        if folder.is_bundle:
            remedy = "name the tagger that it was made from"
            raise DinkuError("is a bundle, which can only be run", where=str(folder), remedy=remedy)
        tags, config = folder.tags, _config(folder)
        tokenizer = tokenizer_of(folder.path, config)
        _check_size(folder)
        encoder = AutoModelForMaskedLM if shape_of_folder(folder).masked_lm else AutoModel
        kind = HEADS[folder.task.head] if tags else encoder
        if (scheme := scheme_of(folder.config, where=folder.config_file)).terminal:
            model = _quantized(folder, kind, config, scheme)
        else:
            model = (_unpacked if (folder.path / int8_rows.FILE).is_file() else _plain)(folder.path, kind, config)
        weights = quantized.tensors(model) if scheme.terminal else dict(model.named_parameters())
        if odd := [name for name, weight in weights.items() if not surgery.is_finite(weight)]:
            remedy = "fetch the model again, or train it anew"
            raise DinkuError(f"{odd[0]} isn't finite", where=str(folder), remedy=remedy)
        model.eval()
        surgery.record_sizes(model)
        model.config.pad_token_id = tokenizer.pad_token_id
        if folder.names:
            surgery.name_tags(model, tags)
        table = surgery.word_embeddings(model)
        if table.padding_idx is None:  # otherwise its row would be trained and pruned
            table.padding_idx = tokenizer.pad_token_id
        tagger = cls(
            model,
            tokenizer,
            tags,
            label_on=cast(LabelOn, getattr(config, "dinku_label_on", "first")) if label_on is None else label_on,
            sparse=tuple(getattr(config, "dinku_sparse", ())),
            learned=learned.load(folder.path),
            task=folder.task,
        )
        check_ids(tagger.encoder, config.vocab_size, where=str(folder))
        return tagger


def _config(folder: ModelFolder) -> Any:
    where = folder.config_file
    shape_of(folder.config, where=where)
    if "auto_map" in folder.config:
        raise DinkuError("asks for remote code, which is never run", where=where, remedy="use a plain architecture")
    try:
        with quietly():
            config = AutoConfig.from_pretrained(folder.path, trust_remote_code=False)
    except Exception as error:  # what transformers checks has no public name
        problem = f"transformers doesn't take it ({reason(error)})"
        raise DinkuError(problem, where=where, remedy="restore the file") from None
    if getattr(config, "pad_token_id", None) is None:  # by which RoBERTa counts positions
        config.pad_token_id = tokenizer_of(folder.path, config).pad_token_id
    return config


_FIRST = ("bert", "distilbert", "roberta", "xlm-roberta")  # whose digests had to stay when there were more


def _computes(config: Any) -> tuple[str, str]:
    """What answers depend on besides weights: the activation, and the epsilon of norms."""
    added = getattr(config, "layer_norm_eps", 0.0)
    return str(
        getattr(config, "hidden_act", None) or config.activation
    ), f"{added:.4g}"  # some files hold it as float32


def _check_size(folder: ModelFolder) -> None:
    """Raise `DinkuError` if the files are too small for the config's parameters, before these fill the memory."""
    files, parameters = folder.weight_files, shape_of_folder(folder).parameters
    there = sum(path.stat().st_size for path in files)
    if files and there < parameters:  # int8 takes the least, a byte for each parameter
        problem = f"its weights can't be read: {plural(parameters, 'parameter')} don't fit into {plural(there, 'byte')}"
        raise DinkuError(problem, where=str(folder), remedy="fetch the model again, or correct config.json")


def _arrays(model: Any) -> dict[str, Any]:
    return {name: parameter.detach().cpu().numpy() for name, parameter in surgery.named_weights(model).items()}


def _quantized(folder: ModelFolder, kind: Any, config: Any, scheme: Scheme) -> Any:
    """A model with int8 layers, all of whose tensors are read from one safetensors file."""
    (file,) = folder.weight_files[:1] or (folder.path,)
    if kind not in HEADS.values() or file.suffix != ".safetensors":
        problem = "is quantized, but isn't a classifier with weights as safetensors"
        raise DinkuError(problem, where=str(folder), remedy="quantize the model again")
    try:
        stored = load_tensors(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise DinkuError(f"can't be read ({error})", where=str(file), remedy="quantize the model again") from None
    rest = torch.float16 if scheme.rest == 2 else torch.float32
    model = quantized.restored(kind.from_config(config, dtype=rest).to(rest), stored, where=str(file))
    model.config.name_or_path = str(folder)
    return model


def _unpacked(folder: Path, kind: Any, config: Any) -> Any:
    """A model from int8 rows, all of whose parameters are read from the file."""
    file = folder / int8_rows.FILE
    try:
        weights = int8_rows.unpacked(load_file(file))
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise DinkuError(f"can't be read ({error})", where=str(file), remedy="fetch the model again") from None
    model = kind.from_config(config, dtype=torch.float32, **without_pooler(kind, config))
    parameters = surgery.named_weights(model)
    wrong = [
        n
        for n in {*weights, *parameters}
        if n not in weights or n not in parameters or parameters[n].shape != weights[n].shape
    ]
    if wrong:
        problem = f"doesn't fit config.json: {min(wrong)} is missing, unknown or of another size"
        raise DinkuError(problem, where=str(file), remedy="fetch the model again")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(torch.from_numpy(weights[name]))
    model.config.name_or_path = str(folder)
    return model


def _plain(folder: Path, kind: Any, config: Any) -> Any:
    """A model in float32, all of whose weights are read from the file."""
    try:
        with quietly():
            model, report = kind.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                weights_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **without_pooler(kind, config),
            )
    except KeyError as error:
        problem = f"config.json names {error}, which transformers doesn't know"
        raise DinkuError(problem, where=str(folder), remedy="restore the file") from None
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError) as error:
        problem = f"its weights can't be read ({reason(error)})"
        raise DinkuError(problem, where=str(folder), remedy="fetch the model again") from None
    except Exception as error:  # the error for a pickle that weights_only refuses has no public name
        if type(error).__name__ != "UnpicklingError":
            raise
        raise DinkuError("its weights aren't plain tensors", where=str(folder), remedy="use safetensors") from None
    missing = sorted(set(report["missing_keys"]) | {str(m[0]) for m in report["mismatched_keys"]})
    if missing:
        raise DinkuError(
            f"lacks {len(missing)} of its weights, or has them in another size: {missing[0]} …",
            where=str(folder),
            remedy="fetch the model again, or correct config.json",
        )
    return model
