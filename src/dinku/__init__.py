"""dinku makes small language models smaller, and says exactly what that cost."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dinku.data.corpus import Corpus, Sentence
    from dinku.data.sources import load
    from dinku.data.spans import Span
    from dinku.errors import DinkuError
    from dinku.export.pipeline import export
    from dinku.making.budget import Budget
    from dinku.making.compress import compress
    from dinku.making.train import train
    from dinku.method import Data, Method, Work
    from dinku.model.bundle import Bundle
    from dinku.model.shape import Shape
    from dinku.nn.tagger import Tagger
    from dinku.scoring.counts import Counts
    from dinku.serving.reader import open
    from dinku.study.definition import Study
    from dinku.study.recipe import Recipe

__version__ = "0.1.0"
__all__ = [
    "Budget",
    "Bundle",
    "Corpus",
    "Counts",
    "Data",
    "DinkuError",
    "Method",
    "Recipe",
    "Sentence",
    "Shape",
    "Span",
    "Study",
    "Tagger",
    "Work",
    "__version__",
    "compress",
    "export",
    "load",
    "open",
    "train",
]

# Unless the environment says otherwise, torch's threads give up their core soon while they wait for one another. By default,
# GNU OpenMP lets them spin for milliseconds: with another program on one of two cores, training then took more than twenty
# times as long instead of twice. GNU OpenMP reads the variable when torch is first imported, so it is set here, before any
# module of dinku can import torch.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")

# The module of each public name. It is imported at first use, because most of them import numpy and some import torch.
_MODULES = {
    "Budget": "making.budget",
    "Bundle": "model.bundle",
    "Corpus": "data.corpus",
    "Counts": "scoring.counts",
    "Data": "method",
    "DinkuError": "errors",
    "Method": "method",
    "Recipe": "study.recipe",
    "Sentence": "data.corpus",
    "Shape": "model.shape",
    "Span": "data.spans",
    "Study": "study.definition",
    "Tagger": "nn.tagger",
    "Work": "method",
    "compress": "making.compress",
    "load": "data.sources",
    "open": "serving.reader",
    "train": "making.train",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'dinku' has no attribute {name!r}")
    return getattr(import_module(f"dinku.{_MODULES[name]}"), name)


class _Dinku(ModuleType):
    """The type of the module ``dinku``: its attribute ``export`` is the function, not the submodule of the same name."""

    @property
    def export(self) -> Any:
        return import_module("dinku.export.pipeline").export

    @export.setter
    def export(self, folder: ModuleType) -> None:
        """Ignores the submodule, which Python assigns here when it is first imported; imports find it without this attribute."""


sys.modules[__name__].__class__ = _Dinku
