"""F1 by language and label from the rows of a recipe, the worst language first."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dinku.data.task import NER, Task
from dinku.scoring.counts import averaged
from dinku.study.rows import Row

Spans = tuple[int, int, int]  # gold, predicted and correct


@dataclass(frozen=True)
class Scored:
    """F1 (0 to 1) of a tagger on a split by language and label, in seqeval's default reading, from the counts ``spans``.

    Of a ``task`` other than entities it is that task's measure, and ``spans`` are units.

    >>> scored = Scored("dev", {"hau": {"PER": (4, 4, 3), "LOC": (2, 1, 1)}, "yor": {"PER": (2, 2, 1)}})
    >>> round(scored.f1, 3), scored.worst
    (0.635, 'yor')
    """

    split: str
    spans: dict[str, dict[str, Spans]]
    task: Task = NER

    @classmethod
    def of(cls, rows: Iterable[Row], address: str, split: str) -> Scored:
        """The F1 of the tagger at an address on unperturbed sentences, from rows."""
        own = [
            row
            for row in rows
            if row.kind == "quality" and row.address == address and row.split == split
            if row.spans and not row.perturbation
        ]
        found = {row.language: row.spans["default"] for row in own if row.spans}
        return cls(split, found, own[0].task_of if own else NER)

    @property
    def by_language(self) -> dict[str, float]:
        """F1 of each language, the worst first."""
        own = {language: averaged(labels.values(), self.task) for language, labels in self.spans.items()}
        return dict(sorted(own.items(), key=lambda item: (item[1], item[0])))

    @property
    def f1(self) -> float:
        """The mean over languages."""
        own = self.by_language
        return sum(own.values()) / max(1, len(own))

    @property
    def worst(self) -> str:
        """The language with the lowest F1."""
        return next(iter(self.by_language), "")

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, those with the lowest F1 over all languages first."""
        together: dict[str, list[Spans]] = {}
        for labels in self.spans.values():
            for label, spans in labels.items():
                together.setdefault(label, []).append(spans)
        return tuple(sorted(together, key=lambda label: (averaged(together[label]), label)))

    def kept(self, dense: Scored) -> dict[str, float]:
        """The part of another tagger's F1 that is kept, by language, the worst first."""
        theirs = dense.by_language
        own = {
            language: f1 / theirs[language] if theirs[language] else 1.0 for language, f1 in self.by_language.items()
        }
        return dict(sorted(own.items(), key=lambda item: (item[1], item[0])))

    def table(self) -> tuple[list[str], list[list[str]]]:
        """A head and a row for each language: F1, F1 by label, and the number of gold spans."""
        labels = self.labels
        rows = []
        for language, f1 in self.by_language.items():
            own = self.spans[language]
            cells = [points(averaged([own[label]])) if own.get(label, (0,))[0] else "-" for label in labels]
            rows.append([language, points(f1), *cells, f"{sum(n[0] for n in own.values()):,}"])
        if len(rows) > 1:
            every = {label: [own[label] for own in self.spans.values() if label in own] for label in labels}
            spans = sum(n[0] for own in self.spans.values() for n in own.values())
            rows.append(
                [
                    "mean, labels over all",
                    points(self.f1),
                    *(points(averaged(every[la])) for la in labels),
                    f"{spans:,}",
                ]
            )
        return ["language", self.task.score, *labels, f"{self.task.unit}s"], rows


def points(f1: float) -> str:
    """F1 in points of 100, with one decimal."""
    return f"{100 * f1:.1f}"


def as_html(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    """A table for notebooks."""

    def line(tag: str, cells: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(line("td", row) for row in rows)
    return f"<table><caption>{html.escape(caption)}</caption>{line('th', head)}{body}</table>"
