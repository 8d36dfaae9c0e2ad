"""From grant to outcome: starts the runs that a claim brought, and reports how each ended.

Whatever fails in between releases the lease at once: the error is logged, the slot is free again, and the other runs
of the grant start.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from functools import partial

from kew.app.failures import describe
from kew.app.labels import label, log, warn
from kew.app.repeat import until_answered
from kew.app.spawning import clean_context, retrieve_later, spawn
from kew.app.tracing import Tracer
from kew.app.working import context
from kew.app.working.admission import Admission
from kew.app.working.calling import NoThreadError
from kew.app.working.checkpoints import Checkpoints
from kew.app.working.claims import Claims
from kew.app.working.cleanups import Cleanups
from kew.app.working.executor import Executor, Outcome, Returned, Unstarted
from kew.app.working.keeper import MARGIN, Keeper
from kew.app.working.reporter import Reporter
from kew.app.working.runs import Run, is_loop_gone
from kew.app.working.settler import Settler
from kew.app.working.slots import Slots
from kew.domain.config import QueueConfig
from kew.domain.events import NotStarted, Released, SettleEvent
from kew.domain.task import Task
from kew.log import logger


class Runner:
    """Runs the attempts of one worker."""

    def __init__(
        self,
        config: QueueConfig,
        slots: Slots,
        *,
        claims: Claims,
        executor: Executor,
        reporter: Reporter,
        admission: Admission,
        keeper: Keeper,
        checkpoints: Checkpoints,
        settler: Settler,
        cleanups: Cleanups,
        is_cancelled: Callable[[], bool],
        tracer: Tracer | None = None,
    ) -> None:
        """`is_cancelled`: the event loop ends, with all that this process does."""
        self._queue = config.name
        self._lease = config.lease
        self._slots = slots
        self._claims = claims
        self._executor = executor
        self._reporter = reporter
        self._admission = admission
        self._keeper = keeper
        self._checkpoints = checkpoints
        self._settler = settler
        self._cleanups = cleanups
        self._is_cancelled = is_cancelled
        self._tracer = tracer
        self._context = clean_context()
        self._is_debugging = logger.is_debugging  # asked once, since each task would ask it

    # --- starting

    def admit(self, tasks: Sequence[Task], *, sent_at: float) -> None:
        """Start the attempts that were granted to a claim that was sent at this instant of `uptime`."""
        fence_at, uptime = sent_at + self._lease * (1 - MARGIN), self._keeper.uptime
        runs = [Run(task, fence_at=fence_at, uptime=uptime) for task in tasks]
        self._slots.granted(runs)
        try:
            if self._slots.is_closing:
                self._release(runs)
            elif uptime() >= fence_at:
                self._slots.background.begin(self._start_what_is_held(runs))
            else:
                self._start(runs)
        except Exception as error:  # noqa: BLE001 - logged with each run
            self._could_not_start(runs, error)

    def _release(self, runs: Sequence[Run]) -> None:
        for run in runs:
            self._settler.add(run, Released(started=False), None)

    async def _start_what_is_held(self, runs: list[Run]) -> None:
        """The grant took longer than its leases: extend them, and start only what is still held."""
        what = f"queue {self._queue}: extend"
        try:
            await until_answered(what, lambda: self._keeper.extend(runs))
            self._start([run for run in runs if run.stop is None])
        except Exception as error:  # noqa: BLE001 - logged with each run
            self._could_not_start([run for run in runs if run.stop is None], error)
        for run in runs:
            if run.stop is not None and not run.started:
                self.finished(run, None)

    def _start(self, runs: list[Run]) -> None:
        if self._admission.starts_at_once:  # then each is watched as it begins
            self._keeper.occupy()
        else:
            self._keeper.watch(runs)
        self._admission.start(self._begin, runs)

    def _begin(self, run: Run) -> None:
        """Start a run in a context of its own, not in that of the code whose submit or settle brought it."""
        if run.is_settling:
            return  # it was released meanwhile
        try:
            loop = asyncio.get_running_loop()
            run.timeout_at = loop.time() + self._executor.timeout_of(run.task)
            self._keeper.watch_one(run)
            own = self._context.copy()
            run.handle = spawn(self._attend(run), name=label(run.task), context=own)
        except BaseException as error:
            self._could_not_start([run], error)
            if not isinstance(error, Exception):
                raise

    def _could_not_start(self, runs: Sequence[Run], error: BaseException) -> None:
        """Release the leases of those that have not begun, and claim nothing more for a moment."""
        for run in runs:
            if not run.is_begun and not run.is_settling:
                log(logger.error, run, f"could not be started and is released: {error!r}", error)
                self._claims.rest()
                self._settler.add(run, _why_released(error), error)

    def release_dead(self, runs: Sequence[Run]) -> None:
        """These were cancelled before their first step, by code that cancels every task of the loop."""
        for run in runs:
            run.handle = None
        self._could_not_start(runs, asyncio.CancelledError("cancelled before its first step"))

    # --- one attempt

    async def _attend(self, run: Run) -> None:
        """One attempt from its first line to its outcome."""
        run.is_attended = True
        try:
            outcome = await self._outcome_of(run)
            if not run.is_thread:
                run.context = contextvars.copy_context()
            if run.scope is not None and not await self._clean_up(run, outcome):
                return  # it took long, so the outcome was reported before
        except BaseException as error:
            if isinstance(error, GeneratorExit) or is_loop_gone():
                if run.scope is not None:
                    run.scope.abandon()
                raise  # nothing can be reported any more
            await self._cleanups.close(run, error)
            self._cut_short(run, error)
            if isinstance(error, Exception):
                return
            if isinstance(error, KeyboardInterrupt):
                retrieve_later()  # it ends the loop's run, and no one awaits this asyncio task
            raise
        self.finished(run, outcome)

    async def _clean_up(self, run: Run, outcome: Outcome | None) -> bool:
        error = getattr(outcome, "error", None)
        report = partial(self.finished, run, outcome)
        return await self._cleanups.clean_up(run, error, report)

    async def _outcome_of(self, run: Run) -> Outcome | None:
        """How its code ended; None: it was stopped before its code began."""
        if run.is_stopped():
            return None
        process, reports = self._reporter.process, self._keeper.reports
        context.enter(run.task, run.timeout_at, process, run, reports, self._checkpoints)
        if self._tracer is not None:
            run.span = self._tracer.attempt(run.task, self._reporter.process)
        if self._reporter.has_observer:
            self._reporter.observe_start(run.task)
        if self._reporter.starts_user_code:
            try:
                if self._reporter.has_start_hook:
                    await self._reporter.started(run.task)
                if _is_cancelled():
                    await asyncio.sleep(
                        0
                    )  # raises CancelledError now, rather than in the code that follows
            except asyncio.CancelledError:
                if self._is_ending(run):
                    raise
                self._ignore_cancelling_by_a_hook(run)
            if run.is_stopped():
                return None
        if self._is_debugging:
            log(logger.debug, run, "begins")
        outcome = await self._executor.run(run)
        if self._is_debugging:
            log(
                logger.debug,
                run,
                "ended" if isinstance(outcome, Returned) else "ended with an error",
            )
        if outcome.is_cancelled and self._is_ending(run):
            raise asyncio.CancelledError
        return outcome

    def _ignore_cancelling_by_a_hook(self, run: Run) -> None:
        """A start hook that cancels the asyncio task in which it runs must not touch the attempt."""
        if run.stop is not None:
            return
        task = asyncio.current_task()
        while task is not None and task.cancelling():
            task.uncancel()
        warn(run, "goes on, although its on_task_start hook cancelled it")

    def _is_ending(self, run: Run) -> bool:
        """It was cancelled together with all that this process does: the event loop ends."""
        return run.stop is None and self._is_cancelled()

    def _cut_short(self, run: Run, error: BaseException) -> None:
        """No outcome. What has not begun is released; the lease of what has expires, as if the process was killed."""
        if run.span is not None:
            run.span.end(None, error)
        if not run.started and not isinstance(error, asyncio.CancelledError):
            run.is_attended, run.handle = False, None
            self._could_not_start([run], error)
            return
        is_cancelled = isinstance(error, asyncio.CancelledError)
        why = "was cancelled with its event loop" if is_cancelled else "was interrupted"
        advice = (
            "; call `await manager.shutdown()` or use `async with manager`" if is_cancelled else ""
        )
        told = None if is_cancelled else error
        warn(run, f"{why}: its lease will expire, and then it counts as lost{advice}", told)
        self._drop(run)

    def _drop(self, run: Run) -> None:
        self._slots.leave(run)
        self._claims.freed()

    def finished(self, run: Run, outcome: Outcome | None) -> None:
        """An attempt is over: report it, or discard it if its lease is lost."""
        if self._slots.is_over:
            return  # the lease will expire: this process reports nothing any more
        if run.stop is None and run.uptime() >= run.fence_at:
            warn(
                run,
                "blocked the event loop past the end of its lease: another process may have begun it",
            )
        if isinstance(outcome, Unstarted):
            self._cut_short(run, outcome.error)
            return
        try:
            event = self._executor.event_of(run, outcome)
            if run.span is not None:
                run.span.end(event, self._executor.error_of(run, outcome))
            if event is not None:
                self._settler.add(run, event, self._executor.error_of(run, outcome))
                return
            warn(run, "is discarded: its lease was lost")
        except Exception as error:  # noqa: BLE001 - a bug: logged, and it must not cost the slot
            what = "has an outcome that can't be reported: its lease will expire"
            log(logger.error, run, what, error)
        self._drop(run)


def _why_released(error: BaseException) -> SettleEvent:
    """A lack of threads is this process's alone, and passes. Whatever else fails may be the task's: that is bounded."""
    return (
        Released(started=False) if isinstance(error, NoThreadError) else NotStarted(describe(error))
    )


def _is_cancelled() -> bool:
    """Whether the running asyncio task was cancelled, which its next await will raise."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
