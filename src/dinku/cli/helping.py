"""Help: commands grouped by what people do, and examples at the head of each command's help."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

GROUPS = {
    "Start": ("demo", "train", "compress"),
    "Tag": ("predict", "serve", "export", "push"),
    "Measure": ("evaluate", "bench", "inspect", "score"),
    "Data": ("data",),
    "Studies": ("plan", "run", "results", "report", "claims", "methods", "store"),
}

EXAMPLES = {
    "demo": ("dinku demo", "dinku demo --out somewhere-else"),
    "train": (
        "dinku train dinku:house --corpus mine --out tagger",
        "dinku train intfloat/multilingual-e5-small --corpus mine.txt --weights balanced --out tagger",
    ),
    "compress": (
        "dinku compress tagger --corpus mine --text texts --max-size 12MB --keep 95% --out small",
        "dinku compress tagger --corpus mine --min-speed 500/s --time 2h --plan",
    ),
    "predict": ('echo "Ade ya tafi Kano" | dinku predict small', "dinku predict small notes.txt --format jsonl"),
    "serve": ("dinku serve small", "dinku serve small --port 9000 --threads 1"),
    "export": (
        "dinku export tagger small --precision int8 --corpus mine",
        "dinku export 3f2a9c41 small --runtime openvino --precision bf16 --corpus masakhaner:hau",
    ),
    "push": ("dinku push small owner/name", 'dinku push small owner/name --private --message "More data"'),
    "evaluate": ("dinku evaluate small --corpus mine", "dinku evaluate small --corpus mine --against tagger --detail"),
    "bench": ("dinku bench tagger small --corpus mine", "dinku bench small --corpus sample:hau --threads 1 --batch 32"),
    "inspect": ("dinku inspect small", "dinku inspect dinku:house --json"),
    "score": ("dinku score gold.conll predicted.conll", "dinku score gold.conll predicted.conll --json"),
    "plan": ("dinku plan demo", "dinku plan study.yaml --json"),
    "run": ("dinku run study.yaml", "dinku run study.yaml --only dense --processes 2"),
    "results": ("dinku results study --by arm,language", "dinku results study --by arm --across language --csv f1.csv"),
    "report": ("dinku report study", "dinku report --out pages"),
    "claims": ("dinku claims study", "dinku claims C1 C5"),
    "methods": ("dinku methods", "dinku methods Distil"),
    "store": ("dinku store", "dinku store --clean unfinished"),
    "data list": ("dinku data list", "dinku data list --json"),
    "data fetch": ("dinku data fetch masakhaner:hau,swa", "dinku data fetch masakhaner:all"),
    "data convert": (
        "dinku data convert labels.json mine.conll --to conll",
        "dinku data convert masakhaner:hau hausa --to doccano",
    ),
    "data split": ("dinku data split mine.txt mine", "dinku data split labels.jsonl mine --dev 200 --test 15%"),
    "data check": ("dinku data check mine", "dinku data check masakhaner:hau --json"),
}


class Command(TyperCommand):
    """A command whose help begins with examples."""

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        path = ctx.command_path.removeprefix("dinku ")
        formatter.write_paragraph()
        with formatter.indentation():
            for example in EXAMPLES.get(path, ()):
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")
        super().format_help_text(ctx, formatter)


class Grouped(TyperGroup):
    """The commands in `GROUPS`, each with the whole first line of its help."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        there = self.list_commands(ctx)
        named = {name for names in GROUPS.values() for name in names}
        others = tuple(name for name in there if name not in named)
        for title, names in {**GROUPS, "Commands": others}.items():
            commands = [(name, self.get_command(ctx, name)) for name in names if name in there]
            rows = [(name, first_line(command)) for name, command in commands if command and not command.hidden]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def first_line(command: Any) -> str:
    """The first line of a command's help text."""
    return (command.help or "").strip().split("\n")[0]


def help_(
    context: typer.Context,
    command: list[str] = typer.Argument(None, metavar="[COMMAND]", help="The command to explain."),  # noqa: B008
) -> None:
    """Show how dinku, or one of its commands, is used."""
    from dinku.cli.terminal import print

    at, found = context.parent, context.parent.command if context.parent else None
    for name in command or ():
        known = getattr(found, "commands", {})
        if name not in known:
            from dinku.errors import DinkuError, nearest

            remedy = f"{nearest(name, known)}see `dinku --help`"
            raise DinkuError("is no command", where=name, remedy=remedy)
        found = known[name]
        at = typer.Context(found, info_name=name, parent=at)
    if at is not None:
        print(at.get_help())
