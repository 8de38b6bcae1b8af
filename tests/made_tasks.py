"""Made-up corpora of other tasks: labels of words, and of whole sentences."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dinku.data.corpus import Corpus, Sentence
from dinku.data.formats.registry import write
from dinku.data.task import CLASSES, TAGS, Task

_WORDS = {"PER": "PROPN", "LOC": "SYM", "": "INTJ"}  # the last two look like tags of schemes


def labelled(corpus: Corpus, task: Task) -> Corpus:
    """`dinku.testing.tiny_corpus` with a label for each word by its entity, or for each sentence by whether it has a person."""
    out = []
    for s in corpus:
        if task is TAGS:
            tags = tuple(_WORDS[tag[2:]] for tag in s.tags or ())
            out.append(Sentence(s.words, tags, s.language))
        else:
            label = "about people" if "B-PER" in (s.tags or ()) else "other"
            out.append(Sentence(s.words, (label,), s.language, each="sentence"))
    return replace(corpus, name=f"{task.name} {corpus.name}", sentences=tuple(out), task=task)


def corpus_folder(folder: Path, task: Task, *, sentences: int = 120) -> str:
    """Train, dev and test in two languages, in a folder; the name of the corpus."""
    from dinku.testing import tiny_corpus

    form, suffix = ("conll", "txt") if task is TAGS else ("jsonl-classes", "jsonl")
    for split, seed, number in (("train", 0, sentences), ("dev", 1, 160), ("test", 2, 60)):
        whole = labelled(tiny_corpus(number, seed=seed, split=split), task)
        for language in whole.languages:
            (folder / language).mkdir(parents=True, exist_ok=True)
            write(whole.only(language), folder / language / f"{split}.{suffix}", form)
    return f"{folder}?task={task.name}"


__all__ = ["CLASSES", "TAGS", "corpus_folder", "labelled"]
