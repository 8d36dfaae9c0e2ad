"""What kew logs while processes are being killed is expected, and would only hide what a test has to say."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Inside, kew logs what is critical alone."""
    logger = logging.getLogger("kew")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
