"""The commands that list methods with their options, and the content of the store."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dinku.cli.options import AsJson
from dinku.cli.options import Store as StoreFolder
from dinku.cli.terminal import print, print_json, table
from dinku.errors import DinkuError, nearest, plural

if TYPE_CHECKING:
    from dinku.model.store import Store

SHOWN = 20  # of the largest taggers in a table


def methods(
    name: Annotated[str | None, typer.Argument(metavar="[METHOD]", help="A method to describe in full.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the steps of recipes with their options."""
    from dinku.methods.registry import find_method, names
    from dinku.training.settings import TrainingSettings

    known = names()
    if name is not None and name not in known:
        remedy = f"{nearest(name, known)}see `dinku methods`"
        raise DinkuError("is no method", where=name, remedy=remedy)
    kinds = {each: find_method(each) for each in ([name] if name else known)}
    if as_json:
        documents = {each: {f.name: _told(f) for f in fields(kind)} for each, kind in kinds.items()}
        return print_json(documents)
    every = {f.name: _told(f) for f in fields(TrainingSettings)}
    for each, kind in sorted(kinds.items(), key=lambda item: (item[1].category, item[0])):
        if name:
            print(f"{each} ({kind.category}), its options:")
            table(["option", "default"], [[f.name, str(_told(f))] for f in fields(kind)], title="")
            print(_plain(kind.__doc__ or ""))
            continue
        own = [
            f"{f.name}={_told(f)}" for f in fields(kind) if not (issubclass(kind, TrainingSettings) and f.name in every)
        ]
        own += ["those of every training"] if issubclass(kind, TrainingSettings) else []
        print(f"{each} ({kind.category}): {_first_sentence(kind)}\n    {', '.join(own) or 'no options'}")
    if not name:
        print(f"Options of every training: {', '.join(f'{option}={value}' for option, value in every.items())}")
        print("\nA step of a study:  - FineTune: {epochs: 3}      All about one:  dinku methods FineTune")
    return None


def _told(field: Field[Any]) -> Any:
    """A field's default as a study would have it; *needed* without one."""
    if field.default is MISSING:
        return "needed"
    value = field.default
    return list(value) if isinstance(value, tuple) else "chosen" if value is None else value


def _plain(text: str) -> str:
    """A docstring without its indentation."""
    import inspect

    return inspect.cleandoc(text).replace("``", "")


def _first_sentence(kind: Any) -> str:
    text = " ".join(_plain(kind.__doc__ or "").split("\n\n")[0].split())
    return text.partition(". ")[0].removesuffix(".") + "."


def store(
    clean: Annotated[
        Literal["unfinished", "answers", "taggers", "all"] | None,
        typer.Option(
            help="Remove what killed steps left, the answers of teachers, taggers, or all; rows stay, and what is asked for "
            "again is made again."
        ),
    ] = None,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """List what the store holds, and clean it."""
    from dinku.model.store import Store
    from dinku.settings import home

    held = Store(store or home() / "store")
    if clean:
        freed = held.clean_up(("unfinished", "answers", "taggers") if clean == "all" else (clean,))
        if as_json:
            return print_json({"store": str(held.root), "freed": freed})
        return print(f"{held.root}: {freed / 1e6:,.1f} MB freed; steps that another process is working on stay")
    parts = held.sizes()
    taggers = sorted(held.taggers(), key=lambda found: -found[1])
    if as_json:
        listed = [{"address": a, "bytes": size, "step": _step(held, a)} for a, size in taggers]
        return print_json({"store": str(held.root), **parts, "listed": listed})
    if taggers:
        rows = [[a[:8], _step(held, a), f"{size / 1e6:.1f}"] for a, size in taggers[:SHOWN]]
        table(["address", "made by", "MB"], rows, title=f"the largest of {plural(len(taggers), 'tagger')}")
    told = ", ".join(f"{size / 1e6:,.1f} MB {name}" for name, size in parts.items())
    print(f"{held.root}: {told}")
    print(
        "Use one:  dinku export ADDRESS OUT      Make room:  dinku store --clean unfinished (or answers, taggers, all)"
    )
    return None


def _step(held: Store, address: str) -> str:
    """The method that made a tagger."""
    try:
        return str(next(iter(held.step(address)["step"])))
    except (DinkuError, KeyError, StopIteration):
        return "damaged"
