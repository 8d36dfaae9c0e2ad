"""Clearing up delays nothing else, and reaches queues that no process works on."""

import asyncio
from typing import TypeVar

import pytest

from kew import QueueConfig, TaskQueueManager
from kew.adapters.clocks import SystemClock
from kew.adapters.codecs import MessagePackCodec
from kew.adapters.memory.hub import MemoryWakeup
from kew.adapters.memory.store import MemoryStore
from kew.app.ports import Announce, Cancel, Operation, StoreError, Sweep, Swept
from kew.app.results import Results
from kew.app.spawning import Owned
from kew.app.steady import Steady
from kew.app.sweeping import sweep
from kew.app.working.hooks import Hooks
from kew.app.working.losses import Losses
from kew.app.working.reporter import Reporter
from kew.bootstrap import Parts
from kew.compat import override
from kew.domain.requests import Word
from kew.testing import SimulatedManager, run
from tests.support import jobs
from tests.support.answering import answer_instead

TICK = 0.01


class Ahead(SystemClock):
    """A clock that a test sets forward."""

    ahead = 0

    @override
    def now_ms(self) -> int:
        return super().now_ms() + self.ahead


A = TypeVar("A")


class Scripted(MemoryStore):
    """A store that counts renewals, and whose sweeps of a queue may never answer."""

    def __init__(self) -> None:
        self.clock = Ahead()
        super().__init__(self.clock)
        self.hanging = ""
        self.renewals = 0
        self.renewed = asyncio.Condition()
        self.swept: asyncio.Queue[str] = asyncio.Queue()
        self.is_hanging = asyncio.Event()
        self.error: Exception | None = None

    @override
    async def do(self, operation: Operation[A]) -> A:
        if isinstance(operation, Announce):
            async with self.renewed:
                self.renewals += 1
                self.renewed.notify_all()
        is_sweep = isinstance(operation, Sweep)
        if is_sweep and operation.queue == self.hanging:
            self.is_hanging.set()
            await asyncio.Event().wait()
        if is_sweep and self.error is not None:
            error, self.error = self.error, None
            raise error
        answer = await super().do(operation)
        if is_sweep:
            self.swept.put_nowait(operation.queue)
        return answer

    def parts(self) -> Parts:
        return Parts(store=self, wakeup=MemoryWakeup(self.namespace.hub))


async def test_a_sweep_that_does_not_end_delays_no_renewal_of_the_presence():
    store = Scripted()
    store.hanging = "q"
    async with TaskQueueManager(parts=store.parts(), tick=TICK) as manager:
        await manager.create_queue(QueueConfig("q"), functions=[jobs.echo])
        async with asyncio.timeout(30):
            await store.is_hanging.wait()
            before = store.renewals
            async with store.renewed:
                await store.renewed.wait_for(lambda: store.renewals >= before + 3)


async def test_queues_that_no_process_works_on_are_swept_in_turn():
    store = Scripted()
    async with TaskQueueManager(parts=store.parts(), tick=TICK) as manager:
        for name in ("a", "b", "c"):
            await manager.create_queue(QueueConfig(name), work=False)
        async with asyncio.timeout(30):
            assert [await store.swept.get() for _ in range(4)] == ["a", "b", "c", "a"]


@pytest.mark.parametrize("error", [StoreError("no answer"), ValueError("a bug")])
async def test_a_sweep_that_fails_does_not_end_the_sweeping(
    error: Exception, caplog: pytest.LogCaptureFixture
):
    store = Scripted()
    store.error = error
    async with TaskQueueManager(parts=store.parts(), tick=TICK) as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        async with asyncio.timeout(30):
            assert await store.swept.get() == "q"
    assert "sweep of a queue without workers failed" in caplog.text


async def test_an_expired_record_of_a_queue_without_workers_is_removed():
    store = Scripted()
    async with TaskQueueManager(parts=store.parts(), tick=TICK) as manager:
        await manager.create_queue(QueueConfig("q", task_ttl=81), work=False)
        await manager.submit_task("t", "q", "test", jobs.echo)
        assert await store.do(Cancel("q", "t", None)) is Word.DONE
        store.clock.ahead = 100_000
        async with asyncio.timeout(30):
            await store.swept.get()
    assert "t" not in store.namespace.records


def test_between_two_parts_of_a_sweep_the_store_rests_as_long_as_the_first_one_took():
    async def scenario(manager: SimulatedManager) -> list[float]:
        loop, begun = asyncio.get_running_loop(), list[float]()

        async def slow(_: Sweep) -> Swept:
            begun.append(loop.time())
            await asyncio.sleep(0.5)
            return Swept(now_ms=0, more=len(begun) < 3)

        store = MemoryStore(SystemClock())
        answer_instead(store, Sweep, slow)
        results = Results(store, "process")
        reporter = Reporter(Hooks(), MessagePackCodec(), results, "process")
        losses = Losses("q", store, reporter, Owned("sweeping", lambda: None))
        await sweep(store, "q", losses, Steady())
        return begun

    first, second, third = run(scenario)
    assert second - first == pytest.approx(1.0)
    assert third - second == pytest.approx(1.0)
