"""What a queue's worker does besides tasks."""

import logging
from typing import cast

import attrs
import pytest

from kew import QueueConfig, TaskFailedError, TaskInfo, TaskQueueManager
from kew.adapters.clocks import SystemClock, SystemEntropy
from kew.adapters.memory.store import MemoryStore
from kew.app.inspector import purged
from kew.app.maintainer import Maintainer
from kew.app.ports import Declare, Depart, Status
from kew.app.registry import Registry


async def test_a_process_that_has_departed_declares_a_lost_queue_and_is_not_counted_on_again():
    """A submit of the last moment may find that the store forgot the queue."""
    store = MemoryStore(SystemClock())
    settings = QueueConfig("q").settings()
    maintainer = Maintainer(
        "q",
        incarnation="w1",
        settings=settings,
        store=store,
        registry=Registry("w1"),
        entropy=SystemEntropy(),
    )
    await maintainer.introduce()
    before = await store.do(Status("q"))
    await maintainer.stop()
    await purged(store, "q")
    await maintainer.restore()
    after = await store.do(Status("q"))
    assert before is not None
    assert after is not None
    assert (list(before.workers), list(after.workers)) == (["w1"], [])


OWN = QueueConfig("q", max_workers=4, max_retries=0, max_circuit_breaker_failures=None)
OTHERS = attrs.evolve(OWN, max_workers=8, max_retries=5, retry_delay=0)


async def fails() -> None:
    raise ValueError


async def test_a_process_whose_presence_had_lapsed_leaves_the_settings_that_another_declared():
    store = MemoryStore(SystemClock())
    maintainer = Maintainer(
        "q",
        incarnation="w1",
        settings=OWN.settings(),
        store=store,
        registry=Registry("w1"),
        entropy=SystemEntropy(),
    )
    await maintainer.introduce()
    await store.do(Declare("q", OTHERS.settings(), "others"))
    await store.do(Depart("q", "w1"))
    await maintainer.restore()
    status = await store.do(Status("q"))
    assert status is not None
    assert (status.state.settings, list(status.workers)) == (OTHERS.settings(), ["w1"])


async def test_a_process_that_declares_anew_goes_by_its_own_settings_again():
    async with (
        TaskQueueManager("memory://anew") as manager,
        TaskQueueManager("memory://anew") as other,
    ):
        await manager.create_queue(OWN, functions=[fails])
        await other.create_queue(OTHERS)
        followed = await manager.submit_task("t1", "q", "t", fails)
        assert (await ended(manager, followed.task_id)).attempt == 6
        await manager.cleanup()
        anew = await manager.submit_task("t2", "q", "t", fails)
        assert (await ended(manager, anew.task_id)).attempt == 1


async def ended(manager: TaskQueueManager, task_id: str) -> TaskInfo:
    with pytest.raises(TaskFailedError) as told:
        await manager.handle(await manager.get_task_status(task_id)).result(timeout=30)
    return cast("TaskInfo", told.value.info)


async def test_a_process_that_only_submits_says_which_of_its_settings_are_not_in_force(
    caplog: pytest.LogCaptureFixture,
):
    url = "memory://only-submits"
    async with TaskQueueManager(url) as worker, TaskQueueManager(url) as submitter:
        await worker.create_queue(QueueConfig("q", max_workers=4))
        with caplog.at_level(logging.INFO, "kew"):
            await submitter.create_queue(QueueConfig("q", max_workers=8), work=False)
        assert (await submitter.get_queue_status("q"))["max_workers"] == 4
    assert "settings of those that do stay in force: max_workers 8 -> 4" in caplog.text
