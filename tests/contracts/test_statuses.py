"""The status of several queues in one request, and what a status says of dead letters and of the oldest due task."""

from kew.app.ports import Command, History, Pasts, Status, Statuses
from tests.support.scene import HIGH, LOW, START_MS, Scene


async def test_the_statuses_of_several_queues_are_those_of_each(scene: Scene):
    names = tuple(f"q{n}" for n in range(60))
    for number, name in enumerate(names):
        await scene.declare(name)
        await scene.submit(*(f"{name}-{n}" for n in range(1 + number % 3)), queue=name)
    found = await scene.store.do(Statuses(names))
    assert list(found) == [await scene.store.do(Status(name)) for name in names]


async def test_in_place_of_a_queue_that_there_is_not_is_nothing(scene: Scene):
    await scene.declare("orders")
    none, orders, also_none = await scene.store.do(Statuses(("nowhere", "orders", "elsewhere")))
    assert (none, also_none) == (None, None)
    assert orders is not None
    assert orders.name == "orders"


async def test_of_no_queues_there_are_no_statuses(scene: Scene):
    assert list(await scene.store.do(Statuses(()))) == []


async def test_the_histories_of_several_queues_are_those_of_each(scene: Scene):
    names = tuple(f"q{n}" for n in range(30))
    for number, name in enumerate(names):
        await scene.declare(name)
        await scene.submit(*(f"{name}-{n}" for n in range(1 + number % 3)), queue=name)
    await scene.advance(90_000)
    for step_ms, steps in ((60_000, 60), (3_600_000, 24)):
        found = await scene.store.do(Pasts((*names, "nowhere"), step_ms, steps))
        each = [await scene.store.do(History(name, step_ms, steps)) for name in names]
        assert list(found) == [*each, None]
        assert [
            sum(tally.submitted for tally in past.tallies.values()) for past in each if past
        ] == [1 + number % 3 for number in range(30)]


async def test_a_status_counts_dead_letters_until_their_records_end(scene: Scene):
    await scene.declare(dead_letter_ttl_ms=60_000, breaker_failures=0)
    await scene.submit("a", "b", "c")
    worker = await scene.worker()
    a, b, _ = await worker.claim(3)
    await worker.fail(a)
    await scene.advance(30_000)
    await worker.fail(b)
    assert (await scene.status()).dead == 2
    await scene.advance(30_000)
    assert (await scene.status()).dead == 1
    await scene.advance(30_000)
    assert (await scene.status()).dead == 0


async def test_the_oldest_due_task_may_be_in_any_place_and_of_any_priority(scene: Scene):
    await scene.declare(max_workers=10)
    assert (await scene.status()).oldest_at is None
    await scene.submit("deferred", delay_ms=5_000)
    assert (await scene.status()).oldest_at is None
    await scene.advance(1_000)
    await scene.submit("low", priority=LOW)
    await scene.advance(1_000)
    await scene.submit("high", priority=HIGH)
    assert (await scene.status()).oldest_at == START_MS + 1_000
    await (await scene.worker()).claim(2)
    assert (await scene.status()).oldest_at is None
    await scene.advance(10_000)
    assert (await scene.status()).oldest_at == START_MS + 5_000


async def test_a_cancelled_task_in_front_of_a_line_is_not_the_oldest(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    await scene.advance(1_000)
    await scene.submit("b")
    await scene.cancel("a")
    assert (await scene.status()).oldest_at == START_MS + 1_000


async def test_a_task_that_no_process_can_run_may_be_the_oldest(scene: Scene):
    await scene.declare()
    await scene.submit("stuck", function="unknown")
    await (await scene.worker()).claim(1)
    await scene.advance(1_000)
    await scene.submit("b")
    assert (await scene.status()).oldest_at == START_MS


async def test_a_task_with_a_key_may_be_the_oldest(scene: Scene):
    await scene.declare()
    await scene.control(Command.PAUSE)
    await scene.submit("a1", key="a")
    await scene.advance(1_000)
    await scene.submit("plain")
    assert (await scene.status()).oldest_at == START_MS
