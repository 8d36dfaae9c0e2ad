"""Recovering: what a dead worker held is taken back once its lease ended, and a task that kills its workers ends."""

from kew.domain.requests import LostWorker
from kew.domain.task import TaskStatus
from tests.support.scene import START_MS, Scene, Worker, group, success


async def lose(scene: Scene, worker: Worker, times: int = 1) -> None:
    """Claim a task and let its lease end, again and again."""
    for _ in range(times):
        await worker.claim_one(lease_ms=1_000)
        await scene.advance(1_000)
        await scene.sweep()


async def test_a_task_whose_lease_has_ended_waits_again(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    await (await scene.worker()).claim_one(lease_ms=1_000)
    await scene.advance(1_000)
    assert (await scene.sweep()).recovered == 1
    after = await scene.task("a")
    assert (after.status, after.lease, after.losses) == (TaskStatus.QUEUED, "", 1)
    assert after.ready_at == START_MS


async def test_recovering_twice_is_recovering_once(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    await (await scene.worker()).claim_one(lease_ms=1_000)
    await scene.advance(1_000)
    await scene.sweep()
    before = await scene.task("a")
    assert (await scene.sweep()).recovered == 0
    assert await scene.task("a") == before


async def test_a_lease_that_is_live_is_never_recovered(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    await (await scene.worker()).claim_one(lease_ms=1_000)
    await scene.advance(999)
    assert (await scene.sweep()).recovered == 0


async def test_a_worker_whose_presence_has_ended_keeps_its_live_leases(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one(lease_ms=60_000)
    await worker.depart()
    await scene.advance(1_000)
    assert (await scene.sweep()).recovered == 0
    assert (await worker.succeed(task)).status is TaskStatus.COMPLETED


async def test_a_task_that_loses_its_workers_too_often_fails(scene: Scene):
    await scene.declare(max_deliveries=2)
    await scene.submit("a")
    worker = await scene.worker()
    await lose(scene, worker, times=2)
    assert (await scene.task("a")).status is TaskStatus.QUEUED
    await lose(scene, worker)
    after = await scene.task("a")
    assert (after.status, after.losses, after.attempt) == (TaskStatus.FAILED, 3, 3)
    assert "max_deliveries" in after.error


async def test_failures_and_losses_are_counted_apart(scene: Scene):
    await scene.declare(max_deliveries=1)
    await scene.submit("a")
    worker = await scene.worker()
    await worker.fail(await worker.claim_one(), retry_after_ms=0)
    await lose(scene, worker)
    after = await scene.task("a")
    assert (after.status, after.failures, after.losses) == (TaskStatus.QUEUED, 1, 1)


async def test_an_at_most_once_task_whose_worker_was_lost_has_failed(scene: Scene):
    await scene.declare()
    await scene.submit("a", at_most_once=True)
    await lose(scene, await scene.worker())
    after = await scene.task("a")
    assert after.status is TaskStatus.FAILED
    assert "at_most_once" in after.error


async def test_a_task_asked_to_stop_whose_worker_was_lost_is_cancelled(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    await (await scene.worker()).claim_one(lease_ms=1_000)
    await scene.cancel("a")
    await scene.advance(1_000)
    await scene.sweep()
    after = await scene.task("a")
    assert (after.status, after.losses) == (TaskStatus.CANCELLED, 0)


async def test_recovery_is_bounded_and_says_that_there_is_more(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b", "c")
    await (await scene.worker()).claim(3, lease_ms=1_000)
    await scene.advance(1_000)
    first = await scene.sweep(limit=2)
    assert (first.recovered, first.more) == (2, True)
    second = await scene.sweep(limit=2)
    assert (second.recovered, second.more) == (1, False)


async def test_the_earliest_ended_leases_are_recovered_first(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b")
    worker = await scene.worker()
    await worker.claim_one(lease_ms=2_000)
    await worker.claim_one(lease_ms=1_000)
    await scene.advance(3_000)
    await scene.sweep(limit=1)
    assert (await scene.task("a")).status is TaskStatus.PROCESSING
    assert (await scene.task("b")).status is TaskStatus.QUEUED


async def test_a_recovered_task_may_exceed_max_size(scene: Scene):
    await scene.declare(max_size=1)
    await scene.submit("a")
    worker = await scene.worker()
    await worker.claim_one(lease_ms=1_000)
    await scene.submit("b")
    await scene.advance(1_000)
    assert (await scene.sweep()).recovered == 1
    assert await scene.waiting() == 2


async def test_a_claim_recovers_a_bounded_number_of_ended_leases(scene: Scene):
    await scene.declare(max_workers=200)
    await scene.try_submit(group(*(f"t{n}" for n in range(150))))
    worker = await scene.worker()
    await worker.claim(150, lease_ms=1_000)
    await scene.advance(1_000)
    assert len(await worker.claim(200)) == 100
    assert len(await worker.claim(200)) == 50


async def test_a_sweep_names_the_workers_that_it_recovered_tasks_of(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b", "c")
    first, second = await scene.worker("w1"), await scene.worker("w2")
    await second.claim_one(lease_ms=1_000)
    await first.claim(2, lease_ms=1_000)
    await scene.advance(1_000)
    swept = await scene.sweep()
    assert list(swept.lost) == [LostWorker("w1", 2), LostWorker("w2", 1)]
    assert list((await scene.sweep()).lost) == []


async def test_a_claim_names_the_worker_that_it_recovered_tasks_of_once(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b")
    await (await scene.worker("w1")).claim(2, lease_ms=1_000)
    await scene.advance(1_000)
    worker = await scene.worker("w2")
    request = worker.request(2)
    grant = await scene.store.claim("orders", request)
    assert (len(grant.tasks), grant.lost) == (2, (LostWorker("w1", 2),))
    assert (await scene.store.claim("orders", request)).lost == ()


async def test_a_claim_that_comes_with_a_settle_names_the_lost_worker_too(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b")
    await (await scene.worker("w1")).claim_one(lease_ms=1_000)
    worker = await scene.worker("w2")
    task = await worker.claim_one()
    await scene.advance(1_000)
    settled = await worker.settle(success(task), claim=worker.request())
    assert settled.grant is not None
    assert settled.grant.lost == (LostWorker("w1", 1),)


async def test_an_answer_names_the_tasks_that_failed_with_their_worker(scene: Scene):
    await scene.declare(max_deliveries=0)
    await scene.submit("once", at_most_once=True)
    await scene.submit("poison", "stopped")
    first, second = await scene.worker("w1"), await scene.worker("w2")
    await first.claim(2, lease_ms=1_000)
    await second.claim_one(lease_ms=1_000)
    await scene.cancel("stopped")
    await scene.advance(1_000)
    swept = await scene.sweep()
    assert list(swept.lost) == [LostWorker("w1", 2, ("once", "poison")), LostWorker("w2", 1)]
    assert list((await scene.sweep()).lost) == []
