"""Submitting: the calls of one moment share a round trip (group commit), each group all or nothing
with its own outcome. One that is awaited while nothing else is on its way goes at once.

A call that got no answer is repeated with the same identity, which can't make a duplicate. `patience` seconds after its
call the caller gets what is known, however many submits are ahead of its own. Cancelling a caller cancels no submit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from kew.app.ports import Ambiguous, Damaged, Refused, StoreError, Submitted, TaskStore
from kew.app.repeat import Failures, pauses
from kew.app.spawning import clean_context, spawn
from kew.app.submitting.fates import FATES, FIRST_SENT, Turn
from kew.app.submitting.trips import (
    Trip,
    Unanswered,
    Waiter,
    closed,
    cut_off,
    given_up,
    out_of_time,
)
from kew.app.working.settler import Settler
from kew.domain.requests import ALONE, Along, Word
from kew.log import logger

MOST_TASKS = 1000
MOST_BYTES = 1024 * 1024  # Redis does nothing else meanwhile
FOREVER = float("inf")
IN_FLIGHT = 2  # round trips at once: one is on its way while the next one fills
FULL_IN_FLIGHT = 6  # waiting brings these nothing; two of eight connections are left
TURNS = 3  # of the loop, in which callers that got an answer go on and send what comes next: most do so in one
UNREADABLE = "the store's answer could not be read; the log has its traceback"
UNREADABLE_HERE = "the answer to a submit can't be read"


# Long: the path of a submit from its call to its answer, with every way in which it may go wrong.
# Wide: each step is a method of its own.
class Outbox:
    """The submits of one queue that are waiting for a round trip."""

    most_tasks = MOST_TASKS  # in one

    def __init__(
        self,
        queue: str,
        store: TaskStore,
        *,
        settler: Settler | None,
        restore: Callable[[], Awaitable[None]] | None,
    ) -> None:
        self._queue = queue
        self._store = store
        self._settler = settler
        self._restore = restore
        self._pending: list[Waiter] = []
        self._pending_tasks = 0
        self._context = clean_context()
        self._is_scheduled = False
        self._is_closed = False
        # With what brings, or looks for, its answer.
        self._underway: dict[Trip, asyncio.Future[Any]] = {}
        self._ended = 0  # round trips, so far
        self._expiry: asyncio.TimerHandle | None = None
        self._expire_at = FOREVER

    def send(self, waiter: Waiter) -> None:
        """Let it know what the store says of its group. The group of a cancelled one is sent all the same."""
        if self._is_closed:
            waiter.unanswered(closed())
            return
        if waiter.give_up_at < self._expire_at:
            self._set_expiry(waiter.give_up_at)
        self._pending.append(waiter)
        self._pending_tasks += waiter.tasks
        if self._pending_tasks >= self.most_tasks:
            self._flush()  # the store can work on it while others are still being submitted
        else:
            self._schedule()

    def send_now(self) -> None:
        """A caller awaits a submit: if nothing is on its way, and nothing else is pending, send it now."""
        if len(self._pending) == 1 and not self._underway:
            self._send(self._next_trip())

    # --- callers whose time is over

    def _set_expiry(self, at: float) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        self._expire_at, self._expiry = at, None
        if at < FOREVER:
            loop = asyncio.get_running_loop()
            self._expiry = loop.call_at(at, self._expire, context=self._context)

    def _expire(self) -> None:
        """Give up the callers whose time is over, wherever their submits are."""
        now = asyncio.get_running_loop().time()
        unsent = Trip(self._pending, self._pending_tasks)
        unsent.expire(now)
        self._pending = list(unsent.waiters)
        self._pending_tasks = sum(waiter.tasks for waiter in self._pending)
        for trip in self._underway:
            trip.expire(now)
        waiting = [*self._pending, *(each for trip in self._underway for each in trip.waiters)]
        ends = (each.give_up_at for each in waiting if not each.done())
        self._set_expiry(min(ends, default=FOREVER))

    # --- the end

    @property
    def is_idle(self) -> bool:
        """Nothing is on its way, nor about to be."""
        return not (self._underway or self._pending or self._is_scheduled)

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
        """Give up what has no answer yet, and raise that for its callers, even if this call is cancelled."""
        self._is_closed = True
        self._set_expiry(FOREVER)
        waiting, self._pending = Trip(self._pending, self._pending_tasks), []
        self._pending_tasks = 0
        waiting.fail(closed())
        underway = dict(self._underway)
        for trip, answer in underway.items():
            if answer.cancel():  # otherwise it has come in this turn, and will be handled
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

    # --- a round trip: if all goes well, callers are answered at once; anything else is done by a task

    def _send(self, trip: Trip) -> None:
        trip.fate = FIRST_SENT
        # What the store begins for many callers must not have the context of one.
        run = self._context.copy().run
        heard = partial(run, self._heard, trip)  # type: ignore[call-arg]
        try:
            along = ALONE if self._settler is None else self._board(trip, self._settler)
            self._underway[trip] = run(self._store.post, self._queue, trip, along, heard)
        except Exception as error:  # noqa: BLE001 - a bug: it is logged, and the callers get an error
            self._cannot_go_on(trip, error, "a submit can't be sent")

    def _board(self, trip: Trip, settler: Settler) -> Along:
        """A claim goes along if slots are free, and with it the outcomes that wait."""
        trip.ride = settler.board(trip.tasks)
        trip.submitter = "" if trip.ride else settler.incarnation
        return trip.along

    def _heard(self, trip: Trip, posted: asyncio.Future[Submitted]) -> None:
        """The first sending has an answer, or none."""
        if trip not in self._underway:
            return  # it was given up
        try:
            if posted.cancelled():
                self._give_up(trip)
            elif posted.exception() is None and not self._is_forgotten(told := posted.result()):
                self._tell(trip, told)
            elif self._is_closed:
                self._give_up(trip)
            else:
                self._look_after(trip, posted)
        except Exception as error:  # noqa: BLE001 - it is logged, and the callers get an error
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

    def _tell(self, trip: Trip, submitted: Submitted) -> None:
        try:
            self._take(trip, submitted)
        finally:  # a task that begins there may raise what ends the loop
            try:
                trip.tell(submitted)
            finally:
                self._end(trip)

    def _cannot_go_on(self, trip: Trip, error: Exception, why: str) -> None:
        """A bug, or foreign bytes in the store: the callers get an error, and the next piece goes out."""
        logger.error("queue %s: %s", self._queue, why, exc_info=error)
        self._let_ride_go_on(trip)
        trip.fail(given_up(Ambiguous(UNREADABLE)))
        self._end(trip)

    def _give_up(self, trip: Trip) -> None:
        """Its answer will not be awaited."""
        self._let_ride_go_on(trip)
        trip.fail(cut_off())
        self._end(trip)

    def _end(self, trip: Trip) -> None:
        if self._underway.pop(trip, None) is not None:
            self._ended += 1
            if self._pending:
                self._schedule()

    async def _deliver(self, trip: Trip, posted: asyncio.Future[Submitted]) -> None:
        """Answer the callers, even if the first sending brought no answer."""
        try:
            self._tell(trip, await self._answered(trip, posted))
        except Unanswered as error:
            trip.fail(error)
            self._end(trip)
        except Exception as error:  # noqa: BLE001 - it is logged, and the callers get an error
            self._cannot_go_on(trip, error, UNREADABLE_HERE)
        except BaseException:
            self._underway.pop(trip, None)
            trip.fail(cut_off())
            raise

    async def _answered(self, trip: Trip, posted: asyncio.Future[Submitted]) -> Submitted:
        """The store's answer, after the queue was declared again if the store had lost it."""
        submitted = await self._said(trip, posted)
        if self._restore is None or not self._is_forgotten(submitted):
            return submitted
        self._take(trip, submitted)
        trip.fate = FATES[trip.fate, Turn.LOSS]
        try:
            await self._restore()
        except StoreError as error:
            raise trip.error_of(error) from error
        if not trip.waiters:
            raise out_of_time(is_ambiguous=False)
        trip.fate = FATES[trip.fate, Turn.SEND]
        if self._settler is not None:
            self._board(trip, self._settler)
        return await self._said(trip, self._store.submit(self._queue, trip, trip.along))

    async def _said(self, trip: Trip, sending: Awaitable[Submitted]) -> Submitted:
        """The answer to one sending, repeated until there is one."""
        try:
            try:
                return await sending
            except StoreError as error:
                return await self._repeated(trip, error)
        except (Exception, asyncio.CancelledError):  # not if the event loop has gone
            self._let_ride_go_on(trip)
            raise

    def _take(self, trip: Trip, submitted: Submitted) -> None:
        ride, trip.ride = trip.ride, None
        if ride is not None and self._settler is not None:
            self._settler.arrived(ride, submitted)
        if submitted.has_work and self._settler is not None:
            self._settler.work_waits()

    def _let_ride_go_on(self, trip: Trip) -> None:
        ride, trip.ride = trip.ride, None
        if ride is not None and self._settler is not None:
            self._settler.go_on(ride)

    async def _repeated(self, trip: Trip, error: StoreError) -> Submitted:
        """The answer to a submit that had none but `error`."""
        again, failures = pauses(), Failures(f"queue {self._queue}: submit not answered")
        was_damaged = False
        while True:
            trip.fate = FATES[trip.fate, _turn_of(error)]
            is_damaged = isinstance(error, Damaged)
            if is_damaged or isinstance(error, Refused):
                self._let_ride_go_on(trip)  # a store that is full still has work for it
            if is_damaged and was_damaged:  # also without the claim: time alone mends nothing
                raise trip.error_of(error) from error
            was_damaged = is_damaged
            pause = next(again)
            if asyncio.get_running_loop().time() + pause > trip.give_up_at:
                raise trip.error_of(error) from error
            if not is_damaged:  # else the next answer names the key
                failures.add(error)
            await asyncio.sleep(pause)
            if not trip.waiters:  # each gave up
                raise trip.error_of(error) from error
            trip.fate = FATES[trip.fate, Turn.SEND]
            try:
                submitted = await self._store.submit(self._queue, trip, trip.along)
            except StoreError as another:
                error = another
            else:
                failures.end()
                return submitted


def _turn_of(error: StoreError) -> Turn:
    return Turn.SILENCE if isinstance(error, Ambiguous) else Turn.REFUSAL
