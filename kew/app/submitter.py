"""Submitting: the calls of one moment share a round trip (group commit), each group all or nothing
with its own outcome.

A call that got no answer is repeated with the same identity, which can't make a duplicate; after
`patience` seconds the caller is told what is known. Cancelling a caller cancels no submit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import attrs

from kew.app.lanes import Claim
from kew.app.ports import Ambiguous, Refused, StoreError, Submitted, TaskStore
from kew.app.spawning import spawn
from kew.app.worker import Worker
from kew.domain.requests import Group, GroupOutcome, Word

logger = logging.getLogger("kew")
MOST_TASKS = 1000
MOST_BYTES = 8 * 1024 * 1024
IN_FLIGHT = 2  # round trips at once: one is on its way while the next one fills
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
SHUT_DOWN = "the manager was shut down before there was an answer"
UNREADABLE = "the store's answer could not be read; the log has its traceback"


@attrs.frozen
class Answer:
    """What the store said of a group, and when by its clock.

    `is_certain`: no earlier sending of it is without an answer, which may yet arrive and do what this one did not.
    """

    outcome: GroupOutcome
    now_ms: int
    is_certain: bool = True


class Unanswered(Exception):
    """No answer within the patience. `is_ambiguous`: the group may have been stored."""

    def __init__(self, cause: StoreError, *, is_ambiguous: bool) -> None:
        super().__init__(str(cause))
        self.is_ambiguous = is_ambiguous


class Waiter(Protocol):
    """Who waits for the answer to a group; told at most once, unless it was done before (cancelled)."""

    def done(self) -> bool: ...

    def answered(self, answer: Answer, /) -> None: ...

    def unanswered(self, error: Unanswered, /) -> None: ...


class Trip:
    """Groups that share a round trip, and who waits for each. (Two lists: an object less for each of thousands.)"""

    __slots__ = ("groups", "waiters")

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self.waiters: list[Waiter] = []

    def cut(self, count: int) -> Trip:
        """The first ones, taken out."""
        taken = Trip()
        taken.groups, self.groups = self.groups[:count], self.groups[count:]
        taken.waiters, self.waiters = self.waiters[:count], self.waiters[count:]
        return taken

    def tell(self, submitted: Submitted, is_certain: bool) -> None:
        """Each of them has an answer."""
        answer = None
        for waiter, outcome in zip(self.waiters, submitted.outcomes, strict=True):
            if answer is None or answer.outcome is not outcome:  # most are one and the same
                answer = Answer(outcome, submitted.now_ms, is_certain)
            if not waiter.done():
                waiter.answered(answer)

    def fail(self, error: Unanswered) -> None:
        """None of them has an answer, unless it was told before."""
        for waiter in self.waiters:
            if not waiter.done():
                waiter.unanswered(error)


def _given_up(cause: StoreError) -> Unanswered:
    return Unanswered(cause, is_ambiguous=isinstance(cause, Ambiguous))


def _bytes_of(group: Group) -> int:
    return sum([len(call.payload) + len(call.id) for call in group.submissions])


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
        self._pending = Trip()
        self._in_flight = 0
        self._is_scheduled = False
        self._is_closed = False
        self._trips: dict[asyncio.Task[None], Trip] = {}

    def send(self, group: Group, waiter: Waiter) -> None:
        """Let the waiter know what the store says. The submit goes on where the waiter is done before (cancelled)."""
        if self._is_closed:
            waiter.unanswered(_given_up(Refused(SHUT_DOWN)))
            return
        self._pending.groups.append(group)
        self._pending.waiters.append(waiter)
        if len(self._pending.groups) >= self.most_tasks and self._in_flight < IN_FLIGHT:
            self._flush()  # it is full: the store can work on it while others are still being submitted
        else:
            self._schedule()

    def _schedule(self) -> None:
        """Flush in the loop's next turn: what else is submitted in this one goes along."""
        if self._pending.groups and not self._is_scheduled and self._in_flight < IN_FLIGHT:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush_scheduled)

    async def drain(self) -> None:
        """Wait until nothing is on its way, nor about to be."""
        while self._trips or self._pending.groups:
            await (asyncio.wait(self._trips) if self._trips else asyncio.sleep(0))

    async def close(self) -> None:
        """Give up what has no answer yet, and tell those who wait for it."""
        self._is_closed = True
        waiting, self._pending = self._pending, Trip()
        trips = dict(self._trips)
        for task in trips:
            task.cancel()
        await asyncio.gather(*trips, return_exceptions=True)
        for trip in (waiting, *trips.values()):  # one whose task had not begun yet has told nobody
            trip.fail(_given_up(Refused(SHUT_DOWN)))

    def _flush_scheduled(self) -> None:
        self._is_scheduled = False
        self._flush()

    def _flush(self) -> None:
        while self._pending.groups and self._in_flight < IN_FLIGHT:
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
        tasks = size = count = 0
        for group in self._pending.groups:
            tasks += len(group.submissions)
            size += _bytes_of(group)
            if count and (tasks > self.most_tasks or size > MOST_BYTES):
                break
            count += 1
        return self._pending.cut(count)

    async def _deliver(self, trip: Trip) -> None:
        try:
            trip.tell(*await self._answered(trip.groups))
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

    async def _answered(self, groups: Sequence[Group]) -> tuple[Submitted, bool]:
        """The store's answer, and whether it is certain."""
        submitted, is_certain = await self._sent(groups)
        if submitted.outcomes[0].word is not Word.NO_QUEUE or self._redeclare is None:
            return submitted, is_certain
        try:
            await self._redeclare()  # this process declared the queue, and the store lost it
        except StoreError as error:
            raise Unanswered(error, is_ambiguous=not is_certain) from error
        try:
            submitted, is_certain_now = await self._sent(groups)
        except Unanswered as error:
            error.is_ambiguous |= not is_certain
            raise
        return submitted, is_certain and is_certain_now

    async def _sent(self, groups: Sequence[Group]) -> tuple[Submitted, bool]:
        """One asking, repeated until there is an answer; a claim goes along where slots are free."""
        claim = self._claim(groups)
        give_up_at = asyncio.get_running_loop().time() + self._patience
        try:
            try:
                request = claim.request if claim else None
                submitted, is_certain = await self._store.submit(self._queue, groups, request), True
            except StoreError as error:
                submitted, is_certain = await self._repeated(groups, claim, error, give_up_at)
        except (Exception, asyncio.CancelledError):  # not where the event loop has gone
            if claim is not None and self._worker is not None:
                self._worker.pursue(claim)
            raise
        if claim is not None and self._worker is not None and submitted.grant is not None:
            self._worker.take(claim, submitted.grant)
        return submitted, is_certain

    def _claim(self, groups: Sequence[Group]) -> Claim | None:
        if self._worker is None:
            return None
        return self._worker.reserve(most=sum([len(group.submissions) for group in groups]))

    async def _repeated(
        self, groups: Sequence[Group], claim: Claim | None, error: StoreError, give_up_at: float
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
                return await self._store.submit(self._queue, groups, request), not is_ambiguous
            except StoreError as again:
                error = again
                is_ambiguous |= isinstance(error, Ambiguous)
