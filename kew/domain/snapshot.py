"""One queue as an immutable value: the plainest `View`, for search, for invariants and for reading.

Every look-up walks all tasks; a store that has to be fast keeps indexes instead, around the same decisions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from itertools import groupby, islice

import attrs

from kew.domain.gates import fold as gates
from kew.domain.gates.functions import reason_of
from kew.domain.key_limits import OwnLimits, next_end
from kew.domain.key_rooms import KeyRooms
from kew.domain.keys import Turns, in_turn, key_of, move
from kew.domain.ordering import is_due, order_key
from kew.domain.queue import Change
from kew.domain.sharing import Starved
from kew.domain.task import Task, TaskStatus, unstarted_until
from kew.domain.unique import holds, unique_key
from kew.domain.view import QueueState, View


# Wide: one method for each question that the rules ask of a view.
@attrs.frozen(kw_only=True)
class Snapshot(View):
    """All of a queue at one moment. `known` maps an incarnation to the function names that it can run."""

    name: str
    state: QueueState
    tasks: Mapping[str, Task] = attrs.field(factory=dict)
    lanes: Mapping[str, int] = attrs.field(factory=dict)
    known: Mapping[str, frozenset[str]] = attrs.field(factory=dict)
    starved: Mapping[str, Starved] = attrs.field(factory=dict)
    turns: Turns = attrs.field(factory=dict)
    key_logs: Mapping[str, tuple[int, ...]] = attrs.field(factory=dict)
    key_limits: Mapping[str, OwnLimits] = attrs.field(factory=dict)

    def after(self, change: Change) -> Snapshot:
        """The queue with a change applied."""
        return attrs.evolve(
            self,
            state=change.state or self.state,
            tasks={**self.tasks, **{task.id: task for task in change.tasks}},
            lanes={**self.lanes, **dict([change.lane] if change.lane else [])},
            starved=starved_after(self.starved, change),
            turns=self._turns_after(change.tasks),
            key_logs={**self.key_logs, **dict(change.key_logs)},
            key_limits=self._limits_after(change),
        )

    def _limits_after(self, change: Change) -> Mapping[str, OwnLimits]:
        limits = {**self.key_limits, **dict(change.key_limits)}
        return {key: own for key, own in limits.items() if own is not None}

    def _turns_after(self, changed: Sequence[Task]) -> Turns:
        if not self.turns and not any(key_of(task.call) for task in changed):
            return self.turns
        turns, tasks = dict(self.turns), dict(self.tasks)
        for task in changed:
            before = tasks.get(task.id)
            tasks[task.id] = task
            place = (task.call.priority, key_of(task.call))
            others = (one for one in tasks.values() if one.is_waiting and one is not task)
            others_wait = any((one.call.priority, key_of(one.call)) == place for one in others)
            move(turns, before, task, others_wait=others_wait)
        return turns

    def find(self, task_id: str) -> Task | None:
        """The record of an id."""
        return self.tasks.get(task_id)

    def holder(self, key: str, now: int) -> Task | None:
        """The task that holds a unique key: the first that does, if by a mistake more than one do."""
        mine = (task for task in self.tasks.values() if task.call.unique)
        held = (task for task in mine if unique_key(task.call.unique).key == key)
        return next((task for task in held if holds(task, now)), None)

    @property
    def takes_turns(self) -> bool:
        """Tasks with keys wait."""
        return any(task.is_waiting and key_of(task.call) for task in self.tasks.values())

    def waiting_of(self, key: str) -> int:
        """How many tasks of a key wait."""
        return sum(task.is_waiting and key_of(task.call) == key for task in self.tasks.values())

    def held_of(self, key: str) -> int:
        """How many leases of a key's tasks are current."""
        return sum(key_of(task.call) == key for task in self._leased())

    def _rooms(self, now: int) -> KeyRooms:
        """What the limits of keys leave."""
        held = Counter(key_of(task.call) for task in self._leased())
        return KeyRooms(
            settings=self.state.settings,
            now=now,
            held_of=held.__getitem__,
            logs=self.key_logs,
            limits=self.key_limits,
        )

    def waiting(self) -> int:
        """How many tasks are QUEUED or RETRY."""
        return sum(task.is_waiting for task in self.tasks.values())

    def held(self) -> int:
        """How many leases are current."""
        return len(self._leased())

    def ready(self, incarnation: str, now: int, limit: int) -> Sequence[Task]:
        """Due tasks that this incarnation can run, in order."""
        due = [task for task in self._runnable(incarnation) if is_due(task, now)]
        if not self.turns:
            return sorted(due, key=order_key)[:limit]
        found: list[Task] = []
        takes = self._rooms(now).takes
        for priority, tasks in groupby(sorted(due, key=order_key), lambda task: task.call.priority):
            turns = {key: turn for (each, key), turn in self.turns.items() if each == priority}
            found += in_turn(_by_key(tasks), turns, takes, limit - len(found))
        return found

    def waiting_by(self, instant: int, limit: int) -> Sequence[Task]:
        """Waiting tasks of any function that are due by `instant`, in order."""
        due = [task for task in self.tasks.values() if is_due(task, instant)]
        return sorted(due, key=order_key)[:limit]

    def unstarted(self, now: int, limit: int) -> Sequence[Task]:
        """Waiting tasks that no process has taken in their time, earliest first."""
        ends = [(end, task) for task in self.tasks.values() if (end := unstarted_until(task))]
        expired = [(end, task.ticket, task) for end, task in ends if end <= now]
        return [task for _, _, task in sorted(expired, key=lambda each: each[:2])[:limit]]

    def overdue(self, now: int, limit: int) -> Sequence[Task]:
        """Tasks whose lease has ended, earliest first."""
        ended = [task for task in self._leased() if task.lease_until <= now]
        return sorted(ended, key=lambda task: (task.lease_until, task.ticket))[:limit]

    def leased_beyond(self, instant: int, limit: int) -> Sequence[Task]:
        """Tasks whose lease ends after `instant`, earliest first."""
        late = [task for task in self._leased() if task.lease_until > instant]
        return sorted(late, key=lambda task: (task.lease_until, task.ticket))[:limit]

    def leases_of(self, prefix: str) -> Sequence[Task]:
        """Tasks whose current lease begins with `prefix`."""
        return [task for task in self._leased() if task.lease.startswith(prefix)]

    def lane(self, key: str) -> int:
        """The last sequence answered on a lane, 0 if unknown."""
        return self.lanes.get(key, 0)

    def next_due(self, incarnation: str, now: int, taken: Sequence[Task] = ()) -> int | None:
        """The earliest due time after `now` that this incarnation waits for, once `taken` start."""
        rooms, starting = self._rooms(now), {task.id for task in taken}
        for task in taken:
            rooms.start(key_of(task.call), task.call.cost)
        runnable = (one for one in self._runnable(incarnation) if one.id not in starting)
        lines = groupby(sorted(runnable, key=_place_key), lambda task: _place_key(task)[:2])
        instants = [_next_of(key, list(tasks), rooms) for (_, key), tasks in lines]
        instants.append(next_end(self.key_limits, now))
        return min((at for at in instants if at is not None), default=None)

    def next_lease_end(self) -> int | None:
        """The earliest end of a current lease."""
        return min((task.lease_until for task in self._leased()), default=None)

    def announced_by(self, incarnation: str) -> int:
        """How many functions this incarnation announced."""
        return len(self.known.get(incarnation, ()))

    def functions_of(self, incarnation: str) -> Collection[str]:
        """The functions that this incarnation announced."""
        return self.known.get(incarnation, frozenset())

    def due_reasons(self, now: int) -> Set[str]:
        """The reasons under which due tasks wait."""
        rooms = self._rooms(now)
        due = (task for task in self.tasks.values() if is_due(task, now))
        startable = (task for task in due if rooms.allows(key_of(task.call), task.call.cost))
        return {reason_of(task.call.function) for task in startable}

    def can_run(self, incarnation: str, function: str) -> bool:
        """Whether this incarnation may be given tasks of the function."""
        known = self.known.get(incarnation, frozenset())
        return gates.parks(self.state, incarnation, known, function) is None

    def _leased(self) -> list[Task]:
        return [task for task in self.tasks.values() if task.status is TaskStatus.PROCESSING]

    def _runnable(self, incarnation: str) -> list[Task]:
        return [
            task
            for task in self.tasks.values()
            if task.is_waiting and self.can_run(incarnation, task.call.function)
        ]


def _place_key(task: Task) -> tuple[int, str, int, int]:
    return task.call.priority, key_of(task.call), task.ready_at, task.ticket


def _next_of(key: str, tasks: Sequence[Task], rooms: KeyRooms) -> int | None:
    """When time alone lets the next task of a key start: the first that is due, if a rate holds it, or will be."""
    if rooms.is_full(key):
        return None
    due = (one for one in tasks if one.ready_at <= rooms.now)
    later = (one for one in tasks if one.ready_at > rooms.now)
    opens = (
        max(one.ready_at, rooms.opens_at(key, one.call.cost))
        for one in (*islice(due, 1), *islice(later, 1))
    )
    return next((at for at in opens if at > rooms.now), None)


def _by_key(tasks: Iterator[Task]) -> dict[str, Iterator[Task]]:
    lines: dict[str, list[Task]] = {}
    for task in tasks:
        lines.setdefault(key_of(task.call), []).append(task)
    return {key: iter(line) for key, line in lines.items()}


def starved_after(starved: Mapping[str, Starved], change: Change) -> Mapping[str, Starved]:
    """The starved processes once a change is applied."""
    after = {**starved, **dict(change.starved)}
    return {who: each for who, each in after.items() if each is not None}
