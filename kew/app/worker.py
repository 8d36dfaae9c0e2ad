"""A queue's worker in this process: claims with free slots only, runs what it is granted, hands back the rest.

The rules are those of the protocol: a claim in flight is never cancelled; slots are reserved before it is sent; a slot
is free again when the outcome of its run was acknowledged; nothing starts under a lease that may have ended meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from kew.app.admission import Admission
from kew.app.alarm import Alarm
from kew.app.capacity import Capacity
from kew.app.executor import Executor, Outcome, Raised
from kew.app.keeper import MARGIN, Keeper
from kew.app.lanes import Claim, Lanes
from kew.app.ports import TaskStore
from kew.app.repeat import until_answered
from kew.app.reporter import Reporter
from kew.app.runs import Run, Stop
from kew.app.settler import Settler
from kew.app.spawning import Owned, spawn
from kew.domain.config import QueueConfig, Settings, to_ms
from kew.domain.events import Released
from kew.domain.requests import Grant, Word
from kew.domain.task import TaskStatus
from kew.log import logger

AFTER_UNREADABLE = 1.0  # seconds until it claims again, so that a reply that stays so costs little
CANCEL_GRACE = 2.0  # seconds that cancelled runs get at shutdown to end


class Worker:
    """One queue's slots in one process."""

    def __init__(
        self,
        config: QueueConfig,
        *,
        lanes: Lanes,
        store: TaskStore,
        executor: Executor,
        reporter: Reporter,
        capacity: Capacity,
        admission: Admission,
        restore: Callable[[], Coroutine[Any, Any, None]],
        refresh: Callable[[int], None],
    ) -> None:
        self.config = config
        self.priority = int(config.priority)
        self.unmet = 0
        self._lease_ms = to_ms(config.lease)
        self._store = store
        self._executor = executor
        self._reporter = reporter
        self._capacity = capacity
        self._admission = admission
        self._context = contextvars.copy_context()
        self._restore = restore
        self._refresh = refresh
        self._lanes = lanes
        self._slots = config.slots
        self._reserved = 0
        self._runs: dict[str, Run] = {}
        self._changed = asyncio.Event()
        self._wake = asyncio.Event()
        self._is_wake_kept = False  # a wake found all slots reserved by claims on their way
        self.alarm = Alarm(self.wake)
        self._is_closing = False
        self._is_over = False
        self.background = Owned(f"queue {config.name}", self._changed.set)
        self._settler = Settler(self, store, reporter)
        self._keeper = Keeper(self._runs, store, config)
        self._loops: list[asyncio.Task[None]] = []

    # --- life

    def start(self) -> None:
        """Begin to claim."""
        self._capacity.join(self)
        self._loops = [
            asyncio.create_task(self._claim_when_woken(), name=f"kew-claims-{self.config.name}"),
            asyncio.create_task(
                self._keeper.extend_regularly(), name=f"kew-leases-{self.config.name}"
            ),
        ]
        self.wake()

    def close(self) -> None:
        """Claim no more; what runs goes on."""
        self._is_closing = True
        self.unmet = 0

    async def stop(self, *, wait: bool, timeout: float) -> None:
        """Stop claiming, wait for running tasks, hand back what still runs, but threads and what refuses to end."""
        self.close()
        await self._until_quiet(timeout if wait else 0.0, lambda run: True)
        self._ask_all_to_stop()
        await self._until_quiet(CANCEL_GRACE, lambda run: run.is_settling or not run.is_thread)

    async def hear_out(self) -> None:
        """Wait a little for the answers to claims, and hand back what they bring."""
        await self._until_quiet(CANCEL_GRACE, lambda run: run.is_settling)

    def _ask_all_to_stop(self) -> None:
        for run in list(self._runs.values()):
            run.ask_to_stop(Stop.SHUTDOWN)

    async def _until_quiet(self, timeout: float, counts: Callable[[Run], bool]) -> None:
        """Until no run that counts goes on and nothing is on its way, at most `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while not self._is_quiet(counts):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            if timeout:
                left = ", ".join(repr(run.task.id) for run in self._runs.values()) or "(settling)"
                name = self.config.name
                logger.warning("queue %s: still running after %g s: %s", name, timeout, left)

    def _is_quiet(self, counts: Callable[[Run], bool]) -> bool:
        is_running = any(counts(run) for run in self._runs.values())
        return not is_running and self._lanes.are_all_free and not self.background

    async def end(self) -> None:
        """Have nothing to do with the store any more, at once; what still runs is told to stop."""
        self.close()
        self._is_over = True
        self._ask_all_to_stop()
        self._capacity.leave(self)
        self.alarm.cancel()
        self._keeper.close()
        owned = [*self._loops, *self.background]
        for task in owned:
            task.cancel()
        await asyncio.gather(*owned, return_exceptions=True)

    # --- claiming

    def load(self) -> int:
        """Slots in use or reserved."""
        return len(self._runs) + self._reserved

    @contextlib.contextmanager
    def holding(self, slots: int) -> Iterator[None]:
        """Keep so many slots from being reserved: what has been granted already takes them."""
        self._reserved += slots
        try:
            yield
        finally:
            self._reserved -= slots

    def wake(self) -> None:
        """Look for work as soon as a slot is free."""
        self._wake.set()

    @property
    def is_idle(self) -> bool:
        """It has a free slot and nothing on its way."""
        return self._lanes.are_all_free and self.load() < self._slots

    def reserve(self, *, settling: int = 0, most: int | None = None) -> Claim | None:
        """A claim for the free slots, and for those that `settling` runs are about to leave.

        None: no slot or no lane, or this has not begun or is to end: nobody would look after the leases.
        """
        if self._is_closing or not self._loops:
            return None
        free = self._slots - self.load() + settling
        offered = self._capacity.offer(self, max(0, free), settling=settling)
        want = offered if most is None else min(offered, most)
        if want <= 0:
            return None
        slots = max(0, want - settling)
        claim = self._lanes.claim(
            want=want,
            slots=slots,
            lease_ms=self._lease_ms,
            has_room=offered > want,
            holds=len(self._runs) - settling,
            now=asyncio.get_running_loop().time(),
        )
        if claim is not None:
            self._reserved += slots
        return claim

    async def _claim_when_woken(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            claim = self.reserve()
            if claim is not None:
                await self._pursue(claim)
            else:
                self._is_wake_kept = not self._lanes.are_all_free

    async def repeat_claim(self, claim: Claim) -> Grant:
        """The answer to a claim, however long it takes. Cancelled by shutdown alone, after its time was up."""
        queue = self.config.name
        return await until_answered(
            f"queue {queue}: claim", lambda: self._store.claim(queue, claim.request)
        )

    def pursue(self, claim: Claim) -> None:
        """The call that carried this claim gave up: ask for its answer until it comes, or this worker ends."""
        if not self._is_over:
            self.background.begin(self._pursue(claim))

    async def _pursue(self, claim: Claim) -> None:
        try:
            grant = await self.repeat_claim(claim)
        except Exception:
            # A bug, or a stranger's bytes in the store: it must not end the claiming of this process.
            logger.exception("queue %s: the answer to a claim can't be read", self.config.name)
            self.forsake(claim)
        else:
            self.take(claim, grant)

    def forsake(self, claim: Claim) -> None:
        """This claim's answer can't be read: what it granted lapses, as if the process had been lost."""
        self._reserved -= claim.slots
        self._lanes.unknown(claim)
        self.alarm.set(AFTER_UNREADABLE)
        self._changed.set()

    def take(self, claim: Claim, grant: Grant) -> None:
        """A claim was answered: free its lane and its reservation, and start what it brought."""
        self._reserved -= claim.slots
        if grant.word is Word.NO_LANE:
            self._lanes.unknown(claim)
        else:
            self._lanes.answered(claim)
        if self._is_wake_kept:  # it came after the store had judged this claim, and it comes once
            self._is_wake_kept = False
            self.wake()
        if grant.word in (Word.DONE, Word.SAME):
            self._granted(claim, grant)
        elif not self._is_closing:
            self.background.begin(self._return())
        self._changed.set()

    async def _return(self) -> None:
        """The store doesn't know the queue, this process or the lane: tell it, and look again."""
        await until_answered(f"queue {self.config.name}: announce", self._restore)
        self.wake()

    def _granted(self, claim: Claim, grant: Grant) -> None:
        self._refresh(grant.version)
        if grant.tasks:
            self._admit(claim, grant)
        if len(grant.tasks) == claim.request.want:
            return
        self.unmet = 0
        self._capacity.freed()
        if grant.wait_ms == 0:
            self.wake()
        else:
            seconds = None if grant.wait_ms is None else grant.wait_ms / 1000
            self.alarm.answered(seconds, asked_at=claim.sent_at)

    def _admit(self, claim: Claim, grant: Grant) -> None:
        fence_at = claim.sent_at + self.config.lease * (1 - MARGIN)
        runs = [Run(task, fence_at=fence_at) for task in grant.tasks]
        for run in runs:
            self._runs[run.task.lease] = run
        if self._is_closing:
            for run in runs:
                self._settler.add(run, Released(started=False), None)
        elif asyncio.get_running_loop().time() >= fence_at:
            self.background.begin(self._start_what_is_held(runs))
        else:
            self._start(runs)

    async def _start_what_is_held(self, runs: list[Run]) -> None:
        """The grant took longer than its leases: find out what is still held before anything starts."""
        await until_answered(f"queue {self.config.name}: extend", lambda: self._keeper.extend(runs))
        self._start([run for run in runs if run.stop is None])
        for run in runs:
            if run.stop is not None and not run.started:
                self.finished(run, None)

    # --- running

    def _start(self, runs: list[Run]) -> None:
        self._keeper.watch(runs)
        self._admission.start(self._begin, runs)

    def _begin(self, run: Run) -> None:
        """Start a run, in a context of its own: not in that of whoever's submit or settle brought it."""
        loop = asyncio.get_running_loop()
        run.timeout_at = loop.time() + self._executor.timeout_of(run.task)
        self._keeper.watch_one(run)
        run.handle = spawn(self._attend(run), name=run.task.call.id, context=self._context.copy())

    async def _attend(self, run: Run) -> None:
        """One attempt from its first line to its outcome."""
        run.is_attended = True
        try:
            outcome = await self._outcome_of(run)
        except GeneratorExit:
            raise  # the event loop is gone: nobody is left to tell
        except BaseException:
            self._abandon(run)
            raise
        self.finished(run, outcome)
        if isinstance(outcome, Raised) and isinstance(outcome.error, KeyboardInterrupt):
            raise outcome.error

    async def _outcome_of(self, run: Run) -> Outcome | None:
        """How its code ended; None: it was told to stop before its code began."""
        if run.is_stopped():
            return None
        if self._reporter.tells_starts:
            try:
                await self._reporter.started(run.task)
            except asyncio.CancelledError:
                if run.stop is None:
                    raise
            if run.is_stopped():
                return None
        run.started = True
        outcome = await self._executor.run(run)
        if outcome.is_cancelled and self._is_ending(run):
            raise asyncio.CancelledError
        return outcome

    def _is_ending(self, run: Run) -> bool:
        """It was cancelled with all that this process does, and not by itself: the event loop ends."""
        return run.stop is None and any(each.cancelling() for each in self._loops)

    def _abandon(self, run: Run) -> None:
        """As if the process was killed."""
        _warn(run, "was cancelled with its event loop; its lease is left to lapse")
        self.leave(run)
        self.slots_freed()

    def finished(self, run: Run, outcome: Outcome | None) -> None:
        """An attempt is over: report it, or drop it where its lease is lost."""
        if self._is_over:
            return  # the lease lapses: nobody here can report any more
        if run.stop is None and asyncio.get_running_loop().time() >= run.fence_at:
            _warn(
                run, "held the event loop past its lease's end: another process may have begun it"
            )
        event = self._executor.event_of(run, outcome)
        if event is None:
            _warn(run, "counts for nothing: its lease was lost")
            self.leave(run)
            self.slots_freed()
        else:
            self._settler.add(run, event, self._executor.error_of(run, outcome))

    def settled(self, run: Run, status: TaskStatus | None) -> None:
        """The store acknowledged the run's outcome; `status` is None where it was stale."""
        self.leave(run)
        if status is None:
            _warn(run, "counts for nothing: it was settled too late")
        elif status is TaskStatus.COMPLETED:
            self._executor.completed(run.task)

    @property
    def settings(self) -> Settings:
        """Those in force, as far as this process knows."""
        return self._executor.settings

    def leave(self, run: Run) -> None:
        """The run's slot is free."""
        self._runs.pop(run.task.lease, None)
        self._changed.set()

    def slots_freed(self) -> None:
        """Slots are free that no claim brought along fills."""
        self._capacity.freed()
        self.wake()

    def use(self, settings: Settings) -> None:
        """Judge by these from now on: another process declared them."""
        self._executor.use(settings)
        self.priority = settings.priority
        share = self.config.max_workers_per_process or settings.max_workers
        self._slots = min(settings.max_workers, share)
        self.wake()

    # --- being told

    def stop_task(self, task_id: str) -> None:
        """Somebody asked this task to stop: ask the store at once, with the next extension of the leases."""
        if any(run.task.id == task_id for run in self._runs.values()):
            self._keeper.hasten()


def _warn(run: Run, what: str) -> None:
    logger.warning("task %s: attempt %s %s", run.task.id, run.task.attempt, what)
