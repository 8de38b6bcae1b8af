"""Verdicts as parts of a report: the paper's claims, apart from what is asked here beyond them, and what isn't measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dinku.claims.ledger import repeats
from dinku.claims.overview import MARKS, agreed, cell, counted, sentence, weightiest
from dinku.claims.verdict import CLAIMED, STATEMENTS, Verdict
from dinku.data.task import Task
from dinku.errors import plural
from dinku.report.parts import Claim, Fold, Grid, Ledger, Part

CLAIMS = "## The paper's claims (arXiv 2404.04759)"
QUESTIONS = "## Questions and checks of ours, which the paper leaves open"


def ledger_of_one(study: str, verdicts: Sequence[Verdict]) -> list[Part]:
    """The verdicts by the rows of one study; what it doesn't measure in a line."""
    claims = {v.claim: _claim(study, v) for v in verdicts if v.is_measured}
    return _parts(claims, {v.claim: v.found for v in verdicts if not v.is_measured})


def ledger_of_other_tasks(verdicts: Mapping[Task, Sequence[Verdict]]) -> list[Part]:
    """What the paper's claims come to on tasks other than named entities, of which it claims nothing."""
    out: list[Part] = []
    for task, own in verdicts.items():
        note = f"The paper's claims are about named entities. These verdicts ask the same of {task.title}, by {task.measure}: "
        out += [
            f"## The same questions, asked of {task.title}",
            f"{note}wherever one says F1, {task.measure} is meant.",
        ]
        out.append(Grid(["as claim", "verdict", "found"], [[v.claim, f"**{v.verdict}**", v.found] for v in own]))
    return out


def ledger_of_several(
    by: Mapping[str, Sequence[tuple[str, Verdict]]], studies: Sequence[str], notes: Mapping[str, str]
) -> list[Part]:
    """The verdicts of several studies (`dinku.claims.ledger.together`): each claim once, rows that studies share counted once.

    ``notes`` holds what is to be said of a study beside its name.
    """
    called = {name: f"{name}, {notes[name]}" if name in notes else name for name in studies}
    claims = {}
    for claim, judged in by.items():
        if own := counted(judged):
            study, verdict = weightiest(own)
            same = repeats(judged)
            details = [f"{sentence(claim, judged)} It holds if {STATEMENTS[claim].rule}."]
            for name, each in judged:
                shared = f" (by rows that {same[name]} has all of: counted once)" if name in same else ""
                details.append(f"**{called[name]}: {each.verdict}**{shared}. {each.decides}. {_left_out(each)}".strip())
            claims[claim] = Claim(
                claim,
                STATEMENTS[claim].title,
                MARKS[verdict.verdict],
                agreed(judged),
                f"{verdict.decides} ({called[study]})",
                STATEMENTS[claim].paper if claim in CLAIMED else "",
                details,
                claim,
            )
    return [
        *_parts(claims, {claim: judged[0][1].found for claim, judged in by.items() if claim not in claims}),
        Fold("Every verdict of every study", [_matrix(by, studies)]),
    ]


def _claim(study: str, verdict: Verdict) -> Claim:
    statement = STATEMENTS[verdict.claim]
    rows = f"Recipes: {' '.join(address[:8] for address in verdict.rows)}" if verdict.rows else ""
    details = [f"{statement.said} It holds if {statement.rule}.", verdict.found, _left_out(verdict), rows]
    return Claim(
        verdict.claim,
        statement.title,
        MARKS[verdict.verdict],
        verdict.verdict,
        verdict.decides or verdict.number,
        statement.paper if verdict.claim in CLAIMED else "",
        [each for each in details if each],
        f"{study}-{verdict.claim}",
    )


def _left_out(verdict: Verdict) -> str:
    said = "; ".join(f"{plural(n, 'row')} {why}" for why, n in verdict.left_out.items())
    return f"Left out: {said}." if said else ""


def _parts(claims: Mapping[str, Claim], unmeasured: Mapping[str, str]) -> list[Part]:
    out: list[Part] = []
    for heading, paper in ((CLAIMS, True), (QUESTIONS, False)):
        if own := [each for claim, each in claims.items() if (claim in CLAIMED) == paper]:
            out += [heading, Ledger(own, paper)]
    if unmeasured:
        reasons = [f"{claim} {STATEMENTS[claim].title}: {found}" for claim, found in unmeasured.items()]
        out.append(Fold(f"Not measured here: {', '.join(unmeasured)}", reasons))
    return out


def _matrix(by: Mapping[str, Sequence[tuple[str, Verdict]]], studies: Sequence[str]) -> Grid:
    """Studies × claims: a mark and the number that decides."""
    rows = []
    for name in studies:
        found = {claim: cell(v) for claim, judged in by.items() for study, v in judged if study == name}
        same = {claim: of[name] for claim, judged in by.items() if name in (of := repeats(judged))}
        rows.append([name, *(f"= {same[claim]}" if claim in same else found.get(claim, "") for claim in by)])
    return Grid(["study", *by], rows)
