"""Warnings of settings that are valid and probably not what was meant."""

from __future__ import annotations

from collections.abc import Iterable

from kew.app.naming import qualname_of
from kew.app.registered import RegisteredFunction
from kew.domain.config import QueueConfig
from kew.domain.suggestions import is_misspelt
from kew.log import logger


def warn_of_retries(config: QueueConfig) -> None:
    """Warn if the failed attempts of one task open the queue's breaker before its retries are used up."""
    limit = config.max_circuit_breaker_failures
    if limit is None or config.max_retries < limit:
        return
    logger.warning(
        "queue %s: max_retries=%s and max_circuit_breaker_failures=%s: the failed attempts of one task alone open the "
        "circuit breaker, and then no task of the queue starts for %g s; give max_circuit_breaker_failures a value "
        "above max_retries, or None",
        config.name,
        config.max_retries,
        limit,
        config.circuit_breaker_reset_timeout,
    )


def warn_of_misspelt(function: RegisteredFunction, created: Iterable[str]) -> None:
    """Warn if the function's queue, which was not created here, is probably meant to be one of these."""
    for name in created:
        if function.queue is not None and is_misspelt(function.queue, name):
            logger.warning(
                "function %s is decorated with queue=%r, and this manager has created %r: "
                "did you mean %r? (Ignore this if you create both.)",
                qualname_of(function.function),
                function.queue,
                name,
                name,
            )
