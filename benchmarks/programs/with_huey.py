"""huey's SqliteHuey: a consumer in a thread of this process, and results that it stores.

`synchronous=full` is its `fsync=True`. It has no setting for `normal` (its `fsync=False` is SQLite's `off`), so that
one is set on its connections here.
"""

from __future__ import annotations

import threading
from typing import Any
from urllib.parse import urlsplit

import tasks
from huey import SqliteHuey
from huey.storage import SqliteStorage
from peer import MISSING, Peer, main, polled


class Normal(SqliteStorage):
    """Synced at checkpoints."""

    def _create_connection(self) -> Any:
        connection = super()._create_connection()
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection


class Huey(Peer):
    """Its calls block, as in a program without asyncio. One thread runs the tasks, as is its default."""

    readers = 100

    async def open(self, url: str) -> None:
        parts = urlsplit(url)
        options: dict[str, Any] = (
            {"fsync": True}
            if parts.query == "synchronous=full"
            else {"storage_class": Normal, "fsync": None}
        )
        self.huey = SqliteHuey(filename=parts.path, **options)
        self.echo = self.huey.task()(tasks.echo_in_thread)

    async def work(self) -> None:
        tasks.tally.run_in_threads()
        consumer = self.huey.create_consumer(workers=1, periodic=False)
        consumer._set_signal_handlers = lambda: None
        threading.Thread(target=consumer.run, daemon=True).start()

    async def submit(self, n: object) -> Any:
        return self.echo(n)

    async def result(self, handle: Any) -> Any:
        async def read() -> Any:
            found = handle.get()
            return MISSING if found is None else found

        return await polled(read)


if __name__ == "__main__":
    main(Huey())
