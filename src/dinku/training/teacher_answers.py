"""A teacher's answers to a corpus, computed once before its students train and kept for all of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dinku.data.corpus import Corpus
from dinku.files import os_errors_as_dinku, written
from dinku.method import Work
from dinku.model import predict
from dinku.nn.tagger import Tagger

PART = 2000  # sentences in a file


def word_logits(teacher: Tagger, corpus: Corpus, work: Work, *, precision: str) -> NDArray[np.float16]:
    """Logits [words, tags] of all words of a corpus in order, NaN for a word that yields no subword.

    float16 rounds a logit by at most 1/2048 of itself; one beyond ±65,504 is clipped. They are computed once for a tagger and a
    corpus, and kept in ``work.cache`` in files of `PART` sentences, so that a kill loses one of them. A broken one is made again.
    """
    known = (teacher.digest, teacher.encoder.length, corpus.fingerprint, precision, PART)
    key = hashlib.sha256(repr(known).encode()).hexdigest()
    folder = work.cache / key if work.cache else None
    if folder:
        with os_errors_as_dinku(folder):
            folder.mkdir(parents=True, exist_ok=True)
    teacher.to(work.device)
    engine = (teacher if teacher.cpu_only else teacher.in_precision(precision)).engine
    try:
        parts = []
        for start in range(0, len(corpus), PART):
            work.progress("the teacher reads", start, len(corpus))
            sentences = corpus.sentences[start : start + PART]
            first = np.cumsum([0, *(teacher.task.units(len(s.words)) for s in sentences)])
            file = folder / f"{start}.npy" if folder else None
            part = _saved(file, (first[-1], len(teacher.tags))) if file else None
            if part is None:
                part = np.full((first[-1], len(teacher.tags)), np.nan, np.float16)
                for window, logits in predict.answers(engine, teacher.encoder, sentences):
                    part[first[window.sentence] + window.words] = logits.clip(-_MOST, _MOST)
                if file:
                    with written(file) as out:
                        np.save(out, part)
            parts.append(part)
    finally:
        teacher.to("cpu")
    return np.concatenate(parts)


_MOST = float(np.finfo(np.float16).max)


def _saved(file: Path, shape: tuple[int, ...]) -> NDArray[np.float16] | None:
    """The float16 array of this shape in a file; ``None`` if the file is missing or broken, or holds anything else."""
    try:
        with open(file, "rb") as stored:
            part = np.lib.format.read_array(stored, allow_pickle=False)
    except (OSError, ValueError, MemoryError):
        return None
    return part if part.shape == shape and part.dtype == np.float16 else None
