"""What happened in a queue is counted by the minute and by the hour, by the calls that happen anyway."""

from kew.app.ports import Empty, History
from kew.domain.events import Snoozed
from kew.domain.history import HOUR_MS, MINUTE_MS, Past, Rates, Tally, bucket_of, history_of
from kew.domain.requests import ClaimRequest, Settlement
from kew.domain.task import pinned_name
from tests.support.scene import LEASE_MS, QUEUE, START_MS, Scene, group, success

MINUTE = START_MS // MINUTE_MS  # 40 s of it are over
HOUR = START_MS // HOUR_MS
DAY = 1_440


async def past(scene: Scene, step_ms: int = MINUTE_MS, steps: int = DAY) -> Past:
    found = await scene.store.do(History(QUEUE, step_ms, steps))
    assert found is not None
    return found


async def minutes(scene: Scene) -> dict[int, Tally]:
    """By how many minutes after the first they were."""
    return {number - MINUTE: tally for number, tally in (await past(scene)).tallies.items()}


def times(*ms: int) -> tuple[int, ...]:
    """The histogram of these."""
    buckets = [bucket_of(each) for each in ms]
    return tuple(buckets.count(n) for n in range(max(buckets) + 1))


async def test_a_queue_in_which_nothing_happened_has_an_empty_history(scene: Scene):
    await scene.declare()
    assert await past(scene) == Past(
        now_ms=START_MS, step_ms=MINUTE_MS, steps=DAY, waiting=0, tallies={}
    )


async def test_a_queue_that_does_not_exist_has_no_history(scene: Scene):
    assert await scene.store.do(History(QUEUE, MINUTE_MS, DAY)) is None


async def test_submits_starts_and_ends_are_counted_in_the_minute_in_which_they_happen(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    await scene.submit("a", "b", "c")
    await scene.advance(5_000)
    first, second = await worker.claim(2)
    await scene.advance(MINUTE_MS)
    await worker.succeed(first)
    await worker.fail(second)
    assert await minutes(scene) == {
        0: Tally(submitted=3, started=2, waiting=1, wait=times(5_000, 5_000)),
        1: Tally(completed=1, failed=1, waiting=1, run=times(MINUTE_MS, MINUTE_MS)),
    }


async def test_a_minute_keeps_its_counts_once_another_one_has_begun(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    for n in range(3):
        await scene.submit(f"a{n}", f"b{n}")
        await worker.succeed(await worker.claim_one())
        await scene.advance(MINUTE_MS)
    found = await minutes(scene)
    assert list(found) == [0, 1, 2]
    assert [tally.waiting for tally in found.values()] == [1, 2, 3]
    assert {(one.submitted, one.started, one.completed) for one in found.values()} == {(2, 1, 1)}


async def test_every_way_in_which_a_run_ends_has_its_count(scene: Scene):
    await scene.declare(max_deliveries=1, breaker_failures=0)
    worker = await scene.worker()
    await scene.submit("retried", "snoozed", "released", "unstarted", "cancelled", "lost")
    retried, snoozed, released, unstarted, cancelled, _ = await worker.claim(6)
    await scene.advance(100)
    await worker.fail(retried, retry_after_ms=HOUR_MS)
    event = Snoozed(error="S", after_ms=HOUR_MS, scope="task")
    await worker.settle(Settlement(task_id="snoozed", lease=snoozed.lease, event=event))
    await scene.cancel("cancelled")
    await worker.fail(cancelled, retry_after_ms=0)
    await scene.advance(LEASE_MS)
    await worker.release(released)
    await worker.could_not_start(unstarted)
    assert (await scene.sweep()).recovered == 1
    assert await minutes(scene) == {
        0: Tally(
            submitted=6,
            started=6,
            retried=1,
            snoozed=1,
            cancelled=1,
            lost=1,
            waiting=5,
            wait=times(*[0] * 6),
            run=times(100, 100, 100),
        )
    }


async def test_a_loss_that_ends_a_task_counts_as_both(scene: Scene):
    await scene.declare(max_deliveries=0)
    worker = await scene.worker()
    await scene.submit("once", "often", at_most_once=True)
    await worker.claim(2)
    await scene.cancel("often")
    await scene.advance(LEASE_MS)
    await scene.sweep()
    tally = (await minutes(scene))[0]
    assert (tally.lost, tally.failed, tally.cancelled) == (2, 1, 1)


async def test_waiting_tasks_that_are_cancelled_or_expire_are_counted(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b", "c")
    await scene.submit("late", start_by_ms=300)
    await scene.cancel("a")
    await scene.store.do(Empty(QUEUE, 2, 0, 100))
    await scene.advance(300)
    await scene.sweep()
    tally = (await minutes(scene))[0]
    assert (tally.cancelled, tally.expired, tally.waiting) == (2, 1, 1)


async def test_what_was_refused_or_repeated_is_not_counted(scene: Scene):
    await scene.declare(max_size=1)
    worker = await scene.worker()
    await scene.try_submit(group("a"), group("a"), group("b"))
    request = worker.request()
    [task] = (await scene.store.claim(QUEUE, request)).tasks
    await scene.store.claim(QUEUE, request)
    for _ in range(2):
        await worker.succeed(task)
    tally = (await minutes(scene))[0]
    assert (tally.submitted, tally.started, tally.completed) == (1, 1, 1)


async def test_one_call_that_settles_submits_and_claims_counts_all_of_it(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    await scene.submit("a")
    task = await worker.claim_one()
    await scene.advance(MINUTE_MS)
    claim: ClaimRequest = worker.request(2)
    await worker.settle(success(task), claim=claim)
    await scene.submit_and_claim([group("b"), group("c")], worker.request(2))
    assert (await minutes(scene))[1] == Tally(
        submitted=2, started=2, completed=1, wait=times(0, 0), run=times(MINUTE_MS)
    )


async def test_an_hour_is_the_sum_of_its_minutes(scene: Scene):
    await scene.declare()
    worker = await scene.worker(ttl_ms=2 * HOUR_MS)
    for n in range(90):
        await scene.submit(f"t{n}")
        await worker.claim(1)
        await scene.advance(MINUTE_MS)
    by_hour = await past(scene, HOUR_MS, 720)
    assert {n - HOUR: tally.submitted for n, tally in by_hour.tallies.items()} == {0: 54, 1: 36}
    assert sum(tally.started for tally in (await minutes(scene)).values()) == 90
    assert sum(by_hour.tallies[HOUR + 1].wait) == 36


async def test_a_history_begins_where_it_is_asked_to(scene: Scene):
    await scene.declare()
    for n in range(4):
        await scene.submit(f"t{n}")
        await scene.advance(MINUTE_MS)
    assert list((await past(scene, steps=3)).tallies) == [MINUTE + 2, MINUTE + 3]


async def test_a_sweep_removes_what_is_too_old(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    await scene.advance(DAY * MINUTE_MS)
    await scene.submit("b")
    await scene.advance(MINUTE_MS)
    await scene.sweep()
    await scene.advance(-2 * MINUTE_MS)  # so that a day begins before "a"
    assert list((await past(scene)).tallies) == []
    await scene.advance(2 * MINUTE_MS)
    assert list(await minutes(scene)) == [DAY]
    assert len((await past(scene, HOUR_MS, 720)).tallies) == 2
    await scene.advance(31 * DAY * MINUTE_MS)
    await scene.sweep()
    await scene.advance(-31 * DAY * MINUTE_MS)
    assert (await past(scene, HOUR_MS, 720)).tallies == {}


async def test_a_step_back_of_the_clock_adds_to_the_minute_that_it_leads_to(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    await scene.advance(MINUTE_MS)
    await scene.submit("b")
    await scene.advance(-MINUTE_MS)
    await scene.submit("c")
    await scene.advance(2 * MINUTE_MS)
    found = await minutes(scene)
    assert {n: tally.submitted for n, tally in found.items()} == {0: 2, 1: 1}


async def test_a_queue_that_is_deleted_takes_its_history_along(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    await scene.advance(MINUTE_MS)
    await scene.submit("b")
    await scene.purge()
    await scene.declare()
    assert (await past(scene)).tallies == {}


async def test_a_point_for_each_step_says_how_many_waited(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b")
    await scene.advance(2 * MINUTE_MS)
    await scene.submit("c")
    history = history_of(QUEUE, await past(scene, steps=4))
    assert [point.waiting for point in history.points] == [None, 2, 2, 3]
    assert [point.submitted for point in history.points] == [0, 2, 0, 1]
    assert (history.total.submitted, history.total.waiting) == (3, 3)


async def test_the_status_says_what_happens_in_a_minute(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    await scene.submit("a", "b", "c")
    first, second = await worker.claim(2)
    await worker.succeed(first)
    await worker.fail(second, retry_after_ms=MINUTE_MS)
    await scene.advance(20_000)  # 60 s after the minute began
    rates = (await scene.status()).rates
    assert rates == Rates(submitted=3, started=2, drained=1, completed=1)
    await scene.advance(10 * MINUTE_MS)
    assert (await scene.status()).rates == Rates()


async def test_the_status_says_since_when_a_task_has_been_due(scene: Scene):
    await scene.declare(key_workers=1)
    assert (await scene.status()).oldest_at is None
    await scene.submit("later", delay_ms=300)
    assert (await scene.status()).oldest_at is None
    await scene.advance(500)
    await scene.submit("cancelled", "line")
    await scene.cancel("cancelled")
    assert (await scene.status()).oldest_at == START_MS + 300
    await scene.cancel("later")
    assert (await scene.status()).oldest_at == START_MS + 500
    await scene.cancel("line")
    await scene.submit("keyed", key="é 100%")
    await scene.submit("parked", function=pinned_name("w9", "f"))
    assert (await scene.status()).oldest_at == START_MS + 500
    await scene.cancel("keyed")
    await scene.cancel("parked")
    assert (await scene.status()).oldest_at is None


async def test_what_lies_ahead_after_a_step_back_of_the_clock_is_not_read(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    await scene.advance(-MINUTE_MS)
    assert (await past(scene, steps=1)).tallies == {}
    assert (await past(scene, HOUR_MS, 720)).tallies.keys() == {HOUR}
