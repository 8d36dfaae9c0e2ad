"""Submitting: the calls of one moment share a round trip (group commit), each group all or nothing
with its own outcome. One that is awaited while nothing else is on its way goes at once.

A call that got no answer is repeated with the same identity, which can't make a duplicate; after
`patience` seconds the caller is told what is known. Cancelling a caller cancels no submit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Protocol

import attrs

from kew.app.info import moment
from kew.app.lanes import Claim
from kew.app.ports import Ambiguous, Refused, StoreError, Submitted, TaskStore
from kew.app.repeat import pauses
from kew.app.spawning import spawn
from kew.app.worker import Worker
from kew.compat import override
from kew.domain.requests import ClaimRequest, Group, GroupOutcome, Word
from kew.domain.values import maker
from kew.log import logger

MOST_TASKS = 1000
MOST_BYTES = 8 * 1024 * 1024
IN_FLIGHT = 2  # round trips at once: one is on its way while the next one fills
FULL_IN_FLIGHT = 6  # waiting brings these nothing; two of eight connections are left
TURNS = 3  # of the loop, in which whoever was told goes on, and sends what comes next: most do so in one
SHUT_DOWN = "the manager was shut down before there was an answer"
UNREADABLE = "the store's answer could not be read; the log has its traceback"
UNREADABLE_HERE = "the answer to a submit can't be read"
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

    `claim` goes along, until it is taken or pursued. Without an answer it is repeated until `give_up_at`, in the loop's
    time.
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
        outcomes, answer = submitted.outcomes, None
        if len(outcomes) != len(self.waiters):
            raise AssertionError(f"{len(outcomes)} outcomes of {len(self.waiters)} groups")
        for waiter, outcome in zip(self.waiters, outcomes, strict=True):
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
        restore: Callable[[], Awaitable[None]] | None,
    ) -> None:
        self._queue = queue
        self._store = store
        self._patience = patience
        self._worker = worker
        self._restore = restore
        self._pending: list[Waiter] = []
        self._pending_tasks = 0
        self._is_scheduled = False
        self._is_closed = False
        # With what brings, or looks for, its answer.
        self._underway: dict[Trip, asyncio.Future[Any]] = {}
        self._ended = 0  # round trips, so far

    def send(self, waiter: Waiter) -> None:
        """Let it know what the store says of its group. The group of a cancelled one is sent all the same."""
        if self._is_closed:
            waiter.unanswered(closed())
            return
        self._pending.append(waiter)
        self._pending_tasks += waiter.tasks
        if self._pending_tasks >= self.most_tasks:
            self._flush()  # the store can work on it while others are still being submitted
        else:
            self._schedule()

    def hurry(self) -> None:
        """Somebody waits for a submit: where nothing is on its way, and nothing else about to be, it goes now."""
        if len(self._pending) == 1 and not self._underway:
            self._send(self._next_trip())

    async def drain(self) -> None:
        """Wait until nothing is on its way, nor about to be."""
        seen = -1
        while self._underway or self._pending or seen != self._ended:
            if self._underway:
                await asyncio.wait(self._underway.values())
            seen = self._ended
            for _ in range(TURNS):
                await asyncio.sleep(0)

    async def close(self) -> None:
        """Give up what has no answer yet, and tell those who wait for it, whatever becomes of this call."""
        self._is_closed = True
        waiting, self._pending = Trip(self._pending, self._pending_tasks), []
        self._pending_tasks = 0
        waiting.fail(closed())
        underway = dict(self._underway)
        for trip, answer in underway.items():
            if answer.cancel():  # else it has come in this turn, and will be told
                self._give_up(trip)
        await asyncio.gather(*underway.values(), return_exceptions=True)

    def _schedule(self) -> None:
        """Flush in the loop's next turn: what else is submitted in this one goes along."""
        if not self._is_scheduled and (not self._underway or self._may_go):
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush_scheduled)

    @property
    def _may_go(self) -> bool:
        """Another round trip may be on its way."""
        is_full = self._pending_tasks >= self.most_tasks
        return len(self._underway) < (FULL_IN_FLIGHT if is_full else IN_FLIGHT)

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
        trip.give_up_at = asyncio.get_running_loop().time() + self._patience
        heard = partial(self._heard, trip)
        try:
            claim = self._claim(trip)
            self._underway[trip] = self._store.post(self._queue, trip, claim, heard)
        except Exception as error:  # noqa: BLE001 - a bug: it is logged, and those who wait are told
            self._cannot_go_on(trip, error, "a submit can't be sent")

    def _claim(self, trip: Trip) -> ClaimRequest | None:
        """A claim goes along where slots are free."""
        if self._worker is None:
            return None
        trip.claim = self._worker.reserve(most=trip.tasks)
        return trip.claim.request if trip.claim else None

    def _heard(self, trip: Trip, posted: asyncio.Future[Submitted]) -> None:
        """What comes of it has the context of whoever made the store's connection, and not of whoever submitted."""
        if trip not in self._underway:
            return  # it was given up
        try:
            if posted.cancelled():
                self._give_up(trip)
            elif posted.exception() is None and not self._is_forgotten(posted.result()):
                self._tell(trip, posted.result(), is_certain=True)
            elif self._is_closed:
                self._give_up(trip)
            else:
                self._look_after(trip, posted)
        except Exception as error:  # noqa: BLE001 - it is logged, and those who wait are told
            self._cannot_go_on(trip, error, UNREADABLE_HERE)

    def _look_after(self, trip: Trip, posted: asyncio.Future[Submitted]) -> None:
        task = spawn(self._deliver(trip, posted))
        if trip in self._underway:  # it has not ended in its first step
            self._underway[trip] = task

    def _is_forgotten(self, submitted: Submitted) -> bool:
        """This process declared the queue, and the store lost it."""
        outcomes = submitted.outcomes
        is_lost = bool(outcomes) and outcomes[0].word is Word.NO_QUEUE
        return is_lost and self._restore is not None

    def _tell(self, trip: Trip, submitted: Submitted, *, is_certain: bool) -> None:
        try:
            self._take(trip, submitted)
        finally:  # a task that begins there may raise what ends the loop
            try:
                trip.tell(submitted, is_certain)
            finally:
                self._end(trip)

    def _cannot_go_on(self, trip: Trip, error: Exception, why: str) -> None:
        """A bug, or a stranger's bytes in the store: those who wait are told, and the next piece goes out."""
        logger.error("queue %s: %s", self._queue, why, exc_info=error)
        self._pursue_claim(trip)
        trip.fail(_given_up(Ambiguous(UNREADABLE)))
        self._end(trip)

    def _give_up(self, trip: Trip) -> None:
        """Nobody will hear what the store says of it."""
        self._pursue_claim(trip)
        trip.fail(_cut_off())
        self._end(trip)

    def _end(self, trip: Trip) -> None:
        if self._underway.pop(trip, None) is not None:
            self._ended += 1
            if self._pending:
                self._schedule()

    async def _deliver(self, trip: Trip, posted: asyncio.Future[Submitted]) -> None:
        """Tell those who wait, also where the first answer is none."""
        try:
            submitted, is_certain = await self._answered(trip, posted)
            self._tell(trip, submitted, is_certain=is_certain)
        except Unanswered as error:
            trip.fail(error)
            self._end(trip)
        except Exception as error:  # noqa: BLE001 - it is logged, and those who wait are told
            self._cannot_go_on(trip, error, UNREADABLE_HERE)
        except BaseException:
            self._underway.pop(trip, None)
            trip.fail(_cut_off())
            raise

    async def _answered(
        self, trip: Trip, posted: asyncio.Future[Submitted]
    ) -> tuple[Submitted, bool]:
        """The store's answer, and whether it is certain."""
        submitted, is_certain = await self._said(trip, posted)
        if self._restore is None or not self._is_forgotten(submitted):
            return submitted, is_certain
        self._take(trip, submitted)
        try:
            await self._restore()
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

    def _take(self, trip: Trip, submitted: Submitted) -> None:
        claim, trip.claim = trip.claim, None
        if claim is not None and self._worker is not None and submitted.grant is not None:
            self._worker.take(claim, submitted.grant)

    def _pursue_claim(self, trip: Trip) -> None:
        claim, trip.claim = trip.claim, None
        if claim is not None and self._worker is not None:
            self._worker.pursue(claim)

    async def _repeated(self, trip: Trip, error: StoreError) -> tuple[Submitted, bool]:
        """The answer to a submit that had none but `error`, and whether it is certain."""
        again, is_ambiguous = pauses(), isinstance(error, Ambiguous)
        while True:
            if isinstance(error, Refused):
                self._pursue_claim(trip)  # a store that is full still has work for it
            pause = next(again)
            if asyncio.get_running_loop().time() + pause > trip.give_up_at:
                raise Unanswered(error, is_ambiguous=is_ambiguous) from error
            logger.warning("queue %s: submit not answered, repeating: %s", self._queue, error)
            await asyncio.sleep(pause)
            try:
                request = trip.claim.request if trip.claim else None
                return await self._store.submit(self._queue, trip, request), not is_ambiguous
            except StoreError as another:
                error = another
                is_ambiguous |= isinstance(error, Ambiguous)
