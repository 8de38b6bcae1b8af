"""The converter of transformers: taggers that read subwords, in transformers' own classes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from dinku.data.corpus import Corpus
from dinku.errors import DinkuError
from dinku.export import convert, int8, javascript
from dinku.model.encode import LabelOn, SubwordEncoder, SubwordWindow
from dinku.model.runtimes import Precision
from dinku.nn.quiet import quietly
from dinku.nn.tagger import Tagger
from dinku.nn.torch_engine import TorchEngine
from dinku.training import importance

_DTYPES = {"fp32": "fp32", "int8": "q8"}  # their names in transformers.js


@dataclass(frozen=True)
class TransformerConverter:
    """See `dinku.export.converter.Converter`."""

    tagger: Tagger

    smoothing: float = int8.SMOOTH

    @property
    def length(self) -> int:
        return self.tagger.encoder.length

    @property
    def label_on(self) -> LabelOn:
        return self.tagger.label_on

    def reference_engine(self) -> TorchEngine:
        engine = TorchEngine(self.tagger.copy().model.cpu())
        engine.model.set_attn_implementation("eager")
        return engine

    def probes(self, corpus: Corpus) -> list[SubwordWindow]:
        return _every_length(self.tagger.encoder, corpus)

    def to_onnx(self, path: Path) -> Path:
        return convert.to_onnx(self.tagger, path)

    def write_reading_files(self, folder: Path, precision: Precision, corpus: Corpus) -> None:
        _describe(self.tagger, folder, precision, corpus)

    def layer_costs(self, corpus: Corpus, strength: float) -> dict[str, float]:
        return importance.rounding(self.tagger, corpus, strength=strength)

    def linear_nonzero(self, zeroed: Mapping[str, int]) -> int:
        within = f"{self.tagger.model.base_model_prefix}."
        names = {name: n for name, n in zeroed.items() if not name.startswith(f"{within}pooler")}
        matrices = (n for name, n in names.items() if name.startswith(within) and not name.endswith(".weight"))
        return self.tagger.linear[1] - sum(matrices)


def _describe(tagger: Tagger, part: Path, precision: Precision, corpus: Corpus) -> None:
    """Write config and tokenizer so that transformers and transformers.js can read them.

    Raises `DinkuError`, of status 1, if the written tokenizer gives other subwords for a sentence of ``corpus``.
    """
    with quietly():
        tagger.model.config.save_pretrained(part)
        tagger.save_tokenizer(part)
    path = part / "config.json"
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    config["architectures"] = [type(tagger.model).__name__]
    config["dinku_label_on"] = tagger.label_on
    if precision in _DTYPES:
        config["transformers.js_config"] = {"dtype": _DTYPES[precision]}
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    path = part / "tokenizer.json"
    own = json.loads(path.read_text(encoding="utf-8"))
    readable = javascript.rewritten(own)
    if readable != own:
        path.write_text(json.dumps(readable, indent=2, ensure_ascii=False), encoding="utf-8")
        words = [sentence.words for sentence in corpus]
        other = replace(tagger.encoder, tokenizer=Tokenizer.from_file(str(path)))
        if not all(map(np.array_equal, tagger.encoder.subwords(words), other.subwords(words))):
            problem = "its tokenizer, written as transformers.js reads it, gives other subwords"
            raise DinkuError(problem, where=tagger.name, remedy="nothing was written; report this tokenizer", status=1)


def _every_length(encoder: SubwordEncoder, corpus: Corpus) -> list[SubwordWindow]:
    """Windows of 1, 2, 3, 4, 6, 8, 12 … subwords, up to a full window, of running text; every subword is scored.

    Each begins at another place of the text. They are numbered by ``sentence``.
    """
    before, after = encoder.around
    room = encoder.length - len(before) - len(after)
    lengths = sorted({n for i in range(room.bit_length()) for n in (1 << i, 3 << i) if n < room} | {room})
    text = np.concatenate([ids for ids in encoder.subwords([s.words for s in corpus]) if len(ids)])
    text = np.resize(text, max(len(text), 2 * room))
    out = []
    for number, length in enumerate(lengths):
        start = number * (len(text) - length) // len(lengths)
        ids = np.r_[before, text[start : start + length], after].astype(np.int64)
        every = np.arange(len(ids) if encoder.each == "word" else 1)
        out.append(SubwordWindow(number, ids, every, every))
    return out
