"""Control: a command is carried out once, however often it arrives."""

from kew.app.ports import Command, Control
from kew.domain.requests import Word
from tests.support.scene import Scene


async def test_a_queue_can_be_paused_and_resumed(scene: Scene):
    await scene.declare()
    assert await scene.control(Command.PAUSE) is Word.DONE
    assert (await scene.status()).state.paused
    assert await scene.control(Command.RESUME) is Word.DONE
    assert not (await scene.status()).state.paused


async def test_a_repeated_command_is_carried_out_once(scene: Scene):
    await scene.declare(breaker_failures=3)
    store = scene.store
    assert await store.do(Control("orders", Command.RECORD_FAILURE, "person", 1)) is Word.DONE
    assert await store.do(Control("orders", Command.RECORD_FAILURE, "person", 1)) is Word.SAME
    assert (await scene.status()).state.breaker.failures == 1


async def test_a_late_command_does_not_undo_a_later_one(scene: Scene):
    await scene.declare()
    await scene.store.do(Control("orders", Command.PAUSE, "person", 1))
    await scene.store.do(Control("orders", Command.RESUME, "person", 2))
    assert await scene.store.do(Control("orders", Command.PAUSE, "person", 1)) is Word.SAME
    assert not (await scene.status()).state.paused


async def test_commands_of_different_processes_are_counted_apart(scene: Scene):
    await scene.declare(breaker_failures=9)
    await scene.store.do(Control("orders", Command.RECORD_FAILURE, "one", 1))
    assert await scene.store.do(Control("orders", Command.RECORD_FAILURE, "two", 1)) is Word.DONE
    assert (await scene.status()).state.breaker.failures == 2


async def test_a_command_does_not_disturb_the_claims_of_its_process(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker("w1")
    await scene.store.do(Control("orders", Command.RESUME, "w1", 5))
    assert await worker.claim_ids() == ["a"]


async def test_a_command_to_an_undeclared_queue_says_so(scene: Scene):
    assert await scene.store.do(Control("nowhere", Command.PAUSE, "person", 1)) is Word.NO_QUEUE


async def test_a_command_changes_one_queue_alone(scene: Scene):
    await scene.declare("orders")
    await scene.declare("mails")
    await scene.control(Command.PAUSE, queue="mails")
    assert not (await scene.status("orders")).state.paused
