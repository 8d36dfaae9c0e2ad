"""A draining queue accepts nothing, finishes what it has, and stays so whatever is declared."""

from kew.app.ports import Command, Control, ReadSettings
from kew.domain.draining import is_draining
from kew.domain.holding import DRAINING, PAUSED, Hold
from kew.domain.requests import Word
from kew.domain.task import TaskStatus
from tests.support.scene import Scene, group


async def draining(scene: Scene) -> bool:
    return is_draining((await scene.status()).state.settings)


async def test_a_draining_queue_refuses_every_group(scene: Scene):
    await scene.declare()
    await scene.submit("before")
    assert await scene.control(Command.DRAIN) is Word.DONE
    outcomes = await scene.try_submit(group("a"), group("b", "c"))
    assert [outcome.word for outcome in outcomes] == [Word.DRAINING, Word.DRAINING]
    assert await scene.find("a") is None
    assert await scene.waiting() == 1


async def test_a_repeated_submit_of_what_is_in_is_answered_as_before(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    await scene.control(Command.DRAIN)
    assert (await scene.try_submit(group("a")))[0].word is Word.SAME


async def test_a_draining_queue_runs_what_it_has_and_ends_empty(scene: Scene):
    await scene.declare(max_retries=1)
    await scene.submit("a", "b")
    await scene.control(Command.DRAIN)
    worker = await scene.worker()
    first, second = await worker.claim(2)
    await worker.succeed(first)
    await worker.fail(second, retry_after_ms=100)
    await scene.advance(100)
    again = await worker.claim_one()
    assert (again.id, again.attempt) == ("b", 2)
    await worker.succeed(again)
    status = await scene.status()
    assert (sum(status.waiting.values()), status.held) == (0, 0)
    assert (await scene.task("b")).status is TaskStatus.COMPLETED


async def test_a_released_and_a_lost_task_wait_again_in_a_draining_queue(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b")
    await scene.control(Command.DRAIN)
    worker = await scene.worker()
    first, _ = await worker.claim(2, lease_ms=1_000)
    await worker.release(first)
    await scene.advance(1_000)
    assert sorted(await worker.claim_ids()) == ["a", "b"]


async def test_a_draining_queue_accepts_no_replay(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    await worker.fail(await worker.claim_one())
    await scene.control(Command.DRAIN)
    assert await scene.replay("a") is Word.DRAINING
    assert (await scene.task("a")).status is TaskStatus.FAILED
    await scene.control(Command.RESUME)
    assert await scene.replay("a") is Word.DONE


async def test_a_declaration_does_not_end_the_draining(scene: Scene):
    await scene.declare(max_size=5)
    await scene.control(Command.DRAIN)
    declared = await scene.declare_settings((await scene.status()).state.settings)
    assert declared.in_force is not None
    await scene.declare(max_size=7, max_workers=3)
    assert await draining(scene)
    assert (await scene.try_submit(group("a")))[0].word is Word.DRAINING
    await scene.control(Command.RESUME)
    assert not await draining(scene)
    settings = (await scene.status()).state.settings
    assert (settings.max_size, settings.max_workers) == (7, 3)
    await scene.submit("a")


async def test_resuming_a_queue_that_does_not_drain_changes_no_setting(scene: Scene):
    await scene.declare(max_size=5)
    before = await scene.store.do(ReadSettings("orders"))
    await scene.control(Command.RESUME)
    assert await scene.store.do(ReadSettings("orders")) == before


async def test_why_and_since_when_a_queue_is_held_is_kept_until_it_is_resumed(scene: Scene):
    await scene.declare()
    store = scene.store
    await store.do(Control("orders", Command.PAUSE, "eve", 1, "Eve: the disk is full 🙂"))
    paused_at = scene.now
    await scene.advance(5_000)
    await store.do(Control("orders", Command.DRAIN, "eve", 2))
    state = (await scene.status()).state
    assert state.paused
    assert state.holds == {
        PAUSED: Hold(paused_at, "Eve: the disk is full 🙂", "eve"),
        DRAINING: Hold(scene.now, "", "eve"),
    }
    await store.do(Control("orders", Command.RESUME, "eve", 3))
    state = (await scene.status()).state
    assert (state.paused, state.holds, state.declared) == (False, {}, {})


async def test_pausing_again_renews_the_note(scene: Scene):
    await scene.declare()
    await scene.store.do(Control("orders", Command.PAUSE, "eve", 1, "one"))
    await scene.advance(5_000)
    await scene.store.do(Control("orders", Command.PAUSE, "eve", 2, "two"))
    assert (await scene.status()).state.holds == {PAUSED: Hold(scene.now, "two", "eve")}


async def test_a_purged_queue_forgets_that_it_was_draining(scene: Scene):
    await scene.declare()
    await scene.control(Command.DRAIN)
    await scene.purge()
    await scene.declare()
    await scene.submit("a")
    assert (await scene.status()).state.holds == {}
