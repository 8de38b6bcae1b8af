"""Plan: what a study would do, with declared sizes, what recipes share and an estimate, before anything is trained."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from itertools import islice
from statistics import median
from typing import Any, cast

from tokenizers import Tokenizer

from dinku.data.word_boundaries import words
from dinku.errors import plural
from dinku.method import Method
from dinku.model.encode import SubwordEncoder
from dinku.model.shape import Costs
from dinku.study.prepare import LINE, foreign
from dinku.study.run import Runner
from dinku.training.settings import TrainingSettings


def plan(runner: Runner) -> dict[str, Any]:
    """Every step of a study once, in the order it will be made, with declared sizes and an estimate; runs nothing.

    A training's estimate is three passes' multiply-adds over the subwords that it reads, and one of its teacher's, at the rate
    that the trainings in the store ran at on whatever machine made them, or where there are none at `RATE`.
    """
    users = Counter(address for p in runner.prepared for address in p.addresses[1:])
    line = _subwords_a_line(runner)
    read = {corpus: _subwords(runner, corpus) for corpus in runner.data}
    readings = {corpus: Workload(subwords, line, set()) for corpus, (subwords, _) in read.items()}
    subwords, counted = sum(n for n, _ in read.values()), " and ".join(dict.fromkeys(how for _, how in read.values()))
    steps: dict[str, dict[str, Any]] = {}
    rates, complete = [], 0
    for prepared in runner.prepared:
        shapes, reading = prepared.shapes, readings[prepared.recipe.corpus]
        whole = not runner.missing(prepared)
        complete += whole
        for i, step in enumerate(prepared.recipe.steps, 1):
            address = prepared.addresses[i]
            name = type(step).__name__
            before = prepared.addresses[i - 1]
            work = 0.0 if address in steps else reading.work(step, shapes[i - 1], shapes[i], before)
            stored = runner.store.has(address)
            if stored and work and address not in steps:
                rates.append(work / max(runner.store.step(address)["seconds"], 1e-9))
            told = _told(prepared.entry.recipe.steps[i - 1], step)
            told += [f"seed {prepared.recipe.seed}"] if isinstance(step, TrainingSettings) else []
            known = steps.setdefault(
                address,
                {
                    "address": address,
                    "before": prepared.addresses[i - 1],
                    "name": f"{name} ({', '.join(told)})" if told else name,
                    "arm": prepared.entry.arm,
                    "training": work > 0,
                    "warning": foreign(step, prepared.data),
                    "recipes": users[address],
                    "parameters": shapes[i].parameters,
                    "bytes": shapes[i].bytes,
                    "nonzero": list(shapes[i].nonzero),
                    "multiply_adds_to_do": work,
                    "state": "done",
                },
            )
            if not whole and not stored:
                known["state"] = "to do"
    todo = [s for s in steps.values() if s["state"] == "to do"]
    rate = median(rates) if rates else RATE
    undone = sum(s["multiply_adds_to_do"] for s in todo)
    source = (
        f"{plural(len(rates), 'training')} in the store"
        if rates
        else f"a guess of {RATE:.0e} multiply-adds a second, as the store holds no training of this study yet"
    )
    shared = [s["recipes"] for s in steps.values() if s["training"]]
    trainings, unshared = len(shared), sum(shared)
    return {
        "study": runner.study.name,
        "title": runner.study.title,
        "recipes": len(runner.prepared),
        "recipes_done": complete,
        "trainings": trainings,
        "trainings_unshared": unshared,
        "sharing": unshared / max(1, trainings),
        "trainings_to_do": sum(s["training"] for s in todo),
        "train_subwords": subwords,
        "warnings": runner.warnings,
        "seconds": undone / rate,
        "gpu_hours": undone / GPU_RATE / 3600,
        "estimate": f"training alone, by {source}; subwords {counted}",
        "steps": list(steps.values()),
    }


def _told(asked: Method, step: Method) -> list[str]:
    """What tells a step from others of its kind: epochs, all fields that were given and aren't as they are by default, and those
    that were left to `resolve` to choose."""
    out = []
    for field in fields(cast(Any, asked)):
        given, value = getattr(asked, field.name), getattr(step, field.name)
        if given is None and value is not None:
            out.append(f"{field.name} {_plain(value, value)}")
        elif field.name == "epochs" or given != field.default:
            out.append(f"{field.name} {_plain(given, value)}")
    return out


def _plain(asked: Any, value: Any) -> str:
    """A field's value as it was asked for, with the numbers that its methods were resolved to."""
    if isinstance(asked, tuple):
        return " ".join(map(_plain, asked, value if len(value) == len(asked) else asked))
    if not isinstance(asked, Method):
        return str(asked)
    told = ", ".join(_told(asked, value))
    return f"{type(asked).__name__} ({told})" if told else type(asked).__name__


GPU_RATE = 1e13  # multiply-adds a second assumed of a GPU: 6 % of what an A100 claims in bfloat16, as batches are small
RATE = 60e9  # multiply-adds a second of training: two cores with bfloat16


@dataclass(frozen=True)
class Workload:
    """Estimates the work of trainings on one corpus: ``train`` subwords in its train split, ``line`` in a line of text.

    ``answered`` holds what teachers have answered to in the estimates so far, because a teacher's answers serve all its students.
    """

    train: int
    line: float
    answered: set[tuple[str, str, int]]

    def work(self, step: Method, before: Costs, after: Costs, teacher: str) -> float:
        """Multiply-adds of a step, ``teacher`` being the address of the tagger that it starts from."""
        if not isinstance(step, TrainingSettings):
            return 0.0
        forward, teachers = after.multiply_adds(32) / 32, before.multiply_adds(32) / 32
        reads = step.reads
        text = self.line * reads.text_lines
        own = reads.train_passes * self.train + reads.text_passes * text
        head = 0.15 * after.masked_lm_multiply_adds  # on the hidden subwords alone
        answers = own if reads.teacher in ("every pass", "both") else 0.0
        if reads.teacher in ("once", "both"):
            for name, subwords in (("train", self.train), ("text", text)):
                key = (teacher, name, round(subwords))
                answers += 0 if key in self.answered else subwords
                self.answered.add(key)
        return 3.0 * own * forward + 3.0 * reads.text_subwords * (forward + head) + answers * teachers


def _encoder(runner: Runner) -> SubwordEncoder | None:
    """The first base's, where it can be had without torch."""
    base = next(iter(runner.bases.values()))
    file = base.folder.path / "tokenizer.json"
    return (
        SubwordEncoder(Tokenizer.from_file(str(file)), 512, 0, runner.study.label_on)
        if base.here and file.is_file()
        else None
    )


def _subwords(runner: Runner, corpus: str) -> tuple[int, str]:
    """Subwords of one epoch over a corpus, and whether they were counted."""
    train, encoder = runner.data[corpus].train, _encoder(runner)
    assert train is not None
    if encoder is None:
        return round(1.8 * train.words), "guessed at 1.8 a word"
    return sum(len(w.ids) for w in encoder.windows([s.words for s in train])), "counted"


def _subwords_a_line(runner: Runner) -> float:
    """The mean of the first hundred lines of text in each language that can be meant, or a guess; 0 where no text is."""
    if runner.study.text and all(data.text is None for data in runner.data.values()):
        return LINE
    data = next(iter(runner.data.values()))
    text, encoder = data.restricted(frozenset({"text"})).text, _encoder(runner)
    lines = [line for language in text.languages for line in islice(text.lines(language), 100)] if text else []
    if not lines:
        return 0.0
    split = [tuple(line[a:b] for a, b in words(line)) for line in lines]
    if encoder is None:
        return 1.8 * sum(map(len, split)) / len(split)
    return sum(len(w.ids) for w in encoder.windows(split)) / len(split)
