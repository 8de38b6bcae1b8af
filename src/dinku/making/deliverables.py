"""The files of a finished search: the bundle with its card, a table, a figure, and the study that makes the bundle again."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import yaml

from dinku.data import learned, sources
from dinku.errors import plural
from dinku.files import written
from dinku.making.outcome import Compressed
from dinku.making.table import points
from dinku.methods.registry import to_json
from dinku.model.bundle import Bundle
from dinku.scoring.counts import Counts

UNSEEN = (
    "It is a word network, which only knows the languages that it was trained on; it lacks what an encoder that was pretrained "
    "on many languages knows about others."
)
UNSEEN_F1 = (
    "In three languages that such a network never read, its F1 was 50 to 56, and its teacher's 56 to 73."  # of entities
)


def write(made: Compressed, target: Path) -> Compressed:
    """Write the bundle with its card to ``target``, and the other files beside it; the same outcome with their paths."""
    Bundle.open(str(made.folder)).save(target)
    with written(target / "README.md") as file:
        file.write(card(made, target).encode())
    beside = target.with_name(f"{target.name}-search")
    beside.mkdir(parents=True, exist_ok=True)
    document = yaml.safe_dump(json.loads(made.study.document()), sort_keys=False, allow_unicode=True, width=120)
    files = {"study.yaml": document.encode(), "students.csv": as_csv(made).encode(), **figure(made)}
    for name, content in files.items():
        with written(beside / name) as file:
            file.write(content)
    return replace(made, out=target, files=tuple(beside / name for name in files))


def as_csv(made: Compressed) -> str:
    """A table with a line for every student at every level."""
    out = io.StringIO()
    languages = sorted(made.dense.by_language)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["student", "level", "int8", "f1_dev", *(f"f1_{la}" for la in languages), "bytes", "per_second", "ms"]
    )
    for t in made.tried:
        f1, own = t.scored.by_language, t.facts
        cells = [f"{own['size']:.0f}", f"{own['speed']:.1f}", f"{1000 * own['latency']:.3f}"]
        scores = [f"{value:.4f}" for value in (t.scored.f1, *(f1.get(la, 0.0) for la in languages))]
        writer.writerow([t.student.name, t.level, int(t.final), *scores, *cells])
    return out.getvalue()


def card(made: Compressed, folder: Path) -> str:
    """The model card of the chosen bundle, with a section on the loss by language, the worst first."""
    from dinku.export import javascript
    from dinku.export.card import About, Measured
    from dinku.export.card import card as whole_card

    bundle = Bundle.open(str(folder))
    test = sources.load(made.study.corpus, made.test.split)
    by_language = {counts.languages[0]: counts for counts in made.counts}
    order = [language for language in test.languages if language in by_language]
    seen = [known for language in order for known in learned.seen(test.only([language]), made.learned)]
    name = Path(made.asked).name
    about = About(
        name=folder.name,
        data=(name,),
        data_licence=sources.licence(made.asked),
        recipe=[to_json(step) for step in made.chosen.steps],
        address=made.chosen.address,
    )
    counts = Counts.total([by_language[language] for language in order])
    scored = Measured(name, made.test.split, counts, seen if made.learned else None)
    tokenizer = folder / "tokenizer.json"
    unread = javascript.unread(json.loads(tokenizer.read_text(encoding="utf-8"))) if tokenizer.is_file() else []
    text = whole_card(bundle.manifest, bundle.tags, about, scored, unread=unread, task=bundle.task)
    before, use, after = text.partition("\n## Use\n")
    return before + "\n" + "\n".join(_lost(made)) + "\n" + use + after


def _lost(made: Compressed) -> list[str]:
    """The section of a card on what compression cost."""
    kept, own, dense = made.test.kept(made.dense_test), made.test.by_language, made.dense_test.by_language
    worst = next(iter(kept))
    out = ["## What was lost", ""]
    out += [
        f"It is a {made.chosen.student.summary}, taught by {Path(made.base).name}, which has {made.plan.teacher.summary}. "
        f"It keeps {100 * made.facts['keep']:.1f} % of that tagger's mean {made.test.task.score} on {made.test.split}, and least "
        f"in **{worst}**: {points(own[worst])} of {points(dense[worst])} ({100 * kept[worst]:.1f} %).",
        "",
        "| | dense | this one | lost | kept |",
        "| - | -: | -: | -: | -: |",
    ]
    out += [
        f"| {la} | {points(dense[la])} | {points(own[la])} | {100 * (dense[la] - own[la]):.1f} | {100 * part:.1f} % |"
        for la, part in kept.items()
    ]
    limits = "; ".join(limit.summary for limit in made.plan.budget.limits)
    out += ["", f"The budget: {limits}. It was chosen on dev, from {plural(len(made.longest), 'student')}."]
    out += [f"**Missed on {made.test.split}: {miss.summary}.**" for miss in made.missed]
    if made.test.split == "dev":
        out += [
            f"There is no test split: {made.test.task.score} here is that on dev, by which the student was chosen, and is "
            "therefore too high."
        ]
    if made.chosen.student.family == "words":
        out += ["", f"{UNSEEN} {UNSEEN_F1}" if made.test.task.schemes else UNSEEN]
    return out


def figure(made: Compressed) -> dict[str, bytes]:
    """F1 against size of all students, as SVG and PNG, with the front, the chosen student and the limits."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    marks = {"words": ("#0072B2", "o", "word network"), "transformer": ("#D55E00", "s", "transformer")}
    settings: Mapping[str, Any] = {
        "svg.hashsalt": "dinku",
        "font.family": "DejaVu Sans",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.parse_math": False,
    }
    with matplotlib.rc_context(cast(Any, settings)):
        drawn = Figure(figsize=(7.2, 4.8), layout="constrained")
        FigureCanvasAgg(drawn)
        axes = drawn.subplots()
        front = made.front
        xs, ys = [t.facts["size"] / 1e6 for t in front], [100 * t.scored.f1 for t in front]
        axes.step(xs, ys, where="post", color="#888888", linewidth=1.4, zorder=1)
        for family, (colour, mark, name) in marks.items():
            for final in (True, False):
                own = [t for t in made.longest if t.student.family == family and t.final == final]
                axes.plot(
                    [t.facts["size"] / 1e6 for t in own],
                    [100 * t.scored.f1 for t in own],
                    mark,
                    color=colour,
                    markerfacecolor=colour if final else "white",
                    markersize=8,
                    label=(name + (", int8" if final else ", not in int8, size predicted")) if own else None,
                )
        size, f1 = made.chosen.facts["size"] / 1e6, 100 * made.chosen.scored.f1
        axes.plot(
            [size], [f1], "o", markersize=17, markerfacecolor="none", markeredgecolor="black", markeredgewidth=1.6
        )
        axes.annotate(
            f"chosen: {made.chosen.student.name}",
            (size, f1),
            xytext=(0, 14),
            textcoords="offset points",
            ha="center",
            fontsize=9,
        )
        axes.axhline(100 * made.dense.f1, color="#444444", linestyle=(0, (4, 3)), linewidth=1, label="dense")
        for limit in made.plan.budget.limits:
            if limit.name == "size":
                axes.axvline(limit.value / 1e6, color="#009E73", linewidth=1, label=limit.summary)
            elif limit.name == "keep":
                axes.axhline(100 * limit.value * made.dense.f1, color="#CC79A7", linewidth=1, label=limit.summary)
        axes.set_xlabel("MB on disk, int8")
        axes.set_ylabel(f"{made.dense.task.measure} on dev, mean over languages")
        axes.set_title(f"{Path(made.asked).name}: {plural(len(made.longest), 'student')}", fontsize=11)
        axes.grid(color="#e4e4e4")
        axes.set_axisbelow(True)
        axes.legend(fontsize=8, frameon=False)
        out = {}
        for kind, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
            file = io.BytesIO()
            drawn.savefig(file, format=kind, dpi=150, metadata=cast(Any, metadata))
            out[f"front.{kind}"] = file.getvalue()
    return out
