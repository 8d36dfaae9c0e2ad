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
from typing import Any, Protocol

import attrs

from kew.app.info import moment
from kew.app.lanes import Claim
from kew.app.ports import Ambiguous, Refused, StoreError, Submitted, TaskStore
from kew.app.spawning import spawn
from kew.app.worker import Worker
from kew.compat import override
from kew.domain.requests import ClaimRequest, Group, GroupOutcome, Word
from kew.domain.values import maker

logger = logging.getLogger("kew")
MOST_TASKS = 1000
MOST_BYTES = 8 * 1024 * 1024
IN_FLIGHT = 2  # round trips at once: one is on its way while the next one fills
FULL_IN_FLIGHT = 6  # waiting brings these nothing; two of eight connections are left
TURNS = 3  # of the loop, within which whoever was told has gone on, and sent what comes next
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
SHUT_DOWN = "the manager was shut down before there was an answer"
UNREADABLE = "the store's answer could not be read; the log has its traceback"
STORED = (Word.DONE, Word.SAME)


@attrs.frozen(weakref_slot=False)
class Answer:
    """What the store said of a group, and when by its clock.

    `is_certain`: no earlier sending of it is without an answer, which may yet arrive and do what this one did not.
    """

    outcome: GroupOutcome
    now: datetime | None
    is_stored: bool
    is_certain: bool = True


_answer = maker(Answer)


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
    """The groups that share a round trip, each made when it is sent: those of thousands in flight are not kept.

    `claim` goes along; without an answer it is repeated until `give_up_at`, in the loop's time.
    """

    __slots__ = ("claim", "give_up_at", "tasks", "waiters")

    def __init__(self, waiters: Sequence[Waiter], tasks: int) -> None:
        self.waiters = waiters
        self.tasks = tasks
        self.claim: Claim | None = None
        self.give_up_at = 0.0

    @override
    def __len__(self) -> int:
        return len(self.waiters)

    @override
    def __contains__(self, group: object) -> bool:
        return group in list(self)

    @override
    def __iter__(self) -> Iterator[Group]:
        return iter([waiter.group() for waiter in self.waiters])

    def tell(self, submitted: Submitted, is_certain: bool) -> None:
        """Each of them has an answer."""
        answer = None
        for waiter, outcome in zip(self.waiters, submitted.outcomes, strict=True):
            if answer is None or answer.outcome is not outcome:  # most are one and the same
                is_stored = outcome.word in STORED
                answer = _answer(outcome, moment(submitted.now_ms), is_stored, is_certain)
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


def _cut_off() -> Unanswered:
    """It was sent, and nobody waits for the answer any more."""
    return _given_up(Ambiguous(SHUT_DOWN))


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
        self._told = 0  # round trips, so far
        self._is_scheduled = False
        self._is_closed = False
        self._trips: dict[asyncio.Future[Any], Trip] = {}

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
        if not self._is_scheduled and self._may_go:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush_scheduled)

    def hurry(self) -> None:
        """Somebody waits for a submit: where nothing is on its way, and nothing else about to be, it goes now."""
        if len(self._pending) == 1 and not self._in_flight:
            self._send(self._next_trip())

    async def drain(self) -> None:
        """Wait until nothing is on its way, nor about to be."""
        seen = -1
        while self._trips or self._pending or seen != self._told:
            if self._trips:
                await asyncio.wait(self._trips)
            seen = self._told
            for _ in range(TURNS):
                await asyncio.sleep(0)

    async def close(self) -> None:
        """Give up what has no answer yet, and tell those who wait for it."""
        self._is_closed = True
        waiting, self._pending = Trip(self._pending, self._pending_tasks), []
        self._pending_tasks = 0
        waiting.fail(closed())
        trips = dict(self._trips)
        for posted in trips:
            posted.cancel()
        await asyncio.gather(*trips, return_exceptions=True)
        for trip in trips.values():  # a task that had not begun yet has told nobody
            trip.fail(_cut_off())

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
            self._send(self._next_trip())

    def _next_trip(self) -> Trip:
        """As many groups, in order, as fit one round trip; at least one."""
        if len(self._pending) == 1:
            taken, tasks = self._pending, self._pending[0].tasks
            self._pending, self._pending_tasks = [], 0
            return Trip(taken, tasks)
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

    # --- a round trip: told at once where all goes well; whatever else there is to do is done by a task

    def _send(self, trip: Trip) -> None:
        self._in_flight += 1
        trip.give_up_at = asyncio.get_running_loop().time() + self._patience
        request = self._claim(trip) if self._worker is not None else None
        try:
            posted = self._store.post(self._queue, trip, request, self._heard)
        except Exception as error:  # noqa: BLE001 - a bug: it is logged, and those who wait are told
            self._pursue_claim(trip)
            self._cannot_read(trip, error)
            self._ended()
        else:
            self._trips[posted] = trip

    def _claim(self, trip: Trip) -> ClaimRequest | None:
        """A claim goes along where slots are free."""
        if self._worker is None:
            return None
        trip.claim = self._worker.reserve(most=trip.tasks)
        return trip.claim.request if trip.claim else None

    def _heard(self, posted: asyncio.Future[Submitted]) -> None:
        trip = self._trips.pop(posted)
        if posted.cancelled():
            self._pursue_claim(trip)
            trip.fail(_cut_off())
            self._ended()
        elif posted.exception() is None and not self._is_forgotten(posted.result()):
            self._tell(trip, posted.result(), is_certain=True)
            self._ended()
        else:
            task = spawn(self._deliver(trip, posted))
            self._trips[task] = trip
            task.add_done_callback(self._trips.pop)

    def _is_forgotten(self, submitted: Submitted) -> bool:
        """This process declared the queue, and the store lost it."""
        return submitted.outcomes[0].word is Word.NO_QUEUE and self._redeclare is not None

    def _tell(self, trip: Trip, submitted: Submitted, *, is_certain: bool) -> None:
        try:
            if trip.claim is not None:
                self._take(trip, submitted)
            trip.tell(submitted, is_certain)
        except Exception as error:  # noqa: BLE001 - it is logged, and those who wait are told
            self._cannot_read(trip, error)

    def _cannot_read(self, trip: Trip, error: Exception) -> None:
        """A bug, or a stranger's bytes in the store: those who wait are told, and the next piece goes out."""
        logger.error("queue %s: the answer to a submit can't be read", self._queue, exc_info=error)
        trip.fail(_given_up(Ambiguous(UNREADABLE)))

    def _ended(self) -> None:
        self._in_flight -= 1
        self._told += 1
        if self._pending:
            self._schedule()

    async def _deliver(self, trip: Trip, posted: asyncio.Future[Submitted]) -> None:
        """Tell those who wait, also where the first answer is none."""
        try:
            submitted, is_certain = await self._answered(trip, posted)
        except Unanswered as error:
            trip.fail(error)
        except Exception as error:  # noqa: BLE001 - it is logged, and those who wait are told
            self._cannot_read(trip, error)
        except BaseException:
            trip.fail(_cut_off())
            raise
        else:
            self._tell(trip, submitted, is_certain=is_certain)
        finally:
            self._ended()

    async def _answered(
        self, trip: Trip, posted: asyncio.Future[Submitted]
    ) -> tuple[Submitted, bool]:
        """The store's answer, and whether it is certain."""
        submitted, is_certain = await self._said(trip, posted)
        if self._redeclare is None or not self._is_forgotten(submitted):
            return submitted, is_certain
        self._take(trip, submitted)
        try:
            await self._redeclare()
        except StoreError as error:
            raise Unanswered(error, is_ambiguous=not is_certain) from error
        trip.give_up_at = asyncio.get_running_loop().time() + self._patience
        again = self._store.submit(self._queue, trip, self._claim(trip))
        try:
            submitted, is_certain_now = await self._said(trip, again)
        except Unanswered as error:
            error.is_ambiguous |= not is_certain
            raise
        return submitted, is_certain and is_certain_now

    async def _said(self, trip: Trip, asked: Awaitable[Submitted]) -> tuple[Submitted, bool]:
        """The answer to one asking, repeated until there is one."""
        try:
            try:
                return await asked, True
            except StoreError as error:
                return await self._repeated(trip, error)
        except (Exception, asyncio.CancelledError):  # not where the event loop has gone
            self._pursue_claim(trip)
            raise

    def _pursue_claim(self, trip: Trip) -> None:
        if trip.claim is not None and self._worker is not None:
            self._worker.pursue(trip.claim)

    def _take(self, trip: Trip, submitted: Submitted) -> None:
        if trip.claim is not None and self._worker is not None and submitted.grant is not None:
            self._worker.take(trip.claim, submitted.grant)

    async def _repeated(self, trip: Trip, error: StoreError) -> tuple[Submitted, bool]:
        """The answer to a submit that had none but `error`, and whether it is certain."""
        request = trip.claim.request if trip.claim else None
        pause, is_ambiguous = FIRST_PAUSE, isinstance(error, Ambiguous)
        while True:
            if asyncio.get_running_loop().time() + pause > trip.give_up_at:
                raise Unanswered(error, is_ambiguous=is_ambiguous) from error
            logger.warning("queue %s: submit not answered, repeating: %s", self._queue, error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            try:
                return await self._store.submit(self._queue, trip, request), not is_ambiguous
            except StoreError as again:
                error = again
                is_ambiguous |= isinstance(error, Ambiguous)
