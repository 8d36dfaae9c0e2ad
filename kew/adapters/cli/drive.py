"""The demo's queue: look back at what an earlier run did, push the rest, wait until every file has ended.

It uses kew as any program would, by its public face.
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
from kew.adapters.cli.folder import File, Folder, digest_file
from kew.adapters.cli.tally import GONE, Tally

RETRIES = 2
FIRST_DELAY = 0.2
LEASE = 5.0
PUSHED_AT_ONCE = 500
ASKED_AT_ONCE = 100
POLL = 1.0


def config_of(folder: Folder, workers: int) -> QueueConfig:
    """The folder's queue. A file that can't be read says nothing about the next, so there is no breaker."""
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
    """`InvalidConfigError` for what no run could begin with; nothing is connected."""
    TaskQueueManager(url, namespace=namespace)
    QueueConfig("demo", max_workers=workers)


class Drive:
    """One run over one folder. `stage` is told what it is at, in words."""

    def __init__(
        self, tally: Tally, *, url: str, namespace: str, workers: int, stage: Callable[[str], None]
    ) -> None:
        self.tally = tally
        self.status: dict[str, Any] = {}
        self._config = config_of(tally.folder, workers)
        self._stage = stage
        self._told = asyncio.Event()
        self._replayed: list[str] = []
        self._manager = TaskQueueManager(
            url,
            namespace=namespace,
            on_task_complete=self._hear,
            on_task_fail=lambda info, error: self._hear(info),
        )
        self._manager.register(digest_file)

    async def run(self) -> None:
        """Until every file has ended. Cancelled, it hands back what runs."""
        async with self._manager as manager:
            fresh = await self._look_back()
            await manager.create_queue(self._config)
            self._stage("pushing")
            for task_id in self._replayed:
                await manager.replay_task(task_id)
            for piece in _pieces(fresh, PUSHED_AT_ONCE):
                await self._push(piece)
            self._stage("digesting")
            await self._until_all_ended()
            self.status = await manager.get_queue_status(self._config.name)

    def _hear(self, info: TaskInfo) -> None:
        self.tally.told(info)
        self._told.set()

    # --- an earlier run

    async def _look_back(self) -> list[File]:
        """The files that no earlier run knows. Nothing works here yet, so what has ended was others' doing."""
        files = self.tally.folder.files
        try:
            await self._manager.get_queue_status(self._config.name)
        except QueueNotFoundError:
            return list(files)
        self._stage("looking back")
        fresh = []
        for piece in _pieces(files, ASKED_AT_ONCE):
            for file, info in await self._ask(piece):
                self.tally.found(info)
                if info is None:
                    fresh.append(file)
                elif info.status in ("failed", "cancelled"):
                    self._replayed.append(info.task_id)
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
        """All of them in one round trip; those that another process pushed in the meantime are left to it."""
        missing = files
        while missing:
            try:
                await self._manager.submit_tasks(self._config.name, [_task(one) for one in missing])
                return
            except TaskAlreadyExistsError:
                missing = [file for file, info in await self._ask(missing) if info is None]

    async def _until_all_ended(self) -> None:
        """Hooks tell of what ran here; when they fall silent, look at what others may have ended."""
        while self.tally.open:
            try:
                async with asyncio.timeout(POLL):
                    await self._told.wait()
            except TimeoutError:
                await self._look_patiently()
            self._told.clear()

    async def _look_patiently(self) -> None:
        """A store that is away for a while is waited for: kew goes on by itself when it is back."""
        try:
            await self._look_around()
        except StoreUnavailableError:
            self._stage("waiting for the store")

    async def _look_around(self) -> None:
        """A few of the open ones, each time others."""
        files = list(self.tally.open.values())[: 20 * ASKED_AT_ONCE]
        for piece in _pieces(files, ASKED_AT_ONCE):
            for file, info in await self._ask(piece):
                if info is None:
                    self.tally.bury(file, GONE)
                    continue
                self.tally.told(info)
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
