"""Dead letters: what failed for good is found, page by page, all of it, once, and nothing else is."""

import pytest

from kew.app.ports import Bookmark, ListFailed
from kew.domain.task import Task, TaskStatus
from tests.support.scene import QUEUE, Scene, Worker, call, group

DEAD_MS, ENDED_MS = 60_000, 1_000
ROOM = {"max_workers": 100, "breaker_failures": 0}
MANY = [f"t{n:02}" for n in range(23)]


async def declared(scene: Scene, queue: str = QUEUE) -> Worker:
    await scene.declare(queue, dead_letter_ttl_ms=DEAD_MS, task_ttl_ms=ENDED_MS, **ROOM)
    return await scene.worker(queue=queue)


async def fail(scene: Scene, worker: Worker, *task_ids: str, error: str = "boom") -> None:
    """These fail for good, at this moment."""
    await scene.submit(*task_ids, queue=worker.queue)
    for task in await worker.claim(len(task_ids)):
        await worker.fail(task, error=error)


async def page(
    scene: Scene, after: Bookmark | None = None, *, limit: int = 100, queue: str = QUEUE
) -> tuple[list[Task], Bookmark | None]:
    found = await scene.store.do(ListFailed(queue, after, limit))
    assert found is not None
    return list(found.tasks), found.after


async def dead_letters(scene: Scene, *, limit: int = 100, queue: str = QUEUE) -> list[str]:
    """All pages' ids, in order."""
    tasks, after = await page(scene, limit=limit, queue=queue)
    found = tasks
    while after is not None:
        tasks, after = await page(scene, after, limit=limit, queue=queue)
        assert len(tasks) <= limit
        found += tasks
    return [task.id for task in found]


async def test_the_newest_end_comes_first(scene: Scene):
    worker = await declared(scene)
    for task_id in ("first", "second", "third"):
        await fail(scene, worker, task_id)
        await scene.advance(10)
    assert await dead_letters(scene) == ["third", "second", "first"]


async def test_only_what_failed_is_a_dead_letter(scene: Scene):
    worker = await declared(scene)
    await scene.submit("completed", "failed", "retried", "running", "waiting", "cancelled")
    completed, failed, retried, _ = await worker.claim(4)
    await worker.succeed(completed)
    await worker.fail(failed)
    await worker.fail(retried, retry_after_ms=60_000)
    await scene.cancel("cancelled")
    assert await dead_letters(scene) == ["failed"]


async def test_it_is_the_record_but_for_the_payload(scene: Scene):
    worker = await declared(scene)
    await scene.submit("a", payload=b"payload \x00\n|" * 9)
    await worker.fail(await worker.claim_one(), error="ValueError: \u00e9\n|")
    (found,), _ = await page(scene)
    whole = await scene.task("a")
    assert (found.status, found.error) == (TaskStatus.FAILED, "ValueError: \u00e9\n|")
    assert found == whole
    assert found.call == call("a")


async def test_a_replayed_task_still_has_its_payload(scene: Scene):
    worker = await declared(scene)
    await scene.submit("a", payload=b"payload")
    await worker.fail(await worker.claim_one())
    await page(scene)
    await scene.replay("a")
    assert (await worker.claim_one()).call.payload == b"payload"


@pytest.mark.parametrize("limit", [1, 2, 5, 22, 23, 24])
async def test_pages_of_any_size_have_each_of_many_ends_of_one_instant_once(
    scene: Scene, limit: int
):
    worker = await declared(scene)
    await fail(scene, worker, *MANY)
    assert await dead_letters(scene, limit=limit) == MANY[::-1]


async def test_ends_of_one_instant_go_by_submit_whatever_their_ids(scene: Scene):
    ids = ["A", "Z", "a", "aa", "a b", "z", "\u00e4", "\u20ac", "\U0001f600", "_", "0"]
    worker = await declared(scene)
    await fail(scene, worker, *ids)
    assert await dead_letters(scene) == ids[::-1]
    assert await dead_letters(scene, limit=1) == ids[::-1]
    for ticket, _ in enumerate(ids, 1):  # from a place whose own entry is not there
        tasks, _ = await page(scene, Bookmark(scene.now + DEAD_MS, ticket, ""))
        assert [task.id for task in tasks] == ids[: ticket - 1][::-1]


@pytest.mark.parametrize("limit", [1, 4, 100])
async def test_replaying_each_of_a_page_skips_and_repeats_none(scene: Scene, limit: int):
    worker = await declared(scene)
    await fail(scene, worker, *MANY[:12])
    await scene.advance(1)
    await fail(scene, worker, *MANY[12:])
    seen: list[str] = []
    tasks, after = await page(scene, limit=limit)
    while True:
        for task in tasks:
            seen.append(task.id)
            await scene.replay(task.id)
        if after is None:
            break
        tasks, after = await page(scene, after, limit=limit)
    assert seen == MANY[::-1]
    assert await dead_letters(scene) == []
    assert sorted(await worker.claim_ids()) == MANY


async def test_what_fails_while_somebody_reads_is_before_the_bookmark(scene: Scene):
    worker = await declared(scene)
    await fail(scene, worker, *MANY[:4])
    tasks, after = await page(scene, limit=2)
    await scene.advance(1)
    await fail(scene, worker, *MANY[4:])
    rest, _ = await page(scene, after)
    assert [task.id for task in (*tasks, *rest)] == MANY[:4][::-1]


async def test_a_task_that_fails_again_is_a_dead_letter_once(scene: Scene):
    worker = await declared(scene)
    await fail(scene, worker, "a", "b")
    await scene.replay("a")
    await worker.fail(await worker.claim_one(), error="once more")
    assert await dead_letters(scene) == ["b", "a"]
    await scene.advance(1)
    await scene.replay("a")
    await worker.fail(await worker.claim_one(), error="once more")
    assert await dead_letters(scene) == ["a", "b"]


async def test_an_expired_record_is_none_whether_or_not_it_was_removed(scene: Scene):
    worker = await declared(scene)
    await fail(scene, worker, *MANY[:3])
    await scene.advance(1)
    await fail(scene, worker, "later")
    await scene.advance(DEAD_MS - 1)
    assert await dead_letters(scene) == ["later"]
    assert await dead_letters(scene, limit=1) == ["later"]
    await scene.sweep()
    assert await dead_letters(scene) == ["later"]
    await scene.advance(1)
    assert await dead_letters(scene) == []


async def test_an_id_that_was_used_again_is_looked_up_as_what_it_is_now(scene: Scene):
    worker = await declared(scene)
    other = await declared(scene, "mails")
    await fail(scene, worker, "a", "b", "c")
    await scene.advance(DEAD_MS)
    await fail(scene, other, "a")
    await scene.submit("b")
    await fail(scene, other, "c")
    await scene.advance(DEAD_MS)
    await scene.advance(-2_000)  # all of it is there again
    assert await dead_letters(scene) == []
    assert await dead_letters(scene, queue="mails") == ["c", "a"]


async def test_an_id_that_came_back_to_its_queue_is_one_dead_letter(scene: Scene):
    worker = await declared(scene)
    other = await declared(scene, "mails")
    for where in (worker, other, worker):
        await fail(scene, where, "a")
        await scene.advance(DEAD_MS)
    await scene.advance(-1_000)
    assert await dead_letters(scene) == ["a"]
    assert await dead_letters(scene, queue="mails") == []


async def test_an_id_of_another_queue_is_none_although_its_record_ends_when_the_old_one_did(
    scene: Scene,
):
    worker = await declared(scene)
    await scene.declare("mails", dead_letter_ttl_ms=5_000)
    other = await scene.worker(queue="mails")
    await fail(scene, worker, "a")
    await scene.advance(DEAD_MS)
    await scene.submit("a", queue="mails")
    task = await other.claim_one()
    await scene.advance(-5_000)
    await other.fail(task)
    assert await dead_letters(scene, queue="mails") == ["a"]
    assert await dead_letters(scene) == []


async def test_each_queue_has_its_own(scene: Scene):
    await fail(scene, await declared(scene), "a")
    await fail(scene, await declared(scene, "mails"), "m")
    assert await dead_letters(scene) == ["a"]
    assert await dead_letters(scene, queue="mails") == ["m"]


async def test_a_page_looks_at_no_more_than_it_was_told_to(scene: Scene):
    """However many have completed meanwhile, each page is an answer, and the dead letter is on one of them."""
    await scene.declare(dead_letter_ttl_ms=ENDED_MS, task_ttl_ms=DEAD_MS, **ROOM)
    worker = await scene.worker()
    await fail(scene, worker, "dead")
    await scene.submit(*MANY)
    for task in await worker.claim(len(MANY)):
        await worker.succeed(task)
    tasks, _ = await page(scene, limit=3)
    assert len(tasks) <= 3
    assert await dead_letters(scene, limit=3) == ["dead"]


async def test_a_queue_without_dead_letters_has_one_empty_page(scene: Scene):
    await declared(scene)
    assert await page(scene) == ([], None)


async def test_a_queue_that_nobody_declared_has_no_page(scene: Scene):
    assert await scene.store.do(ListFailed("nowhere", None, 10)) is None
    await scene.try_submit(group("a"), queue="nowhere")
    assert await scene.store.do(ListFailed("nowhere", None, 10)) is None
