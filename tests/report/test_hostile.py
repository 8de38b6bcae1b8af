"""Reports of what no one hopes for: labels with markup, one row, very many languages and recipes, and no zero with a minus."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from made_report import STUDY, outline
from made_rows import Made

from dinku.report import build
from dinku.report.together import write_together
from dinku.study.definition import Study
from dinku.study.results import Results

ROOT = Path(__file__).parent.parent.parent
MARKUP = '<img src=x onerror=alert(1)> **b** | `c` </script> ![i](//e.org/x) [l](javascript:1) \\ # $x$ & "q"'
NEGATIVE_ZERO = re.compile(r"(?<![\w.])[-−]0(\.0+)?(?![\d.])")


def written(study: Study, results: Results, out: Path) -> dict[str, str]:
    paths = build.write(study, results, out)
    return {path.name: path.read_text() for path in paths if path.suffix in (".html", ".md", ".tex", ".csv")}


def checked(page: str) -> str:
    """The page, after a look at its outline, its links, its ids, and that it asks nothing of anyone."""
    found = outline(re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL))
    assert len(found.ids) == len(set(found.ids))
    assert {link for link in found.links if not link.startswith("#")} == set()
    assert {link[1:] for link in found.links} <= set(found.ids)
    assert "script" not in found.seen[:-1]
    assert "img" not in found.seen
    return page


def test_labels_with_markup_are_text(tmp_path: Path) -> None:
    made = Made(tmp_path / "results" / "made")
    made.quality("dense", 0, 80, arm=f"dense {MARKUP}")
    made.quality("before", 0.5, 79, arm=MARKUP)
    made.quality("before", 0.9, 40, arm=f"## {MARKUP}")
    study = STUDY.model_copy(update={"title": MARKUP})
    files = written(study, made.results, tmp_path / "out")
    checked(files["report.html"])
    assert "<img" not in files["report.html"]
    report = build.Report.of(study, made.results)
    other = Made(tmp_path / "results" / "other")
    other.quality("dense", 0, 80, arm=MARKUP)
    reports = [report, build.Report.of(study.model_copy(update={"name": "other"}), other.results)]
    paths = write_together(reports, tmp_path / "all")
    checked(next(path for path in paths if path.suffix == ".html").read_text())


def test_one_row_is_a_report(tmp_path: Path) -> None:
    made = Made(tmp_path / "results" / "made", languages=("hau",))
    made.quality("dense", 0, 80, seeds=1)
    page = checked(written(STUDY, made.results, tmp_path / "out")["report.html"])
    assert "reaches 80.0 F1" in page
    assert "measures none of the paper" in page


def test_a_tagger_that_finds_nothing_is_a_report(tmp_path: Path) -> None:
    made = Made(tmp_path / "results" / "made")
    made.quality("dense", 0, 0, strict=0)
    made.quality("before", 0.5, 0, strict=0)
    files = written(STUDY, made.results, tmp_path / "out")
    checked(files["report.html"])
    assert not NEGATIVE_ZERO.search(files["report.md"])


@pytest.mark.parametrize(
    ("languages", "recipes"), [(3, 2), (60, 3), (3, 40), pytest.param(3, 200, marks=pytest.mark.slow)]
)
def test_few_and_many_languages_and_recipes(languages: int, recipes: int, tmp_path: Path) -> None:
    made = Made(tmp_path / "results" / "made", languages=tuple(f"l{i:02}" for i in range(languages)))
    made.quality("dense", 0, 80, seeds=1)
    for i in range(recipes):
        made.quality("before", 0.5, 79 - i % 40, seeds=1, arm=f"recipe {i}", training={"rate": 1.0 + i})
    page = checked(written(STUDY, made.results, tmp_path / "out")["report.html"])
    assert page.count("<figure") == 2
    first = page[page.index('<div class="wide cards') :].partition("</table>")[0]
    assert first.count("<tr>") <= 4  # kinds, however many recipes


def test_no_zero_has_a_minus(tmp_path: Path) -> None:
    made = Made(tmp_path / "results" / "made")
    made.quality("dense", 0, {"hau": 90, "swa": 80})
    made.quality("before", 0.3, {"hau": 90, "swa": 80})
    made.quality("before", 0.6, {"hau": 91, "swa": 79})
    made.quality("after", 0.6, {"hau": 90, "swa": 81})
    made.latency("before", 0.6, 1.0)
    for name, text in written(STUDY, made.results, tmp_path / "out").items():
        assert not NEGATIVE_ZERO.search(re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL)), name


@pytest.mark.slow
def test_no_zero_has_a_minus_in_any_report_of_the_repository_and_numbers_are_what_counts_say(tmp_path: Path) -> None:
    for folder in sorted(path.parent for path in (ROOT / "results").glob("*/rows.jsonl")):
        results, out = Results(folder), tmp_path / folder.name
        files = written(Study.read(folder / "study.json"), results, out)
        for name in ("report.html", "report.md", "report.tex"):
            text = re.sub(r"<svg.*?</svg>", "", files[name], flags=re.DOTALL)
            assert not (found := NEGATIVE_ZERO.search(text)), (
                f"{name} of {folder.name}: {text[found.start() - 50 :][:80]}"
            )
        checked(files["report.html"])
    again = [sys.executable, str(ROOT / "scripts" / "recount.py"), str(tmp_path), str(ROOT / "results")]
    done = subprocess.run(again, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.count("in the report")) == (0, 2 * len(list(tmp_path.iterdir()))), done.stdout
