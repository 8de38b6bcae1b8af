"""The page: self-contained, escaped, and everything on it that it was given."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from dinku.data.corpus import Sentence
from dinku.data.spans import Span
from dinku.report.writers import Example, Grid, html

SVG = {"curves.svg": b'<?xml version="1.0"?><svg id="figure"></svg>'}
PARTS: list[str | Grid] = [
    "Where it was measured.",
    "![F1](curves.svg)",
    "## F1",
    "Lost <b>nothing</b>, **so far**.",
    Grid(
        ["sparsity", "before", "mean loss"], [["10 %", "67.9 [66.1, 69.5] ×3", "4.0"], ["20 %", "", "1.0"]], heat=True
    ),
    "### more",
    Grid(["claim", "verdict"], [["C1", "**holds**"]]),
]


class Outline(HTMLParser):
    """Tags in order; raises where one isn't closed by its own."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.links += [str(value) for key, value in attrs if key in ("src", "href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    assert not parser.open
    return parser


def test_everything_is_on_it_and_nothing_is_fetched() -> None:
    page = html("A <title>", PARTS, figures=SVG)
    found = outline(page)
    assert found.links == []
    assert not re.search(r"https?://|@import|url\(|fetch\(|XMLHttp", page)
    assert re.findall("<script.*?>", page) == ["<script>"]
    assert page.index("</main>") < page.index("<script>")  # all that is said stands there without it
    assert page.count("A &lt;title&gt;") == 2
    assert '<svg id="figure">' in page
    assert "Lost &lt;b&gt;nothing&lt;/b&gt;, <strong>so far</strong>." in page
    assert [tag for tag in found.seen if tag in ("h1", "h2", "h3", "table")] == ["h1", "h2", "table", "h3", "table"]
    assert "<strong>holds</strong>" in page


def test_f1_is_shaded_and_nothing_else() -> None:
    page = html("t", PARTS, figures=SVG)
    assert re.findall(r'style="--v: (\S+)"', page) == ["68%"]


def test_entities_stand_where_they_were_found() -> None:
    sentence = Sentence(("Amina", "Bello", "ta", "isa", "<Kano>", "."), None, "hau")
    example = Example(sentence, [Span(4, 5, "LOC"), Span(0, 2, "PER")])
    assert example.parts == [("Amina Bello", "PER"), ("ta isa", ""), ("<Kano>", "LOC"), (".", "")]
    page = html("t", PARTS, figures=SVG, examples=[example])
    outline(page)
    assert '<mark class="PER">Amina Bello<b>PER</b></mark>' in page
    assert '<mark class="LOC">&lt;Kano&gt;<b>LOC</b></mark>' in page
    assert 'lang="hau"' in page
