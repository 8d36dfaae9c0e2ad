"""A rate: no window has more starts than it allows, over all processes, and a claim says when the next may come."""

from random import Random

import pytest

from kew.app.ports import Explain
from kew.domain.config import Settings
from kew.domain.explaining import Code, Sure
from kew.domain.reasons import explained
from kew.domain.requests import Word
from tests.support.scene import QUEUE, START_MS, Scene, Worker, call, group

LONG = 50_000
assert START_MS % (LONG // 1_000) == 0  # so that no instant below is rounded up


async def limited(scene: Scene, *rates: tuple[int, int, int], tasks: int = 40) -> Worker:
    """A queue with these rates and many tasks, and one of its workers."""
    await scene.declare_settings(Settings(rates=rates, max_workers=100))
    await scene.submit(*(f"t{n}" for n in range(tasks)))
    return await scene.worker()


async def test_a_claim_takes_what_the_window_leaves_and_says_when_it_opens(scene: Scene):
    worker = await limited(scene, (5, LONG, 0))
    first = await worker.ask(want=3)
    assert [task.id for task in first.tasks] == ["t0", "t1", "t2"]
    await scene.advance(600)
    rest = await worker.ask(want=9)
    assert [task.id for task in rest.tasks] == ["t3", "t4"]
    assert rest.wait_ms is not None
    none = await worker.ask(want=9)
    assert (none.tasks, none.wait_ms) == ((), min(15_000 - 600, LONG - 600))  # a lease ends before


async def test_a_window_opens_at_the_instant_that_was_said_and_not_before(scene: Scene):
    worker = await limited(scene, (2, 5_000, 0))
    assert len((await worker.ask(want=9)).tasks) == 2
    wait = (await worker.ask(want=9)).wait_ms
    assert wait == 5_000
    await scene.advance(wait - 1)
    early = await worker.ask(want=9)
    assert (early.tasks, early.wait_ms) == ((), 1)
    await scene.advance(1)
    assert len((await worker.ask(want=9)).tasks) == 2


async def test_all_processes_share_a_rate(scene: Scene):
    first = await limited(scene, (3, 1_000, 0))
    second = await scene.worker("w2")
    assert len((await first.ask(want=2)).tasks) == 2
    assert len((await second.ask(want=2)).tasks) == 1
    assert len((await first.ask(want=2)).tasks) == 0


async def test_an_ended_task_does_not_make_room(scene: Scene):
    worker = await limited(scene, (1, 1_000, 0))
    for settle in (worker.succeed, worker.release):
        await settle((await worker.ask(want=1)).tasks[0])
        assert (await worker.ask(want=1)).tasks == ()
        await scene.advance(1_000)


async def test_a_lost_start_has_been_used(scene: Scene):
    worker = await limited(scene, (1, LONG, 0))
    assert len((await worker.ask(want=1)).tasks) == 1
    await scene.advance(15_001)
    other = await scene.worker("w2")
    assert (await other.ask(want=1)).tasks == ()


async def test_all_of_several_rates_must_allow_a_start(scene: Scene):
    worker = await limited(scene, (2, 1_000, 0), (3, 10_000, 0))
    assert len((await worker.ask(want=9)).tasks) == 2
    await scene.advance(1_000)
    last = await worker.ask(want=9)
    assert len(last.tasks) == 1
    assert (await worker.ask(want=9)).wait_ms == 9_000


async def test_with_a_burst_starts_are_spaced(scene: Scene):
    worker = await limited(scene, (10, 1_000, 2))
    assert len((await worker.ask(want=9)).tasks) == 2
    instants = []
    for _ in range(3):
        wait = (await worker.ask(want=9)).wait_ms
        assert wait is not None
        await scene.advance(wait)
        instants.append((wait, len((await worker.ask(want=9)).tasks)))
    assert instants == [(100, 1)] * 3


async def test_a_repeated_claim_uses_up_nothing(scene: Scene):
    worker = await limited(scene, (2, LONG, 0))
    request = worker.request(want=1)
    first = await worker.store.claim(worker.queue, request)
    again = await worker.store.claim(worker.queue, request)
    assert (again.word, again.tasks) == (Word.SAME, first.tasks)
    assert len((await worker.ask(want=1)).tasks) == 1


async def test_a_changed_rate_counts_what_was_started_before(scene: Scene):
    worker = await limited(scene, (5, LONG, 0))
    assert len((await worker.ask(want=4)).tasks) == 4
    await scene.declare_settings(Settings(rates=((5, 25_000, 0),), max_workers=100))
    assert len((await worker.ask(want=9)).tasks) == 1
    await scene.declare(max_workers=100)
    assert len((await worker.ask(want=9)).tasks) == 9


@pytest.mark.parametrize("step_ms", [2_000, LONG, 3_600_000])
async def test_a_step_back_of_the_clock_lets_no_more_start(scene: Scene, step_ms: int):
    worker = await limited(scene, (4, LONG, 0))
    assert len((await worker.ask(want=9)).tasks) == 4
    await scene.advance(-step_ms)
    await scene.submit("after the step")
    assert (await worker.ask(want=9)).tasks == ()
    await scene.advance(LONG - 1)
    assert (await worker.ask(want=9)).tasks == ()
    await scene.advance(LONG + 1)
    assert "after the step" in await worker.claim_ids()


@pytest.mark.parametrize("rates", [((7, 1_000, 0),), ((7, 1_000, 2), (20, 5_000, 0))])
async def test_a_rate_is_used_up_and_never_exceeded(
    scene: Scene, rates: tuple[tuple[int, int, int], ...]
):
    worker, random, starts, now = await limited(scene, *rates, tasks=150), Random(1), list[int](), 0
    while len(starts) < 100:
        grant = await worker.ask(want=random.randrange(1, 9))
        starts += [now] * len(grant.tasks)
        for task in grant.tasks:
            await worker.succeed(task)
        if not grant.tasks:
            assert grant.wait_ms is not None
            now += grant.wait_ms
            await scene.advance(grant.wait_ms)
    for count, per, _ in rates:
        assert max(sum(at <= each < at + per for each in starts) for at in starts) == count
    slowest = max(per / count for count, per, _ in rates)
    assert len(starts) >= 0.95 * now / slowest


# --- costs


async def test_what_a_task_costs_counts_against_the_rate(scene: Scene):
    await scene.declare_settings(Settings(rates=((5, 10_000, 0),), max_workers=100))
    worker = await scene.worker()
    for task_id, cost in (("a", 2), ("b", 2), ("c", 2), ("d", 1)):
        await scene.submit(task_id, cost=cost)
    grant = await worker.ask(want=9)
    assert ([task.id for task in grant.tasks], grant.wait_ms) == (["a", "b"], 10_000)
    await scene.advance(10_000)
    assert await worker.claim_ids() == ["c", "d"]


async def test_a_costly_task_is_overtaken_by_none_that_comes_after_it(scene: Scene):
    await scene.declare_settings(Settings(rates=((4, 10_000, 0),), max_workers=100))
    worker = await scene.worker()
    await scene.submit("a")
    await scene.submit("b", cost=4)
    await scene.submit("c")
    await scene.submit("d", cost=2)
    assert await worker.claim_ids() == ["a"]
    assert await worker.claim_ids() == []
    await scene.advance(10_000)
    assert await worker.claim_ids() == ["b"]
    await scene.advance(10_000)
    assert {"c", "d"} <= set(await worker.claim_ids())


async def test_a_task_that_costs_more_than_a_rate_can_give_is_refused(scene: Scene):
    await scene.declare_settings(Settings(rates=((5, 1_000, 2), (9, 60_000, 0))))
    (refused,) = await scene.try_submit(group(call("a"), call("b", cost=3)))
    assert (refused.word, refused.task_id) == (Word.COSTLY, "b")
    assert await scene.find("a") is None
    (stored,) = await scene.try_submit(group(call("b", cost=2)))
    assert stored.word is Word.DONE


async def test_a_task_that_a_lowered_rate_can_no_longer_give_takes_all_of_it(scene: Scene):
    await scene.declare_settings(Settings(rates=((5, 10_000, 0),), max_workers=100))
    worker = await scene.worker()
    await scene.submit("a", cost=5)
    await scene.submit("b")
    await scene.declare_settings(Settings(rates=((2, 10_000, 0),), max_workers=100))
    assert await worker.claim_ids() == ["a"]
    await scene.advance(10_000)
    assert await worker.claim_ids() == ["b"]


async def test_a_costly_task_is_explained_by_the_instant_at_which_the_rate_gives_its_cost(
    scene: Scene,
):
    await scene.declare_settings(Settings(rates=((5, 10_000, 0),), max_workers=100))
    worker = await scene.worker()
    await scene.submit("a", cost=4)
    assert await worker.claim_ids() == ["a"]
    await scene.submit("b", cost=2)
    situation = await scene.store.do(Explain(QUEUE, "b"))
    assert situation is not None
    why = explained(situation)
    assert [(one.code, one.until_at) for one in why.reasons] == [
        (Code.RATE, situation.now + 10_000)
    ]
    assert why.sure is Sure.EXACT
