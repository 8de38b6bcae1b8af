"""A kind of model with neither subwords nor attention nor a transformers config, through everything that takes any tagger."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import dinku
from dinku.cli.app import main
from dinku.errors import DinkuError
from dinku.export.pipeline import export
from dinku.methods.sparsity import Sparsify
from dinku.model import kinds
from dinku.model.folder import ModelFolder
from dinku.model.inspect import inspection
from dinku.model.kinds import Kind
from dinku.model.sentence_tagger import SentenceTagger, TagsByEngine
from dinku.model.shape import FLOAT32, Component, Costs, Scheme
from dinku.model.windows import Batch, Ids, Logits
from dinku.nn import loading
from dinku.scoring.error_analysis import robustness
from dinku.serving.batcher import Batcher, Limits
from dinku.study.facts import size_of, target
from dinku.study.recipe import Recipe
from dinku.testing import TAGS, tiny_corpus

ROWS = 1024


class WordWindow(NamedTuple):
    sentence: int
    words: Ids
    rows: Ids

    @property
    def size(self) -> int:
        return len(self.words)

    def numbered(self, sentence: int) -> WordWindow:
        return self._replace(sentence=sentence)


class WordBatch(NamedTuple):
    windows: list[WordWindow]

    @property
    def inputs(self) -> dict[str, Ids]:
        return {"rows": np.concatenate([window.rows for window in self.windows])}

    @property
    def needed_inputs(self) -> dict[str, Ids]:
        return self.inputs

    @property
    def answer_shape(self) -> tuple[int, ...]:
        return (sum(window.size for window in self.windows),)

    def scored(self, output: Any) -> Any:
        return output


class WordEncoder:
    def windows(self, sentences: Sequence[Sequence[str]]) -> list[WordWindow]:
        def rows(words: Sequence[str]) -> Ids:
            return np.array([zlib.crc32(word.encode()) % ROWS for word in words], np.int64)

        return [WordWindow(n, np.arange(len(words)), rows(words)) for n, words in enumerate(sentences) if words]

    def stretches(self, words: Sequence[str]) -> Generator[None, None, list[WordWindow]]:
        yield
        return self.windows([words])

    @property
    def together(self) -> tuple[int, int]:
        return 1024, 16

    def batch(self, windows: Sequence[WordWindow]) -> WordBatch:
        return WordBatch(list(windows))

    def unknown(self, sentences: Sequence[Sequence[str]]) -> tuple[int, int]:
        return sum(map(len, sentences)), 0


@dataclass(frozen=True)
class WordShape:
    tags: int
    nonzero: tuple[int, int]
    zeros: int = 0
    scheme: Scheme = FLOAT32
    linear: int = 0
    masked_lm_multiply_adds: int = 0
    unit: str = "word"
    summary: str = f"{ROWS} rows"

    @property
    def parts(self) -> dict[str, int]:
        return {"table": ROWS * self.tags}

    @property
    def parameters(self) -> int:
        return ROWS * self.tags

    @property
    def bytes(self) -> int:
        return 4 * self.parameters

    @property
    def components(self) -> tuple[Component, ...]:
        return (Component("table", self.parameters, self.bytes),)

    @property
    def sizes(self) -> dict[str, int]:
        return {"rows": ROWS}

    def multiply_adds(self, words: int) -> int:
        return 0 * words

    def broken_by(self, measured: Any) -> str:
        return "" if measured.parameters == self.parameters else f"declared {self}, measured {measured}"

    def counted(self, nonzero: int) -> WordShape:
        return replace(self, nonzero=(nonzero, nonzero))

    def as_stored(self, scheme: Scheme, *, nonzero: int, zeros: int, kept: int) -> WordShape:
        return replace(self, scheme=scheme, nonzero=(nonzero, nonzero), zeros=zeros)


@dataclass(frozen=True)
class TableEngine:
    table: Logits
    kernels: str = "numpy"
    instructions: str = ""

    def logits(self, batch: Batch) -> Logits:
        picked: Logits = batch.scored(self.table[batch.inputs["rows"]])
        return picked

    def executed(self, batch: Batch) -> dict[str, int]:
        return {"float32 take": 1}


@dataclass(frozen=True)
class WordTagger(TagsByEngine):
    engine: TableEngine
    tags: tuple[str, ...]
    learned: frozenset[int] = frozenset()
    encoder: WordEncoder = WordEncoder()  # noqa: RUF009 - it has no state
    scheme: Scheme = FLOAT32
    name: str = "words"
    precision: str = "fp32"
    digest: str = "0"
    arithmetic: str = "float32"
    cpu_only: bool = True

    @property
    def shape(self) -> WordShape:
        return WordShape(len(self.tags), (int(np.count_nonzero(self.engine.table)),) * 2)

    @property
    def linear(self) -> tuple[int, int]:
        return self.engine.table.size, int(np.count_nonzero(self.engine.table))

    def to(self, device: str) -> None:
        pass

    def in_precision(self, precision: str) -> WordTagger:
        return self

    def check_changeable(self, method: object = None) -> None:
        pass

    def as_reopened(self, folder: Path, label_on: object) -> WordTagger:
        return self

    def copy(self) -> WordTagger:
        return replace(self)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        target = Path(folder)
        target.mkdir(parents=True)
        config = {
            "model_type": "toy-words",
            "architectures": ["WordsForTokenClassification"],
            "id2label": {str(i): tag for i, tag in enumerate(self.tags)},
        }
        (target / "config.json").write_text(json.dumps(config))
        save_file({"table": self.engine.table}, target / "model.safetensors")
        return target

    @classmethod
    def load(cls, folder: ModelFolder, label_on: object = None) -> WordTagger:
        (file,) = folder.weight_files
        return cls(TableEngine(load_file(file)["table"]), folder.tags)


def _shape(folder: ModelFolder) -> Costs:
    return WordShape(len(folder.tags), (0, ROWS * len(folder.tags)))


WORDS = Kind(
    name="toy words",
    model_types=("toy-words",),
    shape=_shape,
    encoder=lambda folder: WordEncoder(),
    bundle_encoder=lambda folder, length, label_on: WordEncoder(),
    holds=lambda name, shape: True,
    bundle_files=(),
    inputs=("rows",),
)


@pytest.fixture
def tagger(monkeypatch: pytest.MonkeyPatch) -> WordTagger:
    """A tagger of that kind, which gives each word of the corpus the tag that it has there."""
    monkeypatch.setattr(kinds, "KINDS", (*kinds.KINDS, WORDS))
    monkeypatch.setitem(loading._LOADERS, WORDS.name, WordTagger.load)
    table = np.zeros((ROWS, len(TAGS)), np.float32)
    for sentence in tiny_corpus():
        (window,) = WordEncoder().windows([sentence.words])
        for row, tag in zip(window.rows, sentence.tags or (), strict=True):
            table[row, TAGS.index(tag)] += 1
    return WordTagger(TableEngine(table), TAGS)


def test_it_is_opened_and_finds_entities_as_any_model(tagger: WordTagger, tmp_path: Path) -> None:
    folder, corpus = tagger.save(tmp_path / "words"), tiny_corpus()
    opened = dinku.open(folder)
    text = " ".join(corpus.sentences[0].words)
    assert opened.precision == "fp32"
    assert opened.find(text) == next(opened.stream([text]))["entities"]
    assert [t.tags for t in opened.tagger.tag(corpus.sentences)] == [t.tags for t in tagger.tag(corpus.sentences)]
    assert opened.tagger.evaluate(corpus).scores().f1 > 0.5
    batcher = Batcher(opened, Limits())
    assert batcher.ask([text, ""]).result()[0]["entities"] == opened.find(text)
    batcher.close()


def test_it_is_inspected_weighed_and_measured(
    tagger: WordTagger, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, corpus = tagger.save(tmp_path / "words"), tiny_corpus()
    found = inspection(ModelFolder(folder))
    assert (found["parameters"], found["nonzero"]) == (ROWS * len(TAGS), tagger.shape.nonzero[0])
    monkeypatch.setattr("sys.argv", ["dinku", "inspect", str(folder)])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert "1024 rows, " in (said := capsys.readouterr().out)
    assert "for a sentence of 32 words" in said
    one = corpus.only("one")
    assert target(tagger.encoder, one, corpus, frozenset()).subwords == one.words
    assert size_of(tagger, folder).parameters == found["parameters"]
    assert tagger.numerics(one.sentences).changed == 0
    clean = tagger.evaluate(corpus)
    from dinku.data.perturb import Perturbation

    (slips,) = Perturbation.listed("slips")
    assert robustness(tagger.tag, corpus, clean, slips, tries=1, names=None).changed > 0


def test_what_takes_transformers_alone_refuses_it(tagger: WordTagger, tmp_path: Path) -> None:
    sparsify = Sparsify(0.5)
    with pytest.raises(DinkuError, match="Sparsify: can't change a model of this kind"):
        Recipe("base", "corpus", (sparsify,)).declared(tagger.shape)
    with pytest.raises(DinkuError, match="is of a kind that can't become a bundle"):
        export(tagger, tmp_path / "bundle", tiny_corpus(160))
    assert not (tmp_path / "bundle").exists()


def test_the_protocol_is_satisfied(tagger: WordTagger) -> None:
    each: SentenceTagger = tagger  # mypy says so, too
    assert each.copy().digest == tagger.digest
