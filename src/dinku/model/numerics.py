"""How a quantized tagger computes: its operators, and what padding does to its answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dinku.data.corpus import Sentence
from dinku.errors import DinkuError
from dinku.model.engine import InspectableEngine
from dinku.model.windows import Encoder
from dinku.schema import Record

BATCH = 16


class Numerics(Record):
    """How a quantized tagger computes, measured on a sample of the row's sentences.

    ``operators`` counts the operators of one batch by the type that they compute in. ``instructions`` is the widest instruction
    set that torch uses, and ``kernels`` the library that multiplies int8. The logits of ``words`` words, computed alone and in
    padded batches of ``batch`` windows, differ by at most ``largest_change``; their largest magnitude is ``largest_logit``, and
    ``changed`` words get another tag in batches.
    """

    scheme: str
    operators: dict[str, int]
    instructions: str
    kernels: str
    sentences: int
    batch: int
    words: int
    changed: int
    largest_change: float
    largest_logit: float


def measure_numerics(
    engine: InspectableEngine, encoder: Encoder[Any], sentences: Sequence[Sentence], *, scheme: str
) -> Numerics:
    """How an engine computes; see `Numerics`.

    Windows are batched in the order of the sentences, not by length, so that there is padding. Raises `DinkuError` if a logit
    isn't finite, as float16 ends at 65,504.
    """
    windows = encoder.windows([s.words for s in sentences])
    operators: dict[str, int] = {}
    words = changed = 0
    largest = most = 0.0
    for start in range(0, len(windows), BATCH):
        group = windows[start : start + BATCH]
        batch = encoder.batch(group)
        operators = operators or engine.executed(batch)
        together = engine.logits(batch)
        alone = np.concatenate([engine.logits(encoder.batch([window])) for window in group])
        if not (np.isfinite(together).all() and np.isfinite(alone).all()):
            problem = f"gives logits that aren't finite ({scheme})"
            raise DinkuError(problem, where="measuring", remedy="keep the rest in float32", status=1)
        words += len(alone)
        changed += int((together.argmax(-1) != alone.argmax(-1)).sum())
        most = max(most, float(np.abs(alone).max(initial=0)))
        largest = max(largest, float(np.abs(together - alone).max(initial=0)))
    return Numerics(
        scheme=scheme,
        operators=operators,
        instructions=engine.instructions,
        kernels=engine.kernels,
        sentences=len(sentences),
        batch=BATCH,
        words=words,
        changed=changed,
        largest_change=largest,
        largest_logit=most,
    )
