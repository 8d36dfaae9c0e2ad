"""What a memory store holds: the queues of one namespace, their tasks and the processes that serve them."""

from __future__ import annotations

from collections.abc import MutableMapping

from kew.adapters.memory.hub import Hub
from kew.adapters.memory.indexed_queue import IndexedQueue
from kew.app.ports import Bookmark, Command, Control, DeadLetters, FailureGroup, FailureGroups
from kew.domain import commands
from kew.domain.config import SHORTEST_TTL, to_ms
from kew.domain.explaining import Situation, SlotLimit
from kew.domain.gates import fold as gates
from kew.domain.gates import functions
from kew.domain.gates.gate import facts_of
from kew.domain.holding import Hold
from kew.domain.maintenance import shortened
from kew.domain.queue import Change
from kew.domain.schedule import StoredSchedule
from kew.domain.situation import situation_of
from kew.domain.task import Task, is_absent, without_payload
from kew.log import logger

CLAMPED_STEP_MS = 1000
LEAST_MS = to_ms(SHORTEST_TTL)
LANES_KEPT_MS = 3_600_000  # a late repeat of a claim must not meet a lane that was forgotten


class MemoryQueue:
    """An indexed queue with the processes that serve it."""

    def __init__(self, indexed: IndexedQueue) -> None:
        self.indexed = indexed
        self.presence: dict[str, int] = {}
        self.idle: dict[str, None] = {}
        self.slots: dict[str, SlotLimit] = {}

    def present(self, now: int) -> list[str]:
        """The incarnations whose presence lasts."""
        return [who for who, end in self.presence.items() if end > now]

    def commanded(self, control: Control, now: int) -> Change:
        """What a command to the queue as a whole wants written."""
        hold = Hold(now, control.note, control.incarnation)
        edition = f"{control.incarnation}.{control.sequence}"
        match control.command:
            case Command.PAUSE:
                return commands.pause(self.indexed, hold)
            case Command.DRAIN:
                return commands.drain(self.indexed, hold, edition)
            case Command.RESUME:
                return commands.resume(self.indexed, edition)
            case Command.RECORD_FAILURE:
                return commands.record_failure(self.indexed, now)
            case Command.OPEN_BREAKER:
                return commands.open_breaker(self.indexed, now, control.note)
            case Command.RESET_BREAKER:
                return commands.reset_breaker(self.indexed, now, control.note)

    def shorten(self, now: int, limit: int, presence_ms: int) -> None:
        """Leases and presences that a step back of the clock made too long end when the longest would."""
        self.indexed.apply(shortened(self.indexed, now, limit), now)
        for incarnation, end in self.presence.items():
            self.presence[incarnation] = min(end, now + presence_ms)

    def need_at(self, now: int) -> int | None:
        """When something may need a worker at the earliest: a task is due and may start, or a lease ends."""
        opens_at = gates.opening(
            facts_of(self.indexed, gates.judged(self.indexed.state, now), None, now)
        )
        instants = [self.indexed.next_lease_end()]
        if opens_at is not None and (due := self.indexed.due_for(self.presence, now)) is not None:
            instants.append(max(due, opens_at))
        return min((instant for instant in instants if instant is not None), default=None)

    def orphans(self, gone_by: int | None, now: int) -> list[Task]:
        """Waiting closures of processes whose presence had ended by `gone_by`; None: none is judged.

        An instant that lies ahead judges none either: the clock stepped back since.
        """
        if gone_by is None or gone_by > now:
            return []
        present = set(self.present(gone_by))
        owners = {functions.owner_of(reason): reason for reason in self.indexed.reasons()}
        gone = sorted(owners[owner] for owner in owners.keys() - present if owner)
        return [task for reason in gone for task in self.indexed.parked_under(reason)]

    def stuck(self, now: int) -> dict[str, int]:
        """How many tasks wait for what no present process can run, by function or, for closures, by process."""
        served = [(who, self.indexed.functions.get(who, ())) for who in self.present(now)]
        unserved = [
            reason
            for reason in sorted(self.indexed.reasons())
            if not any(functions.opens(reason, who, known) for who, known in served)
        ]
        counts = {functions.awaited_by(it): len(self.indexed.parked_under(it)) for it in unserved}
        return {awaited: count for awaited, count in counts.items() if count}

    def situation(self, task_id: str, now: int) -> Situation | None:
        """What bears on a task of this queue; None: it has none of this id."""
        task = self.indexed.find(task_id)
        if task is None or task.queue != self.indexed.name or is_absent(task, now):
            return None
        return situation_of(self.indexed, task, now, present=self.present(now), slots=self.slots)

    def failed(
        self, group: str | None, after: Bookmark | None, limit: int, now: int
    ) -> DeadLetters:
        """A page of dead letters."""
        before = None if after is None else (after.expires_at, after.ticket, after.task_id)
        entries = self.indexed.dead.page(group, before, limit)
        is_last = len(entries) < limit or entries[-1][0] <= now
        tasks = [task for entry in entries if (task := self._dead_letter(entry, now))]
        return DeadLetters(
            tasks=tasks,
            after=None if is_last else Bookmark(*entries[-1]),
            attempts=[self.indexed.dead.last_attempt(one.ticket, one.id) for one in tasks],
        )

    def failure_groups(self, after: str, limit: int, now: int) -> FailureGroups:
        """A page of the groups of dead letters."""
        names = self.indexed.dead.groups(after, limit)
        found = [self._group(name, now) for name in names]
        return FailureGroups(
            groups=[group for group in found if group is not None],
            after=names[-1] if len(names) == limit else None,
        )

    def surplus(self, now: int, limit: int) -> list[Task]:
        """The dead letters beyond those that are to be kept, at most `limit`: those that would expire first.

        What was submitted just now is not among them: a submit that is repeated has to find its record.
        """
        most = self.indexed.state.settings.max_dead_letters
        entries = self.indexed.dead.surplus(most, limit) if most else ()
        found = (self._dead_letter(entry, now) for entry in entries)
        return [task for task in found if task and task.queued_at + LEAST_MS <= now]

    def _group(self, name: str, now: int) -> FailureGroup | None:
        entries = self.indexed.dead.present(name, now)
        if not entries:
            return None
        first, last = (self._dead_letter(entries[n], now) for n in (0, -1))
        return FailureGroup(
            name=name,
            count=len(entries),
            first_at=first.ended_at if first else 0,
            last_at=last.ended_at if last else 0,
            example=entries[-1][2],
        )

    def _dead_letter(self, entry: tuple[int, int, str], now: int) -> Task | None:
        """The record of an entry, without its payload; None: it is absent, or another's by now."""
        expires_at, ticket, task_id = entry
        task = self.indexed.find(task_id)
        if (
            task is None
            or task.queue != self.indexed.name
            or (expires_at, ticket) != (task.expires_at, task.ticket)
            or is_absent(task, now)
        ):
            return None
        return without_payload(task)

    def forget_idle(self, now: int) -> None:
        """A process whose presence has ended is not idle any more."""
        present = self.present(now)
        for incarnation in [who for who in self.idle if who not in present]:
            del self.idle[incarnation]

    def forget_departed(self, gone_by: int | None, now: int) -> list[str]:
        """Forget the processes whose presence had ended long before `gone_by`, and name them."""
        if gone_by is None or gone_by > now:
            return []
        last = gone_by - LANES_KEPT_MS
        departed = [who for who, end in self.presence.items() if end <= last]
        for incarnation in departed:
            self.forget(incarnation)
        return departed

    def forget(self, incarnation: str) -> None:
        """Drop the lanes and the functions of a process that has gone."""
        del self.presence[incarnation]
        self.indexed.functions.pop(incarnation, None)
        self.slots.pop(incarnation, None)
        self.indexed.forget_starved(incarnation)
        prefix = f"{incarnation}."
        for key in [key for key in self.indexed.lanes if key.startswith(prefix)]:
            del self.indexed.lanes[key]


class Namespace:
    """One independent set of queues: what `memory://name` names."""

    def __init__(self) -> None:
        self.records: MutableMapping[str, Task] = {}
        self.queues: MutableMapping[str, MemoryQueue] = {}
        self.reports: MutableMapping[str, tuple[int, str]] = {}  # of processes, and when
        self.schedules: MutableMapping[str, StoredSchedule] = {}
        self.hub = Hub()
        self.last_ms = 0
        self.steps_back = 0

    def forget_schedules(self, queue: str) -> None:
        """Remove the schedules of a queue."""
        found = [name for name, it in self.schedules.items() if it.schedule.queue == queue]
        for name in found:
            del self.schedules[name]

    def instant(self, now: int) -> int:
        """The store's clock: a step back under a second is clamped, a larger one is followed and counted."""
        if now < self.last_ms:
            if self.last_ms - now < CLAMPED_STEP_MS:
                return self.last_ms
            self.steps_back += 1
            logger.warning("the clock stepped back by %s ms", self.last_ms - now)
        self.last_ms = now
        return now
