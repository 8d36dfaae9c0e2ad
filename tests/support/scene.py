"""What a contract test is written in: a store whose clock the test owns, and processes that use it.

A `Scene` speaks the store's port with the defaults that most tests share (a queue called "orders", a function `f`,
a lease of 15 s), so that a test shows only what it is about. Nothing here knows which store it drives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs

from kew.app.declaring import Declared
from kew.app.inspector import purged
from kew.app.notices import Notice, Wakeup
from kew.app.ports import (
    Announce,
    Cancel,
    Clock,
    Command,
    Control,
    Declare,
    Depart,
    Extend,
    Find,
    Hasten,
    QueueStatus,
    Replay,
    Settled,
    Status,
    Submitted,
    Sweep,
    Swept,
    TaskStore,
)
from kew.compat import override
from kew.domain.config import Settings
from kew.domain.events import Failed, NotStarted, Released, Succeeded
from kew.domain.explaining import SlotLimit
from kew.domain.requests import (
    Along,
    ClaimRequest,
    Grant,
    Group,
    GroupOutcome,
    LeaseRef,
    Settlement,
    SettleOutcome,
    SubmitRef,
    Word,
)
from kew.domain.task import Life, QueuePriority, Submission, Task
from tests.support.tasks import readable

QUEUE = "orders"
START_MS = 1_750_000_000_000
LEASE_MS = 15_000
PRESENCE_MS = 3_600_000
SECONDS_TO_BE_TOLD = 5.0

HIGH, MEDIUM, LOW = QueuePriority.HIGH, QueuePriority.MEDIUM, QueuePriority.LOW


@attrs.define
class SteppedClock(Clock):
    """A clock that stands still until it is set."""

    now: int = START_MS

    @override
    def now_ms(self) -> int:
        return self.now


def call(
    task_id: str,
    *,
    function: str = "f",
    priority: int = MEDIUM,
    nonce: str = "",
    task_type: str = "test",
    payload: bytes = b"",
    **options: Any,
) -> Submission:
    """A submission; the nonce is made of the id unless one is given. `options` are its other fields."""
    return Submission(
        id=task_id,
        nonce=nonce or f"nonce of {task_id}",
        task_type=task_type,
        function=function,
        payload=payload,
        priority=int(priority),
        **options,
    )


def group(*submissions: Submission | str, after: str | None = None) -> Group:
    """A group of submissions, or of ids with the defaults; `after`: the id of such a one."""
    return Group(
        submissions=tuple(call(one) if isinstance(one, str) else one for one in submissions),
        after=None if after is None else SubmitRef(after, call(after).nonce),
    )


@attrs.define(eq=False)
class Listener:
    """What an incarnation was told, in order."""

    wakeup: Wakeup
    told: asyncio.Queue[Notice] = attrs.field(factory=asyncio.Queue)

    async def next(self) -> Notice:
        """The next notice; `TimeoutError` when none comes."""
        async with asyncio.timeout(SECONDS_TO_BE_TOLD):
            return await self.told.get()

    def so_far(self) -> list[Notice]:
        """Everything that has arrived and was not taken yet."""
        return [self.told.get_nowait() for _ in range(self.told.qsize())]


@attrs.define(eq=False)
class Worker:
    """A process as the store sees it: an incarnation with strictly serial lanes."""

    store: TaskStore
    incarnation: str
    queue: str = QUEUE
    slots: SlotLimit = SlotLimit()
    sequences: dict[int, int] = attrs.field(factory=dict)

    async def announce(self, *functions: str, ttl_ms: int = PRESENCE_MS) -> Word:
        announced = await self.store.do(
            Announce(self.queue, self.incarnation, functions, ttl_ms, self.slots)
        )
        return announced.word

    async def depart(self) -> None:
        await self.store.do(Depart(self.queue, self.incarnation))

    def request(self, want: int = 1, *, lane: int = 0, lease_ms: int = LEASE_MS) -> ClaimRequest:
        """The lane's next request."""
        self.sequences[lane] = self.sequences.get(lane, 0) + 1
        return ClaimRequest(
            incarnation=self.incarnation,
            lane=lane,
            sequence=self.sequences[lane],
            want=want,
            lease_ms=lease_ms,
        )

    async def ask(self, want: int = 1, *, lane: int = 0, lease_ms: int = LEASE_MS) -> Grant:
        """Claim, and the whole answer."""
        return await self.store.claim(self.queue, self.request(want, lane=lane, lease_ms=lease_ms))

    async def claim(self, want: int = 1, *, lane: int = 0, lease_ms: int = LEASE_MS) -> list[Task]:
        """Claim, and the tasks."""
        grant = await self.ask(want, lane=lane, lease_ms=lease_ms)
        assert grant.word is Word.DONE
        return list(grant.tasks)

    async def claim_one(self, *, lane: int = 0, lease_ms: int = LEASE_MS) -> Task:
        """The one task that is there to be claimed."""
        (task,) = await self.claim(lane=lane, lease_ms=lease_ms)
        return task

    async def claim_ids(self, want: int = 100) -> list[str]:
        """Which tasks a claim brings, in order."""
        return [task.id for task in await self.claim(want)]

    async def settle(self, *settlements: Settlement, claim: ClaimRequest | None = None) -> Settled:
        return await self.store.settle(self.queue, settlements, claim)

    async def succeed(self, task: Task, result: bytes = b"") -> SettleOutcome:
        return (await self.settle(success(task, result))).outcomes[0]

    async def fail(
        self,
        task: Task,
        *,
        retry_after_ms: int | None = None,
        error: str = "boom",
        counts: bool = True,
    ) -> SettleOutcome:
        settlement = failure(task, retry_after_ms=retry_after_ms, error=error, counts=counts)
        return (await self.settle(settlement)).outcomes[0]

    async def release(self, task: Task, *, started: bool = True) -> SettleOutcome:
        return (await self.settle(handed_back(task, started=started))).outcomes[0]

    async def could_not_start(self, task: Task, error: str = "no room") -> SettleOutcome:
        return (await self.settle(not_started(task, error))).outcomes[0]

    async def extend(self, *tasks: Task, lease_ms: int = LEASE_MS) -> list[Word]:
        refs = [LeaseRef(task.id, task.lease) for task in tasks]
        return list(await self.store.do(Extend(self.queue, refs, lease_ms)))


def success(task: Task, result: bytes = b"") -> Settlement:
    return Settlement(task_id=task.id, lease=task.lease, event=Succeeded(result))


def failure(
    task: Task,
    *,
    retry_after_ms: int | None = None,
    error: str = "boom",
    counts: bool = True,
) -> Settlement:
    event = Failed(error=error, retry_after_ms=retry_after_ms, counts=counts)
    return Settlement(task_id=task.id, lease=task.lease, event=event)


def handed_back(task: Task, *, started: bool = True) -> Settlement:
    return Settlement(task_id=task.id, lease=task.lease, event=Released(started))


def not_started(task: Task, error: str = "no room") -> Settlement:
    return Settlement(task_id=task.id, lease=task.lease, event=NotStarted(error))


@attrs.define(eq=False, kw_only=True)
class Scene:
    """One namespace of one store, with its clock in the test's hand."""

    store: TaskStore
    set_clock: Callable[[int], Awaitable[None]]
    new_wakeup: Callable[[], Wakeup]
    now: int = START_MS
    controls: int = 0
    editions: int = 0
    listeners: list[Listener] = attrs.field(factory=list)

    async def advance(self, ms: int) -> None:
        """Let the store's clock go on by `ms`, or back where that is negative."""
        self.now += ms
        await self.set_clock(self.now)

    async def declare(self, queue: str = QUEUE, /, **settings: Any) -> None:
        await self.declare_settings(Settings(**settings), queue)

    async def declare_settings(self, settings: Settings, queue: str = QUEUE) -> Declared:
        """Under an edition that no declaration had."""
        self.editions += 1
        return await self.store.do(Declare(queue, settings, f"edition{self.editions}"))

    async def purge(self, queue: str = QUEUE) -> None:
        """Remove the queue, whatever its edition."""
        await purged(self.store, queue)

    async def worker(
        self,
        incarnation: str = "w1",
        *functions: str,
        queue: str = QUEUE,
        ttl_ms: int = PRESENCE_MS,
        slots: int = 0,
    ) -> Worker:
        """A process that announced itself and can run these functions (without any: `f`)."""
        worker = Worker(self.store, incarnation, queue, SlotLimit(slots))
        assert await worker.announce(*(functions or ("f",)), ttl_ms=ttl_ms) is Word.DONE
        return worker

    async def submit(self, *task_ids: str, queue: str = QUEUE, **options: Any) -> None:
        """Store tasks, each in a group of its own."""
        groups = [group(call(task_id, **options)) for task_id in task_ids]
        submitted = await self.store.submit(queue, groups)
        assert {outcome.word for outcome in submitted.outcomes} == {Word.DONE}

    async def try_submit(self, *groups: Group, queue: str = QUEUE) -> list[GroupOutcome]:
        return list((await self.store.submit(queue, groups)).outcomes)

    async def submit_and_claim(
        self, groups: Sequence[Group], request: ClaimRequest, queue: str = QUEUE
    ) -> Submitted:
        return await self.store.submit(queue, groups, Along(claim=request))

    async def find(self, task_id: str) -> Task | None:
        (found,) = await self.store.do(Find([task_id]))
        return readable(found)

    async def task(self, task_id: str) -> Task:
        """The record of a task that must be there."""
        task = await self.find(task_id)
        assert task is not None, f"no record of {task_id!r}"
        return task

    async def status(self, queue: str = QUEUE) -> QueueStatus:
        status = await self.store.do(Status(queue))
        assert status is not None
        return status

    async def waiting(self, queue: str = QUEUE) -> int:
        return sum((await self.status(queue)).waiting.values())

    async def control(self, command: Command, *, queue: str = QUEUE) -> Word:
        """A command under the next sequence of one person."""
        self.controls += 1
        return await self.store.do(Control(queue, command, "person", self.controls))

    async def cancel(self, task_id: str, *, life: Life | None = None, queue: str = QUEUE) -> Word:
        return await self.store.do(Cancel(queue, task_id, life))

    async def hasten(self, task_id: str, *, life: Life | None = None, queue: str = QUEUE) -> Word:
        return await self.store.do(Hasten(queue, task_id, life))

    async def replay(self, task_id: str, *, life: Life | None = None, queue: str = QUEUE) -> Word:
        return await self.store.do(Replay(queue, task_id, life))

    async def sweep(self, limit: int = 100, *, queue: str = QUEUE) -> Swept:
        return await self.store.do(Sweep(queue, limit, PRESENCE_MS, self.now))

    async def listen(self, incarnation: str) -> Listener:
        """Hear what the store tells this incarnation; closed with the scene."""
        listener = Listener(self.new_wakeup())
        await listener.wakeup.listen(incarnation, listener.told.put_nowait)
        self.listeners.append(listener)
        return listener

    async def close(self) -> None:
        for listener in self.listeners:
            await listener.wakeup.close()
        await self.store.close()
