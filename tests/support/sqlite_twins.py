"""The memory store and the SQLite store side by side. What the file holds is read by a connection of the test's own."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from functools import partial
from typing import Any

import attrs

from kew.adapters.memory.hub import Hub
from kew.adapters.sqlite.namespace import StoredNamespace
from kew.adapters.sqlite.slices import Slices
from kew.app.notices import Notice, SettingsChanged, StopAsked, TaskEnded
from kew.app.ports import ListGroups, Operation, Peek
from kew.compat import override
from kew.domain.invariants import between, violations
from kew.domain.snapshot import Snapshot
from tests.support.scene import Listener
from tests.support.twins import LISTENERS, Twins, _seen, _unequal, failure_groups

REPORTED = TaskEnded | StopAsked | SettingsChanged


@attrs.define(eq=False, kw_only=True)
class SqliteTwins(Twins):
    """Both stores under one clock. `redis` is the scene of the other store, `client` a connection to its file."""

    listeners: dict[str, Listener] = attrs.field(factory=dict)

    def _stored(self) -> StoredNamespace:
        stored = StoredNamespace(self.client, "kew", Hub(), Slices())
        stored.refresh()
        return stored

    @override
    async def _clocks(self) -> list[int]:
        return [self._stored().last_ms]

    @override
    async def _do(self, operation: Operation[Any]) -> None:
        if isinstance(operation, ListGroups):
            await self._groups(operation)
        else:
            await super()._do(operation)

    async def _groups(self, operation: ListGroups) -> None:
        """Where a page ends depends on entries of ids that are another queue's by now, which memory keeps."""
        queue, limit = operation.queue, operation.limit
        replaced = self._replaced(queue)
        ours, theirs = [
            [
                each
                for each in await failure_groups(store, queue, limit) or ()
                if not replaced[each.name]
            ]
            for store in (self.memory, self.redis.store)
        ]
        if faults := _unequal("groups", ours, theirs):
            self.fail("different answers", *faults)

    @override
    async def _peek(self, queue: str) -> None:
        here, there = await self.memory.do(Peek(queue)), await self.redis.store.do(Peek(queue))
        if faults := _unequal("peek", here, there):
            self.fail("different answers", *faults)

    @override
    async def compare_everything(self, *, every_step: bool = False) -> None:
        """The memory store against the file; `every_step`: and what one step may not do."""
        stored, memory = self._stored(), self.memory.namespace
        faults = _unequal("queues", sorted(memory.queues), sorted(stored.queues))
        after: dict[str, Snapshot] = {}
        for name, ours in memory.queues.items():
            theirs: Any = stored.queues.get(name)
            if theirs is None:
                continue
            snapshot = after[name] = theirs.stored.snapshot()
            faults += [f"stored {name}: {fault}" for fault in violations(snapshot)]
            if every_step and name in self.raw:
                faults += [f"stored {name}: {each}" for each in between(self.raw[name], snapshot)]
            faults += _differences(name, ours.indexed.snapshot(), snapshot)
            for part in ("presence", "slots"):
                faults += _unequal(
                    f"{name}: {part}", getattr(ours, part), dict(getattr(theirs, part))
                )
            faults += _unequal(f"{name}: idle", list(ours.idle), list(theirs.idle))
            faults += _count_faults(self.client, theirs.stored.number)
        faults += _unequal("reports", dict(memory.reports), dict(stored.reports))
        faults += _unequal("schedules", dict(memory.schedules), dict(stored.schedules))
        if faults:
            self.fail("different states", *faults)
        self.raw = after
        await self._compare_notices()

    @override
    async def listen(self) -> None:
        """Hear what both stores report, from now on."""
        for who in LISTENERS:
            self.memory.namespace.hub.add(who, partial(self._was_told, who))
            self.listeners[who] = await self.redis.listen(who)

    @override
    async def _compare_notices(self) -> None:
        await asyncio.sleep(0)  # both deliver soon, not at once
        theirs: Counter[tuple[str, Notice]] = Counter()
        for who, listener in self.listeners.items():
            theirs.update((who, each) for each in listener.so_far() if isinstance(each, REPORTED))
        faults = [f"only memory told {one}" for one in (self.told - theirs).elements()]
        faults += [f"only SQLite told {one}" for one in (theirs - self.told).elements()]
        if faults:
            self.fail("different notices", *faults)
        self.counts["told"] += theirs.total()
        self.told.clear()


def _differences(name: str, ours: Snapshot, theirs: Snapshot) -> list[str]:
    faults = []
    for field in attrs.fields(Snapshot):
        if field.name != "tasks":
            pair = getattr(ours, field.name), getattr(theirs, field.name)
            faults += _unequal(f"{name}: {field.name}", *pair)
    for task_id in sorted(ours.tasks.keys() | theirs.tasks.keys()):
        pair = _seen(ours.tasks.get(task_id)), _seen(theirs.tasks.get(task_id))
        faults += _unequal(f"{name}: {task_id}", *pair)
    return faults


def _count_faults(db: sqlite3.Connection, queue: int) -> list[str]:
    """The lines have as many tasks as they say."""
    counted = db.execute(
        "SELECT priority, key, reason, count(*) FROM tasks WHERE queue = ? AND phase = 0 GROUP BY 1, 2, 3",
        (queue,),
    ).fetchall()
    kept = db.execute(
        "SELECT priority, key, reason, count FROM lines WHERE queue = ?", (queue,)
    ).fetchall()
    return _unequal("lines", sorted(counted), sorted(kept))
