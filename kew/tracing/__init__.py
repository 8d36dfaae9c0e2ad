"""OpenTelemetry traces of kew's tasks, an extra: `pip install 'kew[otel]'`.

from kew.tracing import instrument

instrument(manager)
"""

from __future__ import annotations

try:
    import opentelemetry.trace  # noqa: F401 - only checks that it is installed
except ImportError as missing:
    raise ImportError(
        f"module {missing.name!r} is not installed: tracing is an extra; install it: pip install 'kew[otel]'",
        name=missing.name,
    ) from None

from kew.tracing.spans import instrument

__all__ = ["instrument"]
