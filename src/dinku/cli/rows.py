"""Rows reported, judged, filtered and merged."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import count, product
from pathlib import Path
from string import ascii_lowercase
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dinku.cli.options import AnyStudy, AsJson, ResultsFolder, warn
from dinku.cli.terminal import PAGE, fits, print, print_json, table, wrapped
from dinku.errors import DinkuError, plural

if TYPE_CHECKING:
    from dinku.claims.overview import Progress
    from dinku.claims.verdict import Verdict
    from dinku.study.definition import Study
    from dinku.study.results import Results
    from dinku.study.rows import Failure, Row


def report(
    study: AnyStudy = None,
    results: ResultsFolder = Path("results"),
    out: Annotated[Path | None, typer.Option(help="The folder to write to; by default DINKU_HOME/reports.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a study's page, tables and figures.

    Without a study, write them for every study that has rows, and one page of all.
    """
    from dinku.report import build as reporting
    from dinku.report.together import write_together
    from dinku.settings import home

    reports, written, unfinished = [], {}, list[reporting.Unfinished]()
    below = out or home() / "reports"
    for described in studies_of(study, results):
        try:
            reports.append(reporting.Report.of(described, results_of(described, results)))
        except reporting.Unfinished as error:
            unfinished.append(error)
            continue
        written[described.name] = reports[-1].write(out if study and out else below / described.name)
    if unfinished and not written:
        raise unfinished[0]
    warn(str(error) for error in unfinished)
    if len(reports) > 1:
        written["*"] = write_together(reports, below)  # no study can have that name
    if as_json:
        documents = {name: {path.name: str(path) for path in paths} for name, paths in written.items()}
        return print_json(next(iter(documents.values())) if study else documents)
    for path in (path for paths in written.values() for path in paths):
        print(path)
    return None


def claims(
    asked: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STUDY] [CLAIM]...",
            help="A study, as for run, by default all; and claims to explain in full, such as C5.",
        ),
    ] = None,
    results: ResultsFolder = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Judge the paper's claims by a study's rows.

    A claim holds (✓), fails (✗), is undecided (?) or is not measured. Name a claim to see its rule and its evidence.
    """
    from dinku.claims.ledger import ledger, together
    from dinku.claims.measurements import Measurements
    from dinku.claims.overview import Progress
    from dinku.claims.verdict import STATEMENTS

    told = [name.upper() for name in asked or () if re.fullmatch(r"[CNQcnq]\d+", name)]
    named = [name for name in asked or () if name.upper() not in told]
    for claim in told:
        if claim not in STATEMENTS:
            raise DinkuError("isn't a claim", where=claim, remedy=f"name one of {', '.join(STATEMENTS)}")
    if len(named) > 1:
        raise DinkuError("is a second study", where=named[1], remedy="name one study, or none for all")
    study = Path(named[0]) if named else None
    studies = studies_of(study, results)
    if study and not results_of(studies[0], results).rows():
        remedy = f"run `dinku run {study}`, or name the folder that its rows are in with --results"
        raise DinkuError("has no rows to judge", where=str(results / studies[0].name), remedy=remedy)
    measured = {s.name: Measurements.current(results_of(s, results)) for s in studies}
    verdicts = {name: [v for v in ledger(own) if not told or v.claim in told] for name, own in measured.items()}
    if as_json:
        every = [(name, verdict) for name, own in verdicts.items() for verdict in own]
        return print_json([verdict.document() | ({} if study else {"study": name}) for name, verdict in every])
    by = together(verdicts)
    if told:
        for claim, own in by.items():
            _tell(claim, own)
        return None
    _print_matrix(by, {s.name: Progress.of(s, measured[s.name].rows) for s in studies})
    return None


def _print_matrix(by: dict[str, list[tuple[str, Verdict]]], progress: dict[str, Progress]) -> None:
    """Print a matrix of claims and studies (turned if it is too wide), a line on each study, and a sentence on each claim."""
    from dinku.claims.ledger import repeats
    from dinku.claims.overview import agreed, cell, sentence
    from dinku.claims.verdict import CLAIMED, STATEMENTS

    judging = [name for name in progress if any(study == name for own in by.values() for study, _ in own)]
    letters = dict(zip(judging, _letters(), strict=False))
    parts = (
        ("The paper's claims (arXiv 2404.04759)", True),
        ("Questions and checks of ours, which it leaves open", False),
    )
    for title, claimed in parts:
        own = {claim: judged for claim, judged in by.items() if (claim in CLAIMED) == claimed}
        cells = {}
        for claim, judged in own.items():
            found, same = {study: cell(v) for study, v in judged if study}, repeats(judged)
            cells[claim] = [f"= {letters[same[name]]}" if name in same else found.get(name, "") for name in judging]
        rows = [
            [f"{claim} {STATEMENTS[claim].title}", *line, *([STATEMENTS[claim].paper] if claimed else [])]
            for claim, line in cells.items()
        ]
        head = ["", *letters.values(), *(["paper"] if claimed else [])]
        if judging and not fits(head, rows):  # then a line a study, as there are fewer claims
            head, rows = (
                ["", *cells],
                [[letters[name], *line] for name, *line in zip(judging, *cells.values(), strict=True)],
            )
        table(head, rows, title=title, elsewhere=PAGE)
    for name, letter in letters.items():
        print(f"{letter}  {name}: {progress[name]}")
    for name in [name for name in progress if name not in letters]:
        print(f"   {name}: measures no claim")
    if not any("afriberta" in v.on.lower() for own in by.values() for _, v in own):
        print("None is on the paper's AfriBERTa.")
    print("✓ holds  ✗ fails  ? undecided  = x: by rows that x has all of, counted once\n")
    for claim, judged in by.items():
        if any(study for study, _ in judged):
            wrapped(f"{claim}  {agreed(judged)}. {sentence(claim, judged)}", indent="    ")
    if left := [claim for claim, judged in by.items() if not any(study for study, _ in judged)]:
        print(f"{', '.join(left)}: not measured.")
    print("\nThe evidence for a claim: dinku claims C1")


def _letters() -> Iterator[str]:
    """a to z, then aa and so on."""
    return ("".join(of) for n in count(1) for of in product(ascii_lowercase, repeat=n))


def _tell(claim: str, own: list[tuple[str, Verdict]]) -> None:
    """Print all about one claim: its statement and rule, and for each study the deciding number, notes, and rows left out."""
    from dinku.claims.ledger import repeats
    from dinku.claims.overview import agreed
    from dinku.claims.verdict import CLAIMED, STATEMENTS

    said, same = STATEMENTS[claim], repeats(own)
    whose = "The paper says" if claim in CLAIMED else "A question of ours, as a statement"
    print(f"{claim}  {agreed(own)}")
    wrapped(f"{whose}: {said.said}")
    wrapped(f"It holds if {said.rule}.")
    print()
    for study, verdict in own:
        if not study:
            wrapped(verdict.found)
            print()
            continue
        print(f"{study}: {verdict.verdict}{f' (by rows that {same[study]} has all of)' if study in same else ''}")
        told = [f"Decides: {verdict.decides or 'nothing yet'}", f"On: {verdict.on}", verdict.found]
        if verdict.left_out:
            told.append("Left out: " + "; ".join(f"{plural(n, 'row')} {why}" for why, n in verdict.left_out.items()))
        for each in (*told, f"Recipes: {' '.join(address[:8] for address in verdict.rows)}"):
            wrapped(f"  {each}", indent="    ")
        print()


def results_(
    study: AnyStudy = None,
    results: Annotated[
        list[Path] | None,
        typer.Option(
            "--results", help="A folder of rows; may be repeated, to read the rows of several machines as one."
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="Keep rows with this value; may be repeated, for more values or columns.",
        ),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN,…",
            help="Group by these columns, such as arm,language, and by any column whose values no mean may mix.",
        ),
    ] = None,
    value: Annotated[str, typer.Option(help="The column whose mean is shown.")] = "f1",
    across: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Show a column for each value of this column.")
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv", help="Write CSV to this file, with a ' before text that a spreadsheet would run as a formula."
        ),
    ] = None,
    parquet: Annotated[Path | None, typer.Option("--parquet", help="Write Parquet to this file.")] = None,
    merge: Annotated[Path | None, typer.Option("--merge", help="Add all these rows to this folder of rows.")] = None,
    as_json: AsJson = False,
) -> None:
    """List, filter, group and merge rows.

    Steps that failed are listed as well.
    """
    from dinku import files
    from dinku.report import records
    from dinku.study.current import Current
    from dinku.study.results import Results

    places = results or [Path("results")]
    studies = studies_of(study, *places)
    if absent := [place for place in results or () if not place.is_dir()]:
        raise DinkuError("no such folder", where=str(absent[0]), remedy="name the folder that holds results")
    folders = {each.name: [Results(f / each.name) for f in places if (f / each.name).is_dir()] for each in studies}
    if merge:
        if where or by or across or csv or parquet:
            raise DinkuError("adds all rows unchanged", where="--merge", remedy="leave the other options out")
        return _merge(studies, folders, merge, as_json)
    if across and not by:
        raise DinkuError("needs --by", where="--across", remedy="name the columns to group rows by")
    if value != "f1" and not by:
        raise DinkuError("needs --by", where="--value", remedy="name the columns to group rows by")
    rows, failures = _rows(folders)
    if not rows and not failures:
        raise DinkuError("holds no rows", where=str(places[0]), remedy="run `dinku run STUDY` first")
    current = {name: Current.together([Current.read(each.folder) for each in own]) for name, own in folders.items()}
    every = records.records(rows, current)
    asked = [name.strip() for each in by or () for name in each.split(",")]
    names = [records.column(every, name, where="by") for name in asked if name]
    chosen = records.chosen(every, where or ()) if rows else []
    if names and chosen:
        names = records.parted(chosen, names, value, across)
    shown = records.grouped(chosen, names, value, across) if names and chosen else chosen
    if csv:
        with files.written(csv) as file:
            file.write(records.as_csv(shown).encode())
    if parquet:
        records.write_parquet(shown, parquet)
    if as_json:
        return print_json({"rows": shown, "failures": [f.model_dump(mode="json", exclude_none=True) for f in failures]})
    if csv or parquet:
        return print(f"{plural(len(shown), 'row')} in {' and '.join(str(path) for path in (csv, parquet) if path)}")
    if chosen:
        unit = records.column(chosen, value, where="value") if across else ""
        title = f"{plural(len(shown), 'row')} of {', '.join(folders)}"
        _print_table(shown, names, title=title, grouped=bool(by), unit=unit)
    elif rows:
        print(f"none of {plural(len(rows), 'row')} meets --where; {records.unmet(every, where or ())}")
    for failure in failures:
        print(f"failed ×{failure.attempts}: {failure.summary}")
    return None


def _rows(folders: dict[str, list[Results]]) -> tuple[list[Row], list[Failure]]:
    """The rows and failures of all studies; warns where folders have other counts for one row."""
    from dinku.report import records

    merged = [records.merged(own) for own in folders.values()]
    for row, first, second in (conflict for each in merged for conflict in each.conflicts):
        warn([f"{records.row_label(row)}: other counts in {second} than in {first}, whose are shown"])
    failures = [failure for own in folders.values() for each in own for failure in each.failures()]
    return [row for each in merged for row in each.rows], failures


def _print_table(shown: list[dict[str, Any]], names: list[str], *, title: str, grouped: bool, unit: str) -> None:
    """Print rows as a table, or groups by ``names``; ``unit`` is the column whose values fill pivoted columns."""
    from dinku.report import records

    columns = records.columns(shown)
    head = columns
    if not grouped:
        head = [name for name in _SHOWN if any(row.get(name) not in (None, "") for row in shown)]
        head += [name for name in columns if name.startswith("values.")]
    plain = {*names, "rows"} if grouped else set(head)
    cells = [[_figure(name if name in plain else unit or name, row.get(name)) for name in head] for row in shown]
    lead = len(names) or sum(name in _NAMING for name in head)
    table([name.removeprefix("values.") for name in head], cells, title=title, lead=lead)


def _merge(studies: Sequence[Study], folders: dict[str, list[Results]], into: Path, as_json: bool) -> None:
    """Add rows to a folder, whose own descriptions of studies stay; nothing is written if any rows contradict one another."""
    from dinku.report import records
    from dinku.study.current import Current
    from dinku.study.definition import Study
    from dinku.study.results import Results

    targets = {name: Results(into / name) for name in folders}
    for name, own in folders.items():
        records.check_alike([targets[name], *own])
    new = {}
    for described in studies:
        name = described.name
        description = into / name / "study.json"
        if not description.is_file():
            targets[name].describe(described.document())
        elif Study.read(description) != described:
            warn([f"{description}: is another study of that name, and is kept"])
        new[name], lost = records.merge(folders[name], targets[name])
        together = Current.together([Current.read(each.folder) for each in (targets[name], *folders[name])])
        if together.recipes:
            together.keep(targets[name].folder)
        if lost:
            warn([f"{plural(lost, 'row')} of {name} left out, as no folder has the counts behind them"])
    return print_json(new) if as_json else print(f"{plural(sum(new.values()), 'row')} added to {into}")


_NAMING = ("study", "arm", "seed", "language", "split", "perturbation")


_SHOWN = (*_NAMING, "f1_default", "bytes_download", "ratio_to_dense", "outdated")


def _figure(name: str, number: Any) -> str:
    """A cell: F1 in points, sizes in MB."""
    from dinku.report.records import plain

    if name.startswith("bytes") and number is not None:
        return f"{number / 1e6:.1f} MB"
    if isinstance(number, float):
        return f"{100 * number:.1f}" if name.startswith("f1") else f"{number:z.4g}"
    return plain(number)


def studies_of(study: Path | None, *places: Path) -> list[Study]:
    """The study in a file, or the study of that name that has rows; by default every study that has rows in these folders."""
    from dinku.study.definition import BUILT_IN, Study

    if study is None:
        named_studies = [(place, each) for place in places for each in _with_rows(place)]
    elif not study.is_file() and (there := [p for p in places if (p / study / "study.json").is_file()]):
        named_studies = [(place, Study.read(place / study / "study.json")) for place in there]
    elif study.is_file() or study.suffix or ":" in study.name or str(study) in BUILT_IN or len(study.parts) > 1:
        named = Study.read(study)
        if named.section:
            remedy = f"name {named.whole(study)}"
            raise DinkuError("is a section, and rows belong to the whole study", where=str(study), remedy=remedy)
        named_studies = [(study, named)]
    else:
        names = sorted({each.name for place in places for each in _with_rows(place)})
        problem = f"isn't a study that has rows in {' or '.join(map(str, places))}"
        raise DinkuError(problem, where=str(study), remedy=f"name a YAML file, or one of {', '.join(names)}")
    first: dict[str, Study] = {}
    for place, each in named_studies:
        if first.setdefault(each.name, each) != each:
            warn([f"{each.name} is described otherwise in {place}; the first folder's description is taken"])
    return [first[name] for name in sorted(first)]


def _with_rows(place: Path) -> list[Study]:
    """The studies that have rows in a folder of results; raises `DinkuError` if there is none."""
    from dinku.files import os_errors_as_dinku
    from dinku.study.definition import Study

    studies = []
    with os_errors_as_dinku(place, reading=True):
        for folder in sorted(path for path in place.glob("*") if path.is_dir()):
            described = folder / "study.json"
            if not any((folder / name).exists() for name in ("rows.jsonl", "failures.jsonl")):
                continue
            if not described.exists():
                warn([f"{folder}: its rows are left out, as there is no study.json beside them; run the study again"])
                continue
            studies.append(Study.read(described))
            if studies[-1].name != folder.name:
                remedy = f"keep it in a folder named {studies[-1].name}"
                raise DinkuError(f"is the study {studies[-1].name!r}", where=str(described), remedy=remedy)
    if not studies:
        raise DinkuError("holds the rows of no study", where=str(place), remedy="name a study, or another --results")
    return studies


def results_of(study: Any, folder: Path) -> Any:
    """The `Results` of a study in a folder of results."""
    from dinku.study.results import Results

    return Results(folder / study.name)
