"""The paper's claims C1 to C7 (arXiv 2404.04759) as predicates over rows: holds, fails, undecided or not measured.

They are about text as it is in languages that were trained on; `dinku.claims.transfer` has the others. The largest set of
rows that may be compared (`dinku.claims.compare`) is judged, and named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dinku.claims.compare import Evidence, is_dense
from dinku.claims.distillation import judge_c3, judge_c4, judge_q3
from dinku.claims.pruning import judge_c1, judge_c2, judge_c7
from dinku.claims.quantization import Quantized, judge_c5, judge_c6
from dinku.claims.students import Lesson
from dinku.claims.transfer import FAMILY, PAPERS, judge_c8, judge_n2, judge_n3, judge_q1, judge_q2
from dinku.claims.verdict import ASKED, SAID, Judgement, Verdict, unmeasured
from dinku.study.current import standing
from dinku.study.results import Results, in_order
from dinku.study.rows import Row


def judged(rows: Sequence[Row], results: Results) -> list[Verdict]:
    """A verdict on each of these claims, in the paper's order, by those of the rows that are of clean text in languages that were
    trained on."""
    rows = [row for row in in_order(rows) if row.seen and not row.perturbation]
    evidence = Evidence.of(rows, results)
    lessons, left = Lesson.all(rows, results)
    found = {
        "C1": judge_c1(evidence),
        "C2": judge_c2(evidence),
        "C3": judge_c3(lessons, left),
        "C4": judge_c4(lessons, left),
        "C5": judge_c5(Quantized.all(rows, results, "QuantizeLLMInt8", None), rows),
        "C6": judge_c6(Quantized.all(rows, results, "QuantizeLLMInt8", "QuantizeDynamic")),
        "C7": judge_c7(rows),
    }
    return [found.get(claim) or unmeasured(claim, SAID[claim]) for claim in SAID]


def ledger(results: Results) -> list[Verdict]:
    """A verdict on every claim of the paper and every question that it leaves, in its order, by the rows of what the study now
    says."""
    every, _ = standing(results)
    rows = [row for row in every if row.kind == "quality"]
    clean = [row for row in rows if not row.perturbation]
    answers = {
        "C8": judge_c8([r for r in clean if not r.seen and r.language in PAPERS], results),
        "Q1": judge_q1([r for r in clean if not r.seen and r.language in FAMILY], results),
        "Q2": judge_q2(clean, results),
        "Q3": judge_q3([r for r in clean if r.seen], results),
        "N1": judge_n1(every, results),
        "N2": judge_n2(clean, results),
        "N3": judge_n3(rows, results),
    }
    return [
        *judged(every, results),
        *(answers[claim] or unmeasured(claim, said) for claim, said in ASKED.items()),
    ]


def together(ledgers: Mapping[str, Sequence[Verdict]]) -> dict[str, list[tuple[str, Verdict]]]:
    """By claim the verdicts of several studies, each with its study: those that decide first, and none of studies that measure
    nothing of it. Where no study does, there is one, of no study, with the longest account of why."""
    out = {}
    for claim in {verdict.claim: None for told in ledgers.values() for verdict in told}:
        own = [(study, verdict) for study, told in ledgers.items() for verdict in told if verdict.claim == claim]
        measured = [(study, verdict) for study, verdict in own if verdict.verdict != "not measured"]
        without = [("", max((verdict for _, verdict in own), key=lambda v: len(v.found)))]
        out[claim] = sorted(measured, key=lambda of: ("holds", "fails", "undecided").index(of[1].verdict)) or without
    return out


def judge_n1(rows: Sequence[Row], results: Results) -> Verdict | None:
    """N1: what C1 to C7 come to on the smallest encoder that has a dense tagger here, and on the largest, by linear layers.

    It holds where some claim is decided on both and each such claim alike, fails where one is decided otherwise on the one than
    on the other, and is else undecided. Nothing is reported as a number.
    """
    sizes: dict[str, int] = {}
    names: dict[str, str] = {}
    for row in rows:
        if row.size and is_dense(row):
            sizes[row.base_digest] = max(row.size.linear, sizes.get(row.base_digest, 0))
            names[row.base_digest] = str(row.recipe["base"])
    if len(set(sizes.values())) < 2:
        return None
    both = [min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)]
    small, large = (
        {v.claim: v for v in judged([row for row in rows if row.base_digest == base], results) if v.rows}
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
    told = "; ".join(f"{claim} {a}, {b}" for claim, (a, b) in pairs.items())
    found = f"On {names[both[0]]} and on {names[both[1]]}: {told}."
    addresses = {address for claim in claims for each in (small, large) for address in each[claim].rows}
    return Verdict("N1", ASKED["N1"], verdict, None, None, tuple(sorted(addresses)), found)
