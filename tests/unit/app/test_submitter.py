"""Submitting as a process does it: what a queue says of its tasks, and functions that only this process can run."""

import asyncio
import functools
import gc
import itertools
import logging
import weakref
from typing import Any, TypeVar

import pytest

from kew import (
    InvalidTaskError,
    QueueConfig,
    QueueFullError,
    QueuePriority,
    StoreUnavailableError,
    TaskAlreadyExistsError,
    TaskQueueManager,
    TaskStatus,
)
from kew.adapters.clocks import SystemClock
from kew.adapters.memory.hub import MemoryWakeup
from kew.adapters.memory.store import MemoryStore
from kew.app.declaring import Announced
from kew.app.ports import Announce, Operation, Refused
from kew.app.submitting import submitter
from kew.app.submitting.pins import KEPT
from kew.bootstrap import Parts
from kew.compat import override
from tests.support import jobs
from tests.support.answering import answer_instead
from tests.support.ledger import until

QUIET: Any = {"max_circuit_breaker_failures": None}

HIGH, LOW = QueuePriority.HIGH, QueuePriority.LOW


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="kew")


async def submit(manager: TaskQueueManager, task_id: str, function: Any = jobs.echo) -> Any:
    return await manager.submit_task(task_id, "q", "t", function, None, task_id)


# --- priorities


async def test_a_queues_priority_is_that_of_the_latest_declaration_in_every_process_that_works_on_it():
    url = f"memory://{__name__}.latest"
    async with TaskQueueManager(url) as first, TaskQueueManager(url) as second:
        await first.create_queue(QueueConfig("q", priority=LOW), functions=[jobs.echo])
        assert (await submit(first, "before")).priority == LOW
        await second.create_queue(QueueConfig("q", priority=HIGH), functions=[jobs.echo])
        await submit(first, "brings the news")
        await until(lambda: first._served["q"].maintainer.priority == HIGH, "the news")
        assert (await submit(first, "after")).priority == HIGH


async def test_a_process_that_only_submits_follows_a_new_priority_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(submitter, "PRIORITY_KEPT", 0.02)
    url = f"memory://{__name__}.elsewhere"
    async with TaskQueueManager(url) as owner, TaskQueueManager(url) as web:
        await owner.create_queue(QueueConfig("q", priority=LOW))
        assert (await submit(web, "before")).priority == LOW
        async with TaskQueueManager(url) as other:
            await other.create_queue(QueueConfig("q", priority=HIGH))
            await asyncio.sleep(0.1)
            assert (await submit(web, "after")).priority == HIGH


# --- calls that don't fit


async def plain(first: int, second: int = 2, /, third: int = 3, *, last: int = 4) -> None: ...
async def takes_all(*args: object, **kwargs: object) -> None: ...
async def needs_a_name(first: int = 1, *, name: str) -> None: ...
async def needs_one(first: int, *rest: int) -> None: ...


@functools.wraps(plain)
async def wrapper(*args: object) -> None: ...


CASES: list[tuple[Any, tuple[object, ...], dict[str, Any], bool]] = [
    (plain, (1,), {}, True),
    (plain, (1, 2, 3), {"last": 5}, True),
    (plain, (1,), {"third": 5}, True),
    (plain, (), {}, False),
    (plain, (1, 2, 3, 4), {}, False),
    (plain, (1,), {"second": 5}, False),
    (plain, (1, 2, 3), {"third": 5}, False),
    (plain, (1,), {"other": 5}, False),
    (takes_all, (), {}, True),
    (takes_all, (1, 2), {"any": 3}, True),
    (needs_a_name, (1,), {"name": "n"}, True),
    (needs_a_name, (1,), {}, False),
    (needs_a_name, (), {}, False),
    (needs_one, (1, 2, 3), {}, True),
    (needs_one, (), {}, False),
    (functools.partial(plain, 1), (), {}, True),
    (functools.partial(plain, 1), (2, 3, 4), {}, False),
    (jobs.echo, ("value",), {}, True),
    (wrapper, (1, 2, 3, 4, 5), {}, True),  # what it wraps is not what is called
    (wrapper, (), {"last": 5}, False),
]


@pytest.mark.parametrize(("function", "args", "kwargs", "fits"), CASES)
async def test_a_call_that_does_not_fit_its_function_is_refused_with_the_reason(
    function: Any, args: tuple[object, ...], kwargs: dict[str, Any], fits: bool
):
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        await manager.pause_queue("q")
        calling = manager.submit_task("t", "q", "t", function, None, *args, **kwargs)
        if fits:
            assert (await calling).task_id == "t"
            return
        with pytest.raises(InvalidTaskError, match=r"task 't' .* can't be called like this: ."):
            await calling
        assert (await manager.get_queue_status("q"))["queued_tasks"] == 0


# --- functions that only this process can run


@pytest.mark.parametrize("declares", [True, False])
async def test_a_closure_is_refused_where_this_process_does_not_work_on_the_queue(declares: bool):
    url = f"memory://{__name__}.closure-{declares}"
    async with TaskQueueManager(url) as owner, TaskQueueManager(url) as web:
        await owner.create_queue(QueueConfig("q"))
        if declares:
            await web.create_queue(QueueConfig("q"), work=False)
        with pytest.raises(InvalidTaskError, match="doesn't work on queue 'q'"):
            await submit(web, "one", lambda value: value)
        with pytest.raises(InvalidTaskError, match="doesn't work on queue 'q'"):
            await web.submit_tasks(
                "q", [{"task_id": "two", "task_type": "t", "task_func": lambda: None}]
            )
        assert (await owner.get_queue_status("q"))["queued_tasks"] == 0


class Thing:
    """What a closure may hold on to."""

    async def work(self, value: object) -> object:
        return value


async def test_what_a_closure_holds_is_let_go_of_when_its_tasks_have_completed():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q", max_retries=1, retry_delay=0))
        things = [Thing() for _ in range(3)]
        gone = [weakref.ref(thing) for thing in things]
        for n in range(3):
            work: Any = functools.partial(things[n].work)
            await asyncio.gather(submit(manager, f"{n}-a", work), submit(manager, f"{n}-b", work))
            work = None
        for n in range(3):
            await until_ended(manager, f"{n}-a")
            await until_ended(manager, f"{n}-b")
        things.clear()
        gc.collect()
        assert [each() for each in gone] == [None] * 3
        assert manager._registry.functions() == ()


async def test_a_store_knows_nothing_of_closures_but_their_tasks():
    store = MemoryStore(SystemClock())
    parts = Parts(store=store, wakeup=MemoryWakeup(store.namespace.hub))
    async with TaskQueueManager(parts=parts) as manager:
        await manager.create_queue(QueueConfig("q"))
        for n in range(20):
            await submit(manager, f"{n}", functools.partial(Thing().work))
            await until_ended(manager, f"{n}")
        (served,) = manager._served.values()
        await served.maintainer.announce()
        indexed = store.namespace.queues["q"].indexed
        assert list(indexed.functions.values()) == [set()]
        assert len(indexed._lines) <= 1


def entries(count: int) -> list[dict[str, Any]]:
    return [
        {"task_id": str(n), "task_type": "t", "task_func": functools.partial(Thing().work, n)}
        for n in range(count)
    ]


async def test_nothing_is_kept_for_closures_that_were_surely_not_stored():
    store = MemoryStore(SystemClock())
    parts = Parts(store=store, wakeup=MemoryWakeup(store.namespace.hub))
    async with TaskQueueManager(parts=parts, patience=0.1) as manager:
        await manager.create_queue(QueueConfig("q", max_size=2))
        await manager.pause_queue("q")
        with pytest.raises(QueueFullError):
            await manager.submit_tasks("q", entries(3))
        mistaken = entries(2)
        mistaken[1]["task_id"] = ""
        with pytest.raises(InvalidTaskError):
            await manager.submit_tasks("q", mistaken)
        with pytest.raises(TaskAlreadyExistsError):
            await manager.submit_tasks("q", entries(1) * 2)

        async def refuse(*_arguments: object) -> Any:
            raise Refused("away")

        store.submit = refuse  # type: ignore[assignment]  # as if it couldn't be reached
        for submitting in (
            submit(manager, "a", Thing().work),
            manager.submit_tasks("q", entries(2)),
        ):
            with pytest.raises(StoreUnavailableError):
                await submitting
        assert manager._registry.functions() == ()


async def test_a_closure_that_failed_or_was_cancelled_can_be_released():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q", **QUIET))
        for n in range(KEPT + 10):
            await submit(manager, f"t{n}", functools.partial(jobs.fail))
            await until_ended(manager, f"t{n}")
        assert len(manager._registry.functions()) == KEPT
        await manager.pause_queue("q")
        for n in range(KEPT):
            await submit(manager, f"c{n}", functools.partial(jobs.echo))
            await manager.cancel_task(f"c{n}")
        await asyncio.sleep(0)
        assert len(manager._registry.functions()) == KEPT
        await manager.cleanup()
        assert manager._registry.functions() == ()


async def test_a_replay_of_a_released_closure_says_so():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q", **QUIET))
        for n in range(KEPT + 1):
            await submit(manager, f"t{n}", functools.partial(jobs.fail))
            await until_ended(manager, f"t{n}")
        await manager.replay_task("t0")
        await until_ended(manager, "t0")
        error = (await manager.get_task_status("t0")).error
        assert "released it after its task had ended" in str(error)
        assert "replayed too late" in str(error)


A = TypeVar("A")


async def test_a_closure_goes_while_an_announcement_waits_for_its_answer():
    announced = asyncio.Event()

    class Slow(MemoryStore):
        @override
        async def do(self, operation: Operation[A]) -> A:
            if isinstance(operation, Announce) and operation.functions:
                await announced.wait()
            return await super().do(operation)

    store = Slow(SystemClock())
    parts = Parts(store=store, wakeup=MemoryWakeup(store.namespace.hub))
    async with TaskQueueManager(parts=parts) as manager:
        await manager.create_queue(QueueConfig("q"))
        slow = asyncio.ensure_future(submit(manager, "named", jobs.echo))
        await asyncio.sleep(0)
        await submit(manager, "closure", functools.partial(jobs.echo))
        await until_ended(manager, "closure")
        assert not slow.done()
        announced.set()
        await slow


async def test_a_submit_waits_for_no_function_that_was_registered_after_it():
    store = MemoryStore(SystemClock())
    parts = Parts(store=store, wakeup=MemoryWakeup(store.namespace.hub))
    async with TaskQueueManager(parts=parts) as manager:
        await manager.create_queue(QueueConfig("q"))
        do, numbers = store.do, itertools.count()

        async def another(announce: Announce) -> Announced:
            """A program that registers functions all the time."""
            manager.register(lambda: None, name=f"f{next(numbers)}")
            return await do(announce)

        answer_instead(store, Announce, another)
        async with asyncio.timeout(30):
            await submit(manager, "a", jobs.echo)
        await until_ended(manager, "a")


async def test_a_closure_that_was_registered_or_may_be_put_back_is_kept():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        attempts: list[str] = []

        async def fails(value: str) -> None:
            attempts.append(value)
            if len(attempts) == 1:
                raise ValueError

        async def kept(value: str) -> None:
            attempts.append(value)

        manager.register(kept)
        await submit(manager, "kept", kept)
        await until_ended(manager, "kept")
        assert len(manager._registry.functions()) == 1
        attempts.clear()
        await submit(manager, "fails", fails)
        await until_ended(manager, "fails")
        await manager.replay_task("fails")
        await until(lambda: len(attempts) == 2, "the second attempt")
        await until_ended(manager, "fails")
        assert len(manager._registry.functions()) == 1


@pytest.mark.parametrize(
    "wrong", [{"args": (1, 2)}, {"priority": 9}, {"args": (object(),)}, {"task_type": "\n"}]
)
async def test_a_closure_of_a_mistaken_call_is_not_kept(wrong: dict[str, Any]):
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        call = {"task_id": "t", "task_type": "t", "task_func": lambda value: value, "args": (1,)}
        with pytest.raises(InvalidTaskError):
            await manager.submit_tasks("q", [{**call, **wrong}])
        assert manager._registry.functions() == ()


async def test_a_closure_that_was_refused_is_not_kept():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q", max_size=1))
        await manager.pause_queue("q")
        await submit(manager, "first")
        with pytest.raises(QueueFullError):
            await submit(manager, "second", functools.partial(jobs.echo))
        assert len(manager._registry.functions()) == 1


async def until_ended(manager: TaskQueueManager, task_id: str) -> None:
    ended = {TaskStatus.COMPLETED, TaskStatus.FAILED}
    async with asyncio.timeout(30):
        while (await manager.get_task_status(task_id)).status not in ended:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.005)
