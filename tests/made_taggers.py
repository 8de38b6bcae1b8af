"""Tiny taggers that were taught a little, and corpora to teach them with."""

from __future__ import annotations

from pathlib import Path

from dinku.data.conll import write
from dinku.method import Data, Work
from dinku.methods.finetune import FineTune
from dinku.nn.tagger import Tagger
from dinku.testing import tiny_corpus, tiny_tagger


def taught(folder: Path, *, epochs: int) -> tuple[Tagger, Data]:
    """A tagger saved in a folder, and what it learned from."""
    data = Data(tiny_corpus(200), tiny_corpus(160, seed=1, split="dev"))
    step = FineTune(epochs=epochs, rate=1e-2, batch=16).resolve(tiny_tagger(), data)
    tagger = step.apply(tiny_tagger(), data, Work(threads=1))
    tagger.save(folder)
    return tagger, data


def small_corpus(folder: Path, *, sentences: int = 200) -> None:
    """Train, dev and test in two languages, in a folder."""
    for split, seed, number in (("train", 0, sentences), ("dev", 1, 160), ("test", 2, 80)):
        whole = tiny_corpus(number, seed=seed)
        for language in whole.languages:
            (folder / language).mkdir(parents=True, exist_ok=True)
            write(whole.only(language), folder / language / f"{split}.txt")
