"""The demo's queue: find out what an earlier run did, submit the rest, wait until every task has ended.

It uses only kew's public API, as any program would.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from kew import (
    Exponential,
    QueueConfig,
    QueueNotFoundError,
    StoreUnavailableError,
    TaskAlreadyExistsError,
    TaskInfo,
    TaskNotFoundError,
    TaskQueueManager,
)
from kew.cli.folder import File, Folder, digest_file
from kew.cli.tally import GONE, Tally

RETRIES = 2
FIRST_DELAY = 0.2
LEASE = 5.0
PUSHED_AT_ONCE = 500
ASKED_AT_ONCE = 100
POLL = 1.0


def config_of(folder: Folder, workers: int) -> QueueConfig:
    """The folder's queue. Without a breaker, since files fail independently of each other."""
    return QueueConfig(
        folder.queue,
        max_workers=workers,
        max_size=max(1000, 2 * len(folder.files)),
        max_retries=RETRIES,
        backoff=Exponential(base=FIRST_DELAY),
        max_circuit_breaker_failures=None,
        lease=LEASE,
    )


def check_options(*, url: str, namespace: str, workers: int) -> None:
    """Raises `InvalidConfigError` for an invalid option; connects to nothing."""
    TaskQueueManager(url, namespace=namespace)
    QueueConfig("demo", max_workers=workers)


class Drive:
    """One run over one folder.

    It calls `stage` with a description of each stage, and `continues` once it knows what an earlier run left.
    """

    def __init__(
        self,
        tally: Tally,
        *,
        url: str,
        namespace: str,
        workers: int,
        stage: Callable[[str], None],
        continues: Callable[[], None],
    ) -> None:
        self.tally = tally
        self.status: dict[str, Any] = {}
        self._config = config_of(tally.folder, workers)
        self._stage = stage
        self._continues = continues
        self._news = asyncio.Event()
        self._replayed: list[str] = []
        self._manager = TaskQueueManager(
            url,
            namespace=namespace,
            on_task_complete=self._on_end,
            on_task_fail=lambda info, error: self._on_end(info),
        )
        self._manager.register(digest_file)

    async def run(self) -> None:
        """Run until every task has ended. On cancellation, running tasks are released."""
        async with self._manager as manager:
            fresh = await self._look_back()
            await manager.create_queue(self._config)
            self._stage("submitting")
            for task_id in self._replayed:
                await manager.replay_task(task_id)
            for piece in _pieces(fresh, PUSHED_AT_ONCE):
                await self._push(piece)
            self._stage("digesting")
            await self._until_all_ended()
            self.status = await manager.get_queue_status(self._config.name)

    def _on_end(self, info: TaskInfo) -> None:
        self.tally.ended_as(info)
        self._news.set()

    # --- an earlier run

    async def _look_back(self) -> list[File]:
        """The files that no earlier run has submitted.

        This process has no worker yet, so other runs ended the tasks that have ended.
        """
        files = self.tally.folder.files
        try:
            await self._manager.get_queue_status(self._config.name)
        except QueueNotFoundError:
            return list(files)
        self._stage("reading the earlier run")
        fresh = []
        for piece in _pieces(files, ASKED_AT_ONCE):
            for file, info in await self._ask(piece):
                self.tally.found(info)
                if info is None:
                    fresh.append(file)
                elif info.status in ("failed", "cancelled"):
                    self._replayed.append(info.task_id)
        self._continues()
        return fresh

    async def _ask(self, files: Sequence[File]) -> list[tuple[File, TaskInfo | None]]:
        found = await asyncio.gather(*(self._ask_one(file.task_id) for file in files))
        return list(zip(files, found, strict=True))

    async def _ask_one(self, task_id: str) -> TaskInfo | None:
        try:
            return await self._manager.get_task_status(task_id)
        except TaskNotFoundError:
            return None

    # --- this run

    async def _push(self, files: Sequence[File]) -> None:
        """Submit them in one round trip, except for those that another process has submitted meanwhile."""
        missing = files
        while missing:
            try:
                await self._manager.submit_tasks(self._config.name, [_task(one) for one in missing])
                return
            except TaskAlreadyExistsError:
                missing = [file for file, info in await self._ask(missing) if info is None]

    async def _until_all_ended(self) -> None:
        """Hooks report the tasks that run here. If they are silent for a while, look at those of other processes."""
        while self.tally.open:
            try:
                async with asyncio.timeout(POLL):
                    await self._news.wait()
            except TimeoutError:
                await self._look_patiently()
            self._news.clear()

    async def _look_patiently(self) -> None:
        """Look, unless the store is unreachable; kew itself reconnects when the store is back."""
        try:
            await self._look_around()
        except StoreUnavailableError:
            self._stage("waiting for the store")

    async def _look_around(self) -> None:
        """Look at some of the open tasks, at others each time."""
        files = list(self.tally.open.values())[: 20 * ASKED_AT_ONCE]
        for piece in _pieces(files, ASKED_AT_ONCE):
            for file, info in await self._ask(piece):
                if info is None:
                    self.tally.bury(file, GONE)
                    continue
                self.tally.ended_as(info)
                if file.task_id in self.tally.open:
                    self.tally.open[file.task_id] = self.tally.open.pop(file.task_id)
        runs = await self._manager.get_ongoing_tasks()
        held = sum(info.task_id in self.tally.open for info in runs)
        self._stage(f"waiting for {held} running" if held else "waiting")


def _task(file: File) -> dict[str, Any]:
    return {
        "task_id": file.task_id,
        "task_type": "digest",
        "task_func": digest_file,
        "priority": file.priority,
        "args": [file.path],
    }


def _pieces(files: Sequence[File], size: int) -> Iterator[Sequence[File]]:
    return (files[start : start + size] for start in range(0, len(files), size))
