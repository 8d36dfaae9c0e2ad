"""The tables, and the connection of a store to them.

- `queues`: a queue of a namespace and its state.
- `tasks`: a record each, with the columns by which it is found. `phase` says which of the partial indexes have it.
- `payloads`: what few steps of a task change, so that they needn't write it.
- `lines`: how many tasks wait under each priority, key and reason.
- `entries`: everything else, as maps by name: of a queue (`scope` is its number), or of a namespace (less than 0).
"""

from __future__ import annotations

import sqlite3
from typing import Final

from kew.domain.errors import StoreUnsuitableError

VERSION: Final = 1  # of the schema, in `user_version`
APPLICATION: Final = 0x6B657721  # "kew!", in `application_id`
BUSY_S: Final = 10.0  # how long a transaction waits for those of other processes
WAITING: Final = 0
LEASED: Final = 1
ENDED: Final = 2
DEAD: Final = 3  # ended as FAILED

TABLES: Final = """
CREATE TABLE namespaces (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, last_ms INTEGER NOT NULL DEFAULT 0);
CREATE TABLE queues (
  number INTEGER PRIMARY KEY AUTOINCREMENT, namespace INTEGER NOT NULL, name TEXT NOT NULL, state BLOB NOT NULL,
  UNIQUE (namespace, name)
);
CREATE TABLE tasks (
  namespace INTEGER NOT NULL, id TEXT NOT NULL, queue INTEGER NOT NULL, phase INTEGER NOT NULL,
  priority INTEGER NOT NULL, key TEXT NOT NULL, reason TEXT NOT NULL, ready_at INTEGER NOT NULL,
  ticket INTEGER NOT NULL, lease_until INTEGER NOT NULL, expires_at INTEGER NOT NULL, start_by INTEGER,
  failure TEXT NOT NULL, record BLOB NOT NULL,
  UNIQUE (namespace, id)
);
CREATE INDEX waiting ON tasks (queue, priority, ready_at, ticket) WHERE phase = 0;
CREATE INDEX waiting_in_line ON tasks (queue, priority, key, reason, ready_at, ticket) WHERE phase = 0;
CREATE INDEX leases ON tasks (queue, lease_until, ticket, id) WHERE phase = 1;
CREATE INDEX ends ON tasks (queue, expires_at, ticket, id) WHERE phase >= 2;
CREATE INDEX dead ON tasks (queue, failure, expires_at, ticket, id) WHERE phase = 3;
CREATE INDEX starts ON tasks (queue, start_by, ticket, id) WHERE start_by IS NOT NULL;
CREATE TABLE payloads (
  namespace INTEGER NOT NULL, id TEXT NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (namespace, id)
);
CREATE TABLE lines (
  queue INTEGER NOT NULL, priority INTEGER NOT NULL, key TEXT NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL,
  PRIMARY KEY (queue, priority, key, reason)
) WITHOUT ROWID;
CREATE TABLE entries (
  scope INTEGER NOT NULL, kind TEXT NOT NULL, name NOT NULL, value BLOB NOT NULL, place INTEGER NOT NULL, at INTEGER,
  PRIMARY KEY (scope, kind, name)
) WITHOUT ROWID;
CREATE INDEX entries_in_order ON entries (scope, kind, place);
CREATE INDEX entries_at ON entries (scope, kind, at) WHERE at IS NOT NULL;
"""


def connection(path: str, synchronous: str) -> sqlite3.Connection:
    """A connection to the file, which is created if there is none. Raises `sqlite3.Error`, or `StoreUnsuitableError`.

    It begins no transactions by itself. The thread that opens it must be the one that uses it.
    """
    made = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, cached_statements=512)
    try:
        _prepare(made, path, synchronous)
    except BaseException:
        made.close()
        raise
    return made


def _prepare(made: sqlite3.Connection, path: str, synchronous: str) -> None:
    made.execute(
        "BEGIN"
    )  # what it looks at is of one moment: another process may be creating the tables
    _check(made, path)
    made.execute("COMMIT")
    (mode,) = made.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreUnsuitableError(
            f"SQLite can't keep a write-ahead log beside {path} (its journal mode is {mode!r}): "
            "put the file on a local disk, where several processes can share memory"
        )
    made.execute(f"PRAGMA synchronous = {synchronous}")
    made.execute("BEGIN IMMEDIATE")
    if not _check(made, path):
        for statement in TABLES.split(";"):
            made.execute(statement)
        made.execute(f"PRAGMA application_id = {APPLICATION}")
        made.execute(f"PRAGMA user_version = {VERSION}")
    made.execute("COMMIT")


def _check(made: sqlite3.Connection, path: str) -> bool:
    """Whether it has the tables. Raises `StoreUnsuitableError` for what this version can't use."""
    (application,) = made.execute("PRAGMA application_id").fetchone()
    (version,) = made.execute("PRAGMA user_version").fetchone()
    (tables,) = made.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION and (application or version or tables):
        raise StoreUnsuitableError(
            f"{path} is a SQLite database of another program: give kew a file of its own"
        )
    if version > VERSION:
        raise StoreUnsuitableError(
            f"{path} was written by a newer version of kew (format {version}, this one knows {VERSION}): "
            "update kew in this process"
        )
    return bool(version)
