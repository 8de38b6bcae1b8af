"""The command to begin with: an example from start to end."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from dinku.cli.options import AsJson
from dinku.cli.tag import entities_of
from dinku.cli.terminal import print, print_json, table, watching
from dinku.errors import DinkuError, plural


def demo(
    out: Annotated[Path, typer.Option(help="The folder to work in; a second run continues the first.")] = Path(
        "dinku-demo"
    ),
    as_json: AsJson = False,
) -> None:
    """Run an example from start to end, offline.

    Takes minutes, and needs nothing but the encoder and the sample sentences in the package.
    """
    from dinku.cli.story import run_demo

    if out.exists() and not out.is_dir():
        raise DinkuError("is a file", where=str(out), remedy="give --out a folder")
    with watching() as report:
        done = run_demo(out, report)
    if as_json:
        document = {"page": str(done.page), "bundle": str(done.bundle), "f1": done.f1, "bytes_disk": done.bytes_disk}
        return print_json(document | {"sentences_per_second": done.speed})
    for sentence, tagging in done.found:
        entities = ", ".join(entities_of(sentence, tagging)) or "no entity"
        print(f"{sentence.language}  {' '.join(sentence.words)}\n     {entities}")
    rows = [
        [name, f"{100 * f1:.1f}", f"{done.bytes_disk[name] / 1e6:.1f}", f"{done.speed[name]:.0f}"]
        for name, f1 in done.f1.items()
    ]
    titles = ["the dense tagger in", "F1", "MB on disk", "sentences/s here"]
    table(titles, rows, title=f"{plural(done.sentences, 'test sentence')} (sample)")
    print(done.quantized)
    print(f"The cost of pruning by language, on generated sentences (sample): {done.page}")
    typed = f"echo {shlex.quote(done.suggestion)} | " if done.suggestion else ""
    print(f"To try the bundle:  {typed}dinku predict {shlex.quote(str(done.bundle))}")
    return None
