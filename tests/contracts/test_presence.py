"""Presence: processes announce themselves, and what they leave behind is forgotten only much later."""

from kew.app.ports import Announce, Command, Control, Depart, PresentProcess, Processes
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
    assert (swept.recovered, swept.removed, swept.orphaned, swept.departed) == (0, 0, (), 0)
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


async def present(scene: Scene) -> list[PresentProcess]:
    return list(await scene.store.do(Processes()))


async def test_processes_are_listed_with_their_queues_and_with_what_they_said_last(scene: Scene):
    await scene.declare("a")
    await scene.declare("b")
    await scene.store.do(Announce("a", "w1", ["f"], 1_000, None, "näh {1}"))
    await scene.store.do(Announce("b", "w1", ["f"], 2_000))
    await scene.store.do(Announce("b", "earlier", ["f"], 500))
    first = scene.now
    assert await present(scene) == [
        PresentProcess("earlier", {"b": first + 500}),
        PresentProcess("w1", {"a": first + 1_000, "b": first + 2_000}, first, "näh {1}"),
    ]
    await scene.advance(900)
    await scene.store.do(Announce("a", "w1", [], 1_000, None, "later"))
    assert await present(scene) == [
        PresentProcess("w1", {"a": scene.now + 1_000, "b": first + 2_000}, scene.now, "later"),
    ]


async def test_an_announcement_without_a_report_keeps_the_last_one(scene: Scene):
    await scene.declare()
    await scene.store.do(Announce("orders", "w1", ["f"], 1_000, None, "the first"))
    first = scene.now
    await scene.advance(10)
    await scene.store.do(Announce("orders", "w1", [], 1_000))
    (one,) = await present(scene)
    assert (one.seen_at, one.report) == (first, "the first")


async def test_a_process_is_listed_until_it_departs_or_its_presence_ends(scene: Scene):
    await scene.declare()
    for who, ttl_ms in (("w1", 5_000), ("w2", 1_000)):
        await scene.store.do(Announce("orders", who, ["f"], ttl_ms, None, "mine"))
    await scene.store.do(Depart("orders", "w1"))
    assert [one.incarnation for one in await present(scene)] == ["w2"]
    await scene.advance(1_000)
    assert await present(scene) == []


async def test_a_report_to_an_undeclared_queue_and_one_of_a_removed_queue_are_not_kept(
    scene: Scene,
):
    await scene.store.do(Announce("nowhere", "w1", ["f"], 1_000, None, "mine"))
    await scene.declare()
    await scene.store.do(Announce("orders", "w2", ["f"], 1_000, None, "mine"))
    await scene.purge()
    await scene.declare()
    for who in ("w1", "w2"):
        await scene.store.do(Announce("orders", who, ["f"], 1_000))
    assert [(one.seen_at, one.report) for one in await present(scene)] == [(None, "")] * 2
