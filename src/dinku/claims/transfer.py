"""C8, and what the paper leaves open (Q1 to Q3) or unchecked (N1 to N3), as predicates over rows like its other claims.

But for Q3 and N1 they are about languages that weren't trained on and text that isn't clean. A question is put as a statement,
so that rows can say whether it holds. A target's labels that its gold lacks are left out of its F1 here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from statistics import fmean
from typing import get_args

from dinku.claims.compare import FLOOR, Difference, Evidence, mean_f1, percent
from dinku.claims.measurements import Measurements, Run, most
from dinku.claims.recipes import DENSE, Order
from dinku.claims.verdict import MARGIN, SEEDS, Judgement, Verdict, brief, interval_note, list_levels, stated
from dinku.errors import plural
from dinku.scoring.counts import Counts, without_absent
from dinku.scoring.significance import f1_kept, holm, non_inferior, rank_correlation
from dinku.study.rows import Row

DROP = 5.0  # F1 points: what C8's "considerably" is taken to mean
TOLERATED = 0.01  # of F1: what a language's best sparsity may cost
FRAGILE = 5.0  # points of the percentage of F1 that is kept: what "no more" is taken to mean in N2 and N3
CORRELATED = 5  # languages: of fewer no order is unlikely enough to be told from chance
LANGUAGES = 10  # fewer say nothing about what features of a language explain
PAPERS = frozenset({"fon", "bam", "zh"})  # what the paper was zero-shot on
_FAMILIES = {
    "Afro-Asiatic": "amh hau orm som tir",
    "Niger-Congo": "bam bbj ewe fon ibo kin lug mos nya run sna swa tsn twi wol xho yor zul",
    "Nilo-Saharan": "luo",
    "English Creole": "pcm",
    "Indo-European": "da fa lv no ro",
    "Sino-Tibetan": "zh",
}  # as MasakhaNER 2.0 has it (Adelani et al. 2022, table 1), bam among Niger-Congo
FAMILY = {language: family for family, languages in _FAMILIES.items() for language in languages.split()}
_ELSEWHERE = frozenset({"Indo-European", "Sino-Tibetan"})
_PRUNED: tuple[Order, ...] = tuple(name for name in get_args(Order) if name != "dense")


def _together(measurements: Measurements) -> Evidence:
    """`Evidence` of rows that are evaluated on several corpora, all of them as one."""
    evidence = Evidence.of(_as_one(measurements))
    runs = {place: {seed: _rewarded(run) for seed, run in of.items()} for place, of in evidence.runs.items()}
    return replace(evidence, runs=runs)


def _rewarded(run: Run) -> Run:
    """The run without the labels that a language's gold lacks, which couldn't be found right."""
    by = [without_absent(run.counts.only(language))[0] for language in run.counts.by_language()]
    return replace(run, counts=Counts.total(by))


def judge_c8(measurements: Measurements) -> Verdict | None:
    """C8: mean F1 over those of Fon, Bambara and Chinese that weren't trained on, dense and pruned.

    Judged by *before*, whichever seeds are done, or if that is measured at no level by the next order that is. It holds where the
    dense tagger's interval meets 40 to 60, the lower end of the difference at 50 % is above −2 points and the upper end at 70 %
    below −5, each with three seeds; it fails where with three seeds the dense tagger's interval lies outside 40 to 60, the upper
    end at 50 % is below −2 or the lower end at 70 % above −5; else it is undecided. What the other orders would come to is told
    beside it. What is reported is the difference at 50 %.
    """
    evidence = _together(measurements)
    dense = [*evidence.runs.get(DENSE, {}).values()]
    if not dense:
        return None
    f1, enough = mean_f1(dense), len(dense) >= SEEDS
    in_range = (f1.high >= 40 and f1.low <= 60) if enough else None
    by = {which: c for which in _PRUNED if (c := _differences(evidence, which))}
    each = {which: _zero_shot(in_range, levels) for which, levels in by.items()}
    which = next(iter(by), None)
    verdict = each[which] if which else _zero_shot(in_range, {})
    levels = by[which] if which else {}
    at, far = levels.get(0.5), levels.get(0.7)
    notes = [f"Dense: {f1.value:.1f} [{f1.low:.1f}, {f1.high:.1f}]."]
    if which:
        others = "; ".join(f"by {name} it {_WOULD[found]}" for name, found in each.items() if name != which)
        notes.append(f"Judged by {which}{f'; {others}' if others else ''}.")
    notes += [f"{name.capitalize()} minus dense, F1 points: {list_levels(of)}." for name, of in by.items()]
    notes.append(interval_note([c for of in by.values() for c in of.values()] or [Difference(len(dense), *f1)]))
    few = [name for name, c in (("50 %", at), ("70 %", far)) if c is None or c.seeds < SEEDS]
    few = ["The dense tagger"] * (not enough) + few
    if few:
        notes.append(f"{' and '.join(few)}: fewer than {SEEDS} seeds, too few to judge by.")
    shown = [
        f"dense {f1.value:.1f}",
        *(f"{name} {brief(c) if c else '?'}" for name, c in (("50 %", at), ("70 %", far))),
    ]
    decides = f"{', '.join(shown)}{f' ({which})' if which else ''}"
    number = f"F1 {f1.value:.0f}" if in_range is False or at is None else ""
    return stated("C8", verdict, at, notes, _all_runs(evidence), number=number, decides=decides)


_WOULD: dict[Judgement, str] = {"holds": "would hold", "fails": "would fail", "undecided": "would be undecided"}


def _zero_shot(in_range: bool | None, levels: Mapping[float, Difference]) -> Judgement:
    """C8 by one order of pruning: ``in_range`` says whether the dense F1 is where the paper has it, given seeds enough."""
    at, far = (c if (c := levels.get(s)) and c.seeds >= SEEDS else None for s in (0.5, 0.7))
    if in_range is False or (at and at.high < -MARGIN) or (far and far.low > -DROP):
        return "fails"
    return "holds" if in_range and at and at.low > -MARGIN and far and far.high < -DROP else "undecided"


def _differences(evidence: Evidence, which: Order) -> dict[float, Difference]:
    """Differences from the dense tagger, by sparsity."""
    return {s: c for s in evidence.levels(which) if (c := evidence.compare(DENSE, (which, s)))}


def _all_runs(evidence: Evidence) -> list[Run]:
    return [run for seeds in evidence.runs.values() for run in seeds.values()]


def judge_q1(measurements: Measurements) -> Verdict | None:
    """Q1: languages that weren't trained on, in Africa and elsewhere, pruned to more than 50 % in every order.

    A level holds where the tagger with three seeds is non-inferior to the dense one at 2 points, p-values adjusted for all
    levels, orders and regions (Holm). The question's statement holds where some level of each region does, both being
    measured; it fails where in a region all levels have their upper end below −2, and the lowest of each order three seeds;
    else it is undecided. What is reported is the best difference in the region where that is worse.
    """
    measurements, low_note = _with_something_to_lose(measurements)
    tests: list[tuple[str, str, Difference, float]] = []
    lowest: dict[str, list[Difference]] = defaultdict(list)
    runs: list[Run] = []
    for region in ("Africa", "elsewhere"):
        there = {language for language, family in FAMILY.items() if (family in _ELSEWHERE) == (region == "elsewhere")}
        evidence = _together(measurements.within(there))
        for which in _PRUNED:
            beyond = {level: c for level, c in sorted(_differences(evidence, which).items()) if level > 0.5}
            lowest[region] += [*beyond.values()][:1]
            for level, found in beyond.items():
                pairs = evidence.both(DENSE, (which, level))
                sides = [[pair[i].counts for pair in pairs] for i in (0, 1)]
                p = non_inferior(sides[0], sides[1], MARGIN / 100, average="languages").p_value
                tests.append((region, f"{which} {percent(level)}", found, p))
                runs += [run for pair in pairs for run in pair]
    if not tests:
        return None
    adjusted = holm([p for *_, p in tests])
    by: dict[str, list[tuple[str, Difference, bool]]] = defaultdict(list)
    for (region, name, found, _), p in zip(tests, adjusted, strict=True):
        by[region].append((name, found, p < 0.05 and found.seeds >= SEEDS))
    enough = {region: all(c.seeds >= SEEDS for c in of) for region, of in lowest.items()}
    lost = [enough[region] and all(c.high < -MARGIN for _, c, _ in of) for region, of in by.items()]
    verdict: Judgement = "undecided"
    if any(lost):
        verdict = "fails"
    elif len(by) == 2 and all(any(holds for *_, holds in of) for of in by.values()):
        verdict = "holds"
    best = {region: max((c for _, c, _ in of), key=lambda c: c.difference) for region, of in by.items()}
    notes = []
    for region, of in by.items():
        each = "; ".join(f"{name} {c}{', non-inferior' if holds else ''}" for name, c, holds in of)
        notes.append(f"Minus dense, F1 points, {region}: {each}.")
    notes += [low_note, interval_note(c for _, _, c, _ in tests)]
    if len(by) < 2:
        notes.append(f"Nothing was measured {'elsewhere' if 'Africa' in by else 'in Africa'}.")
    if not any(c.seeds >= SEEDS for _, _, c, _ in tests):
        notes.append(f"No level has {SEEDS} seeds, too few to judge by.")
    worse = min(best, key=lambda region: best[region].difference)
    compared = next(name for name, c, _ in by[worse] if c is best[worse])
    return stated("Q1", verdict, best[worse], notes, runs, where=f"{worse}, {compared}")


def judge_q2(measurements: Measurements) -> Verdict | None:
    """Q2: each language's best sparsity against its features, by rank correlation.

    Best is the highest sparsity up to which the tagger is non-inferior to the dense one at 1 F1 at every measured level, tested
    from below until the first that isn't, in the order of pruning with most levels. The statement holds where with ten
    languages or more some correlation isn't 0, p-values adjusted for the number of features (Holm); it fails where with as
    many all intervals lie within −0.5 and 0.5; else it is undecided. What is reported is the strongest correlation.
    """
    unseen = measurements.where(lambda row: not row.seen)
    measured, low_note = _with_something_to_lose(measurements.of([*_home(measurements).rows, *unseen.rows]))
    evidence = _together(measured.where(lambda row: row.target is not None))
    by = {which: c for which in _PRUNED if (c := _differences(evidence, which))}
    if not by:
        return None
    which = max(by, key=lambda name: len(by[name]))
    pairs = {level: evidence.both(DENSE, (which, level)) for level in by[which]}
    first = next(iter(pairs.values()))[0][0]
    best = {row.language: _best(row.language, pairs) for row in first.rows}
    features = {row.language: row.target.features for row in first.rows if row.target}
    found = {}
    for name in next(iter(features.values())):
        x, y = [of[name] for of in features.values()], [best[language] for language in features]
        if len(x) >= CORRELATED and len(set(x)) > 1 and len(set(y)) > 1:
            found[name] = rank_correlation(x, y)
    adjusted = dict(zip(found, holm([c.p_value for c in found.values()]), strict=True))
    seeds = min(len(of) for of in pairs.values())
    verdict: Judgement = "undecided"
    if len(best) >= LANGUAGES and seeds >= SEEDS and found:
        if min(adjusted.values()) < 0.05:
            verdict = "holds"
        elif all(c.low > -0.5 and c.high < 0.5 for c in found.values()):
            verdict = "fails"
    highest = "; ".join(f"{language} {percent(level)}" for language, level in sorted(best.items()))
    notes = [f"Highest sparsity at which {which} is non-inferior to dense at {100 * TOLERATED:g} F1: {highest}."]
    notes += [
        f"Rank correlation with {name}: {c.rho:+z.2f} [{c.low:+z.2f}, {c.high:+z.2f}], p {adjusted[name]:.2f}."
        for name, c in found.items()
    ]
    if not found:
        notes.append(
            f"There are fewer than {CORRELATED} languages, or all tolerate as much, so that nothing is correlated."
        )
    notes.append(low_note)
    notes.append(f"{plural(len(best), 'language')} are few, and those of one family aren't independent.")
    if seeds < SEEDS:
        notes.append(
            f"Some levels have fewer than {SEEDS} seeds, so that best sparsities are those of these very taggers."
        )
    strongest = max(found.values(), key=lambda c: abs(c.rho), default=None)
    at = Difference(seeds, strongest.rho, strongest.low, strongest.high) if strongest else None
    runs = [run for of in pairs.values() for pair in of for run in pair]
    number = f"{at.difference:+z.2f}" if at else ""
    which_feature = max(found, key=lambda name: abs(found[name].rho), default="")
    decides = f"{which_feature}: {at.difference:+z.2f} [{at.low:+z.2f}, {at.high:+z.2f}]" if at else "too few languages"
    return stated("Q2", verdict, at, notes, runs, number=number, decides=decides)


def _best(language: str, pairs: dict[float, list[tuple[Run, Run]]]) -> float:
    """The highest level up to which all are non-inferior. Levels are tested in a fixed sequence, which needs no adjustment."""
    best = 0.0
    for level in sorted(pairs):
        sides = [[pair[i].counts.only(language) for pair in pairs[level]] for i in (0, 1)]
        if not non_inferior(sides[0], sides[1], TOLERATED).holds:
            break
        best = level
    return best


@dataclass(frozen=True)
class Versions:
    """One tagger in several versions on one text, by name and seed, the dense one apart."""

    dense: dict[int, Run]
    small: dict[str, dict[int, Run]]

    @classmethod
    def of(cls, measurements: Measurements) -> Versions | None:
        """The versions in one setting; ``None`` if no recipe only trains.

        Of several taggers that were only trained the one with most seeds is the dense one, or the largest of those with as many
        seeds; of these, taggers as large or larger aren't versions of it.
        """
        by: dict[str, dict[int, Run]] = defaultdict(dict)
        for run in measurements.runs:
            by[run.title][run.seed] = _rewarded(run)
        dense = {name: of for name, of in by.items() if next(iter(of.values())).recipe.is_dense}
        name = max(dense, key=lambda name: (len(dense[name]), _bytes(dense[name])), default=None)
        if name is None:
            return None
        larger = {k for k, of in dense.items() if _bytes(of) >= _bytes(dense[name])}
        return cls(by[name], {k: of for k, of in by.items() if k not in larger})

    def alive(self) -> list[str]:
        """The versions that keep at least half of the dense tagger's F1, so that they have something to lose."""
        out = []
        for name, of in self.small.items():
            shared = sorted(of.keys() & self.dense.keys())
            if shared and mean_f1([of[s] for s in shared]).value > mean_f1([self.dense[s] for s in shared]).value / 2:
                out.append(name)
        return out

    def kept_more(self, other: Versions, name: str, level: float) -> Difference | None:
        """How much more of the dense tagger's F1 a version keeps on the other text than on this one, in percentage points."""
        if name not in other.small:
            return None
        sides = (self.dense, self.small[name], other.dense, other.small[name])
        seeds = sorted(set(sides[0]).intersection(*sides[1:]))
        if not seeds:
            return None
        a, b, c, d = ([of[seed].counts for seed in seeds] for of in sides)
        more = f1_kept((a, b), (c, d), level=level, draws=max(4000, ceil(20 / (1 - level))), average="languages")
        return Difference(len(seeds), *(100 * value for value in more[:3]))


def _bytes(of: Mapping[int, Run]) -> int:
    return max(row.size.bytes_disk if row.size else 0 for run in of.values() for row in run.rows)


def _compared(claim: str, texts: dict[str, tuple[Versions, Versions]], low_note: str = "") -> Verdict | None:
    """Every version on each text, beside the text at home, by intervals that hold all together (Bonferroni).

    It holds where all of them have three seeds and their lower end above −5 points, and fails where one with three seeds has its
    upper end below −5; else it is undecided. What is reported is the worst.
    """
    pairs = [(text, name) for text, (home, other) in texts.items() for name in home.alive() if name in other.small]
    level = 1 - 0.05 / max(1, len(pairs))
    found = {(text, name): c for text, name in pairs if (c := texts[text][0].kept_more(texts[text][1], name, level))}
    if not found:
        return None
    verdict: Judgement = "undecided"
    if any(c.seeds >= SEEDS and c.high < -FRAGILE for c in found.values()):
        verdict = "fails"
    elif all(c.seeds >= SEEDS and c.low > -FRAGILE for c in found.values()):
        verdict = "holds"
    notes = ["Percentage of the dense tagger's F1 that a version keeps there, minus that at home, in points."]
    for text in texts:
        each = sorted((c.difference, name, c) for (of, name), c in found.items() if of == text)
        notes += [f"{text}: {'; '.join(f'{name} {c}' for _, name, c in each)}."] if each else []
    notes.append(
        f"Intervals hold together ({plural(len(found), 'comparison')}, Bonferroni). {interval_note(found.values())}"
    )
    home = next(iter(texts.values()))[0]
    if left := sorted(home.small.keys() - {*home.alive()}):
        notes.append(f"Left out, with less than half of the dense tagger's F1: {', '.join(left)}.")
    notes.append(low_note)
    if not any(c.seeds >= SEEDS for c in found.values()):
        notes.append(f"None has {SEEDS} seeds, too few to judge by.")
    runs = [run for of in (home.dense, *home.small.values()) for run in of.values()]
    text, name = min(found, key=lambda key: found[key].difference)
    return stated(claim, verdict, found[text, name], notes, runs, where=f"{name} on {text}")


def judge_n2(measurements: Measurements) -> Verdict | None:
    """N2: what a version keeps of the dense tagger's F1 on languages of families that weren't trained on; at home are those that
    were. See `_compared`."""
    home = _home(measurements)
    families = {FAMILY.get(language) for row in home.rows for language in (row.target.trained if row.target else ())}
    away = _alike(measurements, home).where(lambda r: r.language in FAMILY and FAMILY[r.language] not in families)
    far, low_note = _with_something_to_lose(away)
    if None in families or not families or not far.rows:
        return None
    name = ", ".join(sorted({row.language for row in far.rows}))
    at_home, elsewhere = Versions.of(home), Versions.of(_as_one(far))
    return _compared("N2", {name: (at_home, elsewhere)}, low_note) if at_home and elsewhere else None


def judge_n3(measurements: Measurements) -> Verdict | None:
    """N3: what a version keeps of the dense tagger's F1 on perturbed text, and on other text in languages trained on; at home is
    the clean text of the corpus trained on. See `_compared`."""
    home = _home(measurements.clean)
    corpora, languages = {row.evaluated_on for row in home.rows}, {row.language for row in home.rows}
    texts: dict[str, list[Row]] = defaultdict(list)
    for row in _alike(measurements, home).seen.rows:
        if (row.evaluated_on not in corpora) != bool(row.perturbation):
            texts[row.perturbation or row.evaluated_on].append(row)
    pairs = {}
    for text, rows in sorted(texts.items()):
        at_home = Versions.of(home.within({row.language for row in rows}))
        elsewhere = Versions.of(measurements.of(rows).within(languages))
        if at_home and elsewhere:
            pairs[text] = at_home, elsewhere
    return _compared("N3", pairs) if pairs else None


def _with_something_to_lose(measurements: Measurements) -> tuple[Measurements, str]:
    """The rows in languages in which the dense tagger has an F1 of at least `FLOOR`, and a note that names the others."""
    f1: dict[str, list[float]] = defaultdict(list)
    recipes = {row.address: measurements.steps(row) for row in measurements.rows}
    addresses = {address for address, steps in recipes.items() if steps.is_dense}
    dense = [row for row in measurements.rows if row.address in addresses]
    for row in most(dense, lambda r: (r.base_digest, r.trained_on, measurements.steps(r).training)):
        f1[row.language].append(100 * without_absent(measurements.counts([row]))[0].scores().f1)
    low = sorted(language for language, values in f1.items() if fmean(values) < FLOOR)
    note = f"Left out, with a dense F1 below {FLOOR:g}: {', '.join(low)}." if low else ""
    return measurements.where(lambda row: row.language not in low), note


def _home(measurements: Measurements) -> Measurements:
    """The rows in languages trained on that may be compared: the set on the corpus trained on, or else the largest."""
    return next(iter(measurements.seen.comparable), measurements.of(()))


def _alike(measurements: Measurements, home: Measurements) -> Measurements:
    """The rows of the same taggers as those at home."""
    taggers = {row.address for row in home.rows}
    return measurements.where(lambda row: row.address in taggers)


def _as_one(measurements: Measurements) -> Measurements:
    """The rows of several corpora, renamed as if they were of one."""
    corpora = " + ".join(sorted({row.evaluated_on for row in measurements.rows}))
    return measurements.of(row.model_copy(update={"corpus": corpora, "source": corpora}) for row in measurements.rows)
