"""An extension of griffe, which reads docstrings for the site: examples that a doctest runs are blocks of code there."""

from __future__ import annotations

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^>>> .*\n?(?:(?!\s*$).*\n?)*", re.M)


class Examples(griffe.Extension):
    """Puts the lines from ``>>>`` to the next empty one into a fence, as Markdown would read brackets in them as links."""

    def on_object(self, *, obj: Any, **kwargs: Any) -> None:
        if obj.docstring and ">>> " in obj.docstring.value:
            obj.docstring.value = _EXAMPLE.sub(
                lambda found: f"```pycon\n{found[0].rstrip()}\n```\n", obj.docstring.value
            )
