"""What goes wrong with a file, as errors that say what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final

from kew.adapters.sqlite.schema import BUSY_S
from kew.app.ports import Ambiguous, Damaged, Refused
from kew.app.ports.errors import StoreError
from kew.domain.errors import StoreUnavailableError, StoreUnsuitableError

PRIMARY: Final = 0xFF  # the bits of a result code that say what kind it is
BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
BROKEN: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
ADVICE: Final[Mapping[int, str]] = {
    sqlite3.SQLITE_BUSY: f"another process has been writing to {{path}} for {BUSY_S:.0f} s: look for one that hangs",
    sqlite3.SQLITE_LOCKED: f"another process has locked {{path}} for {BUSY_S:.0f} s: look for one that hangs",
    sqlite3.SQLITE_FULL: "the disk that has {path} is full: free some space; kew goes on by itself",
    sqlite3.SQLITE_READONLY: "{path} can't be written: let this user write the file and its directory",
    sqlite3.SQLITE_CANTOPEN: "{path} can't be opened: create its directory, and let this user write there",
    sqlite3.SQLITE_PERM: "{path} can't be opened: let this user read and write the file and its directory",
    sqlite3.SQLITE_CORRUPT: "{path} is damaged: stop all processes, copy the file and its -wal, "
    'and recover what can be read with sqlite3 {path} ".recover"',
    sqlite3.SQLITE_NOTADB: "{path} is no SQLite database: give kew a file of its own, or restore it from a backup",
    sqlite3.SQLITE_IOERR: "the disk that has {path} reports an error: check the disk and the kernel's log, "
    "and whether a quota or ulimit -f ends here",
}
UNSUITABLE: Final = {
    *(sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM),
    *BROKEN,
}
AFFECTS_ALL: Final = frozenset(ADVICE)
"""What is wrong for every operation, so that none of a group need be tried again by itself."""


def code_of(error: BaseException) -> int:
    """What kind of failure it is; 0: SQLite doesn't say."""
    return int(getattr(error, "sqlite_errorcode", 0)) & PRIMARY


def message_of(error: BaseException, path: str) -> str:
    """What is wrong, and what to do."""
    advice = ADVICE.get(code_of(error))
    return f"{advice.format(path=path)} ({error})" if advice else f"{path}: {error}"


def while_working(error: BaseException, path: str, *, is_committing: bool) -> BaseException:
    """What an operation raises. Without a commit nothing was carried out; a disk's error leaves it open."""
    if not isinstance(error, sqlite3.Error):
        return error
    code, message = code_of(error), message_of(error, path)
    kind: type[StoreError] = Refused
    if code in BROKEN:
        kind = Damaged
    elif is_committing and code not in (*BUSY, sqlite3.SQLITE_FULL):
        kind = Ambiguous
    return kind(message)


def while_opening(error: sqlite3.Error, path: str) -> Exception:
    """What opening a store raises."""
    message = message_of(error, path)
    return (
        StoreUnsuitableError(message)
        if code_of(error) in UNSUITABLE
        else StoreUnavailableError(message)
    )
