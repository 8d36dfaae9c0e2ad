"""What few tasks have, such as a key or a cost, stays with a task through all that happens to it."""

from typing import Any

import pytest

from kew.app.ports import Find, ListFailed
from kew.domain.task import Task, TaskStatus
from tests.support.scene import QUEUE, Scene

LARGE = b"p" * 3_000
KEY = "a,b=c 100%\n\x00é" + "x" * 200
EXTRAS: dict[str, Any] = {
    "key": KEY,
    "cost": 7,
    "start_by_ms": 600_000_000,
    "trace": "00-ab-cd-01 k=v,w=%",
}


async def found(scene: Scene) -> Task:
    (task,) = await scene.store.do(Find(["a"]))
    assert isinstance(task, Task)
    assert_kept(task)
    return task


def assert_kept(task: Task) -> None:
    call = task.call
    assert {name: getattr(call, name) for name in EXTRAS} == EXTRAS


@pytest.mark.parametrize("payload", [b"", LARGE])
@pytest.mark.parametrize("options", [{}, {"delay_ms": 10}, {"function": "@w1/f"}])
async def test_extras_stay_from_submit_to_replay(
    scene: Scene, payload: bytes, options: dict[str, Any]
):
    await scene.declare()
    worker = await scene.worker()
    await scene.submit("a", payload=payload, **EXTRAS, **options)
    assert (await found(scene)).status is TaskStatus.QUEUED
    await scene.advance(10)
    granted = await worker.claim_one(lease_ms=1_000)
    assert_kept(granted)
    assert granted.call.payload == payload
    await scene.advance(1_001)
    granted = await worker.claim_one()
    assert (granted.attempt, granted.call.payload) == (2, payload)
    await worker.fail(granted, retry_after_ms=5)
    assert (await found(scene)).status is TaskStatus.RETRY
    await scene.advance(5)
    await worker.fail(await worker.claim_one())
    assert (await found(scene)).status is TaskStatus.FAILED
    page = await scene.store.do(ListFailed(QUEUE, None, 10))
    assert page is not None
    (dead,) = page.tasks
    assert_kept(dead)
    await scene.replay("a")
    granted = await worker.claim_one()
    assert_kept(granted)
    await worker.succeed(granted, b"result" + payload)
    assert (await found(scene)).result == b"result" + payload


async def test_a_cancelled_task_keeps_its_extras(scene: Scene):
    await scene.declare()
    await scene.submit("a", **EXTRAS)
    await scene.cancel("a")
    assert (await found(scene)).status is TaskStatus.CANCELLED


async def test_tasks_with_and_without_extras_go_in_order(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    await scene.submit("a")
    await scene.submit("b", cost=2)
    await scene.submit("c")
    granted = await worker.claim(10)
    assert [(task.id, task.call.cost) for task in granted] == [("a", 1), ("b", 2), ("c", 1)]
    assert (await scene.status()).waiting[1] == 0
