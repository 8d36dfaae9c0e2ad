"""Every way in which a run can end, and where its task ends up: docs/failure.md, line by line.

After each of them the queue's only slot is free again and the worker takes the next task (`goes_on`).
"""

import asyncio
import io
import logging
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Any, TypeVar

import pytest

from kew import (
    Custom,
    GiveUp,
    QueueConfig,
    Retry,
    TaskContext,
    TaskFailedError,
    TaskInfo,
    TaskQueueError,
    TaskQueueManager,
    TaskStatus,
)
from kew.adapters.clocks import SystemClock
from kew.adapters.codecs import MessagePackCodec
from kew.adapters.memory.hub import MemoryWakeup
from kew.adapters.memory.store import MemoryStore
from kew.app import steady
from kew.app.ports import Ambiguous, Extend, Operation, Settled
from kew.bootstrap import Parts
from kew.compat import override
from kew.domain.requests import ALONE, Along, ClaimRequest, Settlement
from kew.domain.task import Submission
from tests.support import jobs

LEASE = 0.3
TERMINAL = {TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED}


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="kew")


@pytest.fixture
async def manager() -> AsyncIterator[TaskQueueManager]:
    async with TaskQueueManager("memory://") as one:
        yield one


async def queue(manager: TaskQueueManager, **settings: Any) -> None:
    """A queue with one slot, so that a slot that leaks is seen at once."""
    await manager.create_queue(
        QueueConfig(
            "q", max_workers=1, max_circuit_breaker_failures=None, **{"lease": LEASE, **settings}
        )
    )


async def submit(
    manager: TaskQueueManager, function: Callable[..., object], *args: object, task_id: str = "t"
) -> None:
    await manager.submit_task(task_id, "q", "test", function, None, *args)


async def until(
    manager: TaskQueueManager, *statuses: TaskStatus, task_id: str = "t", attempt: int = 0
) -> TaskInfo:
    """The task once it has one of these statuses (without any: once it has ended)."""
    async with asyncio.timeout(30):
        while True:
            info = await manager.get_task_status(task_id)
            if info.status in (statuses or TERMINAL) and info.attempt >= attempt:
                return info
            await asyncio.sleep(0.005)


async def fine() -> str:
    return "fine"


async def goes_on(manager: TaskQueueManager) -> None:
    """No slot has leaked, and the worker still works."""
    await submit(manager, fine, task_id="next")
    info = await until(manager, task_id="next")
    assert info.result == "fine"
    assert (await manager.get_queue_status("q"))["current_workers"] == 0


async def end_of(
    manager: TaskQueueManager, function: Callable[..., object], **settings: Any
) -> TaskInfo:
    """How a task of this function ends; the queue must go on after it."""
    await queue(manager, **settings)
    await submit(manager, function)
    info = await until(manager)
    await goes_on(manager)
    return info


def raising(error: BaseException) -> Callable[[], Any]:
    async def task() -> None:
        raise error

    return task


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class Odd(BaseException):
    """What no user code is expected to raise."""


class Nameless(Exception):
    def __str__(self) -> str:
        raise Odd


# --- the task's own doing


async def test_returning_completes(manager):
    info = await end_of(manager, fine)
    assert (info.status, info.result, info.error) == (TaskStatus.COMPLETED, "fine", None)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no such order"), "ValueError: no such order"),
        (ValueError(), "ValueError"),
        (asyncio.CancelledError(), "CancelledError: raised by the task itself"),
        (SystemExit(3), "SystemExit: 3"),
        (GeneratorExit(), "GeneratorExit"),
        (TimeoutError("its own"), "TimeoutError: its own"),
        (ExceptionGroup("two", [ValueError(), KeyError()]), "ExceptionGroup: two"),
        (Unprintable(), "Unprintable: (str() raised ValueError)"),
        (Nameless(), "Nameless: (str() raised Odd)"),
        (Odd("quite"), "Odd: quite"),
        (StopAsyncIteration(), "StopAsyncIteration"),
        (StopIteration("no more"), "RuntimeError: coroutine raised StopIteration"),
    ],
)
async def test_whatever_a_task_raises_fails_it_with_the_reason(manager, error, text):
    info = await end_of(manager, raising(error))
    assert info.status is TaskStatus.FAILED
    assert info.error is not None
    assert info.error.startswith(text)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("x"), "ValueError: x"),
        (SystemExit(1), "SystemExit: 1"),
        (StopIteration("no more"), "RuntimeError: the task raised StopIteration"),
        (GeneratorExit(), "RuntimeError: the task raised GeneratorExit"),
    ],
)
async def test_the_same_goes_for_plain_functions_in_threads(manager, error, text):
    def task() -> None:
        raise error

    info = await end_of(manager, task)
    assert (info.status, info.error) == (TaskStatus.FAILED, text)


async def test_every_error_is_retried_while_retries_are_left(manager):
    attempts = []

    async def twice() -> str:
        attempts.append(TaskContext.current().attempt)
        if len(attempts) < 3:
            raise SystemExit
        return "third"

    info = await end_of(manager, twice, max_retries=2, retry_delay=0.01)
    assert (info.result, info.retry_count, attempts) == ("third", 2, [1, 2, 3])


async def test_give_up_is_final_whatever_retries_are_left(manager):
    info = await end_of(manager, raising(GiveUp("hopeless")), max_retries=5)
    assert (info.status, info.error, info.attempt) == (TaskStatus.FAILED, "GiveUp: hopeless", 1)


async def test_retry_sets_its_own_delay_and_needs_a_retry_left(manager):
    info = await end_of(manager, raising(Retry(after=0.01)), max_retries=1, retry_delay=3600)
    assert (info.status, info.attempt) == (TaskStatus.FAILED, 2)


@pytest.mark.parametrize("error", [ZeroDivisionError("oops"), Odd("oops")])
async def test_a_failing_backoff_function_means_no_retry(manager, error):
    def broken(retry: int) -> float:
        raise error

    info = await end_of(manager, raising(ValueError("x")), max_retries=5, backoff=Custom(broken))
    assert info.status is TaskStatus.FAILED
    told = f"{type(error).__name__}: oops"
    assert info.error == f"ValueError: x (and the backoff failed: {told})"


async def test_what_a_log_handler_raises_stops_nothing(monkeypatch, caplog):
    class Broken(logging.Handler):
        @override
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("the log server is away")

    caplog.set_level(logging.WARNING, logger="kew")
    printed = io.StringIO()
    monkeypatch.setattr(sys, "stderr", printed)
    handler = Broken()
    log = logging.getLogger("kew")
    log.addHandler(handler)
    try:
        async with TaskQueueManager("memory://") as manager:
            await manager.create_queue(QueueConfig("q", max_workers=1), functions=[jobs.echo])
            for n in range(4):
                await manager.submit_task(f"bad-{n}", "q", "t", raising(ValueError("x")))
                await manager.submit_task(f"good-{n}", "q", "t", jobs.echo, None, value=n)
            for n in range(4):
                good = manager.handle(await manager.get_task_status(f"good-{n}"))
                assert await good.result(timeout=30) == n
                assert (await manager.get_task_status(f"bad-{n}")).status is TaskStatus.FAILED
    finally:
        log.removeHandler(handler)
    assert "the log server is away" in printed.getvalue()


async def test_a_result_that_cannot_be_stored_is_final(manager):
    async def opens() -> object:
        return object()

    info = await end_of(manager, opens, max_retries=5)
    assert (info.status, info.attempt) == (TaskStatus.FAILED, 1)
    assert info.error is not None
    assert "the result can't be stored" in info.error


async def test_a_result_that_is_too_large_is_final(manager):
    async def large() -> bytes:
        return bytes(65 * 1024)

    info = await end_of(manager, large, max_retries=5)
    assert (info.status, info.attempt) == (TaskStatus.FAILED, 1)


async def test_a_task_that_awaits_a_cancelled_future_fails(manager):
    async def unlucky() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    info = await end_of(manager, unlucky)
    assert (info.status, info.error) == (
        TaskStatus.FAILED,
        "CancelledError: raised by the task itself",
    )


class Exiting(MessagePackCodec):
    """Exits once, as unpickling does where it imports a script without a main guard."""

    def __init__(self, error: BaseException, where: str) -> None:
        super().__init__()
        self._errors = {where: error}

    @override
    def decode_call(self, *args: Any) -> Any:
        if "decoding" in self._errors:
            raise self._errors.pop("decoding")
        return super().decode_call(*args)

    @override
    def encode_result(self, *args: Any) -> bytes:
        if "encoding" in self._errors:
            raise self._errors.pop("encoding")
        return super().encode_result(*args)


@pytest.mark.parametrize("error", [SystemExit(2), KeyboardInterrupt(), RecursionError("too deep")])
@pytest.mark.parametrize("where", ["decoding", "encoding"])
async def test_data_whose_own_code_exits_fails_its_task_for_good(error, where):
    async with TaskQueueManager("memory://", codec=Exiting(error, where)) as manager:
        info = await end_of(manager, fine, max_retries=5)
        assert (info.status, info.attempt) == (TaskStatus.FAILED, 1)
        assert f"{type(error).__name__}" in (info.error or "")


async def stubborn_coroutine() -> None:
    raise KeyboardInterrupt("by its own code")


def stubborn_thread() -> None:
    raise KeyboardInterrupt("by its own code")


@pytest.mark.parametrize("function", [stubborn_coroutine, stubborn_thread])
async def test_a_keyboard_interrupt_that_a_task_raises_itself_is_a_failure(manager, function):
    info = await end_of(manager, function, max_retries=2, retry_delay=0.01)
    assert (info.status, info.retry_count) == (TaskStatus.FAILED, 2)
    assert info.error == "KeyboardInterrupt: by its own code"


def test_ctrl_c_that_strikes_inside_of_a_task_is_the_programs_and_costs_the_task_one_delivery():
    async def struck() -> int:
        if TaskContext.current().attempt == 1:
            signal.raise_signal(signal.SIGINT)
        return TaskContext.current().attempt

    async def begin() -> TaskQueueManager:
        manager = TaskQueueManager("memory://", tick=0.05)
        await manager.initialize()
        await queue(manager)
        return manager

    async def run(manager: TaskQueueManager) -> TaskInfo:
        await submit(manager, struck)
        return await until(manager)

    async def end(manager: TaskQueueManager) -> TaskInfo:
        info = await until(manager)
        await manager.shutdown()
        return info

    loop = asyncio.new_event_loop()
    try:
        manager = loop.run_until_complete(begin())
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(run(manager))
        info = loop.run_until_complete(end(manager))
    finally:
        loop.close()
    assert (info.status, info.result, info.retry_count) == (TaskStatus.COMPLETED, 2, 0)


# --- time


async def test_a_timeout_fails_the_attempt_and_cancels_it(manager):
    cancelled = []

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(1)
            raise

    info = await end_of(manager, slow, task_timeout=0.05)
    assert (info.status, info.error) == (TaskStatus.FAILED, "TimeoutError: timed out after 0.05 s")
    assert cancelled == [1]


@pytest.mark.parametrize("options", [{"retry_on": ()}, {"retry_on": (KeyError,)}])
async def test_a_function_that_retries_on_nothing_is_not_retried_whatever_its_queue_says(
    manager, options
):
    @manager.task(**options)
    async def fails() -> None:
        raise ValueError

    info = await end_of(manager, fails, max_retries=3, retry_delay=0.01)
    assert (info.status, info.attempt) == (TaskStatus.FAILED, 1)


async def test_a_function_that_gives_up_on_nothing_is_retried_whatever_its_queue_says(manager):
    @manager.task(give_up_on=())
    async def fails() -> None:
        raise ValueError

    options = {"give_up_on": (ValueError,), "retry_delay": 0.01}
    info = await end_of(manager, fails, max_retries=2, **options)
    assert (info.status, info.attempt) == (TaskStatus.FAILED, 3)


async def test_a_timeout_is_told_and_logged_like_any_error(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING, logger="kew")
    told: list[str] = []

    async def on_fail(info: TaskInfo, error: BaseException) -> None:
        told.append(f"{type(error).__name__}: {error}")

    async with TaskQueueManager("memory://", on_task_fail=on_fail) as manager:
        await end_of(manager, sleeps, task_timeout=0.05)
    assert told == ["TimeoutError: timed out after 0.05 s"]
    assert "attempt 1 failed for good: TimeoutError: timed out after 0.05 s" in caplog.text


async def sleeps() -> None:
    await asyncio.sleep(60)


async def test_a_task_that_holds_the_event_loop_past_its_lease_is_logged(
    manager, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.WARNING, logger="kew")

    async def holds() -> None:
        time.sleep(2 * LEASE)  # noqa: ASYNC251 - that is what is tested

    info = await end_of(manager, holds)
    assert info.status is TaskStatus.COMPLETED
    assert "attempt 1 blocked the event loop past the end of its lease" in caplog.text


async def test_a_hook_that_submits_gets_no_slot_that_was_granted_already():
    running = most = 0

    async def task() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1

    async def on_complete(info: TaskInfo) -> None:
        if info.task_id.startswith("t"):
            await submit(one, task, task_id=f"after-{info.task_id}")

    async with TaskQueueManager("memory://", on_task_complete=on_complete) as one:
        await one.create_queue(QueueConfig("q", max_workers=9, max_workers_per_process=1))
        await asyncio.gather(*(submit(one, task, task_id=f"t{n}") for n in range(20)))
        for n in range(20):
            await until(one, task_id=f"t{n}")
            await until(one, task_id=f"after-t{n}")
    assert most == 1


async def test_a_timeout_is_retried_like_any_error(manager):
    async def slow() -> None:
        await asyncio.sleep(60)

    info = await end_of(manager, slow, task_timeout=0.02, max_retries=1, retry_delay=0)
    assert (info.status, info.attempt) == (TaskStatus.FAILED, 2)


async def test_a_coroutine_that_refuses_cancellation_keeps_its_slot_until_it_ends(manager):
    release = asyncio.Event()

    async def stubborn() -> str:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    await queue(manager, task_timeout=0.05)
    await submit(manager, stubborn)
    await submit(manager, fine, task_id="behind")
    await asyncio.sleep(2 * LEASE)
    assert (await manager.get_task_status("t")).status is TaskStatus.PROCESSING
    assert (await manager.get_task_status("behind")).status is TaskStatus.QUEUED
    release.set()
    info = await until(manager)
    assert (info.status, info.error) == (TaskStatus.FAILED, "TimeoutError: timed out after 0.05 s")
    await goes_on(manager)


async def test_a_thread_keeps_its_slot_and_its_lease_until_it_ends(manager):
    release = threading.Event()

    def stuck() -> None:
        release.wait(30)

    await queue(manager, task_timeout=0.05)
    await submit(manager, stuck)
    await asyncio.sleep(2 * LEASE)
    info = await manager.get_task_status("t")
    assert (info.status, info.attempt) == (TaskStatus.PROCESSING, 1)
    release.set()
    assert (await until(manager)).error == "TimeoutError: timed out after 0.05 s"
    await goes_on(manager)


async def test_a_task_that_blocks_the_loop_past_its_lease_may_run_twice_but_counts_once(manager):
    attempts: list[int] = []

    async def blocks() -> int:
        attempts.append(TaskContext.current().fencing_token)
        if len(attempts) == 1:
            threading.Event().wait(1.5 * LEASE)
            await asyncio.sleep(0.05)
        return len(attempts)

    info = await end_of(manager, blocks)
    assert info.status is TaskStatus.COMPLETED
    assert attempts == sorted(set(attempts))
    assert info.attempt == len(attempts)


# --- what arrives


class Broken(MemoryStore):
    """Stores payloads that nobody can read."""

    @override
    async def submit(self, queue: str, groups: Collection[Any], along: Along = ALONE) -> Any:
        broken = [
            type(group)(submissions=tuple(map(_spoilt, group.submissions))) for group in groups
        ]
        return await super().submit(queue, broken, along)


def _spoilt(call: Submission) -> Submission:
    import attrs

    return call if call.id == "next" else attrs.evolve(call, payload=b"\xc1 no MessagePack")


def parts_of(store: MemoryStore) -> Parts:
    return Parts(store=store, wakeup=MemoryWakeup(store.namespace.hub))


async def test_a_payload_that_cannot_be_decoded_is_final():
    async with TaskQueueManager(parts=parts_of(Broken(SystemClock()))) as manager:
        info = await end_of(manager, fine, max_retries=5)
    assert (info.status, info.attempt) == (TaskStatus.FAILED, 1)
    assert info.error is not None
    assert info.error.startswith("PayloadError: arguments")


async def test_arguments_that_do_not_fit_fail_like_any_error():
    """As where the function has another parameter in the worker's version."""

    async def as_it_was(first: int) -> None: ...

    async def as_it_is(first: int, second: int) -> None: ...

    async with TaskQueueManager("memory://versions") as old:
        old.register(as_it_was, name="job")
        await old.create_queue(QueueConfig("q"), work=False)
        await submit(old, as_it_was, 1)
    async with TaskQueueManager("memory://versions") as manager:
        manager.register(as_it_is, name="job")
        await queue(manager)
        info = await until(manager)
        assert info.error is not None
        assert info.error.startswith("TypeError: ")
        await goes_on(manager)


# --- hooks


@pytest.mark.parametrize(
    "error", [ValueError("hook"), SystemExit(1), asyncio.CancelledError(), GeneratorExit()]
)
@pytest.mark.parametrize("is_async", [False, True])
async def test_a_failing_hook_harms_nothing(error, is_async):
    told = []

    def plain(info: TaskInfo, failure: BaseException | None = None) -> None:
        told.append(info.task_id)
        raise error

    async def coroutine(info: TaskInfo, failure: BaseException | None = None) -> None:
        plain(info, failure)

    hook = coroutine if is_async else plain
    async with TaskQueueManager(
        "memory://", on_task_start=hook, on_task_complete=hook, on_task_fail=hook
    ) as manager:
        await queue(manager)
        await submit(manager, raising(ValueError("x")), task_id="bad")
        assert (await until(manager, task_id="bad")).error == "ValueError: x"
        await submit(manager, fine)
        assert (await until(manager)).result == "fine"
        await goes_on(manager)
    assert told.count("bad") == told.count("t") == 2


async def test_a_start_hook_that_never_ends_costs_the_attempt_its_time_and_no_slot():
    async def forever(info: TaskInfo) -> None:
        if info.task_id == "t":
            await asyncio.sleep(60)

    async with TaskQueueManager("memory://", on_task_start=forever) as manager:
        info = await end_of(manager, fine, task_timeout=0.1)
    assert (info.status, info.error) == (TaskStatus.FAILED, "TimeoutError: timed out after 0.1 s")


async def test_an_end_hook_that_never_ends_holds_no_slot_and_no_shutdown():
    async def forever(info: TaskInfo) -> None:
        await asyncio.sleep(60)

    manager = TaskQueueManager("memory://", on_task_complete=forever)
    await manager.initialize()
    assert (await end_of(manager, fine)).result == "fine"
    async with asyncio.timeout(30):
        await manager.shutdown(timeout=0.05)


# --- people


async def test_cancelling_a_waiting_task(manager):
    await queue(manager)
    await manager.pause_queue("q")
    await submit(manager, fine)
    assert await manager.cancel_task("t") is True
    assert (await until(manager)).status is TaskStatus.CANCELLED
    await manager.resume_queue("q")
    await goes_on(manager)


async def cancel_when_running(
    manager: TaskQueueManager, function: Callable[[], object]
) -> TaskInfo:
    await queue(manager)
    await submit(manager, function)
    await until(manager, TaskStatus.PROCESSING)
    assert await manager.cancel_task("t") is True
    info = await until(manager)
    await goes_on(manager)
    return info


async def test_cancelling_a_running_task(manager):
    async def long() -> None:
        await asyncio.sleep(60)

    assert (await cancel_when_running(manager, long)).status is TaskStatus.CANCELLED


async def test_a_task_that_finishes_although_cancelled_is_completed(manager):
    async def finishes() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "done all the same"
        return "never"

    info = await cancel_when_running(manager, finishes)
    assert (info.status, info.result) == (TaskStatus.COMPLETED, "done all the same")


async def test_a_cancelled_task_that_then_fails_is_cancelled_with_its_error(manager):
    async def stumbles() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise ValueError("while tidying up")

    info = await cancel_when_running(manager, stumbles)
    assert (info.status, info.error) == (TaskStatus.CANCELLED, "ValueError: while tidying up")


async def test_a_replayed_task_begins_anew(manager):
    outcomes = [ValueError("x"), None]

    async def second_time_lucky() -> str:
        if error := outcomes.pop(0):
            raise error
        return "replayed"

    assert (await end_of(manager, second_time_lucky)).status is TaskStatus.FAILED
    assert await manager.replay_task("t") is True
    info = await until(manager, TaskStatus.COMPLETED)
    assert (info.result, info.retry_count, info.attempt) == ("replayed", 0, 2)
    assert await manager.replay_task("t") is False


# --- the store


A = TypeVar("A")


class Deaf(MemoryStore):
    """Applies settles and loses the reply, `times` times; or loses the requests while `is_away`."""

    times = 0
    is_away = False
    lost = 0

    @override
    async def settle(
        self, queue: str, settlements: Sequence[Settlement], claim: ClaimRequest | None = None
    ) -> Settled:
        if self.is_away:
            raise Ambiguous("the store is away")
        settled = await super().settle(queue, settlements, claim)
        if self.lost < self.times:
            self.lost += 1
            raise Ambiguous("the reply was lost")
        return settled

    @override
    async def do(self, operation: Operation[A]) -> A:
        if self.is_away and isinstance(operation, Extend):
            raise Ambiguous("the store is away")
        return await super().do(operation)


async def test_a_success_whose_reply_is_lost_is_a_success_once():
    ran = []

    async def once() -> str:
        ran.append(1)
        return "kept"

    store = Deaf(SystemClock())
    store.times = 2
    async with TaskQueueManager(parts=parts_of(store)) as manager:
        info = await end_of(manager, once)
    assert (info.status, info.result, ran, store.lost) == (TaskStatus.COMPLETED, "kept", [1], 2)


async def test_a_store_that_goes_away_between_success_and_settle_makes_no_failure():
    """The lease lapses meanwhile; nobody else took the task, so its outcome still counts."""
    store = Deaf(SystemClock())

    async def then_away() -> str:
        store.is_away = True
        return "kept"

    async with TaskQueueManager(parts=parts_of(store)) as manager:
        await queue(manager, max_retries=0)
        await submit(manager, then_away)
        await asyncio.sleep(1.5 * LEASE)
        assert (await manager.get_task_status("t")).status is TaskStatus.PROCESSING
        store.is_away = False
        info = await until(manager)
        assert (info.status, info.attempt) == (TaskStatus.COMPLETED, 1)
        await goes_on(manager)


async def test_a_lease_that_cannot_be_extended_cancels_its_run_before_it_ends():
    store, order = Deaf(SystemClock()), list[str]()

    async def long() -> str:
        if TaskContext.current().attempt > 1:
            return "second"
        store.is_away = True
        lease.append(asyncio.create_task(end_of_the_lease()))
        try:
            await asyncio.sleep(60)
        finally:
            order.append("cancelled")
            store.is_away = False
        return "never"

    async def end_of_the_lease() -> None:
        await asyncio.sleep(LEASE)
        for _ in range(
            20
        ):  # on a busy machine, the keeper's timer goes off in the same turn of the loop as this one
            await asyncio.sleep(0)
        order.append("the lease ended")

    lease: list[asyncio.Task[None]] = []
    async with TaskQueueManager(parts=parts_of(store)) as manager:
        info = await end_of(manager, long)
        await asyncio.gather(*lease)
    assert (info.status, info.result, info.retry_count) == (TaskStatus.COMPLETED, "second", 0)
    assert order == ["cancelled", "the lease ended"]


# --- processes


async def test_shutdown_waits_for_what_can_end():
    manager = TaskQueueManager("memory://shutdown-waits")
    await manager.initialize()
    await queue(manager)

    async def soon() -> str:
        await asyncio.sleep(0.1)
        return "in time"

    await submit(manager, soon)
    await until(manager, TaskStatus.PROCESSING)
    await manager.shutdown(timeout=5)
    async with TaskQueueManager("memory://shutdown-waits") as later:
        assert (await later.get_task_status("t")).result == "in time"


async def module_level(name: str) -> str:
    """Long in the first attempt, short in the next."""
    if TaskContext.current().attempt == 1:
        await asyncio.sleep(60)
    return name


async def test_what_runs_may_submit_and_ask_while_shutdown_waits_for_it():
    store = f"memory://{__name__}.follow-up"

    async def parent() -> str:
        begun.set()
        await asyncio.sleep(0.05)
        await submit(manager, child, task_id="child")
        return (await manager.get_task_status("child")).status.value

    async def child() -> None: ...

    begun = asyncio.Event()
    told: list[str] = []

    async def on_complete(info: TaskInfo) -> None:
        await manager.submit_task(f"after-{info.task_id}", "q", "t", child)
        told.append(info.result)

    manager = TaskQueueManager(store, on_task_complete=on_complete)
    await manager.initialize()
    await queue(manager, lease=15)
    await submit(manager, parent, task_id="parent")
    await begun.wait()
    await manager.shutdown()
    assert told == ["queued"]
    async with TaskQueueManager(store) as other:
        for task_id in ("child", "after-parent"):
            assert (await other.get_task_status(task_id)).status is TaskStatus.QUEUED
        assert (await other.get_queue_status("q"))["processes"] == []


async def test_a_shutdown_beside_another_waits_for_its_end_and_nothing_begins_before(manager):
    """As where a signal's handler begins one and leaves the `async with` that does the same."""
    await queue(manager)
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        await asyncio.sleep(0.1)

    await submit(manager, work)
    await begun.wait()
    first = asyncio.create_task(manager.shutdown())
    await asyncio.sleep(0)
    beginning = asyncio.create_task(manager.initialize())
    with pytest.raises(TaskQueueError, match="shutting down"):
        await manager.create_queue(QueueConfig("late"))
    await manager.shutdown()
    assert first.done()
    await beginning
    await queue(manager)
    assert (await manager.get_task_status("t")).status is TaskStatus.COMPLETED
    await goes_on(manager)


async def test_shutdown_hands_back_what_still_runs_and_it_is_no_failure():
    async with TaskQueueManager("memory://hands-back") as first:
        await queue(first)
        await submit(first, module_level, "handed back")
        await until(first, TaskStatus.PROCESSING)
        await first.shutdown(timeout=0.01)
    async with TaskQueueManager("memory://hands-back") as second:
        assert (await second.get_task_status("t")).status is TaskStatus.QUEUED
        second.register(module_level)
        await queue(second)
        info = await until(second)
        assert (info.result, info.attempt, info.retry_count) == ("handed back", 2, 0)
        await goes_on(second)


async def test_a_task_that_returns_when_shutdown_cancels_it_is_completed():
    async def finishes() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "tidied up"
        return "never"

    async with TaskQueueManager("memory://returns") as first:
        await queue(first)
        await submit(first, finishes)
        await until(first, TaskStatus.PROCESSING)
        await first.shutdown(timeout=0.01)
    async with TaskQueueManager("memory://returns") as second:
        assert (await second.get_task_status("t")).result == "tidied up"


async def test_shutdown_fails_what_must_not_begin_twice():
    async with TaskQueueManager("memory://once-only") as first:
        pay = first.task(name="pay", at_most_once=True)(module_level)
        await queue(first)
        await submit(first, pay, "paid")
        await until(first, TaskStatus.PROCESSING)
        await first.shutdown(timeout=0.01)
    async with TaskQueueManager("memory://once-only") as second:
        info = await second.get_task_status("t")
    assert info.status is TaskStatus.FAILED
    assert info.error is not None
    assert "at_most_once forbids another" in info.error


async def crash(manager: TaskQueueManager) -> None:
    """End the manager's work without a word to the store, as SIGKILL does."""
    for served in manager._served.values():
        assert served.worker is not None
        runs = list(served.worker.slots)
        await served.worker.end()
        for run in runs:
            if run.handle is not None:
                run.handle.cancel()
    manager._served.clear()


async def test_a_killed_process_costs_the_task_nothing_but_time():
    async with TaskQueueManager("memory://killed") as first:
        await queue(first)
        await submit(first, module_level, "survived")
        await until(first, TaskStatus.PROCESSING)
        await crash(first)
        async with TaskQueueManager("memory://killed") as second:
            second.register(module_level)
            await queue(second)
            info = await until(second)
            assert (info.result, info.attempt, info.retry_count) == ("survived", 2, 0)
            await goes_on(second)


async def test_a_task_that_takes_its_process_down_too_often_fails():
    async with TaskQueueManager("memory://poison") as first:
        await queue(first, max_deliveries=0)
        await submit(first, module_level, "poison")
        await until(first, TaskStatus.PROCESSING)
        await crash(first)
        async with TaskQueueManager("memory://poison") as second:
            second.register(module_level)
            await queue(second, max_deliveries=0)
            info = await until(second)
            assert info.status is TaskStatus.FAILED
            assert info.error is not None
            assert "its worker was lost 1 time," in info.error
            await goes_on(second)


async def test_at_most_once_turns_a_lost_worker_into_a_failure():
    async with TaskQueueManager("memory://once") as first:
        pay = first.task(name="pay", at_most_once=True)(module_level)
        await queue(first)
        await submit(first, pay, "paid")
        await until(first, TaskStatus.PROCESSING)
        await crash(first)
        async with TaskQueueManager("memory://once") as second:
            second.register(module_level, name="pay")
            await queue(second)
            info = await until(second)
            assert (info.status, info.attempt) == (TaskStatus.FAILED, 1)
            assert info.error is not None
            assert "at_most_once forbids another" in info.error
            await goes_on(second)


async def test_a_closure_whose_process_has_gone_fails_with_the_reason(monkeypatch):
    monkeypatch.setattr(
        steady, "PRESENCE_MS", 200
    )  # how long the store is watched before a process counts as gone

    async def closure() -> None: ...

    async with TaskQueueManager("memory://orphan") as first:
        await first.create_queue(QueueConfig("q", lease=LEASE), work=True)
        await first.pause_queue("q")
        await submit(first, closure)
    async with TaskQueueManager("memory://orphan", tick=0.01) as second:
        await second.create_queue(QueueConfig("q", max_workers=1, lease=LEASE))
        await second.resume_queue("q")
        info = await until(second)
        assert info.status is TaskStatus.FAILED
        assert info.error is not None
        assert "the process that submitted this closure or lambda is gone" in info.error
        await goes_on(second)


async def test_a_run_cancelled_by_a_loop_that_ends_counts_for_nothing(manager):
    """`asyncio.run` cancels everything at its end: a program that forgot `shutdown` is as one that was killed."""
    await queue(manager)
    await submit(manager, module_level, "again")
    await until(manager, TaskStatus.PROCESSING)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(2 * LEASE)
    info = await manager.get_task_status("t")
    assert (info.status, info.attempt) == (TaskStatus.PROCESSING, 1)


async def test_a_task_that_is_cancelled_alone_fails_like_any_other(manager):
    async def cancels_itself() -> None:
        current = asyncio.current_task()
        assert current is not None
        current.cancel()
        await asyncio.sleep(60)

    info = await end_of(manager, cancels_itself, max_retries=1, retry_delay=0.01)
    assert (info.status, info.attempt) == (TaskStatus.FAILED, 2)
    assert info.error == "CancelledError: raised by the task itself"


async def test_kew_installs_no_signal_handlers(manager):
    watched = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in watched]
    async with TaskQueueManager("memory://") as other:
        await queue(other)
        await goes_on(other)
        assert [signal.getsignal(number) for number in watched] == before


async def test_a_function_that_nobody_knows_waits_visibly():
    async with TaskQueueManager("memory://unknown") as submitting:
        await submitting.create_queue(QueueConfig("q", lease=LEASE), work=False)
        await submit(submitting, module_level, "whenever")
        async with TaskQueueManager("memory://unknown") as working:
            await queue(working)
            await goes_on(working)
            status = await working.get_queue_status("q")
            assert status["queued_tasks"] == 1
            assert list(status["stuck_functions"].values()) == [1]


# --- submitting and waiting


async def test_a_submit_whose_caller_is_cancelled_goes_on(manager):
    await queue(manager)
    await goes_on(manager)
    calling = asyncio.create_task(submit(manager, fine))
    await asyncio.sleep(0)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert (await until(manager)).result == "fine"


async def test_a_result_that_is_waited_for_raises_what_became_of_the_task(manager):
    @manager.task(queue="q")
    async def fails() -> None:
        raise ValueError("x")

    await queue(manager)
    handle = await fails.submit()
    with pytest.raises(TaskFailedError, match="ValueError: x") as failed:
        await handle.result(timeout=30)
    assert failed.value.info.status is TaskStatus.FAILED  # type: ignore[attr-defined]
