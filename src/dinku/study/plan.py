"""What a study would do: its steps with declared sizes, what recipes share, and an estimate, before anything is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
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
from dinku.study.prepare import LINE, Prepared, foreign
from dinku.study.run import Runner
from dinku.training.settings import TrainingSettings


def plan(runner: Runner) -> dict[str, Any]:
    """Every step of a study once, in the order of its making, with declared sizes and an estimate; runs nothing.

    The estimate of a training is three passes' multiply-adds over the subwords that it reads, and one pass of its teacher's. They
    are divided by the rate of the trainings in the store, on whatever machine these ran; if there are none, by `RATE`.
    """
    read = {corpus: _subwords(runner, corpus) for corpus in runner.data}
    subwords, counted = sum(n for n, _ in read.values()), " and ".join(dict.fromkeys(how for _, how in read.values()))
    line = _subwords_a_line(runner)
    steps = _steps(runner, {corpus: Workload(train, line, set()) for corpus, (train, _) in read.items()})
    todo = [s for s in steps if s["state"] == "to do"]
    undone = sum(s["multiply_adds_to_do"] for s in todo)
    rate, source = _rate(runner, steps)
    shared = [s["recipes"] for s in steps if s["training"]]
    trainings, unshared = len(shared), sum(shared)
    return {
        "study": runner.study.name,
        "title": runner.study.title,
        "recipes": len(runner.prepared),
        "recipes_done": sum(not runner.missing(prepared) for prepared in runner.prepared),
        "trainings": trainings,
        "trainings_unshared": unshared,
        "sharing": unshared / max(1, trainings),
        "trainings_to_do": sum(s["training"] for s in todo),
        "train_subwords": subwords,
        "warnings": runner.warnings,
        "seconds": undone / rate,
        "gpu_hours": undone / GPU_RATE / 3600,
        "estimate": f"training alone, by {source}; subwords {counted}",
        "steps": steps,
    }


def _steps(runner: Runner, workloads: Mapping[str, Workload]) -> list[dict[str, Any]]:
    """Every step once, as in `plan`; a step that recipes share is to be done as long as one of them lacks rows."""
    users = Counter(address for prepared in runner.prepared for address in prepared.addresses[1:])
    steps: dict[str, dict[str, Any]] = {}
    for prepared in runner.prepared:
        whole = not runner.missing(prepared)
        for i, address in enumerate(prepared.addresses[1:], 1):
            if address not in steps:
                workload = workloads[prepared.recipe.corpus]
                steps[address] = _step(prepared, i, workload) | {"recipes": users[address], "state": "done"}
            if not whole and not runner.store.has(address):
                steps[address]["state"] = "to do"
    return list(steps.values())


def _step(prepared: Prepared, i: int, workload: Workload) -> dict[str, Any]:
    """What the plan knows of the i-th step of a recipe before it is carried out."""
    step, (before, after) = prepared.recipe.steps[i - 1], prepared.shapes[i - 1 : i + 1]
    work = workload.work(step, before, after, prepared.addresses[i - 1])
    details = _details(prepared.entry.recipe.steps[i - 1], step)
    details += [f"seed {prepared.recipe.seed}"] if isinstance(step, TrainingSettings) else []
    name = type(step).__name__
    return {
        "address": prepared.addresses[i],
        "before": prepared.addresses[i - 1],
        "name": f"{name} ({', '.join(details)})" if details else name,
        "arm": prepared.entry.arm,
        "training": work > 0,
        "warning": foreign(step, prepared.data),
        "parameters": after.parameters,
        "bytes": after.bytes,
        "nonzero": list(after.nonzero),
        "multiply_adds_to_do": work,
    }


def _rate(runner: Runner, steps: Sequence[dict[str, Any]]) -> tuple[float, str]:
    """Multiply-adds per second of training, and the source of that number: trainings in the store, or a guess."""
    stored = [step for step in steps if step["training"] and runner.store.has(step["address"])]
    if not stored:
        return RATE, f"a guess of {RATE:.0e} multiply-adds a second, as the store holds no training of this study yet"
    seconds = [max(runner.store.step(step["address"])["seconds"], 1e-9) for step in stored]
    rates = [step["multiply_adds_to_do"] / each for step, each in zip(stored, seconds, strict=True)]
    return median(rates), f"{plural(len(rates), 'training')} in the store"


def _details(asked: Method, step: Method) -> list[str]:
    """The fields that distinguish a step from others of its kind: epochs, fields that aren't at their default, and those that
    `resolve` chose."""
    out = []
    for field in fields(cast(Any, asked)):
        given, value = getattr(asked, field.name), getattr(step, field.name)
        if given is None and value is not None:
            out.append(f"{field.name} {_plain(value, value)}")
        elif field.name == "epochs" or given != field.default:
            out.append(f"{field.name} {_plain(given, value)}")
    return out


def _plain(asked: Any, value: Any) -> str:
    """A field's value as it was asked for; of methods in it, the numbers that they were resolved to as well."""
    if isinstance(asked, tuple):
        return " ".join(map(_plain, asked, value if len(value) == len(asked) else asked))
    if not isinstance(asked, Method):
        return str(asked)
    details = ", ".join(_details(asked, value))
    return f"{type(asked).__name__} ({details})" if details else type(asked).__name__


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
        head = 0.15 * after.masked_lm_multiply_adds  # on the hidden subwords only
        answers = own if reads.teacher in ("every pass", "both") else 0.0
        if reads.teacher in ("once", "both"):
            for name, subwords in (("train", self.train), ("text", text)):
                key = (teacher, name, round(subwords))
                answers += 0 if key in self.answered else subwords
                self.answered.add(key)
        return 3.0 * own * forward + 3.0 * reads.text_subwords * (forward + head) + answers * teachers


def _encoder(runner: Runner) -> SubwordEncoder | None:
    """The encoder of the first base; ``None`` if it can't be read without torch."""
    base = next(iter(runner.bases.values()))
    file = base.folder.path / "tokenizer.json"
    return (
        SubwordEncoder(Tokenizer.from_file(str(file)), 512, 0, runner.study.label_on)
        if base.here and file.is_file()
        else None
    )


def _subwords(runner: Runner, corpus: str) -> tuple[int, str]:
    """The subwords of one epoch over a corpus, and whether they were counted or guessed."""
    train, encoder = runner.data[corpus].train, _encoder(runner)
    assert train is not None
    if encoder is None:
        return round(1.8 * train.words), "guessed at 1.8 a word"
    return sum(len(w.ids) for w in encoder.windows([s.words for s in train])), "counted"


def _subwords_a_line(runner: Runner) -> float:
    """The mean number of subwords in the first hundred lines of each language's text; a guess if there is no encoder or the text
    isn't here, and 0 if the study has none."""
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
