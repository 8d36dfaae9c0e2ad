"""A task that comes back later: no failure, no retry used up, one line in the log, and an end in the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from kew import (
    GiveUp,
    InvalidConfigError,
    QueueConfig,
    RateLimited,
    Retry,
    Snooze,
    TaskEvent,
    TaskFailedError,
    TaskInfo,
    TaskQueueManager,
    TaskStatus,
)
from kew.app.observer import Observer
from kew.compat import override
from kew.testing import SimulatedManager, run

DAY = 86_400


class Attempts:
    """When attempts began, in simulated seconds; the first ones raise these errors."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.began: list[float] = []

    def attempt(self) -> str:
        self.began.append(asyncio.get_running_loop().time())
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    @property
    def gaps(self) -> list[float]:
        return [later - before for before, later in zip(self.began, self.began[1:], strict=False)]


def ends(
    *errors: BaseException, retries: int = 0, snoozes: int = 1000, **config: Any
) -> tuple[Attempts, TaskInfo, dict[str, Any]]:
    """A task whose first attempts raise these; how it ended, and its queue's status then."""
    attempts = Attempts(*errors)

    async def story(manager: SimulatedManager) -> tuple[TaskInfo, dict[str, Any]]:
        async def work() -> str:
            return attempts.attempt()

        asked = {"max_circuit_breaker_failures": 1, **config}
        queue = QueueConfig("q", max_retries=retries, max_snoozes=snoozes, **asked)
        await manager.create_queue(queue, functions=[work])
        await manager.submit_task("t", "q", "t", work)
        await manager.drain(within=30 * DAY)
        return await manager.get_task_status("t"), await manager.get_queue_status("q")

    return attempts, *run(story)


def in_group(*errors: Exception) -> ExceptionGroup[Exception]:
    return ExceptionGroup("in a task group", errors)


@pytest.mark.parametrize(
    "error",
    [
        Snooze(60),
        RateLimited(60),
        RateLimited(60, scope="key"),
        RateLimited(60, scope="queue"),
        in_group(Snooze(5), RateLimited(60)),
        BaseExceptionGroup("g", [asyncio.CancelledError(), in_group(Snooze(60))]),
    ],
    ids=repr,
)
def test_a_snooze_comes_back_and_is_no_failure(error: BaseException) -> None:
    attempts, info, status = ends(error, retry_on=ValueError, give_up_on=Exception)
    assert (info.status, info.result, info.error) == (TaskStatus.COMPLETED, "done", None)
    assert (info.attempt, info.retry_count, info.snooze_count) == (2, 0, 1)
    assert attempts.gaps == [pytest.approx(60, abs=0.5)]
    assert status["circuit_breaker_status"] == "closed"
    assert status["consecutive_failures"] == 0


def test_no_retry_is_used_up() -> None:
    _, info, _ = ends(
        Snooze(1),
        ValueError(),
        Snooze(1),
        Snooze(1),
        max_circuit_breaker_failures=None,
        retries=1,
    )
    assert (info.status, info.attempt) == (TaskStatus.COMPLETED, 5)
    assert (info.retry_count, info.snooze_count) == (1, 3)


@pytest.mark.parametrize(
    ("beside", "retries", "status"),
    [
        (ValueError(), 1, TaskStatus.COMPLETED),
        (ValueError(), 0, TaskStatus.FAILED),
        (Retry(2), 1, TaskStatus.COMPLETED),
        (GiveUp(), 1, TaskStatus.FAILED),
    ],
    ids=repr,
)
def test_a_snooze_beside_another_error_is_a_failure_whose_retry_waits_as_long(
    beside: Exception, retries: int, status: TaskStatus
) -> None:
    attempts, info, _ = ends(
        in_group(Snooze(60), beside), retries=retries, max_circuit_breaker_failures=None
    )
    assert (info.status, info.snooze_count) == (status, 0)
    assert attempts.gaps == (
        [pytest.approx(60, abs=0.5)] if retries and status == "completed" else []
    )


def test_one_snooze_too_many_fails_the_task_with_a_clear_error() -> None:
    attempts, info, status = ends(*[RateLimited(5, "429")] * 9, retries=5, snoozes=3)
    assert (info.status, info.attempt, info.snooze_count) == (TaskStatus.FAILED, 4, 3)
    assert info.error == (
        "it asked to come back later, and did so 3 times already, as often as max_snoozes allows: "
        "RateLimited: 429"
    )
    assert len(attempts.began) == 4
    assert status["circuit_breaker_status"] == "closed"


def test_a_task_that_snoozed_too_often_is_a_dead_letter_that_shows_where_it_was_raised() -> None:
    async def story(manager: SimulatedManager) -> list[str]:
        async def stubborn() -> None:
            raise RateLimited(1, "429")

        await manager.create_queue(QueueConfig("q", max_snoozes=1), functions=[stubborn])
        await manager.submit_task("t", "q", "t", stubborn)
        await manager.drain()
        info = await manager.get_task_status("t")
        (attempt,) = info.attempts
        assert "stubborn" in (attempt.traceback or "")
        return [group.name for group in await manager.dead_letter_groups("q")]

    (group,) = run(story)
    assert "RateLimited" in group
    assert "stubborn" in group


def test_a_queue_may_forbid_snoozes() -> None:
    _, info, _ = ends(Snooze(5), snoozes=0)
    assert (info.status, info.attempt) == (TaskStatus.FAILED, 1)


def test_a_function_may_have_a_bound_of_its_own() -> None:
    async def story(manager: SimulatedManager) -> TaskInfo:
        @manager.task(queue="q", max_snoozes=2)
        async def stubborn() -> None:
            raise Snooze(1)

        await manager.create_queue(QueueConfig("q", max_snoozes=7))
        handle = await stubborn.submit()
        with pytest.raises(TaskFailedError, match="max_snoozes"):
            await handle.result()
        return await handle.status()

    assert run(story).attempt == 3


@pytest.mark.parametrize("wrong", [-1, 1.5, "3", True])
def test_a_bound_that_is_no_number_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidConfigError, match="max_snoozes"):
        QueueConfig("q", max_snoozes=wrong)

    async def story(manager: SimulatedManager) -> None:
        with pytest.raises(InvalidConfigError, match="max_snoozes"):
            manager.task(queue="q", max_snoozes=wrong)(ends_at_once)

    run(story)


async def ends_at_once() -> None:
    pass


def plain(seen: list[int]) -> str:
    seen.append(0)
    raise Snooze(3)


def test_a_plain_function_snoozes_from_its_thread() -> None:
    async def story(manager: SimulatedManager) -> TaskInfo:
        seen: list[int] = []

        def work() -> int:
            if not seen:
                plain(seen)
            return 7

        await manager.create_queue(QueueConfig("q"))
        handle = manager.handle(await manager.submit_task("t", "q", "t", work))
        assert await handle.result() == 7
        return await handle.status()

    assert (run(story).attempt, run(story).snooze_count) == (2, 1)


def test_a_wrong_snooze_fails_the_attempt_like_any_error() -> None:
    async def story(manager: SimulatedManager) -> TaskInfo:
        async def work() -> None:
            raise Snooze("soon")  # type: ignore[arg-type]

        await manager.create_queue(QueueConfig("q"))
        await manager.submit_task("t", "q", "t", work)
        await manager.drain()
        return await manager.get_task_status("t")

    info = run(story)
    assert info.status is TaskStatus.FAILED
    assert info.error is not None
    assert "takes seconds or a timedelta" in info.error


def test_a_snooze_after_the_timeout_is_a_timeout() -> None:
    async def story(manager: SimulatedManager) -> TaskInfo:
        async def slow() -> None:
            try:
                await asyncio.sleep(99)
            finally:
                raise Snooze(1)

        await manager.create_queue(QueueConfig("q", task_timeout=2))
        await manager.submit_task("t", "q", "t", slow)
        await manager.drain()
        return await manager.get_task_status("t")

    info = run(story)
    assert info.error == "TimeoutError: timed out after 2 s"


async def test_an_at_most_once_task_that_snoozes_when_it_is_told_to_stop_comes_back() -> None:
    async with TaskQueueManager("memory://told-to-stop") as other:
        began = asyncio.Event()

        async def careful() -> None:
            began.set()
            try:
                await asyncio.sleep(99)
            except asyncio.CancelledError:
                raise Snooze(3600) from None

        async with TaskQueueManager("memory://told-to-stop") as manager:
            await manager.create_queue(QueueConfig("q"))
            task = manager.task(queue="q", name="careful", at_most_once=True)(careful)
            handle = await task.submit()
            await began.wait()
            await manager.shutdown(timeout=0)
        info = await other.get_task_status(handle.task_id)
    assert (info.status, info.snooze_count) == (TaskStatus.QUEUED, 1)


# --- what is seen of it


class Notes(Observer):
    """Notes what happens to tasks."""

    def __init__(self) -> None:
        self.events: list[TaskEvent] = []

    @override
    def on_task(self, event: TaskEvent) -> None:
        self.events.append(event)


def test_hooks_and_observers_see_no_failure() -> None:
    notes, seen = Notes(), list[str]()
    attempts = Attempts(RateLimited(3, "429", scope="queue"))

    async def story(manager: SimulatedManager) -> None:
        async def work() -> str:
            return attempts.attempt()

        await manager.create_queue(QueueConfig("q"), functions=[work])
        await manager.submit_task("t", "q", "t", work)
        await manager.drain()

    run(
        story,
        observer=notes,
        on_task_start=lambda info: seen.append(f"start {info.attempt}"),
        on_task_complete=lambda info: seen.append(f"complete {info.attempt}"),
        on_task_fail=lambda info, error: seen.append(f"fail {info.attempt}"),
    )
    assert seen == ["start 1", "start 2", "complete 2"]
    kinds = [event.kind for event in notes.events]
    assert kinds == ["submitted", "started", "snoozed", "started", "succeeded"]
    snoozed = notes.events[2]
    assert isinstance(snoozed.error, RateLimited)
    assert snoozed.info.status is TaskStatus.QUEUED
    assert snoozed.info.error == "RateLimited: 429"


def lines_of(caplog: pytest.LogCaptureFixture, *errors: Exception) -> list[logging.LogRecord]:
    caplog.set_level(logging.INFO, logger="kew")
    ends(*errors, snoozes=2)
    return [each for each in caplog.records if "attempt" in each.getMessage()]


def test_a_snooze_is_one_line_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    (line,) = lines_of(caplog, RateLimited(30, "429 from the bank"))
    assert (line.levelname, line.exc_info) == ("INFO", None)
    assert line.getMessage().endswith(
        "attempt 1 comes back in 30.0 s (snooze 1 of 2): RateLimited: 429 from the bank"
    )


def test_the_line_says_that_the_queue_waits_too(caplog: pytest.LogCaptureFixture) -> None:
    (line,) = lines_of(caplog, RateLimited(30, "429", scope="queue"))
    assert "comes back in 30.0 s, and so does its queue (snooze 1 of 2)" in line.getMessage()


def test_the_last_snooze_is_a_warning_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    *_, last = lines_of(caplog, *[Snooze(1)] * 3)
    assert (last.levelname, last.exc_info) == ("WARNING", None)
    assert "attempt 3 failed for good: it asked to come back later" in last.getMessage()


# --- the queue


def snoozed_queue(story: Callable[[SimulatedManager, Any], Any]) -> Any:
    """A story in which the task "a" has just snoozed its queue for an hour, and "b" waits."""

    async def whole(manager: SimulatedManager) -> Any:
        attempts = Attempts(RateLimited(3600, "429", scope="queue"))
        after_snooze = asyncio.Event()

        async def work() -> str:
            after_snooze.set()
            return attempts.attempt()

        await manager.create_queue(QueueConfig("q", max_workers=1), functions=[work])
        await manager.submit_task("a", "q", "t", work)
        await manager.submit_task("b", "q", "t", work)
        await after_snooze.wait()
        await asyncio.sleep(0.1)
        return await story(manager, attempts)

    return run(whole)


def test_a_queue_that_a_task_snoozed_starts_nothing_until_then() -> None:
    async def story(manager: SimulatedManager, attempts: Attempts) -> list[float]:
        status = await manager.get_queue_status("q")
        assert status["snoozed_until"].endswith("+00:00")
        why = await manager.explain("b")
        assert [reason.code for reason in why.reasons] == ["queue_snoozed"]
        await manager.drain(within=DAY)
        assert (await manager.get_queue_status("q"))["snoozed_until"] is None
        return attempts.gaps

    assert snoozed_queue(story) == [pytest.approx(3600, abs=0.5), pytest.approx(0, abs=0.5)]


def test_a_person_ends_the_snooze_of_a_queue_early() -> None:
    async def story(manager: SimulatedManager, attempts: Attempts) -> list[float]:
        await manager.resume_queue("q")
        await manager.handle("b").result()
        why = await manager.explain("a")
        assert [reason.code for reason in why.reasons] == ["snoozed"]
        return attempts.gaps

    assert snoozed_queue(story) == [pytest.approx(0.1, abs=0.5)]


def test_a_drain_that_ends_before_the_snooze_says_why() -> None:
    async def story(manager: SimulatedManager, attempts: Attempts) -> str:
        try:
            await manager.drain(within=60)
        except AssertionError as error:
            return str(error)
        return ""

    text = snoozed_queue(story)
    assert "a task snoozed its queue" in text
    assert "asked to come back (RateLimited: 429)" in text


def test_a_task_can_hold_back_its_key() -> None:
    started: list[tuple[str, int, float]] = []

    async def story(manager: SimulatedManager) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()

        async def sync(customer: str, number: int) -> None:
            started.append((customer, number, round(loop.time() - began)))
            if len(started) == 1:
                raise RateLimited(30, "429", scope="key")

        await manager.create_queue(QueueConfig("q", max_workers=1), functions=[sync])
        for number in (1, 2):
            for customer in ("acme", "bolt"):
                name = f"{customer}{number}"
                await manager.submit_task(
                    name, "q", "sync", sync, None, customer, number, _key=customer
                )
        await manager.drain()

    run(story)
    assert started[0][:2] == ("acme", 1)
    assert {each[:2] for each in started[1:3]} == {("bolt", 1), ("bolt", 2)}
    assert [(customer, at) for customer, _, at in started[3:]] == [("acme", 30), ("acme", 30)]
