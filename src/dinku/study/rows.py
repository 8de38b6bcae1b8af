"""Row: one measured fact with its provenance."""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from dinku.data.task import NER, Task, task_named
from dinku.machine import Environment
from dinku.model.numerics import Numerics
from dinku.schema import Record

_Part = Annotated[
    str, StringConstraints(pattern=r"^[^/\\\x00]*$")
]  # characters of a file name that can't lead out of the folder


_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _recipe(value: dict[str, Any]) -> dict[str, Any]:
    """Check the parts of a recipe that reports read."""
    steps = value.get("steps")
    known = isinstance(value.get("base"), str) and isinstance(value.get("corpus"), str) and isinstance(steps, list)
    if not known or not all(isinstance(step, dict) and len(step) == 1 for step in steps or []):
        raise ValueError("it needs base, corpus and steps")
    for name, fields in (pair for step in steps or [] for pair in step.items()):
        if not isinstance(fields, dict) or (name == "Sparsify" and not isinstance(fields.get("sparsity"), int | float)):
            raise ValueError(f"{name} lacks its fields")
    return value


class Size(Record):
    """What a saved tagger weighs. Sparsity is a fraction of the ``linear`` weights, of which ``linear_nonzero`` aren't zero."""

    parameters: int
    nonzero: int
    linear: int = Field(gt=0)
    linear_nonzero: int
    bytes_disk: int
    bytes_download: int

    @property
    def sparsity(self) -> float:
        """The fraction of zeros in the linear layers, as measured at the end."""
        return 1 - self.linear_nonzero / self.linear


class Training(Record):
    """How a training step was carried out: its seconds, including those of killed attempts, its machine and its precision.

    ``consumes`` holds the fingerprints of the data it read, by *train*, *dev* and *text*; ``warning`` says what was odd about
    them.
    """

    address: str
    seconds: float
    precision: str
    machine: str
    consumes: dict[str, str] = Field(default_factory=dict)
    warning: str = ""
    commit: str | None = None
    dirty: bool


class Latency(Record):
    """Seconds to tag the same sentences one by one, in each round; the three taggers were interleaved within each round.

    ``dense`` is the reference, and ``again`` the reference a second time: their ratio shows the noise of the clock.
    """

    reference: str
    sentences: int
    subject: tuple[_Seconds, ...] = Field(min_length=1)
    dense: tuple[_Seconds, ...]
    again: tuple[_Seconds, ...]

    @model_validator(mode="after")
    def _of_the_same_rounds(self) -> Self:
        if not len(self.subject) == len(self.dense) == len(self.again):
            raise ValueError("its lists of times differ in length")
        return self


class Target(Record):
    """How a row's sentences look to the tagger's tokenizer, and how they compare with its training data.

    ``unknown`` counts words with an unknown subword. ``types`` counts the different words among the first ``of`` words, so that
    texts of different length compare. ``new_names`` counts those of the gold spans (``names``) that the train split never has
    as names. The train split has ``train_sentences`` in the row's language, and is in the languages ``trained``.
    """

    words: int
    subwords: int
    unknown: int
    types: int
    of: int
    names: int
    new_names: int
    train_sentences: int
    trained: tuple[str, ...]

    @property
    def features(self) -> dict[str, float]:
        """Features that may predict the F1 of a language."""
        return {
            "subwords a word": self.subwords / max(1, self.words),
            "unknown words": self.unknown / max(1, self.words),
            "different words": self.types / max(1, self.of),
            "names not in train": self.new_names / max(1, self.names),
            "train sentences": self.train_sentences,
        }


class Row(Record):
    """One recipe measured on one language of one split: its counts and size (*quality*), or its times (*latency*).

    ``perturbation`` is the perturbation of the sentences with its rate, empty for none, and ``changed`` the number of sentences
    that it changed. ``fingerprint`` is that of the tagged sentences, and ``corpus`` names the sentences from which they were
    made. ``source`` is the corpus's name as the study gives it, without notes on language and sample; older rows only have it as
    part of ``corpus``. ``versions`` are those of the recipe's methods, by name; older rows have none. ``task`` names the task of
    the corpus unless it is entities; ``spans`` then counts units.
    """

    schema_version: Literal[1] = 1
    kind: Literal["quality", "latency"]
    study: str
    arm: str
    values: dict[str, float | int | str | list[Any]]
    recipe: Annotated[dict[str, Any], AfterValidator(_recipe)]
    base_digest: str
    address: _Part
    seed: int
    corpus: str
    source: str | None = None
    language: _Part
    split: _Part
    fingerprint: _Part
    sentences: int
    sentences_in_split: int
    perturbation: _Part = ""
    changed: int | None = None
    target: Target | None = None
    spans: dict[str, dict[str, tuple[int, int, int]]] | None = None
    size: Size | None = None
    trainings: tuple[Training, ...] = ()
    latency: Latency | None = None
    numerics: Numerics | None = None
    environment: Environment
    versions: dict[str, int] = Field(default_factory=dict)
    task: str | None = None

    @property
    def task_of(self) -> Task:
        """The task of its corpus. Raises `DinkuError` for one that isn't known."""
        return task_named(self.task, where=f"row of {self.study}") if self.task else NER

    @property
    def evaluated_on(self) -> str:
        """The corpus that its sentences come from, by the name that the study gives."""
        if self.source is not None:
            return self.source
        return source(self.corpus, self.language)

    @property
    def key(self) -> tuple[str, ...]:
        """Rows with the same key record the same fact; the key of a time includes its machine."""
        at = self.environment.machine if self.kind == "latency" else ""
        return self.kind, self.address, self.fingerprint, self.language, self.split, self.perturbation, at

    @property
    def title(self) -> str:
        """The arm, and the grid's values."""
        values = " ".join(f"{key}={value}" for key, value in self.values.items())
        return f"{self.arm} {values}".strip()

    @property
    def trained_on(self) -> str:
        return str(self.recipe["corpus"])

    @property
    def seen(self) -> bool:
        """Whether the train split has its language; that is assumed of older rows, which don't record it."""
        return self.target is None or self.language in self.target.trained

    @property
    def counts_file(self) -> str:
        suffix = f"-{self.perturbation.replace(':', '-')}" if self.perturbation else ""
        return f"{self.address[:24]}-{self.language}-{self.split}-{self.fingerprint[:8]}{suffix}.npz"


@cache
def source(corpus: str, language: str) -> str:
    """The name of a corpus, without the notes on which of its sentences a row is about."""
    return re.sub(r"( \(\d+ of \d+\))+$", "", corpus).removesuffix(f" ({language})")


class Failure(Record):
    """A step that failed or was refused, and why. It is removed when the step succeeds; until then, every run tries it once.

    ``address`` is that of the tagger it would have made. ``step`` is its method as JSON, or *tagging* or *timing*.
    """

    schema_version: Literal[1] = 1
    study: str
    recipe: str
    address: str
    step: dict[str, Any] | str
    reason: str
    attempts: int = 1
    environment: Environment

    @property
    def name(self) -> str:
        return self.step if isinstance(self.step, str) else next(iter(self.step), "")

    @property
    def summary(self) -> str:
        """One line: the recipe, the step, and the reason."""
        return f"{self.recipe}: {self.name}: {self.reason.removeprefix(f'{self.name}: ')}"
