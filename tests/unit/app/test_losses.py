"""A lost worker is logged by the process that recovered its tasks."""

import asyncio
import functools
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import attrs
import pytest

from kew import Observer, QueueConfig, TaskEvent, TaskFailedError, TaskInfo, TaskQueueManager
from kew.adapters.clocks import SystemClock
from kew.adapters.memory.hub import MemoryWakeup
from kew.adapters.memory.namespace import Namespace
from kew.adapters.memory.store import MemoryStore
from kew.app import repeat
from kew.app.ports import Announce, Declare, Find, Operation, Refused, Sweep
from kew.app.working import losses
from kew.app.working.losses import log_orphans, report_expired, report_lost
from kew.bootstrap import Parts
from kew.compat import override
from kew.domain.requests import ClaimRequest, Grant, LostWorker, Word
from kew.domain.task import Unreadable, pinned_name
from kew.domain.transitions import ORPHANED, lost_too_often
from tests.support import jobs
from tests.support.asking import record_of
from tests.support.scene import call, group


def test_each_lost_worker_is_one_line_with_the_number_of_its_tasks(
    caplog: pytest.LogCaptureFixture,
):
    with caplog.at_level(logging.WARNING, logger="kew"):
        report_lost("q", (LostWorker("w1", 1), LostWorker("w2", 3)))
    assert caplog.messages == [
        "queue q: worker w1 lost, 1 task recovered",
        "queue q: worker w2 lost, 3 tasks recovered",
    ]


def test_nothing_is_logged_when_nothing_was_recovered(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG, logger="kew"):
        report_lost("q", ())
    assert caplog.messages == []


@pytest.mark.parametrize(("tasks", "said"), [(0, []), (1, ["1 closure "]), (7, ["7 closures "])])
def test_closures_that_failed_with_their_process_are_one_line(
    caplog: pytest.LogCaptureFixture, tasks: int, said: list[str]
):
    log_orphans("q", tasks)
    assert [each in message for each, message in zip(said, caplog.messages, strict=True)] == [
        True for _ in said
    ]


async def test_the_process_that_recovers_by_claiming_logs_the_loss(
    caplog: pytest.LogCaptureFixture,
):
    namespace = Namespace()
    store = MemoryStore(SystemClock(), namespace)
    await store.do(Declare("q", QueueConfig("q").settings(), "one"))
    await store.do(Announce("q", "dead", [f"{jobs.__name__}:echo"], 60_000))
    parts = Parts(store=store, wakeup=MemoryWakeup(namespace.hub))
    async with TaskQueueManager(parts=parts, tick=0.02) as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        await manager.submit_task("t", "q", "test", jobs.echo, None, 1)
        dead = ClaimRequest(incarnation="dead", lane=1, sequence=1, want=1, lease_ms=1)
        assert len((await store.claim("q", dead)).tasks) == 1
        async with TaskQueueManager(parts=attrs.evolve(parts, wakeup=other(namespace))) as worker:
            with caplog.at_level(logging.WARNING, logger="kew"):
                await worker.create_queue(QueueConfig("q"), functions=[jobs.echo])
                async with asyncio.timeout(30):
                    assert (await record_of(manager, "q", "t")).losses == 1
    assert caplog.messages.count("queue q: worker dead lost, 1 task recovered") == 1


def other(namespace: Namespace) -> MemoryWakeup:
    """The subscription of another process."""
    return MemoryWakeup(namespace.hub)


A = TypeVar("A")


class Sweeping(MemoryStore):
    """A store whose claims by the living bring nothing, so that sweeps recover what the dead held."""

    @override
    async def claim(self, queue: str, request: ClaimRequest) -> Grant:
        if request.incarnation != "dead":
            return Grant(word=Word.DONE)
        return await super().claim(queue, request)


async def poisoned(
    namespace: Namespace, store: MemoryStore, hooked: list[tuple[str, str, str]]
) -> None:
    """A task loses its worker for the last time; of two processes, one works and recovers it."""
    config = QueueConfig("q", max_deliveries=0)
    await store.do(Declare("q", config.settings(), "one"))
    await store.do(Announce("q", "dead", [f"{jobs.__name__}:echo"], 60_000))

    def note(name: str) -> Callable[[TaskInfo, BaseException], None]:
        return lambda info, error: hooked.append((name, info.task_id, f"{info.attempt} {error}"))

    async with (
        TaskQueueManager(parts=parts_on(namespace, store), on_task_fail=note("a")) as one,
        TaskQueueManager(
            parts=parts_on(namespace, store), on_task_fail=note("b"), tick=0.005
        ) as two,
    ):
        await one.create_queue(config, work=False)
        info = await one.submit_task("t", "q", "test", jobs.echo, None, 1)
        dead = ClaimRequest(incarnation="dead", lane=1, sequence=1, want=1, lease_ms=1)
        assert len((await store.claim("q", dead)).tasks) == 1
        waiting = asyncio.ensure_future(one.handle(info).result(timeout=30))
        await two.create_queue(config, functions=[jobs.echo])
        with pytest.raises(TaskFailedError, match="max_deliveries"):
            await waiting


@pytest.mark.parametrize("kind", [MemoryStore, Sweeping])
async def test_a_task_that_failed_with_its_worker_reaches_the_hook_of_one_process(
    caplog: pytest.LogCaptureFixture, kind: type[MemoryStore]
):
    caplog.set_level(logging.WARNING, logger="kew")
    namespace = Namespace()
    hooked: list[tuple[str, str, str]] = []
    await poisoned(namespace, kind(SystemClock(), namespace), hooked)
    assert hooked == [("b", "t", f"1 {lost_too_often(1)}")]
    said = [message for message in caplog.messages if message.startswith("task t (queue q, ")]
    assert len(said) == 1
    assert "attempt 1 failed for good: its worker was lost" in said[0]


async def test_a_closure_that_failed_with_its_process_is_reported_like_other_failures(
    caplog: pytest.LogCaptureFixture,
):
    class Impatient(MemoryStore):
        """Who isn't present has gone."""

        @override
        async def do(self, operation: Operation[A]) -> A:
            if isinstance(operation, Sweep):
                changes: dict[str, Any] = {"gone_by": self._now()}
                operation = attrs.evolve(operation, **changes)  # type: ignore[assignment]
            return await super().do(operation)

    caplog.set_level(logging.WARNING, logger="kew")
    namespace = Namespace()
    store = Impatient(SystemClock(), namespace)
    config = QueueConfig("q")
    await store.do(Declare("q", config.settings(), "one"))
    pinned = call("t", function=pinned_name("gone", "closure"))
    await store.submit("q", [group(pinned)])
    hooked: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    def note(info: TaskInfo, error: BaseException) -> None:
        hooked.put_nowait((info.task_id, str(error)))

    async with TaskQueueManager(
        parts=parts_on(namespace, store), on_task_fail=note, tick=0.005
    ) as manager:
        await manager.create_queue(config, functions=[jobs.echo])
        async with asyncio.timeout(30):
            assert await hooked.get() == ("t", ORPHANED)
        letters = [letter async for letter in manager.failed_tasks("q")]
        assert [each.how for letter in letters for each in letter.attempts] == ["orphaned"]
    said = [message for message in caplog.messages if message.startswith("task t (queue q, ")]
    assert len(said) == 1
    assert f": failed for good: {ORPHANED}" in said[0]
    assert hooked.empty()


async def test_a_record_that_cannot_be_read_costs_its_own_hook_alone(
    caplog: pytest.LogCaptureFixture,
):
    class Damaged(MemoryStore):
        @override
        async def do(self, operation: Operation[A]) -> A:
            answer = await super().do(operation)
            if isinstance(operation, Find):
                answer.insert(0, Unreadable("other", "cut short"))  # type: ignore[attr-defined]
            return answer

    namespace = Namespace()
    hooked: list[tuple[str, str, str]] = []
    await poisoned(namespace, Damaged(SystemClock(), namespace), hooked)
    assert [task_id for _, task_id, _ in hooked] == ["t"]
    assert any(message.startswith("queue q: task other failed") for message in caplog.messages)


async def test_a_store_that_does_not_answer_costs_the_hook_and_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    class Silent(MemoryStore):
        @override
        async def do(self, operation: Operation[A]) -> A:
            if isinstance(operation, Find):
                raise Refused("not now")
            return await super().do(operation)

    monkeypatch.setattr(losses, "ask", functools.partial(repeat.ask, patience=0.0))
    namespace = Namespace()
    hooked: list[tuple[str, str, str]] = []
    await poisoned(namespace, Silent(SystemClock(), namespace), hooked)
    assert hooked == []
    assert any("hooks are not called: t: " in message for message in caplog.messages)


def parts_on(namespace: Namespace, store: MemoryStore) -> Parts:
    return Parts(store=store, wakeup=other(namespace))


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        (0, []),
        (1, ["queue q: 1 task expired: no process started it within expires_in"]),
        (7, ["queue q: 7 tasks expired: no process started them within expires_in"]),
    ],
)
def test_tasks_that_expired_are_one_line(
    caplog: pytest.LogCaptureFixture, tasks: int, said: list[str]
):
    with caplog.at_level(logging.INFO, logger="kew"):
        report_expired("q", tasks)
    assert caplog.messages == said


class Seen(Observer):
    """The tasks that were cancelled."""

    def __init__(self) -> None:
        self.cancelled: asyncio.Queue[str] = asyncio.Queue()

    @override
    def on_task(self, event: TaskEvent) -> None:
        if event.kind == "cancelled":
            self.cancelled.put_nowait(event.task_id)


async def test_each_task_that_expired_is_one_event_and_all_are_one_line(
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.INFO, logger="kew")
    store, seen = MemoryStore(SystemClock(), Namespace()), Seen()
    await store.do(Declare("q", QueueConfig("q").settings(), "one"))
    named = f"{jobs.__name__}:echo"
    await store.submit("q", [group(*(call(n, function=named, start_by_ms=1) for n in "ab"))])
    await asyncio.sleep(0.01)
    async with TaskQueueManager(parts=parts_on(store.namespace, store), observer=seen) as manager:
        await manager.create_queue(QueueConfig("q"), functions=[jobs.echo])
        async with asyncio.timeout(30):
            assert [await seen.cancelled.get() for _ in "ab"] == ["a", "b"]
    assert seen.cancelled.empty()
    assert [each for each in caplog.messages if "expired" in each] == [
        "queue q: 2 tasks expired: no process started them within expires_in"
    ]
