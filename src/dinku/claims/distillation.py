"""C3, C4 and Q3: students and their teachers."""

from __future__ import annotations

from collections.abc import Sequence

from dinku.claims.compare import Difference
from dinku.claims.measurements import Measurements
from dinku.claims.students import Distillation, Exclusions, TeacherPair, teacher_pairs
from dinku.claims.verdict import MARGIN, SEEDS, Judgement, Verdict, interval_note, stated, unmeasured
from dinku.scoring.significance import holm


def unmeasured_because(claim: str, excluded: Exclusions) -> Verdict | None:
    """Not measured, though there are rows that one might have taken for it."""
    if not excluded.reasons:
        return None
    return unmeasured(claim, f"No row here measures it. {excluded}")


def judge_c3(distillations: Sequence[Distillation], excluded: Exclusions) -> Verdict | None:
    """C3: students at least 22 % smaller than their teacher (parameters), minus it, mean over languages of F1.

    Students are the teacher with less in its layers: none with another vocabulary, and none of a teacher that does worse than
    it, or than a smaller encoder that had no teacher. It holds where one of at most 33 % that has three seeds loses less than 2
    points (`non_inferior`, one-sided at 2.5 %, after Holm's correction for as many as there are), and fails where there are
    such students and each has the upper end of its interval below −2; else it is undecided. What is reported is the best of
    them, or where there is none the best of those that are smaller still.
    """
    excluded = excluded.copy()
    small = []
    for distillation in distillations:
        if reason := distillation.other or distillation.weak:
            excluded.add(reason, distillation.title)
        elif distillation.smaller < 0.22:
            excluded.add("less than 22 % smaller than its teacher", distillation.title)
        else:
            small.append((distillation, distillation.loss()))
    if not small:
        return unmeasured_because("C3", excluded)
    meant = [(distillation, c) for distillation, c in small if distillation.smaller <= 0.33]
    enough = [(distillation, c) for distillation, c in meant if c.seeds >= SEEDS]
    best, at = max(enough or meant or small, key=lambda pair: pair[1].difference)
    verdict: Judgement = "undecided"
    chances = holm([distillation.chance_of_losing(MARGIN) for distillation, _ in enough])
    if any(chance < 0.025 for chance in chances):
        verdict = "holds"
    elif enough and len(enough) == len(meant) and all(c.high < -MARGIN for _, c in enough):
        verdict = "fails"
    each = "; ".join(
        f"{100 * distillation.smaller:.0f} % smaller ({distillation.title}) {c}" for distillation, c in small
    )
    notes = [f"Students minus their teachers, F1 points: {each}.", interval_note(c for _, c in small)]
    if not enough:
        notes.append(f"No student of 22 to 33 % fewer parameters has {SEEDS} seeds, too few to judge by.")
    where = f"{100 * best.smaller:.0f} % smaller"
    used = [distillation for distillation, _ in small]
    return distillation_verdict("C3", verdict, at, notes, used, excluded, where=where)


def judge_c4(distillations: Sequence[Distillation], excluded: Exclusions) -> Verdict | None:
    """C4: students built alike and distilled alike, of the largest teacher minus those of the smallest, mean F1.

    Two students make a pair where they have the same layers, heads and weights, the same distillation but for which layers they
    were cut from, the same training after it, data and text; their runs are paired by seed. A pair holds where it has three
    seeds, the interval lies above 0 and the smaller teacher's student keeps a larger part of its teacher's F1, and fails where
    the interval lies below 0, or that part is smaller. The claim holds or fails where all pairs of most seeds do, else it is
    undecided; what is reported is the first of these.
    """
    excluded = excluded.copy()
    found = teacher_pairs(distillations, excluded)
    if not found:
        return unmeasured_because("C4", excluded)
    judged = [pair for pair in found if pair.at.seeds == found[0].at.seeds]
    verdicts = {_judge_pair(pair) for pair in judged}
    notes = [" ".join(map(str, found)), interval_note(pair.at for pair in found)]
    if found[0].at.seeds < SEEDS:
        notes.append(f"They have fewer than {SEEDS} seeds, too few to judge by.")
    verdict: Judgement = verdicts.pop() if len(verdicts) == 1 else "undecided"
    return distillation_verdict(
        "C4",
        verdict,
        found[0].at,
        notes,
        [distillation for pair in found for distillation in (pair.large, pair.base)],
        excluded,
        where="large minus small teacher's",
    )


def _judge_pair(pair: TeacherPair) -> Judgement:
    more = pair.base.f1_kept > pair.large.f1_kept
    if pair.at.seeds < SEEDS:
        return "undecided"
    if pair.at.low > 0 and more:
        return "holds"
    return "fails" if pair.at.high < 0 or (pair.at.low > 0 and not more) else "undecided"


def distillation_verdict(
    claim: str,
    verdict: Judgement,
    at: Difference,
    notes: Sequence[str],
    distillations: Sequence[Distillation],
    excluded: Exclusions,
    *,
    where: str,
) -> Verdict:
    runs = [run for distillation in distillations for run in (*distillation.student, *distillation.teacher)]
    return stated(claim, verdict, at, notes, runs, where=where, after=str(excluded))


def judge_q3(measurements: Measurements) -> Verdict | None:
    """Q3: of students built and distilled alike, those where the smaller teacher's keeps more of its teacher's F1.

    What it keeps is a fraction, whose lower part is the teacher's F1. The statement holds where with three seeds the larger
    teacher's student has the higher F1 all the same, the interval of that difference lying above −2 points; it fails where that
    interval lies below 0, so that the smaller teacher teaches better; else it is undecided. Two sizes are compared, so that
    nothing is said of a trend over sizes.
    """
    distillations, excluded = Distillation.all(measurements)
    more = [pair for pair in teacher_pairs(distillations, Exclusions()) if pair.base.f1_kept > pair.large.f1_kept]
    if not more:
        return None
    at = more[0].at
    verdict: Judgement = "undecided"
    if at.seeds >= SEEDS:
        verdict = "fails" if at.high < 0 else "holds" if at.difference > 0 and at.low > -MARGIN else "undecided"
    notes = [" ".join(map(str, more)), interval_note(pair.at for pair in more)]
    if at.seeds < SEEDS:
        notes.append(f"They have fewer than {SEEDS} seeds, too few to judge by.")
    notes.append(str(excluded))
    runs = [
        run
        for pair in more
        for distillation in (pair.large, pair.base)
        for run in (*distillation.student, *distillation.teacher)
    ]
    return stated("Q3", verdict, at, notes, runs, where="large minus small teacher's")
