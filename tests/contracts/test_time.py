"""Time is the store's: a step back under a second is clamped, a larger one followed, and neither breaks a promise."""

from kew.domain.task import TaskStatus
from tests.support.scene import LEASE_MS, START_MS, Scene


async def test_a_step_back_under_a_second_is_clamped(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    await scene.advance(-999)
    await scene.submit("b")
    assert (await scene.task("b")).queued_at == START_MS


async def test_a_step_back_of_a_second_or_more_is_followed(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    await scene.advance(-1_000)
    await scene.submit("b")
    assert (await scene.task("b")).queued_at == START_MS - 1_000


async def test_a_task_that_was_due_is_not_due_while_the_clock_is_back(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b", delay_ms=5_000)
    worker = await scene.worker()
    await scene.advance(6_000)
    assert await worker.claim_ids(1) == ["a"]
    await scene.advance(-4_000)
    assert (await worker.ask()).wait_ms == 3_000
    assert await worker.claim_ids() == []
    await scene.advance(3_000)
    assert await worker.claim_ids() == ["b"]


async def test_tasks_submitted_after_a_step_back_come_before_those_that_wait_for_it(scene: Scene):
    await scene.declare()
    await scene.submit("before")
    await scene.advance(-5_000)
    await scene.submit("after")
    worker = await scene.worker()
    assert await worker.claim_ids() == ["after"]
    await scene.advance(5_000)
    assert await worker.claim_ids() == ["before"]


async def test_a_step_back_ends_no_lease_early(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    await scene.advance(-5_000)
    assert (await scene.sweep()).recovered == 0
    await worker.extend(task)
    assert (await scene.task("a")).lease_until == START_MS - 5_000 + LEASE_MS


async def test_an_expired_record_is_there_again_while_the_clock_is_back(scene: Scene):
    await scene.declare(task_ttl_ms=70_000)
    await scene.submit("a")
    await scene.cancel("a")
    await scene.advance(70_000)
    assert await scene.find("a") is None
    await scene.advance(-2_000)
    assert (await scene.task("a")).status is TaskStatus.CANCELLED


async def test_a_leap_forward_recovers_and_expires_what_its_time_has_come_for(scene: Scene):
    await scene.declare(task_ttl_ms=70_000)
    await scene.submit("cancelled", "running", "waiting")
    await scene.cancel("cancelled")
    await (await scene.worker()).claim_one()
    await scene.advance(365 * 24 * 3_600_000)
    swept = await scene.sweep()
    assert (swept.recovered, swept.removed) == (1, 1)
    assert await (await scene.worker("w2")).claim_ids() == ["running", "waiting"]
