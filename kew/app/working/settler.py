"""Reporting outcomes: those of one moment share a round trip, which brings the next claims back with it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from kew.app.labels import shown_delay, warn
from kew.app.ports import Settled, Submitted, TaskStore
from kew.app.repeat import until_answered
from kew.app.spawning import clean_context
from kew.app.working.claims import Claims
from kew.app.working.executor import Executor
from kew.app.working.lanes import Claim
from kew.app.working.reporter import Reporter
from kew.app.working.runs import Run
from kew.app.working.slots import Slots
from kew.domain.config import QueueConfig, Settings
from kew.domain.events import Failed, SettleEvent, Snoozed
from kew.domain.lifecycle import step
from kew.domain.requests import SettleOutcome, make_along, make_settlement
from kew.domain.task import COMPLETED, Task, TaskStatus
from kew.log import logger

IN_FLIGHT = 2  # round trips at once: one is on its way while the next one fills
MOST = 100  # outcomes in one
COUNTED = (COMPLETED,)  # by the breaker, of the outcomes other than Failed


class Report:
    """One outcome on its way."""

    __slots__ = ("error", "run", "settlement")

    def __init__(self, run: Run, event: SettleEvent, error: BaseException | None) -> None:
        self.run = run
        self.error = error
        self.settlement = make_settlement(run.ref.task_id, run.ref.lease, event)


class Ride:
    """What a submit takes along: the next claim, and outcomes that were waiting. `along` is both, as it is sent."""

    __slots__ = ("along", "claim", "reports")

    def __init__(self, claim: Claim, reports: Sequence[Report]) -> None:
        self.claim = claim
        self.reports = reports
        settlements = tuple([report.settlement for report in reports]) if reports else ()
        self.along = make_along(claim.request, settlements, "")


class Settler:
    """The outcomes of one queue's runs in this process, on their way to the store."""

    def __init__(
        self,
        config: QueueConfig,
        slots: Slots,
        *,
        claims: Claims,
        store: TaskStore,
        executor: Executor,
        reporter: Reporter,
    ) -> None:
        self._config = config
        self._slots = slots
        self._claims = claims
        self._store = store
        self._executor = executor
        self._reporter = reporter
        self._outbox: list[Report] = []
        self._in_flight = 0
        self._is_scheduled = False
        self._waits_for_a_submit = False
        self._context = clean_context()

    def add(self, run: Run, event: SettleEvent, error: BaseException | None) -> None:
        """Report an outcome soon. The lease is kept until it is acknowledged."""
        self._slots.settling(run)
        self._outbox.append(Report(run, event, error))
        self._schedule()

    def _schedule(self) -> None:
        """Flush in the loop's next turn: what else ends in this one goes along."""
        if self._outbox and not self._is_scheduled and self._in_flight < IN_FLIGHT:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush, context=self._context)

    def _flush(self) -> None:
        if self._waits_for_a_submit and self._outbox:
            # The caller whose submit was answered last goes on in this turn, and may submit again.
            self._waits_for_a_submit = False
            asyncio.get_running_loop().call_soon(self._flush, context=self._context)
            return
        self._is_scheduled = False
        while self._outbox and self._in_flight < IN_FLIGHT:
            batch = self._next_batch(self._batch_size())
            self._begin(batch, self._claims.reserve(settling=len(batch)))

    def _begin(self, batch: Sequence[Report], claim: Claim | None) -> None:
        self._in_flight += 1
        self._slots.background.begin(self._deliver(batch, claim))

    def _next_batch(self, size: int) -> Sequence[Report]:
        batch, self._outbox = self._outbox[:size], self._outbox[size:]
        return batch

    def _batch_size(self) -> int:
        """Half the slots at most, so that one half runs while the other half is on its way."""
        return min(MOST, max(1, (self._config.slots + 1) // 2))

    # --- along with a submit

    def board(self, tasks: int) -> Ride | None:
        """What a submit of so many tasks takes along; None: no claim is possible, so outcomes go by themselves.

        The claim takes what the call makes possible: a task for each lease that it ends or each task that it stores. An
        earlier claim has met what was possible before.
        """
        if not self._outbox:
            claim = self._claims.reserve(most=tasks)
            return Ride(claim, ()) if claim else None
        size = min(len(self._outbox), self._batch_size())
        claim = self._claims.reserve(settling=size, most=max(size, tasks))
        return Ride(claim, self._next_batch(size)) if claim else None

    def arrived(self, ride: Ride, submitted: Submitted) -> None:
        """The store has answered the submit that took it along."""
        self._waits_for_a_submit = True
        if ride.reports:
            self._answered(ride.reports, ride.claim, submitted.settled, submitted)
        elif submitted.grant is not None:
            self._claims.take(ride.claim, submitted.grant)

    @property
    def incarnation(self) -> str:
        """This process, as the store knows it."""
        return self._claims.incarnation

    def work_waits(self) -> None:
        """The answer to a submit that could take no claim along says so: look for work."""
        self._claims.wake()

    def go_on(self, ride: Ride) -> None:
        """The submit that took it along gave up: repeat its own part until that is answered, or the worker ends."""
        if not ride.reports:
            self._claims.pursue(ride.claim)
        elif not self._slots.is_over:
            self._begin(ride.reports, ride.claim)

    # --- by themselves

    async def _deliver(self, batch: Sequence[Report], claim: Claim | None) -> None:
        queue = self._config.name
        settlements = [report.settlement for report in batch]
        request = claim.request if claim else None
        try:
            settled = await until_answered(
                f"queue {queue}: settle", lambda: self._store.settle(queue, settlements, request)
            )
        except Exception:
            # A bug, or foreign bytes in the store: the leases will expire if they were not settled; the slots are free.
            logger.exception("queue %s: the answer to a settle can't be read", queue)
            self._forsake(batch, claim)
            return
        finally:
            self._in_flight -= 1
        try:
            self._answered(batch, claim, settled.outcomes, settled)
        finally:  # an error in there must not cost the reports that wait
            self._schedule()

    def _answered(
        self,
        batch: Sequence[Report],
        claim: Claim | None,
        outcomes: Sequence[SettleOutcome],
        answer: Settled | Submitted,
    ) -> None:
        held = 0 if answer.grant is None else len(batch)
        self._slots.reserve(held)  # what has been granted already takes the slots that these leave
        try:
            self._acknowledged(batch, outcomes, answer.now_ms)
        finally:  # an error in there must not cost the claim's lane
            self._slots.reserve(-held)
            if claim is not None and answer.grant is not None:
                self._claims.take(claim, answer.grant)
            else:
                self._claims.freed()

    def _forsake(self, batch: Sequence[Report], claim: Claim | None) -> None:
        for report in batch:
            self._slots.leave(report.run)
        if claim is not None:
            self._claims.forsake(claim)
        self._claims.freed()
        # Once this round trip is counted as over.
        asyncio.get_running_loop().call_soon(self._schedule, context=self._context)

    def _acknowledged(
        self, batch: Sequence[Report], outcomes: Sequence[SettleOutcome], now_ms: int
    ) -> None:
        """Free the slots and report the outcomes, each in the context of its own run."""
        for report, outcome in zip(batch, outcomes, strict=True):
            run, status = report.run, outcome.status
            self._slots.leave(run)
            if status is None:  # it is STALE
                warn(run, "is discarded: its lease was no longer current when it was reported")
                continue
            self._executor.settled(run.task, status)
            if not self._reporter.noted(run.task, status, now_ms):
                self._report(report, status, now_ms)

    def _report(self, report: Report, status: TaskStatus, now_ms: int) -> None:
        settings, event, task = self._executor.settings, report.settlement.event, report.run.task
        own = report.run.context.copy()
        if status is COMPLETED and self._reporter.only_observes(task):
            later = partial(_after, task, event, status, now_ms, settings)
            own.run(self._reporter.observe_success, task, now_ms, later)
            return
        after = _after(task, event, status, now_ms, settings)
        is_counted, more = status in COUNTED, ""
        if isinstance(event, Failed):
            is_counted, more = event.counts, self._retry_of(after, event)
        elif isinstance(event, Snoozed):
            more = self._snooze_of(after, event)
        limit = settings.breaker_failures if is_counted else None
        own.run(self._reporter.settled, after, report.error, limit, more, now_ms)

    def _retry_of(self, after: Task, event: Failed) -> str:
        """Which retry comes when, for the log: "retry 1 of 3 in 2.5 s". Empty: none."""
        if event.retry_after_ms is None:
            return ""
        of = self._executor.max_retries_of(after)
        return f"retry {after.failures} of {of} in {shown_delay(event.retry_after_ms)}"

    def _snooze_of(self, after: Task, event: Snoozed) -> str:
        """When it comes back, for the log: "in 30.0 s (snooze 1 of 1000)"."""
        of = self._executor.max_snoozes_of(after)
        what = ", and so does its queue" if event.scope == "queue" else ""
        return f"in {shown_delay(event.after_ms)}{what} (snooze {after.snoozes} of {of})"


def _after(
    task: Task, event: SettleEvent, status: TaskStatus, now_ms: int, settings: Settings
) -> Task:
    """The record as the store has it now: by the rules, with a request to stop if it is CANCELLED."""
    is_cancelled = status is TaskStatus.CANCELLED
    if task.cancel_requested is not is_cancelled:  # seldom: a copy costs more than the step
        task = task.moved(cancel_requested=is_cancelled)
    after, _ = step(task, event, now_ms, settings)
    return after
