"""The report: a pure function of rows, whose numbers are those of a second computation."""

from __future__ import annotations

import csv
import random
import re
import warnings
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from made_report import STUDY, table
from made_rows import Made, steps_of

from dinku.claims.ledger import ledger
from dinku.claims.measurements import Measurements
from dinku.errors import DinkuError
from dinku.methods.finetune import FineTune
from dinku.report import build, figures, writers
from dinku.report.parts import Grid
from dinku.report.tables import Table
from dinku.report.together import write_together
from dinku.study.definition import Study, Timing
from dinku.study.results import Results
from dinku.study.rows import Failure, Row


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Dense, before and after at two levels, three seeds but for 30 %, with times at 90 %."""
    rows = Made(tmp_path / "results" / "made")
    rows.quality("dense", 0, {"hau": 90, "swa": 80})
    rows.quality("before", 0.3, {"hau": 88, "swa": 80}, seeds=1)
    rows.quality("before", 0.9, {"hau": 80, "swa": 60})
    rows.quality("after", 0.9, {"hau": 20, "swa": 31})
    for language in ("before", "after"):
        rows.latency(language, 0.9, {"hau": 0.9, "swa": 1.3})
    return rows


def written(made: Made, folder: str = "out", study: Study = STUDY) -> dict[str, bytes]:
    paths = build.write(study, made.results, made.folder.parent / folder)
    names = {path.name for path in paths}
    costs = {f"{name}.{kind}" for name in ("front", "times") for kind in ("svg", "png")}
    assert names - costs == {"report.html", "report.md", "report.tex", "rows.csv", "curves.svg", "curves.png"}
    assert sorted(p.name for p in paths[0].parent.iterdir()) == sorted(p.name for p in paths)
    return {path.name: path.read_bytes() for path in paths}


def test_the_same_rows_in_any_order_give_the_same_bytes(made: Made) -> None:
    other = replace(made, folder=made.folder.parent / "again" / "made")
    for row in reversed(made.results.rows()):
        other.results.add(row, made.results.counts(row) if row.kind == "quality" else None)
    assert written(made) == written(other) == written(made)
    assert other.results.rows() == made.results.rows()


def test_the_table_holds_mean_f1_its_interval_and_its_seeds(made: Made) -> None:
    head, *lines = table(written(made)["report.md"].decode(), after="## F1")
    assert head == ["sparsity", "before", "strict", "after", "strict"]
    cells = {
        line[0]: dict(zip(["", "before", "before strict", "after", "after strict"], line, strict=True))
        for line in lines
    }
    assert list(cells) == ["0", "30 %", "90 %"]
    assert cells["30 %"]["after"] == ""
    for level, arm, f1, seeds in (
        ("0", "before", 85, 3),
        ("0", "after", 85, 3),
        ("30 %", "before", 84, 1),
        ("90 %", "before", 70, 3),
        ("90 %", "after", 25.5, 3),
    ):
        found = re.fullmatch(r"(\S+) \[(\S+), (\S+)\](?: ×(\d))?", cells[level][arm])
        assert found is not None
        value, low, high, times = found.groups()
        assert float(value) == f1
        assert int(times or 1) == seeds
        # Every seed has the same F1 here, so the interval is that of sentences: a normal one is close to it.
        ours = {"0": (90, 80), "30 %": (88, 80), "90 %": (80, 60) if arm == "before" else (20, 31)}[level]
        error = 1.96 * sum(p * (100 - p) / 100 for p in ours) ** 0.5 / 2
        assert float(low) == pytest.approx(f1 - error, abs=0.8)
        assert float(high) == pytest.approx(f1 + error, abs=0.8)
        assert cells[level][f"{arm} strict"] == f"{f1 - 4:.1f}"


def test_intervals_grow_where_seeds_differ(tmp_path: Path) -> None:
    def interval(*by_seed: int) -> list[float]:
        made = Made(tmp_path / "-".join(map(str, by_seed)) / "made")
        for seed, f1 in enumerate(by_seed):
            made.quality("dense", 0, f1, seeds=[seed])
        (_, *line), *_ = table(written(made)["report.md"].decode(), after="## F1")[1:]
        return [float(x) for x in re.findall(r"[\d.]+", line[0])[:3]]

    same, apart = interval(50, 50, 50), interval(30, 50, 70)
    assert same[0] == apart[0] == 50
    assert apart[2] - apart[1] > 2 * (same[2] - same[1])


def test_the_front_holds_what_no_other_beats(made: Made) -> None:
    made.quality("before", 0.6, {"hau": 40, "swa": 40})  # less F1 than at 90 %, for more
    files = written(made)
    text = files["report.md"].decode()
    head, *lines = table(text, after="By MB as a zstd download")
    assert head == ["recipe", "F1", "MB as a zstd download", "% of the dense F1", "times less"]
    assert [line[0] for line in lines] == ["before 90 %", "before 30 %", "dense"]
    assert [line[2:] for line in lines] == [
        ["0.15", "82.4", "1.18"],
        ["0.17", "98.8", "1.05"],
        ["0.18", "100.0", "1.00"],
    ]
    assert "whose clock alone makes 0.96" in text
    head, *lines = table(text, after="By time over the dense tagger's")
    assert head[:3] == ["recipe", "F1", "time over the dense tagger's"]  # these rows' reference was measured nowhere
    assert [line[0] for line in lines] == ["before 90 %"]
    assert files["front.svg"].count(b"<svg") == files["times.svg"].count(b"<svg") == 1
    assert text.index("![F1 against size](front.svg)") < text.index("## The paper's claims")
    assert "![F1 against time](times.svg)" in text
    assert files["report.html"].count(b"<svg") == 3


def test_a_point_of_the_front_says_what_it_is(made: Made) -> None:
    made.quality("before", 0.6, {"hau": 40, "swa": 40}, arm='a <b> & "c"')
    files = written(made)
    for page in (files["front.svg"].decode() + files["times.svg"].decode(), files["report.html"].decode()):
        points = re.findall(r'<g id="[^"]*" class="point" tabindex="0" role="img" aria-label=(.*?)><title>', page)
        assert len(points) == 5 + 2  # by download, and by time what was timed
        assert sum("beaten by no other" in point for point in points) == 3 + 1
        assert any(point.startswith('\'a &lt;b&gt; &amp; "c" 60 %: F1 40.0 [') for point in points)


def test_verdicts_come_first_and_failures_last(made: Made) -> None:
    text = written(made)["report.md"].decode()
    assert text.index("| C1 ") < text.index("## masakhaner:hau,swa, languages trained on") < text.index("## F1")
    assert "## What failed" not in text
    (row, *_) = made.results.rows()
    made.results.fail(
        Failure(
            study="made",
            recipe="before sparsity=0.5 seed 0",
            address="f" * 64,
            step={"Sparsify": {"sparsity": 0.5}},
            reason="it broke",
            environment=row.environment,
        )
    )
    again = written(made)["report.md"].decode()
    head, line = table(again, after="## What failed")
    assert dict(zip(head, line, strict=True)) == {
        "recipe": "before sparsity=0.5 seed 0",
        "step": "Sparsify",
        "reason": "it broke",
        "attempts": "1",
    }
    assert again.startswith(text.partition("## Provenance")[0])


def test_rows_of_older_methods_are_said_to_be(made: Made) -> None:
    assert b"other versions of methods" not in written(made)["report.md"]
    old = Made(made.folder.parent / "old" / "made")
    old.quality("dense", 0, 80, versions={"FineTune": 1})
    old.quality("before", 0.6, 80, versions={"FineTune": FineTune.version, "Sparsify": 0})
    now = f"FineTune 1 (now {FineTune.version}); Sparsify 0 (now 1)"
    assert f"By other versions of methods than this dinku's: {now}." in written(old)["report.md"].decode()


def test_several_studies_are_chapters_under_one_ledger(made: Made, tmp_path: Path) -> None:
    other = Made(tmp_path / "results" / "other")
    other.quality("dense", 0, 90)
    other.quality("before", 0.6, 50)
    studies = (STUDY, made.results), (STUDY.model_copy(update={"name": "other"}), other.results)
    reports = [build.Report.of(*each) for each in studies]
    some = Made(tmp_path / "results" / "some", split_size=552)
    some.quality("dense", 0, 90)
    some.quality("before", 0.6, 50)
    part = build.Report.of(STUDY.model_copy(update={"name": "some"}), some.results)
    (text,) = (p for p in write_together([*reports, part], tmp_path / "part") if p.suffix == ".md")
    assert "**some, some of the sentences: fails**" in text.read_text()
    for each in reports:
        each.write(tmp_path / "out" / each.name)
    paths = write_together(reports, tmp_path / "out")
    assert [path.name for path in paths] == ["report.html", "report.md", "report.tex"]
    page, markdown, tex = (path.read_text() for path in paths)
    _, made_line, other_line = table(markdown, after="# What 2 studies found")
    assert (made_line[0], other_line[0]) == ("**made**", "**other**")
    head, *ledger = table(markdown, after="## The paper's claims (arXiv 2404.04759)")
    assert head == ["claim", "verdict", "found here", "the paper"]
    said = {line[0][:2]: line[1] for line in ledger}
    one = "in 1 study**"
    assert said == {"C1": "**fails in 1 of 2, undecided in 1**", "C2": f"**holds {one}", "C7": f"**fails {one}"}
    assert "Not measured here: C3, C4, C5, C6, C8, Q1" in markdown
    _, *matrix = table(markdown, after="Every verdict of every study")
    assert [line[:3] for line in matrix] == [["made", "? -1.0", "✓ +44.5"], ["other", "✗ -40.0", ""]]
    headings = ("## made", "#### F1", "##### before, by language", "## other")
    assert sorted(headings, key=markdown.index) == [*headings]
    for image in re.findall(r"!\[.*?\]\((.*?)\)", markdown):
        assert (tmp_path / "out" / image).is_file()
    assert page.count("<svg") == 5
    assert "by language" in tex
    for to in re.findall('href="#(.*?)"', page):
        assert f'id="{to}"' in page


def test_rows_that_studies_share_count_once(made: Made, tmp_path: Path) -> None:
    shared = Made(tmp_path / "results" / "shared")
    for row in made.results.rows():
        copied = row.model_copy(update={"study": "shared"})
        shared.results.add(copied, made.results.counts(row) if row.kind == "quality" else None)
    reports = [
        build.Report.of(STUDY.model_copy(update={"name": each.folder.name}), each.results) for each in (made, shared)
    ]
    (text,) = (p.read_text() for p in write_together(reports, tmp_path / "out") if p.suffix == ".md")
    ledger = {line[0][:2]: line[1] for line in table(text, after="## The paper's claims (arXiv 2404.04759)")[1:]}
    assert ledger["C2"] == "**holds in 1 study**"
    assert "by rows that made has all of: counted once" in text
    assert f"2 studies, {len(made.results.rows())} rows." in text


def test_latex_holds_the_tables_of_the_report(made: Made) -> None:
    files = written(made)
    tex, markdown = files["report.tex"].decode(), files["report.md"].decode()
    folded = 1  # the table of runs
    assert (
        tex.count(r"\begin{tabular}")
        == tex.count(r"\end{table}")
        == len(re.findall(r"^\| :--", markdown, re.M)) - folded
    )
    assert r"90 \% & 70.0 {[}" in tex
    assert r"C1 pruned before: as dense to 60 \% & \textbf{" in tex
    for line in tex.splitlines():
        if " & " in line:
            assert line.endswith(r" \\")
    every = writers.latex([Grid(["a", "b"], [[r"50 % & $1_2^3~{x}\y", "−1 × 2"]])])
    assert r"50 \% \& \$1\_2\textasciicircum{}3\textasciitilde{}\{x\}\textbackslash{}y & $-$1 $\times$ 2 \\" in every


def test_there_is_no_front_of_one_recipe(tmp_path: Path) -> None:
    alone = Made(tmp_path / "alone" / "made")
    alone.quality("dense", 0, 50)
    files = written(alone)
    assert "front.svg" not in files
    assert "Pareto" not in files["report.md"].decode()


def test_the_reference_takes_its_own_time(made: Made) -> None:
    rows = made.results.rows()
    address = next(row.address for row in rows if row.arm == "dense")
    own = [row.latency and row.latency.model_copy(update={"reference": address}) for row in rows]
    rows = [row.model_copy(update={"latency": latency}) for row, latency in zip(rows, own, strict=True)]
    first = Table.of(STUDY, made.measurements.of(rows).comparable[0])
    times = {cell.label: cost for cell, cost in first.fronts[1].points}
    assert times["dense"] == 1.0
    assert times["before 90 %"] == 1.1


def test_by_language_the_one_that_loses_most_comes_first(made: Made) -> None:
    text = written(made)["report.md"].decode()
    before, after = (table(text, after=f"### {arm}, by language") for arm in ("before", "after"))
    assert before == [
        ["", "0", "30 %", "90 %", "mean loss"],
        ["swa", "80.0", "80.0", "60.0", f"{mean([0, 20]):.1f}"],
        ["hau", "90.0", "88.0", "80.0", f"{mean([2, 10]):.1f}"],
    ]
    assert [line[0] for line in after[1:]] == ["hau", "swa"]


def test_sizes_and_times(made: Made) -> None:
    text = written(made)["report.md"].decode()
    sizes = {line[0]: line[1:] for line in table(text, after="## Size")[1:]}
    assert sizes["before 90 %"] == ["50,000", "90.00 %", "41,000", "0.2", "0.2"]
    assert list(sizes) == ["dense", "before 30 %", "before 90 %", "after 90 %"]
    times = {line[0]: line[1:] for line in table(text, after="## Time")[1:]}
    assert times["after 90 %"] == ["1.100", "0.900 (hau)", "1.300 (swa)", "slower"]
    assert "0.960 to 1.040" in text
    assert "48 of 200 test sentences, one by one" in text


def test_the_ledger_is_in_it(made: Made) -> None:
    text = written(made)["report.md"].decode()
    claims = {line[0][:2]: line[1:] for line in table(text, after="## The paper's claims")[1:]}
    assert {claim: line[0] for claim, line in claims.items()} == {
        "C1": "**undecided**",
        "C2": "**holds**",
        "C7": "**fails**",
    }
    assert claims["C1"][2] == "consistent to 60 %"
    assert "Questions and checks of ours" not in text  # for want of any that is measured
    assert "Not measured here: C3, C4, C5, C6, C8, Q1, Q2, Q3, N1, N2, N3" in text
    details = text.partition("- **C1**: ")[2].partition("\n")[0]
    assert "fairly consistent" in details
    assert "It holds if at every level" in details
    assert "Measured on tiny" in details


def test_rows_csv_is_a_line_a_row(made: Made) -> None:
    rows = {(str(r.kind), r.address, r.language): r for r in made.results.rows()}
    lines = list(csv.DictReader(written(made)["rows.csv"].decode().splitlines()))
    assert len(lines) == len(rows)
    for line in lines:
        row = rows[line["kind"], line["address"], line["language"]]
        assert (line["arm"], int(line["seed"]), line["cpu"]) == (row.arm, row.seed, "A Processor")
        if row.kind == "quality":
            f1 = made.results.counts(row).scores().f1
            assert float(line["f1_default"]) == pytest.approx(f1, abs=1e-12)
            assert float(line["f1_strict"]) == pytest.approx(f1 - 0.04, abs=1e-12)
            assert (int(line["gold_default"]), int(line["correct_default"])) == (100, round(100 * f1))
            assert float(line["linear_sparsity"]) == pytest.approx(row.values.get("sparsity", 0.0))
            assert line["seconds_subject"] == ""
        else:
            assert float(line["ratio_to_dense"]) == {"hau": 0.9, "swa": 1.3}[row.language]
            assert line["f1_default"] == ""


def test_n_of_n_is_said_and_so_is_the_sample(made: Made) -> None:
    assert b"200 test sentences" in written(made)["report.md"]
    assert b"sample" not in written(made)["report.md"]
    part = Made(made.folder.parent / "part" / "made", corpus="sample:hau,swa", split_size=552)
    part.quality("dense", 0, 80)
    text = written(part)["report.md"].decode()
    assert text.startswith("# A made-up study (sample)\n")
    assert "200 of 1,104 test sentences (the embedded sample, no real corpus)" in text


def test_what_is_not_measured_on_every_language_is_left_out_and_counted(made: Made) -> None:
    made.languages = ("hau",)
    made.quality("after", 0.3, 99)
    text = written(made)["report.md"].decode()
    assert "Left out until they are measured on every language: 3 recipes." in text
    assert "99.0" not in text


def test_other_bases_have_tables_of_their_own(made: Made) -> None:
    made.base = "other"
    made.quality("before", 0.9, 11)
    text = written(made)["report.md"].decode()
    assert text.count("## F1") == 2
    assert text.index("(base tiny)") < text.index("(base other)")
    assert table(text[text.index("Base other") :], after="### F1")[1][1].startswith("11.0 ")


def test_a_change_of_training_is_not_mixed_in(made: Made) -> None:
    made.quality("before", 0.9, 11, training={"rate": 1.0})
    text = written(made)["report.md"].decode()
    assert text.count("## F1") == 2
    assert table(text, after="## F1")[3][1].startswith("70.0 ")


def test_of_two_recipes_by_one_name_and_training_the_commoner_is_shown(made: Made) -> None:
    prune, tune = steps_of("before", 0.9)
    prune = {"Sparsify": {**prune["Sparsify"], "granularity": "matrix"}}
    made.quality("before", 0.9, 11, seeds=2, steps=[prune, tune])
    text = written(made)["report.md"].decode()
    assert table(text, after="## F1")[3][1].startswith("70.0 ")
    assert "Left out, being of recipes that changed" in text
    assert "about other sentences: 4 rows." in text


def test_studies_without_a_grid_of_sparsity_get_a_table_of_recipes(tmp_path: Path) -> None:
    made = Made(tmp_path / "made", languages=("hau",))
    made.quality("dense", 0, 80, arm="one")
    made.quality("dense", 0, 60, arm="two", training={"rate": 1.0}, strict=0)
    text = written(made)["report.md"].decode()
    head, *lines = table(text, after="## F1")
    assert head == ["recipe", "F1", "strict"]
    assert [(line[0], line[1].split()[0], line[2]) for line in lines] == [
        ("one", "80.0", "76.0"),
        ("two", "60.0", "60.0"),
    ]


def test_without_rows_it_says_where_it_looked_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DinkuError, match="made: has no rows to report; run `dinku run STUDY` first") as error:
        build.write(STUDY, Results(tmp_path / "made"), tmp_path / "out")
    assert error.value.status == 2
    assert not (tmp_path / "out").exists()


def test_until_a_recipe_is_measured_on_every_language_there_is_nothing_to_show(tmp_path: Path) -> None:
    made = Made(tmp_path / "made", languages=("hau",))
    made.quality("dense", 0, 80)
    made.languages = ("swa",)
    made.quality("before", 0.6, 80)
    with pytest.raises(DinkuError, match="no recipe measured on every language"):
        written(made)


def test_a_folder_that_can_not_be_written_is_an_error_of_status_1(made: Made) -> None:
    out = made.folder.parent / "file"
    out.write_text("")
    with pytest.raises(DinkuError, match="can't be written") as error:
        build.write(STUDY, made.results, out)
    assert error.value.status == 1


def test_a_study_may_name_what_its_recipes_are_measured_against(made: Made) -> None:
    """As one does that quantizes what is trained already."""
    rows = [r.model_copy(update={"values": {}}) if r.arm == "before" else r for r in made.results.rows()]
    rows = [row for row in rows if row.values.get("sparsity") != 0.3]
    study = STUDY.model_copy(update={"latency": Timing.model_validate({"reference": "before"})})
    found = [Table.of(each, made.measurements.of(rows)).dense for each in (STUDY, study)]
    assert [cell and cell.arm for cell in found] == ["dense", "before"]


def test_a_studys_own_words_are_no_formulas(made: Made) -> None:
    made.quality("dense", 0, 80, arm=r"de$x$nse <b> $\foo$")
    made.quality("before", 0.9, 60)
    study = STUDY.model_copy(update={"title": r"a $\foo$ b"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = build.Report.of(study, made.results)
    assert rb"a $\foo$ b" in found.figures["curves.svg"] or "curves.svg" not in found.figures


class Shuffled(Results):
    """Rows of a study as they might as well have come: in an order of their own each time they are asked for."""

    draw = random.Random(0)

    def rows(self) -> list[Row]:
        rows = super().rows()
        self.draw.shuffle(rows)
        return rows


def test_a_real_study_is_reported_alike_whatever_the_order_of_its_rows(tmp_path: Path) -> None:
    folder = (
        Path(__file__).parent.parent.parent / "results" / "sparse-int8-cpu"
    )  # three seeds, two quantizations, and times
    study = Study.read(folder / "study.json")
    pages = []
    for i, results in enumerate((Results(folder), Shuffled(folder), Shuffled(folder))):
        paths = build.write(study, results, tmp_path / str(i))
        pages.append({path.name: path.read_bytes() for path in paths if path.suffix != ".png"})
    assert pages[0] == pages[1] == pages[2]


def test_every_interval_of_one_quantity_is_the_same(tmp_path: Path) -> None:
    """A verdict pairs seeds as the table of damage does, however the addresses of their rows are sorted."""
    folder = Path(__file__).parent.parent.parent / "results" / "sparse-int8-cpu"
    study, results = Study.read(folder / "study.json"), Results(folder)
    (c5,) = (verdict for verdict in ledger(Measurements.current(results)) if verdict.claim == "C5")
    said = re.search(r"LLM.int8\(\) minus the same tagger before it, F1 points: (\S+ \[.+?\] \(3 seeds\))", c5.found)
    assert said is not None
    made = build.Report.of(study, results).write(tmp_path)
    assert said[1] in next(path for path in made if path.name == "report.md").read_text().partition("## Damage")[2]


def test_what_the_font_of_figures_lacks_is_said_in_the_page_and_nowhere_else(made: Made) -> None:
    study = STUDY.model_copy(update={"title": "ሰላም ọ̀rọ̀ 名"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = build.Report.of(study, made.results)
    said = "Figures show a box for each of these characters, which their font lacks: ላ ም ሰ 名"
    assert found.parts[-1] == said
    assert not any("font lacks" in str(part) for part in build.Report.of(STUDY, made.results).parts)


def test_no_title_of_a_figure_is_cut_and_no_label_lies_on_another(
    made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    drawn: dict[str, Any] = {}
    saved = figures._saved

    def kept(figure: Any, name: str) -> dict[str, bytes]:
        drawn[name] = figure
        return saved(figure, name)

    monkeypatch.setattr(figures, "_saved", kept)
    for i in range(30):
        name = f"pruned, and then something else as well {i}"
        made.quality("dense", 0, 60, seeds=1, arm=name, training={"rate": 1.0 + i})
    title = "What a long title says of encoders, made smaller in every way that there is, on many a language"
    long = Table.of(STUDY, made.measurements)
    assert len(long.cells) > 30
    matrix = figures.Matrix("F1 kept, % of the dense tagger's", ["a recipe with a name"], ["one"], {})
    figures.curves(long, title)
    figures.heat([matrix], title, name="kept")
    for figure in drawn.values():
        figure.draw_without_rendering()  # at its own resolution again
        texts = [figure._suptitle, *(axes.title for axes in figure.axes)]
        boxes = [text.get_window_extent() for text in texts if text.get_text()]
        width, height = figure.bbox.width, figure.bbox.height
        assert all(box.x0 >= 0 and box.x1 <= width and box.y0 >= 0 and box.y1 <= height for box in boxes)
    labels = [label.get_window_extent() for label in drawn["curves"].axes[0].get_yticklabels()]
    assert all(upper.y0 >= lower.y1 for upper, lower in pairwise(labels))


def test_a_figure_is_no_wider_in_the_page_than_it_was_drawn(made: Made) -> None:
    page = written(made)["report.html"].decode()
    drawn = re.search(r'<svg [^>]*width="([\d.]+pt)"', page)
    assert drawn is not None
    assert f'<figure class="wide" tabindex="0" aria-label="F1 against size" style="--width: {drawn[1]}">' in page
    assert "max-width: var(--width)" in page
