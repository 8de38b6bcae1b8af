"""dinku makes small language models smaller, and says exactly what that cost."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dinku.reader import open as open

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """``dinku.open``, which brings numpy and the like, is imported when it is first used."""
    if name == "open":
        from dinku.reader import open

        return open
    raise AttributeError(f"module 'dinku' has no attribute {name!r}")
