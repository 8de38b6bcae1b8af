"""Recipe: a base, a corpus, a seed and a list of methods; and the address of each of its prefixes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from dinku.digests import document_digest
from dinku.errors import DinkuError, located
from dinku.method import Data, Method, Planned, Seeded, inner_methods, with_inner
from dinku.methods.registry import from_json, to_json
from dinku.model.encode import LabelOn
from dinku.model.shape import Costs, Shape, check_takes


@dataclass(frozen=True)
class Recipe:
    """The methods applied to ``base``, in order, with the train and dev splits of ``corpus`` and the unlabelled ``text``.

    >>> import dinku
    >>> from dinku.methods.sparsity import Sparsify
    >>> dinku.Recipe("dinku:house", "sample:hau", (Sparsify(0.5),)).versions
    {'Sparsify': 1}
    """

    base: str
    corpus: str
    steps: tuple[Method, ...]
    seed: int = 0
    label_on: LabelOn = "first"
    text: str | None = None

    def resolved(
        self, data: Data, shape: Costs | None = None, *, where: str = "", check: Callable[[Method], None] | None = None
    ) -> tuple[Recipe, tuple[Costs, ...]]:
        """The same recipe with absolute values in every step, and the declared shape of the base and of every prefix.

        ``shape`` is the base's. If it isn't given, no shape is known, and a step that depends on one raises `DinkuError`.
        ``check`` may refuse a resolved step. An error says after ``where`` which step it is about.
        """
        steps: list[Method] = []
        shapes = [shape] if shape else []
        for number, asked in enumerate(self.steps):
            with located(f"{where}: steps.{number}" if where else f"steps.{number}"):
                known = Planned(changeable_by(asked, shapes[-1])) if shapes else None
                step = asked.resolve(known, data.seen_by(asked))
                if check:
                    check(step)
                if shapes:
                    shapes.append(step.declare(changeable_by(step, shapes[-1])))
            steps.append(step)
        return replace(self, steps=tuple(steps)), tuple(shapes)

    def document(self) -> dict[str, Any]:
        """JSON from which `Recipe.from_document` makes an equal recipe."""
        return {
            "base": self.base,
            "corpus": self.corpus,
            "steps": [to_json(step) for step in self.steps],
            "seed": self.seed,
            "label_on": self.label_on,
            **({"text": self.text} if self.text else {}),
        }

    @property
    def versions(self) -> dict[str, int]:
        """The version of each method, inner ones at any depth included, by name."""
        return {type(each).__name__: each.version for step in self.steps for each in with_inner(step)}

    @classmethod
    def from_document(cls, document: dict[str, Any], *, where: str = "recipe") -> Recipe:
        steps = tuple(from_json(step, where=where) for step in document.get("steps", ()))
        try:
            return cls(**{**document, "steps": steps})
        except TypeError as error:
            raise DinkuError(
                str(error), where=where, remedy="a recipe has base, corpus, steps, seed, label_on, text"
            ) from None

    def addresses(self, base_digest: str, data: Data) -> list[str]:
        """The address of the base and of every prefix, for a recipe that is resolved.

        An address is the sha256 of the canonical JSON of the address before, the step with its version and those of its inner
        methods, and what the step consumes: fingerprints of the data that it may see, and the seed if it is `Seeded`. Recipes
        that begin alike thus have equal addresses as far as they do.
        """
        at = document_digest({"base": base_digest, "label_on": self.label_on})
        out = [at]
        for step in self.steps:
            seed = {"seed": self.seed} if isinstance(step, Seeded) else {}
            consumed = seed | data.seen_by(step).fingerprints()
            at = document_digest(
                {"before": at, "step": to_json(step), "version": _versions(step), "consumes": consumed}
            )
            out.append(at)
        return out

    def declared(self, shape: Costs) -> list[Costs]:
        """The declared shape of the base and of every prefix, for a recipe that is resolved.

        Raises `DinkuError` if a step comes after quantization, or can't change a model of that kind.
        """
        out = [shape]
        for step in self.steps:
            out.append(step.declare(changeable_by(step, out[-1])))
        return out


def changeable_by(step: Method, shape: Costs) -> Shape:
    """A shape, if a method can change such a model.

    It can change transformers, unless its ``takes`` names other classes; and no quantized model, unless it is without
    ``needs_weights``, as one that asks the model for its answers alone.
    """
    if getattr(step, "needs_weights", True):
        shape.scheme.refuse(type(step).__name__)
    check_takes(step, shape)
    return cast(Shape, shape)


def title_of(arm: str, values: Mapping[str, Any]) -> str:
    """The recipe's name for readers, without its seed: its arm and the grid's values."""
    return " ".join([arm, *(f"{key}={value}" for key, value in values.items())])


def _versions(step: Method) -> Any:
    """The version of a method; if it has inner methods, a list of its version and theirs."""
    inner = [_versions(each) for each in inner_methods(step)]
    return [step.version, *inner] if inner else step.version
