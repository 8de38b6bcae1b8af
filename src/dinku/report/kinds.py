"""Kinds of compression: what a recipe does to the dense tagger, and which recipe stands for others of its kind."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from dinku.claims.recipes import Steps
from dinku.claims.verdict import MARGIN, STATEMENTS
from dinku.report.tables import Cell, Table

_DONE = {
    "structure": "cut",
    "sparsity": "pruned",
    "sparse training": "pruned in training",
    "distillation": "distilled",
    "quantization": "quantized",
    "start": "another network",
    "pretraining": "pretrained",
}


def kind_of(steps: Steps, dense: Steps | None = None) -> str:
    """What a recipe does to the dense tagger, in a few words, such as ``pruned before training, quantized``; empty if nothing.

    Steps that shape the dense tagger's own encoder aren't named, nor those that make the teacher of a student.
    """
    shaped = dense.shaping if dense else []
    own = Steps(steps.steps[len(shaped) :] if list(steps.steps[: len(shaped)]) == shaped else steps.steps)
    kinds: list[str | None] = [
        "sparse training" if category == "training" and fields.get("sparsity") else category
        for category, (_, fields) in zip(own.categories, own.pairs, strict=True)
    ]
    taught = max((i for i, kind in enumerate(kinds) if kind == "distillation"), default=0)
    kinds = [kind for kind, _ in groupby(kinds[taught:])]
    trained = [i for i, kind in enumerate(kinds) if kind in ("training", "sparse training")]
    said = []
    for i, kind in enumerate(kinds):
        if kind == "training":
            continue
        when = ""
        if kind in ("structure", "sparsity") and trained:
            earlier, later = trained[0] < i, trained[-1] > i
            when = ", then trained on" if earlier and later else " before training" if later else " after training"
        said.append(f"{_DONE.get(kind or '', 'changed')}{when}")
    return ", ".join(dict.fromkeys(said))


def kind_of_cell(cell: Cell, table: Table) -> str:
    """`kind_of` a cell's recipe; ``dense`` for the dense tagger, and ``trained alone`` for others that only train."""
    if cell is table.dense:
        return "dense"
    return kind_of(cell.runs[0].recipe, table.dense.runs[0].recipe if table.dense else None) or "trained alone"


@dataclass(frozen=True)
class Kind:
    """The recipes of a table that do one kind of thing, and which of them stands for it.

    Within the margin is what loses less than `MARGIN` F1 against the dense tagger, judged by the whole interval; beyond it what
    loses more. The smallest download within the margin stands for its kind, or else the recipe that loses least.
    """

    name: str
    table: Table
    cells: tuple[Cell, ...]

    @classmethod
    def all(cls, table: Table) -> list[Kind]:
        """The kinds of a table in the order of their first recipes. Methods that quantize are kinds of their own."""
        kinds: dict[tuple[str, ...], list[Cell]] = {}
        for cell in table.cells:
            if cell is not table.dense:
                how = [f"{name} {f.get('mode', '')}" for name, f in cell.runs[0].recipe.of_category("quantization")]
                kinds.setdefault((kind_of_cell(cell, table), *how), []).append(cell)
        return [cls(key[0], table, tuple(cells)) for key, cells in kinds.items()]

    @property
    def prunes_alone(self) -> bool:
        """Whether these recipes prune and train, and do nothing else."""
        return self.name.startswith("pruned") and self.name.replace(", then trained on", "").count(",") == 0

    @cached_property
    def within(self) -> list[Cell]:
        return [cell for cell in self.cells if (d := self.table.difference(cell)) and d.low > -MARGIN]

    @cached_property
    def beyond(self) -> list[Cell]:
        return [cell for cell in self.cells if (d := self.table.difference(cell)) and d.high < -MARGIN]

    @cached_property
    def best(self) -> Cell:
        """The recipe that stands for the kind."""
        sized = [
            (size, -cell.f1.value, i) for i, cell in enumerate(self.within) if (size := self.table.megabytes(cell))
        ]
        if sized:
            return self.within[min(sized)[2]]
        return max(self.within or self.cells, key=lambda cell: cell.f1.value)

    @property
    def mildest_loss(self) -> Cell | None:
        """The recipe beyond the margin that loses least."""
        return max(self.beyond, key=lambda cell: cell.f1.value, default=None)

    @property
    def claim(self) -> tuple[str, str]:
        """The paper's claim that is about such recipes, and what the paper says of them; empty where there is none."""
        steps = self.best.runs[0].recipe
        methods = {name for name, _ in steps.of_category("quantization")}
        others = [cell.runs[0].recipe for cell in self.table.cells]
        found = "C1" if steps.order == "before" else ""
        if steps.order == "after" and any(other.order == "before" for other in others):
            found = "C2"
        if "QuantizeLLMInt8" in methods:
            found = "C5"
        elif "QuantizeDynamic" in methods and any(
            name == "QuantizeLLMInt8" for other in others for name, _ in other.pairs
        ):
            found = "C6"
        elif steps.of_category("distillation") and not methods:
            found = "C3"
        said = {"C2": "less stable than before", "C6": "worse than LLM.int8()"}
        return found, said.get(found, STATEMENTS[found].paper if found else "")
