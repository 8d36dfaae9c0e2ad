"""Order: by priority, then by when a task became ready, then by ticket; what is not due blocks nobody."""

from kew.domain.requests import Word
from tests.support.scene import HIGH, LOW, MEDIUM, Scene, call, group


async def test_higher_priorities_go_first(scene: Scene):
    await scene.declare()
    await scene.submit("low", priority=LOW)
    await scene.submit("medium", priority=MEDIUM)
    await scene.submit("high", priority=HIGH)
    assert await (await scene.worker()).claim_ids() == ["high", "medium", "low"]


async def test_within_a_priority_the_earlier_ready_goes_first(scene: Scene):
    await scene.declare()
    await scene.submit("b", delay_ms=200)
    await scene.submit("a", delay_ms=100)
    await scene.advance(300)
    await scene.submit("c")
    assert await (await scene.worker()).claim_ids() == ["a", "b", "c"]


async def test_tasks_ready_at_one_moment_go_in_the_order_of_submission(scene: Scene):
    await scene.declare(max_workers=100)
    ids = [f"t{n}" for n in range(12)]
    await scene.submit(*ids)
    assert await (await scene.worker()).claim_ids() == ids


async def test_a_high_task_that_is_deferred_does_not_hold_up_a_low_one(scene: Scene):
    await scene.declare()
    await scene.submit("high", priority=HIGH, delay_ms=3_000)
    await scene.submit("low", priority=LOW)
    worker = await scene.worker()
    assert await worker.claim_ids() == ["low"]
    await scene.advance(3_000)
    assert await worker.claim_ids() == ["high"]


async def test_many_deferred_tasks_do_not_hold_up_one_that_is_ready(scene: Scene):
    await scene.declare()
    deferred = [call(f"later {n}", priority=HIGH, delay_ms=60_000 + n) for n in range(500)]
    assert (await scene.try_submit(group(*deferred)))[0].word is Word.DONE
    await scene.submit("now", priority=LOW)
    assert await (await scene.worker()).claim_ids(1) == ["now"]


async def test_a_task_is_due_from_its_due_time_on_and_not_before(scene: Scene):
    await scene.declare()
    await scene.submit("a", delay_ms=100)
    worker = await scene.worker()
    await scene.advance(99)
    assert await worker.claim_ids() == []
    await scene.advance(1)
    assert await worker.claim_ids() == ["a"]


async def test_a_task_handed_back_keeps_its_place(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b")
    worker = await scene.worker()
    first = await worker.claim_one()
    await scene.advance(50)
    await worker.release(first)
    assert await worker.claim_ids() == ["a", "b"]


async def test_a_task_whose_worker_was_lost_keeps_its_place(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b")
    worker = await scene.worker()
    first = await worker.claim_one(lease_ms=1_000)
    await scene.advance(1_000)
    await scene.submit("c")
    assert await worker.claim_ids() == ["a", "b", "c"]
    assert first.ready_at == (await scene.task("a")).ready_at


async def test_a_retry_has_a_due_time_of_its_own(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b")
    worker = await scene.worker()
    await worker.fail(await worker.claim_one(), retry_after_ms=100)
    await scene.advance(50)
    await scene.submit("c")
    await scene.advance(100)
    assert await worker.claim_ids() == ["b", "c", "a"]


async def test_a_replayed_task_goes_behind_those_that_were_ready(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b")
    worker = await scene.worker()
    await worker.fail(await worker.claim_one())
    await scene.advance(10)
    await scene.replay("a")
    assert await worker.claim_ids() == ["b", "a"]


async def test_tasks_of_several_functions_come_in_one_order(scene: Scene):
    await scene.declare()
    names = ["f", "g", "h"]
    for n in range(9):
        await scene.submit(f"t{n}", function=names[n % 3])
    worker = await scene.worker("w1", *names)
    assert await worker.claim_ids(4) == ["t0", "t1", "t2", "t3"]
    assert await worker.claim_ids() == ["t4", "t5", "t6", "t7", "t8"]


async def test_a_cancelled_task_lets_nobody_overtake(scene: Scene):
    await scene.declare()
    await scene.submit("cancelled", "second")
    await scene.submit("third", delay_ms=100)
    await scene.cancel("cancelled")
    await scene.advance(200)
    worker = await scene.worker()
    assert await worker.claim_ids(1) == ["second"]
    assert await worker.claim_ids(1) == ["third"]


async def test_a_task_that_its_claimer_cannot_run_lets_nobody_overtake(scene: Scene):
    await scene.declare()
    await scene.submit("unknown", function="g")
    await scene.submit("second")
    await scene.submit("third", delay_ms=100)
    await scene.advance(200)
    worker = await scene.worker()
    assert await worker.claim_ids(1) == ["second"]
    assert await worker.claim_ids(1) == ["third"]


async def test_a_deferred_task_that_its_claimer_cannot_run_lets_nobody_overtake(scene: Scene):
    await scene.declare()
    await scene.submit("unknown", function="g", delay_ms=1)
    await scene.submit("second", delay_ms=2)
    await scene.advance(3)
    await scene.submit("third")
    worker = await scene.worker()
    assert await worker.claim_ids(1) == ["second"]
    assert await worker.claim_ids(1) == ["third"]
