"""Noticing deadlocks: each slot of a queue is held by a task that waits for a task which needs such a slot.

A task that awaits the result of another keeps its own slot meanwhile. If such tasks hold all slots of the queue of the
others, none of them ever ends by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from kew.app.ports import Status, StoreError, TaskStore
from kew.app.results import Ending, Results
from kew.app.spawning import Owned
from kew.app.working.worker import Worker
from kew.log import logger

FIRST_LOOK: Final = 1.0  # seconds after a task began to wait for another
NEXT_LOOK: Final = 5.0
NAMED: Final = 3  # tasks in a message

Slot = tuple[str, int]
"""The queue and the fencing token of a running attempt."""


class Deadlocks:
    """Warns once for each queue whose slots are all held here, by tasks that wait for tasks of such queues."""

    def __init__(self, results: Results, workers: Mapping[str, Worker], store: TaskStore) -> None:
        self._results = results
        self._workers = workers
        self._store = store
        self._warned: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._looks = Owned("looking for deadlocks", lambda: None)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        for look in self._looks:
            look.cancel()

    def expect(self) -> None:
        """A task waits for another: look soon."""
        if self._timer is None:
            self._look_in(FIRST_LOOK)

    def _look_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, lambda: self._looks.begin(self._look()))

    async def _look(self) -> None:
        waits = self._waits()
        try:
            await self._warn_of_deadlocks(waits)
        finally:  # whatever the store answers, the next wait is looked at
            self._timer = None
        if waits:
            self._look_in(NEXT_LOOK)

    async def _warn_of_deadlocks(self, waits: Mapping[Slot, list[Ending[object]]]) -> None:
        stuck = {queue for queue in {queue for queue, _ in waits} if self._is_waiting(queue, waits)}
        while freed := {queue for queue in stuck if not self._waits_within(queue, stuck, waits)}:
            stuck -= freed
        for queue in sorted(stuck - self._warned):
            await self._warn_if_full(queue, waits)

    def _waits(self) -> dict[Slot, list[Ending[object]]]:
        """What each waiting attempt of this process waits for."""
        waits: dict[Slot, list[Ending[object]]] = {}
        for ending in self._results.inner_waits():
            parent = ending.parent
            if parent is not None:
                waits.setdefault((parent.queue, parent.fencing_token), []).append(ending)
        return waits

    def _slots(self, queue: str) -> list[Slot]:
        worker = self._workers.get(queue)
        return [(queue, run.task.token) for run in worker.slots] if worker is not None else []

    def _is_waiting(self, queue: str, waits: Mapping[Slot, object]) -> bool:
        slots = self._slots(queue)
        return bool(slots) and all(slot in waits for slot in slots)

    def _waits_within(
        self, queue: str, stuck: set[str], waits: Mapping[Slot, list[Ending[object]]]
    ) -> bool:
        """Whether each of its attempts waits for tasks of stuck queues alone."""
        return all(each.queue in stuck for slot in self._slots(queue) for each in waits[slot])

    async def _warn_if_full(self, queue: str, waits: Mapping[Slot, list[Ending[object]]]) -> None:
        try:
            status = await self._store.do(Status(queue))
        except StoreError:
            return  # the next look asks again
        slots = self._slots(queue)
        if status is None or not self._is_waiting(queue, self._waits()):
            return
        if not len(slots) == status.held >= status.state.settings.max_workers:
            return  # a slot is free, or another process holds one
        self._warned.add(queue)
        pairs = [
            (each.parent.task_id, each.task_id)
            for slot in slots
            for each in waits.get(slot, ())
            if each.parent
        ]
        shown = ", ".join(f"{parent} waits for {child}" for parent, child in pairs[:NAMED])
        more = f", and {len(pairs) - NAMED} more" if len(pairs) > NAMED else ""
        logger.warning(
            "queue %s: deadlock: all %s slots are held by tasks that wait for tasks without a slot: %s%s; raise "
            "max_workers, or give the tasks that are waited for a queue of their own",
            queue,
            len(slots),
            shown,
            more,
        )
