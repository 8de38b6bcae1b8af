"""The steps of a recipe as comparisons see them: what they make of the encoder, when they prune, how they train."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import takewhile
from typing import Any, Literal

from dinku.digests import canonical
from dinku.method import Category
from dinku.methods.registry import category_of

Order = Literal["dense", "before", "after", "after with recovery"]
Place = tuple[Order, float]  # when a recipe prunes, and to what sparsity
DENSE: Place = ("dense", 0.0)
_ORDERS: dict[str, Order] = {"F+": "dense", "SF+": "before", "F+S": "after", "F+SF+": "after with recovery"}


@dataclass(frozen=True)
class Steps:
    """The steps of a recipe, as JSON. Whatever comparisons ask about them is worked out once."""

    steps: Sequence[dict[str, Any]]

    @cached_property
    def pairs(self) -> list[tuple[str, dict[str, Any]]]:
        """Each step's method and its fields."""
        return [pair for step in self.steps for pair in step.items()]

    def of_category(self, category: Category) -> list[tuple[str, dict[str, Any]]]:
        """The methods of one category among the steps, each by its name and fields."""
        return [(name, fields) for name, fields in self.pairs if category_of(name) == category]

    @property
    def categories(self) -> list[Category | None]:
        """The category of each step's method; ``None`` where it isn't installed."""
        return [category_of(name) for name, _ in self.pairs]

    @cached_property
    def shaping(self) -> list[dict[str, Any]]:
        """The steps that the recipe begins with and that make another encoder of its base."""
        return list(takewhile(lambda step: category_of(next(iter(step))) == "structure", self.steps))

    @cached_property
    def place(self) -> Place | None:
        """When the recipe prunes, and to what sparsity; ``None`` for a recipe that does anything else as well.

        Steps that shape the encoder (`shaping`) come first, if at all, and are ignored here. Zeros that a later fine-tuning
        doesn't keep (``keep_zeros=False``) aren't pruning; fine-tuning that prunes is something else.
        """
        pairs = self.pairs[len(self.shaping) :]
        word = "".join(map(_letter, pairs))
        sparsity = float(pairs[word.index("S")][1].get("sparsity", 0.0)) if "S" in word else 0.0
        keeps_zeros = all(fields.get("keep_zeros", True) for _, fields in pairs[word.find("S") + 1 :])
        order = _order(word)
        return (order, sparsity) if order and (order == "dense" or (sparsity and keeps_zeros)) else None

    @property
    def order(self) -> Order | None:
        return self.place[0] if self.place else None

    @property
    def is_dense(self) -> bool:
        """Whether the recipe fine-tunes and does nothing else, or does nothing at all."""
        return not self.steps or self.order == "dense"

    @cached_property
    def training(self) -> str:
        """The encoder's shaping, the fields of the first fine-tuning, and the epochs of all of them."""
        trainings = [fields for _, fields in self.of_category("training")]
        first = {key: value for key, value in (trainings or [{}])[0].items() if key not in ("epochs", "tags")}
        return canonical([self.shaping, first, sum(fields.get("epochs", 0) for fields in trainings)])

    @cached_property
    def pruning(self) -> str:
        """How weights are pruned, whatever the sparsity; empty where none are."""
        pruned = self.of_category("sparsity")
        ways = [[name, {k: v for k, v in fields.items() if k != "sparsity"}] for name, fields in pruned]
        return canonical(ways) if ways else ""

    @cached_property
    def protocol(self) -> str:
        """The steps without their sparsity."""
        return canonical(
            [[name, {k: v for k, v in f.items() if k not in ("sparsity", "tags")}] for name, f in self.pairs]
        )


def _letter(step: tuple[str, dict[str, Any]]) -> str:
    name, fields = step
    if category_of(name) == "training":
        return "?" if fields.get("sparsity") else "F"
    return "S" if category_of(name) == "sparsity" else "?"


@cache
def _order(word: str) -> Order | None:
    """When steps prune. Each letter is a step: F fine-tunes, S prunes, ? does anything else."""
    return next((name for pattern, name in _ORDERS.items() if re.fullmatch(pattern, word)), None)
