"""A page, tables, a flat file and a figure from the rows of a study, and one page of several studies.

Pure: the same rows in any order give the same bytes.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median

from dinku.claims.compare import is_sample, noise, ratio, scope
from dinku.claims.ledger import ledger, of_other_tasks, together
from dinku.claims.measurements import Measurements, learnt_from, setting
from dinku.claims.verdict import Verdict
from dinku.data.task import Task
from dinku.errors import DinkuError, plural
from dinku.files import os_errors_as_dinku, written
from dinku.methods.registry import outdated
from dinku.report import records
from dinku.report.figures import Matrix, curves, fronts, heat, undrawn
from dinku.report.sections import damage, f1_kept_matrix, matrices, perturbed, targets, transfer
from dinku.report.tables import Cell, Table, level_label
from dinku.report.writers import Example, Grid, Part, html, latex, markdown
from dinku.study.current import Current, standing
from dinku.study.definition import Study
from dinku.study.results import Results, in_order
from dinku.study.rows import Row

CLAIMS = "## The paper's claims (arXiv 2404.04759)"


class Unfinished(DinkuError):
    """There is nothing to report on a study yet."""


@contextmanager
def _without_collection() -> Iterator[None]:
    """Python's search for circles of garbage stays off: rows are in none, and walking all of them time and again is a fifth of
    the time that a large report takes."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@dataclass(frozen=True)
class Report:
    """The report of a study before it is written to files: its verdicts, and the parts that they stand on."""

    name: str
    title: str
    verdicts: Sequence[Verdict]
    parts: Sequence[Part]
    figures: Mapping[str, bytes]
    rows: Sequence[Row]
    current: Current
    others: Mapping[Task, Sequence[Verdict]] = field(default_factory=dict)

    @classmethod
    @_without_collection()
    def of(cls, study: Study, results: Results) -> Report:
        """Raises `Unfinished` where there is nothing to show yet."""
        rows, others = standing(results)
        current = Measurements(tuple(rows), results)
        tables = _tables(study, current)
        old = {otherwise: _tables(study, current.of(own)) for otherwise, own in others.items()}
        every = in_order([*rows, *(row for own in others.values() for row in own)])
        if not tables and not any(old.values()):
            problem = "has no rows to report" if not every else "has no recipe measured on every language yet"
            raise Unfinished(problem, where=str(results.folder), remedy="run `dinku run STUDY` first")
        title, found = _title(study, rows or every), matrices(tables)
        kept = f1_kept_matrix(tables, current) if tables and not found else None
        content = _content(tables, current, found, kept, aside=len(every) - len(rows))
        content += _outdated(old, others)
        if missing := undrawn([title, *(cell.label for table in tables for cell in table.cells)]):
            content.append(
                f"Figures show a box for each of these characters, which their font lacks: {' '.join(missing)}"
            )
        figures: dict[str, bytes] = {}
        if tables:
            first = _title(study, tables[0].rows)
            figures = curves(tables[0], first) | fronts(tables[0], first) | (heat(found, title) if found else {})
        if kept:
            caption = f"{title}; {scope(row for row in rows if not row.perturbation)}"
            figures |= heat([kept], caption, name="kept", axes=("", ""))
        now, apart = Current.read(results.folder), of_other_tasks(current)
        return cls(study.name, title, ledger(current), content, figures, every, now, apart)

    @_without_collection()
    def write(self, out: Path, *, examples: Sequence[Example] = ()) -> list[Path]:
        """Write it into a folder, each file whole or not at all.

        ``report.html``, ``report.md``, ``report.tex`` (the tables), ``rows.csv``, ``curves.svg`` and ``curves.png``; where there
        are several sources ``transfer.svg`` and ``.png``, where several texts ``kept.svg`` and ``.png``, and where recipes' costs
        may be compared ``front.svg`` and ``.png``. The page alone shows ``examples``: it is self-contained, and may be sent to
        anyone who may see those.

        Raises `DinkuError`, of status 1, where the system refuses to write.
        """
        cells = [[v.claim, f"**{v.verdict}**", v.said, v.found] for v in self.verdicts]
        claims = Grid(["claim", "verdict", "the paper says", "found"], cells)
        content = [CLAIMS, claims, *_others(self.others), *self.parts]
        page = html(self.title, content, figures=self.figures, examples=examples)
        return _write(out, _texts(self.title, content, page) | {"rows.csv": self._csv()} | {**self.figures})

    def _csv(self) -> bytes:
        return records.as_csv(records.records(self.rows, {self.name: self.current})).encode()


def write(study: Study, results: Results, out: Path, *, examples: Sequence[Example] = ()) -> list[Path]:
    """`Report.of` a study, written."""
    return Report.of(study, results).write(out, examples=examples)


def write_together(reports: Sequence[Report], out: Path) -> list[Path]:
    """Write the reports of several studies as one, one ledger first: ``report.html``, ``report.md`` and ``report.tex``.

    The Markdown shows the figures that `Report.write` leaves in folders of the studies' names below ``out``; the page holds
    them itself. Raises `DinkuError`, of status 1, where the system refuses to write.
    """
    title = f"What {plural(len(reports), 'study', 'studies')} found"
    verdicts = together({report.name: report.verdicts for report in reports})
    notes = {report.name: _part(report.rows) for report in reports}
    brief = [[claim, judged[0][1].said, _agreed(judged, notes)] for claim, judged in verdicts.items()]
    cells = [
        [claim, f"**{v.verdict}**", study + notes.get(study, ""), v.found]
        for claim, judged in verdicts.items()
        for study, v in judged
    ]
    content: list[Part] = [CLAIMS, Grid(["claim", "the paper says", "verdict"], brief)]
    content += ["## What each study found of them", Grid(["claim", "verdict", "study", "found"], cells)]
    figures: dict[str, bytes] = {}
    for report in reports:
        content += [f"## {report.name}", f"**{report.title}.**"]
        content += [_below(part, report.name) for part in report.parts]
        figures |= {f"{report.name}/{name}": data for name, data in report.figures.items()}
    return _write(out, _texts(title, content, html(title, content, figures=figures, contents=True)))


def _part(rows: Sequence[Row]) -> str:
    """The note after a study's name: that it is about the embedded sample, or about some of the sentences."""
    if is_sample(rows):
        return " (sample)"
    some = any(row.kind == "quality" and row.sentences < row.sentences_in_split for row in rows)
    return " (some of the sentences)" if some else ""


def _agreed(judged: Iterable[tuple[str, Verdict]], notes: Mapping[str, str]) -> str:
    """Which studies come to which verdict; ``notes`` holds the note after each study's name (`_part`)."""
    studies: dict[str, list[str]] = {}
    for study, verdict in judged:
        studies.setdefault(verdict.verdict, []).append(study + notes.get(study, ""))
    return "; ".join(f"**{verdict}**" + f" in {', '.join(names)}" * any(names) for verdict, names in studies.items())


def _below(part: Part, study: str) -> Part:
    """A part of a study's report where the study is a chapter: its headings a step smaller, its figures in its folder."""
    if isinstance(part, str) and part.startswith("#"):
        return f"#{part}"
    return re.sub(r"^(!\[.*\]\()", rf"\g<1>{study}/", part) if isinstance(part, str) else part


def _texts(title: str, content: Sequence[Part], page: str) -> dict[str, bytes]:
    return {
        "report.html": page.encode(),
        "report.md": markdown(title, content).encode(),
        "report.tex": latex(content).encode(),
    }


def _write(out: Path, files: Mapping[str, bytes]) -> list[Path]:
    with os_errors_as_dinku(out):
        out.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        with written(out / name) as file:
            file.write(data)
    return [out / name for name in files]


def _tables(study: Study, measurements: Measurements) -> list[Table]:
    """A table for each set of comparable rows of clean text; sets without a complete run are left out."""
    return [table for part in measurements.clean.comparable if (table := Table.of(study, part)).cells]


def _about(table: Table, *, split: bool = False) -> str:
    """The base, corpora, languages and sentences of a table; with ``split`` the train split too, where several share a name."""
    here = table.rows[0]
    which = f" (train split sha256 {learnt[:12]})" if split and (learnt := learnt_from(here)) else ""
    return (
        f"Base {here.recipe['base']} (sha256 {here.base_digest[:12]}), trained on {here.trained_on}{which}, evaluated on "
        f"{here.evaluated_on}: {', '.join(table.languages)}; {scope(table.quality)}."
    )


def _split_names(tables: Iterable[Table]) -> list[str]:
    """The corpora whose name several train splits share, though nothing says which of them the study means."""
    found: dict[tuple[str, ...], set[str]] = {}
    for table in tables:
        found.setdefault(setting(table.rows[0]), set()).add(learnt_from(table.rows[0]))
    return sorted({key[1] for key, learnt in found.items() if len(learnt - {""}) > 1})


def _outdated(tables: Mapping[str, Sequence[Table]], rows: Mapping[str, Sequence[Row]]) -> list[Part]:
    """F1 of outdated rows, by how they differ from the study as it is now."""
    if not rows:
        return []
    note = "These rows are of what the study, or a file that it names, said before it was last run. No table or verdict above is "
    out: list[Part] = ["## Outdated", f"{note}about them."]
    for otherwise, of in tables.items():
        out += [f"### {otherwise}", f"{plural(len(rows[otherwise]), 'row')}."]
        for table in of:
            by = [[c.label, str(c), *(f"{c.by_language[name]:.1f}" for name in table.languages)] for c in table.cells]
            out += [_about(table, split=True), Grid(["recipe", "F1", *table.languages], by, True)]
    return out


def _content(
    tables: Sequence[Table],
    measurements: Measurements,
    found: Sequence[Matrix],
    kept: Matrix | None,
    *,
    aside: int,
) -> list[Part]:
    """The parts that verdicts stand on, in order, for any format."""
    out: list[Part] = ["## What was measured"]
    if aside:
        note = "This is about what the study said when it was last run. At the end, under Outdated, there is more: "
        out.append(f"{note}{plural(aside, 'row')} of anything else.")
    if not tables:
        out.append("No recipe that the study now has is measured on every language yet.")
    ambiguous = _split_names(tables)
    for name in ambiguous:
        note = f"Several train splits go by the name {name}, and no run has kept which of them the study now has. "
        out.append(f"{note}The one that most rows are about comes first.")
    weighed: set[str] = set()
    for table in tables:
        split = table.rows[0].trained_on in ambiguous
        out.append(f"{_about(table, split=split)} {_origin(table.rows)}")
        if table is tables[0]:
            out.append("![F1 and what was done](curves.svg)")
            out += ["![How much of the dense tagger's F1 is kept on each text](kept.svg)"] if kept else []
        out += _f1(table)
        if table.unfinished:
            out.append(f"Left out until they are measured on every language: {plural(table.unfinished, 'recipe')}.")
        out += targets(table) + damage(table) + perturbed(table, measurements)
        taggers = {row.address for row in table.rows}
        out += _sizes(table) if taggers - weighed else []
        weighed |= taggers
        out += _times(table) + _fronts(table, drawn=table is tables[0])
    out += transfer(found)
    if left := len(measurements.clean.rows) - sum(len(table.rows) for table in tables):
        out.append(
            f"Left out, being of recipes that changed or aren't finished, or about other sentences: {plural(left, 'row')}."
        )
    if failures := measurements.results.failures():
        failed = [[f.recipe, f.name, f.reason, str(f.attempts)] for f in failures]
        out += ["## What failed", Grid(["recipe", "step", "reason", "attempts"], failed)]
    return out


def _others(verdicts: Mapping[Task, Sequence[Verdict]]) -> list[Part]:
    """What the paper's claims come to on other tasks, of which it claims nothing."""
    out: list[Part] = []
    for task, own in verdicts.items():
        note = f"The paper's claims are of names. This study's own judgement asks the same of {task.title}, by {task.measure}: "
        out += [f"## Of {task.title}", f"{note}wherever it says F1, {task.measure} is meant."]
        out.append(Grid(["as claim", "verdict", "found"], [[v.claim, f"**{v.verdict}**", v.found] for v in own]))
    return out


def _title(study: Study, rows: Iterable[Row]) -> str:
    return f"{study.title} (sample)" if is_sample(rows) else study.title


def _origin(rows: Collection[Row]) -> str:
    """Where rows were measured, and by which version of the code."""
    places = sorted({f"{r.environment.cpu}, {plural(r.environment.threads, 'thread')}" for r in rows})
    commits = sorted(
        {(r.environment.commit or "unknown")[:12] + (" with changes" if r.environment.dirty else "") for r in rows}
    )
    old = sorted({note for r in rows if (note := outdated(r.versions))})
    other = f" By other versions of methods than this dinku's: {'; '.join(old)}." if old else ""
    return f"Measured on {'; '.join(places)}; dinku at commit {', '.join(commits)}.{other}"


def _f1(table: Table) -> list[Part]:
    """Mean F1, and for arms over a grid of sparsity F1 by language."""
    task, strictly = table.task, table.task.schemes  # the strict reading is one of entities
    name = "Default span F1" if strictly else f"{task.measure[0].upper()}{task.measure[1:]}"
    title = f"## {task.score[0].upper()}{task.score[1:]}"
    means = (
        f"{name}, mean over languages, with its 95 % interval over seeds (×n, where there are several) and "
        f"sentences{'; strict F1 beside it' * strictly}."
    )
    if not table.is_grid:
        cells = [[cell.label, str(cell), *[f"{cell.strict:.1f}"] * strictly] for cell in table.cells]
        by = [[c.label, *(f"{c.by_language[name]:.1f}" for name in table.languages)] for c in table.cells]
        head = ["recipe", task.score, *["strict"] * strictly]
        return [title, means, Grid(head, cells, True), Grid([task.score, *table.languages], by, True)]
    levels = sorted({level for line in table.arms.values() for level in line})
    head = ["sparsity", *(name for arm in table.arms for name in (arm, *["strict"] * strictly))]
    rows = []
    for level in levels:
        at = [line.get(level) for line in table.arms.values()]
        own = ((str(c), f"{c.strict:.1f}")[: 1 + strictly] if c else ("", "")[: 1 + strictly] for c in at)
        rows.append([level_label(level), *(text for cells in own for text in cells)])
    zero = " 0 is the dense tagger, one and the same for every arm." if table.dense else ""
    out: list[Part] = [title, means + zero, Grid(head, rows, True)]
    for arm, line in table.arms.items():
        out += [f"### {arm}, by language", _by_language(line, table)]
    return out


def _by_language(line: Mapping[float, Cell], table: Table) -> Grid:
    """Default F1 of one arm, a language a row: the one that loses most, on average over sparsities, first."""
    dense = table.dense
    head = ["", *(level_label(level) for level in sorted(line)), *(["mean loss"] if dense else [])]
    loss = {
        name: fmean(dense.by_language[name] - c.by_language[name] for c in line.values() if c is not dense)
        if dense
        else 0
        for name in table.languages
    }
    rows = []
    for name in sorted(loss, key=lambda name: (-loss[name], name)):
        f1 = [f"{line[level].by_language[name]:.1f}" for level in sorted(line)]
        rows.append([name, *f1, *([f"{loss[name]:z.1f}"] if dense else [])])
    return Grid(head, rows, True)


def _by_sparsity(cells: Iterable[Cell]) -> list[Cell]:
    return sorted(cells, key=lambda c: c.sparsity)


def _sizes(table: Table) -> list[Part]:
    """What files weigh: medians over seeds."""
    rows = []
    for cell in _by_sparsity(table.cells):
        sizes = [run.rows[0].size for run in cell.runs if run.rows[0].size]
        if sizes:
            rows.append(
                [
                    cell.label,
                    f"{median(s.parameters for s in sizes):,.0f}",
                    f"{100 * median(s.sparsity for s in sizes):.2f} %",
                    f"{median(s.nonzero for s in sizes):,.0f}",
                    f"{median(s.bytes_disk for s in sizes) / 1e6:.1f}",
                    f"{median(s.bytes_download for s in sizes) / 1e6:.1f}",
                ]
            )
    head = ["recipe", "parameters", "zeros in linear layers", "not zero", "MB on disk", "MB as a zstd download"]
    return ["## Size", Grid(head, rows)] if rows else []


def _times(table: Table) -> list[Part]:
    """Time over the dense tagger's time, a table a machine."""
    out: list[Part] = []
    for recipes in table.timed.values():
        timed = [row for same in recipes.values() for row in same]
        low, high = noise(timed)
        out.append(
            f"{timed[0].environment.cpu}, {plural(timed[0].environment.threads, 'thread')}; {scope(timed)}, one by one. "
            "Seconds over the dense tagger's seconds, median over rounds and then over languages. The dense tagger "
            f"against itself: {low:.3f} to {high:.3f} in 95 % of rounds."
        )
        rows = []
        at = {cell.label: i for i, cell in enumerate(_by_sparsity(table.cells))}
        for label, same in sorted(recipes.items(), key=lambda item: (at.get(item[0], len(at)), item[0])):
            ratios = sorted((ratio(row), row.language) for row in same)
            (least, fast), (most, slow) = ratios[0], ratios[-1]
            middle = median(value for value, _ in ratios)
            beyond = "faster" if middle < low else "slower" if middle > high else "within noise"
            rows.append([label, f"{middle:.3f}", f"{least:.3f} ({fast})", f"{most:.3f} ({slow})", beyond])
        out.append(Grid(["recipe", "time", "least", "most", ""], rows))
    return ["## Time", *out] if out else []


def _fronts(table: Table, *, drawn: bool) -> list[Part]:
    """The recipes that none beats, by each cost, and where there is a dense tagger what they keep of its F1."""
    out: list[Part] = []
    for front in table.fronts:
        dense = next((cost for cell, cost in front.points if cell is table.dense), 0.0)
        head = ["recipe", "F1", front.cost, *(["% of the dense F1", "times less"] if dense and table.dense else [])]
        rows = []
        for cell, cost in front.best:
            rows.append([cell.label, str(cell), f"{cost:.2f}"])
            if dense and table.dense:
                rows[-1] += [f"{100 * cell.f1.value / max(table.dense.f1.value, 1e-9):.1f}", f"{dense / cost:.2f}"]
        low, high = front.noise
        where = f", on {front.cpu}, whose clock alone makes {low:.3f} to {high:.3f} of 1" if front.cpu else ""
        out.append(f"By {front.cost}{where}: {len(rows)} of {plural(len(front.points), 'recipe')}.")
        out.append(Grid(head, rows))
    if not out:
        return []
    note = "Recipes that no other beats: none has as much F1 for less, or more F1 for no more. Means are compared, so that "
    note += "neighbours may differ by chance."
    figure = ["![F1 against what it costs](front.svg)"] if drawn else []
    return ["## Pareto front", note, *figure, *out]
