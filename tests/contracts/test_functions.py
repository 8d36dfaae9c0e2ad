"""Functions: a process is granted only what it can run, and what nobody can run waits, visibly, and blocks nobody."""

from kew.app.ports import Announce
from tests.support.scene import HIGH, LOW, Scene, call, group


async def test_a_process_is_granted_only_functions_that_it_can_run(scene: Scene):
    await scene.declare()
    await scene.submit("1", function="f")
    await scene.submit("2", function="g")
    await scene.submit("3", function="f")
    assert await (await scene.worker("w1", "g")).claim_ids() == ["2"]
    assert await (await scene.worker("w2", "f")).claim_ids() == ["1", "3"]


async def test_a_task_of_an_unknown_function_blocks_nobody(scene: Scene):
    await scene.declare()
    await scene.submit("unknown", function="nobody:knows", priority=HIGH)
    await scene.submit("known", priority=LOW)
    assert await (await scene.worker()).claim_ids() == ["known"]


async def test_tasks_that_one_process_passed_over_keep_their_order_for_another(scene: Scene):
    await scene.declare()
    for n in range(6):
        await scene.submit(f"t{n}", function="g" if n % 2 else "f")
    only_f, both = await scene.worker("w1", "f"), await scene.worker("w2", "f", "g")
    assert await only_f.claim_ids(2) == ["t0", "t2"]
    await scene.submit("t6", function="g")
    assert await both.claim_ids() == ["t1", "t3", "t4", "t5", "t6"]


async def test_a_passed_over_task_that_was_not_due_is_granted_once_it_is(scene: Scene):
    await scene.declare()
    await scene.submit("g later", function="g", delay_ms=100)
    await scene.submit("f now", function="f")
    only_f, both = await scene.worker("w1", "f"), await scene.worker("w2", "f", "g")
    assert await only_f.claim_ids() == ["f now"]
    assert await both.claim_ids() == []
    await scene.advance(100)
    assert await only_f.claim_ids() == []
    assert await both.claim_ids() == ["g later"]


async def test_functions_announced_later_add_up(scene: Scene):
    await scene.declare()
    worker = await scene.worker("w1", "f")
    await scene.submit("a", function="g")
    assert await worker.claim_ids() == []
    await worker.announce("g")
    assert await worker.claim_ids() == ["a"]
    await scene.submit("b", function="f")
    assert await worker.claim_ids() == ["b"]


async def test_a_function_known_in_one_queue_is_not_known_in_another(scene: Scene):
    await scene.declare("orders")
    await scene.declare("mails")
    await scene.submit("a", queue="mails", function="f")
    await scene.worker("w1", "f", queue="orders")
    stranger = await scene.worker("w1", "g", queue="mails")
    assert await stranger.claim_ids() == []


async def test_a_task_that_met_only_processes_that_cannot_run_it_shows_in_the_status(
    scene: Scene,
):
    await scene.declare()
    await scene.submit("a", "b", function="nobody:knows")
    await scene.submit("c")
    await (await scene.worker()).claim_ids()
    status = await scene.status()
    assert status.stuck == {"nobody:knows": 2}
    assert sum(status.waiting.values()) == 2


async def test_it_shows_no_longer_once_somebody_can_run_it(scene: Scene):
    await scene.declare()
    await scene.submit("a", function="g")
    await (await scene.worker("w1", "f")).claim_ids()
    worker = await scene.worker("w2", "g")
    assert (await scene.status()).stuck == {}
    assert await worker.claim_ids() == ["a"]
    assert (await scene.status()).stuck == {}


async def test_a_thousand_tasks_of_an_unknown_function_hold_nobody_up_for_long(scene: Scene):
    await scene.declare(max_size=5_000)
    for batch in range(3):
        calls = [call(f"u{batch}.{n}", function="nobody:knows") for n in range(500)]
        await scene.try_submit(group(*calls))
    await scene.submit("known", priority=LOW)
    worker = await scene.worker()
    claims = 0
    while "known" not in await worker.claim_ids():
        claims += 1
        assert claims < 20
    assert (await scene.status()).stuck == {"nobody:knows": 1_500}


async def test_a_passed_over_task_can_be_cancelled_and_replayed(scene: Scene):
    await scene.declare()
    await scene.submit("a", function="g")
    await (await scene.worker("w1", "f")).claim_ids()
    await scene.cancel("a")
    assert (await scene.status()).stuck == {}
    await scene.replay("a")
    assert await (await scene.worker("w2", "g")).claim_ids() == ["a"]


async def test_a_claim_that_found_nothing_waits_only_for_what_it_can_run(scene: Scene):
    await scene.declare()
    await scene.submit("g soon", function="g", delay_ms=100)
    await scene.submit("f later", function="f", delay_ms=500)
    worker = await scene.worker("w1", "f")
    await worker.ask()
    grant = await worker.ask()
    assert grant.wait_ms in (100, 500)  # it may not know yet that the first is not for it


async def test_an_announcement_of_more_than_presence_is_answered_with_how_many_functions_are_known(
    scene: Scene,
):
    await scene.declare()
    known = [
        (await scene.store.do(Announce("orders", who, functions, 60_000))).functions
        for who, functions in (("w1", ["f", "g"]), ("w1", ["g", "h"]), ("w1", []), ("w2", ["f"]))
    ]
    assert known == [2, 3, None, 1]


async def test_a_claim_that_leaves_tasks_of_unknown_functions_counts_those_the_store_knows(
    scene: Scene,
):
    await scene.declare()
    worker = await scene.worker("w1", "f", "g")
    await scene.submit("a", function="lost")
    assert (await worker.ask()).functions == 2
