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

# Threads of torch that wait for each other yield the core soon, where the environment says nothing else. GNU OpenMP spins for
# milliseconds: where another program keeps a core busy, training on two cores took over twenty times as long, not twice. GNU
# OpenMP reads the variable when torch is first imported, so it is set here, before any module of dinku can import torch.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")

# Where each name is imported from when it is first used: most bring numpy, some bring torch.
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
    """The module ``dinku``: its ``export`` is the function, although the folder of that name is a module of it, too."""

    @property
    def export(self) -> Any:
        return import_module("dinku.export.pipeline").export

    @export.setter
    def export(self, folder: ModuleType) -> None:
        """Python sets the folder here when it is first imported; imports find it without that."""


sys.modules[__name__].__class__ = _Dinku
