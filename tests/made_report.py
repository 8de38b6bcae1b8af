"""What several test modules share."""

from __future__ import annotations

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
