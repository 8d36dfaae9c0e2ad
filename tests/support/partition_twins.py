"""One memory store and a router over several side by side: what the partitions hold together is what the one holds.

Where the router may differ, this is the place that says so, and nowhere else:

- An expired record goes as soon as its id is wanted by another queue, or reserved, where one store keeps it until it is
  swept. So the clock never steps back here, expired records are not compared, and neither is how many a sweep removes.
- What processes say of themselves is kept per partition.
- A schedule that moves to a queue of another partition starts over. So none does.
- A submit that meets a reservation without a task removes it, and is sent again without its claim. So the ids are made
  free before.
- A group that is to come after one of another partition is sent again without that, and so after those sent with it.
  So that is taken away before.
- A submit is repeated to its own queue alone: the same nonces in another one are no request of anybody's.
- Of several ids of a group that are in use, it may name another one, if one of them is stored in the same call.
- No maintenance gives reservations back here; `tests/unit/app/partitions` and the simulation do.
"""

from __future__ import annotations

from typing import Any, TypeVar

import attrs

from kew.adapters.memory.namespace import MemoryQueue
from kew.adapters.memory.store import MemoryStore
from kew.app.partitions import PartitionedStore
from kew.app.ports import (
    Find,
    Operation,
    Processes,
    PutSchedule,
    SteerSchedule,
    Submit,
    Swept,
)
from kew.compat import override
from kew.domain.invariants import violations
from kew.domain.partitions import RESERVED, home_of, is_reserved, reserved_for
from kew.domain.requests import Group, GroupOutcome, Word
from kew.domain.schedule import StoredSchedule
from kew.domain.snapshot import Snapshot
from kew.domain.task import Task, is_absent
from tests.support.operations import Step
from tests.support.sqlite_twins import SqliteTwins, _differences
from tests.support.twins import _unequal

A = TypeVar("A")


@attrs.define(eq=False, kw_only=True)
class PartitionTwins(SqliteTwins):
    """Both under one clock. `redis` is the scene of the router, which `router` is."""

    router: PartitionedStore
    stores: list[MemoryStore]

    @override
    async def step(self, step: Step) -> None:
        if isinstance(step, PutSchedule) and self._moves(step):
            return
        if isinstance(step, Submit) and self._is_repeated_elsewhere(step):
            return
        if isinstance(step, SteerSchedule):  # as people do: by the queue that it has
            known = self.memory.namespace.schedules.get(step.schedule)
            queue = known.schedule.queue if known else step.queue
            step = attrs.evolve(step, queue=queue)
        await super().step(step)

    def _moves(self, step: PutSchedule) -> bool:
        known = self.memory.namespace.schedules.get(step.schedule.name)
        places = (
            {self.router.place_of(queue) for queue in (known.schedule.queue, step.queue)}
            if known
            else set()
        )
        return len(places) > 1

    def _is_repeated_elsewhere(self, step: Submit) -> bool:
        records = self.memory.namespace.records
        calls = [call for group in step.groups for call in group.submissions]
        found = [(call, records[call.id]) for call in calls if call.id in records]
        return any(
            task.call.nonce == call.nonce and task.queue != step.queue for call, task in found
        )

    @override
    async def move_clock(self, ms: int) -> None:
        self.clock.now += max(0, ms)
        self.high_water = self.clock.now

    @override
    async def _answer_of_redis(self, operation: Operation[A]) -> A:
        if isinstance(operation, Submit):
            place = self.router.place_of(operation.queue)
            for call in (call for group in operation.groups for call in group.submissions):
                await self.router.reservations.make_room(call.id, place)
            groups = [await self._after_none_elsewhere(group, place) for group in operation.groups]
            changed: Any = attrs.evolve(operation, groups=groups)
            operation = changed
        return await super()._answer_of_redis(operation)

    async def _after_none_elsewhere(self, group: Group, place: int) -> Group:
        if group.after is not None:
            (before,) = await self.router.do(Find([group.after.task_id]))
            if isinstance(before, Task) and self.router.place_of(before.queue) != place:
                is_it = before.call.nonce == group.after.nonce
                return attrs.evolve(group, after=None) if is_it else group
        return group

    @override
    def _differences(self, operation: Operation[Any], ours: Any, theirs: Any) -> list[str]:
        if isinstance(operation, Processes):
            ours, theirs = (
                [(one.incarnation, one.queues) for one in each] for each in (ours, theirs)
            )
        elif isinstance(ours, Swept):
            ours, theirs = (attrs.evolve(each, removed=0) for each in (ours, theirs))
        elif isinstance(operation, Submit):
            pairs = zip(ours.outcomes, theirs.outcomes, operation.groups, strict=True)
            outcomes = [_named_alike(*pair) for pair in pairs]
            theirs = attrs.evolve(theirs, outcomes=outcomes)
        return super()._differences(operation, ours, theirs)

    # --- comparing all of it

    def _queues(self) -> dict[str, MemoryQueue]:
        """All queues of the partitions, and that each lies where it belongs."""
        found: dict[str, MemoryQueue] = {}
        for number, store in enumerate(self.stores):
            for name, queue in store.namespace.queues.items():
                if name != RESERVED:
                    assert self.router.place_of(name) == number
                    found[name] = queue
        return found

    @override
    async def compare_everything(self, *, every_step: bool = False) -> None:
        """The one memory store against all partitions."""
        memory, queues = self.memory.namespace, self._queues()
        faults = _unequal("queues", sorted(memory.queues), sorted(queues))
        for name, ours in memory.queues.items():
            theirs = queues.get(name)
            if theirs is None:
                continue
            snapshots = [self._present(each.indexed.snapshot()) for each in (ours, theirs)]
            faults += [f"{name}: {fault}" for fault in violations(snapshots[1])]
            faults += _differences(name, *snapshots)
            for part in ("presence", "slots"):
                faults += _unequal(f"{name}: {part}", getattr(ours, part), getattr(theirs, part))
            faults += _unequal(f"{name}: idle", list(ours.idle), list(theirs.idle))
        faults += self._misplaced()
        schedules: dict[str, StoredSchedule] = {}
        for store in self.stores:
            schedules.update(store.namespace.schedules)
        faults += _unequal("schedules", dict(memory.schedules), schedules)
        if faults:
            self.fail("different states", *faults)
        await self._compare_notices()

    def _present(self, snapshot: Snapshot) -> Snapshot:
        tasks = {
            i: task for i, task in snapshot.tasks.items() if not is_absent(task, self.clock.now)
        }
        return attrs.evolve(snapshot, tasks=tasks)

    def _misplaced(self) -> list[str]:
        """Each task is in one partition, and is found by its id."""
        places: dict[str, list[int]] = {}
        records: list[dict[str, Task]] = [dict(store.namespace.records) for store in self.stores]
        for number, known in enumerate(records):
            for task_id, task in known.items():
                if not is_reserved(task) and not is_absent(task, self.clock.now):
                    places.setdefault(task_id, []).append(number)
        faults = [
            f"{task_id} is in the partitions {found}"
            for task_id, found in places.items()
            if len(found) > 1
        ]
        for task_id, (place, *_) in places.items():
            home = home_of(task_id, len(records))
            if place != home and reserved_for(records[home].get(task_id)) != place:
                faults.append(f"{task_id} of the partition {place} isn't reserved for it in {home}")
        return faults


def _named_alike(ours: GroupOutcome, theirs: GroupOutcome, group: Group) -> GroupOutcome:
    """The second outcome, with the id that the first one names if both name one of the group's that is in use."""
    is_named = theirs.task_id in {call.id for call in group.submissions}
    return ours if ours.word is theirs.word is Word.DUPLICATE and is_named else theirs
