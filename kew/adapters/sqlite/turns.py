"""Turns of the processes that write to one file.

SQLite has one writer at a time. The processes that wait ask for its lock again and again, ever less often. A process
with much to do then gets the lock almost always, and another may wait for seconds, longer than its leases last. So a
process first takes the place of the next writer, an advisory lock (`flock`) on a file beside the database, and keeps
it until it writes. A process that has just written must queue behind it.

The place is a courtesy. A process that doesn't get it within `PATIENCE_S` asks for SQLite's lock without it, in case
the one that has it hangs.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from types import ModuleType
from typing import Final

from kew.adapters.sqlite import failures, schema

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None

PATIENCE_S: Final = 1.0
PAUSE_S: Final = 0.000_5  # between two attempts


class Turns:
    """The turns of one connection. It belongs to the thread of the connection."""

    def __init__(self, db: sqlite3.Connection, path: str) -> None:
        self._db = db
        self._place = _opened(f"{path}-turn")

    def close(self) -> None:
        """Close the file of the place."""
        if self._place is not None:
            os.close(self._place)
            self._place = None

    def begin(self) -> None:
        """Begin a transaction that writes. Raises `sqlite3.OperationalError` if another process writes for too long."""
        until(self._takes_place, PATIENCE_S)
        self._db.execute("PRAGMA busy_timeout = 0")
        try:
            if not until(self._begins, schema.BUSY_S):
                self._db.execute("BEGIN IMMEDIATE")  # raises what is wrong
        finally:
            self._db.execute(f"PRAGMA busy_timeout = {schema.BUSY_S * 1000:.0f}")
            self._leave_place()

    def _takes_place(self) -> bool:
        if fcntl is None or self._place is None:
            return True
        try:
            fcntl.flock(self._place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # this file system has no such locks
            self.close()
        return True

    def _leave_place(self) -> None:
        if fcntl is not None and self._place is not None:
            fcntl.flock(self._place, fcntl.LOCK_UN)

    def _begins(self) -> bool:
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if failures.code_of(error) not in failures.BUSY:
                raise
            return False
        return True


def until(is_so: Callable[[], bool], seconds: float) -> bool:
    """Ask again and again until it is so. Whether it was so within this time."""
    if is_so():
        return True
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(PAUSE_S)
        if is_so():
            return True
    return False


def _opened(path: str) -> int | None:
    if fcntl is None:
        return None
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        return None
