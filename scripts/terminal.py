"""Writes docs/terminal.svg, a terminal with real commands and what they print: ``python scripts/terminal.py``.

Run it after what a command prints has changed; ``tests/test_documents.py`` fails until that is done.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import CONSOLE_SVG_FORMAT, Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
SVG = ROOT / "docs" / "terminal.svg"
WIDTH = 92
NOTES = """\
Shugaba Muhammadu Buhari ya gana da jami'an Majalisar Dinkin Duniya a Abuja
Rais Samia Suluhu Hassan alitembelea mji wa Dodoma siku ya Jumatatu
Tiwa Savage go perform for Lagos on Saturday
"""
COMMANDS = (
    "dinku predict dinku:masakhaner notes.txt",
    "dinku inspect dinku:masakhaner",
    "dinku export dinku:masakhaner page --web",
)


def printed(command: str, folder: Path) -> str:
    """What a command prints, run with this Python in a folder."""
    own = f'dinku() {{ "{sys.executable}" -m dinku "$@"; }}\n'
    environment = os.environ | {"COLUMNS": str(WIDTH), "PYTHONPATH": str(ROOT / "src"), "DINKU_OFFLINE": "1"}
    done = subprocess.run(
        ["bash", "-c", own + command], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.rstrip()


def terminal() -> str:
    """The SVG. It names no host that fonts would be fetched from."""
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "notes.txt").write_text(NOTES, encoding="utf-8")
        for command in COMMANDS:
            console.print(Text("$ ", "bold green") + Text(command, "bold"))
            console.print(Text(printed(command, Path(folder))), end="\n\n")
    start, end = CONSOLE_SVG_FORMAT.index("    @font-face"), CONSOLE_SVG_FORMAT.index("    .{unique_id}-matrix")
    plain = CONSOLE_SVG_FORMAT[:start] + CONSOLE_SVG_FORMAT[end:].replace("Fira Code", "ui-monospace")
    return console.export_svg(title="dinku", theme=MONOKAI, code_format=plain, unique_id="dinku")


if __name__ == "__main__":
    SVG.write_text(terminal(), encoding="utf-8")
