"""streaQ."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from typing import Any

import tasks
from peer import Peer, main
from streaq import Worker
from streaq.task import Task

logging.getLogger("streaq").setLevel(logging.ERROR)


class Streaq(Peer):
    """Waiting for a result takes a subscription, and so a connection of its pool."""

    width = readers = 40
    has_batches = True

    async def open(self, url: str) -> None:
        self.url = url
        self.worker = self._worker()
        self.echo = self.worker.task(tasks.echo)
        await self.worker.__aenter__()

    async def work(self) -> None:
        worker = self._worker()
        worker.task(tasks.echo)
        self.working = asyncio.create_task(worker.run_async())

    def _worker(self) -> Worker[Any]:
        return Worker(redis_url=self.url, concurrency=self.slots, handle_signals=False)

    def submit(self, n: object) -> Awaitable[Task[Any, Any]]:
        return self.echo.enqueue(n)

    async def submit_many(self, ns: Sequence[object]) -> list[Task[Any, Any]]:
        calls = [self.echo.enqueue(n) for n in ns]
        await self.worker.enqueue_many(calls)
        return calls

    async def result(self, handle: Task[Any, Any]) -> Any:
        return (await handle.result()).result


if __name__ == "__main__":
    main(Streaq())
