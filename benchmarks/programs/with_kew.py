"""kew, as it is in this repository or in the environment that runs this."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Coroutine, Sequence
from typing import Any

import tasks
from peer import Peer, main

from kew import QueueConfig, TaskInfo, TaskQueueManager
from kew.handles import TaskHandle

logging.getLogger("kew").setLevel(
    logging.ERROR
)  # it warns that tasks.echo was not registered first
QUEUE = QueueConfig("bench", max_workers=50, max_size=100_000_000)


class Kew(Peer):
    """One manager submits; where the worker starts later, it is another manager's."""

    has_batches = True
    function = staticmethod(tasks.echo)
    queue = QUEUE

    async def open(self, url: str) -> None:
        self.url = url
        self.manager = self.new_manager()
        self.ids = itertools.count()
        await self.manager.initialize()
        await self.manager.create_queue(self.queue, work=False)

    def new_manager(self, **options: Any) -> TaskQueueManager:
        """One on the store."""
        return TaskQueueManager(self.url, **options)

    async def work(self, **options: Any) -> None:
        self.manager = self.new_manager(**options)
        await self.manager.initialize()
        await self.manager.create_queue(self.queue, functions=[tasks.echo, tasks.spin])

    def submit(self, n: object) -> Coroutine[Any, Any, TaskInfo]:
        return self.manager.submit_task(
            f"task-{next(self.ids)}", "bench", "echo", self.function, None, n
        )

    async def submit_many(self, ns: Sequence[object]) -> list[TaskInfo]:
        calls = [
            {
                "task_id": f"task-{next(self.ids)}",
                "task_type": "echo",
                "task_func": self.function,
                "args": (n,),
            }
            for n in ns
        ]
        return await self.manager.submit_tasks("bench", calls)

    def result(self, handle: TaskInfo) -> Coroutine[Any, Any, Any]:
        return TaskHandle[Any](self.manager, handle).result()


if __name__ == "__main__":
    main(Kew())
