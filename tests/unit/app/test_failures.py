"""Failures in words, groups of them, and answers that are no failures."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable
from typing import Any

import pytest

from kew import GiveUp, InvalidConfigError, QueueConfig, Retry, TaskContext, TaskQueueManager
from kew.app.failures import MAX_ERROR_BYTES, describe, failure_causes
from kew.app.info import TaskInfo
from kew.domain.task import TaskStatus
from kew.handles import TaskHandle

STOP = asyncio.CancelledError()
REFUSED = ConnectionError("refused")


def caused(error: BaseException, cause: BaseException | None) -> BaseException:
    error.__cause__ = cause
    return error


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no"), "ValueError: no"),
        (ValueError(), "ValueError"),
        (STOP, "CancelledError: raised by the task itself"),
        (Unprintable(), "Unprintable: (str() raised ValueError)"),
        (
            ExceptionGroup("unhandled errors in a TaskGroup", [REFUSED]),
            "ConnectionError: refused (in ExceptionGroup: unhandled errors in a TaskGroup)",
        ),
        (
            BaseExceptionGroup("outer", [STOP, ExceptionGroup("inner", [REFUSED])]),
            "ConnectionError: refused (in BaseExceptionGroup: outer)",
        ),
        (
            ExceptionGroup(
                "2 of 9 failed", [REFUSED, ValueError("no"), ConnectionError("refused")]
            ),
            "ExceptionGroup: 2 of 9 failed (3 errors: ConnectionError: refused (2 times); ValueError: no)",
        ),
        (
            ExceptionGroup("g", [Unprintable()]),
            "Unprintable: (str() raised ValueError) (in ExceptionGroup: g)",
        ),
        (caused(RuntimeError("sync failed"), REFUSED), "RuntimeError: sync failed"),
        (caused(RuntimeError(), REFUSED), "RuntimeError (caused by ConnectionError: refused)"),
        (caused(TimeoutError(), STOP), "TimeoutError"),
        (
            ExceptionGroup("", [REFUSED, ValueError()]),
            "ExceptionGroup (2 errors: ConnectionError: refused; ValueError)",
        ),
        (
            caused(RuntimeError("sync"), ExceptionGroup("g", [REFUSED])),
            "RuntimeError: sync (caused by ConnectionError: refused (in ExceptionGroup: g))",
        ),
    ],
    ids=repr,
)
def test_an_error_is_described_by_what_caused_it(error: BaseException, text: str) -> None:
    assert describe(error) == text


def test_many_different_errors_are_counted_and_the_first_ones_listed() -> None:
    text = describe(ExceptionGroup("g", [OSError(str(n)) for n in range(12)]))
    assert text.startswith("ExceptionGroup: g (12 errors: OSError: 0; OSError: 1;")
    assert text.endswith("OSError: 9; and 2 more)")


def test_a_description_has_an_end() -> None:
    whole = describe(ExceptionGroup("g", [OSError("é" * 3_000), OSError("x" * 9_000)]))
    assert MAX_ERROR_BYTES - 1 <= len(whole.encode()) <= MAX_ERROR_BYTES


def test_errors_that_caused_each_other_have_a_description() -> None:
    group = ExceptionGroup("g", [OSError()])
    group.exceptions[0].__cause__ = ValueError()
    group.exceptions[0].__cause__.__cause__ = group
    assert describe(group) == "OSError (caused by ValueError) (in ExceptionGroup: g)"
    group.exceptions[0].__cause__ = group
    assert "OSError" in describe(group)


def test_the_cancellations_beside_a_failure_are_no_causes() -> None:
    group = BaseExceptionGroup("", [STOP, ValueError()])
    assert [type(leaf) for leaf in failure_causes(group).leaves] == [ValueError]


# --- groups and answers in tasks


async def raise_in_group(*errors: BaseException) -> None:
    async def fails(error: BaseException) -> None:
        raise error

    async with asyncio.TaskGroup() as group:
        for error in errors:
            group.create_task(fails(error))


CONFIG: dict[str, Any] = {"max_retries": 2, "retry_delay": 0.01, "max_workers": 1}


async def over(handle: TaskHandle[Any]) -> None:
    """Wait until the task has ended, however it does."""
    await asyncio.gather(asyncio.wait_for(handle.result(), 30), return_exceptions=True)


async def ends(function: Callable[..., Any], **config: Any) -> TaskInfo:
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q", **CONFIG | config))
        info = await manager.submit_task("t", "q", "t", function)
        await over(manager.handle(info))
        return await manager.get_task_status("t")


async def test_a_group_is_retried_for_what_is_in_it() -> None:
    async def grouped() -> None:
        await raise_in_group(ConnectionError("db-7 refused"))

    retried = await ends(grouped, retry_on=ConnectionError)
    assert (retried.status, retried.attempt) == (TaskStatus.FAILED, 3)
    assert (retried.error or "").startswith("ConnectionError: db-7 refused")
    given_up = await ends(grouped, give_up_on=ConnectionError)
    assert (given_up.status, given_up.attempt) == (TaskStatus.FAILED, 1)


async def test_giving_up_in_a_group_wins_over_a_retry_beside_it() -> None:
    async def gives_up() -> None:
        await raise_in_group(Retry(0), GiveUp("no such account"))

    info = await ends(gives_up)
    assert (info.status, info.attempt) == (TaskStatus.FAILED, 1)


async def test_a_retry_in_a_group_is_a_retry() -> None:
    async def comes_again() -> str:
        if TaskContext.current().attempt == 1:
            await raise_in_group(Retry(0.01), Retry(0.02))
        return "done"

    info = await ends(comes_again, retry_on=(), retry_delay=60.0)
    assert (info.status, info.attempt) == (TaskStatus.COMPLETED, 2)


async def test_a_cancelled_task_that_ends_in_a_group_of_cancellations_is_cancelled() -> None:
    begun = asyncio.Event()

    async def groups_its_end() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as error:
            raise BaseExceptionGroup("cancelled", [error]) from None

    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        info = await manager.submit_task("t", "q", "t", groups_its_end)
        await begun.wait()
        await manager.cancel_task("t")
        await over(manager.handle(info))
        ended = await manager.get_task_status("t")
        assert (ended.status, ended.error) == (TaskStatus.CANCELLED, None)


def test_ctrl_c_in_a_group_ends_the_program() -> None:
    async def interrupted() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:
            raise BaseExceptionGroup("", [ValueError(), error]) from None

    async def program() -> None:
        async with TaskQueueManager("memory://") as manager:
            await manager.create_queue(QueueConfig("q"))
            await manager.submit_task("t", "q", "t", interrupted)
            await asyncio.sleep(60)

    loop = asyncio.new_event_loop()
    main = loop.create_task(program())
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(main)
    main.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        loop.run_until_complete(main)
    loop.close()


async def answers_of(
    *errors: BaseException, caplog: pytest.LogCaptureFixture, **config: Any
) -> str:
    """The breaker's state after one failed attempt for each error."""
    left = list(errors)

    async def answers() -> None:
        raise left.pop(0)

    async with TaskQueueManager("memory://") as manager:
        queue = await manager.create_queue(
            QueueConfig("q", max_workers=1, max_circuit_breaker_failures=2, **config)
        )
        for n in range(len(errors)):
            info = await manager.submit_task(f"t{n}", "q", "t", answers)
            await over(manager.handle(info))
        assert queue.name == "q"
        status = await manager.get_queue_status("q")
        return f"{status['circuit_breaker_status']} {status['consecutive_failures']}"


@pytest.mark.parametrize(
    ("errors", "options", "state"),
    [
        ([Retry(1), GiveUp(), Retry(1), GiveUp()], {}, "closed 0"),
        ([ValueError(), Retry(1)], {}, "closed 1"),
        ([ValueError(), GiveUp(), ValueError()], {}, "open 0"),
        ([ExceptionGroup("", [GiveUp()])] * 3, {}, "closed 0"),
        ([ValueError()] * 3, {"circuit_breaker_on": ConnectionError}, "closed 0"),
        ([ValueError(), REFUSED, REFUSED], {"circuit_breaker_on": (OSError,)}, "open 0"),
        ([GiveUp(), GiveUp()], {"circuit_breaker_on": (GiveUp,)}, "open 0"),
        ([REFUSED] * 3, {"circuit_breaker_on": lambda error: "full" in str(error)}, "closed 0"),
    ],
)
async def test_what_opens_the_breaker(
    errors: list[BaseException],
    options: dict[str, Any],
    state: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert await answers_of(*errors, caplog=caplog, **options) == state
    said = [each.getMessage() for each in caplog.records if "breaker opens" in each.getMessage()]
    assert len(said) == state.startswith("open")


async def test_a_function_has_its_own_idea_of_what_counts_for_the_breaker() -> None:
    async with TaskQueueManager("memory://") as manager:

        @manager.task(queue="q", circuit_breaker_on=())
        async def harmless() -> None:
            raise ValueError

        await manager.create_queue(QueueConfig("q", max_circuit_breaker_failures=1))
        handle = await harmless.submit()
        await over(handle)
        status = await manager.get_queue_status("q")
        assert status["circuit_breaker_status"] == "closed"


async def test_a_failure_counts_if_the_function_that_decides_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def judge(error: BaseException) -> bool:
        raise RuntimeError("oh")

    assert await answers_of(REFUSED, caplog=caplog, circuit_breaker_on=judge) == "closed 1"
    assert "(and circuit_breaker_on failed: RuntimeError: oh)" in caplog.text


def test_a_function_that_must_be_awaited_cannot_decide_what_counts() -> None:
    async def judge(error: BaseException) -> bool:
        return True

    given: Any = judge
    with pytest.raises(InvalidConfigError, match=r"circuit_breaker_on.*plain function"):
        QueueConfig("q", circuit_breaker_on=given)
    with pytest.raises(InvalidConfigError, match=r"circuit_breaker_on.*plain function"):
        TaskQueueManager("memory://").task(queue="q", circuit_breaker_on=given)(judge)


@pytest.mark.parametrize("given", [5, "ValueError", int, (ValueError, 5), None])
def test_what_cannot_decide_what_counts_is_refused(given: Any) -> None:
    with pytest.raises(InvalidConfigError, match="circuit_breaker_on"):
        QueueConfig("q", circuit_breaker_on=given)


@pytest.mark.parametrize(
    ("error", "retries", "said"),
    [
        (
            Retry(60, "not yet"),
            1,
            "attempt 1 asks to be retried; retry 1 of 1 in 60.0 s: Retry: not yet",
        ),
        (Retry(1, "not yet"), 0, "asks to be retried, but has no retries left: Retry: not yet"),
        (GiveUp("not yet"), 1, "attempt 1 gave up: GiveUp: not yet"),
        (ExceptionGroup("two", [Retry(1), GiveUp("not yet")]), 1, "attempt 1 gave up: "),
    ],
)
async def test_an_answer_is_not_logged_as_a_failure(
    error: Exception, retries: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="kew")

    async def answers() -> None:
        raise error

    ended = asyncio.Event()
    async with TaskQueueManager("memory://", on_task_fail=lambda *_: ended.set()) as manager:
        await manager.create_queue(QueueConfig("q", max_retries=retries))
        await manager.submit_task("t", "q", "t", answers)
        await ended.wait()
    (line,) = [each.getMessage() for each in caplog.records if "attempt 1" in each.getMessage()]
    assert said in line
    assert "failed" not in line


async def test_a_line_about_a_task_has_its_id_queue_and_function_as_arguments(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await answers_of(ValueError(), caplog=caplog)
    (line,) = [each for each in caplog.records if "attempt 1 failed" in each.getMessage()]
    assert isinstance(line.args, tuple)
    assert line.args[:2] == ("t0", "q")


@pytest.mark.parametrize("error", [Retry(1, "not yet"), GiveUp("not yet")], ids=repr)
async def test_an_answer_is_logged_in_one_line(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="kew")
    await answers_of(error, ValueError(), caplog=caplog)
    lines = [each for each in caplog.records if "attempt 1" in each.getMessage()]
    assert [each.exc_info is None for each in lines] == [True, False]
    assert "not yet" in lines[0].getMessage()
    for number, line in enumerate(lines):
        assert line.getMessage().startswith(f"task t{number} (queue q, @")


async def test_ten_polite_answers_do_not_stop_a_queue() -> None:
    async def polite() -> str:
        if TaskContext.current().attempt <= 10:
            raise Retry(0)
        return "done"

    info = await ends(polite, max_retries=100, circuit_breaker_reset_timeout=3600.0)
    assert (info.status, info.attempt) == (TaskStatus.COMPLETED, 11)
