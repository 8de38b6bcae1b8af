"""What compression did, as parts of a report: targets, damage by language and kind of error, perturbed text, transfer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean, pstdev

import numpy as np

from dinku.claims.compare import FLOOR
from dinku.claims.measurements import Measurements, Run
from dinku.errors import plural
from dinku.report.figures import Matrix
from dinku.report.parts import Fold, Grid, Part, Ref
from dinku.report.tables import Cell, Table, label_of, paired_runs
from dinku.scoring.counts import without_absent
from dinku.scoring.error_analysis import Errors, agreement, calibration_error, errors, losses, tagged
from dinku.study.rows import Row


def targets(table: Table) -> list[Part]:
    """Each language: how the tokenizer reads it, how new it is, and the F1 of one tagger with and without labels it lacks."""
    cell = table.dense or table.cells[0]
    rows = []
    for row in sorted(cell.runs[0].rows, key=lambda row: row.language):
        if row.target is None:
            return []
        of = row.target.features
        parts = [without_absent(run.counts.only(row.language)) for run in cell.runs]
        dropped = fmean(dropped for _, dropped in parts)
        rows.append(
            [
                row.language,
                f"{100 * of['unknown words']:.1f} %",
                f"{of['subwords a word']:.2f}",
                f"{100 * of['names not in train']:.0f} %",
                f"{of['train sentences']:,}",
                f"{cell.by_language[row.language]:.1f}",
                f"{100 * fmean(counts.scores().f1 for counts, _ in parts):.1f}" if dropped else "",
                f"{dropped:.0f}" if dropped else "",
            ]
        )
    head = ["", "words with an unknown piece", "subwords a word", "names not in train", "train sentences"]
    head += [f"{table.task.score}, {cell.label}", "without labels it lacks", f"{table.task.unit}s that drops"]
    return ["### Targets", Grid(head, rows)]


def differences(table: Table) -> list[Part]:
    """F1 minus the dense tagger's, by recipe and language; and the mean."""
    rows = []
    for cell in table.cells:
        if (lost := table.differences_by_language(cell)) and (minus := table.difference(cell)):
            label = Ref(cell.label, to=table.anchor(cell))
            rows.append([label, f"{minus.difference:+z.1f}", *(f"{lost[name]:+z.1f}" for name in table.languages)])
    if not rows:
        return []
    note = f"{table.task.heading} points minus the dense tagger's of the same seeds. What loses is orange, what gains blue, the "
    note += "worst cell outlined."
    return ["### Differences by language", note, Grid(["recipe", "mean", *table.languages], rows, "differences")]


def runs(table: Table) -> Fold:
    """Every run behind a table's cells: its seed, the beginning of its address, and its F1 by language."""
    rows = []
    for cell in table.cells:
        for i, run in enumerate(cell.runs):
            label = Ref(cell.label, name="" if i else table.anchor(cell))
            f1 = (f"{run.f1[name]:.1f}" for name in table.languages)
            rows.append([label, str(run.seed), run.address[:8], f"{run.mean:.1f}", *f1])
    score = table.task.score
    head = ["recipe", "seed", "address", score, *table.languages]
    said = f"`dinku results {table.rows[0].study}` lists these rows by address; `rows.csv` has the counts of {table.task.unit}s "
    said += "behind each."
    return Fold(f"All {len(rows)} runs: seeds, addresses, {score} by language", [said, Grid(head, rows)])


def damage(table: Table) -> list[Part]:
    """What each recipe cost against the dense tagger of the same seed: by language, and where answers were kept, by kind."""
    if table.dense is None or len(table.cells) < 2:
        return []
    before = _answered(table.dense, table.measurements)
    rows, kinds, alike = [], [before and before[1]], list[tuple[float, float] | None]()
    for cell in table.cells:
        minus = table.difference(cell)
        if minus is None:
            continue
        pairs = table.pairs(cell)
        lost, by_label = (
            losses(*(f1([pair[i] for pair in pairs]) for i in (0, 1))) for f1 in (_by_language, _by_label)
        )
        after = _answered(cell, table.measurements)
        kinds.append(after and after[1])
        if before and after:
            sides = ([tags for a, _ in pairs for tags in found[a.seed]] for found, _ in (before, after))
            alike.append(agreement(*sides)[:2])
        else:
            alike.append(None)
        rows.append(
            [
                Ref(cell.label, to=table.anchor(cell)),
                str(minus),
                *(", ".join(f"{loss.where} {100 * loss.relative:z.1f} %" for loss in of) for of in (lost, by_label)),
                f"{100 * pstdev(loss.relative for loss in lost):.1f}",
            ]
        )
    if not rows:
        return []
    score = table.task.score
    lost_of = f"part of {score} gone, the worst first"
    head = ["recipe", f"{score} minus dense", lost_of, "by label", "spread over languages, points"]
    if any(alike):
        head += ["words tagged alike", "sentences tagged alike"]
        for row, agree in zip(rows, alike, strict=True):
            row += [f"{100 * value:.1f} %" for value in agree] if agree else ["", ""]
    out: list[Part] = ["### Damage", Grid(head, rows)]
    if all(kinds):
        head = [f"gold {table.task.unit}s", *Errors._fields[:-1], "spurious, to 100 gold", "calibration error"]
        out += ["#### Kinds of errors", Grid(head, [line for line in kinds if line])]
    return out


def _by_language(runs: Sequence[Run]) -> dict[str, float]:
    """F1 by language, the mean over seeds."""
    return {language: fmean(run.f1[language] for run in runs) for language in runs[0].f1}


def _by_label(runs: Sequence[Run]) -> dict[str, float]:
    """F1 of each label that gold has, over all languages, the mean over seeds."""
    found = [run.counts.by_type() for run in runs]
    return {label: fmean(of[label].f1 for of in found) for label, scores in found[0].items() if scores.support}


def _answered(cell: Cell, measurements: Measurements) -> tuple[dict[int, list[tuple[str, ...]]], list[str]] | None:
    """The tags that were found, by seed, and the line of the table of errors; None where the answers of a row weren't kept."""
    found: dict[int, list[tuple[str, ...]]] = defaultdict(list)
    total, sure = np.zeros(len(Errors._fields)), []
    for run in cell.runs:
        for row in run.rows:
            answers = measurements.answers(row)
            if answers is None:
                return None
            found[run.seed] += answers.found
            total += errors(answers.gold, answers.found, row.task_of)
            sure.append(calibration_error(answers.gold, tagged(answers, row.task_of)))
    parts = 100 * total / max(1, total[:-1].sum())
    kinds = [cell.label, *(f"{part:.1f} %" for part in parts[:-1]), f"{parts[-1]:.1f}", f"{100 * fmean(sure):.1f} %"]
    return found, kinds


def perturbed(table: Table, measurements: Measurements) -> list[Part]:
    """F1 of the table's recipes on the same sentences perturbed, and how much of the clean F1 that is."""
    by = _noisy(table, measurements)
    lines = []
    found = {name: _on(of) for name, of in by.items()}
    for cell in table.cells:
        line = [cell.label, f"{cell.f1.value:.1f}"]
        for of in found.values():
            value = _mean_on(cell, of)
            kept = f" ({100 * value / cell.f1.value:.0f} %)" if value is not None and cell.f1.value else ""
            line.append("" if value is None else f"{value:.1f}{kept}")
        lines.append(line)
    shares = [_share(of.rows) for of in by.values()]
    if not any(any(line[2:]) for line in lines):
        return []
    score = table.task.score
    note = f"Mean {score} on perturbed sentences, and in brackets how much of the clean {score} that is; below, how many were "
    note += "changed."
    changed = ["sentences changed", "", *(f"{100 * share:.0f} %" for share in shares)]
    return ["### Perturbed text", note, Grid(["recipe", "clean", *found], [*lines, changed])]


def _noisy(table: Table, measurements: Measurements) -> dict[str, Measurements]:
    """The rows about the table's sentences in perturbed form, by perturbation."""
    corpora = {row.language: row.evaluated_on for row in table.quality}
    by: dict[str, list[Row]] = defaultdict(list)
    for row in measurements.rows:
        if row.perturbation and corpora.get(row.language) == row.evaluated_on:
            by[row.perturbation].append(row)
    return {perturbation: measurements.of(rows) for perturbation, rows in sorted(by.items())}


def _on(measurements: Measurements) -> dict[str, float]:
    """Mean F1 over languages by address."""
    return {run.address: run.mean for run in measurements.runs}


def _mean_on(cell: Cell, of: Mapping[str, float]) -> float | None:
    values = [of[run.address] for run in cell.runs if run.address in of]
    return fmean(values) if values else None


def f1_kept_matrix(tables: Sequence[Table], measurements: Measurements) -> Matrix | None:
    """How much of the dense tagger's mean F1 each recipe keeps, in percent, by text.

    That is what each table is evaluated on, and what the first is, perturbed; over the seeds that both have, whose number is
    told where the dense tagger has more. Texts where that has less than `dinku.claims.compare.FLOOR` are left out; there is
    none where there is but one text.
    """
    first, dense = tables[0], tables[0].dense
    if dense is None:
        return None
    texts: dict[str, dict[str, float]] = {}
    for table in tables:  # one of each base, and of each corpus that was trained on
        texts.setdefault(table.rows[0].evaluated_on, {}).update(_on(table.measurements))
    texts |= {name: _on(of) for name, of in _noisy(first, measurements).items()}
    legible = [text for text, of in texts.items() if (_mean_on(dense, of) or 0.0) >= FLOOR]
    if len(legible) < 2:
        return None
    found: dict[tuple[str, str], float] = {}
    for cell in first.cells:
        pairs = paired_runs(dense, cell) if cell is not dense else []
        label = cell.label if len(pairs) == len(dense.runs) else f"{cell.label} ({plural(len(pairs), 'seed')})"
        for text in legible:
            of = texts[text]
            both = [(of[a.address], of[b.address]) for a, b in pairs if a.address in of and b.address in of]
            if whole := sum(before for before, _ in both):
                found[label, text] = 100 * sum(after for _, after in both) / whole
    sources = list(dict.fromkeys(label for label, _ in found))
    return Matrix(f"{first.task.heading} kept, % of the dense tagger's", sources, legible, found) if found else None


def _share(rows: Sequence[Row]) -> float:
    one = {row.language: row for row in rows}.values()
    return sum(row.changed or 0 for row in one) / max(1, sum(row.sentences for row in one))


def matrices(tables: Sequence[Table]) -> list[Matrix]:
    """F1 by what a tagger was trained on and by the language that it tagged, a matrix for each arm and its values that two
    sources or more share. Of several corpora in a language the first table's counts."""
    by: dict[tuple[str, str, str], dict[tuple[str, str], float]] = defaultdict(dict)
    for table in tables:
        for cell in table.cells:
            row = cell.runs[0].rows[0]
            source = row.trained_on
            rest = {name: value for name, value in cell.values.items() if value != source}
            key = (label_of(cell.arm, rest), row.base_digest, row.split)
            for language, f1 in cell.by_language.items():
                by[key].setdefault((source, language), f1)
    families = {source.partition(":")[0] for values in by.values() for source, _ in values}
    out = []
    for key, values in by.items():
        if len(families) == 1:  # then the languages alone say it
            values = {(source.partition(":")[2] or source, language): f1 for (source, language), f1 in values.items()}
        sources, languages = (sorted({pair[i] for pair in values}) for i in (0, 1))
        if len(sources) > 1 and len(languages) > 1:
            out.append(Matrix(key[0], sources, languages, values))
    return out


def transfer(found: Sequence[Matrix]) -> list[Part]:
    """The matrices as tables; the figure of them is named `transfer.svg`."""
    if not found:
        return []
    out: list[Part] = ["## Transfer", "![F1 by what was trained on and what was tagged](transfer.svg)"]
    for matrix in found:
        rows = [
            [source, *(f"{f1:.1f}" if (f1 := matrix.f1.get((source, t))) is not None else "" for t in matrix.targets)]
            for source in matrix.sources
        ]
        out += [f"### {matrix.title}, trained on … and tagging …", Grid(["", *matrix.targets], rows)]
    return out
