"""The Redis store: records and indexes in Redis, and a library in Lua that mirrors the domain's rules."""

from kew.adapters.redis.address import Address, address
from kew.adapters.redis.sentinel import SCHEMES, sentinel_address
from kew.adapters.redis.store import RedisStore
from kew.adapters.redis.wakeup import RedisWakeup

__all__ = ["Address", "RedisStore", "RedisWakeup", "address", "connect", "where"]


def where(
    url: str, *, connect_timeout: float = 2.0, timeout: float = 5.0, client_name: str = ""
) -> Address:
    """The address that a URL means, whatever its scheme. Raises `InvalidConfigError`."""
    read = sentinel_address if url.partition("://")[0] in SCHEMES else address
    return read(url, connect_timeout=connect_timeout, timeout=timeout, client_name=client_name)


def connect(
    url: str,
    namespace: str = "kew",
    *,
    connect_timeout: float = 2.0,
    timeout: float = 5.0,
    client_name: str = "",
) -> tuple[RedisStore, RedisWakeup]:
    """A store and its wake-up, not connected yet. Raises `InvalidConfigError` for a URL or namespace that can't be.

    `client_name`: of the connections; "": the one of the URL, or else "host:pid".
    """
    found = where(url, connect_timeout=connect_timeout, timeout=timeout, client_name=client_name)
    return RedisStore(found, namespace), RedisWakeup(found, namespace)
