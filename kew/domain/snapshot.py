"""One queue as an immutable value: the plainest `View`, for search, for invariants and for reading.

Every look-up walks all tasks; a store that has to be fast keeps indexes instead, around the same decisions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from kew.domain.ordering import is_due, order_key
from kew.domain.queue import Change, QueueState, View
from kew.domain.sharing import Hungry
from kew.domain.task import Task, TaskStatus


@attrs.frozen(kw_only=True)
class Snapshot(View):
    """All of a queue at one moment. `known` maps an incarnation to the function names that it can run."""

    name: str
    state: QueueState
    tasks: Mapping[str, Task] = attrs.field(factory=dict)
    lanes: Mapping[str, int] = attrs.field(factory=dict)
    known: Mapping[str, frozenset[str]] = attrs.field(factory=dict)
    hungry: Mapping[str, Hungry] = attrs.field(factory=dict)

    def after(self, change: Change) -> Snapshot:
        """The queue with a change applied."""
        return attrs.evolve(
            self,
            state=change.state or self.state,
            tasks={**self.tasks, **{task.id: task for task in change.tasks}},
            lanes={**self.lanes, **dict([change.lane] if change.lane else [])},
            hungry=hungry_after(self.hungry, change),
        )

    def find(self, task_id: str) -> Task | None:
        """The record of an id."""
        return self.tasks.get(task_id)

    def waiting(self) -> int:
        """How many tasks are QUEUED or RETRY."""
        return sum(task.is_waiting for task in self.tasks.values())

    def held(self) -> int:
        """How many leases are current."""
        return len(self._leased())

    def ready(self, incarnation: str, now: int, limit: int) -> Sequence[Task]:
        """Due tasks that this incarnation can run, in order."""
        due = [task for task in self._runnable(incarnation) if is_due(task, now)]
        return sorted(due, key=order_key)[:limit]

    def overdue(self, now: int, limit: int) -> Sequence[Task]:
        """Tasks whose lease has ended, earliest first."""
        ended = [task for task in self._leased() if task.lease_until <= now]
        return sorted(ended, key=lambda task: (task.lease_until, task.ticket))[:limit]

    def leases_of(self, prefix: str) -> Sequence[Task]:
        """Tasks whose current lease begins with `prefix`."""
        return [task for task in self._leased() if task.lease.startswith(prefix)]

    def lane(self, key: str) -> int:
        """The last sequence answered on a lane, 0 if unknown."""
        return self.lanes.get(key, 0)

    def next_due(self, incarnation: str, now: int) -> int | None:
        """The earliest due time after `now` that this incarnation waits for."""
        later = (task.ready_at for task in self._runnable(incarnation) if task.ready_at > now)
        return min(later, default=None)

    def next_lease_end(self) -> int | None:
        """The earliest end of a current lease."""
        return min((task.lease_until for task in self._leased()), default=None)

    def _leased(self) -> list[Task]:
        return [task for task in self.tasks.values() if task.status is TaskStatus.PROCESSING]

    def _runnable(self, incarnation: str) -> list[Task]:
        known = self.known.get(incarnation, frozenset())
        return [t for t in self.tasks.values() if t.is_waiting and t.call.function in known]


def hungry_after(hungry: Mapping[str, Hungry], change: Change) -> Mapping[str, Hungry]:
    """Who is hungry once a change is applied."""
    after = {**hungry, **dict(change.hungry)}
    return {who: each for who, each in after.items() if each is not None}
