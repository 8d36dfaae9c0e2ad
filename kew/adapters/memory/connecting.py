"""Which manager gets which memory store: one of its own, or the one that the managers of an event loop share."""

from __future__ import annotations

from kew.adapters.memory.hub import MemoryWakeup
from kew.adapters.memory.namespace import Namespace
from kew.adapters.memory.store import MemoryStore
from kew.app.ports import Clock
from kew.domain.config import is_name
from kew.domain.errors import InvalidConfigError

_shared: dict[tuple[str, str], Namespace] = {}


def connect(name: str, namespace: str, clock: Clock) -> tuple[MemoryStore, MemoryWakeup]:
    """The store of `memory://name` and its wake-up. Raises `InvalidConfigError` for a name that can't be."""
    shared = _namespace(name, namespace)
    return MemoryStore(clock, shared), MemoryWakeup(shared.hub)


def _namespace(name: str, namespace: str) -> Namespace:
    """`memory://` is private to its manager, `memory://name` is shared by the managers of an event loop."""
    if not name:
        return Namespace()
    if not is_name(name):  # it isn't quoted: it may be that of a server, with a password
        raise InvalidConfigError(
            "the URL of a memory store is memory:// or memory://name, "
            "whose name has 1 to 64 letters, digits, '_', '.' or '-'"
        )
    return _shared.setdefault((name, namespace), Namespace())
