"""The gate: refuses a converted model unless it tags as the tagger it was made from.

They are compared on windows of many lengths, in batches of several shapes, with and without padding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from typing import Any, get_args

import numpy as np

from dinku.data.corpus import Corpus
from dinku.errors import DinkuError, plural
from dinku.export.convert import TOLERANCE, convertible
from dinku.export.converters import converter_of
from dinku.model.engine import Engine, InspectableEngine
from dinku.model.predict import tag
from dinku.model.runtimes import Precision
from dinku.model.sentence_tagger import SentenceTagger
from dinku.model.windows import Encoder, Logits, Window
from dinku.progress import Progress, silent
from dinku.scoring.tagging import Tagging, counted

LOGITS = 1e-3  # the most by which a logit may differ in fp32


EQUAL = {"fp32": 0.998, "bf16": 0.998, "int8": 0.99}  # the least share of tags that must be equal


FEWEST = 500  # the fewest words for such a share


@dataclass(frozen=True)
class Equivalence:
    """What the gate measured of an engine against the tagger in torch, in fp32.

    ``logits`` is the largest difference of a logit, ``largest`` the largest logit, and ``batch`` the largest difference between
    the engine's own logits in batches of different shapes, over ``windows`` windows of up to ``longest`` subwords. ``equal`` is
    the share of ``words`` words of real sentences that get the same tag. ``f1`` and ``f1_before``, in 0…1, are those of engine
    and tagger if the sentences are tagged. ``executed`` counts the engine's operators by their precision.
    """

    precision: Precision
    logits: float
    largest: float
    batch: float
    windows: int
    longest: int
    equal: float
    words: int
    f1_before: float | None
    f1: float | None
    executed: dict[str, int]

    @property
    def document(self) -> dict[str, Any]:
        return asdict(self)

    def fault(self, tolerance: float) -> str:
        """The reason why it doesn't pass, with the numbers; empty if it passes."""
        if not np.isfinite(self.logits):
            return "its logits aren't all numbers"
        if self.precision == "fp32" and not self.logits <= LOGITS:
            return f"a logit differs by {self.logits:.3g} (at most {LOGITS:g}; the largest is {self.largest:.3g})"
        if self.precision == "int8" and tolerance >= 1:
            return ""
        if not self.equal >= EQUAL[self.precision]:
            least = EQUAL[self.precision]
            return f"{self.equal:.2%} of {self.words:,} tags are equal (at least {least:.1%})"
        if self.precision == "int8" and (self.f1 is None or self.f1_before is None):
            return "its F1 isn't known, because the sentences aren't tagged"
        if self.precision == "int8" and not (self.f1 or 0.0) >= (self.f1_before or 0.0) - tolerance:
            return f"F1 is {100 * (self.f1 or 0):.2f} and was {100 * (self.f1_before or 0):.2f} (at most {tolerance:.1%} less)"
        return ""


class Reference:
    """A tagger in torch, in fp32, and its answers for the sentences of a corpus, with which engines are compared.

    Raises `DinkuError` if it isn't `convertible`, or there are too few sentences.
    """

    def __init__(self, tagger: SentenceTagger, corpus: Corpus, *, progress: Progress = silent) -> None:
        convertible(tagger)
        self.converter = converter_of(tagger)
        if corpus.words < FEWEST:
            problem = f"has {plural(corpus.words, 'word')}, too few to compare tags on"
            raise DinkuError(problem, where=corpus.name, remedy=f"name a corpus of {FEWEST} words or more")
        self.tagger, self.corpus, self.report = tagger, corpus, progress
        engine = self.converter.reference_engine()
        self.windows = self.converter.probes(corpus)
        self.wanted = dict(_each(engine, tagger.encoder, [[window] for window in self.windows]))
        self.tagged = self.tag(engine)
        self.f1 = _f1(corpus, self.tagged)

    def tag(self, engine: Engine) -> list[Tagging]:
        """An engine's taggings of the corpus."""
        say = partial(self.report, "comparing tags")
        say(0, len(self.corpus))
        own = self.tagger
        return tag(engine, own.encoder, own.tags, self.corpus.sentences, task=own.task, progress=say)

    def compare(self, engine: Engine) -> tuple[float, float | None]:
        """The share of words to which an engine gives the same tag, and its F1 (of 1), `None` if sentences have no tags."""
        tagged = self.tag(engine)
        pairs = [(a, b) for x, y in zip(self.tagged, tagged, strict=True) for a, b in zip(x.tags, y.tags, strict=True)]
        return sum(a == b for a, b in pairs) / len(pairs), _f1(self.corpus, tagged)

    def gate(self, engine: InspectableEngine, precision: Precision, *, tolerance: float = TOLERANCE) -> Equivalence:
        """Compare an engine with the tagger it was converted from.

        ``tolerance`` is the F1 (of 1) that int8 may lose; at 1 any loss passes, so that it can be measured. Raises a `DinkuError`
        of status 1, with the numbers, if it differs by more than its precision allows.
        """
        if precision not in get_args(Precision):
            raise DinkuError(f"there is no precision {precision!r}", where="gate", remedy="choose fp32, bf16 or int8")
        found = [list(_each(engine, self.tagger.encoder, shape)) for shape in _shapes(self.windows)]
        equal, f1 = self.compare(engine)
        result = Equivalence(
            precision=precision,
            logits=_most(self.wanted, chain.from_iterable(found)),
            largest=max(float(np.abs(logits).max()) for logits in self.wanted.values()),
            batch=_most(dict(found[0]), chain.from_iterable(found[1:])),
            windows=len(self.windows),
            longest=max(window.size for window in self.windows),
            equal=equal,
            words=self.corpus.words,
            f1_before=self.f1,
            f1=f1,
            executed=engine.executed(self.tagger.encoder.batch(self.windows[:1])),
        )
        if fault := result.fault(tolerance):
            remedy = "nothing was written; convert with other versions, or to another runtime or precision"
            raise DinkuError(f"isn't the tagger it was made from: {fault}", where="gate", remedy=remedy, status=1)
        return result


def _shapes(windows: Sequence[Window]) -> Iterator[list[list[Window]]]:
    """The windows in batches: each alone; in batches of seven of different lengths, with padding; and each short one sixteen
    times, without padding."""
    yield [[window] for window in windows]
    stride = -(-len(windows) // 7)
    yield [[windows[(i + k * stride) % len(windows)] for k in range(7)] for i in range(stride)]
    yield [[window] * 16 for window in windows if window.size <= 64]


def _each(engine: Engine, encoder: Encoder[Any], batches: Sequence[Sequence[Window]]) -> Iterator[tuple[int, Logits]]:
    """(number of the window, logits [subwords, tags]) for every window of every batch."""
    for group in batches:
        batch = encoder.batch(group)
        ends = np.cumsum([len(window.words) for window in group])
        for window, logits in zip(group, np.split(engine.logits(batch), ends[:-1]), strict=True):
            yield window.sentence, logits


def _most(wanted: Mapping[int, Logits], pairs: Iterable[tuple[int, Logits]]) -> float:
    """The largest difference between logits; NaN if any logit is NaN."""
    return float(np.max([np.abs(logits - wanted[number]).max() for number, logits in pairs]))


def _f1(corpus: Corpus, tagged: Sequence[Tagging]) -> float | None:
    """F1 where every sentence is tagged."""
    if any(s.tags is None for s in corpus):
        return None
    return counted(corpus, tagged).scores().f1
