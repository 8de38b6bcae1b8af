"""Model folders, each broken in one way, and what they are answered; run it to write the table in docs/encoders.md again."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from encoders import PAGE, replaced
from safetensors.torch import load_file, save_file

from dinku.errors import DinkuError
from dinku.nn.loading import open_tagger
from dinku.testing import tiny_corpus, tiny_tagger

BEGIN = "<!-- broken folders: python tests/broken_folders.py writes this table -->\n"
END = "<!-- end of broken folders -->"
WEIGHTS, TABLE = "model.safetensors", "roberta.embeddings.word_embeddings.weight"


def _configured(**changed: Any) -> Callable[[Path], object]:
    def broken(folder: Path) -> None:
        file = folder / "config.json"
        config = {**json.loads(file.read_text()), **changed}
        file.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))

    return broken


def _cut(name: str, share: float) -> Callable[[Path], object]:
    def broken(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(share * len(data))])

    return broken


def _gone(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def _weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], object]:
    def broken(folder: Path) -> None:
        weights = load_file(folder / WEIGHTS)
        change(weights)
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})

    return broken


def _pickle(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    torch.save({"padding": torch.zeros(10_000), "classifier.weight": Path}, folder / "pytorch_model.bin")


def _smaller_table(folder: Path) -> None:
    _configured(vocab_size=40)(folder)
    _weights(lambda own: own.update({TABLE: own[TABLE][:40].clone()}))(folder)


def _lone_vocabulary(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    (folder / "vocab.txt").write_text("<s>\n<pad>\n</s>\n<unk>\na\n##b\n")


def _pipe(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    os.mkfifo(folder / WEIGHTS)


_NUMBERED = {str(i): f"LABEL_{i}" for i in range(5)}
_CONTROL = {str(i): tag for i, tag in enumerate(("O", "B-\x1b[31m", "I-\x1b[31m", "B-PER", "I-PER"))}
FOLDERS: tuple[tuple[str, Callable[[Path], object]], ...] = (
    ("`config.json` is missing", _gone("config.json")),
    ("`config.json` is cut in half", _cut("config.json", 0.5)),
    ("`config.json` is `{}`", lambda folder: (folder / "config.json").write_text("{}")),
    ("it is a T5", _configured(model_type="t5")),
    ("it is a GPT-2", _configured(model_type="gpt2")),
    ("it asks for code of its own", _configured(auto_map={"AutoModel": "evil.Model"})),
    ("its tags are `LABEL_0` to `LABEL_4`", _configured(id2label=_NUMBERED)),
    ("its tags hold control characters", _configured(id2label=_CONTROL)),
    ("it says a trillion tags without names", _configured(id2label=None, label2id=None, num_labels=10**12)),
    ("its hidden size is no multiple of its heads", _configured(num_attention_heads=5)),
    ("it says sizes of 400 GB", _configured(vocab_size=10**7, hidden_size=10**4)),
    ("it has more layers than its weights", _configured(num_hidden_layers=3)),
    ("its weights are missing", _gone(WEIGHTS)),
    ("its weights are cut in half", _cut(WEIGHTS, 0.5)),
    ("a weight is missing", _weights(lambda own: own.pop("classifier.weight"))),
    ("a weight has another size", _weights(lambda own: own.update({"classifier.weight": torch.zeros(3, 16)}))),
    ("a weight is NaN", _weights(lambda own: own["classifier.weight"][0].fill_(torch.nan))),
    ("its weights are a pickle of an object", _pickle),
    ("its weights are a named pipe", _pipe),
    ("`tokenizer.json` is missing", _gone("tokenizer.json")),
    ("`tokenizer.json` is cut in half", _cut("tokenizer.json", 0.5)),
    ("`tokenizer.json` is of another model", _smaller_table),
    ("of its tokenizer there is `vocab.txt` alone", _lone_vocabulary),
    ("`tokenizer_config.json` is cut in half", _cut("tokenizer_config.json", 0.5)),
)


def answers(scratch: Path) -> dict[str, str]:
    """What each folder is answered, its path called *model*; empty where it is read as if nothing were broken."""
    whole = tiny_tagger().save(scratch / "whole")
    out = {}
    for number, (name, broken) in enumerate(FOLDERS):
        folder = shutil.copytree(whole, scratch / str(number))
        broken(folder)
        try:
            open_tagger(folder).tag(tiny_corpus(4).sentences)
            out[name] = ""
        except DinkuError as error:
            out[name] = str(error).replace(str(folder), "model")
    return out


def table() -> str:
    with tempfile.TemporaryDirectory() as scratch:
        found = answers(Path(scratch))
    lines = ["| the folder | what it is answered |", "| -- | -- |"]
    for name, said in found.items():
        short = re.sub(r"(use one of ALBERT, BERT).*", r"\1, …", said)
        short = re.sub(
            r"(can't be (?:read|opened)) \(.*\)", r"\1 (…)", short
        )  # what a library says, which versions change
        lines.append(f"| {name} | {short} |")
    return "\n".join(lines) + "\n"


def page() -> str:
    return replaced(BEGIN, END, table())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
