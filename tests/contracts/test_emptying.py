"""Emptying: what waits is cancelled in bounded steps; what runs, and what came later, goes on."""

import pytest

from kew.app.notices import TaskEnded
from kew.app.ports import Empty, Watch
from kew.domain.emptying import Emptied
from kew.domain.task import TaskStatus, pinned_name
from tests.support.scene import HIGH, LOW, Scene, call, group


async def empty(
    scene: Scene, upto: int = 1_000, limit: int = 100, after: Emptied | None = None
) -> Emptied:
    """One step, which goes on after another one."""
    after = after or Emptied()
    emptied = await scene.store.do(Empty("orders", upto, after.skip, limit, after.scan))
    assert emptied is not None
    return emptied


async def cancelled_by(scene: Scene, upto: int = 1_000, limit: int = 100) -> list[str]:
    """What all steps together cancel, of which none cancels more than it may."""
    step = await empty(scene, upto, limit)
    found = list(step.cancelled)
    while step.more:
        step = await empty(scene, upto, limit, step)
        assert len(step.cancelled) <= limit
        found += step.cancelled
    return sorted(task.id for task in found)


async def status_of(scene: Scene, *task_ids: str) -> list[TaskStatus]:
    return [(await scene.task(task_id)).status for task_id in task_ids]


async def test_all_that_waits_is_cancelled_and_what_runs_goes_on(scene: Scene):
    await scene.declare(breaker_failures=0)
    worker = await scene.worker("w1")
    await scene.submit("running", "retried")
    running, retried = await worker.claim(2)
    await worker.fail(retried, retry_after_ms=60_000)
    await scene.submit("high", priority=HIGH)
    await scene.submit("plain")
    await scene.submit("low", priority=LOW, delay_ms=5_000)
    await scene.submit("stranger", function="g")
    await scene.submit("closure", function=pinned_name("w1", "c"))
    waited = ("retried", "high", "plain", "low", "stranger", "closure")
    assert await cancelled_by(scene) == sorted(waited)
    assert await scene.waiting() == 0
    assert set(await status_of(scene, *waited)) == {TaskStatus.CANCELLED}
    assert await worker.claim_ids() == []
    await worker.succeed(running)
    assert await status_of(scene, "running") == [TaskStatus.COMPLETED]


async def test_a_shelf_is_emptied_too(scene: Scene):
    await scene.declare()
    worker = await scene.worker("w1", "f")
    await scene.submit("a", "b", function="g")
    assert await worker.claim_ids() == []  # sets them aside
    assert await cancelled_by(scene) == ["a", "b"]
    assert await (await scene.worker("w2", "g")).claim_ids() == []
    assert (await scene.status()).stuck == {}


async def test_a_step_looks_at_a_bounded_number_of_tasks(scene: Scene):
    await scene.declare()
    for n in range(6):
        await scene.submit(f"{n}", priority=1 + n % 3, delay_ms=1_000 * (n % 2))
    assert await cancelled_by(scene, limit=2) == [f"{n}" for n in range(6)]
    assert await scene.waiting() == 0


@pytest.mark.parametrize("delay_ms", [0, 500])
async def test_what_came_later_is_kept(scene: Scene, delay_ms: int):
    await scene.declare()
    await scene.submit("a", "b", delay_ms=1_000)
    upto = (await scene.status()).state.ticket
    await scene.submit("later", delay_ms=delay_ms)
    await cancelled_by(scene, upto, limit=1)
    await cancelled_by(scene, upto)
    assert set(await status_of(scene, "a", "b")) == {TaskStatus.CANCELLED}
    assert await status_of(scene, "later") == [TaskStatus.QUEUED]
    await scene.advance(delay_ms)
    assert await (await scene.worker()).claim_ids() == ["later"]


async def test_those_who_watch_a_cancelled_task_are_notified(scene: Scene):
    await scene.declare()
    listener = await scene.listen("w1")
    await scene.submit("a")
    await scene.store.do(Watch("orders", ["a"], "w1"))
    await empty(scene)
    assert await listener.next() == TaskEnded("a")


async def test_a_cancelled_task_can_be_replayed(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    await empty(scene)
    await scene.replay("a")
    assert await (await scene.worker()).claim_ids() == ["a"]


async def test_an_empty_queue_has_nothing_to_cancel(scene: Scene):
    await scene.declare()
    assert await empty(scene) == Emptied()
    assert await scene.store.do(Empty("nowhere", 1, 0, 100)) is None


async def test_a_large_batch_leaves_no_entry_behind(scene: Scene):
    await scene.declare(max_size=10_000)
    await scene.try_submit(group(*(call(f"t{n}", payload=b"p" * 2_000) for n in range(300))))
    assert len(await cancelled_by(scene, limit=120)) == 300
    assert await scene.waiting() == 0
    assert await (await scene.worker()).claim_ids() == []


@pytest.mark.parametrize("kept", [0, 1])
async def test_many_keys_are_emptied_in_bounded_steps(scene: Scene, kept: int):
    """Of each key one task came later, or none."""
    keys = 300
    await scene.declare(max_size=10_000)
    await scene.try_submit(group(*(call(f"a{n}", key=f"k{n}") for n in range(keys))))
    upto = (await scene.status()).state.ticket
    await scene.try_submit(group(*(call(f"b{n}", key=f"k{n}") for n in range(keys * kept))))
    assert await cancelled_by(scene, upto, limit=7) == sorted(f"a{n}" for n in range(keys))
    assert await scene.waiting() == keys * kept


async def test_a_key_with_many_tasks_that_came_later_is_passed_over(scene: Scene):
    await scene.declare(max_size=10_000)
    await scene.submit("a", key="k", delay_ms=60_000)
    await scene.submit("b", key="other")
    upto = (await scene.status()).state.ticket
    await scene.try_submit(group(*(call(f"b{n}", key="k") for n in range(30))))
    assert await cancelled_by(scene, upto, limit=4) == ["a", "b"]
    assert await scene.waiting() == 30


async def test_what_a_step_cancelled_is_named_with_its_labels_and_no_payload(scene: Scene):
    await scene.declare()
    await scene.try_submit(group(call("a", payload=b"p" * 50, function="g")))
    (task,) = (await empty(scene)).cancelled
    assert task == await scene.task("a")
    assert (task.status, task.call.function) == (TaskStatus.CANCELLED, "g")
    assert task.call.payload == b""
