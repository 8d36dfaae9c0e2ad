"""Running a task now: one that waits for its due time is due; whatever else holds it back goes on doing so."""

from kew.domain.requests import Word
from kew.domain.task import Life, TaskStatus
from tests.support.idle import WOKEN
from tests.support.scene import START_MS, Scene


async def test_a_deferred_task_is_due_now(scene: Scene):
    await scene.declare()
    await scene.submit("later", delay_ms=60_000)
    worker = await scene.worker()
    assert await worker.claim() == []
    await scene.advance(1_000)
    assert await scene.hasten("later") is Word.DONE
    assert (await scene.task("later")).ready_at == START_MS + 1_000
    assert [task.id for task in await worker.claim()] == ["later"]


async def test_a_task_that_waits_for_a_retry_is_due_now_and_keeps_its_failures(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    await worker.fail(await worker.claim_one(), retry_after_ms=60_000)
    assert await scene.hasten("a") is Word.DONE
    after = await scene.task("a")
    assert (after.status, after.failures, after.ready_at) == (TaskStatus.RETRY, 1, START_MS)
    assert (await worker.claim_one()).attempt == 2


async def test_asking_again_changes_nothing(scene: Scene):
    await scene.declare()
    await scene.submit("a", delay_ms=60_000)
    assert await scene.hasten("a") is Word.DONE
    assert await scene.hasten("a") is Word.SAME
    assert await scene.waiting() == 1


async def test_what_is_due_or_runs_stays_as_it_is(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    await scene.submit("b")
    worker = await scene.worker()
    running = await worker.claim_one()
    for task_id in ("a", "b"):
        before = await scene.task(task_id)
        assert await scene.hasten(task_id) is Word.SAME
        assert await scene.task(task_id) == before
    assert running.id == "a"


async def test_what_has_ended_or_never_was_is_not_started(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    await scene.cancel("a")
    assert await scene.hasten("a") is Word.ENDED
    assert await scene.hasten("b") is Word.MISSING
    assert await scene.hasten("a", queue="nowhere") is Word.MISSING
    assert await (await scene.worker()).claim() == []


async def test_only_the_life_that_was_meant_is_hastened(scene: Scene):
    await scene.declare()
    await scene.submit("a", delay_ms=60_000)
    task = await scene.task("a")
    assert await scene.hasten("a", life=Life(task.ticket + 1, 0)) is Word.MISSING
    assert await scene.hasten("a", life=Life(task.ticket, 1)) is Word.ENDED
    assert await scene.hasten("a", life=task.life) is Word.DONE


async def test_a_pause_and_a_limit_hold_it_back_as_before(scene: Scene):
    await scene.declare(max_workers=1)
    await scene.submit("a", delay_ms=60_000)
    await scene.submit("b")
    worker = await scene.worker()
    running = await worker.claim_one()
    assert await scene.hasten("a") is Word.DONE
    assert await worker.claim() == []
    await worker.succeed(running)
    assert [task.id for task in await worker.claim()] == ["a"]


async def test_a_key_keeps_its_turn(scene: Scene):
    await scene.declare(max_workers=1)
    worker = await scene.worker()
    await scene.submit("x", key="x", delay_ms=60_000)
    await scene.submit("y", key="y")
    assert await scene.hasten("x") is Word.DONE
    order = []
    for _ in range(2):
        task = await worker.claim_one()
        order.append(task.id)
        await worker.succeed(task)
    assert order == ["x", "y"]


async def test_an_idle_process_is_woken(scene: Scene):
    await scene.declare()
    await scene.submit("a", delay_ms=60_000)
    worker = await scene.worker()
    told = await scene.listen(worker.incarnation)
    assert await worker.claim() == []
    await scene.hasten("a")
    assert await told.next() == WOKEN
