"""The table of rooms in docs/architecture.md, made from the rooms' own docstrings; run it to write the table again."""

from __future__ import annotations

import ast
from pathlib import Path

from test_law import FILES, GROUND, ROOMS, SOURCE

PAGE = Path(__file__).parent.parent / "docs" / "architecture.md"
BEGIN, END = "<!-- rooms: python tests/rooms.py writes this table -->\n", "<!-- end of rooms -->"


def said(path: Path) -> str:
    """The first line of a file's docstring, without its full stop."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0].rstrip(".")


def table() -> str:
    lines = ["| room | what it is | files |", "| -- | -- | -- |"]
    for name in (*GROUND, *ROOMS):
        if name in FILES:
            lines.append(f"| `{name}.py` | {said(FILES[name])} | |")
        else:
            inside = [each.split(".") for each in FILES if each.startswith(f"{name}.")]
            files = sorted({parts[1] + "/" * (len(parts) > 2) for parts in inside} - {"__init__"})
            lines.append(
                f"| `{name}/` | {said(SOURCE / name / '__init__.py')} | {', '.join(f'`{f}`' for f in files)} |"
            )
    return "\n".join(lines) + "\n"


def page() -> str:
    text = PAGE.read_text(encoding="utf-8")
    return text[: text.index(BEGIN) + len(BEGIN)] + table() + text[text.index(END) :]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
