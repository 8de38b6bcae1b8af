"""One self-contained HTML page: it requests nothing, and is readable on a phone, in the dark and without script.

Everything that comes from a study is escaped. The page's own policy allows no request, and no script but the page's.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from html import escape
from itertools import count
from pathlib import Path

from dinku.report.parts import Chips, Example, Fold, Grid, Lead, Ledger, Page, Part, Ref
from dinku.report.writers import is_numeric


def html(page: Page, *, figures: Mapping[str, bytes], examples: Sequence[Example] = ()) -> str:
    """The page; where an image stands in its parts, there is that SVG of ``figures``.

    Text is escaped; of Markdown's own marks only ``**bold**`` and a code between backticks are known. ``examples`` follow
    the ledger.
    """
    writer = _Writer(figures)
    style, script = _file("page.css"), _file("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    policy += f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    title = escape(page.title)
    first, ledger = "".join(writer.parts(page.first)), "".join(writer.parts(page.ledger))
    rest = "".join(writer.parts(page.rest))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f'<header class="block">\n<h1>{title}</h1>\n{first}</header>\n'
        f'<section class="block">\n{ledger}{_examples(examples)}</section>\n'
        f'{writer.contents()}<section class="block">\n{rest}</section>\n</main>\n<script>{script}</script>\n</body>\n</html>\n'
    )


@cache
def _file(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _examples(examples: Sequence[Example]) -> str:
    if not examples:
        return ""
    out = ['<h2 id="examples">What a tagger finds</h2>\n']
    for example in examples:
        language = escape(example.sentence.language)
        words = "".join(
            f' <mark class="{escape(label)}">{escape(text)}<b>{escape(label)}</b></mark> ' if label else escape(text)
            for text, label in example.parts
        )
        out.append(f'<p class="example" lang="{language}"><small>{language}</small>{words}</p>\n')
    return "".join(out)


def _inline(text: str) -> str:
    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", escape(text))
    text = _PERCENT.sub("\N{NO-BREAK SPACE}%", text)
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", text)


def _breakable(text: str) -> str:
    """Text that may also be broken within a list of names."""
    return re.sub(r"([,:/])(?=\w)", r"\1<wbr>", escape(text))


_F1 = re.compile(r"([-+]?\d+\.\d+) (\[[^\]]*\])(?: ×(\d+))?\Z")
_PERCENT = re.compile(r"(?<=\d) %")
_MINUS = re.compile(r"(?<![\w.-])-(?=\d)")


class _Writer:
    """Writes parts, and remembers headings."""

    def __init__(self, figures: Mapping[str, bytes]) -> None:
        self.figures = figures
        self.headings: list[tuple[int, str, str]] = []
        self.names: set[str] = set()
        self.number = count()

    def parts(self, parts: Sequence[Part], *, listed: bool = True) -> Iterator[str]:
        for part in parts:
            if isinstance(part, Grid):
                yield self.grid(part)
            elif isinstance(part, Chips):
                chips = "".join(f'<li class="{chip.tone}">{escape(chip.text)}</li>' for chip in part.chips)
                yield f'<ul class="chips">{chips}</ul>\n'
            elif isinstance(part, Ledger):
                yield self.ledger(part)
            elif isinstance(part, Fold):
                inner = "".join(self.parts(part.parts, listed=False))
                yield f"<details><summary>{escape(part.title)}</summary>\n{inner}</details>\n"
            elif isinstance(part, Lead):
                yield f'<p class="lead">{_inline(_MINUS.sub("−", part))}</p>\n'
            elif part.startswith("#"):
                yield self.heading(part, listed=listed)
            elif part.startswith("!["):
                yield self.figure(part)
            else:
                yield f"<p>{_inline(part)}</p>\n"

    def heading(self, part: str, *, listed: bool) -> str:
        marks, _, text = part.partition(" ")
        level = min(len(marks), 6)
        own = part.name if isinstance(part, Ref) else ""
        slug = own or re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "part"
        name = slug if slug not in self.names else next(n for i in count(2) if (n := f"{slug}-{i}") not in self.names)
        self.names.add(name)
        if listed:
            self.headings.append((level, name, text))
        return f'<h{level} id="{escape(name)}">{_breakable(text)}</h{level}>\n'

    def contents(self) -> str:
        """Links to headings of the first rank, and of the second as far as there aren't too many."""
        most = 2 if len([h for h in self.headings if h[0] == 2]) > _MANY else 3
        items = [
            f'<li class="h{level}"><a href="#{escape(name)}">{_breakable(text)}</a></li>'
            for level, name, text in self.headings
            if level <= most
        ]
        if len(items) < 2:
            return ""
        return f'<nav aria-label="Contents"><h2>Contents</h2><ul>\n{chr(10).join(items)}\n</ul></nav>\n'

    def figure(self, image: str) -> str:
        said, _, name = image.removeprefix("![").removesuffix(")").rpartition("](")
        svg = self.figures[name].decode()
        svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
        svg = svg.replace('style="fill: #ffffff"', 'style="fill: none"')  # the page is what a figure stands on
        own = f"f{next(self.number)}-"  # ids are made of what is drawn, so two figures may share some
        svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{own}", svg)
        found = re.search(r'width="([\d.]+pt)"', svg)
        width = found[1] if found else "100%"
        return (
            f'<figure class="wide" tabindex="0" aria-label="{escape(said)}" style="--width: {width}">'
            f"{svg.strip()}</figure>\n"
        )

    def ledger(self, ledger: Ledger) -> str:
        out = ['<div class="ledger">\n']
        for claim in ledger.claims:
            paper = f'<span class="paper"><small>the paper</small> {escape(claim.paper)}</span>' if claim.paper else ""
            details = "".join(f"<p>{_inline(_MINUS.sub('−', each))}</p>" for each in claim.details)
            out.append(
                f'<details id="{escape(claim.anchor)}" class="claim {escape(claim.tone)}"><summary>'
                f'<span class="mark" aria-hidden="true">{escape(claim.mark)}</span>'
                f'<span class="name"><b>{escape(claim.name)}</b> {escape(claim.title)}</span>'
                f'<span class="verdict">{escape(claim.verdict)}</span>'
                f'<span class="ours"><small>here</small> {escape(_MINUS.sub("−", claim.ours))}</span>{paper}'
                f"</summary>{details}</details>\n"
            )
        return "".join([*out, "</div>\n"])

    def grid(self, grid: Grid) -> str:
        columns = list(zip(*grid.rows, strict=True)) if grid.rows else [() for _ in grid.head]
        numeric = [i > 0 and is_numeric(column) for i, column in enumerate(columns)]
        several = [any(" ×" in cell for cell in column) for column in columns]
        kinds = [
            "n" if n else "said" if max(map(len, column), default=0) > 40 else ""
            for n, column in zip(numeric, columns, strict=True)
        ]
        shades, cards = _shades(grid) if grid.form == "differences" else {}, grid.form == "cards"
        head = "".join(f'<th scope="col" class="{k}">{escape(c)}</th>' for k, c in zip(kinds, grid.head, strict=True))
        lines = []
        for y, row in enumerate(grid.rows):
            cells = [self.first(row[0])]
            for x, cell in enumerate(row[1:], 1):
                label = f' data-head="{escape(grid.head[x])}"' if cards else ""
                shade = shades.get((y, x), "")
                cells.append(
                    f'<td class="{kinds[x]}"{label}{shade}>{_cell(cell, several=several[x], cards=cards)}</td>'
                )
            lines.append(f"<tr>{''.join(cells)}</tr>\n")
        form = f"{grid.form or 'plain'}{' tall' if len(grid.rows) > _TALL else ''}"
        return (
            f'<div class="wide {form}" tabindex="0"><table>\n<thead><tr>{head}</tr></thead>\n'
            f"<tbody>\n{''.join(lines)}</tbody></table></div>\n"
        )

    @staticmethod
    def first(cell: str) -> str:
        """The head of a row, with its anchor if it has one."""
        name = f' id="{escape(cell.name)}"' if isinstance(cell, Ref) and cell.name else ""
        label, _, kind = cell.partition("\n")
        small = f" <small>{escape(kind)}</small>" if kind else ""
        return f'<th scope="row"{name}>{_linked(cell, _inline(label))}{small}</th>'


_TALL = 15  # rows; a longer table keeps its head in sight
_MANY = 8  # headings of the first rank: then the second isn't listed


def _linked(cell: str, shown: str) -> str:
    to = cell.to if isinstance(cell, Ref) else ""
    return f'<a href="#{escape(to)}">{shown}</a>' if to else shown


def _cell(cell: str, *, several: bool, cards: bool) -> str:
    """A cell that isn't the first of its row. F1, its interval and its seeds are set apart; where some have ``several`` seeds,
    so is that another has one."""
    if found := _F1.match(cell):
        value, interval, seeds = (_MINUS.sub("−", each or "") for each in found.groups())
        many = f' <span class="seeds{"" if seeds else " one"}">×{seeds or 1}</span>' if several else ""
        within = f' <span class="interval">{interval}</span>'
        return _linked(cell, value) + (many + within if cards else within + many)
    return _linked(cell, _inline(_MINUS.sub("−", cell)))


def _shades(grid: Grid) -> dict[tuple[int, int], str]:
    """The style of each cell of differences: the deeper the more F1 it says, of the most that any cell does."""
    values = {
        (y, x): float(cell)
        for y, row in enumerate(grid.rows)
        for x, cell in enumerate(row)
        if x and _DIFFERENCE.match(cell)
    }
    out = {}
    worst = min((at for at in values if at[1] > 1), key=lambda at: values[at], default=None)
    for at, value in values.items():
        depth = min(100.0, 100 * (abs(value) / _DEEPEST) ** 0.5)
        sign = "lost" if value < 0 else "won"
        mark = ' data-worst="1"' if at == worst and value < 0 else ""
        out[at] = f' data-sign="{sign}" style="--v: {depth:.0f}%"{mark}'
    return out


_DIFFERENCE = re.compile(r"[-+]?\d+(\.\d+)?\Z")
_DEEPEST = (
    40.0  # F1 points from which the colour is at its deepest; below it goes by the square root, as small losses matter
)
