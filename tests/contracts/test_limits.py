"""Limits: `max_workers` bounds the leases of a queue over all processes, always."""

from kew.app.ports import Command
from tests.support.scene import Scene


async def test_never_more_leases_than_max_workers_over_all_processes(scene: Scene):
    await scene.declare(max_workers=3)
    await scene.submit(*(f"t{n}" for n in range(10)))
    w1, w2 = await scene.worker("w1"), await scene.worker("w2")
    assert len(await w1.claim(2)) == 2
    assert len(await w2.claim(5)) == 1
    assert await w1.claim(5, lane=1) == []
    assert (await scene.status()).held == 3


async def test_a_settled_lease_makes_room_for_one(scene: Scene):
    await scene.declare(max_workers=1)
    await scene.submit("a", "b", "c")
    worker = await scene.worker()
    await worker.succeed(await worker.claim_one())
    assert await worker.claim_ids() == ["b"]


async def test_a_lease_that_has_ended_makes_room_only_by_being_taken_back(scene: Scene):
    await scene.declare(max_workers=1)
    await scene.submit("a", "b")
    worker = await scene.worker()
    await worker.claim_one(lease_ms=1_000)
    await scene.advance(1_000)
    assert (await scene.status()).held == 1
    assert await worker.claim_ids() == ["a"]
    assert (await scene.status()).held == 1


async def test_a_lowered_limit_takes_nothing_back_and_grants_nothing_until_there_is_room(
    scene: Scene,
):
    await scene.declare(max_workers=3)
    await scene.submit("a", "b", "c", "d")
    worker = await scene.worker()
    tasks = await worker.claim(3)
    await scene.declare(max_workers=1)
    assert (await scene.status()).held == 3
    for task in tasks[:2]:
        await worker.succeed(task)
        assert await worker.claim_ids() == []
    await worker.succeed(tasks[2])
    assert await worker.claim_ids() == ["d"]


async def test_a_raised_limit_holds_at_once(scene: Scene):
    await scene.declare(max_workers=1)
    await scene.submit("a", "b", "c")
    worker = await scene.worker()
    assert len(await worker.claim(5)) == 1
    await scene.declare(max_workers=3)
    assert len(await worker.claim(5)) == 2


async def test_the_limit_of_one_queue_is_not_that_of_another(scene: Scene):
    await scene.declare("orders", max_workers=1)
    await scene.declare("mails", max_workers=1)
    await scene.submit("a", queue="orders")
    await scene.submit("b", queue="mails")
    assert len(await (await scene.worker(queue="orders")).claim(5)) == 1
    assert len(await (await scene.worker(queue="mails")).claim(5)) == 1


async def test_a_paused_queue_grants_nothing_and_its_running_tasks_go_on(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b")
    worker = await scene.worker()
    task = await worker.claim_one()
    await scene.control(Command.PAUSE)
    assert await worker.claim() == []
    assert (await worker.extend(task))[0] == "done"
    assert (await worker.succeed(task)).word == "done"


async def test_a_paused_queue_takes_submits_and_grants_them_once_resumed(scene: Scene):
    await scene.declare()
    await scene.control(Command.PAUSE)
    await scene.submit("a")
    worker = await scene.worker()
    assert await worker.claim() == []
    await scene.control(Command.RESUME)
    assert await worker.claim_ids() == ["a"]


async def test_a_claim_on_a_paused_queue_still_takes_back_ended_leases(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    await worker.claim_one(lease_ms=1_000)
    await scene.control(Command.PAUSE)
    await scene.advance(1_000)
    assert await worker.claim() == []
    assert (await scene.status()).held == 0
