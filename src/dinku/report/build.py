"""A page, tables, a flat file and figures from the rows of a study, and one page of several studies.

Pure: the same rows in any order give the same bytes.
"""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dinku.claims.compare import is_sample, scope
from dinku.claims.ledger import ledger, of_other_tasks
from dinku.claims.measurements import Measurements, learnt_from, setting
from dinku.claims.overview import Progress
from dinku.claims.verdict import Verdict
from dinku.data.task import Task
from dinku.errors import DinkuError, plural
from dinku.files import os_errors_as_dinku, written
from dinku.methods.registry import outdated
from dinku.report import measured, records
from dinku.report.figures import Matrix, curves, fronts, heat, undrawn
from dinku.report.html import html
from dinku.report.judged import ledger_of_one, ledger_of_other_tasks
from dinku.report.parts import Example, Grid, Page, Part
from dinku.report.sections import damage, differences, f1_kept_matrix, matrices, perturbed, runs, targets, transfer
from dinku.report.summary import Summary
from dinku.report.tables import Table
from dinku.report.writers import latex, markdown
from dinku.study.current import Current, standing
from dinku.study.definition import Study
from dinku.study.results import Results, in_order
from dinku.study.rows import Row


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
    """The report of a study before it is written to files: what is to be seen first, its verdicts, and what they stand on."""

    name: str
    title: str
    first: Sequence[Part]
    verdicts: Sequence[Verdict]
    parts: Sequence[Part]
    summary: Summary | None
    figures: Mapping[str, bytes]
    rows: Sequence[Row]
    current: Current
    others: Mapping[Task, Sequence[Verdict]] = field(
        default_factory=dict
    )  # the paper's questions, asked of other tasks

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
        verdicts = ledger(current)
        content = _content(tables, current, found, kept)
        content += _outdated(old, others)
        missing = undrawn([title, *(cell.label for table in tables for cell in table.cells)])
        content += _provenance(study, tables, every, missing)
        figures: dict[str, bytes] = {}
        if tables:
            drawn = _title(study, tables[0].rows)
            figures = fronts(tables[0], drawn) | curves(tables[0], drawn) | (heat(found, title) if found else {})
        if kept:
            caption = f"{title}; {scope(row for row in rows if not row.perturbation)}"
            figures |= heat([kept], caption, name="kept", axes=("", ""))
        summary = None
        first: list[Part] = ["No recipe that the study now has is measured on every language yet."]
        if tables:
            progress, aside = Progress.of(study, rows), len(every) - len(rows)
            corpora = len({table.rows[0].trained_on for table in tables})
            more, sample = len(tables) - 1, is_sample(rows)
            summary = Summary(study.name, tables[0], verdicts, progress, aside, more, corpora, sample)
            name = next(name for name in _FIRST if name in figures)
            first = [*summary.parts, f"![{_FIRST[name].format(tables[0].task.heading)}]({name})"]
        now, apart = Current.read(results.folder), of_other_tasks(current)
        return cls(study.name, title, first, verdicts, content, summary, figures, every, now, apart)

    @property
    def page(self) -> Page:
        judged = [*ledger_of_one(self.name, self.verdicts), *ledger_of_other_tasks(self.others)]
        return Page(self.title, self.first, judged, self.parts)

    @_without_collection()
    def write(self, out: Path, *, examples: Sequence[Example] = ()) -> list[Path]:
        """Write it into a folder, each file whole or not at all.

        ``report.html``, ``report.md``, ``report.tex`` (the tables), ``rows.csv``, and as SVG and PNG ``curves``; where there are
        several sources ``transfer``, where several texts ``kept``, and where recipes' costs may be compared ``front`` (by size)
        and ``times``. The page alone shows ``examples``: it is self-contained, and may be sent to anyone who may see those.

        Raises `DinkuError`, of status 1, where the system refuses to write.
        """
        files = texts(self.page, self.figures, examples)
        return write_files(out, files | {"rows.csv": self._csv()} | {**self.figures})

    def _csv(self) -> bytes:
        return records.as_csv(records.records(self.rows, {self.name: self.current})).encode()


_FIRST = {"front.svg": "{} against size", "curves.svg": "{} and what was done"}  # the figure to be seen first


def write(study: Study, results: Results, out: Path, *, examples: Sequence[Example] = ()) -> list[Path]:
    """`Report.of` a study, written."""
    return Report.of(study, results).write(out, examples=examples)


def texts(page: Page, figures: Mapping[str, bytes], examples: Sequence[Example] = ()) -> dict[str, bytes]:
    """A page as HTML, Markdown and LaTeX, by the names of files."""
    return {
        "report.html": html(page, figures=figures, examples=examples).encode(),
        "report.md": markdown(page).encode(),
        "report.tex": latex(page.parts).encode(),
    }


def write_files(out: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write files into a folder, each whole or not at all; raises `DinkuError`, of status 1, where the system refuses."""
    with os_errors_as_dinku(out):
        out.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        with written(out / name) as file:
            file.write(data)
    return [out / name for name in files]


def _tables(study: Study, measurements: Measurements) -> list[Table]:
    """A table for each set of comparable rows of clean text; sets without a complete run are left out."""
    return [table for part in measurements.clean.comparable if (table := Table.of(study, part)).cells]


def _headings(tables: Sequence[Table]) -> list[str]:
    """A heading for each table: what it is evaluated on, and of all else that tells it from the others."""
    settings = [(*setting(table.rows[0])[:4], learnt_from(table.rows[0])) for table in tables]
    several = [len({each[i] for each in settings}) > 1 for i in range(5)]
    ambiguous = _split_names(tables)
    out = []
    for table, (_, trained, evaluated, split, learnt) in zip(tables, settings, strict=True):
        seen = {row.seen for row in table.quality}
        whose = "" if len(seen) > 1 else ", languages trained on" if True in seen else ", languages not trained on"
        more = [f"base {table.rows[0].recipe['base']}"] if several[0] else []
        more += [f"trained on {trained}"] if several[1] else []
        more += [f"{split} split"] if several[3] else []
        more += [f"train split {learnt[:8]}"] if learnt and trained in ambiguous else []
        out.append(f"{evaluated}{whose}" + (f" ({'; '.join(more)})" if more else ""))
    return [name if out.count(name) == 1 else f"{name}, {out[: i + 1].count(name)}" for i, name in enumerate(out)]


def _about(table: Table) -> str:
    """The base, corpora, languages and sentences of a table."""
    here = table.rows[0]
    return (
        f"Base {here.recipe['base']}, trained on {here.trained_on}, evaluated on {here.evaluated_on}: "
        f"{', '.join(table.languages)}; {scope(table.quality)}."
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
            learnt = learnt_from(table.rows[0])
            which = f" Train split sha256 {learnt[:12]}." if learnt else ""
            out += [f"{_about(table)}{which}", Grid(["recipe", table.task.score, *table.languages], by)]
    return out


def _content(
    tables: Sequence[Table], measurements: Measurements, found: Sequence[Matrix], kept: Matrix | None
) -> list[Part]:
    """The parts that verdicts stand on, in order, for any format: a chapter for each table."""
    out: list[Part] = []
    weighed: set[str] = set()
    ambiguous = _split_names(tables)
    for table, heading in zip(tables, _headings(tables), strict=True):
        out += [f"## {heading}", _about(table)]
        if table.rows[0].trained_on in ambiguous:
            out.append(
                f"Several train splits go by the name {table.rows[0].trained_on}, and no run has kept which of them the study "
                "now has. The one that most rows are about comes first."
            )
        if table.unfinished:
            out.append(f"Left out until they are measured on every language: {plural(table.unfinished, 'recipe')}.")
        out += measured.f1(table, drawn=table is tables[0]) + differences(table)
        if table is tables[0] and kept:
            out += [
                "### Other texts",
                f"![How much of the dense tagger's {table.task.score} is kept on each text](kept.svg)",
            ]
        out += damage(table) + perturbed(table, measurements) + targets(table)
        taggers = {row.address for row in table.rows}
        out += measured.sizes(table) if taggers - weighed else []
        weighed |= taggers
        out += measured.times(table, drawn=table is tables[0]) + measured.fronts(table) + [runs(table)]
    out += transfer(found)
    if left := len(measurements.clean.rows) - sum(len(table.rows) for table in tables):
        note = "being of recipes that changed or aren't finished, or about other sentences"
        out += ["## Left out", f"Left out, {note}: {plural(left, 'row')}."]
    if failures := measurements.results.failures():
        failed = [[f.recipe, f.name, f.reason, str(f.attempts)] for f in failures]
        out += ["## What failed", Grid(["recipe", "step", "reason", "attempts"], failed)]
    return out


def _title(study: Study, rows: Iterable[Row]) -> str:
    return f"{study.title} (sample)" if is_sample(rows) else study.title


def _provenance(study: Study, tables: Sequence[Table], rows: Collection[Row], undrawn_characters: str) -> list[Part]:
    """Where rows were measured, of which encoders and by which version of the code; said once."""
    bases = sorted({f"{r.recipe['base']} (sha256 {r.base_digest[:12]})" for r in rows})
    places = sorted({f"{r.environment.cpu}, {plural(r.environment.threads, 'thread')}" for r in rows})
    commits = sorted(
        {(r.environment.commit or "unknown")[:12] + (" with changes" if r.environment.dirty else "") for r in rows}
    )
    said = [f"{plural(len(rows), 'row')} of the study {study.name}.", f"Bases: {'; '.join(bases)}."]
    said.append(f"Measured on {'; '.join(places)}; dinku at commit {', '.join(commits)}.")
    if old := sorted({note for table in tables for r in table.rows if (note := outdated(r.versions))}):
        said.append(f"By other versions of methods than this dinku's: {'; '.join(old)}.")
    if undrawn_characters:
        missing = " ".join(undrawn_characters)
        said.append(f"Figures show a box for each of these characters, which their font lacks: {missing}")
    return ["## Provenance", *said]
