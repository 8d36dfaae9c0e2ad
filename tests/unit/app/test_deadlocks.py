"""Tasks that wait for tasks which need their slots: a warning names both; nothing is said of what goes on by itself."""

import asyncio
from typing import Any

from kew import QueueConfig, TaskQueueManager
from kew.adapters.clocks import SystemClock
from kew.adapters.memory.hub import MemoryWakeup
from kew.adapters.memory.store import MemoryStore
from kew.app.ports import Status
from kew.app.working import deadlocks
from kew.bootstrap import Parts
from kew.testing import SimulatedManager, run
from tests.support.answering import answer_instead

QUIET = 20.0


def warnings(caplog: Any) -> list[str]:
    return [message for message in caplog.messages if ": deadlock: " in message]


def test_parents_that_hold_all_slots_of_their_childrens_queue_are_named_with_them(caplog):
    async def scenario(manager: SimulatedManager) -> None:
        both_run = asyncio.Barrier(2)

        async def child() -> str:
            return "done"

        async def parent(number: int) -> str:
            await both_run.wait()
            info = await manager.submit_task(f"child-{number}", "q", "t", child)
            return str(await manager.handle(info).result())

        await manager.create_queue(QueueConfig("q", max_workers=2, task_timeout=60.0))
        for n in range(2):
            await manager.submit_task(f"parent-{n}", "q", "t", parent, None, n)
        await manager.advance(QUIET)

    run(scenario)
    (message,) = warnings(caplog)
    assert message.startswith("queue q: deadlock: all 2 slots are held by tasks that wait")
    assert "parent-0 waits for child-0, parent-1 waits for child-1; raise max_workers" in message


def test_queues_whose_tasks_wait_for_each_others_slots_are_both_named(caplog):
    async def scenario(manager: SimulatedManager) -> None:
        both_run = asyncio.Barrier(2)

        async def child() -> None:
            """It never gets a slot."""

        async def parent(other: str) -> None:
            await both_run.wait()
            info = await manager.submit_task(f"child-in-{other}", other, "t", child)
            await manager.handle(info).result()

        for name in ("a", "b"):
            await manager.create_queue(QueueConfig(name, max_workers=1, task_timeout=60.0))
        await manager.submit_task("in-a", "a", "t", parent, None, "b")
        await manager.submit_task("in-b", "b", "t", parent, None, "a")
        await manager.advance(QUIET)

    run(scenario)
    assert [message.split(":")[0] for message in warnings(caplog)] == ["queue a", "queue b"]


def test_a_parent_whose_child_has_or_will_have_a_slot_is_no_deadlock(caplog):
    async def scenario(manager: SimulatedManager) -> None:
        async def child() -> None:
            await asyncio.sleep(8)

        async def parent(queue: str, number: int) -> None:
            info = await manager.submit_task(f"child-{queue}-{number}", queue, "t", child)
            await manager.handle(info).result()

        await manager.create_queue(QueueConfig("parents", max_workers=1))
        await manager.create_queue(QueueConfig("children", max_workers=1))
        await manager.create_queue(QueueConfig("shared", max_workers=2))
        await manager.submit_task("first", "parents", "t", parent, None, "children", 0)
        await manager.submit_task("second", "shared", "t", parent, None, "shared", 1)
        await manager.submit_task("third", "shared", "t", parent, None, "children", 2, _defer_by=1)
        await manager.drain()

    run(scenario)
    assert warnings(caplog) == []


async def test_an_answer_that_cannot_be_read_does_not_end_the_looking(caplog, monkeypatch):
    monkeypatch.setattr(deadlocks, "FIRST_LOOK", 0.0)
    store, looks = MemoryStore(SystemClock()), asyncio.Queue[str]()

    async def unreadable(status: Status) -> None:
        looks.put_nowait(status.queue)
        raise ValueError("foreign bytes")

    answer_instead(store, Status, unreadable)
    parts = Parts(store=store, wakeup=MemoryWakeup(store.namespace.hub))
    async with TaskQueueManager(parts=parts, tick=10.0) as manager:  # which looks later

        async def child() -> None:
            """It never gets a slot."""

        async def parent() -> None:
            info = await manager.submit_task("child", "q", "t", child)
            for _ in range(2):  # the second wait begins after the look at the first
                waiting = asyncio.ensure_future(manager.handle(info).result())
                assert await looks.get() == "q"
                await asyncio.sleep(0)
                waiting.cancel()
            done.set()

        done = asyncio.Event()
        await manager.create_queue(QueueConfig("q", max_workers=1))
        await manager.submit_task("parent", "q", "t", parent)
        async with asyncio.timeout(30):
            await done.wait()
