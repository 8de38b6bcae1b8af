"""What several test modules share."""

from __future__ import annotations

from html.parser import HTMLParser

from dinku.study.definition import Study

STEPS = [{"FineTune": {"epochs": 3}}]


STUDY = Study.model_validate(
    {
        "name": "made",
        "title": "A made-up study",
        "base": "tiny",
        "corpus": "masakhaner:hau,swa",
        "recipes": [{"arm": arm, "steps": STEPS} for arm in ("dense", "before", "after")],
    }
)


def table(markdown: str, *, after: str) -> list[list[str]]:
    """The cells of the first table after a line, its head first."""
    lines = markdown[markdown.index(after) :].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("|"))
    block = [line for line in lines[start:] if line.startswith("|") or not line]
    block = block[: block.index("")] if "" in block else block
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in (block[0], *block[2:])]


class Outline(HTMLParser):
    """Tags in order; raises where one isn't closed by its own."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.links += [str(value) for key, value in attrs if key in ("src", "href")]
        self.ids += [str(value) for key, value in attrs if key == "id"]
        if tag not in ("meta", "use", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "use":
            assert self.open.pop() == tag


def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    assert not parser.open
    return parser
