"""transformers without its messages."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import transformers


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep transformers from warning of what dinku checks itself, and from bars of its own."""
    logger = transformers.utils.logging.get_logger("transformers")
    level, bars = logger.level, transformers.utils.logging.is_progress_bar_enabled()
    logger.setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        logger.setLevel(level)
        if bars:
            transformers.utils.logging.enable_progress_bar()
