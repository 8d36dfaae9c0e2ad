"""Explaining: what a store reads of a queue, to say why a task isn't running and when it can."""

import pytest

from kew.app.ports import Announce, Command, Explain
from kew.domain.explaining import Candidate, Code, Explanation, Situation, SlotLimit, Sure
from kew.domain.reasons import explained
from kew.domain.task import pinned_name
from tests.contracts.test_snoozing import snooze
from tests.support.scene import HIGH, LEASE_MS, LOW, PRESENCE_MS, QUEUE, START_MS, Scene, Worker


async def situation(scene: Scene, task_id: str) -> Situation:
    found = await scene.store.do(Explain(QUEUE, task_id))
    assert found is not None
    return found


async def why(scene: Scene, task_id: str = "t") -> Explanation:
    return explained(await situation(scene, task_id))


def codes(explanation: Explanation) -> list[str]:
    return [reason.code.value for reason in explanation.reasons]


def position(explanation: Explanation) -> int | None:
    """How many tasks come first, if it says so."""
    positions = [reason.position for reason in explanation.reasons if reason.code is Code.BEHIND]
    return positions[0] if positions else None


async def idle_worker(scene: Scene, incarnation: str = "w1", *functions: str) -> Worker:
    """A process that looked for work and found none."""
    worker = await scene.worker(incarnation, *functions)
    assert await worker.claim() == []
    return worker


async def test_without_a_reason_the_next_claim_takes_it(scene: Scene):
    await scene.declare()
    worker = await idle_worker(scene)
    await scene.submit("t", payload=b"large")
    explanation = await why(scene)
    assert (codes(explanation), explanation.sure) == ([], Sure.EXACT)
    assert explanation.earliest_at == START_MS
    assert await worker.claim_ids() == ["t"]


async def test_a_deferred_task_starts_when_it_is_due_and_not_before(scene: Scene):
    await scene.declare()
    worker = await idle_worker(scene)
    await scene.submit("t", delay_ms=5_000)
    explanation = await why(scene)
    assert codes(explanation) == [Code.DEFERRED]
    assert (explanation.earliest_at, explanation.sure) == (START_MS + 5_000, Sure.EXACT)
    await scene.advance(4_999)
    assert codes(await why(scene)) == [Code.DEFERRED]
    assert await worker.claim_ids() == []
    await scene.advance(1)
    assert codes(await why(scene)) == []
    assert await worker.claim_ids() == ["t"]


async def test_a_retry_waits_for_its_next_attempt(scene: Scene):
    await scene.declare()
    await scene.submit("t")
    worker = await scene.worker()
    await worker.fail(await worker.claim_one(), retry_after_ms=3_000, error="E: no")
    assert await worker.claim_ids() == []
    explanation = await why(scene)
    assert codes(explanation) == [Code.RETRYING]
    assert (explanation.earliest_at, explanation.sure) == (START_MS + 3_000, Sure.EXACT)
    assert "(E: no)" in str(explanation)


async def test_a_paused_queue_waits_for_a_person(scene: Scene):
    await scene.declare()
    await idle_worker(scene)
    await scene.submit("t")
    await scene.control(Command.PAUSE)
    explanation = await why(scene)
    assert (codes(explanation), explanation.sure) == ([Code.PAUSED], Sure.NEVER)
    await scene.control(Command.RESUME)
    assert codes(await why(scene)) == []


async def broken(scene: Scene, **settings: int) -> Worker:
    """A queue whose breaker has just opened, for 10 s."""
    await scene.declare(breaker_failures=1, breaker_reset_ms=10_000, **settings)
    worker = await scene.worker()
    await scene.submit("bad")
    await worker.fail(await worker.claim_one())
    return worker


async def test_an_open_breaker_lets_a_task_through_when_it_reopens(scene: Scene):
    worker = await broken(scene)
    await scene.submit("t", "u")
    assert await worker.claim_ids() == []
    explanation = await why(scene)
    assert codes(explanation) == [Code.BREAKER_OPEN]
    assert (explanation.earliest_at, explanation.sure) == (START_MS + 10_000, Sure.EXACT)
    assert codes(await why(scene, "u")) == [Code.BREAKER_OPEN, Code.BEHIND]
    await scene.advance(9_999)
    assert await worker.claim_ids() == []
    await scene.advance(1)
    assert codes(await why(scene)) == []
    assert await worker.claim_ids() == ["t"]


async def test_a_rate_that_is_used_up_opens_when_its_window_does(scene: Scene):
    await scene.declare(rates=((2, 1_000, 0), (3, 10_000, 1)))
    worker = await scene.worker()
    await scene.submit("a", "t", "u")
    assert await worker.claim_ids() == ["a"]  # the second rate spaces its starts
    explanation = await why(scene)
    assert codes(explanation) == [Code.RATE]
    assert "rate of 3 tasks in 10 s, 1 at a time" in str(explanation)
    assert codes(await why(scene, "u")) == [Code.RATE, Code.BEHIND]
    assert explanation.sure is Sure.EXACT
    assert explanation.earliest_at is not None
    wait_ms = explanation.earliest_at - START_MS
    await scene.advance(wait_ms - 1)
    assert await worker.claim_ids() == []
    await scene.advance(1)
    assert codes(await why(scene)) == []
    assert await worker.claim_ids() == ["t"]


async def test_a_snoozed_task_and_what_waits_in_a_snoozed_queue_come_back_at_their_instants(
    scene: Scene,
):
    await scene.declare()
    worker = await idle_worker(scene)
    await scene.submit("t")
    await worker.settle(snooze(await worker.claim_one(), 5_000, "queue"))
    await scene.submit("other")
    explanation = await why(scene, "other")
    assert codes(explanation) == [Code.QUEUE_SNOOZED]
    assert explanation.earliest_at == START_MS + 5_000
    assert codes(await why(scene)) == [Code.QUEUE_SNOOZED, Code.SNOOZED, Code.BEHIND]
    await scene.advance(5_000)
    assert codes(await why(scene, "other")) == []


async def test_an_ended_task_of_a_draining_queue_is_not_accepted_again(scene: Scene):
    await scene.declare()
    await scene.submit("t")
    await scene.cancel("t")
    assert codes(await why(scene)) == [Code.ENDED]
    await scene.control(Command.DRAIN)
    assert codes(await why(scene)) == [Code.ENDED, Code.DRAINING]


async def test_a_task_that_no_process_takes_in_its_time_is_said_to_expire(scene: Scene):
    await scene.declare()
    worker = await idle_worker(scene)
    await scene.submit("t", start_by_ms=5_000, delay_ms=4_000)
    assert codes(await why(scene)) == [Code.DEFERRED]
    await scene.advance(5_000)
    explanation = await why(scene)
    assert (codes(explanation), explanation.sure) == ([Code.EXPIRED], Sure.NEVER)
    assert await worker.claim_ids() == []
    assert codes(await why(scene)) == [Code.EXPIRED]


async def test_a_half_open_breaker_waits_for_its_probe(scene: Scene):
    worker = await broken(scene)
    await scene.submit("probe")
    await scene.advance(10_000)
    probe = await worker.claim_one(lease_ms=2_000)
    await scene.submit("t")
    explanation = await why(scene)
    assert (codes(explanation), explanation.sure) == ([Code.BREAKER_OPEN], Sure.UNKNOWN)
    await scene.advance(2_000)
    assert codes(await why(scene)) == [Code.BEHIND]  # the probe was lost, and comes first
    assert [task.id for task in await worker.claim(lane=1)] == [probe.id]


async def test_full_slots_name_who_holds_them(scene: Scene):
    await scene.declare(max_workers=2)
    await scene.submit("a", "b", "t")
    worker = await scene.worker("web-1-4711-0af3")
    tasks = await worker.claim(5)
    explanation = await why(scene)
    assert codes(explanation) == [Code.SLOTS_FULL]
    (reason,) = explanation.reasons
    assert [(each.task_id, each.process) for each in reason.holders] == [
        ("a", "web-1:4711"),
        ("b", "web-1:4711"),
    ]
    await worker.succeed(tasks[0])
    assert codes(await why(scene)) == []
    assert [task.id for task in await worker.claim(5, lane=1)] == ["t"]


async def test_a_lease_that_has_ended_holds_no_slot_but_its_task_comes_first(scene: Scene):
    await scene.declare(max_workers=1)
    await scene.submit("lost", "t")
    worker = await scene.worker()
    await worker.claim_one(lease_ms=1_000)
    assert codes(await why(scene)) == [Code.SLOTS_FULL]
    await scene.advance(1_000)
    assert codes(await why(scene)) == [Code.BEHIND]
    assert await worker.claim_ids() == ["lost"]


async def test_a_lost_task_that_is_not_due_after_the_clock_was_set_back_does_not_come_first(
    scene: Scene,
):
    await scene.declare()
    worker = await idle_worker(scene)
    await scene.submit("first", priority=HIGH)
    await worker.claim_one(lease_ms=1_000)
    await scene.advance(-60_000)
    await scene.sweep()
    await scene.advance(LEASE_MS)  # the lease has ended, by whatever clock
    await scene.submit("t")
    explanation = await why(scene)
    assert (codes(explanation), explanation.sure) == ([], Sure.EXACT)
    assert await worker.claim_ids() == ["t"]


async def test_a_task_is_behind_those_that_come_before_it(scene: Scene):
    await scene.declare()
    await idle_worker(scene, "w1", "f", "g")
    await scene.submit("low", priority=LOW)
    await scene.submit("first")
    await scene.submit("released", delay_ms=1_000)
    await scene.submit("later", delay_ms=9_000)
    await scene.advance(2_000)
    await scene.submit("t")
    await scene.submit("high", priority=HIGH, function="g")
    await scene.submit("behind")
    explanation = await why(scene)
    assert codes(explanation) == [Code.BEHIND]
    assert position(explanation) == 3
    assert (await situation(scene, "t")).due == 5
    assert position(await why(scene, "low")) == 5
    assert position(await why(scene, "later")) == 5


async def test_cancelled_tasks_come_first_no_more(scene: Scene):
    await scene.declare()
    await idle_worker(scene)
    await scene.submit("a", "b", "t")
    await scene.cancel("a")
    assert position(await why(scene)) == 1


async def test_what_no_process_for_this_task_can_run_does_not_come_before_it(scene: Scene):
    await scene.declare()
    await scene.submit("other", function="g", priority=HIGH)
    await scene.submit("t")
    worker = await scene.worker("w1", "f")
    await idle_worker(scene, "w2", "h")  # the first to meet them: it parks both
    assert codes(await why(scene)) == []
    both = await scene.worker("w3", "f", "g")
    assert codes(await why(scene)) == [Code.BEHIND]
    await both.depart()
    assert await worker.claim_ids() == ["t"]


async def test_parked_tasks_are_counted_in_order(scene: Scene):
    await scene.declare()
    await scene.submit("a", "b")
    await scene.submit("c", "d", priority=HIGH)
    await idle_worker(scene, "w2", "h")
    await scene.submit("t")
    await scene.submit("e", priority=HIGH)
    worker = await scene.worker("w1", "f")
    assert position(await why(scene)) == 5
    assert position(await why(scene, "b")) == 4
    assert await worker.claim_ids() == ["c", "d", "e", "a", "b", "t"]


async def test_without_a_process_nothing_runs(scene: Scene):
    await scene.declare()
    await scene.submit("t")
    explanation = await why(scene)
    assert (codes(explanation), explanation.sure) == ([Code.NO_PROCESS], Sure.NEVER)
    worker = await scene.worker(ttl_ms=1_000)
    assert codes(await why(scene)) == []
    await scene.advance(1_000)
    assert codes(await why(scene)) == [Code.NO_PROCESS]
    await worker.depart()


async def test_a_function_that_no_process_registered_is_named(scene: Scene):
    await scene.declare()
    await scene.submit("t", function="g {odd}%")
    worker = await idle_worker(scene)
    explanation = await why(scene)
    assert (codes(explanation), explanation.sure) == ([Code.FUNCTION_UNKNOWN], Sure.NEVER)
    assert "registered its function g {odd}%;" in str(explanation)
    await worker.announce("g {odd}%")
    assert codes(await why(scene)) == []
    assert await worker.claim_ids() == ["t"]


async def test_a_closure_waits_for_its_own_process(scene: Scene):
    await scene.declare()
    await scene.submit("t", function=pinned_name("w1", "closure"))
    await idle_worker(scene, "w2")
    assert codes(await why(scene)) == [Code.FUNCTION_UNKNOWN]
    worker = await scene.worker("w1", "h")
    assert codes(await why(scene)) == []
    assert await worker.claim_ids() == ["t"]


async def test_a_process_that_holds_more_than_its_share_leaves_the_free_slots(scene: Scene):
    await scene.declare(max_workers=2)
    await scene.submit("a", "b", "c", "t")
    rich, poor = await scene.worker("w1"), await scene.worker("w2")
    (first, _) = await rich.claim(2)
    assert await poor.claim() == []
    await rich.succeed(first)
    explanation = await why(scene, "c")
    assert codes(explanation) == [Code.PROCESS_SHARE]
    assert explanation.sure == Sure.UNKNOWN
    request = rich.request(lane=1)
    assert (await scene.store.claim(QUEUE, request)).tasks


async def test_busy_processes_are_named(scene: Scene):
    await scene.declare(max_workers=5)
    await scene.submit("a", "t")
    worker = await scene.worker(slots=1)
    task = await worker.claim_one()
    explanation = await why(scene)
    assert codes(explanation) == [Code.HOST_BUSY]
    assert str(explanation).endswith(": w1 runs 1")
    await worker.succeed(task)
    assert codes(await why(scene)) == []


async def test_slots_stay_as_announced_until_the_process_is_forgotten(scene: Scene):
    await scene.declare()
    worker = await scene.worker(slots=3)
    worker.slots = SlotLimit(9)
    await worker.announce()  # a renewal, which carries no news
    await scene.submit("t")
    assert (await situation(scene, "t")).candidates == (
        Candidate(incarnation="w1", holds=0, slots=SlotLimit(3)),
    )
    worker.slots = SlotLimit(2, is_shared=True)
    await worker.announce("g")
    assert (await situation(scene, "t")).candidates[0].slots == SlotLimit(2, is_shared=True)
    await scene.store.do(Announce(QUEUE, "w1", ["h"], PRESENCE_MS))  # an earlier version
    assert (await situation(scene, "t")).candidates[0].slots == SlotLimit(2, is_shared=True)


async def test_the_slots_of_an_earlier_version_are_unknown(scene: Scene):
    await scene.declare()
    await scene.store.do(Announce(QUEUE, "w1", ["f"], PRESENCE_MS))
    await scene.submit("t")
    explanation = await why(scene)
    assert (codes(explanation), explanation.sure) == ([], Sure.ESTIMATE)


async def test_all_reasons_are_given_at_once(scene: Scene):
    worker = await broken(scene)
    await scene.declare(breaker_failures=1, breaker_reset_ms=10_000, max_workers=1)
    await scene.advance(10_000)
    await scene.submit("probe")
    await worker.claim_one()
    await scene.control(Command.PAUSE)
    await scene.submit("high", priority=HIGH, delay_ms=1_000)
    await scene.submit("t", delay_ms=1_000)
    explanation = await why(scene)
    assert codes(explanation) == [
        Code.PAUSED,
        Code.DEFERRED,
        Code.SLOTS_FULL,
        Code.BREAKER_OPEN,
        Code.BEHIND,
    ]


async def test_running_and_ended_tasks_are_described(scene: Scene):
    await scene.declare()
    await scene.submit("t")
    worker = await scene.worker("web-1-4711-0af3")
    task = await worker.claim_one(lease_ms=2_000)
    await scene.advance(1_000)
    running = await why(scene)
    assert str(running) == "attempt 1 has been running for 1 s in web-1:4711"
    assert (running.earliest_at, running.sure) == (START_MS, Sure.EXACT)
    await scene.advance(1_000)
    assert "no longer extends its lease" in str(await why(scene))
    await worker.succeed(task, b"result")
    ended = await why(scene)
    assert (codes(ended), ended.sure) == ([Code.ENDED], Sure.NEVER)
    assert (await situation(scene, "t")).task.result == b""


async def test_a_task_of_another_queue_or_none_has_no_situation(scene: Scene):
    assert await scene.store.do(Explain(QUEUE, "t")) is None
    await scene.declare(task_ttl_ms=1_000)
    await scene.declare("mails")
    await scene.submit("t")
    assert await scene.store.do(Explain("mails", "t")) is None
    worker = await scene.worker()
    await worker.succeed(await worker.claim_one())
    await scene.advance(1_000)
    assert await scene.store.do(Explain(QUEUE, "t")) is None
    await scene.submit("u")
    await scene.purge()
    assert await scene.store.do(Explain(QUEUE, "u")) is None


@pytest.mark.parametrize("paused", [False, True])
async def test_explaining_changes_nothing(scene: Scene, paused: bool):
    await scene.declare(max_workers=1)
    await scene.submit("a", "t")
    worker = await scene.worker()
    await worker.claim_one(lease_ms=1_000)
    await scene.advance(1_000)
    if paused:
        await scene.control(Command.PAUSE)
    before = await situation(scene, "t")
    assert await situation(scene, "t") == before
    assert (await scene.status()).held == 1
