"""A verdict on a claim, and the sentences that explain it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from dinku.claims.compare import Difference, percent, scope
from dinku.claims.measurements import Run
from dinku.claims.recipes import Steps
from dinku.errors import plural
from dinku.study.rows import Row

Judgement = Literal["holds", "fails", "undecided", "not measured"]


class Statement(NamedTuple):
    """What is judged: in a few words, as it is said, the number that the paper gives, and the rule of the verdict."""

    title: str
    said: str
    paper: str
    rule: str


STATEMENTS = {
    "C1": Statement(
        "pruned before: as dense to 60 %",
        'Pruned before fine-tuning, a model is "fairly consistent with the dense model up to 60 %" sparsity.',
        "consistent to 60 %",
        "at every level to 60 % the interval of before minus dense lies above −2 F1",
    ),
    "C2": Statement(
        "before is steadier than after",
        "At high sparsity, pruning before fine-tuning is more stable and predictable than pruning after it.",
        "more stable",
        "at the highest level with three seeds, 70 % or more, before minus after lies above 0",
    ),
    "C3": Statement(
        "students 22–31 % smaller",
        "Distillation makes models 22–31 % smaller for about 1–2 % of average F1.",
        "−1 to −2 % of F1",
        "a student 22 to 33 % smaller than its teacher loses less than 2 F1",
    ),
    "C4": Statement(
        "large teacher, best student",
        "A large teacher makes the best student overall; a base teacher passes on more of what it knows.",
        "the large one's is best",
        "its student is ahead of the small teacher's, which keeps a larger part of its own teacher's F1",
    ),
    "C5": Statement(
        "LLM.int8(): size, time, F1",
        "LLM.int8() takes 64.08 % off the size and 52.3 % off the inference time, for 4.7 % of average F1.",
        "size −64 %, time −52 %, F1 −4.7 %",
        "the bytes that the shape's arithmetic says, half the time, and at most 4.7 % of F1",
    ),
    "C6": Statement(
        "LLM.int8() beats dynamic",
        "LLM.int8() is generally better than dynamic quantization, in all languages.",
        "better in all languages",
        "LLM.int8() minus dynamic lies above 0, and is above 0 in each language",
    ),
    "C7": Statement(
        "time falls with sparsity",
        "Inference time falls as sparsity rises, with a wide spread between languages.",
        "falls",
        "the slope of time lies below 0, and time at 90 % below the clock's own noise",
    ),
    "C8": Statement(
        "zero-shot 40–60, to 50 %",
        "Zero-shot F1 on an unseen language is 40–60; it holds to 50 % sparsity and drops considerably at 70 %.",
        "40–60; same at 50 %, less at 70 %",
        "dense within 40 to 60; pruned before, 50 % lies above −2 F1 and 70 % below −5",
    ),
    "Q1": Statement(
        "unseen: as dense past 50 %",
        "Beyond 50 % sparsity, too, zero-shot F1 stays within 2 points of the dense tagger's, in Africa and elsewhere.",
        "left open",
        "in each region some level above 50 % is non-inferior to dense at 2 F1",
    ),
    "Q2": Statement(
        "features tell the sparsity",
        "Features of a language say how much sparsity it tolerates.",
        "left open",
        "over ten languages or more, some feature's rank correlation with the best sparsity isn't 0",
    ),
    "Q3": Statement(
        "small teacher: less to pass on",
        "A smaller teacher's student keeps more of its teacher's F1 because that has less to pass on.",
        "left open",
        "the small teacher's student keeps a larger part, and the large teacher's isn't worse by 2 F1",
    ),
    "N1": Statement(
        "small encoder: claims alike",
        "On a smaller encoder of the family (AfriBERTa small) the claims come out as on the larger.",
        "left open",
        "each claim that is decided on the smallest and the largest encoder is decided alike",
    ),
    "N2": Statement(
        "unseen families lose no more",
        "Compression costs languages of unseen families no larger part of their F1 than languages trained on.",
        "left open",
        "every version keeps, of the dense F1, at most 5 points less there than at home",
    ),
    "N3": Statement(
        "noisy text loses no more",
        "On noisy and out-of-domain text a compressed tagger is no more fragile than its loss on clean text says.",
        "left open",
        "every version keeps, of the dense F1, at most 5 points less there than on clean text",
    ),
}
CLAIMED = tuple(
    claim for claim in STATEMENTS if claim.startswith("C")
)  # by the paper; all else is asked here, after it

MARGIN = 2.0  # F1 points: what "fairly consistent" is taken to mean


SEEDS = 3  # fewer say nothing about another seed, so nothing is judged by them


@dataclass(frozen=True)
class Verdict:
    """What rows say about one claim. ``measured`` and ``interval`` are F1 points, but for C7, a ratio of times, Q2, a rank
    correlation, and N2 and N3, points of the percentage of F1 that is kept.

    ``number`` is what decides, for a cell of a table, ``decides`` the same with its interval and seeds, and ``on`` what was
    measured, in a few words. ``keys`` are those of the rows (`Row.key`), and ``left_out`` says why how many others were left out.
    """

    claim: str
    verdict: Judgement
    measured: float | None
    interval: tuple[float, float] | None
    rows: tuple[str, ...]
    found: str
    number: str = ""
    decides: str = ""
    on: str = ""
    keys: frozenset[tuple[str, ...]] = frozenset()
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def said(self) -> str:
        return STATEMENTS[self.claim].said

    @property
    def is_measured(self) -> bool:
        return self.verdict != "not measured"

    def document(self) -> dict[str, Any]:
        return {
            "claim": self.claim,
            "verdict": self.verdict,
            "measured": self.measured,
            "interval": list(self.interval) if self.interval else None,
            "rows": list(self.rows),
            "said": self.said,
            "found": self.found,
        }


def unmeasured(claim: str, found: str = "No row here measures it.") -> Verdict:
    return Verdict(claim, "not measured", None, None, (), found)


def stated(
    claim: str,
    verdict: Judgement,
    at: Difference | None,
    notes: Sequence[str],
    runs: Iterable[Run],
    *,
    where: str = "",
    number: str = "",
    decides: str = "",
    left_out: Mapping[str, int] | None = None,
    after: str = "",
) -> Verdict:
    """A verdict with the addresses of its rows, and a sentence on what they were measured on.

    ``where`` says what the difference ``at`` is about, such as a level; it decides unless ``number`` and ``decides`` are given.
    """
    used = {(run.address, run.rows[0].corpus): run for run in runs}
    rows = [row for key in sorted(used) for row in used[key].rows]
    left = dict(left_out or {})
    found = " ".join(filter(None, [*notes, provenance(rows, sum(left.values())), after]))
    interval, addresses = (at.low, at.high) if at else None, tuple(sorted({row.address for row in rows}))
    return Verdict(
        claim,
        verdict,
        at.difference if at else None,
        interval,
        addresses,
        found,
        number=number or (f"{at.difference:+z.1f}" if at else ""),
        decides=decides or (f"{where}: {brief(at)}" if where and at else brief(at) if at else ""),
        on=measured_on(rows),
        keys=frozenset(row.key for row in rows),
        left_out=left,
    )


def brief(at: Difference) -> str:
    """A difference in a few words, such as ``-2.9 [-3.9, -2.1] ×3`` of three seeds."""
    return f"{at.difference:+z.1f} [{at.low:+z.1f}, {at.high:+z.1f}] ×{at.seeds}"


def measured_on(rows: Sequence[Row]) -> str:
    """Encoder, languages and seeds in a few words."""
    bases = " and ".join(sorted({str(row.recipe["base"]) for row in rows}))
    languages, seeds = {row.language for row in rows}, {row.seed for row in rows}
    return f"{bases}, {plural(len(languages), 'language')}, {plural(len(seeds), 'seed')}"


def list_levels(compared: dict[float, Difference]) -> str:
    return "; ".join(f"{percent(s)} {c}" for s, c in sorted(compared.items(), reverse=True))


def interval_note(compared: Iterable[Difference]) -> str:
    """How the intervals were made, and how far they can be trusted with so few seeds."""
    said = "Intervals of 95 % are over seeds and over sentences within languages"
    if all(c.seeds >= SEEDS for c in compared):
        return f"{said}."
    return f"{said}; with 2 seeds they say little about another seed, and with 1, being over sentences alone, nothing."


def provenance(rows: Sequence[Row], left_out: int) -> str:
    """Which encoder, corpus, languages and seeds a verdict stands on, and how many rows it leaves out."""
    first = min(rows, key=lambda r: r.address)
    languages, seeds = sorted({r.language for r in rows}), len({r.seed for r in rows})
    shapes = [Steps(steps).shaping for steps in {row.address: row.recipe["steps"] for row in rows}.values()]
    bases = sorted({(str(row.recipe["base"]), row.base_digest[:12]) for row in rows})
    # What all begin with is the encoder they are about; what only some do is what they are compared in.
    made = ", ".join(next(iter(step)) for step in shapes[0] if all(step in shape for shape in shapes))
    own = ["afriberta" in base.lower() for base, _ in bases]
    other = ", of which not all are the paper's AfriBERTa"
    if not any(own):
        other = f", {'another encoder' if len(bases) == 1 else 'other encoders'} than the paper's AfriBERTa"
    evaluated = "" if first.evaluated_on == first.trained_on else f", evaluated on {first.evaluated_on}"
    said = (
        f"Measured on {' and '.join(f'{base} (sha256 {digest})' for base, digest in bases)}"
        f"{made and f' after {made}'}{'' if all(own) else other}, "
        f"trained on {first.trained_on}{evaluated}: "
        f"{', '.join(languages)}; {scope(rows)}; {plural(seeds, 'seed')}."
    )
    if left_out:
        said += f" {plural(left_out, 'row')} of other bases, corpora, machines, recipes or unfinished runs left out."
    return said
