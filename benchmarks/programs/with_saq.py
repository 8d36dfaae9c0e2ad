"""SAQ."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import tasks
from peer import MISSING, Peer, main, polled
from saq import Job, Queue, Status, Worker


async def echo(context: Any, *, n: object) -> object:
    """The task, with SAQ's first argument."""
    return await tasks.echo(n)


class Saq(Peer):
    """It lets 20 calls of its own through at a time."""

    width = readers = 40

    async def open(self, url: str) -> None:
        self.queue = Queue.from_url(url)
        await self.queue.connect()

    async def work(self) -> None:
        worker: Worker[Any] = Worker(self.queue, functions=[echo], concurrency=self.slots)
        worker.SIGNALS = []
        self.working = asyncio.create_task(worker.start())

    def submit(self, n: object) -> Awaitable[Job | None]:
        return self.queue.enqueue("echo", n=n)

    async def result(self, handle: Job) -> Any:
        async def read() -> Any:
            await handle.refresh()
            return handle.result if handle.status is Status.COMPLETE else MISSING

        return await polled(read)


if __name__ == "__main__":
    main(Saq())
