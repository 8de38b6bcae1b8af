"""Small taggers side by side: bytes, speed, memory, and F1 at home, without near-duplicates, elsewhere and on noise.

``python benchmarks/record.py --pipeline TAGGER --model NAME=BUNDLE … --spacy NAME=FOLDER … --text FOLDER``

The first contestant is ``transformers.pipeline`` in float32 on TAGGER, and ratios are to it, each contestant at its best batch.
Each has a process of its own, and they take turns, as in ``dinku bench``: the whole path from the same texts to entities. F1 is
the mean over languages, in percent, of whole test splits, on the corpora's own words for every contestant.

A near-duplicate is a test sentence that shares a run of six words with a train sentence or with a line of ``--text``, in its
language and in lower case. ``--spacy`` names pipelines of spaCy, which is needed for them alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dinku.data import sources
from dinku.data.corpus import Corpus, Sentence
from dinku.data.perturb import Perturbation
from dinku.data.unlabelled import Text
from dinku.machine import available_threads
from dinku.model import inspect
from dinku.model.folder import find_folder
from dinku.nn.loading import open_tagger
from dinku.scoring.counts import count
from dinku.serving import bench

RUN = 6  # words in a row that make a near-duplicate
BATCHES = (1, 8, 32, 256)
ELSEWHERE = {
    "other years": "masakhaner2:hau,ibo,kin,lug,luo,pcm,swa,wol,yor",
    "never seen": "masakhaner2:fon,bam",
}
NOISE = ("lower", "slips", "diacritics")


def opened(asked: dict[str, Any]) -> tuple[str, Callable[[Sequence[str]], object]]:
    """A contestant that isn't dinku's own, in a process of its own."""
    if asked["model"].startswith("spaCy"):
        import spacy

        nlp = spacy.load(asked["folder"])

        def tag(texts: Sequence[str]) -> object:
            return [
                [(e.start_char, e.end_char, e.label_) for e in doc.ents]
                for doc in nlp.pipe(texts, batch_size=len(texts))
            ]

        return "fp32", tag
    import torch
    from transformers import pipeline

    torch.set_num_threads(asked["threads"])
    pipe = pipeline(
        "token-classification", asked["folder"], dtype=torch.float32, device="cpu", aggregation_strategy="simple"
    )
    return "fp32", lambda texts: pipe(list(texts), batch_size=len(texts))


def spacy_tags(folder: str, sentences: Iterable[Sentence]) -> list[tuple[str, ...]]:
    """The IOB2 tags that a spaCy pipeline gives words that are split already."""
    import spacy
    from spacy.tokens import Doc

    nlp = spacy.load(folder)
    docs = nlp.pipe((Doc(nlp.vocab, words=list(s.words)) for s in sentences), batch_size=256)
    return [tuple(f"{t.ent_iob_}-{t.ent_type_}" if t.ent_type_ else "O" for t in doc) for doc in docs]


def runs(words: Sequence[str]) -> set[int]:
    """Hashes of all runs of `RUN` words."""
    lower = [word.lower() for word in words]
    return {hash(tuple(lower[i : i + RUN])) for i in range(len(lower) - RUN + 1)}


def without_near_duplicates(test: Corpus, train: Corpus, text: Text | None) -> Corpus:
    """The test sentences that share no run of words with what there is to learn from."""
    kept: list[Sentence] = []
    for language in test.languages:
        own = [(sentence, runs(sentence.words)) for sentence in test.only(language)]
        wanted = set().union(*(found for _, found in own))
        seen: set[int] = set()
        learned = [train.only(language)]
        if text and language in text.languages:
            learned.append(text.sample(text.count(language), [language]))
        for corpus in learned:
            for sentence in corpus:
                seen |= runs(sentence.words) & wanted
        kept += [sentence for sentence, found in own if not found & seen]
    return replace(test, name=f"{test.name}, no near-duplicates", sentences=tuple(kept))


def judged(tags_of: Callable[[Corpus], Sequence[Sequence[str]]], corpora: dict[str, Corpus]) -> dict[str, Any]:
    """F1 by corpus and language."""
    out = {}
    for name, corpus in corpora.items():
        counts = count([s.tags or () for s in corpus], tags_of(corpus), [s.language for s in corpus])
        scores = {language: 100 * found.f1 for language, found in counts.by_language().items()}
        out[name] = {"mean": float(np.mean(list(scores.values()))), **scores}
        print(f"  {name}: {out[name]['mean']:.1f}", file=sys.stderr)
    return out


def own_tags(folder: str, corpus: Corpus) -> list[tuple[str, ...]]:
    return [found.tags for found in open_tagger(folder).tag(corpus.sentences)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipeline", help="a tagger in torch for transformers.pipeline: a folder")
    parser.add_argument("--model", action="append", default=[], help="NAME=FOLDER of a bundle or tagger")
    parser.add_argument("--spacy", action="append", default=[], help="NAME=FOLDER of a spaCy pipeline")
    parser.add_argument("--corpus", default="masakhaner:all", help="default: %(default)s")
    parser.add_argument("--text", help="the unlabelled text that contestants learned from")
    parser.add_argument("--sentences", type=int, default=600, help="timed, at random (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=available_threads(), help="default: %(default)s")
    parser.add_argument(
        "--elsewhere", action="store_true", help="F1 on other years, on unseen languages and on noise, too"
    )
    parser.add_argument("--no-time", action="store_true", help="F1 alone")
    parser.add_argument("--no-f1", action="store_true", help="time alone")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        return bench.attend(opened)
    if not asked.pipeline:
        parser.error("give --pipeline")
    named = {"pipeline fp32": asked.pipeline}
    named |= dict(each.split("=", 1) for each in asked.model)
    named |= {f"spaCy {name}": folder for name, folder in (each.split("=", 1) for each in asked.spacy)}
    test = sources.load(asked.corpus, "test")
    rows: dict[str, dict[str, Any]] = {
        name: {"bytes": inspect.disk_bytes(find_folder(folder)) if "spaCy" not in name else spacy_bytes(folder)}
        for name, folder in named.items()
    }
    if not asked.no_f1:
        train = sources.load(asked.corpus, "train")
        text = Text.open(asked.text) if asked.text else None
        corpora = {"test": test, "no near-duplicates": without_near_duplicates(test, train, text)}
        if asked.elsewhere:
            corpora |= {name: sources.load(corpus, "test") for name, corpus in ELSEWHERE.items()}
            corpora |= {noise: Perturbation.named(noise).apply(test) for noise in NOISE}
        for name, folder in list(named.items())[not asked.elsewhere :]:
            print(name, file=sys.stderr)
            tags = (
                (lambda corpus, folder=folder: spacy_tags(folder, corpus))
                if name.startswith("spaCy")
                else partial(own_tags, folder)
            )
            rows[name]["f1"] = judged(tags, corpora)
    if not asked.no_time:
        sample = test.sample(asked.sentences, 0)
        texts = [" ".join(sentence.words) for sentence in sample]
        own = [sys.executable, __file__, "--child"]
        with ExitStack() as stack:
            running = []
            for name, folder in named.items():
                foreign = name.startswith(("spaCy", "pipeline"))
                given = {"texts": texts, "threads": asked.threads, "folder": folder, "precision": None}
                command = own if foreign else list(bench.COMMAND)
                running.append(stack.enter_context(bench.bench_process(name if foreign else folder, command, given)))
            measured = bench.compare(running, batches=BATCHES, rounds=asked.rounds)
        words = sum(len(s.words) for s in sample) / len(sample)
        for name, each in zip(named, measured, strict=True):
            rows[name] |= each | {"words_per_second": each["sentences_per_second"] * words}
    if asked.json:
        print(json.dumps({"corpus": asked.corpus, "threads": asked.threads, "contestants": rows}))
        return None
    for name, row in rows.items():
        print(f"{name}: {row['bytes'] / 1e6:.1f} MB on disk")
        if "words_per_second" in row:
            low, high = row["ratio_to_first_interval"]
            print(
                f"  {row['words_per_second']:,.0f} words/s at batch {row['best_batch']}, {row['ratio_to_first']:.1f} × the "
                f"pipeline [{low:.1f}, {high:.1f}]; one sentence {row['p50_ms']:.2f} ms; {row['resident_bytes'] / 1e6:.0f} MB"
            )
        for corpus, scores in row.get("f1", {}).items():
            print(f"  {corpus}: " + "  ".join(f"{language} {score:.1f}" for language, score in scores.items()))
    return None


def spacy_bytes(folder: str) -> int:
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
