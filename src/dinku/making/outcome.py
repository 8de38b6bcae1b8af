"""What a search ends with: one bundle with its card, a table, a figure, and the study that makes the same bundle again."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml

from dinku.data import learned, sources
from dinku.errors import plural
from dinku.files import written
from dinku.making.budget import Miss, amount
from dinku.making.corpora import Ready
from dinku.making.students import Student
from dinku.making.table import Scored, as_html, points
from dinku.method import Method
from dinku.methods.registry import to_json
from dinku.model.bundle import Bundle
from dinku.model.inspect import disk_bytes
from dinku.scoring.counts import Counts
from dinku.study.definition import Block, Study

if TYPE_CHECKING:
    from dinku.making.plan import Plan

UNSEEN = (
    "It is a word network: it knows the languages that it was taught in, and gives up what an encoder that was pretrained on "
    "many languages knows of others. In three languages that such a network never read it had 50 to 56 F1, its teacher 56 to 73."
)


@dataclass(frozen=True)
class Tried:
    """A student as it was made and scored on dev.

    ``facts`` are by the names of a budget's limits: measured for a ``final`` one, which is in int8, and of size and speed as
    foreseen for others. ``steps`` make it of the base; it lies in ``folder``.
    """

    student: Student
    level: int
    scored: Scored
    facts: dict[str, float]
    address: str
    steps: tuple[Method, ...]
    final: bool
    folder: Path


@dataclass(frozen=True)
class Compressed:
    """The outcome of `dinku.making.compress.compress`: ``folder`` is that of the bundle, ``files`` what was written beside it.

    ``chosen`` was chosen of ``tried`` on dev, where the dense tagger has ``dense``; ``test`` and ``dense_test`` are F1 on the
    split that results are told of, ``counts`` those behind ``test`` by language. ``learned`` are fingerprints of what it read.
    """

    plan: Plan
    asked: str
    base: str
    chosen: Tried
    tried: tuple[Tried, ...] = field(repr=False)
    dense: Scored = field(repr=False)
    test: Scored
    dense_test: Scored
    counts: tuple[Counts, ...] = field(repr=False)
    study: Study = field(repr=False)
    seconds: float
    learned: frozenset[int] = field(repr=False)
    notes: tuple[str, ...] = field(repr=False, default=())
    files: tuple[Path, ...] = ()
    out: Path | None = None

    def __repr__(self) -> str:
        kept = self.facts["keep"]
        return (
            f"Compressed({self.folder}: {self.chosen.student.told}, {amount('size', self.facts['size'])}, "
            f"{100 * kept:.1f} % of {self.test.task.score} kept on {self.test.split})"
        )

    def _repr_html_(self) -> str:
        return as_html(*self.table(), repr(self))

    @property
    def folder(self) -> Path:
        """The folder of the bundle."""
        return self.out or self.chosen.folder

    @property
    def facts(self) -> dict[str, float]:
        """What the chosen one is, by the names of a budget's limits, with F1 kept on the split that results are told of."""
        worst = next(iter(self.test.kept(self.dense_test).values()), 0.0)
        kept = self.test.f1 / self.dense_test.f1 if self.dense_test.f1 else 0.0
        size = disk_bytes(self.out) if self.out else self.chosen.facts["size"]
        return self.chosen.facts | {"keep": kept, "keep_worst": worst, "size": size}

    @property
    def missed(self) -> list[Miss]:
        """The limits that were kept on dev, and aren't on test."""
        return self.plan.budget.misses(self.facts)

    @property
    def front(self) -> list[Tried]:
        """Of the students, each as it was taught longest, those that no other one beats in F1 and size."""
        out: list[Tried] = []
        for each in sorted(self.longest, key=lambda t: (t.facts["size"], -t.scored.f1)):
            if not out or each.scored.f1 > out[-1].scored.f1:
                out.append(each)
        return out

    @property
    def longest(self) -> list[Tried]:
        """Each student as it was taught longest, in int8 if it was made so."""
        best: dict[str, Tried] = {}
        for each in self.tried:
            known = best.get(each.student.name)
            if known is None or (each.final, each.level) > (known.final, known.level):
                best[each.student.name] = each
        return list(best.values())

    def table(self) -> tuple[list[str], list[list[str]]]:
        """A head and a row a student, with the dense tagger first; what wasn't made in int8 is foreseen (~)."""
        worst = self.dense.worst
        dense = ["dense", points(self.dense.f1), "", f"{worst} {points(self.dense.by_language[worst])}"]
        rows = [[*dense, f"{self.plan.teacher.bytes / 1e6:.1f}", f"{1 / self.plan.costs.timings.answer:,.0f}", "", ""]]
        for each in sorted(self.longest, key=lambda t: (not t.final, -t.scored.f1)):
            language, kept = next(iter(each.scored.kept(self.dense).items()))
            about, own = "" if each.final else "~", each.facts
            rows.append(
                [
                    each.student.name,
                    points(each.scored.f1),
                    f"{100 * own['keep']:.1f} %",
                    f"{language} {points(each.scored.by_language[language])} ({100 * kept:.0f} %)",
                    f"{about}{own['size'] / 1e6:.1f}",
                    f"{about}{own['speed']:,.0f}",
                    f"{about}{1000 * own['latency']:.1f}",
                    "chosen"
                    if each.address == self.chosen.address
                    else "in int8"
                    if each.final
                    else f"level {each.level}",
                ]
            )
        score = self.test.task.score
        return ["student", f"{score} dev", "kept", "worst kept", "MB", "sentences/s", "ms", "tried"], rows

    def document(self) -> dict[str, Any]:
        """The outcome as JSON."""
        return {
            "bundle": str(self.folder),
            "student": self.chosen.student.name,
            "address": self.chosen.address,
            "dev": {"f1": self.chosen.scored.f1, "dense": self.dense.f1, "by_language": self.chosen.scored.by_language},
            self.test.split: {
                "f1": self.test.f1,
                "dense": self.dense_test.f1,
                "by_language": self.test.by_language,
                "kept": self.test.kept(self.dense_test),
            },
            "facts": self.facts,
            "missed": [miss.told for miss in self.missed],
            "tried": [
                {"student": t.student.name, "level": t.level, "final": t.final, "f1": t.scored.f1, **t.facts}
                for t in self.tried
            ],
            "seconds": self.seconds,
            "files": [str(path) for path in self.files],
            "notes": list(self.notes),
        }


def study_file(base: str, corpus: Ready, text: str | None, before: Sequence[Method], final: Tried, seed: int) -> Study:
    """The study that makes the dense tagger and the chosen one, and scores both."""
    blocks = [
        Block(arm=arm, steps=[to_json(step) for step in steps], grid={}, seeds=[seed])
        for arm, steps in (("dense", before), ("small", final.steps))
    ]
    told = {"name": f"small-{final.address[:12]}", "title": f"{final.student.told}, made to a budget"}
    whole = told | {"base": base, "corpus": corpus.name, "split": corpus.scored, "recipes": blocks}
    return Study.model_validate(whole | ({"text": text} if text else {}))


def told(made: Compressed, target: Path | None) -> Compressed:
    """The same outcome with its bundle, card and files written; nothing is where there is no ``target``."""
    if target is None:
        return made
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
    """Every student at every level, a line each."""
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
    """The model card of the chosen bundle, with what was lost by language, the worst first."""
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
    out, score = ["## What was lost", ""], made.test.task.score
    out += [
        f"It is a {made.chosen.student.told}, taught by {Path(made.base).name}, which has {made.plan.teacher.summary}. "
        f"It keeps {100 * made.facts['keep']:.1f} % of that tagger's mean {score} on {made.test.split}, and least in "
        f"**{worst}**: {points(own[worst])} of {points(dense[worst])} ({100 * kept[worst]:.1f} %).",
        "",
        "| | dense | this one | lost | kept |",
        "| - | -: | -: | -: | -: |",
    ]
    out += [
        f"| {la} | {points(dense[la])} | {points(own[la])} | {100 * (dense[la] - own[la]):.1f} | {100 * part:.1f} % |"
        for la, part in kept.items()
    ]
    limits = "; ".join(limit.told for limit in made.plan.budget.limits)
    out += ["", f"Asked for: {limits}. It was chosen on dev, of {plural(len(made.longest), 'student')}."]
    out += [f"**Missed on {made.test.split}: {miss.told}.**" for miss in made.missed]
    if made.test.split == "dev":
        out += [f"There is no test split: {score} here is that on dev, which it was chosen by, and flatters it."]
    out += ["", UNSEEN] if made.chosen.student.family == "words" else []
    return out


def figure(made: Compressed) -> dict[str, bytes]:
    """F1 against size of all students, as SVG and PNG: the front drawn, the chosen one marked, limits as lines."""
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
                    label=(name + (", int8" if final else ", not in int8, size foreseen")) if own else None,
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
                axes.axvline(limit.value / 1e6, color="#009E73", linewidth=1, label=limit.told)
            elif limit.name == "keep":
                axes.axhline(100 * limit.value * made.dense.f1, color="#CC79A7", linewidth=1, label=limit.told)
        axes.set_xlabel("MB on disk, int8")
        axes.set_ylabel(f"{made.test.task.measure} on dev, mean over languages")
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
