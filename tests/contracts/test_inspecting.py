"""Looking: what is told is the state of one moment, and looking changes nothing."""

from kew.app.ports import Find, Peek, Running, Status
from kew.domain.task import TaskStatus
from tests.support.scene import HIGH, LOW, START_MS, Scene, failure, success
from tests.support.tasks import readable


async def test_records_are_found_in_the_order_asked_for(scene: Scene):
    await scene.declare("orders")
    await scene.declare("mails")
    await scene.submit("a", queue="orders")
    await scene.submit("b", queue="mails")
    found = map(readable, await scene.store.do(Find(["b", "nobody", "a", "b"])))
    assert [task and (task.id, task.queue) for task in found] == [
        ("b", "mails"),
        None,
        ("a", "orders"),
        ("b", "mails"),
    ]


async def test_records_are_found_however_large_they_are_together(scene: Scene):
    await scene.declare("orders")
    ids = [f"large-{n}" for n in range(5)]
    for task_id in ids:
        await scene.submit(task_id, queue="orders", payload=b"x" * 400_000)
    found = await scene.store.do(Find(["nobody", *ids, "nobody"]))
    assert [task and task.id for task in found] == [None, *ids, None]


async def test_finding_nothing_at_all_is_an_empty_answer(scene: Scene):
    assert list(await scene.store.do(Find([]))) == []


async def test_running_tasks_are_those_under_a_current_lease_of_any_process(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b", "c", "d")
    a = (await (await scene.worker("w1")).claim(2))[0]
    w2 = await scene.worker("w2")
    await w2.claim()
    await w2.succeed(a)
    running = await scene.store.do(Running("orders"))
    assert {task.id for task in running} == {"b", "c"}
    assert all(task.status is TaskStatus.PROCESSING for task in running)


async def test_a_lease_that_has_ended_still_runs_until_it_is_taken_back(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    await (await scene.worker()).claim_one(lease_ms=1_000)
    await scene.advance(5_000)
    assert [task.id for task in await scene.store.do(Running("orders"))] == ["a"]
    assert (await scene.task("a")).status is TaskStatus.PROCESSING


async def test_an_undeclared_queue_has_no_status_and_runs_nothing(scene: Scene):
    assert await scene.store.do(Status("nowhere")) is None
    assert list(await scene.store.do(Running("nowhere"))) == []
    assert (await scene.store.do(Peek("nowhere"))).wait_ms is None


async def test_the_status_counts_waiting_tasks_by_priority_due_or_not(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b", priority=HIGH)
    await scene.submit("c", priority=LOW, delay_ms=60_000)
    status = await scene.status()
    assert dict(status.waiting) == {1: 2, 2: 0, 3: 1}
    assert (status.name, status.held, status.now_ms) == ("orders", 0, START_MS)


async def test_the_status_counts_current_leases_and_retries_that_wait(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b")
    worker = await scene.worker()
    a, _ = await worker.claim(2)
    await worker.fail(a, retry_after_ms=60_000)
    status = await scene.status()
    assert (status.held, dict(status.waiting)) == (1, {1: 0, 2: 1, 3: 0})


async def test_looking_twice_tells_the_same(scene: Scene):
    await scene.declare(breaker_failures=1, breaker_reset_ms=100)
    await scene.submit("a", "b")
    worker = await scene.worker()
    await worker.fail(await worker.claim_one())
    await scene.advance(200)
    assert await scene.status() == await scene.status()
    assert await scene.task("b") == await scene.task("b")


async def test_a_peek_never_tells_longer_than_until_a_task_is_due(scene: Scene):
    await scene.declare()
    await scene.worker()
    await scene.submit("a", delay_ms=700)
    wait = (await scene.store.do(Peek("orders"))).wait_ms
    assert wait is not None
    assert wait <= 700


async def test_a_peek_never_tells_longer_than_until_a_lease_ends(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    await (await scene.worker()).claim_one(lease_ms=900)
    wait = (await scene.store.do(Peek("orders"))).wait_ms
    assert wait is not None
    assert wait <= 900


async def test_a_peek_at_a_task_that_is_due_tells_now(scene: Scene):
    await scene.declare()
    await scene.worker()
    await scene.submit("a")
    assert (await scene.store.do(Peek("orders"))).wait_ms == 0


async def test_a_peek_at_an_empty_queue_knows_of_nothing(scene: Scene):
    await scene.declare()
    await scene.worker()
    assert (await scene.store.do(Peek("orders"))).wait_ms is None


async def test_a_peek_tells_whether_tasks_wait(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    assert not (await scene.store.do(Peek("orders"))).has_waiting
    await scene.submit("deferred", delay_ms=60_000)
    assert (await scene.store.do(Peek("orders"))).has_waiting
    await scene.cancel("deferred")
    await scene.submit("a")
    task = await worker.claim_one()
    assert not (await scene.store.do(Peek("orders"))).has_waiting
    await worker.settle(failure(task, retry_after_ms=1_000))
    assert (await scene.store.do(Peek("orders"))).has_waiting


async def test_a_peek_sees_a_deferred_task_once_the_lease_that_hid_it_is_settled(scene: Scene):
    await scene.declare(max_workers=1)
    await scene.submit("running")
    await scene.submit("deferred", delay_ms=3_000)
    worker = await scene.worker()
    task = await worker.claim_one(lease_ms=60_000)
    await (await scene.worker("w2")).claim()  # at the limit: it waits for the lease to end
    await worker.succeed(task)
    wait = (await scene.store.do(Peek("orders"))).wait_ms
    assert wait is not None
    assert wait <= 3_000


async def test_a_peek_sees_a_deferred_task_once_a_raised_limit_makes_room_for_it(scene: Scene):
    await scene.declare(max_workers=1)
    await scene.submit("running")
    await scene.submit("deferred", delay_ms=3_000)
    worker = await scene.worker()
    await worker.claim_one(lease_ms=60_000)
    await worker.claim()
    await scene.declare(max_workers=2)
    wait = (await scene.store.do(Peek("orders"))).wait_ms
    assert wait is not None
    assert wait <= 3_000


async def test_a_peek_sees_the_end_of_a_lease_that_was_extended_by_less(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    task = await worker.claim_one(lease_ms=60_000)
    await worker.claim()
    await worker.extend(task, lease_ms=1_000)
    wait = (await scene.store.do(Peek("orders"))).wait_ms
    assert wait is not None
    assert wait <= 1_000


async def test_a_peek_sees_the_room_that_a_settle_made_although_its_claim_was_a_late_one(
    scene: Scene,
):
    await scene.declare(max_workers=1)
    await scene.submit("running", "waiting")
    worker = await scene.worker()
    late = worker.request(lane=1)
    await scene.store.claim("orders", late)
    (task,) = await scene.store.do(Running("orders"))
    await worker.claim(lane=1)  # at the limit: it waits for the lease to end
    await worker.settle(success(task), claim=late)
    assert (await scene.store.do(Peek("orders"))).wait_ms == 0
