"""Tasks: what is labelled in a sentence, which labels are legal, what they mean, and what is measured of them.

Whatever differs between names, parts of speech and classes of sentences stands here; all else takes a `Task` and asks it. A task
labels *units*: the words of a sentence, or the sentence itself. A sentence's tags are one a unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dinku.data import spans as iob
from dinku.data.spans import Span
from dinku.errors import DinkuError, nearest, plural, shown

MOST_LABELS = 256  # of a corpus: with more, what should be a label is most often an id or a text

Average = Literal["micro", "weighted"]


@dataclass(frozen=True)
class Task:
    """One label a unit, with no rule about neighbours; `NER` differs in that its tags mark spans of words.

    ``unit`` is what is counted, ``each`` what has a tag. ``head`` is transformers' class of models for it, as
    *ForTokenClassification*. ``measure`` is what its score is called, ``score`` the same at the head of a column, ``told`` in a
    card; ``average`` is how counts of labels come to it: *micro* over all labels, which is accuracy where every unit has one
    label, or *weighted*, the mean F1 of labels by how often gold has them. ``schemes`` says whether tags are written in a scheme
    such as IOB2, where not every tag may follow every other, and ``outside`` is the tag of what has no label, if there is one.
    ``answer`` is the key under which JSON has what was found, ``hub`` the Hub's name of the task, ``does`` what a card says of a
    model.

    >>> TAGS.spans(("NOUN", "VERB"))
    [Span(start=0, end=1, label='NOUN'), Span(start=1, end=2, label='VERB')]
    """

    name: str
    title: str
    unit: str
    each: Literal["word", "sentence"]
    head: str
    measure: str
    score: str
    told: str
    average: Average
    answer: str
    hub: str
    does: str
    schemes: bool = False
    outside: str = ""

    def __reduce__(self) -> tuple[Any, ...]:
        return task_named, (self.name,)  # there is one of each, in other processes, too

    def is_legal(self, tag: str) -> bool:
        """Whether a tag may stand on a unit."""
        return bool(tag) and tag.split() == [tag] == [shown(tag)]

    def tags_of(self, labels: Iterable[str]) -> tuple[str, ...]:
        """The tags of a head for these labels."""
        return tuple(labels)

    def label_of(self, tag: str) -> str:
        """The label of a tag; empty for what has none."""
        return tag

    def begins(self, tag: str) -> bool:
        """Whether a tag can't continue what stands before it."""
        return True

    def spans(self, tags: Sequence[str], *, strict: bool = False) -> list[Span]:
        """What is counted of a sentence's tags: here each unit under its label."""
        return [Span(i, i + 1, tag) for i, tag in enumerate(tags)]

    def units(self, words: int) -> int:
        """How many tags a sentence of so many words has."""
        return words if self.each == "word" else 1

    @property
    def legal(self) -> str:
        """What a legal tag is, for errors."""
        return "a label without white space"

    @property
    def heading(self) -> str:
        """``score`` at the beginning of a sentence or a heading."""
        return self.score[0].upper() + self.score[1:]

    @property
    def points(self) -> str:
        """The unit of ``score`` after a number, such as a margin."""
        return self.score if self.schemes else f"points of {self.score}"

    def check_labels(self, labels: Sequence[str], *, where: str) -> None:
        """Raise `DinkuError` where labels are too many, or too few to tell anything apart."""
        if len(labels) > MOST_LABELS:
            problem = f"has {plural(len(labels), 'label')}, such as {', '.join(labels[:3])}"
            remedy = f"check that the column is that of the label, or keep at most {MOST_LABELS}"
            raise DinkuError(problem, where=where, remedy=remedy)
        if len(labels) == 1:
            problem = f"has one label, {labels[0]}, so that nothing can be learned"
            raise DinkuError(problem, where=where, remedy="give it two or more")


@dataclass(frozen=True)
class _Spans(Task):
    """Spans of words under labels, in IOB2."""

    def is_legal(self, tag: str) -> bool:
        return iob.is_iob2_tag(tag)

    def tags_of(self, labels: Iterable[str]) -> tuple[str, ...]:
        return (self.outside, *(f"{prefix}-{label}" for label in labels for prefix in "BI"))

    def label_of(self, tag: str) -> str:
        return "" if tag == self.outside else tag[2:]

    def begins(self, tag: str) -> bool:
        return tag[0] == "B"

    def spans(self, tags: Sequence[str], *, strict: bool = False) -> list[Span]:
        return iob.spans(tags, strict=strict)

    @property
    def legal(self) -> str:
        return "O, B-X or I-X"

    def check_labels(self, labels: Sequence[str], *, where: str) -> None:
        """Any number will do: a corpus without entities has none."""


@dataclass(frozen=True)
class _Classes(Task):
    """One label for the whole sentence; it may hold blanks, as *world news* does."""

    def is_legal(self, tag: str) -> bool:
        return bool(tag) and " ".join(tag.split()) == tag == shown(tag)

    @property
    def legal(self) -> str:
        return "a label in one line"


NER = _Spans(
    name="ner",
    title="named entities",
    unit="span",
    each="word",
    head="ForTokenClassification",
    measure="span F1",
    score="F1",
    told="span micro-F1 (seqeval's default reading)",
    average="micro",
    answer="entities",
    hub="token-classification",
    does="Finds {} in text",
    schemes=True,
    outside="O",
)
TAGS = Task(
    name="tags",
    title="a label a word",
    unit="word",
    each="word",
    head="ForTokenClassification",
    measure="accuracy",
    score="accuracy",
    told="accuracy, of words",
    average="micro",
    answer="words",
    hub="token-classification",
    does="Labels each word of a text as {}",
)
CLASSES = _Classes(
    name="classes",
    title="a label a sentence",
    unit="sentence",
    each="sentence",
    head="ForSequenceClassification",
    measure="weighted F1",
    score="weighted F1",
    told="weighted F1 (the mean F1 of classes by their gold texts)",
    average="weighted",
    answer="classes",
    hub="text-classification",
    does="Labels a text as {}",
)
TASKS: dict[str, Task] = {task.name: task for task in (NER, TAGS, CLASSES)}


def task_named(name: str, where: str = "task") -> Task:
    """The task of that name. Raises `DinkuError` if there is none.

    >>> task_named("tags", where="here").measure
    'accuracy'
    """
    if name not in TASKS:
        remedy = f"{nearest(name, TASKS)}choose {', '.join(TASKS)}"
        raise DinkuError(f"there is no task {name!r}", where=where, remedy=remedy)
    return TASKS[name]
