"""Rows: reports, verdicts, tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dinku.cli.terminal import print, print_json, table
from dinku.errors import DinkuError, plural

if TYPE_CHECKING:
    from dinku.study.definition import Study
    from dinku.study.results import Results
from dinku.cli.options import AnyStudy, AsJson, ResultsFolder, warn


def report(
    study: AnyStudy = None,
    results: ResultsFolder = Path("results"),
    out: Annotated[Path | None, typer.Option(help="Where to write; DINKU_HOME/reports unless given.")] = None,
    as_json: AsJson = False,
) -> None:
    """A page, Markdown, CSV and a figure from the rows of a study, or of every study that has any; these also on one page."""
    from dinku.report import build as reporting
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
        written["*"] = reporting.write_together(reports, below)  # no study can have that name
    if as_json:
        documents = {name: {path.name: str(path) for path in paths} for name, paths in written.items()}
        return print_json(next(iter(documents.values())) if study else documents)
    for path in (path for paths in written.values() for path in paths):
        print(path)
    return None


def claims(study: AnyStudy = None, results: ResultsFolder = Path("results"), as_json: AsJson = False) -> None:
    """The paper's claims: holds, fails, undecided or not measured, each with its numbers.

    Without a study, what each study that measures something of a claim says of it.
    """
    from dinku.claims.ledger import ledger, together
    from dinku.claims.measurements import Measurements

    studies = studies_of(study, results)
    if study and not results_of(studies[0], results).rows():
        remedy = f"run `dinku run {study}`, or name the folder that its rows are in with --results"
        raise DinkuError("has no rows to judge", where=str(results / studies[0].name), remedy=remedy)
    verdicts = {s.name: ledger(Measurements.current(results_of(s, results))) for s in studies}
    if as_json:
        every = [(name, verdict) for name, told in verdicts.items() for verdict in told]
        return print_json([verdict.document() | ({} if study else {"study": name}) for name, verdict in every])
    if study:
        for verdict in next(iter(verdicts.values())):
            print(f"{verdict.claim}  {verdict.verdict:12}  {verdict.said}\n    {verdict.found}\n")
        return None
    for claim, told in together(verdicts).items():
        print(f"{claim}  {told[0][1].said}")
        for name, verdict in told:
            print(f"    {verdict.verdict}{f' in {name}' if name else ''}: {verdict.found}")
        print()
    return None


def results_(
    study: AnyStudy = None,
    results: Annotated[
        list[Path] | None,
        typer.Option("--results", help="A folder of rows; given again, rows of several machines as one."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=VALUE", help="Rows that meet it; again: all, or any of one column."),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN,…",
            help="Group by these, such as arm,language; and by what no mean may mix, such as languages seen and unseen.",
        ),
    ] = None,
    value: Annotated[str, typer.Option(help="The column whose mean is told.")] = "f1",
    across: Annotated[str | None, typer.Option(metavar="COLUMN", help="Make a column of each of its values.")] = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", help="Write CSV there; ' stands before text that spreadsheets take for a formula."),
    ] = None,
    parquet: Annotated[Path | None, typer.Option("--parquet", help="Write Parquet there.")] = None,
    merge: Annotated[Path | None, typer.Option("--merge", help="Write all these rows into one folder of rows.")] = None,
    as_json: AsJson = False,
) -> None:
    """Rows, filtered, grouped and pivoted; those of several machines merged; what failed."""
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
            raise DinkuError("adds all rows, as they are", where="--merge", remedy="leave the other options out")
        return _merge(studies, folders, merge, as_json)
    if across and not by:
        raise DinkuError("makes columns of what rows are grouped by", where="--across", remedy="add --by")
    if value != "f1" and not by:
        raise DinkuError("is told of groups", where="--value", remedy="add --by")
    together = {name: records.merged(own) for name, own in folders.items()}
    rows = [row for name in together for row in together[name].rows]
    for row, first, second in (conflict for m in together.values() for conflict in m.conflicts):
        warn([f"{records.told(row)}: other counts in {second} than in {first}, whose are shown"])
    failures = [failure for own in folders.values() for each in own for failure in each.failures()]
    if not rows and not failures:
        raise DinkuError("holds no rows", where=str(places[0]), remedy="run `dinku run STUDY` first")
    current = {name: Current.together([Current.read(each.folder) for each in own]) for name, own in folders.items()}
    every = records.records(rows, current)
    asked = [name.strip() for each in by or () for name in each.split(",")]
    names = [records.column(every, name, where="by") for name in asked if name]
    found = records.chosen(every, where or ()) if rows else []
    if names and found:
        names = records.parted(found, names, value, across)
    shown = records.grouped(found, names, value, across) if names and found else found
    if csv:
        with files.written(csv) as file:
            file.write(records.as_csv(shown).encode())
    if parquet:
        records.write_parquet(shown, parquet)
    if as_json:
        return print_json({"rows": shown, "failures": [f.model_dump(mode="json", exclude_none=True) for f in failures]})
    if csv or parquet:
        return print(f"{plural(len(shown), 'row')} in {' and '.join(str(path) for path in (csv, parquet) if path)}")
    there = records.columns(shown)
    head = there if by else [c for c in _SHOWN if any(r.get(c) not in (None, "") for r in shown)]
    head = head if by else [*head, *(c for c in there if c.startswith("values."))]
    unit = records.column(found, value, where="value") if across and found else ""
    if found:
        plain = {*names, "rows"} if by else set(head)
        told = [[_figure(name if name in plain else unit or name, r.get(name)) for name in head] for r in shown]
        title = f"{plural(len(shown), 'row')} of {', '.join(folders)}"
        lead = len(names) or sum(name in _NAMING for name in head)
        table([name.removeprefix("values.") for name in head], told, title=title, lead=lead)
    elif rows:
        print(f"none of {plural(len(rows), 'row')} meets --where; {records.unmet(every, where or ())}")
    for failure in failures:
        print(f"failed ×{failure.attempts}: {failure.told}")
    return None


def _merge(studies: Sequence[Study], folders: dict[str, list[Results]], into: Path, as_json: bool) -> None:
    """Add rows to those of a folder, whose own studies are kept; nothing is written where any of them contradict one another."""
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
        kept = into / name / "study.json"
        if not kept.is_file():
            targets[name].describe(described.document())
        elif Study.read(kept) != described:
            warn([f"{kept}: is another study of that name, and is kept"])
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
    """The study of a file, or one of that name that has rows; without one all that have rows in the folders of results."""
    from dinku.study.definition import BUILT_IN, Study

    if study is None:
        found = [(place, each) for place in places for each in _with_rows(place)]
    elif not study.is_file() and (there := [p for p in places if (p / study / "study.json").is_file()]):
        found = [(place, Study.read(place / study / "study.json")) for place in there]
    elif study.is_file() or study.suffix or ":" in study.name or str(study) in BUILT_IN or len(study.parts) > 1:
        named = Study.read(study)
        if named.section:
            remedy = f"name {named.whole(study)}"
            raise DinkuError("rows are told of a study as a whole", where=str(study), remedy=remedy)
        found = [(study, named)]
    else:
        names = sorted({each.name for place in places for each in _with_rows(place)})
        problem = f"is no study that has rows in {' or '.join(map(str, places))}"
        raise DinkuError(problem, where=str(study), remedy=f"name a YAML file, or one of {', '.join(names)}")
    first: dict[str, Study] = {}
    for place, each in found:
        if first.setdefault(each.name, each) != each:
            warn([f"{each.name} is described otherwise in {place}; the first folder's description is taken"])
    return [first[name] for name in sorted(first)]


def _with_rows(place: Path) -> list[Study]:
    """The studies that have rows in a folder of results; raises `DinkuError` where there is none."""
    from dinku.files import told
    from dinku.study.definition import Study

    found = []
    with told(place, reading=True):
        for folder in sorted(path for path in place.glob("*") if path.is_dir()):
            described = folder / "study.json"
            if not any((folder / name).exists() for name in ("rows.jsonl", "failures.jsonl")):
                continue
            if not described.exists():
                warn([f"{folder}: its rows are left out, as there is no study.json beside them; run the study again"])
                continue
            found.append(Study.read(described))
            if found[-1].name != folder.name:
                remedy = f"keep it in a folder named {found[-1].name}"
                raise DinkuError(f"is the study {found[-1].name!r}", where=str(described), remedy=remedy)
    if not found:
        raise DinkuError("holds the rows of no study", where=str(place), remedy="name a study, or another --results")
    return found


def results_of(study: Any, folder: Path) -> Any:
    from dinku.study.results import Results

    return Results(folder / study.name)
