"""Tasks of which one runs and at most one waits, with the newest arguments."""

from typing import Any

import pytest

from kew.app.ports import Forget, LimitKey
from kew.domain.errors import SUPERSEDED
from kew.domain.events import Failed, NotStarted, Released, Snoozed
from kew.domain.key_limits import OwnLimits
from kew.domain.requests import GroupOutcome, LifeRef, Settlement, SettleOutcome, Word
from kew.domain.task import Task, TaskStatus
from tests.support.scene import QUEUE, Scene, call, group

LATEST: dict[str, Any] = {"unique": "lp:deploy/shop", "key": "latest:deploy/shop"}
RETURNS = (
    Failed(error="boom", retry_after_ms=0),
    Failed(error="boom", retry_after_ms=0, counts=False),
    Snoozed(error="later", after_ms=0),
    Snoozed(error="later", after_ms=0, scope="key"),
    Released(started=True),
    Released(started=False),
    NotStarted("no room"),
)
RETURNS_OF_A_TASK = RETURNS[:3] + RETURNS[4:]


async def submit(scene: Scene, task_id: str) -> GroupOutcome:
    payload = task_id.encode()
    (outcome,) = await scene.try_submit(group(call(task_id, payload=payload, **LATEST)))
    return outcome


def met(*pairs: tuple[str, str]) -> GroupOutcome:
    return GroupOutcome(Word.DONE, met=pairs)


def settlement(task: Task, event) -> Settlement:
    return Settlement(task_id=task.id, lease=task.lease, event=event)


async def test_one_runs_and_one_waits_with_the_newest_arguments(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    assert await submit(scene, "a") == GroupOutcome(Word.DONE)
    first = await worker.claim_one()
    assert await submit(scene, "b") == GroupOutcome(Word.DONE)
    assert await submit(scene, "c") == met(("c", "b"))
    assert await worker.claim() == []
    await worker.succeed(first)
    task = await worker.claim_one()
    assert (task.id, task.call.payload) == ("b", b"c")
    assert await submit(scene, "d") == GroupOutcome(Word.DONE)
    assert await worker.claim() == []


async def test_a_limit_of_an_operator_does_not_let_two_run(scene: Scene):
    await scene.declare(key_workers=5)
    worker = await scene.worker()
    own = OwnLimits(workers=9)
    await scene.store.do(LimitKey(QUEUE, LATEST["key"], own))
    await submit(scene, "a")
    await worker.claim_one()
    await submit(scene, "b")
    assert await worker.claim() == []


@pytest.mark.parametrize("event", RETURNS)
async def test_a_run_that_would_wait_again_gives_way_to_the_one_that_waits(scene: Scene, event):
    await scene.declare()
    worker = await scene.worker()
    await submit(scene, "a")
    first = await worker.claim_one()
    await submit(scene, "b")
    cancelled = SettleOutcome(Word.DONE, TaskStatus.CANCELLED)
    assert (await worker.settle(settlement(first, event))).outcomes[0] == cancelled
    again = (await worker.settle(settlement(first, event))).outcomes[0]
    assert again == SettleOutcome(Word.SAME, TaskStatus.CANCELLED)
    after = await scene.task("a")
    assert (after.status, after.error, after.cancel_requested) == (
        TaskStatus.CANCELLED,
        SUPERSEDED,
        False,
    )
    assert await scene.waiting() == 1
    assert await submit(scene, "c") == met(("c", "b"))


@pytest.mark.parametrize("event", RETURNS_OF_A_TASK)
async def test_a_run_that_waits_again_gets_the_newest_arguments(scene: Scene, event):
    await scene.declare()
    worker = await scene.worker()
    await submit(scene, "a")
    await worker.settle(settlement(await worker.claim_one(), event))
    assert (await scene.task("a")).is_waiting
    assert await submit(scene, "b") == met(("b", "a"))
    task = await worker.claim_one()
    assert (task.id, task.call.payload, task.attempt) == ("a", b"b", 2)


async def test_a_final_failure_stays_one(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    await submit(scene, "a")
    task = await worker.claim_one()
    await submit(scene, "b")
    await worker.fail(task)
    assert (await scene.task("a")).status is TaskStatus.FAILED
    assert (await worker.claim_one()).id == "b"


async def test_a_lost_run_gives_way_to_the_one_that_waits(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    await submit(scene, "a")
    await worker.claim_one(lease_ms=100)
    await submit(scene, "b")
    await scene.advance(100)
    assert (await worker.claim_one(lease_ms=100)).id == "b"
    after = await scene.task("a")
    assert (after.status, after.error) == (TaskStatus.CANCELLED, SUPERSEDED)
    await scene.advance(100)
    assert (await worker.claim_one()).id == "b"


async def test_a_run_that_is_to_be_cancelled_is_cancelled_and_not_superseded(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    await submit(scene, "a")
    task = await worker.claim_one()
    await submit(scene, "b")
    await scene.cancel("a")
    await worker.fail(task, retry_after_ms=0)
    after = await scene.task("a")
    assert (after.status, after.error, after.cancel_requested) == (
        TaskStatus.CANCELLED,
        "boom",
        True,
    )


async def test_a_run_waits_again_if_the_one_that_waited_has_gone(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    await submit(scene, "a")
    task = await worker.claim_one()
    await submit(scene, "b")
    await scene.cancel("b")
    life = (await scene.task("b")).life
    await scene.store.do(Forget(QUEUE, [LifeRef("b", life)]))
    await worker.fail(task, retry_after_ms=0)
    assert await submit(scene, "c") == met(("c", "a"))
    await scene.sweep()
    assert await submit(scene, "d") == met(("d", "a"))


async def test_a_replay_is_refused_while_another_waits_but_not_while_it_runs(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    await submit(scene, "a")
    await worker.fail(await worker.claim_one())
    await submit(scene, "b")
    assert await scene.replay("a") is Word.HELD
    task = await worker.claim_one()
    assert await scene.replay("a") is Word.DONE
    assert await worker.claim() == []
    assert await submit(scene, "c") == met(("c", "a"))
    await worker.succeed(task)
    assert (await worker.claim_one()).call.payload == b"c"
