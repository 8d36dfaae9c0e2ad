"""Silence kew's log while a test kills processes: its warnings are expected then."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Log only critical messages of kew inside the block."""
    logger = logging.getLogger("kew")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
