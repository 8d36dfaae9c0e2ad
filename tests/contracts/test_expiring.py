"""Expiring: a task that no process takes in its time ends as cancelled, and never starts."""

from kew.app.notices import TaskEnded
from kew.app.ports import Watch
from kew.domain.requests import Word
from kew.domain.task import TaskStatus
from tests.support.scene import LOW, Scene, call, group

TEXT = "it expired: no process started it within 5.000 s (expires_in)"


async def test_a_claim_takes_a_task_until_its_time_is_over_and_not_then(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    await scene.submit("early", "late", start_by_ms=5_000)
    await scene.submit("plain")
    await scene.advance(4_999)
    assert [task.id for task in await worker.claim(1)] == ["early"]
    await scene.advance(1)
    assert await worker.claim_ids() == ["plain"]
    late = await scene.task("late")
    assert (late.status, late.error, late.attempt) == (TaskStatus.CANCELLED, TEXT, 0)
    assert late.ended_at == scene.now
    assert await scene.waiting() == 0


async def test_a_sweep_ends_it_if_no_process_claims(scene: Scene):
    await scene.declare()
    listener = await scene.listen("w1")
    await scene.submit("a", start_by_ms=5_000)
    await scene.submit("b", priority=LOW, delay_ms=1_000, start_by_ms=5_000, payload=b"p" * 3_000)
    await scene.store.do(Watch("orders", ["a"], "w1"))
    await scene.advance(4_999)
    assert (await scene.sweep()).expired == ()
    await scene.advance(1)
    assert sorted((await scene.sweep()).expired) == ["a", "b"]
    assert await listener.next() == TaskEnded("a")
    assert [(await scene.task(one)).error for one in "ab"] == [TEXT, TEXT]
    assert await scene.waiting() == 0
    assert (await scene.sweep()).expired == ()


async def test_a_sweep_ends_a_bounded_number(scene: Scene):
    await scene.declare()
    await scene.submit(*"abcde", start_by_ms=5_000)
    await scene.advance(5_000)
    swept = await scene.sweep(limit=2)
    assert (swept.expired, swept.more) == (("a", "b"), True)
    assert await scene.waiting() == 3


async def test_more_than_a_claim_may_end_at_once_are_ended_before_anything_starts(scene: Scene):
    await scene.declare(max_size=1_000)
    worker = await scene.worker()
    await scene.submit(*(f"t{n}" for n in range(150)), start_by_ms=5_000)
    await scene.submit("plain")
    await scene.advance(5_000)
    first = await worker.ask(10)
    assert (first.word, first.tasks, first.wait_ms) == (Word.DONE, (), 0)
    assert await worker.claim_ids() == ["plain"]
    assert (await scene.task("t149")).status is TaskStatus.CANCELLED


async def test_a_task_that_was_taken_once_does_not_expire(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    await scene.submit("retried", "released", start_by_ms=5_000)
    retried, released = await worker.claim(2)
    await worker.fail(retried, retry_after_ms=100)
    await worker.release(released)
    await scene.advance(9_000)
    assert (await scene.sweep()).expired == ()
    assert sorted(await worker.claim_ids()) == ["released", "retried"]


async def test_an_expired_task_that_a_person_replays_runs(scene: Scene):
    await scene.declare()
    await scene.submit("a", start_by_ms=5_000)
    await scene.advance(5_000)
    await scene.sweep()
    assert await scene.replay("a") is Word.DONE
    await scene.advance(9_000)
    assert await (await scene.worker()).claim_ids() == ["a"]


async def test_an_id_that_is_used_again_has_its_own_time(scene: Scene):
    await scene.declare(task_ttl_ms=70_000)
    await scene.submit("a", start_by_ms=5_000)
    await scene.cancel("a")
    await scene.advance(71_000)
    await scene.submit("a", nonce="other", start_by_ms=5_000)
    assert (await scene.sweep()).expired == ()
    assert (await scene.task("a")).status is TaskStatus.QUEUED


async def test_a_parked_task_expires(scene: Scene):
    await scene.declare()
    worker = await scene.worker("w1", "f")
    await scene.submit("a", function="g", start_by_ms=5_000)
    assert await worker.claim_ids() == []
    await scene.advance(5_000)
    assert (await scene.sweep()).expired == ("a",)
    assert (await scene.status()).stuck == {}


async def test_a_purged_queue_leaves_nothing_to_expire(scene: Scene):
    await scene.declare()
    await scene.submit("a", start_by_ms=5_000)
    await scene.purge()
    await scene.declare()
    await scene.submit("a", nonce="other")
    await scene.advance(5_000)
    assert (await scene.sweep()).expired == ()


async def test_a_task_that_would_expire_before_it_is_due_is_refused(scene: Scene):
    await scene.declare()
    at = scene.now + 5_000
    never = call("never", due_at=at, start_by_ms=5_000, payload=b"p" * 3_000)
    in_time = call("in time", due_at=at, start_by_ms=5_001)
    refused, stored, past = await scene.try_submit(
        group(call("before"), never), group(in_time), group(call("p", due_at=1, start_by_ms=1))
    )
    assert (refused.word, refused.task_id) == (Word.LATE, "never")
    assert (stored.word, past.word) == (Word.DONE, Word.DONE)
    assert await scene.find("before") is None
    await scene.advance(5_000)
    assert await (await scene.worker()).claim_ids() == ["in time"]


async def test_a_claim_names_those_that_it_ended(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    await scene.submit("a", "b", start_by_ms=5_000)
    await scene.submit("c")
    await scene.advance(5_000)
    grant = await worker.ask(1)
    assert (grant.expired, [task.id for task in grant.tasks]) == (("a", "b"), ["c"])
    assert (await worker.ask(1)).expired == ()
