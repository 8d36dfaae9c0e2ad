"""arq, with its default poll of half a second."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import tasks
from arq import Worker, create_pool
from arq.connections import RedisSettings
from arq.jobs import Job
from peer import MISSING, Peer, main, polled


async def echo(context: dict[Any, Any], n: object) -> object:
    """The task, with arq's first argument."""
    return await tasks.echo(n)


class Arq(Peer):
    """Each call in flight takes a connection of its pool."""

    width = readers = 40

    async def open(self, url: str) -> None:
        self.pool = await create_pool(RedisSettings.from_dsn(url))

    async def work(self) -> None:
        worker = Worker(
            functions=[echo],
            redis_pool=self.pool,
            handle_signals=False,
            max_jobs=self.slots,
            log_results=False,
        )
        self.working = asyncio.create_task(worker.async_run())

    def submit(self, n: object) -> Awaitable[Job | None]:
        return self.pool.enqueue_job("echo", n)

    async def result(self, handle: Job) -> Any:
        async def read() -> Any:
            ended = await handle.result_info()
            return MISSING if ended is None else ended.result

        return await polled(read)


if __name__ == "__main__":
    main(Arq())
