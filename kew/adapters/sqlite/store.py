"""The SQLite store: the handlers of the memory store over a namespace in a file, one transaction for each operation."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from typing import Any, TypeVar

from kew.adapters.memory.store import MemoryStore
from kew.adapters.sqlite import failures, schema
from kew.adapters.sqlite.address import Address, check_file_system
from kew.adapters.sqlite.namespace import StoredNamespace
from kew.adapters.sqlite.notifying import Outgoing
from kew.adapters.sqlite.slices import Slices
from kew.adapters.sqlite.turns import Turns
from kew.adapters.sqlite.writer import Session, Writer
from kew.app.ports import Clock, Operation, TaskStore
from kew.compat import override

A = TypeVar("A")


class SqliteStore(TaskStore):
    """One namespace of a file, which other processes of the host may use as well."""

    def __init__(self, address: Address, namespace: str, clock: Clock) -> None:
        self.address = address
        self.namespace = namespace
        self._clock = clock
        self._writer: Writer | None = None

    @override
    async def open(self) -> None:
        check_file_system(self.address.path)
        await self._ask(None)

    @override
    async def close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.stop()

    @override
    def apart(self) -> SqliteStore:
        return SqliteStore(self.address, self.namespace, self._clock)

    @override
    async def facts(self) -> Mapping[str, str]:
        return {
            "sqlite_version": sqlite3.sqlite_version,
            "sqlite_file": self.address.path,
            "sqlite_synchronous": self.address.synchronous,
        }

    @override
    async def do(self, operation: Operation[A]) -> A:
        answer: A = await self._ask(operation)
        return answer

    async def _ask(self, operation: Operation[A] | None) -> Any:
        if self._writer is None:
            self._writer = Writer(self.address.path, self._connect)
        return await self._writer.ask(operation)

    def _connect(self) -> Session:
        """Open the file, in the thread that will use it."""
        path, slices = self.address.path, Slices()
        with contextlib.ExitStack() as opened:  # it closes what a failure leaves open
            try:
                db = schema.connection(path, self.address.synchronous)
                opened.callback(db.close)
                hub = Outgoing(path, self.namespace)
                turns = Turns(db, path)
                opened.callback(turns.close)
                namespace = StoredNamespace(db, self.namespace, hub, slices)
            except sqlite3.Error as error:
                raise failures.while_opening(error, path) from error
            opened.pop_all()
        inner = MemoryStore(self._clock, namespace)

        def undone() -> None:
            hub.discard()
            namespace.undone()

        return Session(
            db, slices, turns, namespace.refresh, inner.do, namespace.flush, hub.send, undone
        )
