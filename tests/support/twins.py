"""The memory store and the Redis store side by side: every operation goes to both, and what they answer must be equal.

Where two right stores may differ, this is the place that says so, and nowhere else:

- `payload` of a COMPLETED task: Redis has dropped it, since nobody needs it again.
- `wait_ms` of a grant: Redis looks at the next 20 later tasks of a priority, so with more it may tell a shorter wait.
- `functions` of a grant: Redis counts them where something is parked, memory always.
- `peek`: any lower bound is right, so each is held against the exact answer. Redis's may be up to 5 s later where
  tasks are parked or cost more than 1, and counts from the last reply that told its time. After a step back of
  the clock it may be later by the step: what was due before is not written down again.
- `stuck` of a status: Redis counts those that some claim has met, memory all. So do lists of waiting tasks.
- In what order waiting tasks are listed, and where a page ends. So all pages are compared.
- What comes before a task where keys take turns: only whether anything may is a matter of `explain`.
- What a gate remembers that the queue's settings don't use: Redis doesn't read it for an answer.
- The keys that have waited for longest: in Redis, without tasks that are parked.
- Orders that the port leaves open: of the workers in a status, of the running tasks, of the orphans in a sweep.
- Where a page of dead letters ends: an id that was used again leaves an entry. So all pages are compared.
- Who is woken when: only what must be told (an end to its watchers, a stop to the holder) is compared here.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import attrs

from kew.adapters.memory.store import MemoryStore
from kew.app.notices import Notice, SettingsChanged, StopAsked, TaskEnded
from kew.app.ports import (
    Ambiguous,
    Extend,
    FailureGroup,
    ListFailed,
    ListGroups,
    ListWaiting,
    Operation,
    Peek,
    QueueStatus,
    Running,
    Settled,
    Status,
    Statuses,
    Submitted,
    Swept,
    TaskStore,
)
from kew.domain.attempts import FailedAttempt
from kew.domain.emptying import Emptied
from kew.domain.explaining import Situation
from kew.domain.gates import GATES
from kew.domain.gates.fold import judged, opening
from kew.domain.gates.gate import facts_of
from kew.domain.invariants import between, violations
from kew.domain.listing import WaitingState
from kew.domain.reasons import explained
from kew.domain.requests import Grant, SettleOutcome, Word
from kew.domain.snapshot import Snapshot
from kew.domain.task import Task, TaskStatus, shelf_of
from tests.support.operations import WORKERS, Advance, Operations, Step, brief, kind_of, shown
from tests.support.raw_redis import RawNamespace, read_namespace
from tests.support.scene import Scene, SteppedClock

A = TypeVar("A")
LOOKED_AT = 20
PARKED_RETRY_MS = 5_000
CLAMPED_MS = 1_000
SHOWN = 25
CHANNEL = "kew:to:"
LISTENERS = (*WORKERS, "person")


class Different(AssertionError):
    """The stores are not one behaviour; the message tells how to see it again."""


@attrs.define(eq=False, kw_only=True)
class Twins:
    """Both stores under one clock. `client` reads the Redis store's raw keys and hears what it publishes."""

    memory: MemoryStore
    clock: SteppedClock
    redis: Scene
    client: Any
    label: str
    operations: Operations
    steps: int = 0
    high_water: int = 0
    counts: Counter[str] = attrs.field(factory=Counter)
    history: deque[str] = attrs.field(factory=lambda: deque(maxlen=SHOWN))
    snapshots: dict[str, Snapshot] = attrs.field(factory=dict)
    raw: Mapping[str, Snapshot] = attrs.field(factory=dict)
    told: Counter[tuple[str, Notice]] = attrs.field(factory=Counter)
    published: Any = None

    # --- one step

    async def step(self, step: Step) -> None:
        """Take it on both and compare the answers and, on the memory side, what must always hold."""
        self.steps += 1
        self.counts[kind_of(step)] += 1
        self.history.append(f"{self.steps}: {shown(step)}")
        match step:
            case Advance(ms):
                await self.move_clock(ms)
            case Peek(queue):
                await self._peek(queue)
            case ListFailed():
                await self._failed(step)
            case ListWaiting():
                await self._waiting(step)
            case _:
                await self._do(step)

    async def _do(self, operation: Operation[Any]) -> None:
        before = None if operation.changes else self._books()
        ours = await self.memory.do(operation)
        theirs = await self._answer_of_redis(operation)
        faults = self._differences(operation, ours, theirs)
        if faults:
            self.fail("different answers", *faults)
        if before is not None and before != self._books():
            self.fail(f"{operation.name} is a query, and changed something")
        self._count(operation.name, ours)
        self._judge(operation)

    async def _answer_of_redis(self, operation: Operation[A]) -> A:
        """An extension waits for a part of its lease alone, so on a busy machine it may have to be repeated."""
        while True:
            try:
                return await self.redis.store.do(operation)
            except Ambiguous:
                if not isinstance(operation, Extend):
                    raise

    def _books(self) -> dict[str, Snapshot]:
        queues = self.memory.namespace.queues
        return {name: queue.indexed.snapshot() for name, queue in queues.items()}

    async def move_clock(self, ms: int) -> None:
        """Move both clocks, but never to where a step back would be clamped.

        Clamping is judged by when the clock was last seen: by any operation in memory, by one that wrote the queue's
        state in Redis. Both are right, and they differ; tests/contracts/test_time.py has what they share.
        """
        now = self.clock.now + ms
        if now < self.high_water:
            seen = [self.memory.namespace.last_ms, *await self._clocks()]
            while any(0 < at - now < CLAMPED_MS for at in seen):
                now = max(at for at in seen if 0 < at - now < CLAMPED_MS)
        self.high_water = max(self.high_water, now)
        self.clock.now = now
        await self.redis.set_clock(now)

    async def _clocks(self) -> list[int]:
        async with self.client.pipeline(transaction=False) as pipe:
            for queue in self.memory.namespace.queues:
                pipe.hget(f"kew:{{{queue}}}:state", "counts")
            return [int(counts.split()[11]) for counts in await pipe.execute()]

    def _judge(self, operation: Operation[Any]) -> None:
        """The invariants of the queue that was touched, in the memory store."""
        known = self.memory.namespace.queues.get(operation.queue)
        if known is None:
            self.snapshots.pop(operation.queue, None)
            return
        after = known.indexed.snapshot()
        before = self.snapshots.get(operation.queue)
        self.snapshots[operation.queue] = after
        faults = violations(after) + (between(before, after) if before else [])
        if faults:
            self.fail("a queue in memory is not sound", *faults)

    # --- comparing answers

    def _differences(self, operation: Operation[Any], ours: Any, theirs: Any) -> list[str]:
        match ours, theirs:
            case ((Submitted() | Settled()), (Submitted() | Settled())):
                faults = _unequal("outcomes", list(ours.outcomes), list(theirs.outcomes))
                if isinstance(ours, Submitted) and isinstance(theirs, Submitted):
                    faults += _unequal("settled", list(ours.settled), list(theirs.settled))
                faults += _unequal("now_ms", ours.now_ms, theirs.now_ms)
                return faults + self._grants(operation, ours.grant, theirs.grant)
            case Grant(), Grant():
                return self._grants(operation, ours, theirs)
            case QueueStatus(), QueueStatus():
                return _unequal_status(_seen(ours), _seen(theirs))
            case _ if isinstance(operation, Statuses):
                pairs = zip(ours, theirs, strict=True)
                return [fault for pair in pairs for fault in self._differences(Status(""), *pair)]
            case _ if isinstance(operation, Running):
                return _unequal("tasks", _by_id(ours), _by_id(theirs))
            case _:
                return _unequal("answer", _seen(ours), _seen(theirs))

    def _grants(
        self, operation: Operation[Any], ours: Grant | None, theirs: Grant | None
    ) -> list[str]:
        if ours is None or theirs is None:
            return _unequal("grant", ours, theirs)
        self.operations.saw(operation.queue, ours.tasks)
        faults = _unequal("tasks", _seen(ours.tasks), _seen(theirs.tasks))
        faults += _unequal("words", (ours.word, ours.edition), (theirs.word, theirs.edition))
        if theirs.functions is not None:
            faults += _unequal("functions", ours.functions, theirs.functions)
        known = self.memory.namespace.queues.get(operation.queue)
        if known is not None and known.indexed.waiting() >= LOOKED_AT:
            if _is_longer(theirs.wait_ms, ours.wait_ms):
                faults.append(f"wait_ms: at most {ours.wait_ms}, not {theirs.wait_ms}")
            return faults
        return faults + _unequal("wait_ms", ours.wait_ms, theirs.wait_ms)

    async def _peek(self, queue: str) -> None:
        counts = await self.client.hget(f"kew:{{{queue}}}:state", "counts")
        parked = int(counts.split()[7]) if counts else 0
        await self.redis.store.do(Status(queue))  # so that it knows the store's time
        here, there = await self.memory.do(Peek(queue)), await self.redis.store.do(Peek(queue))
        ours, theirs = here.wait_ms, there.wait_ms
        if here.has_waiting is not there.has_waiting:
            self.fail(
                f"a peek: tasks wait in memory: {here.has_waiting}, in Redis: {there.has_waiting}"
            )
        exact = need_in(self.memory, queue, present_at=self.high_water)
        ahead = self.high_water - self.clock.now
        late = exact
        if exact is not None:
            costly = any(
                task.call.cost > 1 and task.is_waiting and task.queue == queue
                for task in self.memory.namespace.records.values()
            )
            late = max(exact, ahead, PARKED_RETRY_MS if parked or costly else 0)
        if _is_longer(ours, exact) or _is_longer(theirs, late):
            self.fail(f"a peek that is too long: exact {exact}, memory {ours}, Redis {theirs}")
        self._count("peek", ours)

    async def _failed(self, step: ListFailed) -> None:
        ours = await dead_letters(self.memory, step)
        theirs = await dead_letters(self.redis.store, step)
        faults = _unequal("dead letters", ours, theirs)
        faults += await self._group_faults(step.queue, step.limit)
        if faults:
            self.fail("different answers", *faults)
        self.counts[
            "failed: nothing" if ours is None else "failed: some" if ours else "failed: none"
        ] += 1

    async def _waiting(self, step: ListWaiting) -> None:
        ours = await waiting_tasks(self.memory, step)
        theirs = await waiting_tasks(self.redis.store, step)
        if len(step.wanted.states) < len(WaitingState) and theirs:
            known = self.memory.namespace.queues[step.queue]
            stuck = known.stuck(self.memory.namespace.last_ms)
            theirs = [task for task in theirs if shelf_of(task.call.function) not in stuck]
        faults = _unequal("waiting tasks", _by_id(ours or ()), _by_id(theirs or ()))
        if faults:
            self.fail("different answers", *faults)
        self.counts["waiting: some" if ours else "waiting: none"] += 1

    async def _group_faults(self, queue: str, limit: int) -> list[str]:
        """A group has as many dead letters as are listed, and all groups together have all of them.

        Counted too is what expired and was replaced in another queue, if the clock stepped back since.
        """
        listed = await dead_letters(self.memory, ListFailed(queue, None, limit))
        groups = await failure_groups(self.memory, queue, limit)
        sizes: Counter[str] = Counter(last.group for _, last in listed or () if last)
        counts = Counter({one.name: one.count for one in groups or ()})
        return _unequal("groups", sizes, counts - self._replaced(queue))

    def _replaced(self, queue: str) -> Counter[str]:
        """How many entries of each group are those of ids that are another queue's by now."""
        known, records = self.memory.namespace.queues.get(queue), self.memory.namespace.records
        by_group = known.indexed.dead.by_group if known else {}
        now = self.memory.namespace.last_ms
        return Counter(
            {
                group: sum(
                    end > now and (task_id not in records or records[task_id].queue != queue)
                    for end, _, task_id in entries
                )
                for group, entries in by_group.items()
            }
        )

    # --- comparing all of it

    async def compare_everything(self, *, every_step: bool = False) -> None:
        """The memory store against the raw keys; `every_step`: and what one step may not do."""
        raw = await read_namespace(self.client)
        faults = [*raw.faults, *(fault for queue in raw.queues.values() for fault in queue.faults)]
        faults += _unequal("queues", sorted(self.memory.namespace.queues), sorted(raw.declared))
        for name, queue in raw.queues.items():
            faults += [f"raw {name}: {fault}" for fault in violations(queue.snapshot)]
            if every_step and name in self.raw:
                faults += [f"raw {name}: {f}" for f in between(self.raw[name], queue.snapshot)]
        faults += self._state_differences(raw)
        reports = {who: f"{at} {text}" for who, (at, text) in self.memory.namespace.reports.items()}
        faults += _unequal("reports", reports, dict(raw.reports))
        if faults:
            self.fail("different states", *faults)
        self.raw = {name: queue.snapshot for name, queue in raw.queues.items()}
        await self._compare_notices()

    def _state_differences(self, raw: RawNamespace) -> list[str]:
        faults = []
        for name, ours in self.memory.namespace.queues.items():
            if name not in raw.queues:
                continue
            indexed, theirs = ours.indexed.snapshot(), raw.queues[name].snapshot
            functions = {who: known for who, known in indexed.known.items() if known}
            faults += _unequal(f"{name}: state", indexed.state, theirs.state)
            faults += _unequal(f"{name}: lanes", dict(indexed.lanes), dict(theirs.lanes))
            faults += _unequal(f"{name}: functions", functions, dict(theirs.known))
            faults += _unequal(f"{name}: starved", dict(indexed.starved), dict(theirs.starved))
            faults += _unequal(f"{name}: turns", dict(indexed.turns), dict(theirs.turns))
            faults += _unequal(f"{name}: key logs", indexed.key_logs, theirs.key_logs)
            limits = [
                {
                    key: own
                    for key, own in each.key_limits.items()
                    if not 0 < own.ends_at <= self.clock.now
                }
                for each in (indexed, theirs)
            ]
            faults += _unequal(f"{name}: key limits", *limits)
            faults += _unequal(f"{name}: presence", ours.presence, raw.queues[name].presence)
            for task_id in sorted(indexed.tasks.keys() | theirs.tasks.keys()):
                pair = _seen(indexed.tasks.get(task_id)), _seen(theirs.tasks.get(task_id))
                faults += _unequal(f"{name}: {task_id}", *pair)
        return faults

    # --- what was told

    async def listen(self) -> None:
        """Hear what both stores tell, from now on."""
        for who in LISTENERS:
            self.memory.namespace.hub.add(who, partial(self._was_told, who))
        self.published = self.client.pubsub()
        await self.published.psubscribe(f"{CHANNEL}*")
        await self.published.get_message(timeout=5)

    def _was_told(self, who: str, notice: Notice) -> None:
        if isinstance(notice, TaskEnded | StopAsked | SettingsChanged):
            self.told[who, notice] += 1

    async def _compare_notices(self) -> None:
        await asyncio.sleep(0)  # the memory store delivers soon, not at once
        theirs: Counter[tuple[str, Notice]] = Counter()
        await self.client.publish(f"{CHANNEL}fence", "fence")
        while (message := await self.published.get_message(timeout=5)) is not None:
            who = message["channel"].decode().removeprefix(CHANNEL)
            if who == "fence":
                break
            kind, _, rest = message["data"].decode().partition(" ")
            if kind == "e":
                theirs[who, TaskEnded(rest)] += 1
            elif kind == "c":
                theirs[who, StopAsked(*rest.split(" ", 1))] += 1
            elif kind == "s":
                theirs[who, SettingsChanged(rest)] += 1
        faults = [f"only memory told {one}" for one in (self.told - theirs).elements()]
        faults += [f"only Redis told {one}" for one in (theirs - self.told).elements()]
        if faults:
            self.fail("different notices", *faults)
        self.counts["told"] += theirs.total()
        self.told.clear()

    # --- counting and telling

    def _count(self, kind: str, answer: Any) -> None:
        self.counts.update(f"{kind}: {what}" for what in _words(answer))

    def fail(self, what: str, *faults: str) -> None:
        """Raise with everything that is needed to see it again."""
        shown = [fault if len(fault) < 4_000 else f"{fault[:4_000]}..." for fault in faults]
        where = f"{what} after step {self.steps} of {self.label}"
        raise Different("\n".join([where, *shown, "the last operations:", *self.history]))


def _words(answer: Any) -> Iterator[str]:
    """What an answer says, for counting."""
    match answer:
        case Submitted() | Settled():
            yield from (word for outcome in answer.outcomes for word in _words(outcome))
            if isinstance(answer, Submitted):
                yield from (f"settled {outcome.word}" for outcome in answer.settled)
            if answer.grant is not None:
                yield f"grant {answer.grant.word}"
        case SettleOutcome(word=word, status=status):
            yield str(word)
            if word is Word.DONE:
                yield f"to {status}"
        case Grant():
            yield str(answer.word)
            yield "some" if answer.tasks else "none"
        case Swept():
            counts = attrs.asdict(answer)
            yield from (name for name, count in counts.items() if count and name != "now_ms")
        case Emptied() if answer.cancelled:
            yield "cancelled"
        case Word():
            yield str(answer)
        case Situation():
            yield from (str(reason.code) for reason in explained(answer).reasons)
        case [*several]:
            yield from (word for one in several for word in _words(one))
        case _ if hasattr(answer, "word"):
            yield str(answer.word)
        case None:
            yield "nothing"


def _seen(answer: Any) -> Any:
    """An answer as both stores must give it."""
    if isinstance(answer, Task):
        if answer.status is TaskStatus.COMPLETED:
            return answer.moved(call=attrs.evolve(answer.call, payload=b""))
        return answer
    if isinstance(answer, Swept):
        return attrs.evolve(answer, orphaned=sorted(answer.orphaned))
    if isinstance(answer, Emptied):
        cancelled = sorted(answer.cancelled, key=lambda task: task.ticket)
        return Emptied(
            cancelled=cancelled, more=answer.more
        )  # what it passes over is its own affair
    if isinstance(answer, Situation | QueueStatus):
        used = {gate.name for gate in GATES if gate.is_used(answer.state)}
        memories = {name: each for name, each in answer.state.gates.items() if name in used}
        seen = attrs.evolve(answer, state=attrs.evolve(answer.state, gates=memories))
        if isinstance(seen, Situation) and seen.takes_turns:
            return attrs.evolve(seen, ahead=0, is_counted=True, due=int(seen.due > 0))
        return seen
    if isinstance(answer, Sequence) and not isinstance(answer, str):
        return [_seen(one) for one in answer]
    return answer


async def dead_letters(
    store: TaskStore, first: ListFailed
) -> list[tuple[Task, FailedAttempt | None]] | None:
    """Those of all pages, each with its last attempt; None: no queue."""
    page = await store.do(first)
    if page is None:
        return None
    found = list(zip(page.tasks, page.attempts, strict=True))
    while page is not None and page.after is not None:
        page = await store.do(attrs.evolve(first, after=page.after))
        found += zip(page.tasks, page.attempts, strict=True) if page else ()
    return found


async def waiting_tasks(store: TaskStore, first: ListWaiting) -> list[Task] | None:
    """Those of all pages; None: no queue."""
    page = await store.do(first)
    if page is None:
        return None
    found = list(page.tasks)
    while page is not None and page.after is not None:
        page = await store.do(attrs.evolve(first, after=page.after))
        found += page.tasks if page else ()
    return found


async def failure_groups(store: TaskStore, queue: str, limit: int) -> list[FailureGroup] | None:
    """Those of all pages; None: no queue."""
    page = await store.do(ListGroups(queue, "", limit))
    if page is None:
        return None
    found = list(page.groups)
    while page is not None and page.after is not None:
        page = await store.do(ListGroups(queue, page.after, limit))
        found += page.groups if page else ()
    return found


def need_in(memory: MemoryStore, queue: str, *, present_at: int) -> int | None:
    """How long until a process that is present may be granted something, or a lease can be taken back (ms).

    `present_at`: a process whose presence has ended is nobody's business, even where the clock has stepped back since.
    """
    known, now = memory.namespace.queues.get(queue), memory.namespace.last_ms
    if known is None:
        return None
    indexed = known.indexed
    opens_at = opening(facts_of(indexed, judged(indexed.state, now), None, now))
    instants = [indexed.next_lease_end()]
    if opens_at is not None:
        due = indexed.due_for(known.present(present_at), now)
        instants.append(None if due is None else max(due, opens_at))
    found = [instant for instant in instants if instant is not None]
    return max(0, min(found) - now) if found else None


def _by_id(tasks: Sequence[Task]) -> list[Any]:
    return sorted((_seen(task) for task in tasks), key=lambda task: str(task.id))


def _is_longer(theirs: int | None, ours: int | None) -> bool:
    return ours is not None and (theirs is None or theirs > ours)


def _unequal(what: str, ours: Any, theirs: Any) -> list[str]:
    if ours == theirs:
        return []
    return [f"{what}:\n  memory: {brief(ours)}\n  redis:  {brief(theirs)}"]


def _unequal_status(ours: QueueStatus, theirs: QueueStatus) -> list[str]:
    faults = _unequal("workers", sorted(ours.workers), sorted(theirs.workers))
    more = {name for name, count in theirs.stuck.items() if count > ours.stuck.get(name, 0)}
    faults += [f"stuck: at most {ours.stuck}, not {theirs.stuck}"] if more else []
    busiest = {
        key: ours.busiest_keys.get(key, 0) for key in theirs.busiest_keys
    }  # whatever their order
    return faults + _unequal(
        "status",
        attrs.evolve(ours, workers=(), stuck={}, busiest_keys=dict(busiest), delayed_keys={}),
        attrs.evolve(theirs, workers=(), stuck={}, delayed_keys={}),
    )
