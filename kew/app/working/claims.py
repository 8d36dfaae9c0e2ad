"""Claiming for the free slots of one queue: when, for how many, and what becomes of the answers.

The rules are those of the protocol: a claim in flight is never cancelled; slots are reserved before it is sent; one
that isn't answered is repeated under its own identity.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from kew.app.ports import TaskStore, Uptime
from kew.app.repeat import until_answered
from kew.app.working.alarm import Alarm
from kew.app.working.capacity import Capacity
from kew.app.working.lanes import Claim, Lanes
from kew.app.working.losses import Losses
from kew.app.working.slots import Slots
from kew.domain.config import QueueConfig, to_ms
from kew.domain.requests import Grant, Word
from kew.domain.task import Task
from kew.log import logger

# Seconds without claims after a run could not be started: the next one would hardly fare better.
REST = 1.0
GRANTED = (Word.DONE, Word.SAME)
AFTER_UNREADABLE = 1.0  # seconds until it claims again, so that a reply that stays so costs little


class Claims:
    """The claims of one worker. `admit` starts what one brings, of which `sent_at` is an instant of `uptime`.

    `restore` announces the queue, this process and its functions; `compare` looks at what the store said of them.
    """

    def __init__(
        self,
        config: QueueConfig,
        slots: Slots,
        *,
        lanes: Lanes,
        store: TaskStore,
        capacity: Capacity,
        losses: Losses,
        uptime: Uptime,
        admit: Callable[[Sequence[Task], float], None],
        restore: Callable[[], Coroutine[Any, Any, None]],
        compare: Callable[[Grant], None],
    ) -> None:
        self.priority = int(config.priority)
        self.missing = 0
        self.alarm = Alarm(self.wake)
        self.incarnation = lanes.incarnation
        self._queue = config.name
        self._lease_ms = to_ms(config.lease)
        self._slots = slots
        self._lanes = lanes
        self._store = store
        self._capacity = capacity
        self._losses = losses
        self._uptime = uptime
        self._admit = admit
        self._restore = restore
        self._compare = compare
        self._has_begun = False
        self._resting_until = 0.0
        self._wake = asyncio.Event()
        self._is_wake_kept = False  # a wake found all slots reserved by claims on their way

    # --- life

    def begin(self) -> None:
        """Look for work: leases are extended from now on."""
        self._has_begun = True
        self._capacity.join(self)
        self.wake()

    def close(self) -> None:
        """Claim no more."""
        self.missing = 0

    def end(self) -> None:
        """Share no slots with other queues any more."""
        self._capacity.leave(self)
        self.alarm.cancel()

    @property
    def are_all_answered(self) -> bool:
        """No claim is on its way."""
        return self._lanes.are_all_free

    @property
    def is_idle(self) -> bool:
        """A slot is free and nothing is on its way."""
        return self._lanes.are_all_free and self._slots.load() < self._slots.size

    def load(self) -> int:
        """Slots in use or reserved."""
        return self._slots.load()

    # --- when

    def wake(self) -> None:
        """Look for work as soon as a slot is free."""
        self._wake.set()

    def freed(self) -> None:
        """Slots are free that no claim brought along fills."""
        self._capacity.freed()
        self.wake()

    def rest(self) -> None:
        """Claim nothing for a moment."""
        now = asyncio.get_running_loop().time()
        self._resting_until = now + REST
        self.alarm.set(REST)

    @property
    def _is_resting(self) -> bool:
        if not self._resting_until:
            return False
        left = self._resting_until - asyncio.get_running_loop().time()
        if left > 0:
            self.alarm.set(left)
            return True
        self._resting_until = 0.0
        return False

    async def claim_when_woken(self) -> None:
        """Claim at each wake, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                claim = self.reserve()
                if claim is not None:
                    await self._pursue(claim)
                else:
                    self._is_wake_kept = not self._lanes.are_all_free
            except Exception:
                # A bug must not end the claiming of this process.
                logger.exception("queue %s: claiming failed and goes on", self._queue)
                self.alarm.set(AFTER_UNREADABLE)

    # --- a claim

    def reserve(self, *, settling: int = 0, most: int | None = None) -> Claim | None:
        """A claim for the free slots, and for those that `settling` runs are about to leave.

        None: no slot or no lane, or this has not begun or is to end, so that leases would not be extended.
        """
        slots = self._slots
        if slots.is_closing or not self._has_begun or (self._resting_until and self._is_resting):
            return None
        free = slots.size - slots.load() + settling
        offered = self._capacity.offer(self, max(0, free), settling=settling)
        want = offered if most is None else min(offered, most)
        if want <= 0:
            return None
        reserved = max(0, want - settling)
        claim = self._lanes.claim(
            want=want,
            slots=reserved,
            lease_ms=self._lease_ms,
            has_room=offered > want,
            holds=len(slots) - settling,
            now=asyncio.get_running_loop().time(),
            uptime=self._uptime(),
        )
        if claim is not None:
            slots.reserve(reserved)
        return claim

    def pursue(self, claim: Claim) -> None:
        """The call that carried this claim gave up: ask for its answer until it comes, or this worker ends."""
        if not self._slots.is_over:
            self._slots.background.begin(self._pursue(claim))

    async def _pursue(self, claim: Claim) -> None:
        """However long it takes: shutdown alone cancels this, after its time was up."""
        queue = self._queue
        try:
            grant = await until_answered(
                f"queue {queue}: claim", lambda: self._store.claim(queue, claim.request)
            )
        except Exception:
            # A bug, or foreign bytes in the store: it must not end the claiming of this process.
            logger.exception("queue %s: the answer to a claim can't be read", queue)
            self.forsake(claim)
        else:
            self.take(claim, grant)

    def want_no_more(self) -> None:
        """As far as is known, no task waits for a slot here: what was left for this queue is free for others."""
        self.missing = 0
        self._capacity.freed()

    def forsake(self, claim: Claim) -> None:
        """This claim's answer can't be read: its leases will expire, as if the process had been lost."""
        self._lanes.unknown(claim)
        self.alarm.set(AFTER_UNREADABLE)
        self._slots.release(claim.slots)
        self.want_no_more()

    def take(self, claim: Claim, grant: Grant) -> None:
        """A claim was answered: free its lane and its reservation, and start what it brought."""
        self._slots.release(claim.slots)
        if grant.word is Word.NO_LANE:
            self._lanes.unknown(claim)
        else:
            self._lanes.answered(claim)
        if self._is_wake_kept:  # it came after the store had judged this claim, and it comes once
            self._is_wake_kept = False
            self.wake()
        try:
            if grant.word in GRANTED:
                self._granted(claim, grant)
            else:
                self.want_no_more()
                if not self._slots.is_closing:
                    self._slots.background.begin(self._return())
            if grant.lost:
                self._losses.report(grant.lost)
            if grant.expired:
                self._losses.report_expired(grant.expired)
        except Exception:
            # A bug: it must not reach whose call brought the claim along.
            logger.exception("queue %s: a claim's answer was not followed up", self._queue)
            self.alarm.set(AFTER_UNREADABLE)

    async def _return(self) -> None:
        """The store doesn't know the queue, this process or the lane: announce them, and claim again."""
        await until_answered(f"queue {self._queue}: announce", self._restore)
        self.wake()

    def _granted(self, claim: Claim, grant: Grant) -> None:
        if grant.tasks:
            self._admit(grant.tasks, claim.uptime)
        self._compare(grant)
        if len(grant.tasks) == claim.request.want:
            return
        self.want_no_more()
        if grant.wait_ms == 0:
            self.wake()
        else:
            seconds = None if grant.wait_ms is None else grant.wait_ms / 1000
            self.alarm.answered(seconds, asked_at=claim.sent_at)
