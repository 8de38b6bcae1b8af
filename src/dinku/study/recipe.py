"""Recipe: a base, a corpus, a seed and a list of methods; and the address of each of its prefixes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from dinku.digests import document_digest
from dinku.errors import DinkuError
from dinku.method import Data, Drawn, Method, Planned
from dinku.methods.registry import from_json, to_json
from dinku.model.encode import LabelOn
from dinku.model.shape import Shape


@dataclass(frozen=True)
class Recipe:
    """What is done to ``base``, in order, with the train and dev splits of ``corpus`` and the unlabelled ``text``."""

    base: str
    corpus: str
    steps: tuple[Method, ...]
    seed: int = 0
    label_on: LabelOn = "first"
    text: str | None = None

    def resolved(self, data: Data, shape: Shape | None = None) -> Recipe:
        """The same recipe with absolute values in every step; ``shape`` is the base's, on which some may depend."""
        steps: list[Method] = []
        for asked in self.steps:
            steps.append(step := asked.resolve(Planned(shape) if shape else None, data.of(asked)))
            shape = step.declare(shape) if shape else None
        return replace(self, steps=tuple(steps))

    def document(self) -> dict[str, Any]:
        """JSON from which `Recipe.of` makes an equal recipe."""
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
        """The version of each method, those within students too, by name."""
        steps = [each for step in self.steps for each in (step, *getattr(step, "student", ()))]
        return {type(step).__name__: step.version for step in steps}

    @classmethod
    def of(cls, document: dict[str, Any], *, where: str = "recipe") -> Recipe:
        steps = tuple(from_json(step, where=where) for step in document.get("steps", ()))
        try:
            return cls(**{**document, "steps": steps})
        except TypeError as error:
            raise DinkuError(
                str(error), where=where, remedy="a recipe has base, corpus, steps, seed, label_on, text"
            ) from None

    def addresses(self, base_digest: str, data: Data) -> list[str]:
        """The address of the base and of every prefix, for a recipe that is resolved.

        sha256 of the canonical JSON of the address before, the step with its version, and what the step consumes: the
        corpora's fingerprints enter at the steps that see them, and the seed at those that draw at
        random. So what recipes share they share by name.
        """
        at = document_digest({"base": base_digest, "label_on": self.label_on})
        out = [at]
        for step in self.steps:
            seed = {"seed": self.seed} if isinstance(step, Drawn) else {}
            consumed = seed | data.of(step).fingerprints()
            at = document_digest(
                {"before": at, "step": to_json(step), "version": _versions(step), "consumes": consumed}
            )
            out.append(at)
        return out

    def declared(self, shape: Shape) -> list[Shape]:
        """The declared shape of the base and of every prefix, for a recipe that is resolved.

        Raises `DinkuError` where a step comes after quantization.
        """
        out = [shape]
        for step in self.steps:
            out[-1].scheme.refuse(type(step).__name__)
            out.append(step.declare(out[-1]))
        return out


def _versions(step: Method) -> Any:
    """The version of a method, with those of the methods within it where there are any."""
    inner = [_versions(each) for each in getattr(step, "student", ())]
    return [step.version, *inner] if inner else step.version
