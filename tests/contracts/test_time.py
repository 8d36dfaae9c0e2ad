"""Time is the store's: a step back under a second is clamped, a larger one followed, and neither breaks a promise."""

from kew.app.ports import Sweep
from kew.domain.task import TaskStatus, pinned_name
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


HOUR = 3_600_000


async def test_a_step_forward_and_back_keeps_no_slot_of_a_dead_worker(scene: Scene):
    await scene.declare(max_workers=1)
    await scene.submit("a")
    await scene.advance(HOUR)
    await (await scene.worker("dead")).claim_one()
    await scene.advance(-HOUR)
    await scene.sweep()
    await scene.advance(LEASE_MS)
    assert await (await scene.worker("w2")).claim_ids() == ["a"]


async def test_a_lease_that_was_extended_before_a_step_back_lasts_no_longer_than_any_other(
    scene: Scene,
):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    await scene.advance(HOUR)
    await worker.announce("f")
    again = await worker.claim_one()
    await worker.extend(again)
    await scene.advance(-HOUR)
    await scene.sweep()
    assert (await scene.task("a")).lease_until == START_MS + LEASE_MS
    assert task.lease != again.lease


async def test_a_sweep_shortens_no_lease_while_the_clock_goes_on(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b")
    worker = await scene.worker()
    await worker.claim(lease_ms=1_000)
    long = await worker.claim_one(lease_ms=60_000)
    await scene.sweep()
    assert (await scene.task(long.id)).lease_until == START_MS + 60_000


async def test_a_step_forward_and_back_keeps_no_dead_process_present(scene: Scene):
    await scene.declare()
    await scene.advance(2 * HOUR)
    await scene.worker("dead", ttl_ms=60_000)
    await scene.advance(-2 * HOUR)
    await scene.store.do(Sweep("orders", 100, 60_000, None))
    await scene.advance(60_000)
    assert list((await scene.status()).workers) == []


async def test_an_open_breaker_waits_no_longer_for_a_step_back(scene: Scene):
    await scene.declare(breaker_failures=1, breaker_reset_ms=1_000)
    await scene.submit("a", "b")
    worker = await scene.worker()
    await scene.advance(HOUR)
    await worker.announce("f")
    await worker.fail(await worker.claim_one())
    await scene.advance(-HOUR)
    assert await worker.claim_ids() == []
    await scene.advance(1_000)
    assert await worker.claim_ids(1) == ["b"]


async def test_a_step_forward_fails_no_closure_of_a_process_that_is_not_judged_gone(scene: Scene):
    await scene.declare()
    await scene.worker("w1", "f", ttl_ms=60_000)
    await scene.submit("a", function=pinned_name("w1", "closure"))
    before = scene.now
    await scene.advance(HOUR)
    assert len((await scene.store.do(Sweep("orders", 100, 60_000, before))).orphaned) == 0
    assert len((await scene.store.do(Sweep("orders", 100, 60_000, None))).orphaned) == 0
    await scene.worker("w1", "f", ttl_ms=60_000)
    assert len((await scene.sweep()).orphaned) == 0
    assert (await scene.task("a")).status is TaskStatus.QUEUED


async def test_an_instant_from_before_a_step_back_judges_no_process_gone(scene: Scene):
    await scene.declare()
    before = scene.now
    await scene.advance(-24 * HOUR)
    await scene.worker("w1", "f", ttl_ms=60_000)
    await scene.submit("a", function=pinned_name("w1", "closure"))
    await scene.advance(HOUR)
    assert len((await scene.store.do(Sweep("orders", 100, 60_000, before))).orphaned) == 0
    assert (await scene.task("a")).status is TaskStatus.QUEUED


async def test_a_renewal_between_a_step_back_and_one_forward_shortens_no_presence(scene: Scene):
    await scene.declare()
    worker = await scene.worker("w1", "f", ttl_ms=60_000)
    await scene.submit("a", function=pinned_name("w1", "closure"))
    before = scene.now
    await scene.advance(-HOUR)
    await worker.announce("f")
    await scene.advance(HOUR + 1_000)
    assert len((await scene.store.do(Sweep("orders", 100, 60_000, before))).orphaned) == 0
    assert list((await scene.status()).workers) == ["w1"]
