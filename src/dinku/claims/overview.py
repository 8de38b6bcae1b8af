"""Verdicts of several studies in a few words: a cell, a count of studies, a sentence; and how much of a study is measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dinku.claims.ledger import repeats
from dinku.claims.verdict import STATEMENTS, Judgement, Verdict
from dinku.errors import plural
from dinku.study.current import recipe_name
from dinku.study.definition import Study
from dinku.study.rows import Row

MARKS: dict[Judgement, str] = {"holds": "✓", "fails": "✗", "undecided": "?", "not measured": ""}
Judged = Sequence[tuple[str, Verdict]]  # the verdicts on one claim, each with its study


def cell(verdict: Verdict) -> str:
    """A mark and the number that decides, such as ``✗ -2.9``."""
    return f"{MARKS[verdict.verdict]} {verdict.number}".strip()


def counted(judged: Judged) -> list[tuple[str, Verdict]]:
    """The studies that measure the claim, without those whose rows another has all of."""
    same = repeats(judged)
    return [(study, verdict) for study, verdict in judged if verdict.is_measured and study not in same]


def agreed(judged: Judged) -> str:
    """What the studies come to, and how many of them, such as ``fails in 3 of 4, undecided in 1``; each set of rows once."""
    own = [verdict.verdict for _, verdict in counted(judged)]
    kinds = list(dict.fromkeys(own))
    if len(kinds) < 2:
        return f"{kinds[0]} in {plural(len(own), 'study', 'studies')}" if own else "not measured"
    first, *others = kinds
    rest = "".join(f", {kind} in {own.count(kind)}" for kind in others)
    return f"{first} in {own.count(first)} of {len(own)}{rest}"


def weightiest(judged: Judged) -> tuple[str, Verdict]:
    """The study that a claim is told by: one that decides it, and of those the one with most rows."""
    return max(judged, key=lambda of: (of[1].verdict in ("holds", "fails"), len(of[1].keys)))


def sentence(claim: str, judged: Judged) -> str:
    """What was said, what was found, and on what."""
    own = counted(judged)
    if not own:
        return f"{STATEMENTS[claim].said} Not measured."
    study, verdict = weightiest(own)
    named = f", in {study}" if study else ""
    return f"{STATEMENTS[claim].said} Here it {_SAYS[verdict.verdict]}: {verdict.decides}, on {verdict.on}{named}."


_SAYS: dict[Judgement, str] = {"holds": "holds", "fails": "fails", "undecided": "is undecided", "not measured": ""}


@dataclass(frozen=True)
class Progress:
    """How many recipes a study asks for, how many of them have F1, and the bases of which none has."""

    asked: int
    measured: int
    idle_bases: tuple[str, ...]

    @classmethod
    def of(cls, study: Study, rows: Iterable[Row]) -> Progress:
        one = {
            (row.address, row.arm): row for row in rows if row.kind == "quality"
        }  # of each recipe, as naming it takes time
        there = {recipe_name(row.arm, row.values, row.recipe) for row in one.values()}
        asked: dict[str, str] = {}
        for arm, values, seed, base, corpus in study.asked():
            asked[recipe_name(arm, values, {"seed": seed, "base": base, "corpus": corpus})] = base
        met = {base for name, base in asked.items() if name in there}
        return cls(len(asked), len(asked.keys() & there), tuple(sorted({*asked.values()} - met)))

    @property
    def is_finished(self) -> bool:
        return self.measured == self.asked

    def __str__(self) -> str:
        bases = f"; none on {' or '.join(self.idle_bases)}" if self.idle_bases else ""
        return f"{self.measured} of {plural(self.asked, 'recipe')} measured{bases}"
