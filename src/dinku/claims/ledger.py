"""The paper's claims C1 to C7 (arXiv 2404.04759) as predicates over rows: holds, fails, undecided or not measured.

They are about text as it is in languages that were trained on; `dinku.claims.transfer` has the others. The largest set of
rows that may be compared (`dinku.claims.compare`) is judged, and named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dinku.claims.compare import Evidence
from dinku.claims.distillation import judge_c3, judge_c4, judge_q3
from dinku.claims.measurements import Measurements
from dinku.claims.pruning import judge_c1, judge_c2, judge_c7
from dinku.claims.quantization import Quantized, judge_c5, judge_c6
from dinku.claims.students import Distillation
from dinku.claims.transfer import FAMILY, PAPERS, judge_c8, judge_n2, judge_n3, judge_q1, judge_q2
from dinku.claims.verdict import Judgement, Verdict, unmeasured
from dinku.data.task import Task
from dinku.errors import plural


def judged(measurements: Measurements) -> list[Verdict]:
    """A verdict on each of these claims, in the paper's order, by the rows of clean text in languages that were trained on."""
    home = measurements.clean.seen
    evidence = Evidence.of(home)
    distillations, excluded = Distillation.all(home)
    found = {
        "C1": judge_c1(evidence),
        "C2": judge_c2(evidence),
        "C3": judge_c3(distillations, excluded),
        "C4": judge_c4(distillations, excluded),
        "C5": judge_c5(Quantized.all(home, "QuantizeLLMInt8", None), home.rows),
        "C6": judge_c6(Quantized.all(home, "QuantizeLLMInt8", "QuantizeDynamic")),
        "C7": judge_c7(home),
    }
    return [verdict or unmeasured(claim) for claim, verdict in found.items()]


def ledger(measurements: Measurements) -> list[Verdict]:
    """A verdict on every claim of the paper and every question that it leaves open, in its order, by rows of entities."""
    measurements = measurements.where(lambda row: row.task is None)
    quality = measurements.quality
    clean = quality.clean
    answers = {
        "C8": judge_c8(clean.where(lambda r: not r.seen and r.language in PAPERS)),
        "Q1": judge_q1(clean.where(lambda r: not r.seen and r.language in FAMILY)),
        "Q2": judge_q2(clean),
        "Q3": judge_q3(clean.seen),
        "N1": judge_n1(measurements),
        "N2": judge_n2(clean),
        "N3": judge_n3(quality),
    }
    return [*judged(measurements), *(verdict or unmeasured(claim) for claim, verdict in answers.items())]


def of_other_tasks(measurements: Measurements) -> dict[Task, list[Verdict]]:
    """What C1 to C7 come to on each task but entities, by that task's measure. The paper claims nothing of them."""
    out = {}
    for task in dict.fromkeys(row.task_of for row in measurements.rows if row.task):
        own = measurements.where(lambda row, name=task.name: row.task == name)  # type: ignore[misc]
        out[task] = [verdict for verdict in judged(own) if verdict.rows]
    return {task: verdicts for task, verdicts in out.items() if verdicts}


def together(ledgers: Mapping[str, Sequence[Verdict]]) -> dict[str, list[tuple[str, Verdict]]]:
    """The verdicts of several studies by claim, each with its study: decided ones first, and studies that don't measure the claim
    left out. Where no study measures it there is one entry without a study, with the longest explanation."""
    out = {}
    for claim in {verdict.claim: None for notes in ledgers.values() for verdict in notes}:
        own = [(study, verdict) for study, notes in ledgers.items() for verdict in notes if verdict.claim == claim]
        measured = [(study, verdict) for study, verdict in own if verdict.verdict != "not measured"]
        without = [("", max((verdict for _, verdict in own), key=lambda v: len(v.found)))]
        out[claim] = sorted(measured, key=lambda of: ("holds", "fails", "undecided").index(of[1].verdict)) or without
    return out


def repeats(judged: Sequence[tuple[str, Verdict]]) -> dict[str, str]:
    """The studies that judge a claim by no row that another study doesn't judge it by as well, each with that study. They count
    once; of several with the very same rows the first by name counts."""
    out = {}
    for study, verdict in judged:
        of = [(-len(by.keys), other) for other, by in judged if verdict.keys and verdict.keys <= by.keys]
        if of and min(of)[1] != study:
            out[study] = min(of)[1]
    return out


def judge_n1(measurements: Measurements) -> Verdict | None:
    """N1: what C1 to C7 come to on the smallest encoder that has a dense tagger here, and on the largest, by linear layers.

    It holds where some claim is decided on both and each such claim alike, fails where one is decided otherwise on the one than
    on the other, and is else undecided. Nothing is reported as a number.
    """
    sizes: dict[str, int] = {}
    names: dict[str, str] = {}
    for row in measurements.rows:
        if row.size and measurements.steps(row).is_dense:
            sizes[row.base_digest] = max(row.size.linear, sizes.get(row.base_digest, 0))
            names[row.base_digest] = str(row.recipe["base"])
    if len(set(sizes.values())) < 2:
        return None
    both = [min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)]
    small, large = (
        {v.claim: v for v in judged(measurements.of(r for r in measurements.rows if r.base_digest == base)) if v.rows}
        for base in both
    )
    claims = [claim for claim in small if claim in large]
    if not claims:
        return None
    pairs = {claim: (small[claim].verdict, large[claim].verdict) for claim in claims}
    decided = [pair for pair in pairs.values() if "undecided" not in pair]
    verdict: Judgement = "undecided"
    if decided:
        verdict = "holds" if all(a == b for a, b in decided) else "fails"
    notes = "; ".join(f"{claim} {a}, {b}" for claim, (a, b) in pairs.items())
    found = f"On {names[both[0]]} and on {names[both[1]]}: {notes}."
    addresses = {address for claim in claims for each in (small, large) for address in each[claim].rows}
    alike = f"{sum(a == b for a, b in decided)} of {plural(len(decided), 'claim')} alike"
    return Verdict(
        "N1",
        verdict,
        None,
        None,
        tuple(sorted(addresses)),
        found,
        number=alike.replace(" of ", "/").partition(" ")[0],
        decides=alike,
        on=f"{names[both[0]]} and {names[both[1]]}",
        keys=frozenset(key for claim in claims for each in (small, large) for key in each[claim].keys),
    )
