"""Reporting outcomes: those of one moment share a round trip, which brings the next claims back with it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kew.app.lanes import Claim
from kew.app.ports import Settled, TaskStore
from kew.app.repeat import until_answered
from kew.app.reporter import Reporter
from kew.app.runs import Run
from kew.domain.config import Settings
from kew.domain.events import SettleEvent
from kew.domain.lifecycle import step
from kew.domain.requests import Settlement, Word
from kew.domain.task import Task, TaskStatus
from kew.log import logger

if TYPE_CHECKING:
    from kew.app.worker import Worker

IN_FLIGHT = 2  # round trips at once: one is on its way while the next one fills
MOST = 100  # outcomes in one


class Report:
    """One outcome on its way."""

    __slots__ = ("error", "run", "settlement")

    def __init__(self, run: Run, event: SettleEvent, error: BaseException | None) -> None:
        self.run = run
        self.error = error
        self.settlement = Settlement(task_id=run.task.call.id, lease=run.task.lease, event=event)


class Settler:
    """The outbox of one worker."""

    def __init__(self, worker: Worker, store: TaskStore, reporter: Reporter) -> None:
        self._worker = worker
        self._store = store
        self._reporter = reporter
        self._outbox: list[Report] = []
        self._in_flight = 0
        self._is_scheduled = False

    def add(self, run: Run, event: SettleEvent, error: BaseException | None) -> None:
        """Report an outcome soon. The lease is kept until it is acknowledged."""
        run.is_settling = True
        self._outbox.append(Report(run, event, error))
        self._schedule()

    def _schedule(self) -> None:
        """Flush in the loop's next turn: what else ends in this one goes along."""
        if self._outbox and not self._is_scheduled and self._in_flight < IN_FLIGHT:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._is_scheduled = False
        while self._outbox and self._in_flight < IN_FLIGHT:
            size = self._batch_size()
            batch, self._outbox = self._outbox[:size], self._outbox[size:]
            self._in_flight += 1
            claim = self._worker.reserve(settling=len(batch))
            self._worker.background.begin(self._deliver(batch, claim))

    def _batch_size(self) -> int:
        """Half the slots at most, so that one half runs while the other half is on its way."""
        return min(MOST, max(1, (self._worker.config.slots + 1) // 2))

    async def _deliver(self, batch: list[Report], claim: Claim | None) -> None:
        queue = self._worker.config.name
        settlements = [report.settlement for report in batch]
        request = claim.request if claim else None
        try:
            settled = await until_answered(
                f"queue {queue}: settle", lambda: self._store.settle(queue, settlements, request)
            )
        except Exception:
            # A bug, or a stranger's bytes in the store: the leases lapse if they were not settled, the slots are free.
            logger.exception("queue %s: the answer to a settle can't be read", queue)
            self._forsake(batch, claim)
            return
        finally:
            self._in_flight -= 1
        if claim is not None and settled.grant is not None:
            with self._worker.holding(len(batch)):
                self._acknowledged(batch, settled)
            self._worker.take(claim, settled.grant)
        else:
            self._acknowledged(batch, settled)
            self._worker.slots_freed()
        self._schedule()

    def _forsake(self, batch: list[Report], claim: Claim | None) -> None:
        for report in batch:
            self._worker.leave(report.run)
        if claim is not None:
            self._worker.forsake(claim)
        self._worker.slots_freed()
        # Once this round trip is counted as over.
        asyncio.get_running_loop().call_soon(self._schedule)

    def _acknowledged(self, batch: list[Report], settled: Settled) -> None:
        """The slots are free, and hooks are told."""
        for report, outcome in zip(batch, settled.outcomes, strict=True):
            status = None if outcome.word is Word.STALE else outcome.status
            self._worker.settled(report.run, status)
            if status is not None and not self._reporter.noted(report.run.task, status):
                settings = self._worker.settings
                after = _after(report, status, settled.now_ms, settings)
                self._reporter.settled(after, report.error, settings.breaker_failures)


def _after(report: Report, status: TaskStatus, now_ms: int, settings: Settings) -> Task:
    """The record as the store has it now: by the rules, as it was told to stop where that is what it says."""
    is_cancelled = status is TaskStatus.CANCELLED
    task = report.run.task.moved(cancel_requested=is_cancelled)
    after, _ = step(task, report.settlement.event, now_ms, settings)
    return after
