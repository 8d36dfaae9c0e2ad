"""Waking: an idle process is told once of each new task, and no more processes than there is work for."""

import attrs
import pytest

from kew.app.notices import StopAsked
from kew.app.ports import Command
from kew.domain.requests import Along, Word
from tests.support.idle import WOKEN, Idle, idle
from tests.support.scene import QUEUE, Scene, call, group, success


async def test_an_idle_process_is_told_of_a_new_task(scene: Scene):
    processes = await idle(scene, 1)
    await scene.submit("a")
    assert await processes.told() == [[WOKEN]]


async def test_a_process_that_departed_is_not_woken_though_it_repeats_its_last_claim(scene: Scene):
    processes = await idle(scene, 2)
    gone = processes.workers[0]
    request = gone.request()
    await scene.store.claim("orders", request)
    await gone.depart()
    assert (await scene.store.claim("orders", request)).word is Word.SAME
    await scene.submit("a")
    assert await processes.told() == [[], [WOKEN]]


async def test_one_new_task_wakes_one_of_many_idle_processes(scene: Scene):
    processes = await idle(scene, 5)
    await scene.submit("a")
    assert await processes.woken() == 1


async def test_a_batch_wakes_no_more_processes_than_it_has_tasks(scene: Scene):
    processes = await idle(scene, 5)
    await scene.try_submit(group("a", "b", "c"))
    assert await processes.woken() == 3


async def test_a_process_is_told_once_until_it_has_asked_again(scene: Scene):
    processes = await idle(scene, 1)
    await scene.submit("a", "b")
    await scene.submit("c")
    assert await processes.told() == [[WOKEN]]
    await processes.workers[0].claim(5)
    await scene.submit("d")
    assert await processes.told() == [[WOKEN]]


async def test_a_process_that_works_at_full_is_not_told(scene: Scene):
    processes = await idle(scene, 1)
    await scene.submit("a")
    assert await processes.woken() == 1
    await processes.workers[0].claim(1)
    await scene.submit("b")
    assert await processes.woken() == 0


async def test_a_refused_submit_wakes_nobody(scene: Scene):
    processes = await idle(scene, 1, max_size=1)
    await scene.try_submit(group("a", "b"))
    assert await processes.woken() == 0


async def test_a_paused_queue_wakes_nobody_until_it_is_resumed(scene: Scene):
    processes = await idle(scene, 1)
    await scene.control(Command.PAUSE)
    await scene.submit("a")
    assert await processes.woken() == 0
    await scene.control(Command.RESUME)
    assert await processes.woken() == 1


async def test_a_settled_task_wakes_a_process_that_met_the_limit(scene: Scene):
    await scene.declare(max_workers=1)
    await scene.submit("a", "b")
    worker = await scene.worker("runner")
    task = await worker.claim_one()
    processes = await idle(scene, 2, max_workers=1)
    await worker.succeed(task)
    assert await processes.woken() == 1


async def test_a_task_handed_back_wakes_an_idle_process(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker("runner")
    task = await worker.claim_one()
    processes = await idle(scene, 2)
    await worker.release(task)
    assert await processes.woken() == 1


async def test_a_task_that_the_longest_idle_process_cannot_run_is_told_to_another(scene: Scene):
    await scene.declare()
    first, second = await scene.worker("w1", "another function"), await scene.worker("w2", "f")
    told = await scene.listen("w2")
    await scene.listen("w1")
    assert await first.claim() == await second.claim() == []
    await scene.submit("a")
    assert await first.claim() == []  # where it was told instead, it hands the word on
    assert await told.next() == WOKEN


async def test_one_that_waits_for_a_later_task_is_not_told_instead_of_one_that_can_run_this(
    scene: Scene,
):
    await scene.declare()
    names = {"w0": "f", "w1": "g"}
    listeners = [await scene.listen(name) for name in names]
    workers = [await scene.worker(name, function) for name, function in names.items()]
    assert await workers[0].claim(1) == []
    await scene.try_submit(group(call("later", function="f", delay_ms=60_000)))
    for worker in workers:
        await worker.claim(1)
    await scene.try_submit(group(call("now", function="g")))
    processes = Idle(scene, workers, listeners)
    await workers[0].claim(1)  # on some stores it is told, and hands the word on when it looks
    assert WOKEN in (await processes.told())[1]


@pytest.mark.parametrize("how", ["resume", "reset", "declare"])
async def test_somebody_sets_a_timer_for_what_is_due_later_when_grants_are_possible_again(
    scene: Scene, how: str
):
    await scene.declare(max_workers=1, breaker_failures=1, breaker_reset_ms=600_000)
    worker = await scene.worker("w1")
    told = await scene.listen("w1")
    if how == "resume":
        await scene.control(Command.PAUSE)
    elif how == "reset":
        await scene.control(Command.RECORD_FAILURE)
    else:
        await scene.submit("running")
        await (await scene.worker("w2")).claim_one(lease_ms=600_000)
    await scene.submit("later", delay_ms=60_000)
    assert await worker.claim() == []
    told.so_far()
    if how == "declare":
        await scene.declare(max_workers=2, breaker_failures=1, breaker_reset_ms=600_000)
    else:
        await scene.control(Command.RESUME if how == "resume" else Command.RESET_BREAKER)
    assert await told.next() == WOKEN
    assert (await worker.ask()).wait_ms == 60_000


async def test_a_recovered_task_wakes_an_idle_process(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    await (await scene.worker("runner")).claim_one(lease_ms=1_000)
    processes = await idle(scene, 2)
    await scene.advance(1_000)
    await scene.sweep()
    assert await processes.woken() == 1


async def test_a_replayed_task_wakes_an_idle_process(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    await scene.cancel("a")
    processes = await idle(scene, 2)
    await scene.replay("a")
    assert await processes.woken() == 1


async def test_a_raised_limit_wakes_processes_that_met_it(scene: Scene):
    await scene.declare(max_workers=1)
    await scene.submit("a", "b")
    await (await scene.worker("runner")).claim_one()
    processes = await idle(scene, 1, max_workers=1)
    await scene.declare(max_workers=2)
    assert await processes.woken() == 1


async def test_a_submit_that_takes_its_own_task_along_wakes_nobody(scene: Scene):
    processes = await idle(scene, 1)
    submitter = await scene.worker("submitter")
    await scene.submit_and_claim([group("a")], submitter.request())
    assert await processes.woken() == 0


async def test_a_submit_that_takes_its_own_task_along_leaves_a_process_with_room_idle(scene: Scene):
    processes = await idle(scene, 1)
    (worker,) = processes.workers
    request = attrs.evolve(worker.request(), has_room=True)
    await scene.submit_and_claim([group("a")], request)
    assert await processes.woken() == 0
    await scene.submit("b")
    assert await processes.told() == [[WOKEN]]


async def test_a_submit_that_fills_its_process_takes_it_out_of_the_turn(scene: Scene):
    processes = await idle(scene, 2)
    full, _ = processes.workers
    await scene.submit_and_claim([group("a")], full.request())
    await scene.submit("b")
    assert await processes.told() == [[], [WOKEN]]


async def test_a_probe_that_closes_the_breaker_wakes_those_who_waited_for_it(scene: Scene):
    settings = {"breaker_failures": 1, "breaker_reset_ms": 1_000}
    await scene.declare(**settings)
    await scene.submit("bad", "probe", "a", "b")
    worker = await scene.worker("runner")
    await worker.fail(await worker.claim_one())
    await scene.advance(1_000)
    probe = await worker.claim_one()
    processes = await idle(scene, 2, **settings)
    await worker.succeed(probe)
    assert await processes.woken() == 2


async def test_the_holder_of_a_cancelled_task_is_told_to_stop(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    listener = await scene.listen("w1")
    await (await scene.worker("w1")).claim_one()
    await scene.cancel("a")
    assert await listener.next() == StopAsked("orders", "a")


async def test_only_the_holder_is_told_to_stop(scene: Scene):
    processes = await idle(scene, 2)
    await scene.submit("a")
    worker = processes.workers[1]
    await worker.claim_one()
    await scene.cancel("a")
    bystander, holder = await processes.told()
    assert StopAsked("orders", "a") in holder
    assert StopAsked("orders", "a") not in bystander


async def test_a_process_that_departed_is_not_told_and_takes_no_turn(scene: Scene):
    processes = await idle(scene, 2)
    await processes.workers[0].depart()
    await scene.submit("a")
    first, second = await processes.told()
    assert (first, second) == ([], [WOKEN])


async def test_room_for_a_task_that_is_due_soon_wakes_a_process_that_met_the_limit(scene: Scene):
    await scene.declare(max_workers=1)
    await scene.submit("running")
    await scene.submit("deferred", delay_ms=3_000)
    worker = await scene.worker("runner")
    task = await worker.claim_one(lease_ms=60_000)
    processes = await idle(scene, 1, max_workers=1)  # it sleeps until the lease ends
    await worker.succeed(task)
    assert await processes.woken() == 1  # else nobody sets a timer for the deferred task


async def test_a_process_whose_subscription_has_ended_swallows_at_most_one_notice(scene: Scene):
    processes = await idle(scene, 2)
    await processes.listeners[0].wakeup.close()
    await scene.submit("a")  # the server may not have seen the end of the connection yet
    await scene.submit("b")
    assert await processes.listeners[1].next() == WOKEN


async def test_a_submit_without_a_claim_is_answered_that_work_waits_instead_of_a_notification(
    scene: Scene,
):
    """Its process has reserved all slots for claims on their way, so it takes none along."""
    processes = await idle(scene, 1)
    name = processes.workers[0].incarnation
    answer = await scene.store.submit(QUEUE, [group(call("a"))], Along(submitter=name))
    assert answer.has_work
    assert await processes.told() == [[]]
    again = await scene.store.submit(QUEUE, [group(call("b"))], Along(submitter=name))
    assert not again.has_work, "it is not idle any more, until it has claimed"


async def test_another_process_that_is_idle_for_longer_is_notified_rather_than_the_submitter(
    scene: Scene,
):
    processes = await idle(scene, 2)
    name = processes.workers[1].incarnation
    answer = await scene.store.submit(QUEUE, [group(call("a"))], Along(submitter=name))
    assert not answer.has_work
    assert await processes.told() == [[WOKEN], []]


async def test_what_a_submit_without_a_claim_settles_is_answered_beside_the_work_that_waits(
    scene: Scene,
):
    processes = await idle(scene, 1)
    (worker,) = processes.workers
    await scene.submit("a")
    task = await worker.claim_one()
    assert not await worker.claim()
    await processes.told()
    along = Along(settlements=[success(task)], submitter=worker.incarnation)
    answer = await scene.store.submit(QUEUE, [group(call("b"))], along)
    assert ([each.word for each in answer.settled], answer.has_work) == ([Word.DONE], True)
    assert await processes.told() == [[]]
