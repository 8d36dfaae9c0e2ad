"""One queue's tasks with the indexes that make looking them up quick: a `View`, and the one place where it changes."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, MutableMapping, Sequence, Set
from itertools import groupby, islice
from operator import itemgetter
from typing import ClassVar

from kew.adapters.memory.attempts import KeptAttempts
from kew.adapters.memory.dead import DeadIndex
from kew.adapters.memory.history import MemoryHistory
from kew.adapters.memory.keyed_view import KeyedView
from kew.adapters.memory.keys_in_turn import KeysInTurn
from kew.adapters.memory.lines import Entry, Line, place_of
from kew.adapters.memory.queue_base import QueueBase
from kew.adapters.memory.unique import UniqueKeys
from kew.compat import override
from kew.domain.gates import fold as gates
from kew.domain.gates import functions
from kew.domain.history import MINUTE_MS
from kew.domain.key_limits import OwnLimits
from kew.domain.key_rooms import KeyLog
from kew.domain.keys import key_of
from kew.domain.queue import Change
from kew.domain.snapshot import Snapshot
from kew.domain.task import QueuePriority, Task, TaskStatus, unstarted_until
from kew.domain.view import QueueState

SHORT_LINE = 100  # entries, which cost little


# Wide: one method for each question that the rules ask of a view, and the indexes that answer them.
# Long: for the same reason.
class IndexedQueue(KeyedView, QueueBase):
    """A queue. `records` is the namespace's: every queue's tasks by id."""

    counts_keys: ClassVar[bool] = True  # a mirror of another store doesn't

    def __init__(self, name: str, state: QueueState, records: MutableMapping[str, Task]) -> None:
        self._name = name
        self._state = state
        self._records = records
        self._lines: dict[tuple[int, str], Line] = {}
        self._waiting: dict[int, int] = defaultdict(int)
        self._keyed = KeysInTurn(self._is_waiting, self._cost_of, state.settings)
        self.own_limits = self._keyed.limits
        self._leased: dict[str, Task] = {}
        self._lease_ends: list[tuple[int, int, str]] = []
        self._starts_by: list[tuple[int, int, str]] = []  # when tasks expire that may
        self._expiries: list[tuple[int, int, str]] = []
        self.dead = DeadIndex()
        self.history = MemoryHistory()
        self.unique = UniqueKeys(name, records)
        self.lanes = {}
        self.functions: dict[str, set[str]] = {}
        self._starved = {}

    # --- reading

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
        if self._keyed.turns:
            return self._ready_in_turn(incarnation, now, limit)
        found: list[Task] = []
        runnable = self._runnable(incarnation)
        for priority in sorted(runnable):
            lines = [line.due(now) for line in runnable[priority]]
            entries: Iterator[Entry] = lines[0] if len(lines) == 1 else heapq.merge(*lines)
            found += (self._records[entry[2]] for entry in islice(entries, limit - len(found)))
            if len(found) >= limit:
                break
        return found

    @override
    def waiting_by(self, instant: int, limit: int) -> Sequence[Task]:
        found: list[Task] = []
        lines = sorted(self._all_lines(), key=itemgetter(0))
        for _, of_one in groupby(lines, key=itemgetter(0)):
            entries = heapq.merge(*(line.due_by(instant) for *_, line in of_one))
            found += (self._records[entry[2]] for entry in islice(entries, limit - len(found)))
        return found

    @override
    def unstarted(self, now: int, limit: int) -> Sequence[Task]:
        ends, due = self._starts_by, list[tuple[int, int, str]]()
        while ends and ends[0][0] <= now and len(due) < limit:
            entry = heapq.heappop(ends)
            if self._starts_until(entry) and entry not in due[-1:]:
                due.append(entry)
        for entry in due:  # reading changes nothing
            heapq.heappush(ends, entry)
        return [self._records[entry[2]] for entry in due]

    @override
    def overdue(self, now: int, limit: int) -> Sequence[Task]:
        ends = self._lease_ends
        found: list[tuple[int, int, str]] = []
        while ends and len(found) < limit:
            is_current = self._is_lease_end(ends[0])
            if is_current and ends[0][0] > now:
                break
            entry = heapq.heappop(ends)
            if is_current and entry not in found[-1:]:
                found.append(entry)
        # Reading changes nothing: what is recovered now leaves when the change is applied.
        for entry in found:
            heapq.heappush(ends, entry)
        return [self._leased[entry[2]] for entry in found]

    @override
    def leased_beyond(self, instant: int, limit: int) -> Sequence[Task]:
        late = (task for task in self._leased.values() if task.lease_until > instant)
        return sorted(late, key=lambda task: (task.lease_until, task.ticket))[:limit]

    @override
    def leases_of(self, prefix: str) -> Sequence[Task]:
        return [task for task in self._leased.values() if task.lease.startswith(prefix)]

    @override
    def next_due(self, incarnation: str, now: int, taken: Sequence[Task] = ()) -> int | None:
        lines = (line for lines in self._runnable(incarnation).values() for line in lines)
        known = [line.next_later(now) for line in lines]
        if self._keyed.turns:
            known.append(self._next_due_of_keys(incarnation, now, taken))
        if self._keyed.limits:
            known.append(self._keyed.limits_end(now))
        return min((instant for instant in known if instant is not None), default=None)

    @override
    def _all_lines(self) -> Iterator[tuple[int, str, Line]]:
        """Each line with its priority and the reason under which its tasks would be parked."""
        for (priority, reason), line in self._lines.items():
            yield priority, reason, line
        for priority, _, reason, line in self._keyed.lines():
            yield priority, reason, line

    def due_for(self, incarnations: Iterable[str], now: int) -> int | None:
        """When the first task is due that one of these can run: `now` if one is; None if there is none."""
        knowing = [(who, self.functions.get(who, ())) for who in incarnations]

        def opens(reason: str) -> bool:
            return any(functions.opens(reason, who, known) for who, known in knowing)

        lines = [line for (_, reason), line in self._lines.items() if opens(reason)]
        if any(next(line.due(now), None) for line in lines) or self._keyed.is_due(now, opens):
            return now
        known = [line.next_later(now) for line in lines]
        known.append(self._keyed.next_later(self._keyed.rooms(now), opens))
        return min((instant for instant in known if instant is not None), default=None)

    @override
    def next_lease_end(self) -> int | None:
        ends = self._lease_ends
        while ends and not self._is_lease_end(ends[0]):
            heapq.heappop(ends)
        return ends[0][0] if ends else None

    @override
    def can_run(self, incarnation: str, function: str) -> bool:
        known = self.functions.get(incarnation, ())
        return gates.parks(self._state, incarnation, known, function) is None

    def expired(self, now: int, limit: int) -> list[Task]:
        """Ended tasks whose records are absent by now, at most `limit`; they leave the index."""
        found: dict[str, Task] = {}
        while self._expiries and self._expiries[0][0] <= now and len(found) < limit:
            entry = expires_at, ticket, task_id = heapq.heappop(self._expiries)
            self.dead.remove(entry)
            task = self._records.get(task_id)
            if task is None or task.queue != self._name or task.ticket != ticket:
                self.dead.forget(ticket, task_id)  # its id is another task's by now
            elif task.expires_at == expires_at:
                found[task_id] = task
        return list(found.values())

    @override
    def due_reasons(self, now: int) -> Set[str]:
        due = {reason for (_, reason), line in self._lines.items() if next(line.due(now), None)}
        return due if self._keyed.is_empty else due | self._keyed.due_reasons(now)

    def learn(self, incarnation: str, functions: Iterable[str]) -> int:
        """This process can run these functions too; how many that makes."""
        known = self.functions.setdefault(incarnation, set())
        known.update(functions)
        return len(known)

    def snapshot(self) -> Snapshot:
        """All of it as a value."""
        return Snapshot(
            name=self._name,
            state=self._state,
            tasks={task.id: task for task in self._records.values() if task.queue == self._name},
            lanes=dict(self.lanes),
            known={who: frozenset(names) for who, names in self.functions.items()},
            starved=dict(self._starved),
            turns=dict(self._keyed.turns),
            key_logs=dict(self._keyed.logs.by_key),
            key_limits=dict(self._keyed.limits),
        )

    # --- changing

    def apply(self, change: Change, now: int) -> None:
        """Write a change and keep every index true."""
        if now // MINUTE_MS != self.history.minute:
            self.history.roll(now // MINUTE_MS, self._state, self.waiting())
        state, records = change.state, self._records
        if state is not None and state is not self._state:
            if state.settings is not self._state.settings:
                self._keyed.set_limits(state.settings)
            self._state = state
        if change.lane is not None:
            self.lanes[change.lane[0]] = change.lane[1]
        if change.counted or change.starved or change.key_limits or change.key_logs:
            self._note(change, now)
        for task in change.tasks:
            call = task.call
            old = records.get(call.id)
            records[call.id] = task
            is_rewritten = old is not None and old.status is task.status
            if not is_rewritten and old is not None and old.ticket == task.ticket:
                self.history.note(old, task, now)
            if call.unique:
                self.unique.note(old, task, now)
            if self.dead.attempts or change.attempts:
                self._note_attempts(old, task, change)
            if is_rewritten and old is not None and place_of(old) == place_of(task):
                if task.lease:
                    self._leased[call.id] = task
            else:
                self._unindex(old)
                self._index(task, now)
            if self._keyed.turns or call.key:
                self._keyed.move(old, task)
            if not task.lease and old is not None and not old.lease:
                self._shrink(old, task)

    @property
    @override
    def _attempts(self) -> KeptAttempts:
        return self.dead

    @override
    def _limit_key(self, key: str, own: OwnLimits | None) -> None:
        self._keyed.limit_key(key, own)

    @override
    def _note_starts(self, logs: Sequence[tuple[str, KeyLog]], now: int) -> None:
        self._keyed.note_starts(logs, now)

    def _shrink(self, old: Task, task: Task) -> None:
        """A line that no process claims from must not grow with what is cancelled: compact it if half of it is void."""
        if not task.is_terminal or not old.is_waiting or (old.call.key and key_of(old.call)):
            return
        line = self._line(old)
        if line.size > 2 * self._waiting[old.call.priority] + SHORT_LINE:
            line.compact()

    def remove(self, task: Task) -> None:
        """Forget an ended task."""
        self._unindex(task)
        self.dead.forget(task.ticket, task.id)
        del self._records[task.id]

    def _unindex(self, old: Task | None) -> None:
        if old is None or old.queue != self._name:
            return
        if old.lease:
            del self._leased[old.id]
            if old.call.key:
                self._keyed.count_lease(old, -1)
        elif old.is_waiting:
            self._waiting[old.call.priority] -= 1
            if old.call.key and key_of(old.call):
                self._keyed.left(old)
        elif old.status is TaskStatus.FAILED:
            self.dead.remove((old.expires_at, old.ticket, old.id))

    def _index(self, task: Task, now: int) -> None:
        task_id = task.id
        if task.lease:
            self._leased[task_id] = task
            if task.call.key:
                self._keyed.count_lease(task, 1)
            heapq.heappush(self._lease_ends, (task.lease_until, task.ticket, task_id))
        elif task.is_waiting:
            self._waiting[task.call.priority] += 1
            if task.call.key and key_of(task.call):
                self._keyed.arrived(task, now)
            else:
                self._line(task).add((task.ready_at, task.ticket, task_id), now)
            if task.call.start_by_ms and (end := unstarted_until(task)) is not None:
                heapq.heappush(self._starts_by, (end, task.ticket, task_id))
        else:
            heapq.heappush(self._expiries, (task.expires_at, task.ticket, task_id))
            if task.status is TaskStatus.FAILED:
                self.dead.add(task)

    def _line(self, task: Task) -> Line:
        key = (task.call.priority, functions.reason_of(task.call.function))
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = Line(self._is_waiting)
        return line

    def _runnable(self, incarnation: str) -> dict[int, list[Line]]:
        """The lines from which it may claim, by priority."""
        known = self.functions.get(incarnation, ())
        found: dict[int, list[Line]] = {}
        empty = []
        for key, line in self._lines.items():
            priority, reason = key
            if line.is_empty:
                empty.append(key)
            elif functions.opens(reason, incarnation, known):
                found.setdefault(priority, []).append(line)
        for key in empty:
            del self._lines[key]
        return found

    def _is_waiting(self, entry: Entry, key: str = "") -> bool:
        task = self._records.get(entry[2])
        return (
            task is not None
            and task.ready_at == entry[0]
            and task.ticket == entry[1]
            and task.is_waiting
            and task.queue == self._name
            and (task.call.key and key_of(task.call)) == key  # a replay may have changed it
        )

    def _cost_of(self, entry: Entry) -> int:
        return self._records[entry[2]].call.cost

    def _starts_until(self, entry: tuple[int, int, str]) -> bool:
        task = self._records.get(entry[2])
        return (
            task is not None
            and task.queue == self._name
            and task.ticket == entry[1]
            and unstarted_until(task) == entry[0]
        )

    def _is_lease_end(self, entry: tuple[int, int, str]) -> bool:
        task = self._leased.get(entry[2])
        return task is not None and task.lease_until == entry[0] and task.ticket == entry[1]
