"""Claiming: a lane is serial, its last answer can be had again, and nothing lost on the way is granted twice."""

import attrs

from kew.app.ports import Command, ReadSettings
from kew.domain.requests import Word, holder_of
from kew.domain.task import TaskStatus
from tests.support.scene import LEASE_MS, START_MS, Scene, Worker


async def test_a_claimed_task_runs_under_a_lease_of_its_claimer(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    await scene.advance(10)
    task = await (await scene.worker("w1")).claim_one(lease_ms=3_000)
    assert task == await scene.task("a")
    assert (task.status, task.attempt, task.started_at) == (
        TaskStatus.PROCESSING,
        1,
        START_MS + 10,
    )
    assert task.lease_until == START_MS + 10 + 3_000
    assert holder_of(task.lease) == "w1"


async def test_a_claim_brings_at_most_what_it_wants(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b", "c")
    worker = await scene.worker()
    assert await worker.claim_ids(2) == ["a", "b"]
    assert await worker.claim_ids(2) == ["c"]


async def test_no_two_leases_have_one_identity_and_tokens_rise(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b", "c", "d")
    w1, w2 = await scene.worker("w1"), await scene.worker("w2")
    tasks = [*await w1.claim(2), *await w2.claim(1), *await w1.claim(1, lane=1)]
    assert len({task.lease for task in tasks}) == 4
    assert [task.token for task in tasks] == [1, 2, 3, 4]


async def test_a_task_is_never_granted_to_a_second_lane_while_its_lease_is_current(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    w1, w2 = await scene.worker("w1"), await scene.worker("w2")
    await w1.claim_one()
    assert await w1.claim(lane=1) == []
    assert await w2.claim() == []


async def test_a_repeated_claim_gets_its_leases_again(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b", "c")
    worker = await scene.worker()
    request = worker.request(2)
    first = await scene.store.claim("orders", request)
    again = await scene.store.claim("orders", request)
    assert again.word is Word.SAME
    assert again.tasks == first.tasks
    assert [task.id for task in first.tasks] == ["a", "b"]


async def test_a_repeated_claim_leaves_out_what_was_settled_since(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b")
    worker = await scene.worker()
    request = worker.request(2)
    done, _ = (await scene.store.claim("orders", request)).tasks
    await worker.succeed(done)
    again = await scene.store.claim("orders", request)
    assert [task.id for task in again.tasks] == ["b"]


async def test_a_repeated_claim_leaves_out_leases_that_have_ended(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b")
    worker = await scene.worker()
    request = worker.request(2, lease_ms=1_000)
    kept, _ = (await scene.store.claim("orders", request)).tasks
    await worker.extend(kept, lease_ms=5_000)
    await scene.advance(1_000)
    again = await scene.store.claim("orders", request)
    assert [task.id for task in again.tasks] == ["a"]
    assert again.tasks[0].lease_until == START_MS + 5_000


async def test_a_repeated_claim_does_not_get_a_task_that_runs_under_a_newer_lease(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    request = worker.request(lease_ms=1_000)
    await scene.store.claim("orders", request)
    await scene.advance(1_000)
    await (await scene.worker("w2")).claim_one()
    assert (await scene.store.claim("orders", request)).tasks == ()


async def test_a_repeated_claim_takes_nothing_that_came_since(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    request = worker.request(5)
    assert (await scene.store.claim("orders", request)).tasks == ()
    await scene.submit("a")
    again = await scene.store.claim("orders", request)
    assert (again.word, again.tasks) == (Word.SAME, ())
    assert (await scene.task("a")).status is TaskStatus.QUEUED


async def test_a_claim_that_arrives_after_a_later_one_gets_nothing(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b", "c")
    worker = await scene.worker()
    late = worker.request()
    await scene.store.claim("orders", late)
    await worker.claim_one()
    again = await scene.store.claim("orders", late)
    assert (again.word, again.tasks) == (Word.SAME, ())
    assert (await scene.task("c")).status is TaskStatus.QUEUED


async def test_lanes_of_one_process_count_by_themselves(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b", "c")
    worker = await scene.worker()
    assert [task.id for task in await worker.claim(lane=0)] == ["a"]
    assert [task.id for task in await worker.claim(lane=1)] == ["b"]
    assert [task.id for task in await worker.claim(lane=0)] == ["c"]


async def test_a_lane_that_the_store_does_not_know_must_begin_at_one(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker()
    request = attrs.evolve(worker.request(), sequence=7)
    grant = await scene.store.claim("orders", request)
    assert (grant.word, grant.tasks) == (Word.NO_LANE, ())
    assert (await scene.task("a")).status is TaskStatus.QUEUED


async def test_a_process_that_did_not_announce_itself_is_granted_nothing(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    grant = await Worker(scene.store, "stranger").ask()
    assert (grant.word, grant.tasks) == (Word.NO_WORKER, ())


async def test_a_process_whose_presence_has_ended_is_granted_nothing_until_it_announces(
    scene: Scene,
):
    await scene.declare()
    await scene.submit("a")
    worker = await scene.worker(ttl_ms=2_000)
    await scene.advance(2_000)
    assert (await worker.ask()).word is Word.NO_WORKER
    await worker.announce("f")
    worker.sequences.clear()  # a claim that was refused as a whole was not answered: nothing to repeat
    assert [task.id for task in await worker.claim()] == ["a"]


async def test_a_claim_on_an_undeclared_queue_says_so(scene: Scene):
    grant = await Worker(scene.store, "w1", "nowhere").ask()
    assert grant.word is Word.NO_QUEUE


async def test_a_claim_takes_back_ended_leases_before_it_grants(scene: Scene):
    await scene.declare(max_workers=1)
    await scene.submit("a")
    w1, w2 = await scene.worker("w1"), await scene.worker("w2")
    await w1.claim_one(lease_ms=1_000)
    await scene.advance(1_000)
    task = await w2.claim_one()
    assert (task.id, task.attempt, task.losses) == ("a", 2, 1)


async def test_a_full_claim_says_that_there_may_be_more(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    assert (await (await scene.worker()).ask()).wait_ms == 0


async def test_a_claim_that_found_nothing_waits_for_a_notification_alone(scene: Scene):
    await scene.declare()
    assert (await (await scene.worker()).ask()).wait_ms is None


async def test_a_claim_that_found_nothing_due_tells_how_long_to_wait(scene: Scene):
    await scene.declare()
    await scene.submit("a", delay_ms=700)
    await scene.submit("b", delay_ms=300)
    assert (await (await scene.worker()).ask()).wait_ms == 300


async def test_a_claim_at_the_limit_waits_for_the_earliest_lease_to_end(scene: Scene):
    await scene.declare(max_workers=1)
    await scene.submit("a", "b")
    w1, w2 = await scene.worker("w1"), await scene.worker("w2")
    await w1.claim_one(lease_ms=4_000)
    await scene.advance(1_000)
    assert (await w2.ask()).wait_ms == 3_000


async def test_a_claim_that_was_partly_served_waits_for_its_own_leases_too(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    assert (await (await scene.worker()).ask(3, lease_ms=2_000)).wait_ms == 2_000


async def test_a_claim_while_the_breaker_is_open_waits_for_its_reset(scene: Scene):
    await scene.declare(breaker_failures=1, breaker_reset_ms=9_000)
    await scene.submit("a", "b")
    worker = await scene.worker()
    await worker.fail(await worker.claim_one())
    await scene.advance(2_000)
    assert (await worker.ask()).wait_ms == 7_000


async def test_a_claim_while_paused_does_not_wait_for_what_is_due(scene: Scene):
    await scene.declare()
    await scene.submit("a", delay_ms=100)
    await scene.control(Command.PAUSE)
    assert (await (await scene.worker()).ask()).wait_ms is None


async def test_a_grant_tells_the_version_of_the_settings(scene: Scene):
    await scene.declare()
    await scene.declare(max_size=5)
    in_force = await scene.store.do(ReadSettings("orders"))
    assert in_force is not None
    assert (await (await scene.worker()).ask()).edition == in_force.edition


async def test_leases_of_one_claim_end_together_and_each_can_be_settled_alone(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b")
    worker = await scene.worker()
    a, b = await worker.claim(2)
    assert a.lease_until == b.lease_until == START_MS + LEASE_MS
    await worker.succeed(b)
    assert (await scene.task("a")).status is TaskStatus.PROCESSING
