"""A schedule whose tick is due and not submitted is named where people look, with what helps."""

import asyncio

from kew import QueueConfig
from kew.testing import SimulatedManager, simulated

HOUR = 3600.0


async def work() -> None:
    pass


async def slow() -> None:
    await asyncio.sleep(0.8 * HOUR)


async def only(manager: SimulatedManager) -> tuple[str, str, str]:
    """What needs attention: one thing, the same in both lists of statuses."""
    rows = (await manager.get_queue_status("q"))["attention"]
    assert len(rows) == 1, rows
    [found] = rows
    assert found in [
        each for row in await manager.get_queue_statuses() for each in row["attention"]
    ]
    assert found["code"] == "schedule_overdue"
    return found["severity"], found["text"], found["action"]


@simulated
async def test_no_process_works_on_the_queue(manager: SimulatedManager):
    await manager.create_queue(QueueConfig("q"), work=False)
    await manager.create_queue(QueueConfig("other"))
    for name, every in (("nightly", 2 * HOUR), ("hourly", HOUR)):
        await manager.schedules.put(name, work, every=every, queue="q")
    await manager.schedules.put("elsewhere", work, every=HOUR, queue="other")
    assert (await manager.get_queue_status("q"))["attention"] == []
    await manager.advance(HOUR + 60)
    assert (await manager.get_queue_status("q"))["attention"] == [], "a minute is not long"
    await manager.advance(2 * HOUR)
    severity, text, action = await only(manager)
    assert severity == "critical"
    assert "no process works on the queue" in text
    assert "the ticks of schedules hourly, nightly are not submitted; the first is overdue" in text
    assert action == "start a worker: kew worker MODULE:MANAGER --queues q"
    infos = {info.name: info.overdue for info in await manager.schedules.list()}
    assert infos == {"nightly": True, "hourly": True, "elsewhere": False}
    assert (await manager.schedules.get("hourly")).overdue
    await manager.schedules.pause("hourly")
    await manager.schedules.remove("nightly")
    assert (await manager.get_queue_status("q"))["attention"] == []


@simulated
async def test_its_tick_waits_for_the_task_before(manager: SimulatedManager):
    await manager.create_queue(QueueConfig("q"), functions=[slow])
    await manager.schedules.put("sync", slow, every=HOUR / 2, queue="q", overlap="one")
    await manager.advance(1.2 * HOUR)
    last = (await manager.schedules.get("sync")).last_task_id
    severity, text, action = await only(manager)
    assert (severity, action) == ("warning", f"kew why {last}")
    assert f"waits until task {last} of the tick before has ended" in text


@simulated
async def test_its_queue_is_draining(manager: SimulatedManager):
    await manager.create_queue(QueueConfig("q"))
    await manager.schedules.put("sync", work, every=HOUR, queue="q")
    await manager.drain_queue("q")
    await manager.advance(1.5 * HOUR)
    rows = (await manager.get_queue_status("q"))["attention"]
    found = {each["code"]: each for each in rows}
    assert "sync is overdue by" in found["schedule_overdue"]["text"]
    assert found["schedule_overdue"]["text"].endswith("the queue is draining")
    assert found["schedule_overdue"]["action"] == "kew queue resume q"
