"""A study: a set of recipes and what each result is evaluated on, read from YAML."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, Field, PrivateAttr, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from dinku.data.perturb import Perturbation
from dinku.errors import DinkuError, plural
from dinku.method import Method
from dinku.methods.registry import from_json
from dinku.model.encode import LabelOn
from dinku.schema import Record, validation_error
from dinku.study.recipe import Recipe

Value = int | float | str | list[Any]


def _value(value: Any) -> Any:
    """Check a grid's value without converting it: 1 and 1.0 make different addresses, and true isn't 1."""
    for one in value if isinstance(value, list) else [value]:
        number = isinstance(one, int | float) and not isinstance(one, bool) and abs(one) < 2**63
        if not number and not (isinstance(one, str) and one.isprintable()):
            raise _wrong("a number, text or a list of these")
    return value


def _line(value: str) -> str:
    if not value or not value.isprintable():
        raise _wrong("one line of printable characters")
    return value


def _arm(value: str) -> str:
    if "|" in value:
        raise _wrong("one line without |")
    return _line(value)


def _name(value: str) -> str:
    if not re.fullmatch("[a-z0-9][a-z0-9-]{,99}", value):
        raise _wrong("up to 100 small letters, digits and hyphens")
    return value


def _perturbations(value: list[str]) -> list[str]:
    try:
        return list(dict.fromkeys(each.full for text in value for each in Perturbation.listed(text)))
    except DinkuError as error:
        raise _wrong(error.remedy.removeprefix("use ").removeprefix("give ")) from None


def _wrong(wanted: str) -> PydanticCustomError:
    return PydanticCustomError("value", "{wanted}", {"wanted": wanted})


Seed = Annotated[int, Field(strict=True, ge=0, lt=2**32)]


_FOLDER = Path(__file__).parent / "built_in"
BUILT_IN = tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


class Block(Record):
    """Recipes that only differ in the grid's values and in seeds. ``$name`` in a step stands for a grid's value.

    They start from ``base`` and learn from ``corpus``, by default the study's own. ``s:name`` stands for the recipes of the study
    ``s`` with the ``section`` *name*.
    """

    arm: Annotated[str, AfterValidator(_arm)]
    section: Annotated[str, AfterValidator(_name)] | None = None
    base: str | None = None
    corpus: str | None = None
    steps: list[Any]  # `from_json` says what is wrong with one
    grid: dict[str, Annotated[list[Annotated[Any, AfterValidator(_value)]], Field(min_length=1)]] = Field({})
    seeds: list[Seed] = Field([0], min_length=1)


class Timing(Record):
    """Times every recipe of ``seeds`` against the arm ``reference``, on a few sentences of each language."""

    reference: str
    sentences: int = Field(24, ge=1, strict=True)
    rounds: int = Field(5, ge=2, strict=True)
    seeds: list[Seed] = Field([0])


@dataclass(frozen=True)
class Entry:
    """One recipe of a study, with its arm and its values of the grid."""

    arm: str
    values: dict[str, Value]
    recipe: Recipe


class Study(Record):
    """What `dinku run` carries out.

    Every recipe is evaluated on the corpora ``evaluate``, by default on the one that it learns from: once as they are, and once
    perturbed in each of the ways ``perturb``.

    >>> import dinku
    >>> dinku.Study.read("demo").name
    'demo'
    """

    name: Annotated[str, AfterValidator(_name)]
    title: Annotated[str, AfterValidator(_line)]
    base: str
    corpus: str
    text: str | None = None
    evaluate: list[str] = Field([])
    perturb: Annotated[list[str], AfterValidator(_perturbations)] = Field([])
    split: Literal["test", "dev"] = "test"
    sentences: int | None = Field(
        None, ge=1, strict=True, description="how many sentences of each language to evaluate on, by default all"
    )
    label_on: LabelOn = "first"
    threads: int | None = Field(None, ge=1, strict=True)
    recipes: list[Block] = Field(min_length=1)
    latency: Timing | None = None
    _section: str = PrivateAttr("")

    @model_validator(mode="before")
    @classmethod
    def _titled(cls, document: Any) -> Any:
        """Title a study without a title by its name."""
        if isinstance(document, dict) and "title" not in document and "name" in document:
            return {**document, "title": document["name"]}
        return document

    @classmethod
    def read(cls, path: str | Path) -> Study:
        """The study in a YAML file, or the built-in one of that name; with ``:section`` after it, that section alone.

        Raises `DinkuError` that names the field that is wrong.
        """
        named, _, section = str(path).rpartition(":")
        if named and not Path(path).exists() and not _DRIVE.match(str(path)):
            return cls.read(named)._only(section, named)
        where = str(path)
        if where in BUILT_IN and not Path(path).is_file():
            path = _FOLDER / f"{path}.yaml"
        document = {key: value for key, value in _yaml(Path(path), where).items() if not str(key).startswith("x-")}
        try:
            study = cls.model_validate(document)
        except ValidationError as error:
            raise validation_error(error, where=where) from None
        study._check(where)
        return study

    def _only(self, section: str, where: str) -> Study:
        """This study with only one of its sections."""
        if section not in (known := list(dict.fromkeys(b.section for b in self.recipes if b.section))):
            remedy = f"choose of {', '.join(known)}" if known else "leave it out"
            raise DinkuError(f"there is no section {section!r}", where=where, remedy=remedy)
        self._section = section
        return self

    def _check(self, where: str) -> None:
        """Raise `DinkuError` for an impossible recipe, or if times are measured against an unknown arm."""
        measured = {(entry.arm, entry.recipe.seed) for entry in self.entries(where=where)}
        if timing := self.latency:
            for seed in timing.seeds:
                if (timing.reference, seed) not in measured:
                    problem = f"latency.reference: there is no arm {timing.reference!r} with seed {seed}"
                    raise DinkuError(problem, where=where, remedy="name one of its arms, and seeds that it has")

    def document(self) -> str:
        """JSON from which `Study.read` makes an equal study."""
        return self.model_dump_json(indent=1, exclude_defaults=True)

    @property
    def section(self) -> str:
        """The section that was read alone; empty if all were."""
        return self._section

    def whole(self, name: str | Path) -> str:
        """The name that the study was read by, without the section."""
        return str(name).removesuffix(f":{self.section}")

    def _has(self, block: Block) -> bool:
        """Whether a block belongs to the section that was read."""
        if not self.section or block.section == self.section:
            return True
        own = {(each.base, each.corpus) for each in self.recipes if each.section == self.section}
        return self.latency is not None and block.arm == self.latency.reference and (block.base, block.corpus) in own

    def entries(self, *, where: str = "study") -> Iterator[Entry]:
        """Every recipe, or those of the section that was read: blocks in order, and the grid's last value changing fastest.

        The arm that a section's recipes are timed against belongs to the section, wherever it stands. Raises `DinkuError` for a
        recipe that stands there twice.
        """
        seen: dict[Recipe, str] = {}
        for number, block in enumerate(self.recipes):
            if not self._has(block):
                continue
            place = f"{where}: recipes.{number} ({block.arm})"
            size = len(block.seeds) * math.prod(map(len, block.grid.values()))
            if size > _RECIPES:
                problem = f"makes {plural(size, 'recipe')}"
                raise DinkuError(
                    problem, where=place, remedy=f"leave at most {_RECIPES:,}, each of which takes a training"
                )
            named = _names([block.steps, block.corpus, block.base])
            idle = sorted(block.grid.keys() - named)
            if idle and named <= block.grid.keys():
                remedy = f"write ${idle[0]} where it belongs, or remove it"
                raise DinkuError(f"grid.{idle[0]} is used by no step", where=place, remedy=remedy)
            for values, seed, base, corpus in self._asked(block, place):
                steps = tuple(_step(step, values, f"{place}: steps.{i}") for i, step in enumerate(block.steps))
                recipe = Recipe(base, corpus, steps, seed, self.label_on, self.text)
                if recipe in seen:
                    raise DinkuError(f"is the same recipe as one of {seen[recipe]!r}", where=place, remedy="remove one")
                seen[recipe] = block.arm
                yield Entry(block.arm, values, recipe)

    def asked(self) -> Iterator[tuple[str, dict[str, Value], int, str, str]]:
        """The arm, grid's values, seed, base and corpus of every recipe; unlike `entries` it needs no method to be installed."""
        for block in self.recipes:
            for chosen in self._asked(block, block.arm):
                yield block.arm, *chosen

    def _asked(self, block: Block, place: str) -> Iterator[tuple[dict[str, Value], int, str, str]]:
        for seed, chosen in itertools.product(block.seeds, itertools.product(*block.grid.values())):
            values = dict(zip(block.grid, chosen, strict=True))
            base, corpus = (
                _filled(own, values, place) for own in (block.base or self.base, block.corpus or self.corpus)
            )
            yield values, seed, str(base), str(corpus)


_DRIVE = re.compile(r"[A-Za-z]:[\\/][^:]*\Z")  # a path on Windows, whose colon is followed by no section
_RECIPES = 10_000  # the most in a block
_DEPTH, _VALUES = 30, 100_000  # the most in a study's YAML, whose aliases can stand for more than any memory holds


def _yaml(path: Path, where: str) -> dict[Any, Any]:
    """The mapping in a YAML file; raises `DinkuError` if there is none, or if it is larger than any study."""
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _Loader)
        values, depth = _extent(document, {})
        if depth > _DEPTH:
            raise RecursionError
    except FileNotFoundError:
        remedy = f"name a YAML file, or one of the built-in {', '.join(BUILT_IN)}"
        raise DinkuError("no such study", where=where, remedy=remedy) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise DinkuError(f"can't be read ({reason})", where=where, remedy="name a YAML file") from None
    except RecursionError:
        remedy = "write name, base, corpus and recipes"
        raise DinkuError("is nested too deeply, or within itself", where=where, remedy=remedy) from None
    except (yaml.YAMLError, ValueError) as error:  # such as a number of thousands of digits
        mark = getattr(error, "problem_mark", None)
        place = f"{where}:{mark.line + 1}" if mark else where
        problem = f"isn't YAML ({getattr(error, 'problem', error)})"
        raise DinkuError(problem, where=place, remedy="correct it") from None
    if values > _VALUES:
        problem = f"holds {values:,} values, those that aliases repeat counted each time"
        raise DinkuError(problem, where=where, remedy=f"write at most {_VALUES:,}")
    if not isinstance(document, dict):
        raise DinkuError("holds no study", where=where, remedy="write name, base, corpus and recipes")
    return document


def _extent(value: Any, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """The number of values, those of an alias counted wherever it stands, and their depth.

    Raises `RecursionError` for a value within itself.
    """
    if not isinstance(value, dict | list | tuple | set):
        return 1, 0
    if id(value) not in known:
        inner = [_extent(each, known) for each in (value.values() if isinstance(value, dict) else value)]
        known[id(value)] = 1 + sum(n for n, _ in inner), 1 + max((depth for _, depth in inner), default=0)
    return known[id(value)]


class _Loader(yaml.SafeLoader):
    """Refuses a mapping with a repeated key: YAML would silently take the last value."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        known = set[str]()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in known:
                    raise yaml.composer.ComposerError(
                        problem=f"{key.value} stands there twice", problem_mark=key.start_mark
                    )
                known.add(key.value)
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > _VALUES:  # mappings merged into one another may stand for more than any memory holds
            raise yaml.constructor.ConstructorError(problem="it merges too much", problem_mark=node.start_mark)


def _names(value: Any) -> set[str]:
    """The names of the grid's values that a step refers to, as ``$name``."""
    if isinstance(value, dict | list):
        return set().union(*map(_names, value.values() if isinstance(value, dict) else value))
    return {value[1:]} if isinstance(value, str) and value.startswith("$") else set()


def _step(step: Any, values: dict[str, Value], where: str) -> Method:
    return from_json(_filled(step, values, where), where=where)


def _filled(step: Any, values: dict[str, Value], where: str) -> Any:
    """A step with ``$name`` replaced by the grid's value of that name."""
    if isinstance(step, dict):
        return {key: _filled(value, values, where) for key, value in step.items()}
    if isinstance(step, list):
        return [_filled(value, values, where) for value in step]
    if isinstance(step, str) and step.startswith("$"):
        if step[1:] not in values:
            raise DinkuError(f"{step} isn't in the grid", where=where, remedy=f"add {step[1:]} to grid")
        return values[step[1:]]
    return step
