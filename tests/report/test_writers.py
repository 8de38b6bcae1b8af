"""The page: self-contained, escaped, and everything on it that it was given."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
from made_report import outline

from dinku.data.corpus import Sentence
from dinku.data.spans import Span
from dinku.report.html import html
from dinku.report.parts import Chip, Chips, Claim, Example, Fold, Grid, Lead, Ledger, Page, Part, Ref
from dinku.report.writers import is_numeric, latex, markdown

SVG = {"curves.svg": b'<?xml version="1.0"?><svg id="figure"><g id="a"></g><use href="#a"/></svg>'}
CLAIM = Claim(
    "C1", "as <dense>", "✗", "fails", "-2.9 [-3.9, -2.1] ×3", "consistent", ["said & done", "-1 of **all**"], "made-C1"
)
PARTS: list[Part] = [
    "Where it was measured.",
    "![F1](curves.svg)",
    "## F1",
    "Lost <b>nothing</b>, **so far**.",
    Grid(
        ["sparsity", "before", "mean"], [["10 %", "67.9 [66.1, 69.5] ×3", "4.0"], ["20 %", "66.0 [65.0, 67.0]", "1.0"]]
    ),
    "### more",
    Fold("All runs", [Grid(["recipe", "seed"], [[Ref("x", name="made-0123"), "0"]])]),
]
FIRST: list[Part] = [
    Lead("**int8** loses -0.2 F1 of 90 %."),
    Chips([Chip("unfinished: 1 of 2 recipes", "warning")]),
    Grid(["recipe", "F1"], [[Ref("**int8**\nquantized", to="made-0123"), "67.0 [66.0, 68.0] ×3"]], "cards"),
]


def made(parts: list[Part] = PARTS, *, title: str = "t", examples: tuple[Example, ...] = ()) -> str:
    ledger: list[Part] = ["## Claims", Ledger([CLAIM], paper=True)]
    return html(Page(title, FIRST, ledger, parts), figures=SVG, examples=examples)


def test_everything_is_on_it_and_nothing_is_fetched() -> None:
    page = made(title="A <title>")
    found = outline(page)
    assert {link.removeprefix("#") for link in found.links} <= set(found.ids)
    assert len(found.ids) == len(set(found.ids))
    assert not re.search(r"https?://|@import|url\((?!#)|fetch\(|XMLHttp", page)
    assert page.index("</main>") < page.index("<script>")  # all that is said stands there without it
    assert page.count("A &lt;title&gt;") == 2
    assert '<svg id="f0-figure"><g id="f0-a"></g><use href="#f0-a"/></svg>' in page
    assert "Lost &lt;b&gt;nothing&lt;/b&gt;, <strong>so far</strong>." in page
    headings = [tag for tag in found.seen if tag in ("h1", "h2", "h3", "nav", "table")]
    assert headings == ["h1", "table", "h2", "nav", "h2", "h2", "table", "h3", "table"]  # contents have a heading, too


def test_its_own_policy_allows_no_request_and_no_script_but_its_own() -> None:
    page = made()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="(.*?)"', page)
    assert policy is not None
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy[1]
    assert policy[1].startswith("default-src 'none'; img-src data:;")
    assert "onclick" not in page
    assert "unsafe-eval" not in page


def test_a_number_is_set_apart_from_its_interval_and_seeds_and_leads_to_its_runs() -> None:
    page = made()
    assert '67.9 <span class="interval">[66.1, 69.5]</span> <span class="seeds">×3</span>' in page
    assert '<span class="seeds one">×1</span>' in page  # beside one of three
    assert '<td class="n" data-head="F1">67.0 <span class="seeds">×3</span> <span class="interval">' in page
    assert '<th scope="row"><a href="#made-0123"><strong>int8</strong></a> <small>quantized</small></th>' in page
    assert '<th scope="row" id="made-0123">x</th>' in page
    assert "loses −0.2 F1 of 90\N{NO-BREAK SPACE}%." in page


def test_a_claim_is_one_line_with_all_it_rests_on_below() -> None:
    page = made()
    claim = page[page.index('<details id="made-C1" class="claim fails">') :].partition("</details>")[0]
    assert "<b>C1</b> as &lt;dense&gt;" in claim
    assert "−2.9 [−3.9, −2.1] ×3" in claim
    assert "<small>the paper</small> consistent" in claim
    assert "<p>said &amp; done</p><p>−1 of <strong>all</strong></p>" in claim


def test_differences_are_shaded_by_sign_and_the_worst_is_outlined() -> None:
    grid = Grid(
        ["recipe", "mean", "hau", "swa"], [["a", "-9.0", "-8.0", "-10.0"], ["b", "+0.0", "+2.5", ""]], "differences"
    )
    page = made([grid])
    cells = re.findall(r'<td class="n" data-sign="(\w+)" style="--v: (\d+)%"( data-worst="1")?>(.*?)</td>', page)
    assert [(sign, number, bool(worst)) for sign, _, worst, number in cells] == [
        ("lost", "−9.0", False),
        ("lost", "−8.0", False),
        ("lost", "−10.0", True),
        ("won", "+0.0", False),
        ("won", "+2.5", False),
    ]
    assert [int(depth) for _, depth, *_ in cells] == [47, 45, 50, 0, 25]


def test_columns_of_numbers_are_told_from_words() -> None:
    for numbers in (
        ["1", ""],
        ["67.9 [66.1, 69.5] ×3"],
        ["-0.05 [-0.48, +0.36] (3 seeds)"],
        ["1.49 %"],
        ["×0.54"],
        ["0.9 (hau)"],
    ):
        assert is_numeric(numbers), numbers
    for words in (["1 of 4 within 2 F1"], ["amh -0.5"], ["2024-11-05"], ["4 layers"]):
        assert not is_numeric(words), words


def test_markdown_and_latex_have_the_same_in_the_same_order() -> None:
    page = Page("t", FIRST, ["## Claims", Ledger([CLAIM], paper=False)], PARTS)
    text = markdown(page)
    places = [
        "# t",
        "**int8** loses",
        "unfinished: 1 of 2",
        "| **int8** (quantized) |",
        "## Claims",
        "| C1 as <dense> |",
    ]
    places += ["- **C1**: said & done -1 of", "Where it was", "## F1", "### more", "**All runs**", "| x | 0 |"]
    assert [text.index(place) for place in places] == sorted(text.index(place) for place in places)
    tex = latex(page.parts)
    assert tex.count(r"\begin{tabular}") == 3  # what is folded is left out
    assert r"\textbf{int8} (quantized)" in tex


@pytest.mark.parametrize("headings", [1, 2, 40])
def test_contents_list_what_there_is_to_choose_from(headings: int) -> None:
    page = made([part for i in range(headings) for part in (f"## Part, {i}:x", "### Size")])
    listed = re.findall(r'<li class="h(\d)"><a href="#(.*?)">', page)
    assert len([level for level, _ in listed if level == "2"]) == headings + 1
    assert len([level for level, _ in listed if level == "3"]) == (headings if headings <= 7 else 0)
    for _, name in listed:
        assert page.count(f'id="{name}"') == 1


def test_entities_stand_where_they_were_found() -> None:
    sentence = Sentence(("Amina", "Bello", "ta", "isa", "<Kano>", "."), None, "hau")
    example = Example(sentence, [Span(4, 5, "LOC"), Span(0, 2, "PER")])
    assert example.parts == [("Amina Bello", "PER"), ("ta isa", ""), ("<Kano>", "LOC"), (".", "")]
    page = made(examples=(example,))
    outline(page)
    assert '<mark class="PER">Amina Bello<b>PER</b></mark>' in page
    assert '<mark class="LOC">&lt;Kano&gt;<b>LOC</b></mark>' in page
    assert 'lang="hau"' in page
