"""Leases: only a live one can be extended, and none is ever revived."""

from kew.app.ports import Extend
from kew.domain.requests import LeaseRef, Word
from kew.domain.task import TaskStatus
from tests.support.scene import START_MS, Scene


async def test_extending_prolongs_a_lease_from_now(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one(lease_ms=3_000)
    await scene.advance(1_000)
    assert await worker.extend(task, lease_ms=3_000) == [Word.DONE]
    assert (await scene.task("a")).lease_until == START_MS + 4_000


async def test_an_extended_lease_keeps_its_task_from_being_recovered(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    w1, w2 = await scene.worker("w1"), await scene.worker("w2")
    task = await w1.claim_one(lease_ms=1_000)
    await scene.advance(900)
    await w1.extend(task, lease_ms=1_000)
    await scene.advance(900)
    assert await w2.claim() == []
    await scene.advance(100)
    assert [one.id for one in await w2.claim()] == ["a"]


async def test_a_lease_that_has_ended_is_never_revived(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one(lease_ms=1_000)
    await scene.advance(1_000)
    assert await worker.extend(task) == [Word.STALE]
    assert (await scene.task("a")).lease_until == START_MS + 1_000


async def test_a_lease_is_live_until_the_very_last_moment(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one(lease_ms=1_000)
    await scene.advance(999)
    assert (await scene.sweep()).recovered == 0
    assert await worker.extend(task) == [Word.DONE]


async def test_a_settled_lease_cannot_be_extended(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one()
    await worker.succeed(task)
    assert await worker.extend(task) == [Word.STALE]


async def test_a_lease_replaced_by_a_newer_one_cannot_be_extended(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    w1, w2 = await scene.worker("w1"), await scene.worker("w2")
    old = await w1.claim_one(lease_ms=1_000)
    await scene.advance(1_000)
    new = await w2.claim_one()
    assert await w1.extend(old) == [Word.STALE]
    assert (await scene.task("a")).lease_until == new.lease_until


async def test_each_lease_of_a_call_has_its_own_answer_in_order(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b", "c")
    worker = await scene.worker()
    a, b, c = await worker.claim(3)
    await worker.succeed(a)
    await scene.cancel("b")
    assert await worker.extend(b, a, c) == [Word.CANCEL, Word.STALE, Word.DONE]


async def test_a_lease_of_a_task_that_nobody_knows_is_stale(scene: Scene):
    await scene.declare()
    words = await scene.store.do(Extend("orders", [LeaseRef("nobody", "w1.0.1.1")], 1_000))
    assert words == [Word.STALE]


async def test_a_lease_is_stale_in_another_queue_and_in_an_undeclared_one(scene: Scene):
    await scene.declare("orders")
    await scene.declare("mails")
    await scene.submit("a")
    task = await (await scene.worker()).claim_one()
    ref = LeaseRef(task.id, task.lease)
    assert await scene.store.do(Extend("mails", [ref], 1_000)) == [Word.STALE]
    assert await scene.store.do(Extend("nowhere", [ref], 1_000)) == [Word.STALE]


async def test_extending_by_less_shortens_a_lease(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one(lease_ms=60_000)
    assert await worker.extend(task, lease_ms=500) == [Word.DONE]
    await scene.advance(500)
    assert (await scene.sweep()).recovered == 1


async def test_extending_moves_nothing_but_the_end_of_the_lease(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    before = await worker.claim_one(lease_ms=1_000)
    await scene.advance(10)
    await worker.extend(before, lease_ms=1_000)
    after = await scene.task("a")
    assert after == before.moved(lease_until=before.lease_until + 10)
    assert after.status is TaskStatus.PROCESSING
