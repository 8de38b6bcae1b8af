"""The parts of a report as Markdown and as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from dinku.report.parts import Chips, Fold, Grid, Ledger, Page, Part


def markdown(page: Page) -> str:
    """Everything in the order of the page; what is folded there stands here under its title."""
    return "\n\n".join([f"# {page.title}", *_blocks(page.parts)]) + "\n"


def _blocks(parts: Iterable[Part]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, Grid):
            yield _table(part.head, part.rows)
        elif isinstance(part, Chips):
            yield " · ".join(chip.text for chip in part.chips)
        elif isinstance(part, Ledger):
            yield _table(part.grid.head, part.grid.rows)
            yield "\n".join(f"- **{claim.name}**: {' '.join(claim.details)}" for claim in part.claims)
        elif isinstance(part, Fold):
            yield f"**{part.title}**"
            yield from _blocks(part.parts)
        else:
            yield part


_TEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


_TEX |= {
    "−": "$-$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "…": r"\ldots{}",
    "<": "$<$",
    ">": "$>$",
    "[": "{[}",
}


def latex(parts: Sequence[Part]) -> str:
    r"""The tables, each under the heading that it stands beneath; plain LaTeX for ``\input``, which needs no package.

    What the page folds away is left out, unless it is to be printed.
    """
    return "\n\n".join(_tables(parts)) + "\n"


def _tables(parts: Iterable[Part]) -> Iterator[str]:
    heading = ""
    for part in parts:
        if isinstance(part, Fold) and part.printed:
            yield from _tables(part.parts)
        if isinstance(part, str):
            heading = part.lstrip("# ") if part.startswith("#") else heading
        if not isinstance(part, Grid | Ledger):
            continue
        grid = part.grid if isinstance(part, Ledger) else part
        kinds = [
            "p{.35\\linewidth}" if max(map(len, column)) > 40 else "r" if i and is_numeric(column) else "l"
            for i, column in enumerate(zip(*grid.rows, strict=True))
        ]
        lines = [" & ".join(_tex(_plain(cell)) for cell in line) + r" \\" for line in (grid.head, *grid.rows)]
        table = [
            rf"\caption{{{_tex(heading)}}}",
            rf"\begin{{tabular}}{{{''.join(kinds)}}}",
            r"\hline",
            lines[0],
            r"\hline",
        ]
        table += [*lines[1:], r"\hline", r"\end{tabular}"]
        yield "\n".join([r"\begin{table}", *table, r"\end{table}"])


def _tex(text: str) -> str:
    return re.sub(r"\*\*(.+?)\*\*", r"\\textbf{\1}", "".join(_TEX.get(c, c) for c in text))


def is_numeric(cells: Iterable[str]) -> bool:
    """Whether a column's cells are numbers, as far as they aren't empty."""
    return all(not cell or _NUMBER.match(cell) for cell in cells)


_NUMBER = re.compile(
    r"[-+−×]?\d[\d.,]*( %)?( \[[^\]]*\])?( ×\d+)?( \([^()]*\))?\Z"
)  # with its unit, interval, seeds or a note


def _plain(cell: str) -> str:
    """A cell in one line: what would stand on a second one follows in brackets."""
    first, _, rest = cell.partition("\n")
    return f"{first} ({rest})" if rest else first


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown; columns but the first are to the right where they hold numbers."""
    names, *lines = [[_plain(cell).replace("|", "\\|") for cell in row] for row in (head, *rows)]
    marks = ["--:" if i and is_numeric(line[i] for line in lines) else ":--" for i in range(len(head))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (names, marks, *lines))
