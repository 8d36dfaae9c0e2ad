"""Whom a notification goes to: a process that lives and can run what waits, however many others are idle."""

import pytest

from tests.support.idle import WOKEN, Idle, idle
from tests.support.scene import Scene, call, group


async def killed(scene: Scene, processes: int, function: str = "f") -> None:
    """Processes that were killed while they were idle: they are present, and nobody listens."""
    for n in range(processes):
        assert await (await scene.worker(f"killed{n}", function)).claim(1) == []


async def served(scene: Scene, functions: dict[str, str]) -> Idle:
    """Idle processes by name, each with the function that it can run."""
    listeners = [await scene.listen(name) for name in functions]
    workers = [await scene.worker(name, function) for name, function in functions.items()]
    for worker in workers:
        assert await worker.claim(1) == []
    return Idle(scene, workers, listeners)


async def test_as_many_idle_processes_as_there_are_new_tasks_are_woken(scene: Scene):
    processes = await idle(scene, 60, max_workers=100)
    await scene.try_submit(group(*(f"t{n}" for n in range(60))))
    assert await processes.woken() == 60


async def test_processes_that_were_killed_delay_no_live_one(scene: Scene):
    await scene.declare()
    await killed(scene, 45)
    processes = await idle(scene, 1)
    await scene.submit("a")
    assert await processes.told() == [[WOKEN]]


async def test_a_free_place_is_told_to_a_live_process_behind_killed_ones(scene: Scene):
    await scene.declare(max_workers=1)
    await scene.submit("a", "b")
    runner = await scene.worker("runner")
    task = await runner.claim_one()
    await killed(scene, 45)
    processes = await idle(scene, 1, max_workers=1)
    await runner.succeed(task)
    assert await processes.told() == [[WOKEN]]


async def test_a_process_that_serves_other_functions_is_not_woken_for_these(scene: Scene):
    await scene.declare(max_workers=4)
    processes = await served(scene, {"other": "g"})
    runner = await scene.worker("runner", "f")
    for n in range(20):
        await scene.submit(f"t{n}")
    tasks = await runner.claim(4)
    while tasks:
        for task in tasks:
            await runner.succeed(task)
        tasks = await runner.claim(4)
    assert await processes.woken() == 0


@pytest.mark.parametrize("others", [1, 45])
async def test_the_process_that_can_run_a_task_is_woken_first_however_long_others_are_idle(
    scene: Scene, others: int
):
    await scene.declare()
    names = {f"other{n}": "g" for n in range(others)}
    processes = await served(scene, {**names, "w": "f"})
    await scene.submit("a")
    assert await processes.told() == [[]] * others + [[WOKEN]]


async def test_each_of_several_new_tasks_wakes_a_process_that_can_run_it(scene: Scene):
    await scene.declare()
    processes = await served(scene, {"w1": "f", "w2": "f", "w3": "g"})
    await scene.try_submit(group(call("a"), call("b", function="g")))
    assert [len(notices) for notices in await processes.told()] in ([1, 0, 1], [0, 1, 1])


async def test_a_deferred_task_wakes_one_that_can_run_it_to_set_a_timer(scene: Scene):
    await scene.declare()
    processes = await served(scene, {"other": "g", "w": "f"})
    await scene.submit("later", delay_ms=60_000)
    assert await processes.told() == [[], [WOKEN]]


async def test_a_task_behind_those_of_others_wakes_its_process_when_a_place_is_free(scene: Scene):
    await scene.declare(max_workers=1)
    runner = await scene.worker("runner", "f")
    await scene.submit("running")
    task = await runner.claim_one()
    await scene.submit(*(f"t{n}" for n in range(30)))
    await scene.submit("behind", function="g")
    processes = await served(scene, {"w": "g"})
    await runner.succeed(task)
    assert await processes.told() == [[WOKEN]]


async def test_a_process_that_nothing_waits_for_is_left_no_part_of_the_limit(scene: Scene):
    await scene.declare(max_workers=4)
    runner, other = await scene.worker("runner", "f"), await scene.worker("other", "g")
    await scene.submit(*(f"t{n:02}" for n in range(20)))
    tasks = await runner.claim(4)
    assert await other.claim(4) == []  # the limit is reached, and nothing of this waits
    for task in tasks:
        await runner.succeed(task)
    assert len(await runner.claim(4)) == 4


async def test_a_process_whose_task_waits_behind_others_is_left_its_part(scene: Scene):
    await scene.declare(max_workers=4)
    runner, other = await scene.worker("runner", "f"), await scene.worker("other", "g")
    await scene.listen("other")
    await scene.submit(*(f"t{n:02}" for n in range(60)))
    await scene.submit("behind", function="g")
    tasks = await runner.claim(4)
    assert await other.claim(4) == []
    for task in tasks:
        await runner.succeed(task)
    assert len(await runner.claim(4)) == 2
    assert await other.claim_ids(4) == ["behind"]
