"""Reporting in this process what happened to its tasks: to callers that wait, hooks, the observer, and the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from kew.app.failures import failure_causes
from kew.app.info import info_of
from kew.app.labels import log_task
from kew.app.observer import Kind, Observer, TaskEvent, WorkerLoss, make_event
from kew.app.observing import counter_of
from kew.app.ports import Codec
from kew.app.results import Results
from kew.app.working.hook_calls import HookCalls
from kew.app.working.hooks import Hooks
from kew.domain.causes import Causes
from kew.domain.outcomes import has_snoozed
from kew.domain.requests import LostWorker
from kew.domain.task import COMPLETED, Task, TaskStatus
from kew.log import logger

KIND_OF: Final[Mapping[TaskStatus, Kind]] = {
    TaskStatus.COMPLETED: "succeeded",
    TaskStatus.RETRY: "retried",
    TaskStatus.FAILED: "failed",
    TaskStatus.CANCELLED: "cancelled",
    TaskStatus.QUEUED: "released",
}
"""What the end of an attempt is called, by the task's status after it; QUEUED after a snooze is "snoozed"."""


class Reporter:
    """Reports to callers, hooks and the user's observer after the store accepted an outcome.

    `process`: the incarnation whose hooks these are.
    """

    def __init__(
        self,
        hooks: Hooks,
        codec: Codec,
        results: Results,
        process: str,
        observer: Observer | None = None,
    ) -> None:
        self.process = process
        self._hooks = hooks
        self._codec = codec
        self._results = results
        self._observer = observer
        self._failures: dict[str, int] = {}  # attempts in a row, by queue, of this process alone
        self._opened_at: dict[str, int] = {}  # when they opened the breaker of a queue (ms)
        self._calls = HookCalls(hooks, process)
        has_hooks = bool(hooks.on_task_complete or hooks.on_task_fail)
        observers: tuple[Observer | None, ...] = (self._calls if has_hooks else None, observer)
        self._observers = [one for one in observers if one is not None]
        self._has_hooks = has_hooks
        self._counter = counter_of(observer)
        self._needs_events = has_hooks or (observer is not None and self._counter is None)
        self.has_observer = observer is not None
        self.has_start_hook = hooks.on_task_start is not None
        self.starts_user_code = self.has_start_hook or (self.has_observer and self._counter is None)

    def observe_start(self, task: Task) -> None:
        """Show the observer, which there is, that an attempt is about to begin."""
        due = max(0, task.started_at - task.ready_at) / 1000
        if self._counter is not None:
            self._counter.count_started(task, due)
        elif self._observer is not None:
            self._observer.on_task(self._event("started", task, None, due))

    async def started(self, task: Task) -> None:
        """Call the hook for an attempt that is about to begin."""
        await self._hooks.started(task, info_of(task, self._codec))

    def _event(
        self,
        kind: Kind,
        task: Task,
        error: BaseException | None = None,
        seconds: float | None = None,
    ) -> TaskEvent:
        return make_event(kind, task, self._codec, error, seconds, None)

    def noted(self, task: Task, status: TaskStatus, now_ms: int) -> bool:
        """Note a success that no hook or caller waits for, accepted by the store at its instant `now_ms`.

        False: it is none, so call `settled`, which reports it.
        """
        is_heard = self._needs_events or self._results.is_waited_for(task.call.id)
        if status is not COMPLETED or is_heard:
            return False
        if self._counter is not None:
            self._counter.count_succeeded(task, max(0, now_ms - task.started_at) / 1000)
        self._failures[task.queue] = 0
        if self._opened_at:
            self._watch_closing(task)
        return True

    def only_observes(self, task: Task) -> bool:
        """Whether the observer alone is to see how this attempt ended: no hook, and no caller that waits."""
        return not self._has_hooks and not self._results.is_waited_for(task.call.id)

    def observe_success(self, task: Task, now_ms: int, after: Callable[[], Task]) -> None:
        """Show the observer a success that the store accepted at its instant `now_ms`; `after` makes the new record."""
        self._failures[task.queue] = 0
        if self._opened_at:
            self._watch_closing(task)
        seconds = max(0, now_ms - task.started_at) / 1000
        self._report(make_event("succeeded", task, self._codec, None, seconds, after))

    def settled(
        self,
        after: Task,
        error: BaseException | None,
        breaker_limit: int | None,
        more: str = "",
        now_ms: int = 0,
    ) -> None:
        """The store accepted an attempt's outcome at its instant `now_ms`; `after` is the record now.

        `breaker_limit`: how many failures in a row open the breaker; None: it doesn't count this one. `more`: which
        retry or snooze comes when, for the log.
        """
        if breaker_limit is not None:
            self._watch_breaker(after, breaker_limit, now_ms)
        has_come_back = after.status is TaskStatus.QUEUED and has_snoozed(after)
        if after.status in (TaskStatus.RETRY, TaskStatus.FAILED):
            _log_failure(after, error, more)
        elif has_come_back:
            what = f"attempt %s comes back {more}: %s"
            log_task(logger.info, after, what, after.attempt, after.error)
        if after.is_terminal:
            self._results.ended(after)
        if self._observers:
            seconds = max(0, now_ms - after.started_at) / 1000
            kind: Kind = "snoozed" if has_come_back else KIND_OF[after.status]
            self._report(self._event(kind, after, error, seconds))

    def lost(self, after: Task) -> None:
        """A task failed for good because its worker was lost, or the only process that could run it.

        This process found that out. `after` is the record now.
        """
        if after.status is not TaskStatus.FAILED:
            return  # replayed meanwhile
        _log_failure(after, None)
        if self._observers:
            self._report(self._event("failed", after))

    def expired(self, after: Task) -> None:
        """This process ended a task that no process had started in time. `after` is the record now."""
        if (
            self._observer is not None and after.status is TaskStatus.CANCELLED
        ):  # else replayed meanwhile
            self._observer.on_task(self._event("cancelled", after))

    def _watch_breaker(self, after: Task, limit: int, now_ms: int) -> None:
        """Log once that a queue's breaker has opened, as far as this process can tell: its waiting tasks look stuck."""
        if after.status is TaskStatus.COMPLETED:
            self._failures[after.queue] = 0
            self._watch_closing(after)
        elif after.status in (TaskStatus.RETRY, TaskStatus.FAILED) and after.attempt:
            count = self._failures[after.queue] = self._failures.get(after.queue, 0) + 1
            if count == limit:
                self._opened_at[after.queue] = now_ms
                logger.warning(
                    "queue %s: %s failed attempts in a row here, so its circuit breaker opens: tasks wait until its "
                    "reset timeout has passed (max_circuit_breaker_failures, circuit_breaker_reset_timeout)",
                    after.queue,
                    count,
                )

    def _watch_closing(self, succeeded: Task) -> None:
        """Log that a breaker has closed which was seen to open: a task that began since has succeeded."""
        opened_at = self._opened_at.get(succeeded.queue)
        if opened_at is not None and succeeded.started_at >= opened_at:
            del self._opened_at[succeeded.queue]
            text = "queue %s: an attempt succeeded, so its circuit breaker is closed again"
            logger.info(text, succeeded.queue)

    def worker_lost(self, queue: str, lost: LostWorker) -> None:
        """This process recovered the tasks of another one."""
        loss = WorkerLoss(queue=queue, process=lost.incarnation, tasks=lost.tasks)
        for observer in self._observers:
            observer.on_worker_lost(loss)

    def _report(self, event: TaskEvent) -> None:
        for observer in self._observers:
            observer.on_task(event)

    def close(self) -> None:
        """Call no more hooks, at once."""
        self._calls.close()

    async def drain(self, timeout: float) -> None:
        """Wait until all hooks have been called and have ended, at most `timeout` seconds, then cancel them."""
        await self._calls.drain(timeout)


def _log_failure(after: Task, error: BaseException | None, retry: str = "") -> None:
    """One line; with the traceback, unless the task ended the attempt on purpose (`Retry`, `Snooze`, `GiveUp`)."""
    causes = None if error is None else failure_causes(error)
    is_deliberate = causes is not None and causes.is_deliberate
    what = _answer(after, causes) if causes is not None and is_deliberate else _failure(after)
    if after.status is TaskStatus.RETRY and retry:
        what = f"{what}; {retry}"
    shown = None if is_deliberate else error
    if not after.attempt:  # a closure that fails with its process
        log_task(logger.warning, after, f"{what}: %s", after.error)
        return
    text = f"attempt %s {what}: %s"
    log_task(logger.warning, after, text, after.attempt, after.error, exc_info=shown)


def _failure(after: Task) -> str:
    return "failed" if after.status is TaskStatus.RETRY else "failed for good"


def _answer(after: Task, causes: Causes) -> str:
    if after.status is TaskStatus.RETRY:
        return "asks to be retried"
    if causes.gives_up:
        return "gave up"
    if causes.is_snooze:
        return _failure(after)
    return "asks to be retried, but has no retries left"
