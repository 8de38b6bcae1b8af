"""Models put on the Hub."""

from __future__ import annotations

from typing import Annotated

import typer

from dinku.cli.options import AsJson, Model
from dinku.cli.terminal import print, print_json


def push(
    model: Model,
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The repository; made if it isn't there.")],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    message: Annotated[str, typer.Option(help="The message of the commit.")] = "",
    as_json: AsJson = False,
) -> None:
    """Put a bundle or a tagger on the Hub.

    Log in first with `hf auth login`, or set HF_TOKEN.
    """
    from dinku.model.folder import ModelFolder
    from dinku.model.push import push as pushed

    address = pushed(ModelFolder.of(model), repository, private=private, message=message)
    name = repository.removeprefix("hf:")
    if as_json:
        return print_json({"repository": name, "commit": address})
    print(f"{address}\nTo use it:  dinku predict hf:{name}")
    return None
