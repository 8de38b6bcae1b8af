"""A tagger's entities as suggestions for people to correct in doccano, Label Studio or brat, the least certain first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from dinku.data.formats import brat, doccano, label_studio
from dinku.data.formats.reading import Mark
from dinku.errors import DinkuError
from dinku.files import written_folder
from dinku.scoring.tagging import Tagging
from dinku.serving.lines import Line


def above(found: Tagging, threshold: float) -> Tagging:
    """A tagging without the entities whose score is below a threshold, 0 to 1; their words are tagged ``O``.

    Raises `DinkuError` where every unit has a label.
    """
    if not found.task.schemes:
        problem = f"leaves out entities, and this model gives {found.task.title}"
        raise DinkuError(problem, where="--threshold", remedy="leave it out")
    tags = list(found.tags)
    for span, score in found.entities():
        if score < threshold:
            tags[span.start : span.end] = ["O"] * (span.end - span.start)
    return replace(found, tags=tuple(tags))


def certainty(found: Tagging) -> float:
    """How certain a tagger is of a sentence, 0 to 1: the probability of its least certain word's tag; 1 without words."""
    return float(found.scores.min()) if len(found.scores) else 1.0


def for_doccano(line: Line, found: Tagging) -> dict[str, Any]:
    """A line of JSONL that doccano imports, its labels set."""
    marks, _ = _marks(line, found)
    return _keys(line, *doccano.OWN) | {"text": line.text, "label": [list(mark) for mark in marks]}


def for_label_studio(line: Line, found: Tagging, model: str, certain: float) -> dict[str, Any]:
    """A task for Label Studio with a prediction, whose score is how certain the tagger is of the sentence."""
    results = label_studio.results(line.text, *_marks(line, found))
    prediction = {"model_version": model, "score": certain, "result": results}
    return label_studio.task(line.text, _keys(line, "text"), predictions=[prediction])


def to_brat(answers: Iterable[tuple[Line, Tagging]], folder: Path, name: str, labels: Iterable[str]) -> int:
    """Write a document of brat with a line for each text, in a new folder that brat can open; the number of entities.

    Raises `DinkuError` if anything but an empty folder is there.
    """
    at, number = 0, 1
    with (
        written_folder(folder) as part,
        open(part / f"{name}.txt", "w", encoding="utf-8", newline="") as texts,
        open(part / f"{name}.ann", "w", encoding="utf-8", newline="") as entities,
    ):
        (part / brat.CONF).write_text(brat.settings(labels), encoding="utf-8")
        for line, found in answers:
            marks, _ = _marks(line, found)
            texts.write(line.text + "\n")
            entities.write(brat.entities(marks, line.text, first=number, shift=at))
            at, number = at + len(line.text) + 1, number + len(marks)
    return number - 1


def _marks(line: Line, found: Tagging) -> tuple[list[Mark], list[float]]:
    if found.task.each != "word":
        problem = f"holds labels of spans, and this model gives {found.task.title}"
        raise DinkuError(problem, where="--format", remedy="choose table or jsonl")
    entities = line.entities(found)
    return [(e["start"], e["end"], e["label"]) for e in entities], [e["score"] for e in entities]


def _keys(line: Line, *without: str) -> dict[str, Any]:
    return {name: value for name, value in line.keys.items() if name not in without}
