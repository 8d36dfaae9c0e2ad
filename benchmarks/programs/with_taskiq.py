"""taskiq with the list broker and the result backend of taskiq-redis."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

import tasks
from peer import MISSING, Peer, main, polled
from taskiq import AsyncTaskiqTask
from taskiq.api import run_receiver_task
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend
from taskiq_redis.exceptions import ResultIsMissingError

logging.getLogger("taskiq").setLevel(logging.ERROR)


class Taskiq(Peer):
    """Each call in flight takes a connection of its pool."""

    width = readers = 40

    async def open(self, url: str) -> None:
        self.backend: RedisAsyncResultBackend[Any] = RedisAsyncResultBackend(url)
        self.broker = ListQueueBroker(url).with_result_backend(self.backend)
        self.echo = self.broker.task(tasks.echo)
        await self.broker.startup()

    async def work(self) -> None:
        self.working = asyncio.create_task(
            run_receiver_task(self.broker, max_async_tasks=self.slots)
        )

    def submit(self, n: object) -> Awaitable[AsyncTaskiqTask[Any]]:
        return self.echo.kiq(n)

    async def result(self, handle: AsyncTaskiqTask[Any]) -> Any:
        async def read() -> Any:
            try:
                return (await self.backend.get_result(handle.task_id)).return_value
            except ResultIsMissingError:
                return MISSING

        return await polled(read)


if __name__ == "__main__":
    main(Taskiq())
