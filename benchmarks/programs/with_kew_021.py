"""kew 0.2.1. Its logging of every task is turned off, which helps it."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Awaitable, Sequence
from typing import Any

import tasks
from peer import MISSING, Peer, main, polled

from kew import QueueConfig, QueuePriority, TaskInfo, TaskQueueManager, TaskStatus

LOUD = ("kew", "kew.manager")


class OldKew(Peer):
    """It breaks with more than 50 calls in flight, so it gets 40."""

    width = readers = 40
    has_batches = True

    async def open(self, url: str) -> None:
        self.url = url
        self.ids = itertools.count()
        self.manager = await self._manager(works=False)

    async def work(self) -> None:
        self.manager = await self._manager(works=True)

    async def _manager(self, *, works: bool) -> TaskQueueManager:
        manager = TaskQueueManager(self.url, cleanup_on_start=False)
        for name in LOUD:
            logging.getLogger(name).setLevel(logging.ERROR)
        await manager.initialize()
        if not works:
            manager._process_queue = _nothing  # it has no other way of only submitting
        config = QueueConfig("bench", max_workers=50, max_size=100_000_000)
        await manager.create_queue(config)
        return manager

    def submit(self, n: object) -> Awaitable[TaskInfo]:
        return self.manager.submit_task(
            f"task-{next(self.ids)}", "bench", "echo", tasks.echo, QueuePriority.MEDIUM, n
        )

    async def submit_many(self, ns: Sequence[object]) -> list[TaskInfo]:
        calls = [
            {
                "task_id": f"task-{next(self.ids)}",
                "task_type": "echo",
                "task_func": tasks.echo,
                "priority": QueuePriority.MEDIUM,
                "args": (n,),
            }
            for n in ns
        ]
        return await self.manager.submit_tasks("bench", calls)

    async def result(self, handle: TaskInfo) -> Any:
        async def read() -> Any:
            info = await self.manager.get_task_status(handle.task_id)
            return info.result if info.status is TaskStatus.COMPLETED else MISSING

        return await polled(read)


async def _nothing(queue_name: str) -> None:
    pass


if __name__ == "__main__":
    main(OldKew())
