"""Expiry: an ended record is absent from `ended_at + ttl` on, in every operation, whether or not it was removed yet."""

from kew.app.ports import Find, Watch
from kew.domain.requests import SettleOutcome, Word
from kew.domain.task import Task, TaskStatus
from tests.support.scene import Scene, Worker, call, group

TTL = 70_000


async def completed(scene: Scene, task_id: str = "a") -> tuple[Worker, Task]:
    """A completed task whose record lives for `TTL`, and its worker."""
    await scene.declare(task_ttl_ms=TTL, dead_letter_ttl_ms=2 * TTL)
    worker = await scene.worker()
    await scene.submit(task_id)
    task = await worker.claim_one()
    await worker.succeed(task)
    return worker, task


async def test_a_record_is_there_until_just_before_it_expires(scene: Scene):
    await completed(scene)
    await scene.advance(TTL - 1)
    assert await scene.find("a") is not None
    await scene.advance(1)
    assert await scene.find("a") is None


async def test_failed_tasks_are_kept_for_the_dead_letter_ttl(scene: Scene):
    await completed(scene, "other")
    worker = await scene.worker("w2")
    await scene.submit("a")
    await worker.fail(await worker.claim_one())
    await scene.advance(2 * TTL - 1)
    assert (await scene.task("a")).status is TaskStatus.FAILED
    await scene.advance(1)
    assert await scene.find("a") is None


async def test_an_id_can_be_used_again_once_its_record_has_expired(scene: Scene):
    await completed(scene)
    await scene.advance(TTL)
    await scene.submit("a", nonce="another")
    after = await scene.task("a")
    assert (after.status, after.attempt, after.ticket) == (TaskStatus.QUEUED, 0, 2)
    assert after.result == b""


async def test_an_expired_id_can_be_used_again_in_another_queue(scene: Scene):
    await completed(scene)
    await scene.declare("mails")
    await scene.advance(TTL)
    await scene.submit("a", queue="mails", nonce="another")
    assert (await scene.task("a")).queue == "mails"
    assert await scene.cancel("a", queue="orders") is Word.MISSING


async def test_the_old_record_of_an_id_used_again_takes_nothing_of_the_new_one_with_it(
    scene: Scene,
):
    await completed(scene)
    await scene.advance(TTL)
    await scene.submit("a", nonce="another")
    assert (await scene.sweep()).removed == 0
    assert await (await scene.worker("w2")).claim_ids() == ["a"]
    await scene.advance(TTL)
    assert (await scene.sweep()).removed == 0


async def test_the_old_record_of_an_id_used_again_elsewhere_takes_nothing_with_it(scene: Scene):
    await completed(scene)
    await scene.declare("mails")
    await scene.advance(TTL)
    await scene.submit("a", queue="mails", nonce="another")
    await scene.sweep(queue="orders")
    assert (await scene.task("a")).queue == "mails"


async def test_a_submit_repeated_after_its_record_expired_is_a_new_task(scene: Scene):
    await completed(scene)
    await scene.advance(TTL)
    assert (await scene.try_submit(group(call("a"))))[0].word is Word.DONE


async def test_a_settle_repeated_after_its_record_expired_is_stale(scene: Scene):
    worker, task = await completed(scene)
    await scene.advance(TTL)
    assert await worker.succeed(task) == SettleOutcome(Word.STALE)


async def test_an_expired_task_can_be_neither_cancelled_nor_replayed_nor_watched(scene: Scene):
    await scene.declare(task_ttl_ms=TTL)
    await scene.submit("a")
    await scene.cancel("a")
    await scene.advance(TTL)
    assert await scene.cancel("a") is Word.MISSING
    assert await scene.replay("a") is Word.MISSING
    assert await scene.store.do(Watch("orders", ["a"], "w1")) == [None]


async def test_maintenance_removes_expired_records_a_bounded_number_at_once(scene: Scene):
    await scene.declare(task_ttl_ms=TTL)
    await scene.submit("a", "b", "c", "kept")
    for task_id in "abc":
        await scene.cancel(task_id)
    await scene.advance(TTL)
    first = await scene.sweep(limit=2)
    assert (first.removed, first.more) == (2, True)
    second = await scene.sweep(limit=2)
    assert (second.removed, second.more) == (1, False)
    assert await scene.find("kept") is not None


async def test_a_record_that_is_replayed_and_ends_again_expires_by_its_second_end(scene: Scene):
    await scene.declare(task_ttl_ms=TTL)
    await scene.submit("a")
    await scene.cancel("a")
    await scene.advance(TTL - 1)
    await scene.replay("a")
    await scene.cancel("a")
    await scene.advance(2)
    assert (await scene.sweep()).removed == 0
    assert await scene.find("a") is not None
    await scene.advance(TTL)
    assert (await scene.sweep()).removed == 1


async def test_a_task_deferred_for_a_year_is_still_there_after_a_year(scene: Scene):
    year = 366 * 24 * 3_600_000
    await scene.declare(task_ttl_ms=TTL)
    await scene.submit("a", delay_ms=year)
    await scene.advance(year - 1)
    await scene.sweep()
    worker = await scene.worker()
    assert await worker.claim_ids() == []
    await scene.advance(1)
    assert await worker.claim_ids() == ["a"]


async def test_nothing_that_waits_or_runs_expires(scene: Scene):
    await scene.declare(task_ttl_ms=TTL, dead_letter_ttl_ms=TTL, max_workers=1)
    await scene.submit("runs", "retries", "waits")
    worker = await scene.worker()
    runs = await worker.claim_one()
    await worker.release(runs)
    await worker.claim_one(lease_ms=100 * TTL)
    await scene.advance(50 * TTL)
    assert (await scene.sweep()).removed == 0
    assert None not in await scene.store.do(Find(["runs", "retries", "waits"]))


async def test_settings_changed_later_do_not_move_the_expiry_of_what_has_ended(scene: Scene):
    await completed(scene)
    await scene.declare(task_ttl_ms=10 * TTL)
    await scene.advance(TTL)
    assert await scene.find("a") is None
