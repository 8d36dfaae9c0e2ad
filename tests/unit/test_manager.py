"""A manager's own life: beginning twice, beginning in vain, ending."""

import asyncio
import math
from collections.abc import Collection
from typing import Any

import pytest

from kew import (
    InvalidConfigError,
    InvalidTaskError,
    QueueConfig,
    StoreUnavailableError,
    SubmitUncertainError,
    TaskFailedError,
    TaskQueueError,
    TaskQueueManager,
)
from kew.adapters.clocks import SystemClock
from kew.adapters.memory.hub import MemoryWakeup
from kew.adapters.memory.store import MemoryStore
from kew.app.ports import Refused, Submitted
from kew.app.worker import CANCEL_GRACE
from kew.bootstrap import Parts
from kew.compat import override
from kew.domain.requests import ClaimRequest, Group
from kew.shutdown import GRACE
from kew.testing import SimulatedManager, run
from tests.support import jobs


class Moody(MemoryStore):
    """A store that counts how often it is opened and closed, and purges and answers when it wants to."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.opened = self.closed = 0
        self.purges = self.answers = True
        self.delay = 0.0

    @override
    async def open(self) -> None:
        await asyncio.sleep(0)
        self.opened += 1

    @override
    async def close(self) -> None:
        self.closed += 1

    @override
    async def purge(self, queue: str) -> None:
        if not self.purges:
            raise Refused("not now")
        await super().purge(queue)

    @override
    async def submit(
        self, queue: str, groups: Collection[Group], claim: ClaimRequest | None = None
    ) -> Submitted:
        await asyncio.sleep(self.delay if self.answers else 3600)
        return await super().submit(queue, groups, claim)


def over(store: Moody, **options: Any) -> TaskQueueManager:
    wakeup = MemoryWakeup(store.namespace.hub)
    return TaskQueueManager(parts=Parts(store=store, wakeup=wakeup), **options)


async def test_initializing_twice_at_once_begins_once():
    store = Moody()
    manager = over(store)
    await asyncio.gather(manager.initialize(), manager.initialize())
    assert (store.opened, store.closed) == (1, 0)
    await manager.shutdown()


async def test_a_start_that_could_not_clean_has_not_begun_and_may_be_tried_again():
    store = Moody()
    async with over(store) as earlier:
        await earlier.create_queue(QueueConfig("q"))
    store.purges = False
    manager = over(store, cleanup_on_start=True)
    with pytest.raises(StoreUnavailableError):
        await manager.initialize()
    assert store.opened == store.closed
    store.purges = True
    await manager.initialize()
    assert await store.queues() == []
    await manager.shutdown()


async def test_a_submit_without_an_answer_is_given_up_at_shutdown_and_its_caller_told():
    store = Moody()
    manager = over(store)
    async with over(store) as other, manager:
        await other.create_queue(QueueConfig("q"), work=False)
        store.answers = False
        submitting = asyncio.create_task(manager.submit_task("t", "q", "test", jobs.echo))
        await asyncio.sleep(0.05)
        await manager.shutdown(timeout=0.1)
        with pytest.raises(SubmitUncertainError):
            await asyncio.wait_for(submitting, 1)
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


@pytest.mark.parametrize("answers", [True, False], ids=["answering store", "silent store"])
@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.1])
async def test_a_shutdown_that_is_cancelled_on_its_way_lets_go_of_everything(
    seconds: float, answers: bool
):
    """At first it waits for submits, then for the task that runs."""
    store, began = Moody(), asyncio.Event()

    async def never_end() -> None:
        began.set()
        await asyncio.Event().wait()

    manager = over(store)
    await manager.initialize()
    await manager.create_queue(QueueConfig("q"))
    await manager.submit_task("t", "q", "test", never_end)
    await began.wait()
    handle = manager.handle(await manager.get_task_status("t"))
    waiting = asyncio.create_task(handle.result())
    store.answers, store.delay = answers, 0.05
    submitting = asyncio.create_task(manager.submit_task("u", "q", "test", never_end))
    await asyncio.sleep(0.01)
    ending = asyncio.create_task(manager.shutdown(timeout=60))
    await asyncio.sleep(seconds)
    ending.cancel()
    await asyncio.wait([ending], timeout=2)
    assert ending.cancelled()
    assert store.opened == store.closed == 1
    with pytest.raises(TaskQueueError):
        await waiting
    await asyncio.gather(submitting, return_exceptions=True)
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    await manager.shutdown()  # there is nothing more to do


async def test_a_claim_says_how_many_leases_its_process_goes_on_with():
    """A lease counts until its outcome was acknowledged, but not in the claim that goes with that outcome."""
    may_end, held = asyncio.Event(), list[tuple[int, int]]()

    class Noting(Moody):
        """Notes what each claim says, and how many leases the store knows then."""

        @override
        def _claim(self, known: Any, request: ClaimRequest, now: int) -> Any:
            held.append((request.holds, known.book.held()))
            return super()._claim(known, request, now)

    async def wait() -> None:
        await may_end.wait()

    store = Noting()
    async with over(store) as manager:
        await manager.create_queue(QueueConfig("q", max_workers=9))
        infos = [await manager.submit_task(f"t{n}", "q", "test", wait) for n in range(5)]
        may_end.set()
        for info in infos:
            await manager.handle(info).result(timeout=5)
    assert (4, 4) in held
    assert all(says == knows for says, knows in held)


@pytest.mark.parametrize("turns", range(1, 40))
async def test_a_shutdown_cancelled_at_any_moment_leaves_nothing_behind(turns: int):
    store = Moody()
    manager = over(store)
    await manager.initialize()
    await manager.create_queue(QueueConfig("q"))
    ending = asyncio.create_task(manager.shutdown())
    for _ in range(turns):
        await asyncio.sleep(0)
    ending.cancel()
    await asyncio.wait([ending])
    assert store.opened == store.closed == 1
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


@pytest.mark.parametrize("timeout", ["5", [], math.nan, object()])
async def test_shutdown_refuses_a_timeout_that_is_none_and_goes_on(timeout: Any):
    async with over(Moody()) as manager:
        await manager.create_queue(QueueConfig("q"))
        with pytest.raises(InvalidConfigError, match="timeout takes seconds"):
            await manager.shutdown(timeout=timeout)
        task = await manager.submit_task("t", "q", "test", jobs.echo)
        assert await manager.handle(task).result(timeout=5) is None


@pytest.mark.parametrize("timeout", [None, 0, -1, 10**400, math.inf])
async def test_shutdown_takes_any_number_of_seconds_and_none(timeout: float | None):
    store = Moody()
    manager = over(store)
    await manager.initialize()
    await manager.create_queue(QueueConfig("q"))
    await manager.shutdown(timeout=timeout)
    assert store.opened == store.closed == 1


def test_shutdown_takes_no_longer_in_all_than_it_was_given():
    """On simulated time: a submit without an answer, a run and a hook without an end share one timeout."""

    async def story(_: SimulatedManager) -> None:
        store, loop = Moody(), asyncio.get_running_loop()

        async def never_end(*_: object) -> None:
            await asyncio.Event().wait()

        manager = over(store, on_task_complete=never_end)
        await manager.initialize()
        await manager.create_queue(QueueConfig("q"))
        for task_id, function in (("done", jobs.echo), ("running", never_end)):
            await manager.submit_task(task_id, "q", "test", function)
        await asyncio.sleep(1)
        store.answers = False
        submitting = asyncio.create_task(manager.submit_task("u", "q", "test", jobs.echo))
        await asyncio.sleep(1)
        asked_at = loop.time()
        await manager.shutdown(timeout=10)
        assert 10 <= loop.time() - asked_at <= 10 + CANCEL_GRACE + 2 * GRACE
        with pytest.raises(SubmitUncertainError):
            await submitting

    run(story)


async def test_shutdown_waits_for_submits_to_queues_that_others_declared():
    store = Moody()
    manager = over(store)
    async with over(store) as other, manager:
        await other.create_queue(QueueConfig("q"), work=False)
        store.delay = 0.2
        submitting = asyncio.create_task(manager.submit_task("t", "q", "test", jobs.echo))
        await asyncio.sleep(0.05)
        await manager.shutdown()
        assert submitting.done()
        assert (await other.get_task_status("t")).status == "queued"


async def test_cleaning_announces_no_process_that_only_submits():
    async with over(Moody()) as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        await manager.cleanup()
        assert (await manager.get_queue_status("q"))["processes"] == []


async def failing() -> None:
    raise ValueError("always")


async def test_a_breaker_that_opens_is_told(caplog: pytest.LogCaptureFixture):
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("shaky", max_circuit_breaker_failures=2))
        fail = manager.task(queue="shaky")(failing)
        for _ in range(2):
            handle = await fail.submit()
            with pytest.raises(TaskFailedError):
                await handle.result(timeout=10)
    told = [r.getMessage() for r in caplog.records if "circuit breaker opens" in r.getMessage()]
    assert len(told) == 1
    assert "shaky" in told[0]


async def test_a_mistyped_defer_is_refused():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        with pytest.raises(InvalidTaskError, match="_defer_byy"):
            await manager.submit_task("t", "q", "t", failing, None, _defer_byy=3)


async def test_polling_a_status_without_a_pause_lets_the_task_run():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        await manager.submit_task("t", "q", "t", failing)
        async with asyncio.timeout(10):
            while (await manager.get_task_status("t")).status != "failed":
                pass


async def test_a_handle_can_be_had_for_any_task():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        info = await manager.submit_task("t", "q", "echo", jobs.echo, None, 7)
        assert await manager.handle(info).result(timeout=10) == 7


async def test_who_waits_for_a_result_is_told_of_the_shutdown():
    manager = TaskQueueManager("memory://")
    await manager.initialize()
    await manager.create_queue(QueueConfig("q"))
    info = await manager.submit_task("t", "q", "echo", jobs.echo, None, 7, _defer_by=3600)
    waiter = asyncio.create_task(manager.handle(info).result(timeout=30))
    await asyncio.sleep(0.05)
    await manager.shutdown()
    with pytest.raises(TaskQueueError, match="shut down"):
        await waiter
