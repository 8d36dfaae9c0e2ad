"""Presence: processes announce themselves, and what they leave behind is forgotten only much later."""

from kew.app.ports import Announce, Command, Control, Depart
from kew.domain.requests import Word
from tests.support.scene import Scene, Worker

HOUR = 3_600_000


async def test_an_announced_process_is_seen_until_its_presence_ends(scene: Scene):
    await scene.declare()
    await scene.worker("w1", ttl_ms=1_000)
    await scene.worker("w2", ttl_ms=2_000)
    assert sorted((await scene.status()).workers) == ["w1", "w2"]
    await scene.advance(1_000)
    assert list((await scene.status()).workers) == ["w2"]


async def test_announcing_again_renews_the_presence(scene: Scene):
    await scene.declare()
    worker = await scene.worker("w1", ttl_ms=1_000)
    await scene.advance(900)
    await worker.announce(ttl_ms=1_000)
    await scene.advance(900)
    assert list((await scene.status()).workers) == ["w1"]


async def test_announcing_to_an_undeclared_queue_says_so(scene: Scene):
    announced = await scene.store.do(Announce("nowhere", "w1", ["f"], 1_000))
    assert (announced.word, announced.functions) == (Word.NO_QUEUE, 0)


async def test_a_process_that_departs_is_seen_no_more_and_granted_nothing(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    await worker.depart()
    assert list((await scene.status()).workers) == []
    assert (await worker.ask()).word is Word.NO_WORKER


async def test_a_process_that_departs_is_told_what_its_last_claim_brought(scene: Scene):
    """The answer to that claim may have been lost: unheard, its leases would have to end by themselves."""
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    request = worker.request(2)
    (held,) = (await scene.store.claim("orders", request)).tasks
    await worker.depart()
    again = await scene.store.claim("orders", request)
    assert (again.word, again.tasks) == (Word.SAME, (held,))
    assert (await worker.ask()).word is Word.NO_WORKER
    assert (await worker.release(held)).word is Word.DONE


async def test_a_process_that_nobody_knows_may_depart(scene: Scene):
    await scene.declare()
    await scene.store.do(Depart("orders", "stranger"))
    await scene.store.do(Depart("nowhere", "stranger"))
    assert list((await scene.status()).workers) == []


async def test_a_dead_process_is_forgotten_only_when_no_late_claim_can_arrive(scene: Scene):
    await scene.declare()
    worker = await scene.worker(ttl_ms=1_000)
    await worker.ask()
    await scene.advance(1_000 + HOUR - 1)
    assert (await scene.sweep()).departed == 0
    await scene.advance(1)
    assert (await scene.sweep()).departed == 1
    assert (await scene.sweep()).departed == 0


async def forgotten(scene: Scene) -> Worker:
    """A process that claimed once, went silent, and was forgotten; a task that it can run waits."""
    await scene.declare()
    worker = await scene.worker("w1", "f", ttl_ms=1_000)
    await worker.ask()
    await scene.advance(1_000 + HOUR)
    await scene.sweep()
    await scene.submit("a")
    return worker


async def test_a_forgotten_process_must_begin_its_lanes_anew(scene: Scene):
    worker = await forgotten(scene)
    await worker.announce("f")
    assert (await worker.ask()).word is Word.NO_LANE


async def test_a_forgotten_process_is_served_again_once_it_announces_what_it_can_run(
    scene: Scene,
):
    worker = await forgotten(scene)
    worker.sequences.clear()
    await worker.announce("f")
    assert await worker.claim_ids() == ["a"]


async def test_a_forgotten_process_may_send_a_command_before_it_announces(scene: Scene):
    worker = await forgotten(scene)
    worker.sequences.clear()
    await scene.store.do(Control("orders", Command.RESUME, "w1", 1))
    await worker.announce("f")
    assert await worker.claim_ids() == ["a"]


async def test_whoever_only_sent_commands_is_forgotten_as_well(scene: Scene):
    await scene.declare()
    await scene.store.do(Control("orders", Command.PAUSE, "person", 1))
    assert list((await scene.status()).workers) == []
    await scene.advance(HOUR)
    assert (await scene.sweep()).departed == 1
    assert await scene.store.do(Control("orders", Command.RESUME, "person", 1)) is Word.DONE


async def test_a_process_that_comes_back_in_time_goes_on_with_its_lanes(scene: Scene):
    await scene.declare()
    worker = await scene.worker("w1", "f", ttl_ms=1_000)
    await worker.ask()
    await scene.advance(HOUR)
    await scene.sweep()
    await worker.announce()
    await scene.submit("a")
    assert await worker.claim_ids() == ["a"]


async def test_a_sweep_of_a_sound_queue_does_nothing(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b")
    await (await scene.worker()).claim_one()
    swept = await scene.sweep()
    assert (swept.recovered, swept.removed, swept.orphaned, swept.departed) == (0, 0, 0, 0)
    assert not swept.more


async def test_a_sweep_of_an_undeclared_queue_does_nothing(scene: Scene):
    assert not (await scene.sweep(queue="nowhere")).more


async def test_a_sweep_touches_one_queue_alone(scene: Scene):
    await scene.declare("orders")
    await scene.declare("mails")
    await scene.submit("a", queue="mails")
    await (await scene.worker(queue="mails")).claim_one(lease_ms=1_000)
    await scene.advance(1_000)
    assert (await scene.sweep(queue="orders")).recovered == 0
    assert (await scene.sweep(queue="mails")).recovered == 1
