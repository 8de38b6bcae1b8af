"""dinku makes small language models smaller, and says exactly what that cost."""

__version__ = "0.1.0"
