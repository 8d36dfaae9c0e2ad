"""Sharing: processes that serve one queue end up with parts of its limit, whoever was there first."""

import attrs

from kew.app.notices import Woken
from kew.app.ports import Peek
from kew.domain.requests import Word
from kew.domain.task import Task
from tests.support.scene import QUEUE, Scene, Worker, call, group, success

TOLD = Woken(QUEUE)


async def settle_and_claim(worker: Worker, tasks: list[Task], *, holds: int = 0) -> list[Task]:
    """All of `tasks` end, and the process asks for as many as its ten slots take."""
    asked = attrs.evolve(worker.request(10 - holds), holds=holds)
    settled = await worker.settle(*(success(task) for task in tasks), claim=asked)
    assert settled.grant is not None
    assert settled.grant.word is Word.DONE
    return list(settled.grant.tasks)


async def with_a_starved_process(
    scene: Scene, *functions: str
) -> tuple[Worker, Worker, list[Task]]:
    """Two processes: one that holds all four leases (these tasks), and a listening one that met the limit."""
    await scene.declare(max_workers=4)
    await scene.submit(*(f"t{n:02}" for n in range(20)))
    first, second = await scene.worker("w1"), await scene.worker("w2", *functions)
    await scene.listen("w2")
    mine = await first.claim(10)
    assert await second.claim(10) == []
    return first, second, mine


async def test_who_settles_leaves_a_part_to_a_process_that_found_the_limit_reached(scene: Scene):
    await scene.declare(max_workers=4)
    await scene.submit(*(f"t{n:02}" for n in range(20)))
    first, second = await scene.worker("w1"), await scene.worker("w2")
    told = await scene.listen("w2")
    mine = await first.claim(10)
    assert await second.claim(10) == []
    mine = await settle_and_claim(first, mine)
    assert len(mine) == 2
    assert await told.next() == TOLD
    theirs = await second.claim(10)
    assert len(theirs) == 2
    assert len(await settle_and_claim(first, mine)) == 2
    assert len(await settle_and_claim(second, theirs)) == 2


async def test_what_a_process_goes_on_with_counts_as_its_part(scene: Scene):
    first, second, mine = await with_a_starved_process(scene)
    assert await settle_and_claim(first, mine[:1], holds=3) == []
    assert await settle_and_claim(first, mine[1:2], holds=2) == []
    assert len(await second.claim(10)) == 2


async def test_one_place_goes_by_turns(scene: Scene):
    await scene.declare(max_workers=1)
    await scene.submit(*(f"t{n:02}" for n in range(20)))
    first, second, third = [await scene.worker(name) for name in ("w1", "w2", "w3")]
    for name in ("w1", "w2", "w3"):
        await scene.listen(name)
    tasks = await first.claim(10)
    assert await second.claim(10) == await third.claim(10) == []
    tasks = await settle_and_claim(first, tasks)
    assert len(tasks) == 1  # the others have not waited for long
    await scene.advance(1_000)
    assert await settle_and_claim(first, tasks) == []
    tasks = await second.claim(10)
    assert len(tasks) == 1
    await scene.advance(1_000)
    assert await settle_and_claim(second, tasks) == []
    assert await first.claim(10) == []  # it is the third's turn
    tasks = await third.claim(10)
    assert len(tasks) == 1
    await scene.advance(1_000)
    assert await settle_and_claim(third, tasks) == []
    assert len(await first.claim(10)) == 1


async def test_who_takes_the_last_places_tells_an_idle_process_that_there_is_more(scene: Scene):
    await scene.declare(max_workers=2)
    idle, busy = await scene.worker("idle"), await scene.worker("busy")
    told = await scene.listen("idle")
    assert await idle.claim(5) == []
    groups = [group(call(f"t{n}")) for n in range(4)]
    await scene.submit_and_claim(groups, busy.request(2))
    assert await told.next() == TOLD
    assert await idle.claim(5) == []
    assert await busy.claim(5, lane=1) == []
    assert told.so_far() == []  # it has met the limit: its turn comes with a place


async def test_nothing_is_left_to_a_process_that_departed(scene: Scene):
    first, second, mine = await with_a_starved_process(scene)
    await second.depart()
    assert len(await settle_and_claim(first, mine)) == 4


async def test_a_process_that_nobody_can_tell_is_left_something_once(scene: Scene):
    await scene.declare(max_workers=4)
    await scene.submit(*(f"t{n:02}" for n in range(20)))
    first, second = await scene.worker("w1"), await scene.worker("w2")
    mine = await first.claim(10)
    await second.claim(10)
    mine = await settle_and_claim(first, mine)
    assert len(mine) == 2
    assert (await scene.store.do(Peek(QUEUE))).wait_ms == 0
    assert len(await settle_and_claim(first, mine)) == 4


async def test_another_idle_process_is_told_where_the_starved_one_has_gone(scene: Scene):
    await scene.declare(max_workers=4)
    await scene.submit(*(f"t{n:02}" for n in range(20)))
    first, gone = await scene.worker("w1"), await scene.worker("gone")
    mine = await first.claim(10)
    await gone.claim(10)
    told = await scene.listen("idle")
    idle = await scene.worker("idle")
    await idle.claim(1)
    await settle_and_claim(first, mine)
    assert await told.next() == TOLD


async def test_nothing_is_left_to_a_process_that_can_run_none_of_what_waits(scene: Scene):
    first, second, mine = await with_a_starved_process(scene, "another function")
    mine = await settle_and_claim(first, mine)
    assert await second.claim(10) == []
    assert len(await settle_and_claim(first, mine)) == 4


async def test_sweeping_forgets_a_starved_process_with_the_rest_of_it(scene: Scene):
    await scene.declare(max_workers=4)
    await scene.submit(*(f"t{n:02}" for n in range(20)))
    first, second = await scene.worker("w1"), await scene.worker("w2", ttl_ms=1_000)
    await scene.listen("w2")
    mine = await first.claim(10, lease_ms=10_000_000)
    await second.claim(10)
    await scene.advance(3_700_000)
    await scene.sweep()
    await first.announce("f")
    assert len(await settle_and_claim(first, mine)) == 4
