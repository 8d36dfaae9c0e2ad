"""One queue's tasks with the indexes that make looking them up quick: a `View`, and the one place where it changes."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from kew.adapters.memory.lines import Entry, Line
from kew.compat import override
from kew.domain.queue import Change, QueueState, View
from kew.domain.sharing import Hungry
from kew.domain.snapshot import Snapshot
from kew.domain.task import QueuePriority, Task, TaskStatus


class Book(View):
    """A queue. `records` is the namespace's: every queue's tasks by id."""

    def __init__(self, name: str, state: QueueState, records: dict[str, Task]) -> None:
        self._name = name
        self._state = state
        self._records = records
        self._lines: dict[tuple[int, str], Line] = {}
        self._waiting: dict[int, int] = defaultdict(int)
        self._leased: dict[str, Task] = {}
        self._lease_ends: list[tuple[int, int, str]] = []
        self._expiries: list[tuple[int, str]] = []
        self._dead: list[tuple[int, str]] = []  # those of FAILED tasks, in order
        self.lanes: dict[str, int] = {}
        self.functions: dict[str, set[str]] = {}
        self._hungry: dict[str, Hungry] = {}

    # --- reading

    @property
    @override
    def name(self) -> str:
        return self._name

    @property
    @override
    def state(self) -> QueueState:
        return self._state

    @override
    def find(self, task_id: str) -> Task | None:
        return self._records.get(task_id)

    @override
    def waiting(self) -> int:
        return sum(self._waiting.values())

    def waiting_by_priority(self) -> dict[int, int]:
        """How many tasks wait, due or not."""
        return {int(priority): self._waiting[priority] for priority in QueuePriority}

    @override
    def held(self) -> int:
        return len(self._leased)

    def leased(self) -> list[Task]:
        """The tasks under a current lease."""
        return list(self._leased.values())

    @override
    def ready(self, incarnation: str, now: int, limit: int) -> Sequence[Task]:
        found: list[Task] = []
        for priority in QueuePriority:
            lines = [line.due(now) for line in self._runnable(incarnation, priority)]
            entries: Iterator[Entry] = lines[0] if len(lines) == 1 else heapq.merge(*lines)
            found += (self._records[entry[2]] for entry in islice(entries, limit - len(found)))
            if len(found) >= limit:
                break
        return found

    @override
    def overdue(self, now: int, limit: int) -> Sequence[Task]:
        ends = self._lease_ends
        found: list[tuple[int, int, str]] = []
        while (
            ends and len(found) < limit and (ends[0][0] <= now or not self._is_lease_end(ends[0]))
        ):
            entry = heapq.heappop(ends)
            if self._is_lease_end(entry) and entry not in found[-1:]:
                found.append(entry)
        # Reading changes nothing: what is recovered now leaves when the change is applied.
        for entry in found:
            heapq.heappush(ends, entry)
        return [self._leased[entry[2]] for entry in found]

    @override
    def leases_of(self, prefix: str) -> Sequence[Task]:
        return [task for task in self._leased.values() if task.lease.startswith(prefix)]

    @override
    def lane(self, key: str) -> int:
        return self.lanes.get(key, 0)

    @override
    def next_due(self, incarnation: str, now: int) -> int | None:
        lines = (line for p in QueuePriority for line in self._runnable(incarnation, p))
        known = (line.next_later(now) for line in lines)
        return min((instant for instant in known if instant is not None), default=None)

    def awaits(self, incarnation: str, now: int) -> bool:
        """A task waits, due or not, that this incarnation can run."""
        return bool(self.ready(incarnation, now, 1)) or self.next_due(incarnation, now) is not None

    @override
    def next_lease_end(self) -> int | None:
        ends = self._lease_ends
        while ends and not self._is_lease_end(ends[0]):
            heapq.heappop(ends)
        return ends[0][0] if ends else None

    @property
    @override
    def hungry(self) -> Mapping[str, Hungry]:
        return self._hungry

    def forget_hungry(self, incarnation: str) -> None:
        """Leave it no part of the limit any more."""
        self._hungry.pop(incarnation, None)

    def expired(self, now: int, limit: int) -> list[Task]:
        """Ended tasks whose records are absent by now, at most `limit`; they leave the index."""
        found: dict[str, Task] = {}
        while self._expiries and self._expiries[0][0] <= now and len(found) < limit:
            expires_at, task_id = heapq.heappop(self._expiries)
            self._bury(expires_at, task_id)
            task = self._records.get(task_id)
            if task is not None and task.expires_at == expires_at and task.queue == self._name:
                found[task_id] = task
        return list(found.values())

    def dead_letters(self, before: tuple[int, str] | None, limit: int) -> list[tuple[int, str]]:
        """When the records of FAILED tasks end, and their ids: the last ones before this one, backwards.

        An id that another queue has used again is among them until its old record would have been removed.
        """
        end = len(self._dead) if before is None else bisect_left(self._dead, before)
        return self._dead[max(0, end - limit) : end][::-1]

    def waiting_for(self, function: str) -> list[Task]:
        """The tasks that wait for a worker that knows this function."""
        lines = (line for (_, name), line in self._lines.items() if name == function)
        return [self._records[entry[2]] for line in lines for entry in line.entries()]

    def learn(self, incarnation: str, functions: Iterable[str], gone: Iterable[str]) -> None:
        """This process can run these functions too, and those no more."""
        known = self.functions.get(incarnation, set())
        self.functions[incarnation] = known.union(functions).difference(gone)

    def awaited_functions(self) -> set[str]:
        """The names of all functions that tasks have waited for."""
        return {name for _, name in self._lines}

    def snapshot(self) -> Snapshot:
        """All of it as a value."""
        return Snapshot(
            name=self._name,
            state=self._state,
            tasks={task.id: task for task in self._records.values() if task.queue == self._name},
            lanes=dict(self.lanes),
            known={who: frozenset(names) for who, names in self.functions.items()},
            hungry=dict(self._hungry),
        )

    # --- changing

    def apply(self, change: Change, now: int) -> None:
        """Write a change and keep every index true."""
        if change.state is not None:
            self._state = change.state
        if change.lane is not None:
            self.lanes[change.lane[0]] = change.lane[1]
        for who, hungry in change.hungry:
            if hungry is None:
                self.forget_hungry(who)
            else:
                self._hungry[who] = hungry
        for task in change.tasks:
            old = self._records.get(task.id)
            self._records[task.id] = task
            if old is not None and old.status is task.status and _place(old) == _place(task):
                self._stay(task)
            else:
                self._unindex(old)
                self._index(task, now)

    def remove(self, task: Task) -> None:
        """Forget an ended task."""
        self._unindex(task)
        del self._records[task.id]

    def _stay(self, task: Task) -> None:
        if task.lease:
            self._leased[task.id] = task

    def _unindex(self, old: Task | None) -> None:
        if old is None or old.queue != self._name:
            return
        if old.is_waiting:
            self._waiting[old.call.priority] -= 1
        elif old.lease:
            del self._leased[old.id]
        elif old.status is TaskStatus.FAILED:
            self._bury(old.expires_at, old.id)

    def _index(self, task: Task, now: int) -> None:
        if task.is_waiting:
            self._waiting[task.call.priority] += 1
            self._line(task).add((task.ready_at, task.ticket, task.id), now)
        elif task.status is TaskStatus.PROCESSING:
            self._leased[task.id] = task
            heapq.heappush(self._lease_ends, (task.lease_until, task.ticket, task.id))
        else:
            heapq.heappush(self._expiries, (task.expires_at, task.id))
            if task.status is TaskStatus.FAILED:
                insort(self._dead, (task.expires_at, task.id))

    def _bury(self, expires_at: int, task_id: str) -> None:
        """It is no dead letter any more, if it was one."""
        place = bisect_left(self._dead, (expires_at, task_id))
        if self._dead[place : place + 1] == [(expires_at, task_id)]:
            del self._dead[place]

    def _line(self, task: Task) -> Line:
        key = (task.call.priority, task.call.function)
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = Line(self._is_waiting)
        return line

    def _runnable(self, incarnation: str, priority: int) -> list[Line]:
        for key in [key for key, line in self._lines.items() if line.is_empty]:
            del self._lines[key]  # a closure's, as a rule: another one has a line of its own
        known = self.functions.get(incarnation, ())
        return [line for (p, name), line in self._lines.items() if p == priority and name in known]

    def _is_waiting(self, entry: Entry) -> bool:
        task = self._records.get(entry[2])
        return (
            task is not None
            and task.ready_at == entry[0]
            and task.ticket == entry[1]
            and task.is_waiting
            and task.queue == self._name
        )

    def _is_lease_end(self, entry: tuple[int, int, str]) -> bool:
        task = self._leased.get(entry[2])
        return task is not None and task.lease_until == entry[0] and task.ticket == entry[1]


def _place(task: Task) -> tuple[object, ...]:
    """Where the indexes have a task: a change that leaves it there touches none of them."""
    return (task.status, task.queue, task.ticket, task.ready_at, task.lease_until, task.expires_at)
