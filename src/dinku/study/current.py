"""The definition of a study as of its last run, kept beside its rows, and which rows belong to an earlier definition.

A corpus, base, step or test set may change while it keeps its name. After the study is run again, its folder has the rows of
both versions. ``results/<study>/current.json`` says which rows are current, so that a clone with nothing but the rows also
knows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from dinku.digests import canonical, document_digest
from dinku.errors import DinkuError
from dinku.files import locked, os_errors_as_dinku, written
from dinku.methods.registry import outdated
from dinku.schema import Record
from dinku.study.results import Results, in_order
from dinku.study.rows import Row

_DIGITS = 24  # digits of a digest, as in file names


class Asked(Record):
    """One recipe: its tagger's address, its base, a digest of its steps, and fingerprints of the data they read, by split."""

    address: str
    base: str
    steps: str
    read: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @classmethod
    def of(
        cls, address: str, base_digest: str, recipe: Mapping[str, Any], consumed: Iterable[Mapping[str, str]]
    ) -> Asked:
        """``recipe`` is its JSON, and ``consumed`` holds fingerprints by part, of each step."""
        read: dict[str, set[str]] = defaultdict(set)
        for each in consumed:
            for part, fingerprint in each.items():
                read[part].add(fingerprint[:_DIGITS])
        steps = document_digest([recipe["steps"], recipe.get("label_on", "first")])
        parts = {part: tuple(sorted(found)) for part, found in sorted(read.items())}
        return cls(address=address[:_DIGITS], base=base_digest[:_DIGITS], steps=steps[:_DIGITS], read=parts)

    @classmethod
    def of_row(cls, row: Row) -> Asked:
        return cls.of(row.address, row.base_digest, row.recipe, (each.consumes for each in row.trainings))

    def differences(self, row: Asked) -> list[str]:
        """The differences of a row's recipe from this one, such as ``another base``."""
        out = ["another base"] if row.base != self.base else []
        names = {"train": "another train split", "dev": "another dev split", "text": "other text"}
        out += [names[part] for part, found in row.read.items() if not {*found} <= {*self.read.get(part, found)}]
        return out + (["other steps"] if row.steps != self.steps else [])


class Current(Record):
    """The recipes of a study by name (`recipe_name`), and the fingerprints of what they are evaluated on (`text_name`).

    With ``whole``, it has all recipes of the study, otherwise only those of some sections. If no run has written it, it is empty,
    and all rows count as current.
    """

    schema_version: Literal[1] = 1
    whole: bool = False
    recipes: dict[str, Asked] = Field(default_factory=dict)
    texts: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Current:
        """Read ``current.json`` in a folder of rows; raises `DinkuError` if it is damaged."""
        file = folder / "current.json"
        with os_errors_as_dinku(file, reading=True):
            if not file.is_file():
                return cls()
            document = file.read_bytes()
        try:
            return cls.model_validate_json(document)
        except ValidationError as error:
            problem = f"is damaged, or of another version of dinku ({error.errors()[0]['msg']})"
            raise DinkuError(problem, where=str(file), remedy="restore it, or remove it and run the study") from None

    def keep(self, folder: Path) -> None:
        """Write it beside the rows. Unless it is ``whole``, the entries of other recipes and texts that are there stay."""
        there = Current.read(folder)
        new = self if self.whole else Current.together([self, there])
        if new != there:
            with locked(folder / ".lock"), written(folder / "current.json") as file:
                file.write(new.model_dump_json(indent=1).encode() + b"\n")

    @classmethod
    def together(cls, several: Sequence[Current]) -> Current:
        """Several joined into one; the first one takes precedence."""
        recipes, texts = dict[str, Asked](), dict[str, str]()
        known = [each for each in several if each.recipes]
        for each in reversed(known):
            recipes |= each.recipes
            texts |= each.texts
        return cls(whole=bool(known) and all(each.whole for each in known), recipes=recipes, texts=texts)

    @cached_property
    def _addresses(self) -> frozenset[str]:
        return frozenset(each.address for each in self.recipes.values())

    def otherwise(self, row: Row) -> str:
        """How a row differs from the study's present definition, such as ``another train split``; empty if it doesn't."""
        if not (self.recipes or self.texts or self.whole):
            return ""
        return ", ".join(self._of_another_recipe(row) + self._of_other_text(row))

    def _of_another_recipe(self, row: Row) -> list[str]:
        if row.address[:_DIGITS] in self._addresses:
            return []
        asked = self.recipes.get(recipe_name(row.arm, row.values, row.recipe)) if self.recipes else None
        if asked is None:
            return ["no recipe of the study"] if self.whole else []
        return asked.differences(Asked.of_row(row)) or [outdated(row.versions) or "another recipe"]

    def _of_other_text(self, row: Row) -> list[str]:
        name = text_name(row.kind, row.evaluated_on, row.language, row.split, row.perturbation)
        return [f"other {row.split} sentences"] if self.texts.get(name, row.fingerprint) != row.fingerprint else []


def recipe_name(arm: str, values: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    """The name of a recipe, unique in its study: it doesn't depend on steps, nor on the content of base and corpus."""
    return canonical([arm, values, recipe["seed"], recipe["base"], recipe["corpus"]])


@cache
def text_name(kind: str, source: str, language: str, split: str, perturbation: str) -> str:
    """The name of the sentences that rows are about, unique in a study: it doesn't depend on their number or content."""
    return canonical([kind, source, language, split, perturbation])


def standing(results: Results) -> tuple[list[Row], dict[str, list[Row]]]:
    """The current rows of a study, in order; and all other rows, by how they differ (`Current.otherwise`)."""
    current = Current.read(results.folder)
    now, others = list[Row](), defaultdict[str, list[Row]](list)
    for row in in_order(results.rows()):
        otherwise = current.otherwise(row)
        (others[otherwise] if otherwise else now).append(row)
    return now, dict(sorted(others.items()))
