"""The admin API and its page: an ASGI application, an extra.

`admin(manager)` makes it; mount it into a FastAPI or Starlette application, or serve it with `kew web`.
"""

from __future__ import annotations

ADVICE = "The admin API is an extra; install it: pip install 'kew[web]'"

try:
    import fastapi  # noqa: F401 - only checks that it is installed
except ImportError as missing:
    raise ModuleNotFoundError(
        f"module {missing.name!r} is not installed. {ADVICE}", name=missing.name
    ) from None

from kew.web.app import admin  # noqa: E402 - after the advice
from kew.web.identities import Identity  # noqa: E402

__all__ = ["Identity", "admin"]
