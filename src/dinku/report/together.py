"""The reports of several studies as one: what each found in a line, one ledger, and a chapter a study."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from dinku.claims.compare import is_sample
from dinku.claims.ledger import together
from dinku.claims.overview import counted, weightiest
from dinku.claims.verdict import CLAIMED
from dinku.errors import plural
from dinku.report.build import Report, texts, write_files
from dinku.report.judged import ledger_of_several
from dinku.report.parts import Chips, Fold, Grid, Lead, Page, Part, Ref
from dinku.report.summary import claim_chips
from dinku.study.rows import Row


def write_together(reports: Sequence[Report], out: Path) -> list[Path]:
    """Write the reports of several studies as one, one ledger first: ``report.html``, ``report.md`` and ``report.tex``.

    The Markdown shows the figures that `Report.write` leaves in folders of the studies' names below ``out``; the page holds
    them itself. Raises `DinkuError`, of status 1, where the system refuses to write.
    """
    figures = {f"{report.name}/{name}": data for report in reports for name, data in report.figures.items()}
    return write_files(out, texts(page(reports), figures))


def page(reports: Sequence[Report]) -> Page:
    """The page of several studies."""
    by = together({report.name: report.verdicts for report in reports})
    notes = {report.name: note for report in reports if (note := _note(report.rows))}
    decided = {claim: weightiest(own)[1].verdict for claim, judged in by.items() if (own := counted(judged))}
    chips = claim_chips([decided.get(claim, "not measured") for claim in by if claim in CLAIMED])
    rows = {row.key for report in reports for row in report.rows}
    lead = f"{plural(len(reports), 'study', 'studies')}, {plural(len(rows), 'row')}. Below stands what each found, what all of "
    lead += "them say of the paper's claims, and each study in full."
    first: list[Part] = [Lead(lead), Chips(list(chips)), _studies(reports, notes)]
    chapters: list[Part] = []
    for report in reports:
        parts = [_below(part, report.name) for part in report.page.parts]
        seen = len(report.first)
        chapters += [Ref(f"## {report.name}", name=f"study-{report.name}"), f"**{report.title}.**", *parts[:seen]]
        chapters.append(Fold(f"Claims, figures and tables of {report.name}", parts[seen:], printed=True))
    ledger = ledger_of_several(by, [report.name for report in reports], notes)
    return Page(f"What {plural(len(reports), 'study', 'studies')} found", first, ledger, chapters)


def _studies(reports: Sequence[Report], notes: dict[str, str]) -> Grid:
    """A line a study: how much of it is measured, and what it found."""
    rows = []
    for report in reports:
        summary = report.summary
        measured = f"{summary.progress.measured}/{summary.progress.asked}" if summary else "0"
        found = summary.headline if summary else "Nothing that the study now has is measured yet."
        name = Ref(
            f"**{report.name}**" + (f"\n{notes[report.name]}" if report.name in notes else ""),
            to=f"study-{report.name}",
        )
        rows.append([name, report.title, measured, found])
    return Grid(["study", "what", "recipes", "found"], rows, "cards")


def _note(rows: Sequence[Row]) -> str:
    """The note after a study's name: that it is about the embedded sample, or about some of the sentences."""
    if is_sample(rows):
        return "sample"
    some = any(row.kind == "quality" and row.sentences < row.sentences_in_split for row in rows)
    return "some of the sentences" if some else ""


def _below(part: Part, study: str) -> Part:
    """A part of a study's report where the study is a chapter: its headings a step smaller, its figures in its folder."""
    if isinstance(part, Fold):
        return part._replace(parts=[_below(each, study) for each in part.parts])
    if not isinstance(part, str) or isinstance(part, Lead):
        return part
    if part.startswith("#"):
        return f"#{part}"
    return re.sub(r"^(!\[.*\]\()", rf"\g<1>{study}/", part)
