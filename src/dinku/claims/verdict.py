"""A verdict on a claim, and the sentences that explain it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dinku.claims.compare import Difference, percent, scope
from dinku.claims.measurements import Run
from dinku.claims.recipes import Steps
from dinku.errors import plural
from dinku.study.rows import Row

Judgement = Literal["holds", "fails", "undecided", "not measured"]


SAID = {
    "C1": 'Pruned before fine-tuning, a model is "fairly consistent with the dense model up to 60 %" sparsity.',
    "C2": "At high sparsity, pruning before fine-tuning is more stable and predictable than pruning after it.",
    "C3": "Distillation makes models 22–31 % smaller for about 1–2 % of average F1.",
    "C4": "A large teacher makes the best student overall; a base teacher passes on more of what it knows.",
    "C5": "LLM.int8() takes 64.08 % off the size and 52.3 % off the inference time, for 4.7 % of average F1.",
    "C6": "LLM.int8() is generally better than dynamic quantization, in all languages.",
    "C7": "Inference time falls as sparsity rises, with a wide spread between languages.",
}


MARGIN = 2.0  # F1 points: what "fairly consistent" is taken to mean


SEEDS = 3  # fewer say nothing about another seed, so nothing is judged by them


@dataclass(frozen=True)
class Verdict:
    """What rows say about one claim. ``measured`` and ``interval`` are F1 points, but for C7, a ratio of times, Q2, a rank
    correlation, and N2 and N3, points of the percentage of F1 that is kept."""

    claim: str
    said: str
    verdict: Judgement
    measured: float | None
    interval: tuple[float, float] | None
    rows: tuple[str, ...]
    found: str

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


def unmeasured(claim: str, said: str) -> Verdict:
    return Verdict(claim, said, "not measured", None, None, (), "No row here measures it.")


def stated(
    claim: str,
    said: str,
    verdict: Judgement,
    at: Difference | None,
    notes: Sequence[str],
    runs: Iterable[Run],
    *,
    left_out: int = 0,
    after: str = "",
) -> Verdict:
    """A verdict with the addresses of its rows, and a sentence on what they were measured on."""
    used = {(run.address, run.rows[0].corpus): run for run in runs}
    rows = [row for key in sorted(used) for row in used[key].rows]
    found = " ".join(filter(None, [*notes, provenance(rows, left_out), after]))
    interval, addresses = (at.low, at.high) if at else None, tuple(sorted({row.address for row in rows}))
    return Verdict(claim, said, verdict, at.difference if at else None, interval, addresses, found)


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


ASKED = {
    "C8": "Zero-shot F1 on an unseen language is 40–60; it holds to 50 % sparsity and drops considerably at 70 %.",
    "Q1": "Beyond 50 % sparsity, too, zero-shot F1 stays within 2 points of the dense tagger's, in Africa and elsewhere.",
    "Q2": "Features of a language say how much sparsity it tolerates.",
    "Q3": "A smaller teacher's student keeps more of its teacher's F1 because that has less to pass on.",
    "N1": "On a smaller encoder of the family (AfriBERTa small) the claims come out as on the larger.",
    "N2": "Compression costs languages of unseen families no larger part of their F1 than languages trained on.",
    "N3": "On noisy and out-of-domain text a compressed tagger is no more fragile than its loss on clean text says.",
}
