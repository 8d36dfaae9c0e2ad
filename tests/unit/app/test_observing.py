"""An observer sees what happens to tasks and each operation of the store, and can harm nothing."""

import asyncio
import logging
from typing import Any, TypeVar

import attrs
import pytest

from kew import (
    GiveUp,
    InvalidConfigError,
    Observer,
    QueueConfig,
    Retry,
    StoreCall,
    TaskAlreadyExistsError,
    TaskEvent,
    TaskQueueManager,
    TaskStatus,
    WorkerLoss,
)
from kew.adapters.clocks import SystemClock
from kew.adapters.codecs.messagepack import MessagePackCodec
from kew.adapters.memory.hub import MemoryWakeup
from kew.adapters.memory.store import MemoryStore
from kew.app.observing import ObservedStore
from kew.app.ports import (
    OPERATIONS,
    Ambiguous,
    Announce,
    Damaged,
    Declare,
    Operation,
    Peek,
    Refused,
    Settle,
    Submit,
)
from kew.bootstrap import Parts
from kew.compat import override
from kew.domain.config import Settings
from kew.domain.requests import ALONE, ClaimRequest
from kew.testing import SimulatedManager, run
from tests.support import jobs
from tests.support.scene import call, group

A = TypeVar("A")


@attrs.define(eq=False)
class Notes(Observer):
    """Notes all that it sees."""

    events: list[TaskEvent] = attrs.field(factory=list)
    calls: list[StoreCall] = attrs.field(factory=list)
    losses: list[WorkerLoss] = attrs.field(factory=list)

    @override
    def on_task(self, event: TaskEvent) -> None:
        self.events.append(event)

    @override
    def on_store_call(self, call: StoreCall) -> None:
        self.calls.append(call)

    @override
    def on_worker_lost(self, loss: WorkerLoss) -> None:
        self.losses.append(loss)

    def kinds(self, task_id: str) -> list[str]:
        return [event.kind for event in self.events if event.task_id == task_id]


async def twice(context: list[int]) -> int:
    """It asks for a retry at first."""
    context.append(len(context))
    if len(context) == 1:
        raise Retry(after=3)
    await asyncio.sleep(2)
    return 7


async def hopeless() -> None:
    raise GiveUp("no use")


async def endless() -> None:
    await asyncio.sleep(3600)


# --- tasks


def test_each_change_of_a_task_is_seen_in_order_with_its_times():
    notes = Notes()

    async def story(manager: SimulatedManager) -> None:
        seen: list[int] = []

        async def attempt() -> int:
            return await twice(seen)

        await manager.create_queue(QueueConfig("q", max_retries=1), functions=[attempt])
        await manager.submit_task("t", "q", "report", attempt, _defer_by=5)
        await manager.drain()

    run(story, observer=notes)
    assert notes.kinds("t") == ["submitted", "started", "retried", "started", "succeeded"]
    submitted, started, retried, again, succeeded = notes.events
    assert submitted.info.status is TaskStatus.QUEUED
    assert (submitted.queue, submitted.task_type, submitted.attempt) == ("q", "report", 0)
    assert submitted.function.endswith("attempt")
    assert (submitted.seconds, submitted.error) == (None, None)
    assert (started.attempt, again.attempt, succeeded.attempt) == (1, 2, 2)
    assert started.seconds == pytest.approx(0, abs=0.1)  # it was claimed when it was due
    assert isinstance(retried.error, Retry)
    assert retried.info.status is TaskStatus.RETRY
    assert succeeded.seconds == pytest.approx(2, abs=0.1)
    assert succeeded.info.result == 7
    assert "error" not in repr(submitted.info.result)


def test_failures_cancellations_replays_and_releases_are_seen():
    notes = Notes()

    async def story(manager: SimulatedManager) -> None:
        await manager.create_queue(QueueConfig("q"), functions=[hopeless, endless])
        await manager.submit_task("fails", "q", "t", hopeless)
        await manager.submit_task("waits", "q", "t", endless, _defer_by=100)
        await manager.submit_task("runs", "q", "t", endless)
        await asyncio.sleep(1)
        assert await manager.replay_task("fails")
        await asyncio.sleep(1)
        assert await manager.cancel_task("waits")
        assert await manager.cancel_task("waits")  # it had been cancelled: nothing changes
        assert await manager.cancel_task("runs")
        await manager.drain()
        await manager.submit_task("left", "q", "t", endless)
        await asyncio.sleep(1)
        await manager.shutdown(timeout=1)

    run(story, observer=notes)
    again = ["started", "failed"]
    assert notes.kinds("fails") == ["submitted", *again, "replayed", *again]
    assert notes.kinds("waits") == ["submitted", "cancelled"]
    assert notes.kinds("runs") == ["submitted", "started", "cancelled"]
    assert notes.kinds("left") == ["submitted", "started", "released"]
    cancelled = [event for event in notes.events if event.kind == "cancelled"]
    assert {event.info.status for event in cancelled} == {TaskStatus.CANCELLED}
    [replayed] = [event for event in notes.events if event.kind == "replayed"]
    assert replayed.info.status is TaskStatus.QUEUED


@pytest.mark.parametrize("filters", [{}, {"function": f"{jobs.__name__}:echo"}])
async def test_each_task_that_a_purge_cancels_is_seen(filters: dict[str, Any]):
    notes = Notes()
    async with TaskQueueManager("memory://", observer=notes) as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        for n in range(3):
            await manager.submit_task(f"t{n}", "q", "t", jobs.echo, None, n)
        assert await manager.purge_queue("q", **filters) == 3
    for n in range(3):
        assert notes.kinds(f"t{n}") == ["submitted", "cancelled"]
    assert notes.events[-1].info.status is TaskStatus.CANCELLED


@pytest.mark.parametrize("works", [True, False], ids=["by a claim", "by a sweep"])
def test_a_task_that_expires_is_seen_by_the_process_that_ends_it(works: bool):
    notes = Notes()

    async def story(manager: SimulatedManager) -> None:
        await manager.create_queue(QueueConfig("q", max_workers=1), functions=[endless], work=works)
        if works:
            await manager.submit_task("first", "q", "t", endless)
        await manager.submit_task("t", "q", "t", endless, _expires_in=5)
        await asyncio.sleep(6 if works else 25 * 24 * 3600)  # the manager sweeps every 20 days
        if works:
            await manager.cancel_task("first")
            await asyncio.sleep(1)

    run(story, observer=notes)
    assert notes.kinds("t") == ["submitted", "cancelled"]
    [info] = [event.info for event in notes.events if event.task_id == "t"][1:]
    assert (info.status, info.attempt) == (TaskStatus.CANCELLED, 0)
    assert str(info.error).startswith("it expired: ")


async def test_what_is_refused_is_not_submitted_and_what_shares_a_round_trip_is_seen_singly():
    notes = Notes()
    async with TaskQueueManager("memory://", observer=notes) as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        tasks = [{"task_id": str(n), "task_type": "t", "task_func": jobs.echo} for n in range(3)]
        await manager.submit_tasks("q", tasks)
        with pytest.raises(TaskAlreadyExistsError):
            await manager.submit_task("1", "q", "t", jobs.echo)
    assert [(event.kind, event.task_id) for event in notes.events] == [
        ("submitted", "0"),
        ("submitted", "1"),
        ("submitted", "2"),
    ]


async def test_tasks_that_a_lost_worker_left_are_counted_and_those_that_fail_are_seen():
    notes, store = Notes(), MemoryStore(SystemClock())
    await store.do(Declare("q", QueueConfig("q", max_deliveries=0).settings(), "one"))
    await store.do(Announce("q", "dead", [f"{jobs.__name__}:echo"], 60_000))
    await store.submit("q", [group(call("t", function=f"{jobs.__name__}:echo"))])
    dead = ClaimRequest(incarnation="dead", lane=1, sequence=1, want=1, lease_ms=1)
    assert (await store.claim("q", dead)).tasks
    await asyncio.sleep(0.01)
    parts = Parts(store=store, wakeup=MemoryWakeup(store.namespace.hub))
    async with TaskQueueManager(parts=parts, observer=notes) as manager:
        await manager.create_queue(QueueConfig("q", max_deliveries=0), functions=[jobs.echo])
        while not notes.events:  # noqa: ASYNC110 - it looks it up in the background
            await asyncio.sleep(0)
    assert notes.losses == [WorkerLoss(queue="q", process="dead", tasks=1)]
    assert notes.kinds("t") == ["failed"]


# --- the store


class Answering(MemoryStore):
    """It raises what it is told to, and notes what it is asked."""

    error: BaseException | None = None

    @override
    async def do(self, operation: Operation[A]) -> A:
        await asyncio.sleep(0.25)
        if self.error is not None:
            raise self.error
        return await super().do(operation)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "ok"),
        (Refused("not now"), "refused"),
        (Ambiguous("no reply"), "ambiguous"),
        (Damaged("kew:tasks is a list"), "damaged"),
        (ValueError("a bug"), "ambiguous"),
        (asyncio.CancelledError(), "ambiguous"),
    ],
)
def test_a_call_of_the_store_is_seen_with_its_duration_and_outcome(
    error: BaseException | None, outcome: str
):
    notes, errors = Notes(), list[BaseException]()

    async def story(_: SimulatedManager) -> None:
        store = Answering(SystemClock())
        store.error = error
        observed = ObservedStore(store, notes, MessagePackCodec())
        try:
            await observed.do(Peek("q"))
        except BaseException as raised:  # noqa: BLE001 - the very error of the store
            errors.append(raised)

    run(story)
    assert errors == ([] if error is None else [error])
    expected = StoreCall(
        operation="peek",
        queue="q",
        seconds=0.25,
        outcome=outcome,  # type: ignore[arg-type]
        error=error,
    )
    assert notes.calls == [expected]


class Echo(MemoryStore):
    """It answers each operation with the operation."""

    @override
    async def do(self, operation: Operation[Any]) -> Any:
        return operation


class Named(str):
    """The name of a queue, and whatever else has one."""

    @property
    def queue(self) -> str:
        return str(self)

    def __new__(cls) -> "Named":
        return super().__new__(cls, "q")


@pytest.mark.parametrize("kind", OPERATIONS, ids=lambda kind: kind.name)
async def test_every_operation_is_seen_by_its_name(kind: type[Operation[Any]]):
    notes = Notes()
    observed = ObservedStore(Echo(SystemClock()), notes, MessagePackCodec())
    fields = [field.name for field in attrs.fields(kind)]
    operation = kind(**dict.fromkeys(fields, Named()))
    assert await observed.do(operation) is operation
    assert [(seen.operation, seen.queue) for seen in notes.calls] == [(kind.name, operation.queue)]


async def test_the_hot_calls_are_seen_as_what_they_are():
    notes = Notes()
    observed = ObservedStore(MemoryStore(SystemClock()), notes, MessagePackCodec())
    await observed.do(Declare("q", Settings(), "one"))
    await observed.submit("q", [group("a")])
    await observed.claim("q", ClaimRequest(incarnation="w", lane=1, sequence=1, want=1, lease_ms=1))
    await observed.settle("q", [])
    answers: list[object] = []
    answer = await observed.post("q", [group("b")], ALONE, answers.append)
    await asyncio.sleep(0)
    assert [posted.result() for posted in answers] == [answer]  # type: ignore[attr-defined]
    assert [call.operation for call in notes.calls] == [
        *("declare", Submit.name, "claim", Settle.name, Submit.name)
    ]
    assert [event.task_id for event in notes.events] == ["a", "b"]


async def test_a_posted_submit_that_fails_or_is_cancelled_is_seen():
    notes = Notes()

    class Failing(MemoryStore):
        @override
        async def submit(self, *args: Any, **named: Any) -> Any:
            await asyncio.sleep(0)
            raise Refused("not now")

    observed = ObservedStore(Failing(SystemClock()), notes, MessagePackCodec())
    posted = [observed.post("q", [group("a")], ALONE, lambda _: None) for _ in range(2)]
    posted[1].cancel()
    await asyncio.wait(posted)
    await asyncio.sleep(0)
    outcomes = {(call.outcome, type(call.error)) for call in notes.calls}
    assert outcomes == {("refused", Refused), ("ambiguous", asyncio.CancelledError)}
    assert notes.events == []


# --- an observer that is wrong


async def test_an_observer_that_raises_harms_nothing_and_is_logged_once_per_kind(caplog):
    class Raising(Observer):
        @override
        def on_task(self, event: TaskEvent) -> None:
            raise asyncio.CancelledError if event.kind == "started" else ValueError("a bug")

        @override
        def on_store_call(self, call: StoreCall) -> None:
            raise SystemExit

    caplog.set_level(logging.ERROR, logger="kew")
    async with TaskQueueManager("memory://", observer=Raising()) as manager:
        await manager.create_queue(QueueConfig("q"), functions=[jobs.echo])
        for n in range(3):
            info = await manager.submit_task(f"t{n}", "q", "t", jobs.echo, None, n)
            assert await manager.handle(info).result(timeout=30) == n
    assert len(caplog.messages) == 3
    said = sorted(message.partition(" failed")[0] for message in caplog.messages)
    assert said == ["the observer's on_store_call", *["the observer's on_task"] * 2]


@pytest.mark.parametrize("observer", [print, Observer, object()])
def test_what_is_no_observer_is_refused(observer: Any):
    with pytest.raises(InvalidConfigError, match=r"observer must be a kew\.Observer"):
        TaskQueueManager("memory://", observer=observer)


def test_an_observer_with_a_method_to_be_awaited_is_refused():
    class Waiting(Observer):
        async def on_task(self, event: TaskEvent) -> None:  # type: ignore[override]
            """It would never be awaited."""

    with pytest.raises(InvalidConfigError, match="on_task must be a plain function"):
        TaskQueueManager("memory://", observer=Waiting())


def test_without_an_observer_the_store_is_called_itself():
    store = MemoryStore(SystemClock())
    parts = Parts(store=store, wakeup=MemoryWakeup(store.namespace.hub))
    assert TaskQueueManager(parts=parts)._parts is parts
    observed = TaskQueueManager(parts=parts, observer=Observer())._parts
    assert isinstance(observed.store, ObservedStore)
    assert repr(store) in repr(observed.store)
    assert attrs.evolve(observed, store=store) == parts


def test_an_observer_overrides_what_it_needs():
    async def story(manager: SimulatedManager) -> None:
        await manager.create_queue(QueueConfig("q"), functions=[jobs.echo])
        await manager.submit_task("t", "q", "t", jobs.echo, None, 1)
        await manager.drain()

    run(story, observer=Observer())
