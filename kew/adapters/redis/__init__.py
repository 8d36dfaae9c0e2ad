"""The Redis store: records and indexes in Redis, and a library in Lua that mirrors the domain's rules."""

from kew.adapters.redis.address import Address, address
from kew.adapters.redis.store import RedisStore
from kew.adapters.redis.wakeup import RedisWakeup

__all__ = ["Address", "RedisStore", "RedisWakeup", "address", "connect"]


def connect(
    url: str,
    namespace: str = "kew",
    *,
    connect_timeout: float = 2.0,
    timeout: float = 5.0,
) -> tuple[RedisStore, RedisWakeup]:
    """A store and its wake-up, not connected yet. Raises `InvalidConfigError` for a URL or namespace that can't be."""
    where = address(url, connect_timeout=connect_timeout, timeout=timeout)
    return RedisStore(where, namespace), RedisWakeup(where, namespace)
