"""How fast tagging is, beside `transformers.pipeline`: ``python benchmarks/tagging.py MODEL --corpus masakhaner:all``.

Both get the same weights in float32 and the same words of a random sample of the test split. The whole path is timed, from
words to tags, on a CPU, after a warm-up, all contestants taking turns. The pipeline is given pre-split words, and apart
from that the same words joined by blanks, at batch sizes 1, 8 and 32; its best counts. ``--check`` compares tags instead.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import pipeline

from dinku.data import sources
from dinku.data.corpus import Sentence
from dinku.machine import available_threads, interleaved
from dinku.nn.quiet import quietly
from dinku.nn.tagger import Tagger

BATCHES = (1, 8, 32)
SENTENCES = 400
SHOWN = 20


def contestants(tagger: Tagger, pipe: Any, sentences: Sequence[Sentence]) -> dict[str, Callable[[], object]]:
    """What is timed: dinku in two precisions, the pipeline (which leaves out words tagged O) in six ways."""
    words = [list(s.words) for s in sentences]
    texts = [" ".join(s.words) for s in sentences]
    out: dict[str, Callable[[], object]] = {
        "dinku float32": lambda: tagger.tag(sentences),
        "dinku bfloat16": lambda: tagger.in_precision("bfloat16").tag(sentences),
    }
    for size in BATCHES:
        out[f"pipeline words, batch {size}"] = partial(pipe, words, is_split_into_words=True, batch_size=size)
        out[f"pipeline text, batch {size}"] = partial(pipe, texts, batch_size=size)
    return out


def piped(pipe: Any, sentence: Sentence) -> tuple[str, ...]:
    """The tag of each word that the pipeline gives its first subword; O for a word without subwords."""
    words = list(sentence.words)
    owner = pipe.tokenizer(words, is_split_into_words=True).word_ids()
    (found,) = pipe([words], is_split_into_words=True, ignore_labels=[])
    tags = ["O"] * len(words)
    for subword in reversed(found):  # a word's first subword comes last
        tags[owner[subword["index"]]] = subword["entity"]
    return tuple(tags)


def check(tagger: Tagger, pipe: Any, sentences: Sequence[Sentence]) -> dict[str, Any]:
    """Both taggers' tags of every word in sentences that fit one window."""
    windows = Counter(window.sentence for window in tagger.encoder.windows([s.words for s in sentences]))
    fitting = [s for i, s in enumerate(sentences) if windows[i] == 1]
    different = []
    for sentence, tagging in zip(fitting, tagger.tag(fitting), strict=True):
        tags = zip(sentence.words, piped(pipe, sentence), tagging.tags, strict=True)
        different += [
            {"word": word, "pipeline": theirs, "dinku": ours} for word, theirs, ours in tags if theirs != ours
        ]
    words = sum(len(s.words) for s in fitting)
    return {
        "sentences": len(fitting),
        "left_out": len(sentences) - len(fitting),
        "words": words,
        "different": different,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a tagger: a folder or a Hub id")
    parser.add_argument("--corpus", default="masakhaner:all", help="its test split is tagged (default: %(default)s)")
    parser.add_argument("--sentences", type=int, help=f"how many, at random (default: {SENTENCES}; all with --check)")
    parser.add_argument("--seed", type=int, default=0, help="of that sample")
    parser.add_argument("--sorted", action="store_true", help="hand sentences over by length: spares padding to all")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=available_threads(), help="default: %(default)s")
    parser.add_argument("--check", action="store_true", help="compare tags, and exit with 1 where any differ")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    asked = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = str(asked.threads)  # the tokenizers' threads, read when they first run
    torch.set_num_threads(asked.threads)

    corpus = sources.load(asked.corpus, "test")
    wanted = asked.sentences or (len(corpus) if asked.check else SENTENCES)
    sentences = list(corpus.sample(wanted, asked.seed)) if wanted < len(corpus) else list(corpus)
    if asked.sorted:
        sentences.sort(key=lambda s: sum(map(len, s.words)))
    tagger = Tagger.load(asked.model)
    with tempfile.TemporaryDirectory() as scratch:
        folder = str(tagger.save(Path(scratch) / "float32"))
        with quietly():
            pipe = pipeline("token-classification", folder, dtype=torch.float32, device="cpu")
        if asked.check:
            compared = check(tagger, pipe, sentences)
        else:
            seconds = interleaved(contestants(tagger, pipe, sentences), rounds=asked.rounds)

    if asked.check:
        if asked.json:
            print(json.dumps(compared, ensure_ascii=False))
        else:
            print(f"{compared['words']} words of {compared['sentences']} sentences compared", end="")
            print(f" ({compared['left_out']} don't fit one window): {len(compared['different'])} differences")
            for one in compared["different"][:SHOWN]:
                print(f"{one['word']:<24} pipeline {one['pipeline']:<8} dinku {one['dinku']}")
        sys.exit(1 if compared["different"] else 0)

    rates = {name: len(sentences) / median(taken) for name, taken in seconds.items()}
    best = max((name for name in rates if name.startswith("pipeline")), key=lambda name: rates[name])
    ratios = {
        name: median(theirs / ours for theirs, ours in zip(seconds[best], taken, strict=True))
        for name, taken in seconds.items()
    }
    setting = {"sentences": len(sentences), "threads": asked.threads, "rounds": asked.rounds, "sorted": asked.sorted}
    if asked.json:
        print(
            json.dumps({**setting, "seconds": seconds, "sentences_per_second": rates, "best": best, "ratios": ratios})
        )
        return
    print(", ".join(f"{name} {value}" for name, value in setting.items()))
    print(f"{'':<26}sentences/s   to the pipeline's best")
    for name, rate in rates.items():
        print(f"{name:<26}{rate:11.1f}{ratios[name]:25.2f}{' (best)' if name == best else ''}")


if __name__ == "__main__":
    main()
