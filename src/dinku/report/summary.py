"""What is to be seen of a study in ten seconds: a sentence, facts, and what each kind of compression made of the dense tagger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from dinku.claims.compare import Difference, percent
from dinku.claims.overview import MARKS, Progress
from dinku.claims.verdict import CLAIMED, MARGIN, Judgement, Verdict
from dinku.data.task import NER
from dinku.errors import plural
from dinku.report.kinds import Kind
from dinku.report.parts import Chip, Chips, Grid, Lead, Part, Ref
from dinku.report.tables import Table


@dataclass(frozen=True)
class Summary:
    """The first set of comparable rows of a study in a few parts."""

    study: str
    table: Table
    verdicts: Sequence[Verdict]
    progress: Progress
    outdated: int  # rows of anything else than the study as it is now
    others: int  # sets of rows that can't be compared with these
    trained_on: int  # corpora that all sets together were trained on
    sample: bool

    @cached_property
    def kinds(self) -> list[Kind]:
        return Kind.all(self.table)

    @property
    def parts(self) -> list[Part]:
        return [Lead(self.headline), Chips(list(self._chips())), *self._kinds()]

    @cached_property
    def headline(self) -> str:
        """What was found, in a sentence or two."""
        return " ".join([*self._scope(), *self._sentences()])

    def _scope(self) -> Iterator[str]:
        """Which of several sets of rows the rest is about, where they differ in what was trained on."""
        if self.trained_on > 1:
            yield f"Trained on {self.table.rows[0].trained_on}, the first of {self.trained_on} corpora to train on:"

    def _sentences(self) -> Iterator[str]:
        table, dense = self.table, self.table.dense
        if dense is None or len(table.cells) == 1:
            yield from self._without_dense()
            return
        yield self.trade
        if levels := [said for kind in self.kinds if (said := _levels(kind))]:
            within, more = ([said[i] for said in levels if said[i]] for i in (0, 1))
            if within:
                yield f"Sparsity costs less than {MARGIN:g} {table.task.points} {', '.join(within)}."
            if more:
                yield f"Sparsity costs more than {MARGIN:g} {table.task.points} {', '.join(more)}."

    @property
    def trade(self) -> str:
        """The smallest recipe within the margin, or else the one that loses least."""
        table, dense = self.table, self.table.dense
        if dense is None:
            return ""
        found = [cell for kind in self.kinds for cell in kind.within]
        at = min(found, key=lambda cell: (table.megabytes(cell) or float("inf"), -cell.f1.value), default=None)
        if at is None:
            least = max((cell for kind in self.kinds for cell in kind.cells), key=lambda cell: cell.f1.value)
            minus = table.difference(least)
            lost = f", {minus.difference:+z.1f} {table.task.score}" if minus else ""
            return (
                f"No recipe is known to stay within {MARGIN:g} {table.task.points} of the dense tagger ({dense.f1.value:.1f}); "
                f"**{least.label}** comes closest{lost}."
            )
        kept = f"**{at.label}** keeps {100 * at.f1.value / max(dense.f1.value, 1e-9):.1f} % of the dense tagger's "
        kept += f"{table.task.score} ({at.f1.value:.1f}, dense {dense.f1.value:.1f})"
        size, whole = table.megabytes(at), table.megabytes(dense)
        if not size:
            return f"{kept}."
        times = f", {whole / size:.1f} times smaller" if whole and whole / size >= 1.05 else ""
        return f"{kept} in {size:.1f} MB{times}."

    def _without_dense(self) -> Iterator[str]:
        cells, score = self.table.cells, self.table.task.score
        best = max(cells, key=lambda cell: cell.f1.value)
        sizes = [(size, i) for i, cell in enumerate(cells) if (size := self.table.megabytes(cell))]
        at = f" in {size:.1f} MB" if (size := self.table.megabytes(best)) else ""
        if len(cells) == 1:
            worst = self.table.worst(best)
            yield f"**{best.label}** reaches {best.f1.value:.1f} {score}{at}; its worst language is {worst}."
            return
        yield f"**{best.label}** has the most {score}, {best.f1.value:.1f}{at}."
        if sizes and cells[min(sizes)[1]] is not best:
            least = cells[min(sizes)[1]]
            yield f"**{least.label}** is the smallest: {least.f1.value:.1f} {score} in {min(sizes)[0]:.1f} MB."

    def _chips(self) -> Iterator[Chip]:
        if not self.progress.is_finished:
            yield Chip(f"unfinished: {self.progress.measured} of {plural(self.progress.asked, 'recipe')}", "warning")
        for base in self.progress.idle_bases:
            yield Chip(f"no rows on {base}", "warning")
        if self.outdated:
            yield Chip(f"{plural(self.outdated, 'outdated row')} aside", "warning")
        if self.sample:
            yield Chip("the embedded sample, no real corpus", "warning")
        single, several = (sum((len(c.runs) > 1) == many for c in self.table.cells) for many in (False, True))
        if single:
            text = f"a single seed for {single} of {plural(single + several, 'recipe')}" if several else "a single seed"
            yield Chip(text, "warning")
        yield from claim_chips([verdict.verdict for verdict in self.verdicts if verdict.claim in CLAIMED])
        if not self.table.timed:
            yield Chip("time not measured")

    def _kinds(self) -> Iterator[Part]:
        table, dense = self.table, self.table.dense
        shown = [*([dense] if dense else []), *(kind.best for kind in self.kinds)]
        sized, timed = any(map(table.megabytes, shown)), any(table.time(cell) for cell in shown)
        # The paper claims nothing of other tasks.
        claims = [kind.claim for kind in self.kinds] if table.task is NER else []
        judged = {v.claim for v in self.verdicts if v.is_measured}
        paper, compared = any(claim for claim, _ in claims), dense is not None and len(table.cells) > 1
        head = ["recipe", table.task.score, *(["minus dense"] if compared else []), "worst language"]
        head += ["MB"] * sized + ["times smaller"] * (sized and compared) + ["time"] * timed
        head += ["of its kind"] * compared + ["the paper"] * paper
        rows = []
        for cell, kind in zip(shown, [*([None] if dense else []), *self.kinds], strict=True):
            minus, size = table.difference(cell), table.megabytes(cell)
            row: list[str] = [Ref(f"**{cell.label}**{_said(kind)}", to=table.anchor(cell)), str(cell)]
            row += [_signed(minus)] if compared else []
            row += [table.worst(cell)]
            row += [f"{size:.1f}" if size else ""] if sized else []
            whole = table.megabytes(dense) if dense else 0.0
            row += [f"{whole / size:.1f}" if size and whole else ""] if sized and compared else []
            row += [f"×{time:.2f}" if (time := table.time(cell)) else ""] if timed else []
            row += [_others(kind) if kind else ""] if compared else []
            if paper:
                claim, said = kind.claim if kind else ("", "")
                row += [
                    Ref(f"{said} ({claim})", to=f"{self.study}-{claim}" if claim in judged else "") if claim else ""
                ]
            rows.append(row)
        yield Grid(head, rows, "cards")
        yield self._note(compared=compared, sized=sized, timed=timed)

    def _note(self, *, compared: bool, sized: bool, timed: bool) -> str:
        """What the columns of the first table mean."""
        table = self.table
        measure = f"{table.task.measure[0].upper()}{table.task.measure[1:]}"
        said = f"{measure} on {table.rows[0].evaluated_on}, the mean over {plural(len(table.languages), 'language')}, with 95 % "
        said += "intervals (×n: seeds)."
        if compared:
            said += (
                f" Of each kind the smallest recipe is shown whose loss is less than {MARGIN:g} {table.task.points} by its whole "
                "interval, or else the one that loses least; minus dense is over the seeds that both have."
            )
        said += " MB: a zstd download." if sized else ""
        said += " Time: seconds over the dense tagger's." if timed else ""
        if self.others:
            said += f" {plural(self.others, 'more set')} of comparable rows: see the contents."
        return said


def claim_chips(verdicts: Sequence[str]) -> Iterator[Chip]:
    """How many of the paper's claims hold, fail, are undecided and aren't measured."""
    kinds: tuple[tuple[Judgement, str, str], ...] = (
        ("holds", "holds", "hold"),
        ("fails", "fails", "fail"),
        ("undecided", "is undecided", "are undecided"),
    )
    first = True
    for kind, one, many in kinds:
        if n := list(verdicts).count(kind):
            whose = f"of the paper's {len(verdicts)} claims " if first else ""
            yield Chip(f"{MARKS[kind]} {n} {whose}{one if n == 1 else many}", kind)  # type: ignore[arg-type]
            first = False
    if first:
        yield Chip("measures none of the paper's claims")


def _said(kind: Kind | None) -> str:
    return f"\n{kind.name}" if kind else ""


def _signed(difference: Difference | None) -> str:
    d = difference
    return f"{d.difference:+z.1f} [{d.low:+z.1f}, {d.high:+z.1f}]" if d else ""


def _others(kind: Kind) -> str:
    """How many recipes of a kind lose little, and the first that doesn't."""
    if len(kind.cells) == 1:
        return ""
    said = f"{len(kind.within)} of {len(kind.cells)} within {MARGIN:g} {kind.table.task.points}"
    if loss := kind.mildest_loss:
        minus = kind.table.difference(loss)
        said += f"; {loss.label} {minus.difference:+z.1f}" if minus else ""
    return said


def _levels(kind: Kind) -> tuple[str, str] | None:
    """To which sparsity a kind of pruning stays within the margin, and from where it is beyond it if it never is within."""
    if not kind.prunes_alone or len({cell.sparsity for cell in kind.cells}) < 2:
        return None
    holds = max((cell.sparsity for cell in kind.within), default=0.0)
    breaks = min((cell.sparsity for cell in kind.beyond if cell.sparsity > holds), default=0.0)
    if holds:
        more = f" (more from {percent(breaks)})" if breaks else ""
        return f"up to {percent(holds)} where {kind.name}{more}", ""
    return ("", f"from {percent(breaks)} where {kind.name}") if breaks else None
