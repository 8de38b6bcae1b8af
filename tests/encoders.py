"""The table of docs/encoders.md, made from the families; run it to write the table again."""

from __future__ import annotations

from pathlib import Path

from dinku.model import family

PAGE = Path(__file__).parent.parent / "docs" / "encoders.md"
BEGIN, END = "<!-- encoders: python tests/encoders.py writes this table -->\n", "<!-- end of encoders -->"


def table() -> str:
    lines = ["| encoder | `model_type` | methods |", "| -- | -- | -- |"]
    for each in family.known():
        without = [*each.refuses, *([] if each.masked_lm else ["Pretrain"])]
        said = f"described; not {', '.join(without)}" if without else "described"
        lines.append(f"| {each.name} | {', '.join(f'`{name}`' for name in each.model_types)} | {said} |")
    types = ", ".join(f"`{name}`" for name in family.MEASURED)
    lines.append(f"| others | {types} | measured: {', '.join(family.WITHOUT_FAMILY)} |")
    return "\n".join(lines) + "\n"


def page() -> str:
    return replaced(BEGIN, END, table())


def replaced(begin: str, end: str, made: str) -> str:
    """The page with ``made`` between two marks."""
    text = PAGE.read_text(encoding="utf-8")
    return text[: text.index(begin) + len(begin)] + made + text[text.index(end) :]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
