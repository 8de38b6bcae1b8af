"""One file a method, and the registry."""

from typing import Any


def __getattr__(name: str) -> Any:
    """Each method by its name (``from dinku.methods import FineTune``), imported when it is first asked for."""
    from dinku.methods.registry import MODULES, method_class

    if name not in MODULES:
        raise AttributeError(f"module 'dinku.methods' has no attribute {name!r}")
    return method_class(name)
