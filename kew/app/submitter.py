"""Submitting: the calls of one moment share a round trip (group commit), each group all or nothing
with its own outcome.

A call that got no answer is repeated with the same identity, which can't make a duplicate; after
`patience` seconds the caller is told what is known. Cancelling a caller cancels no submit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from datetime import datetime
from typing import Protocol

import attrs

from kew.app.info import moment
from kew.app.lanes import Claim
from kew.app.ports import Ambiguous, Refused, StoreError, Submitted, TaskStore
from kew.app.spawning import spawn
from kew.app.worker import Worker
from kew.compat import override
from kew.domain.requests import Group, GroupOutcome, Word

logger = logging.getLogger("kew")
MOST_TASKS = 1000
MOST_BYTES = 8 * 1024 * 1024
IN_FLIGHT = 2  # round trips at once: one is on its way while the next one fills
FULL_IN_FLIGHT = 6  # waiting brings these nothing; two of eight connections are left
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
SHUT_DOWN = "the manager was shut down before there was an answer"
UNREADABLE = "the store's answer could not be read; the log has its traceback"
STORED = (Word.DONE, Word.SAME)


@attrs.frozen
class Answer:
    """What the store said of a group, and when by its clock.

    `is_certain`: no earlier sending of it is without an answer, which may yet arrive and do what this one did not.
    """

    outcome: GroupOutcome
    now: datetime | None
    is_certain: bool = True
    is_stored: bool = attrs.field(init=False)

    @is_stored.default
    def _is_stored(self) -> bool:
        return self.outcome.word in STORED


class Unanswered(Exception):
    """No answer within the patience. `is_ambiguous`: the group may have been stored."""

    def __init__(self, cause: StoreError, *, is_ambiguous: bool) -> None:
        super().__init__(str(cause))
        self.is_ambiguous = is_ambiguous


class Waiter(Protocol):
    """A group, and who waits for its answer: told once, or never where it was cancelled."""

    @property
    def tasks(self) -> int:
        """How many the group has."""
        ...

    @property
    def size(self) -> int:
        """Its bytes, roughly."""
        ...

    def group(self) -> Group: ...

    def done(self) -> bool: ...

    def answered(self, answer: Answer, /) -> None: ...

    def unanswered(self, error: Unanswered, /) -> None: ...


class Trip(Collection[Group]):
    """The groups that share a round trip, each made when it is sent: those of thousands in flight are not kept."""

    __slots__ = ("tasks", "waiters")

    def __init__(self, waiters: Sequence[Waiter], tasks: int) -> None:
        self.waiters = waiters
        self.tasks = tasks

    @override
    def __len__(self) -> int:
        return len(self.waiters)

    @override
    def __contains__(self, group: object) -> bool:
        return group in list(self)

    @override
    def __iter__(self) -> Iterator[Group]:
        return (waiter.group() for waiter in self.waiters)

    def tell(self, submitted: Submitted, is_certain: bool) -> None:
        """Each of them has an answer."""
        answer = None
        for waiter, outcome in zip(self.waiters, submitted.outcomes, strict=True):
            if answer is None or answer.outcome is not outcome:  # most are one and the same
                answer = Answer(outcome, moment(submitted.now_ms), is_certain)
            if not waiter.done():
                waiter.answered(answer)

    def fail(self, error: Unanswered) -> None:
        """None of them has an answer, unless it was told before."""
        for waiter in self.waiters:
            if not waiter.done():
                waiter.unanswered(error)


def closed() -> Unanswered:
    """It was not sent, and won't be."""
    return _given_up(Refused(SHUT_DOWN))


def _given_up(cause: StoreError) -> Unanswered:
    return Unanswered(cause, is_ambiguous=isinstance(cause, Ambiguous))


class Outbox:
    """The submits of one queue that are waiting for a round trip."""

    most_tasks = MOST_TASKS  # in one

    def __init__(
        self,
        queue: str,
        store: TaskStore,
        *,
        patience: float,
        worker: Worker | None,
        redeclare: Callable[[], Awaitable[None]] | None,
    ) -> None:
        self._queue = queue
        self._store = store
        self._patience = patience
        self._worker = worker
        self._redeclare = redeclare
        self._pending: list[Waiter] = []
        self._pending_tasks = 0
        self._in_flight = 0
        self._is_scheduled = False
        self._is_closed = False
        self._trips: dict[asyncio.Task[None], Trip] = {}

    def send(self, waiter: Waiter) -> None:
        """Let it know what the store says of its group. The group of a cancelled one is sent all the same."""
        if self._is_closed:
            waiter.unanswered(closed())
            return
        self._pending.append(waiter)
        self._pending_tasks += waiter.tasks
        if self._pending_tasks >= self.most_tasks:
            self._flush()  # the store can work on it while others are still being submitted
        elif not self._is_scheduled:
            self._schedule()

    def _schedule(self) -> None:
        """Flush in the loop's next turn: what else is submitted in this one goes along."""
        if self._pending and not self._is_scheduled and self._may_go:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush_scheduled)

    async def drain(self) -> None:
        """Wait until nothing is on its way, nor about to be."""
        while self._trips or self._pending:
            await (asyncio.wait(self._trips) if self._trips else asyncio.sleep(0))

    async def close(self) -> None:
        """Give up what has no answer yet, and tell those who wait for it."""
        self._is_closed = True
        waiting, self._pending = Trip(self._pending, self._pending_tasks), []
        self._pending_tasks = 0
        trips = dict(self._trips)
        for task in trips:
            task.cancel()
        await asyncio.gather(*trips, return_exceptions=True)
        for trip in (waiting, *trips.values()):  # one whose task had not begun yet has told nobody
            trip.fail(closed())

    @property
    def _may_go(self) -> bool:
        """Another round trip may be on its way."""
        is_full = self._pending_tasks >= self.most_tasks
        return self._in_flight < (FULL_IN_FLIGHT if is_full else IN_FLIGHT)

    def _flush_scheduled(self) -> None:
        self._is_scheduled = False
        self._flush()

    def _flush(self) -> None:
        while self._pending and self._may_go:
            trip = self._next_trip()
            self._in_flight += 1
            task = spawn(self._deliver(trip))
            self._trips[task] = trip
            task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        """A turn after its end: by then those who waited for it have gone on, and sent what comes next."""
        del self._trips[task]

    def _next_trip(self) -> Trip:
        """As many groups, in order, as fit one round trip; at least one."""
        groups = tasks = size = 0
        for waiter in self._pending:
            size += waiter.size
            if groups and (tasks + waiter.tasks > self.most_tasks or size > MOST_BYTES):
                break
            groups += 1
            tasks += waiter.tasks
        taken, self._pending = self._pending[:groups], self._pending[groups:]
        self._pending_tasks -= tasks
        return Trip(taken, tasks)

    async def _deliver(self, trip: Trip) -> None:
        try:
            trip.tell(*await self._answered(trip))
        except Unanswered as error:
            trip.fail(error)
        except Exception:
            # A bug, or a stranger's bytes in the store: those who wait are told, and the next piece goes out.
            logger.exception("queue %s: the answer to a submit can't be read", self._queue)
            trip.fail(_given_up(Ambiguous(UNREADABLE)))
        except BaseException:
            trip.fail(_given_up(Ambiguous(SHUT_DOWN)))
            raise
        finally:
            self._in_flight -= 1
        self._schedule()

    async def _answered(self, trip: Trip) -> tuple[Submitted, bool]:
        """The store's answer, and whether it is certain."""
        submitted, is_certain = await self._sent(trip)
        if submitted.outcomes[0].word is not Word.NO_QUEUE or self._redeclare is None:
            return submitted, is_certain
        try:
            await self._redeclare()  # this process declared the queue, and the store lost it
        except StoreError as error:
            raise Unanswered(error, is_ambiguous=not is_certain) from error
        try:
            submitted, is_certain_now = await self._sent(trip)
        except Unanswered as error:
            error.is_ambiguous |= not is_certain
            raise
        return submitted, is_certain and is_certain_now

    async def _sent(self, trip: Trip) -> tuple[Submitted, bool]:
        """One asking, repeated until there is an answer; a claim goes along where slots are free."""
        claim = self._claim(trip)
        give_up_at = asyncio.get_running_loop().time() + self._patience
        try:
            try:
                request = claim.request if claim else None
                submitted, is_certain = await self._store.submit(self._queue, trip, request), True
            except StoreError as error:
                submitted, is_certain = await self._repeated(trip, claim, error, give_up_at)
        except (Exception, asyncio.CancelledError):  # not where the event loop has gone
            if claim is not None and self._worker is not None:
                self._worker.pursue(claim)
            raise
        if claim is not None and self._worker is not None and submitted.grant is not None:
            self._worker.take(claim, submitted.grant)
        return submitted, is_certain

    def _claim(self, trip: Trip) -> Claim | None:
        if self._worker is None:
            return None
        return self._worker.reserve(most=trip.tasks)

    async def _repeated(
        self, trip: Trip, claim: Claim | None, error: StoreError, give_up_at: float
    ) -> tuple[Submitted, bool]:
        """The answer to a submit that had none but `error`, before `give_up_at`; and whether it is certain."""
        request = claim.request if claim else None
        pause, is_ambiguous = FIRST_PAUSE, isinstance(error, Ambiguous)
        while True:
            if asyncio.get_running_loop().time() + pause > give_up_at:
                raise Unanswered(error, is_ambiguous=is_ambiguous) from error
            logger.warning("queue %s: submit not answered, repeating: %s", self._queue, error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            try:
                return await self._store.submit(self._queue, trip, request), not is_ambiguous
            except StoreError as again:
                error = again
                is_ambiguous |= isinstance(error, Ambiguous)
