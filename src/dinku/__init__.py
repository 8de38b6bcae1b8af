"""dinku makes small language models smaller, and says exactly what that cost."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dinku.serving.reader import open as open

__version__ = "0.1.0"

# Threads of torch that wait for each other yield the core soon, where the environment says nothing else. GNU OpenMP spins for
# milliseconds: where another program keeps a core busy, training on two cores took over twenty times as long, not twice. GNU
# OpenMP reads the variable when torch is first imported, so it is set here, before any module of dinku can import torch.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")


def __getattr__(name: str) -> Any:
    """``dinku.open``, which brings numpy and the like, is imported when it is first used."""
    if name == "open":
        from dinku.serving.reader import open

        return open
    raise AttributeError(f"module 'dinku' has no attribute {name!r}")
