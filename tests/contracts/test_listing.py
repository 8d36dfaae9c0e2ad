"""Lists of waiting tasks: every task that waits is on one page, whatever it waits for."""

import pytest

from kew.app.ports import Command, ListWaiting
from kew.domain.listing import LOOKED_AT_ONCE, Place, WaitingFilter, WaitingState
from kew.domain.task import TaskStatus, pinned_name
from tests.support.scene import HIGH, LOW, QUEUE, Scene, Worker, call, group

ALL = WaitingFilter()
ROOM = {"max_workers": 100, "max_size": 10_000, "breaker_failures": 0}
READY, DEFERRED, STUCK = WaitingState.READY, WaitingState.DEFERRED, WaitingState.STUCK


async def pages(
    scene: Scene, wanted: WaitingFilter = ALL, *, limit: int = 100, queue: str = QUEUE
) -> list[list[str]]:
    """The ids of all pages' tasks."""
    after: Place | None = None
    found: list[list[str]] = []
    while True:
        page = await scene.store.do(ListWaiting(queue, wanted, after, limit))
        assert page is not None
        assert len(page.tasks) <= limit
        found.append([task.id for task in page.tasks])
        if page.after is None:
            return found
        assert page.after != after
        after = page.after


async def listed(
    scene: Scene, wanted: WaitingFilter = ALL, *, limit: int = 100, queue: str = QUEUE
) -> list[str]:
    return [one for page in await pages(scene, wanted, limit=limit, queue=queue) for one in page]


async def of_state(scene: Scene, *states: WaitingState, limit: int = 100) -> list[str]:
    return sorted(await listed(scene, WaitingFilter(states=states), limit=limit))


async def everywhere(scene: Scene) -> tuple[Worker, list[str]]:
    """A queue with a task in every place that there is: all of them, those ready first."""
    await scene.declare(**ROOM)
    worker = await scene.worker()
    await scene.submit("retried", "released")
    retried, released = await worker.claim(2)
    await worker.fail(retried, retry_after_ms=1_000)
    await worker.release(released)
    await scene.submit("unknown", "unknown low", function="g")
    await scene.submit("unknown of a key", function="g", key="a")
    await scene.submit("closure", function=pinned_name("w9", "c"))
    await scene.submit("mine", function=pinned_name("w1", "c"), delay_ms=5_000)
    await scene.submit("met", "met too")
    await scene.control(Command.PAUSE)
    await scene.submit("a1", "a2", key="a")
    await scene.submit("b1", key="b", priority=LOW)
    await scene.submit("b later", key="b", delay_ms=3_000)
    await scene.submit("later", delay_ms=2_000)
    await scene.submit("first", priority=HIGH)
    await scene.submit("plain")
    ids = ["released", "met", "met too", "a1", "a2", "b1", "first", "plain"]
    ids += ["retried", "mine", "b later", "later"]
    return worker, [*ids, "unknown", "unknown low", "unknown of a key", "closure"]


async def test_all_that_wait_are_listed_and_nothing_else(scene: Scene):
    worker, ids = await everywhere(scene)
    await scene.control(Command.RESUME)
    await scene.submit("runs", "ends", "failed", "cancelled", priority=HIGH)
    first, *others = await worker.claim(4)
    assert first.id == "first"
    await scene.cancel("cancelled")
    for task in others:
        if task.id == "ends":
            await worker.succeed(task)
        if task.id == "failed":
            await worker.fail(task)
    ids.remove("first")
    assert sorted(await listed(scene)) == sorted(ids)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 16, 17])
async def test_pages_of_any_size_have_each_task_once(scene: Scene, limit: int):
    _, ids = await everywhere(scene)
    assert sorted(await listed(scene, limit=limit)) == sorted(ids)


async def test_higher_priorities_come_first(scene: Scene):
    await everywhere(scene)
    found = await listed(scene, limit=3)
    assert found[0] == "first"
    assert found[-1] == "b1"


async def test_a_record_is_listed_without_its_payload(scene: Scene):
    await scene.declare(**ROOM)
    await scene.submit("a", payload=b"x" * 5_000, key="k", start_by_ms=9_000)
    page = await scene.store.do(ListWaiting(QUEUE, ALL, None, 5))
    assert page is not None
    (found,) = page.tasks
    assert found == await scene.task("a")
    assert (found.call.payload, found.call.key) == (b"", "k")


async def test_states_part_those_that_wait(scene: Scene):
    worker, ids = await everywhere(scene)
    await scene.control(Command.RESUME)
    await worker.claim(1)  # it meets what it can't run
    ids.remove("first")
    await scene.advance(10)
    stuck = ["closure", "unknown", "unknown low", "unknown of a key"]
    assert await of_state(scene, DEFERRED, limit=2) == ["b later", "later", "mine", "retried"]
    assert await of_state(scene, READY, DEFERRED, STUCK) == sorted(ids)
    met = await of_state(scene, STUCK, limit=1)
    assert set(met) <= set(stuck)
    assert "closure" in met
    assert sorted({*await of_state(scene, READY, limit=2), *met}) == sorted(
        {*ids} - {"b later", "later", "mine", "retried"}
    )


async def test_what_no_process_knows_is_stuck_until_one_does(scene: Scene):
    await scene.declare(**ROOM)
    worker = await scene.worker("w1", "f")
    await scene.submit("g1", "g2", function="g")
    await scene.submit("f1", "f2")
    assert await worker.claim_ids(1) == ["f1"]
    assert await of_state(scene, STUCK) == ["g1", "g2"]
    assert await listed(scene, WaitingFilter(states=(STUCK,), function="g")) == ["g1", "g2"]
    assert await listed(scene, WaitingFilter(states=(STUCK,), function="f")) == []
    assert await of_state(scene, READY) == ["f2"]
    await scene.worker("w2", "g")
    assert await of_state(scene, STUCK) == []
    assert await of_state(scene, READY) == ["f2", "g1", "g2"]


@pytest.mark.parametrize("key", ["", "a"])
async def test_a_list_has_one_type_alone(scene: Scene, key: str):
    await scene.declare(**ROOM)
    for task_type in ("sell", "sell more", "é|\n", "x" * 300):
        await scene.submit(f"{task_type[:20]}", task_type=task_type, key=key)
        await scene.submit(f"later {task_type[:20]}", task_type=task_type, key=key, delay_ms=9_000)
    for task_type in ("sell", "é|\n", "x" * 300):
        name = task_type[:20]
        assert await listed(scene, WaitingFilter(task_type=task_type)) == [name, f"later {name}"]
    assert await listed(scene, WaitingFilter(task_type="sel")) == []


async def test_a_list_has_what_was_submitted_between_two_instants(scene: Scene):
    await scene.declare(**ROOM)
    start = scene.now
    for number in range(4):
        await scene.submit(f"t{number}", delay_ms=5_000 if number % 2 else 0)
        await scene.advance(1_000)
    between = WaitingFilter(since_ms=start + 1_000, until_ms=start + 3_000)
    assert sorted(await listed(scene, between, limit=1)) == ["t1", "t2"]
    assert sorted(await listed(scene, WaitingFilter(since_ms=start + 2_500))) == ["t3"]
    assert await listed(scene, WaitingFilter(until_ms=start)) == []
    assert len(await listed(scene, WaitingFilter(since_ms=-1))) == 4


async def test_filters_are_combined(scene: Scene):
    await scene.declare(**ROOM)
    await scene.worker("w1", "f", "h {odd}%")
    for function in ("f", "h {odd}%"):
        for key in ("a", "é 100%,a=b\n", ""):
            await scene.submit(f"{function}|{key}", function=function, key=key)
    of_key = WaitingFilter(key="é 100%,a=b\n")
    of_function = WaitingFilter(function="h {odd}%")
    assert sorted(await listed(scene, of_key)) == ["f|é 100%,a=b\n", "h {odd}%|é 100%,a=b\n"]
    assert len(await listed(scene, of_function, limit=1)) == 3
    both = WaitingFilter(key="a", function="f")
    assert await listed(scene, both) == ["f|a"]
    assert await listed(scene, WaitingFilter(key="no such key")) == []


async def test_what_starts_and_comes_meanwhile_neither_skips_nor_repeats_the_others(scene: Scene):
    await scene.declare(**ROOM)
    worker = await scene.worker()
    ids = [f"t{n:02}" for n in range(30)]
    await scene.submit(*ids)
    page = await scene.store.do(ListWaiting(QUEUE, ALL, None, 10))
    assert page is not None
    assert [task.id for task in page.tasks] == ids[:10]
    assert await worker.claim_ids(12) == ids[:12]
    await scene.cancel("t15")
    await scene.submit("new")
    rest = await scene.store.do(ListWaiting(QUEUE, ALL, page.after, 100))
    assert rest is not None
    assert [task.id for task in rest.tasks] == [*ids[12:15], *ids[16:], "new"]


async def test_deferred_tasks_go_by_due_time_from_a_place_whose_task_has_gone(scene: Scene):
    await scene.declare(**ROOM)
    for n in range(9):
        await scene.submit(f"t{n}", delay_ms=1_000 + n // 3)
    page = await scene.store.do(ListWaiting(QUEUE, ALL, None, 4))
    assert page is not None
    assert [task.id for task in page.tasks] == ["t0", "t1", "t2", "t3"]
    await scene.cancel("t3")
    rest = await scene.store.do(ListWaiting(QUEUE, ALL, page.after, 100))
    assert rest is not None
    assert [task.id for task in rest.tasks] == ["t4", "t5", "t6", "t7", "t8"]


async def test_a_request_looks_at_a_bounded_number_of_tasks(scene: Scene):
    await scene.declare(**ROOM)
    for n in range(3):
        many = [call(f"t{n}.{each}") for each in range(400)]
        await scene.try_submit(group(*many))
    await scene.submit("last", function="g")
    found = await pages(scene, WaitingFilter(function="g"))
    assert [one for page in found for one in page] == ["last"]
    assert 1_200 // (LOOKED_AT_ONCE + 1) <= len(found) - 1 <= 4


async def test_many_keys_are_listed_page_by_page(scene: Scene):
    await scene.declare(**ROOM)
    ids = [f"t{n}" for n in range(1_100)]
    for n in range(0, 1_100, 100):
        await scene.try_submit(group(*(call(one, key=f"k{one}") for one in ids[n : n + 100])))
    found = await pages(scene, limit=150)
    assert sorted(one for page in found for one in page) == sorted(ids)
    assert max(map(len, found)) <= 150
    assert len(found) <= 20
    (only,) = [page for page in await pages(scene, WaitingFilter(key="kt77")) if page]
    assert only == ["t77"]


async def test_the_clock_may_step_back(scene: Scene):
    await scene.declare(**ROOM)
    await scene.worker()
    await scene.submit("a", "b")
    await scene.submit("k", key="k")
    await scene.advance(-60_000)
    await scene.submit("c")
    assert await of_state(scene, DEFERRED) == ["a", "b", "k"]
    assert await of_state(scene, READY) == ["c"]


async def test_only_the_queue_itself_is_listed(scene: Scene):
    await scene.declare(**ROOM)
    await scene.declare("other", **ROOM)
    await scene.submit("a")
    await scene.submit("b", queue="other")
    assert await listed(scene) == ["a"]
    assert await listed(scene, queue="other") == ["b"]
    assert await scene.store.do(ListWaiting("nowhere", ALL, None, 1)) is None


async def test_a_list_changes_nothing(scene: Scene):
    worker, ids = await everywhere(scene)
    await scene.control(Command.RESUME)
    before = await scene.status()
    await listed(scene, limit=2)
    assert await scene.status() == before
    assert {(await scene.task(one)).status for one in ids} <= {TaskStatus.QUEUED, TaskStatus.RETRY}
    assert len(await worker.claim_ids()) == 8
