"""From a URL to the store and its wake-up."""

from __future__ import annotations

from kew.adapters.sqlite.address import parse
from kew.adapters.sqlite.notifying import SqliteWakeup
from kew.adapters.sqlite.store import SqliteStore
from kew.app.ports import Clock


def connect(url: str, namespace: str, clock: Clock) -> tuple[SqliteStore, SqliteWakeup]:
    """The store of `sqlite:///path` and its wake-up; nothing is opened yet. Raises `InvalidConfigError`."""
    address = parse(url)
    return SqliteStore(address, namespace, clock), SqliteWakeup(address.path, namespace)
