"""The paper's claims C1 to C7 (arXiv 2404.04759) as predicates over rows: holds, fails, undecided or not measured.

They are about text as it is in languages that were trained on; `dinku.claims.transfer` has the others. The largest set of rows that
may be compared (`dinku.claims.compare`) is judged, and named.
"""

from __future__ import annotations

from collections.abc import Sequence

from dinku.claims.compare import Evidence
from dinku.claims.distillation import judge_c3, judge_c4
from dinku.claims.pruning import judge_c1, judge_c2, judge_c7
from dinku.claims.quantization import Quantized, judge_c5, judge_c6
from dinku.claims.students import Lesson
from dinku.claims.verdict import SAID, Verdict, unmeasured
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
