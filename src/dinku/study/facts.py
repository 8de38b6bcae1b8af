"""Facts about a tagger besides its answers: its size, its speed, and how a text looks to its tokenizer."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from dinku import machine
from dinku.data.corpus import Corpus
from dinku.files import written
from dinku.model import inspect
from dinku.model.sentence_tagger import SentenceTagger
from dinku.model.windows import Encoder
from dinku.study.rows import Latency, Size, Target

TYPES = 1000  # words at the start of a text among which different words are counted


class Clock:
    """The seconds that a step takes, killed attempts included. It keeps them in a file every few seconds."""

    EVERY = 5.0

    def __init__(self, file: Path) -> None:
        self.file, self.start = file, time.monotonic()
        with suppress(OSError, ValueError):
            self.start -= float(file.read_text())
        self.kept = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start

    def keep(self) -> None:
        if time.monotonic() - self.kept > self.EVERY:
            self.kept = time.monotonic()
            with written(self.file) as file:
                file.write(f"{self.seconds:.3f}".encode())


def target(encoder: Encoder[Any], corpus: Corpus, train: Corpus, names: frozenset[str]) -> Target:
    """How sentences look to a tagger's tokenizer, and how they compare with the train split and the ``names`` in it."""
    words = [word for s in corpus for word in s.words]
    task = corpus.task
    own = [span.name(s.words) for s in corpus for span in task.spans(s.tags or ())] if task.each == "word" else []
    subwords, unknown = encoder.unknown([s.words for s in corpus])
    (language,) = corpus.languages
    return Target(
        words=len(words),
        subwords=subwords,
        unknown=unknown,
        types=len({word.casefold() for word in words[:TYPES]}),
        of=len(words[:TYPES]),
        names=len(own),
        new_names=sum(name not in names for name in own),
        train_sentences=sum(s.language == language for s in train),
        trained=train.languages,
    )


def size_of(tagger: SentenceTagger, folder: Path) -> Size:
    """The size of a saved tagger: its weights counted, and the bytes of its folder, as it is and as a zstd download."""
    shape, (linear, linear_nonzero) = tagger.shape, tagger.linear
    return Size(
        parameters=shape.parameters,
        nonzero=shape.nonzero[0],
        linear=linear,
        linear_nonzero=linear_nonzero,
        bytes_disk=inspect.disk_bytes(folder),
        bytes_download=inspect.download_bytes(folder),
    )


def time_taggers(
    subject: SentenceTagger,
    dense: SentenceTagger,
    again: SentenceTagger,
    corpus: Corpus,
    *,
    rounds: int,
    reference: str,
) -> Latency:
    """Seconds to tag the sentences one at a time, from words to tags, with the three taggers interleaved."""

    def whole_path(tagger: SentenceTagger) -> Callable[[], object]:
        return lambda: [tagger.tag([sentence]) for sentence in corpus]

    subjects = {"subject": whole_path(subject), "dense": whole_path(dense), "again": whole_path(again)}
    seconds = machine.interleaved(subjects, rounds=rounds)
    return Latency(reference=reference, sentences=len(corpus), **{name: tuple(s) for name, s in seconds.items()})
