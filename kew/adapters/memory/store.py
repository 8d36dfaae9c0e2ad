"""The memory store: `TaskStore` over a `Namespace` of books. Each operation runs without a pause, so it is atomic."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import attrs

from kew.adapters.memory.book import Book
from kew.adapters.memory.namespace import LANES_KEPT_MS, MemoryQueue, Namespace
from kew.app.ports import (
    Bookmark,
    Clock,
    Command,
    DeadLetters,
    Declared,
    QueueStatus,
    Settled,
    StopAsked,
    Submitted,
    Swept,
    TaskEnded,
    TaskStore,
    Woken,
)
from kew.compat import override
from kew.domain import breaker as breakers
from kew.domain import queue as rules
from kew.domain.config import Settings
from kew.domain.queue import Change, QueueState
from kew.domain.requests import (
    ClaimRequest,
    Grant,
    Group,
    GroupOutcome,
    LeaseRef,
    Settlement,
    SettleOutcome,
    Word,
    holder_of,
)
from kew.domain.task import Life, Task, is_absent


class MemoryStore(TaskStore):
    """A store inside the process; what it holds is gone with the process."""

    def __init__(self, clock: Clock, namespace: Namespace | None = None) -> None:
        self._clock = clock
        self.namespace = namespace or Namespace()

    @override
    async def open(self) -> None:
        """Nothing to connect to."""

    @override
    async def close(self) -> None:
        """Nothing to let go of."""

    # --- queues and workers

    @override
    async def declare(self, queue: str, settings: Settings) -> Declared:
        known = self.namespace.queues.get(queue)
        if known is None:
            book = Book(queue, QueueState(settings=settings), self.namespace.records)
            self.namespace.queues[queue] = MemoryQueue(book)
            return Declared(1, None)
        before = known.book.state
        self._apply(known, rules.configure(known.book, settings), self._now())
        changed = known.book.state is not before
        if changed:
            self._tell(known, known.book.waiting())
        return Declared(known.book.state.version, before.settings if changed else None)

    @override
    async def settings(self, queue: str) -> tuple[Settings, int] | None:
        known = self.namespace.queues.get(queue)
        return (known.book.state.settings, known.book.state.version) if known else None

    @override
    async def announce(
        self,
        queue: str,
        incarnation: str,
        functions: Sequence[str],
        ttl_ms: int,
        gone: Sequence[str] = (),
    ) -> Word:
        known = self.namespace.queues.get(queue)
        if known is None:
            return Word.NO_QUEUE
        known.presence[incarnation] = self._now() + ttl_ms
        known.book.learn(incarnation, functions, gone)
        return Word.DONE

    @override
    async def depart(self, queue: str, incarnation: str) -> None:
        known = self.namespace.queues.get(queue)
        if known is not None and incarnation in known.presence:
            known.presence[incarnation] = self._now()
            known.idle.pop(incarnation, None)
            known.book.forget_hungry(incarnation)

    # --- what tasks go through

    @override
    async def submit(
        self, queue: str, groups: Collection[Group], claim: ClaimRequest | None = None
    ) -> Submitted:
        now = self._now()
        known = self.namespace.queues.get(queue)
        if known is None:
            missing = [GroupOutcome(Word.NO_QUEUE) for _ in groups]
            return Submitted(outcomes=missing, now_ms=now, grant=self._no_queue(claim))
        outcomes, work = [], 0
        for group in groups:
            change, outcome = rules.submit(known.book, group, now)
            self._apply(known, change, now)
            outcomes.append(outcome)
            work += len(change.tasks)
        grant = self._claim(known, claim, now) if claim else None
        self._tell(known, work - self._taken(grant))
        return Submitted(outcomes=outcomes, now_ms=now, grant=grant)

    @override
    async def claim(self, queue: str, request: ClaimRequest) -> Grant:
        known = self.namespace.queues.get(queue)
        if known is None:
            return Grant(word=Word.NO_QUEUE)
        return self._claim(known, request, self._now())

    @override
    async def settle(
        self, queue: str, settlements: Sequence[Settlement], claim: ClaimRequest | None = None
    ) -> Settled:
        now = self._now()
        known = self.namespace.queues.get(queue)
        if known is None:
            stale = [SettleOutcome(Word.STALE) for _ in settlements]
            return Settled(outcomes=stale, now_ms=now, grant=self._no_queue(claim))
        epoch, outcomes, freed = known.book.state.breaker.epoch, [], 0
        for settlement in settlements:
            change, outcome = rules.settle(known.book, settlement, now)
            self._apply(known, change, now, teller=holder_of(settlement.lease))
            outcomes.append(outcome)
            freed += len(change.tasks)
        grant = self._claim(known, claim, now) if claim else None
        if known.book.state.breaker.epoch != epoch:
            freed = known.book.waiting()
        self._tell(known, freed - self._taken(grant))
        return Settled(outcomes=outcomes, now_ms=now, grant=grant)

    @override
    async def extend(self, queue: str, refs: Sequence[LeaseRef], lease_ms: int) -> Sequence[Word]:
        now = self._now()
        known = self.namespace.queues.get(queue)
        if known is None:
            return [Word.STALE for _ in refs]
        words = []
        for ref in refs:
            change, word = rules.extend(known.book, ref, lease_ms, now)
            self._apply(known, change, now)
            words.append(word)
        return words

    def _claim(self, known: MemoryQueue, request: ClaimRequest, now: int) -> Grant:
        book = known.book
        if known.presence.get(request.incarnation, 0) <= now:
            if request.sequence <= book.lane(request.lane_key):  # a repeat: it asks for nothing new
                return rules.claim(book, request, now)[1]
            return Grant(word=Word.NO_WORKER, version=book.state.version)
        change = rules.recover(book, now)
        self._apply(known, change, now)
        recovered = len(change.tasks)
        change, grant = rules.claim(book, request, now)
        self._apply(known, change, now)
        if change.told and not self.namespace.hub.tell(change.told, Woken(book.name)):
            book.forget_hungry(change.told)
        if not rules.free_leases(book.state, book.held()):
            self._invite(known, request.incarnation, now)
        if len(grant.tasks) < request.want:
            known.idle[request.incarnation] = None
            return grant
        if not request.has_room:  # told, it could take nothing, and an idle process would not be
            known.idle.pop(request.incarnation, None)
        if recovered > len(grant.tasks):
            self._tell(known, recovered - len(grant.tasks))
        return grant

    def _invite(self, known: MemoryQueue, claimer: str, now: int) -> None:
        """The limit is reached: tell an idle process that could help and has not met it, so that it becomes hungry."""
        strangers = (who for who in known.idle if who != claimer and who not in known.book.hungry)
        for incarnation in list(strangers):
            if known.book.awaits(incarnation, now):
                del known.idle[incarnation]
                if self.namespace.hub.tell(incarnation, Woken(known.book.name)):
                    return

    def _no_queue(self, claim: ClaimRequest | None) -> Grant | None:
        return Grant(word=Word.NO_QUEUE) if claim else None

    def _taken(self, grant: Grant | None) -> int:
        return len(grant.tasks) if grant else 0

    # --- maintenance

    @override
    async def sweep(self, queue: str, limit: int) -> Swept:
        known = self.namespace.queues.get(queue)
        if known is None:
            return Swept()
        now = self._now()
        lost = rules.recover(known.book, now, limit)
        self._apply(known, lost, now)
        expired = known.book.expired(now, limit)
        for task in expired:
            known.book.remove(task)
        orphans = self._orphans(known, now)[:limit]
        for task in orphans:
            self._apply(known, rules.orphan(known.book, task, now), now)
        departed = [who for who, end in known.presence.items() if end + LANES_KEPT_MS <= now]
        for incarnation in departed:
            known.forget(incarnation)
        self._tell(known, len(lost.tasks))
        return Swept(
            recovered=len(lost.tasks),
            removed=len(expired),
            orphaned=len(orphans),
            departed=len(departed),
            more=limit in (len(lost.tasks), len(expired), len(orphans)),
        )

    def _orphans(self, known: MemoryQueue, now: int) -> list[Task]:
        present = set(known.present(now))
        names = (name for name in known.book.awaited_functions() if name.startswith("@"))
        tasks = (task for name in sorted(names) for task in known.book.waiting_for(name))
        return [task for task in tasks if task.call.pinned_to not in present]

    @override
    async def peek(self, queue: str) -> int | None:
        known = self.namespace.queues.get(queue)
        if known is None:
            return None
        now, book = self._now(), known.book
        instants = [book.next_lease_end(), *(book.next_due(who, now - 1) for who in known.presence)]
        if any(book.ready(who, now, 1) for who in known.presence):
            instants.append(now)
        found = [instant for instant in instants if instant is not None]
        return max(0, min(found) - now) if found else None

    # --- what people ask

    @override
    async def find(self, task_ids: Sequence[str]) -> Sequence[Task | None]:
        now = self._now()
        return [self._present(task_id, now) for task_id in task_ids]

    def _present(self, task_id: str, now: int) -> Task | None:
        task = self.namespace.records.get(task_id)
        return None if task is None or is_absent(task, now) else task

    @override
    async def running(self, queue: str) -> Sequence[Task]:
        known = self.namespace.queues.get(queue)
        return known.book.leased() if known else []

    @override
    async def failed(self, queue: str, after: Bookmark | None, limit: int) -> DeadLetters | None:
        known = self.namespace.queues.get(queue)
        return known.failed(after, limit, self._now()) if known else None

    @override
    async def watch(
        self, queue: str, task_ids: Sequence[str], incarnation: str
    ) -> Sequence[Task | None]:
        now = self._now()
        found: list[Task | None] = []
        known = self.namespace.queues.get(queue)
        for task_id in task_ids:
            task = self._present(task_id, now)
            if known is None or task is None or task.queue != queue:
                found.append(None)
                continue
            if not task.is_terminal and incarnation not in task.watchers:
                task = task.moved(watchers=(*task.watchers, incarnation))
                known.book.apply(Change((task,)), now)
            found.append(task)
        return found

    @override
    async def cancel(self, queue: str, task_id: str, life: Life | None) -> Word:
        known = self.namespace.queues.get(queue)
        if known is None:
            return Word.MISSING
        now = self._now()
        change, word = rules.cancel(known.book, task_id, life, now)
        self._apply(known, change, now)
        if word is Word.CANCEL:
            holder = holder_of(change.tasks[0].lease)
            self.namespace.hub.tell(holder, StopAsked(queue, task_id))
        return word

    @override
    async def replay(self, queue: str, task_id: str, life: Life | None) -> Word:
        known = self.namespace.queues.get(queue)
        if known is None:
            return Word.MISSING
        now = self._now()
        change, word = rules.replay(known.book, task_id, life, now)
        self._apply(known, change, now)
        self._tell(known, len(change.tasks))
        return word

    @override
    async def control(self, queue: str, command: Command, incarnation: str, sequence: int) -> Word:
        known = self.namespace.queues.get(queue)
        if known is None:
            return Word.NO_QUEUE
        lane = f"{incarnation}.control"
        if sequence <= known.book.lanes.get(lane, 0):
            return Word.SAME
        now = self._now()
        self._apply(known, self._commanded(known.book, command, now), now)
        known.book.lanes[lane] = sequence
        known.presence.setdefault(incarnation, now)  # so that maintenance will forget this lane
        self._tell(known, known.book.waiting())
        return Word.DONE

    def _commanded(self, book: Book, command: Command, now: int) -> Change:
        match command:
            case Command.PAUSE:
                return rules.pause(book, paused=True)
            case Command.RESUME:
                return rules.pause(book, paused=False)
            case Command.RECORD_FAILURE:
                return rules.record_failure(book, now)
            case Command.RESET_BREAKER:
                return rules.reset_breaker(book)

    @override
    async def status(self, queue: str) -> QueueStatus | None:
        known = self.namespace.queues.get(queue)
        if known is None:
            return None
        now, book = self._now(), known.book
        workers = known.present(now)
        can_run = set().union(*(book.functions.get(who, set()) for who in workers))
        stuck = {name: len(book.waiting_for(name)) for name in book.awaited_functions() - can_run}
        return QueueStatus(
            name=queue,
            now_ms=now,
            state=judged(book.state, now),
            waiting=book.waiting_by_priority(),
            held=book.held(),
            workers=workers,
            stuck={name: count for name, count in sorted(stuck.items()) if count},
        )

    @override
    async def queues(self) -> Sequence[str]:
        return sorted(self.namespace.queues)

    @override
    async def purge(self, queue: str) -> None:
        known = self.namespace.queues.pop(queue, None)
        if known is not None:
            for task_id in known.book.snapshot().tasks:
                del self.namespace.records[task_id]

    # --- inside

    def _now(self) -> int:
        return self.namespace.instant(self._clock.now_ms())

    def _apply(self, known: MemoryQueue, change: Change, now: int, *, teller: str = "") -> None:
        """Write a change, and tell of ends who wants to know, but not the process whose word it is."""
        known.book.apply(change, now)
        for task in change.tasks:
            if task.watchers and task.is_terminal:
                for incarnation in task.watchers:
                    if incarnation != teller:
                        self.namespace.hub.tell(incarnation, TaskEnded(task.id))

    def _tell(self, known: MemoryQueue, work: int) -> None:
        """Wake as many idle processes as there is new work: those first that can run what is due, no stampede."""
        if work <= 0 or known.book.state.paused or not known.book.waiting():
            return
        now = self.namespace.last_ms
        waiting = [who for who in known.idle if known.book.awaits(who, now)]
        for incarnation in sorted(waiting, key=lambda who: not known.book.ready(who, now, 1)):
            del known.idle[incarnation]
            work -= self.namespace.hub.tell(incarnation, Woken(known.book.name))
            if work <= 0:
                return


def judged(state: QueueState, now: int) -> QueueState:
    """A queue's state with its breaker as it is at `now`."""
    return attrs.evolve(state, breaker=breakers.judged(state.breaker, state.settings, now))
