"""Pins: a closure belongs to the process that submitted it, and fails only once that process has surely gone."""

from kew.app.notices import TaskEnded, Woken
from kew.app.ports import Announce, Depart
from kew.domain.task import TaskStatus, pinned_name
from tests.support.scene import HIGH, Scene


async def pinned_task(scene: Scene, *, ttl_ms: int = 60_000) -> None:
    """A closure of w1, which is present for `ttl_ms`, that w2 has met."""
    await scene.declare()
    name = pinned_name("w1", "closure")
    await scene.worker("w1", name, ttl_ms=ttl_ms)
    await scene.submit("a", function=name, priority=HIGH)
    w2 = await scene.worker("w2", "f")
    assert await w2.claim_ids() == []


async def test_a_pinned_task_is_granted_to_its_own_process_alone(scene: Scene):
    await scene.declare()
    name = pinned_name("w1", "closure")
    await scene.submit("a", function=name)
    w1, w2 = await scene.worker("w1", name), await scene.worker("w2", "f")
    assert await w2.claim_ids() == []
    assert await w1.claim_ids() == ["a"]


async def test_a_pinned_task_blocks_no_other_process(scene: Scene):
    await scene.declare()
    await scene.submit("pinned", function=pinned_name("w1", "closure"), priority=HIGH)
    await scene.submit("free")
    assert await (await scene.worker("w2", "f")).claim_ids() == ["free"]


async def test_a_pinned_task_waits_while_its_process_is_present(scene: Scene):
    await pinned_task(scene, ttl_ms=60_000)
    await scene.advance(59_999)
    assert len((await scene.sweep()).orphaned) == 0
    assert (await scene.task("a")).status is TaskStatus.QUEUED


async def test_a_pinned_task_fails_once_the_presence_of_its_process_has_ended(scene: Scene):
    await pinned_task(scene, ttl_ms=60_000)
    await scene.advance(60_000)
    assert (await scene.sweep()).orphaned == ("a",)
    after = await scene.task("a")
    assert after.status is TaskStatus.FAILED
    assert "closure" in after.error


async def test_a_pinned_task_fails_after_its_process_has_departed(scene: Scene):
    await pinned_task(scene)
    await scene.store.do(Depart("orders", "w1"))
    assert len((await scene.sweep()).orphaned) == 1
    assert (await scene.task("a")).status is TaskStatus.FAILED


async def test_a_presence_renewed_keeps_its_pinned_tasks(scene: Scene):
    await pinned_task(scene, ttl_ms=60_000)
    await scene.advance(40_000)
    await scene.store.do(Announce("orders", "w1", [], 60_000))
    await scene.advance(40_000)
    assert len((await scene.sweep()).orphaned) == 0


async def test_a_pinned_task_that_runs_is_not_failed_by_the_end_of_a_presence(scene: Scene):
    await scene.declare()
    name = pinned_name("w1", "closure")
    worker = await scene.worker("w1", name, ttl_ms=1_000)
    await scene.submit("a", function=name)
    task = await worker.claim_one(lease_ms=60_000)
    await scene.advance(1_000)
    assert len((await scene.sweep()).orphaned) == 0
    assert (await worker.succeed(task)).status is TaskStatus.COMPLETED


async def test_orphans_are_failed_a_bounded_number_at_once(scene: Scene):
    await scene.declare()
    name = pinned_name("w1", "closure")
    await scene.worker("w1", name, ttl_ms=1_000)
    await scene.submit("a", "b", "c", function=name)
    await (await scene.worker("w2", "f")).claim_ids()
    await scene.advance(1_000)
    first = await scene.sweep(limit=2)
    assert (len(first.orphaned), first.more) == (2, True)
    assert len((await scene.sweep(limit=2)).orphaned) == 1


async def test_a_recovered_pinned_task_of_a_dead_process_fails(scene: Scene):
    await scene.declare()
    name = pinned_name("w1", "closure")
    worker = await scene.worker("w1", name, ttl_ms=1_000)
    await scene.submit("a", function=name)
    await worker.claim_one(lease_ms=2_000)
    w2 = await scene.worker("w2", "f")
    await scene.advance(2_000)
    await w2.claim_ids()
    await scene.sweep()
    assert (await scene.task("a")).status is TaskStatus.FAILED


async def test_a_process_is_given_its_closures_without_having_announced_them(scene: Scene):
    await scene.declare()
    w1 = await scene.worker("w1", "f")
    for n in range(3):
        await scene.submit(f"t{n}", function=pinned_name("w1", f"{n}:closure"))
    assert await w1.claim_ids() == ["t0", "t1", "t2"]


async def test_closures_go_in_order_with_everything_else_that_the_process_can_run(scene: Scene):
    await scene.declare()
    w1 = await scene.worker("w1", "f")
    for n in range(6):
        function = pinned_name("w1", f"{n}:closure") if n % 2 else "f"
        await scene.submit(f"t{n}", function=function)
    assert await w1.claim_ids() == [f"t{n}" for n in range(6)]


async def test_closures_of_a_process_that_is_not_there_show_in_the_status_by_its_name(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b", function=pinned_name("w1", "closure"))
    await (await scene.worker("w2", "f")).claim_ids()
    assert (await scene.status()).stuck == {"@w1": 2}
    await scene.worker("w1", "f")
    assert (await scene.status()).stuck == {}


async def test_the_process_of_a_closure_is_notified_when_another_ends_its_task(scene: Scene):
    await scene.declare()
    listener = await scene.listen("w1")
    await scene.worker("w1", "f")
    await scene.submit("a", function=pinned_name("w1", "closure"), delay_ms=1_000)
    await scene.cancel("a")
    told = await listener.next()
    while isinstance(told, Woken):
        told = await listener.next()
    assert told == TaskEnded("a")


async def test_the_process_of_a_closure_is_not_notified_of_an_end_that_it_reported(scene: Scene):
    await scene.declare()
    listener = await scene.listen("w1")
    worker = await scene.worker("w1", "f")
    await scene.submit("a", "b", function=pinned_name("w1", "closure"))
    await worker.fail(await worker.claim_one())
    await scene.cancel("b")
    told = await listener.next()
    while isinstance(told, Woken):
        told = await listener.next()
    assert told == TaskEnded("b")
