"""What a teacher answers to a corpus, kept for every student."""

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
from dinku.nn.torch_engine import TorchEngine

PART = 2000  # sentences


def word_logits(teacher: Tagger, corpus: Corpus, work: Work, *, precision: str) -> NDArray[np.float16]:
    """[words, tags] of all words of a corpus in their order, NaN where a word yields no subword.

    In float16 a logit is off by at most 1/2048 of itself; one beyond ±65,504 is taken for that. Computed once for a tagger and
    a corpus: kept in ``work.cache``, `PART` sentences a file, so that a kill loses one. What can't be read is made again.
    """
    known = (teacher.digest, teacher.encoder.length, corpus.fingerprint, precision, PART)
    key = hashlib.sha256(repr(known).encode()).hexdigest()
    folder = work.cache / key if work.cache else None
    if folder:
        with os_errors_as_dinku(folder):
            folder.mkdir(parents=True, exist_ok=True)
    engine = TorchEngine(teacher.model.to(work.device), precision=precision)
    try:
        parts = []
        for start in range(0, len(corpus), PART):
            work.progress(start, len(corpus), "the teacher reads")
            sentences = corpus.sentences[start : start + PART]
            first = np.cumsum([0, *(len(s.words) for s in sentences)])
            file = folder / f"{start}.npy" if folder else None
            part = _kept(file, (first[-1], len(teacher.tags))) if file else None
            if part is None:
                part = np.full((first[-1], len(teacher.tags)), np.nan, np.float16)
                for window, logits in predict.answers(engine, teacher.encoder, sentences):
                    part[first[window.sentence] + window.words] = logits.clip(-_MOST, _MOST)
                if file:
                    with written(file) as out:
                        np.save(out, part)
            parts.append(part)
    finally:
        teacher.model.to("cpu")
    return np.concatenate(parts)


_MOST = float(np.finfo(np.float16).max)


def _kept(file: Path, shape: tuple[int, ...]) -> NDArray[np.float16] | None:
    """An array of float16 that was saved; none where the file isn't there, is broken or holds another."""
    try:
        with open(file, "rb") as stored:
            part = np.lib.format.read_array(stored, allow_pickle=False)
    except (OSError, ValueError, MemoryError):
        return None
    return part if part.shape == shape and part.dtype == np.float16 else None
