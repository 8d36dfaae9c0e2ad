"""Keys: tasks of one priority are served round robin by key, and a key's limits are its own."""

from typing import Any

import pytest

from kew.app.notices import Woken
from kew.app.ports import Command, Empty, Explain, LimitKey, ListKeyLimits, Peek, Replay
from kew.domain.explaining import Code
from kew.domain.key_limits import OwnLimits
from kew.domain.reasons import explained
from kew.domain.requests import Word
from kew.domain.task import TaskStatus
from tests.support.idle import idle
from tests.support.scene import HIGH, QUEUE, Scene, Worker, call, group

ONE = {"key_workers": 1, "max_workers": 20}


async def submit(scene: Scene, *ids: str, **options: Any) -> None:
    """Each with the letters of its id as its key: "a1" has key "a"; "1" has none."""
    for task_id in ids:
        await scene.submit(task_id, key=task_id.rstrip("0123456789"), **options)


# --- turns


async def test_keys_take_turns(scene: Scene):
    await scene.declare(max_workers=20)
    worker = await scene.worker()
    await submit(scene, "a1", "a2", "a3", "b1", "b2", "c1")
    assert await worker.claim_ids() == ["a1", "b1", "c1", "a2", "b2", "a3"]


async def test_turns_go_on_from_claim_to_claim(scene: Scene):
    await scene.declare(max_workers=20)
    worker = await scene.worker()
    await submit(scene, "a1", "a2", "a3", "b1", "b2", "c1")
    claimed = [(await worker.claim_one()).id for _ in range(6)]
    assert claimed == ["a1", "b1", "c1", "a2", "b2", "a3"]


async def test_a_key_that_comes_later_waits_one_turn_of_each_other(scene: Scene):
    await scene.declare(max_workers=100)
    worker = await scene.worker()
    await submit(scene, *(f"a{n}" for n in range(30)), *(f"b{n}" for n in range(30)))
    assert await worker.claim_ids(3) == ["a0", "b0", "a1"]
    await submit(scene, "c1")
    assert await worker.claim_ids(4) == ["b1", "a2", "c1", "b2"]


async def test_tasks_without_a_key_take_turns_like_one_more_key(scene: Scene):
    await scene.declare(max_workers=20)
    worker = await scene.worker()
    await submit(scene, "1", "2", "3", "a1", "a2", "b1")
    assert await worker.claim_ids() == ["1", "a1", "b1", "2", "a2", "3"]
    await submit(scene, "4", "a3", "5")
    assert await worker.claim_ids(1) == ["4"]
    await submit(scene, "b2")
    assert await worker.claim_ids() == ["a3", "5", "b2"]


async def test_priorities_come_before_turns(scene: Scene):
    await scene.declare(max_workers=20)
    worker = await scene.worker()
    await submit(scene, "a1", "b1")
    await submit(scene, "a2", "a3", priority=HIGH)
    assert await worker.claim_ids() == ["a2", "a3", "a1", "b1"]


async def test_one_backlog_delays_no_other_key_by_more_than_a_turn(scene: Scene):
    """One account's burst stopped everyone behind it."""
    await scene.declare(max_workers=1_000, max_size=10_000)
    worker = await scene.worker()
    burst = [call(f"a{n}", key="a") for n in range(1_000)]
    assert (await scene.try_submit(group(*burst)))[0].word is Word.DONE
    others = [f"{chr(0x4E00 + n)}0" for n in range(99)]
    await submit(scene, *others)
    started: list[str] = []
    for _ in range(10):
        started += await worker.claim_ids(10)
    assert len(started) == 100
    assert set(others) <= set(started)


async def test_the_order_of_one_key_is_that_of_its_tasks(scene: Scene):
    await scene.declare(**ONE)
    worker = await scene.worker()
    await submit(scene, "a1", delay_ms=50)
    await submit(scene, "a2", "a3")
    await scene.advance(50)
    for expected in ("a2", "a3", "a1"):
        task = await worker.claim_one()
        assert task.id == expected
        await worker.succeed(task)


# --- max_workers


async def test_never_more_holders_of_a_key_than_its_limit(scene: Scene):
    """Limit 2, and 4 ran: rows were counted and not holders."""
    await scene.declare(key_workers=2, max_workers=20)
    w1, w2 = await scene.worker("w1"), await scene.worker("w2")
    await submit(scene, *(f"a{n}" for n in range(8)), "b1")
    assert await w1.claim_ids() == ["a0", "b1", "a1"]
    assert await w2.claim_ids() == []
    await submit(scene, "a8", priority=HIGH)
    assert await w2.claim_ids() == []


async def test_a_key_at_its_limit_leaves_the_slots_to_others(scene: Scene):
    await scene.declare(key_workers=1, max_workers=3)
    worker = await scene.worker()
    await submit(scene, "a1", "a2", "a3", "a4", "b1", "1")
    assert await worker.claim_ids() == ["1", "a1", "b1"]


@pytest.mark.parametrize("how", ["succeed", "fail", "retry", "release", "not_started", "cancelled"])
async def test_what_a_task_held_ends_with_its_lease(scene: Scene, how: str):
    """A slot leaked for ever."""
    await scene.declare(**ONE)
    worker = await scene.worker()
    await submit(scene, "a1", "a2")
    task = await worker.claim_one()
    assert await worker.claim_ids() == []
    await end(scene, worker, task, how)
    await scene.advance(1_000)
    assert await worker.claim_ids(1) == [
        "a1" if how in ("retry", "release", "not_started") else "a2"
    ]
    assert await worker.claim_ids() == []


async def end(scene: Scene, worker: Worker, task: Any, how: str) -> None:
    if how == "succeed":
        await worker.succeed(task)
    elif how == "fail":
        await worker.fail(task)
    elif how == "retry":
        await worker.fail(task, retry_after_ms=0)
    elif how == "release":
        await worker.release(task)
    elif how == "not_started":
        await worker.could_not_start(task)
    else:
        await scene.cancel(task.id)
        await worker.release(task)


@pytest.mark.parametrize("by", ["claim", "sweep"])
async def test_a_lost_lease_frees_its_key(scene: Scene, by: str):
    await scene.declare(**ONE)
    w1, w2 = await scene.worker("w1"), await scene.worker("w2")
    await submit(scene, "a1", "a2")
    await w1.claim_one(lease_ms=1_000)
    await scene.advance(1_000)
    if by == "sweep":
        assert (await scene.sweep()).recovered == 1
    assert await w2.claim_ids() == ["a1"]
    assert await w2.claim_ids() == []


async def test_settling_frees_a_key_for_the_claim_that_rides_along(scene: Scene):
    await scene.declare(**ONE)
    worker = await scene.worker()
    await submit(scene, "a1", "a2")
    task = await worker.claim_one()
    settled = await worker.settle(await success_of(task), claim=worker.request(5))
    assert settled.grant is not None
    assert [task.id for task in settled.grant.tasks] == ["a2"]


async def success_of(task: Any) -> Any:
    from tests.support.scene import success

    return success(task)


async def test_a_key_at_its_limit_is_freed_for_all_of_its_priorities(scene: Scene):
    await scene.declare(**ONE)
    worker = await scene.worker()
    await submit(scene, "a1", "a2")
    await submit(scene, "a3", priority=HIGH)
    task = await worker.claim_one()
    assert task.id == "a3"
    await submit(scene, "a4", priority=HIGH)
    await worker.succeed(task)
    assert await worker.claim_ids() == ["a4"]


async def test_a_task_that_is_submitted_and_claimed_in_one_step_keeps_to_the_limit(scene: Scene):
    await scene.declare(**ONE)
    worker = await scene.worker()
    groups = [group(call("a1", key="a"), call("a2", key="a"), call("b1", key="b"))]
    submitted = await scene.submit_and_claim(groups, worker.request(5))
    assert submitted.grant is not None
    assert [task.id for task in submitted.grant.tasks] == ["a1", "b1"]


async def test_a_lowered_limit_takes_nothing_back(scene: Scene):
    await scene.declare(key_workers=3, max_workers=20)
    worker = await scene.worker()
    await submit(scene, *(f"a{n}" for n in range(5)))
    tasks = await worker.claim(10)
    assert len(tasks) == 3
    await scene.declare(key_workers=1, max_workers=20)
    for task in tasks[:2]:
        await worker.succeed(task)
        assert await worker.claim_ids() == []
    await worker.succeed(tasks[2])
    assert await worker.claim_ids() == ["a3"]


async def test_a_raised_limit_holds_at_once(scene: Scene):
    await scene.declare(**ONE)
    worker = await scene.worker()
    await submit(scene, *(f"a{n}" for n in range(5)), "b1", "b2")
    assert await worker.claim_ids() == ["a0", "b1"]
    await scene.declare(key_workers=2, max_workers=20)
    assert await worker.claim_ids() == ["a1", "b2"]
    await scene.declare(max_workers=20)
    assert await worker.claim_ids() == ["a2", "a3", "a4"]


# --- all else that happens to tasks


async def test_a_task_in_the_middle_of_a_line_can_be_cancelled(scene: Scene):
    await scene.declare(**ONE)
    worker = await scene.worker()
    await submit(scene, "a1", "a2", "a3", "b1")
    assert await scene.cancel("a2") is Word.DONE
    assert await scene.cancel("b1") is Word.DONE
    assert await scene.waiting() == 2
    task = await worker.claim_one()
    await worker.succeed(task)
    assert await worker.claim_ids() == ["a3"]
    assert await scene.waiting() == 0


async def test_a_key_whose_last_task_was_cancelled_begins_anew(scene: Scene):
    await scene.declare(max_workers=20)
    worker = await scene.worker()
    await submit(scene, "a1", "b1", "b2")
    await scene.cancel("a1")
    await submit(scene, "a2")
    assert await worker.claim_ids() == ["b1", "a2", "b2"]


async def test_deferred_tasks_wait_without_their_key_being_in_the_way(scene: Scene):
    await scene.declare(**ONE)
    worker = await scene.worker()
    await submit(scene, "a1", delay_ms=100)
    await submit(scene, "b1", delay_ms=50)
    grant = await worker.ask(5)
    assert grant.tasks == ()
    assert grant.wait_ms == 50
    await scene.advance(50)
    assert await worker.claim_ids() == ["b1"]
    await scene.advance(50)
    assert await worker.claim_ids() == ["a1"]


async def test_a_key_at_its_limit_costs_no_polling(scene: Scene):
    await scene.declare(**ONE)
    worker = await scene.worker()
    await submit(scene, "a1", "a2")
    await submit(scene, "a3", delay_ms=50)
    await worker.claim_one(lease_ms=60_000)
    grant = await worker.ask(5)
    assert grant.tasks == ()
    assert grant.wait_ms == 60_000
    peeked = await scene.store.do(Peek(QUEUE))
    assert peeked.wait_ms is None or peeked.wait_ms > 1_000
    assert peeked.has_waiting


async def test_a_freed_key_wakes_a_waiting_process(scene: Scene):
    await scene.declare(**ONE)
    w1, w2 = await scene.worker("w1"), await scene.worker("w2")
    await submit(scene, "a1", "a2")
    task = await w1.claim_one()
    assert await w2.claim_ids() == []
    listener = await scene.listen("w2")
    await w1.succeed(task)
    await listener.next()


async def test_a_replayed_task_waits_in_its_key_again(scene: Scene):
    await scene.declare(**ONE)
    worker = await scene.worker()
    await submit(scene, "a1", "a2")
    await worker.fail(await worker.claim_one())
    task = await worker.claim_one()
    assert await scene.replay("a1") is Word.DONE
    assert await worker.claim_ids() == []
    await worker.succeed(task)
    assert await worker.claim_ids() == ["a1"]


async def test_a_function_that_a_process_does_not_know_blocks_no_key(scene: Scene):
    await scene.declare(max_workers=20)
    w1 = await scene.worker("w1", "f")
    await submit(scene, "a1", "b1", function="g")
    await submit(scene, "a2", "b2", "c1", function="f")
    assert await w1.claim_ids() == ["a2", "b2", "c1"]
    assert await scene.waiting() == 2
    w2 = await scene.worker("w2", "f", "g")
    assert await w2.claim_ids() == ["a1", "b1"]


async def test_what_other_processes_set_aside_keeps_to_the_limit(scene: Scene):
    await scene.declare(**ONE)
    w1, w2 = await scene.worker("w1", "f"), await scene.worker("w2", "f", "g")
    await submit(scene, "a1", "a2", function="g")
    assert await w1.claim_ids() == []
    task = await w2.claim_one()
    assert task.id == "a1"
    assert await w2.claim_ids() == []
    await submit(scene, "a3", function="f")
    assert await w1.claim_ids() == []
    await w2.succeed(task)
    assert await w2.claim_ids() == ["a2"]
    assert await scene.cancel("a3") is Word.DONE
    assert await scene.waiting() == 0


async def test_a_task_that_was_set_aside_can_be_cancelled(scene: Scene):
    await scene.declare(**ONE)
    worker = await scene.worker("w1", "f")
    await submit(scene, "a1", function="g")
    assert await worker.claim_ids() == []
    assert (await scene.status()).stuck == {"g": 1}
    assert await scene.cancel("a1") is Word.DONE
    assert (await scene.status()).stuck == {}
    await submit(scene, "a2", "b1")
    assert await worker.claim_ids() == ["a2", "b1"]


async def test_a_closure_has_no_key(scene: Scene):
    await scene.declare(**ONE)
    worker = await scene.worker("w1")
    await submit(scene, "a1", "a2", function="@w1/closure")
    assert await worker.claim_ids() == ["a1", "a2"]


async def test_a_paused_queue_starts_none_of_its_keys(scene: Scene):
    await scene.declare(**ONE)
    worker = await scene.worker()
    await submit(scene, "a1", "b1")
    await scene.control(Command.PAUSE)
    assert await worker.claim_ids() == []
    await scene.control(Command.RESUME)
    assert await worker.claim_ids() == ["a1", "b1"]


async def test_a_purged_queue_leaves_nothing_of_its_keys(scene: Scene):
    await scene.declare(**ONE)
    worker = await scene.worker()
    await submit(scene, *(f"a{n}" for n in range(5)), *(f"b{n}" for n in range(5)))
    await submit(scene, "c1", delay_ms=1_000)
    await worker.claim(2)
    await scene.purge()
    await scene.declare(**ONE)
    worker = await scene.worker("w2")
    assert await scene.waiting() == 0
    await submit(scene, "a1")
    assert await worker.claim_ids() == ["a1"]


async def test_a_clock_that_steps_back_puts_off_what_was_due(scene: Scene):
    await scene.declare(max_workers=20)
    worker = await scene.worker()
    await scene.advance(10_000)
    await submit(scene, "a1", "b1")
    await scene.advance(-5_000)
    grant = await worker.ask(5)
    assert grant.tasks == ()
    assert grant.wait_ms == 5_000
    await scene.advance(5_000)
    assert await worker.claim_ids() == ["a1", "b1"]


@pytest.mark.parametrize("key", ["a b", "a:b", "{a}", "é\n\x00", "%k a", "1 a", "x" * 256])
async def test_a_key_is_any_text(scene: Scene, key: str):
    await scene.declare(**ONE)
    worker = await scene.worker()
    await scene.submit("t1", "t2", key=key)
    await scene.submit("t3", key="a")
    tasks = await worker.claim(5)
    assert [(task.id, task.call.key) for task in tasks] == [("t1", key), ("t3", "a")]
    await worker.succeed(tasks[0])
    assert await worker.claim_ids() == ["t2"]


async def test_emptying_a_queue_cancels_what_waits_in_its_keys(scene: Scene):
    await scene.declare(**ONE)
    worker = await scene.worker()
    await submit(scene, "a1", "a2", "b1", "1")
    await submit(scene, "b2", delay_ms=1_000, priority=HIGH)
    task = await worker.claim_one()
    emptied = await scene.store.do(Empty(QUEUE, 1_000, 0, 100))
    assert emptied is not None
    assert (len(emptied.cancelled), emptied.more) == (4, False)
    assert await scene.waiting() == 0
    await worker.succeed(task)
    assert await worker.claim_ids() == []
    await submit(scene, "b3", "a3")
    assert await worker.claim_ids() == ["b3", "a3"]


# --- max_size


async def test_a_key_has_no_more_waiting_tasks_than_its_size(scene: Scene):
    await scene.declare(key_size=2, max_workers=20)
    worker = await scene.worker()
    await submit(scene, "a1", "a2")
    (refused,) = await scene.try_submit(group(call("b1", key="b"), call("a3", key="a")))
    assert (refused.word, refused.task_id) == (Word.KEY_FULL, "a3")
    assert await scene.find("b1") is None
    (whole,) = await scene.try_submit(group(*(call(f"c{n}", key="c") for n in range(3))))
    assert (whole.word, whole.task_id) == (Word.KEY_FULL, "c2")
    await submit(scene, "b1", "1", "2", "3")
    await worker.claim(2)
    await submit(scene, "a3")
    assert (await scene.task("a3")).status is TaskStatus.QUEUED


async def test_a_repeated_submit_is_not_refused_by_a_full_key(scene: Scene):
    await scene.declare(key_size=1)
    await submit(scene, "a1")
    (again,) = await scene.try_submit(group(call("a1", key="a")))
    assert again.word is Word.SAME


async def test_a_claim_waits_for_what_is_due_first_after_a_cancellation(scene: Scene):
    await scene.declare(max_workers=20)
    worker = await scene.worker()
    await submit(scene, "a1", delay_ms=1_000)
    await submit(scene, "a2", delay_ms=9_000)
    await submit(scene, "b1", delay_ms=5_000)
    assert (await worker.ask(1)).wait_ms == 1_000
    await scene.cancel("a1")
    assert (await worker.ask(1)).wait_ms == 5_000


async def test_a_batch_of_one_key_wakes_as_many_processes_as_it_has_tasks(scene: Scene):
    processes = await idle(scene, 5)
    await scene.try_submit(group(*(call(task_id, key="a") for task_id in ("a1", "a2", "a3"))))
    assert await processes.woken() == 3


async def test_many_keys_of_another_function_hide_no_later_task(scene: Scene):
    await scene.declare(max_workers=20)
    worker = await scene.worker()
    for n in range(30):
        await scene.submit(f"other{n}", key=f"k{n}", function="other", delay_ms=1_000 + n)
    await submit(scene, "a1", delay_ms=5_000)
    wait_ms = (await worker.ask(1)).wait_ms
    assert wait_ms is not None
    assert 0 < wait_ms <= 5_000


async def test_a_resume_wakes_a_process_for_what_comes_second_in_a_key(scene: Scene):
    processes = await idle(scene, 1)
    await scene.control(Command.PAUSE)
    await scene.submit("other", key="a", function="other")
    await submit(scene, "a1")
    await processes.woken()
    await scene.control(Command.RESUME)
    assert await processes.woken() == 1


# --- why a task waits


async def explain(scene: Scene, task_id: str) -> Any:
    situation = await scene.store.do(Explain(QUEUE, task_id))
    assert situation is not None
    return explained(situation)


async def test_a_key_at_its_limit_is_a_reason_with_its_holders(scene: Scene):
    await scene.declare(**ONE)
    worker = await scene.worker()
    await submit(scene, "a1", "a2", "b1")
    await worker.claim(5)
    why = await explain(scene, "a2")
    assert [reason.code for reason in why.reasons] == [Code.KEY_FULL]
    assert [holder.task_id for holder in why.reasons[0].holders] == ["a1"]
    assert "'a'" in str(why)


async def test_a_key_whose_lease_has_ended_is_not_full(scene: Scene):
    await scene.declare(**ONE)
    worker = await scene.worker()
    await submit(scene, "a1", "a2")
    await worker.claim_one(lease_ms=1_000)
    await scene.advance(1_000)
    codes = {reason.code for reason in (await explain(scene, "a2")).reasons}
    assert Code.KEY_FULL not in codes
    assert Code.BEHIND in codes


async def test_where_keys_take_turns_a_task_may_be_behind_any_other(scene: Scene):
    await scene.declare(max_workers=20)
    await scene.worker()
    await submit(scene, "a1", "b1")
    for task_id in ("a1", "b1"):
        (reason,) = (await explain(scene, task_id)).reasons
        assert reason.code is Code.BEHIND
    await scene.cancel("b1")
    assert (await explain(scene, "a1")).reasons == ()


# --- rate


def paced(*rates: tuple[int, int, int], **settings: Any) -> dict[str, Any]:
    """Settings of a queue whose keys have these rates."""
    return {"key_rate": rates, "max_workers": 100, "max_size": 10_000, **settings}


async def test_no_window_has_more_starts_of_a_key_than_its_rate(scene: Scene):
    await scene.declare(**paced((2, 1_000, 0)))
    w1, w2 = await scene.worker("w1"), await scene.worker("w2")
    await submit(scene, "a1", "a2", "a3", "a4", "a5", "b1", "1", "2", "3")
    assert await w1.claim_ids(3) == ["1", "a1", "b1"]
    await scene.advance(400)
    assert await w1.claim_ids() == ["2", "a2", "3"]
    assert await w2.claim_ids() == []
    await scene.advance(599)
    assert await w2.claim_ids() == []
    await scene.advance(2)
    assert await w2.claim_ids() == ["a3"]
    assert await w1.claim_ids() == []


async def test_a_claim_says_exactly_when_the_rate_of_a_key_lets_its_next_task_start(scene: Scene):
    await scene.declare(**paced((1, 1_000, 0)))
    worker = await scene.worker()
    await submit(scene, "a1", "a2", "b1", "b2")
    grant = await worker.ask(want=10)
    assert ([task.id for task in grant.tasks], grant.wait_ms) == (["a1", "b1"], 1_000)
    await scene.advance(300)
    assert (await worker.ask(want=10)).wait_ms == 700
    await scene.advance(700)
    assert await worker.claim_ids() == ["a2", "b2"]


async def test_a_task_that_waits_for_its_keys_rate_holds_no_place_of_its_key(scene: Scene):
    """A rate-limited task held its key's slot and deadlocked its group."""
    await scene.declare(**paced((1, 1_000, 0), key_workers=1))
    worker = await scene.worker()
    await submit(scene, "a1", "a2", "a3")
    for expected in ("a1", "a2", "a3"):
        task = await worker.claim_one()
        assert task.id == expected
        await worker.succeed(task)
        assert await worker.claim_ids() == []
        await scene.advance(1_000)


async def test_two_limits_at_once_cost_no_more_than_the_slower_one(scene: Scene):
    """Two limits at once made 0.4 s of work take 8 s."""
    await scene.declare(**paced((5, 100, 0), key_workers=2))
    worker, done, elapsed = await scene.worker(), 0, 0
    await submit(scene, *(f"a{n}" for n in range(20)))
    while done < 20:
        grant = await worker.ask(want=10)
        assert len(grant.tasks) <= 2
        for task in grant.tasks:
            await worker.succeed(task)
        done += len(grant.tasks)
        if not grant.tasks:
            assert grant.wait_ms is not None
            elapsed += grant.wait_ms
            await scene.advance(grant.wait_ms)
    assert elapsed == 300


async def test_a_burst_of_a_key_spaces_its_starts(scene: Scene):
    await scene.declare(**paced((10, 1_000, 2)))
    worker, starts, now = await scene.worker(), list[int](), 0
    await submit(scene, *(f"a{n}" for n in range(12)))
    while len(starts) < 12:
        grant = await worker.ask(want=10)
        starts += [now] * len(grant.tasks)
        if len(starts) < 12:
            assert grant.wait_ms is not None
            now += grant.wait_ms
            await scene.advance(grant.wait_ms)
    assert starts == [0, 0, *range(100, 801, 100), 1_000, 1_000]


async def test_a_rate_of_keys_counts_starts_of_all_priorities(scene: Scene):
    await scene.declare(**paced((2, 1_000, 0)))
    worker = await scene.worker()
    await submit(scene, "a1", "a2")
    await submit(scene, "a3", "a4", priority=HIGH)
    assert await worker.claim_ids() == ["a3", "a4"]
    await scene.advance(1_000)
    await submit(scene, "a5", priority=HIGH)
    assert await worker.claim_ids() == ["a5", "a1"]


@pytest.mark.parametrize("how", ["release", "lost", "retry"])
async def test_a_start_is_used_up_whatever_becomes_of_it(scene: Scene, how: str):
    await scene.declare(**paced((1, 10_000, 0)))
    worker = await scene.worker()
    await submit(scene, "a1")
    task = await worker.claim_one(lease_ms=1_000)
    if how == "lost":
        await scene.advance(1_000)
    else:
        await end(scene, worker, task, how)
    assert await worker.claim_ids() == []
    await scene.advance(10_000)
    assert await worker.claim_ids() == ["a1"]


async def test_each_rate_of_a_key_must_allow_a_start(scene: Scene):
    await scene.declare(**paced((2, 1_000, 0), (3, 10_000, 0)))
    worker = await scene.worker()
    await submit(scene, *(f"a{n}" for n in range(5)))
    assert await worker.claim_ids() == ["a0", "a1"]
    await scene.advance(1_000)
    grant = await worker.ask(want=10)
    assert ([task.id for task in grant.tasks], grant.wait_ms) == (["a2"], 9_000)


async def test_what_a_task_costs_counts_against_the_rate_of_its_key(scene: Scene):
    await scene.declare(**paced((5, 1_000, 0)))
    worker = await scene.worker()
    await submit(scene, "a1", cost=3)
    await submit(scene, "a2", cost=4)
    await submit(scene, "a3")
    grant = await worker.ask(want=10)
    assert ([task.id for task in grant.tasks], grant.wait_ms) == (["a1"], 1_000)
    await scene.advance(1_000)
    assert await worker.claim_ids() == ["a2", "a3"]


async def test_a_changed_rate_of_keys_is_in_force_at_once(scene: Scene):
    await scene.declare(**paced((1, 10_000, 0)))
    worker = await scene.worker()
    await submit(scene, "a1", "a2", "a3", "a4")
    assert await worker.claim_ids() == ["a1"]
    await scene.declare(**paced((2, 10_000, 0)))
    assert await worker.claim_ids() == ["a2"]
    await scene.declare(max_workers=100)
    assert await worker.claim_ids() == ["a3", "a4"]


@pytest.mark.parametrize("step_ms", [2_000, 3_600_000])
async def test_a_step_back_of_the_clock_holds_a_key_for_no_more_than_two_windows(
    scene: Scene, step_ms: int
):
    await scene.declare(**paced((2, 1_000, 1)))
    await submit(scene, "a1", "a2", "a3", "a4")
    await scene.advance(2 * step_ms)
    worker = await scene.worker()
    assert await worker.claim_ids() == ["a1"]
    assert await worker.claim_ids() == []
    await scene.advance(-step_ms)
    started: list[str] = []
    for _ in range(20):
        started += await worker.claim_ids()
        await scene.advance(100)
    assert started == ["a2", "a3", "a4"]


async def test_starts_ahead_of_a_clock_that_stepped_back_are_remembered_until_it_has_passed_them(
    scene: Scene,
):
    await scene.declare(**paced((1, 1_000, 0)))
    await scene.advance(60_000)
    worker = await scene.worker()
    await submit(scene, "a1")
    assert await worker.claim_ids() == ["a1"]
    await scene.advance(-1_700)
    await submit(scene, "a2", "a3")
    assert await worker.claim_ids() == ["a2"]  # a1 is more than a window ahead
    await scene.advance(1_100)
    assert await worker.claim_ids() == []  # it is less than a window ahead
    await scene.advance(1_000)
    await submit(scene, "b1")
    assert await worker.claim_ids() == ["b1"]
    situation = await scene.store.do(Explain(QUEUE, "a3"))
    assert situation is not None
    assert [one.code for one in explained(situation).reasons] == [Code.KEY_RATE]
    await scene.advance(601)
    assert await worker.claim_ids() == ["a3"]


async def test_an_idle_process_is_notified_when_the_rate_of_a_new_task_lets_it_start(scene: Scene):
    await scene.declare(**paced((1, 1_000, 0)))
    worker = await scene.worker()
    await submit(scene, "a1")
    listener = await scene.listen(worker.incarnation)
    assert await worker.claim_ids() == ["a1"]
    await submit(scene, "a2")
    assert await listener.next() == Woken(QUEUE)
    wait_ms = (await scene.store.do(Peek(QUEUE))).wait_ms
    assert wait_ms is not None
    assert 500 < wait_ms <= 1_000  # the Redis store counts from its last answer


async def test_the_rate_of_its_key_is_a_reason_with_an_exact_end(scene: Scene):
    await scene.declare(**paced((1, 1_000, 0)))
    worker = await scene.worker()
    await submit(scene, "a1", "a2", "b1")
    assert [task.id for task in await worker.claim(1)] == ["a1"]
    await scene.advance(400)
    situation = await scene.store.do(Explain(QUEUE, "a2"))
    assert situation is not None
    why = explained(situation)
    (reason,) = [one for one in why.reasons if one.code is Code.KEY_RATE]
    assert reason.until_at == situation.now + 600
    assert "'a', 1 task in 1 s, is used up" in reason.text
    other = await scene.store.do(Explain(QUEUE, "b1"))
    assert other is not None
    assert Code.KEY_RATE not in {one.code for one in explained(other).reasons}


async def test_many_keys_that_wait_for_their_rates_all_start_in_time(scene: Scene):
    await scene.declare(**paced((1, 1_000, 0), max_workers=1_000))
    worker = await scene.worker()
    keys = [chr(0x4E00 + n) for n in range(250)]
    await scene.try_submit(group(*(call(f"{key}{n}", key=key) for n in range(2) for key in keys)))
    first = [task for _ in range(3) for task in await worker.claim(100)]
    assert len(first) == 250
    assert await worker.claim_ids() == []
    await scene.advance(1_000)
    second = [task for _ in range(3) for task in await worker.claim(100)]
    assert len(second) == 250


# --- a key's own limits


async def limit(scene: Scene, key: str, lasts_ms: int = 0, **limits: Any) -> Word:
    own = OwnLimits(**limits) if limits else None
    return await scene.store.do(LimitKey(QUEUE, key, own, lasts_ms))


async def limits(scene: Scene) -> Any:
    found = await scene.store.do(ListKeyLimits(QUEUE))
    return found and found.limits


async def test_limits_of_many_keys_are_listed_in_bounded_pages(scene: Scene):
    await scene.declare(**ONE)
    keys = [f"k{n}" for n in range(700)]
    for key in keys:
        await limit(scene, key, workers=2)
    scan: int | None = 0
    seen, pages = list[str](), 0
    while scan is not None:
        found = await scene.store.do(ListKeyLimits(QUEUE, scan=scan, limit=50))
        assert found is not None
        assert len(found.limits) <= 100
        seen, scan, pages = [*seen, *found.limits], found.after, pages + 1
    assert ({*seen}, pages > 7) == ({*keys}, True)
    for key, known in (("k3", {"k3": OwnLimits(workers=2)}), ("nobody's", {})):
        of_one = await scene.store.do(ListKeyLimits(QUEUE, key))
        assert of_one is not None
        assert of_one.limits == known


async def test_a_key_has_the_limits_that_are_set_for_it_until_they_are_removed(scene: Scene):
    await scene.declare(**ONE)
    worker = await scene.worker()
    await submit(scene, "a1", "a2", "a3", "a4", "b1", "b2")
    assert await limit(scene, "a", workers=3) is Word.DONE
    assert await worker.claim_ids() == ["a1", "b1", "a2", "a3"]
    assert await limits(scene) == {"a": OwnLimits(workers=3)}
    assert await limit(scene, "a") is Word.DONE
    assert await limit(scene, "a") is Word.SAME
    assert await limits(scene) == {}
    assert await worker.claim_ids() == []


async def test_limits_of_a_key_are_in_force_at_once_while_its_tasks_run(scene: Scene):
    await scene.declare(max_workers=20)
    worker = await scene.worker()
    await submit(scene, "a1", "a2", "a3", "a4")
    first, second = await worker.claim(2)
    await limit(scene, "a", workers=1)
    assert await worker.claim_ids() == []
    await worker.succeed(first)
    assert await worker.claim_ids() == []
    await worker.succeed(second)
    assert await worker.claim_ids() == ["a3"]
    await limit(scene, "a", workers=2)
    assert await worker.claim_ids() == ["a4"]


async def test_a_raised_limit_wakes_an_idle_process(scene: Scene):
    await scene.declare(**ONE)
    worker = await scene.worker()
    await submit(scene, "a1", "a2")
    assert await worker.claim_ids() == ["a1"]
    listener = await scene.listen(worker.incarnation)
    await limit(scene, "a", workers=2)
    assert await listener.next() == Woken(QUEUE)
    assert await worker.claim_ids() == ["a2"]


async def test_limits_of_a_key_end_by_themselves_and_a_claim_says_when(scene: Scene):
    await scene.declare(max_workers=20)
    worker = await scene.worker()
    await submit(scene, "a1", "a2", "a3")
    await limit(scene, "a", lasts_ms=5_000, workers=1)
    grant = await worker.ask(want=5)
    assert ([task.id for task in grant.tasks], grant.wait_ms) == (["a1"], 5_000)
    assert set(await limits(scene)) == {"a"}
    await scene.advance(5_000)
    assert await limits(scene) == {}
    assert await worker.claim_ids() == ["a2", "a3"]


async def test_a_rate_of_one_key_replaces_that_of_all(scene: Scene):
    await scene.declare(**paced((1, 5_000, 0)))
    worker = await scene.worker()
    await submit(scene, "a1", "a2", "a3", "b1", "b2", "c1", "c2")
    await limit(scene, "a", rates=((2, 5_000, 0),))
    await limit(scene, "b", rates=())
    assert await worker.claim_ids() == ["a1", "b1", "c1", "a2", "b2"]
    await limit(scene, "a")
    await scene.advance(4_999)
    assert await worker.claim_ids() == []
    await scene.advance(5)
    assert await worker.claim_ids() == ["c2", "a3"]


async def test_a_key_has_a_size_of_its_own(scene: Scene):
    await scene.declare(max_workers=20)
    await limit(scene, "a", size=1)
    assert (await scene.try_submit(group(call("a1", key="a"))))[0].word is Word.DONE
    (refused,) = await scene.try_submit(group(call("a2", key="a")))
    assert (refused.word, refused.task_id) == (Word.KEY_FULL, "a2")
    (refused,) = await scene.try_submit(group(call("b1", key="b"), call("b2", key="b")))
    assert refused.word is Word.DONE


async def test_a_keys_own_limit_is_named_as_the_reason(scene: Scene):
    await scene.declare(max_workers=20)
    worker = await scene.worker()
    await submit(scene, "a1", "a2")
    await limit(scene, "a", workers=1, rates=((1, 10_000, 0),))
    assert await worker.claim_ids() == ["a1"]
    situation = await scene.store.do(Explain(QUEUE, "a2"))
    assert situation is not None
    reasons = {one.code: one for one in explained(situation).reasons}
    assert "as many as its own limit allows" in reasons[Code.KEY_FULL].text
    assert reasons[Code.KEY_RATE].until_at == situation.now + 10_000


async def test_limits_of_keys_survive_a_redeclaration_and_end_with_their_queue(scene: Scene):
    await scene.declare(max_workers=20)
    await limit(scene, "a", workers=1)
    await scene.declare(max_workers=21)
    assert set(await limits(scene)) == {"a"}
    await scene.purge()
    assert await limits(scene) is None
    assert await limit(scene, "a", workers=1) is Word.NO_QUEUE
    await scene.declare(max_workers=20)
    assert await limits(scene) == {}


# --- the status


async def test_the_status_names_the_busiest_and_the_most_delayed_keys(scene: Scene):
    await scene.declare(max_workers=7, max_size=1_000)
    worker = await scene.worker()
    await submit(scene, *(f"{key}{n}" for key in "abcdefgh" for n in range(3)))
    await scene.advance(1_000)
    await submit(scene, "h9", priority=HIGH)
    held = await worker.claim(7)
    assert len(held) == 7
    status = await scene.status()
    assert set(status.busiest_keys.values()) == {1}
    assert len(status.busiest_keys) == len(status.delayed_keys) == 5
    assert set(status.delayed_keys.values()) == {status.now_ms - 1_000}
    for task in held:
        await worker.succeed(task)
    await limit(scene, "b", workers=1)
    assert len(await worker.claim(7)) == 7
    await scene.advance(500)
    await submit(scene, "i1")
    running = (await scene.status()).busiest_keys
    assert sum(running.values()) <= 7


async def test_the_status_names_keys_that_wait_for_their_limits(scene: Scene):
    await scene.declare(**paced((1, 60_000, 0), key_workers=1))
    worker = await scene.worker()
    await submit(scene, "a1", "a2", "b1")
    await scene.advance(3_000)
    await submit(scene, "c1", "d1", delay_ms=500)
    (task, other) = await worker.claim(9)
    assert (await scene.status()).busiest_keys == {"a": 1, "b": 1}
    assert (await scene.status()).delayed_keys == {"a": (await scene.status()).now_ms - 3_000}
    await worker.succeed(task)
    await worker.succeed(other)
    assert (await scene.status()).busiest_keys == {}
    assert set((await scene.status()).delayed_keys) == {"a"}
    await scene.cancel("a2")
    await scene.advance(700)
    status = await scene.status()
    assert status.delayed_keys == {"c": status.now_ms - 200, "d": status.now_ms - 200}


@pytest.mark.parametrize(
    ("key", "options"), [("a", {}), ("", {"start_by_ms": 9_000}), ("a", {"cost": 2})]
)
async def test_a_replay_with_other_arguments_may_have_another_key(
    scene: Scene, key: str, options: dict[str, Any]
):
    await scene.declare(**ONE, breaker_failures=0)
    worker = await scene.worker()
    await scene.submit("t", key=key, **options)
    await worker.fail(await worker.claim_one())
    for new in ("b,=% é", ""):
        await scene.store.do(Replay(QUEUE, "t", None, b"other", new))
        task = await worker.claim_one()
        assert task.call == call("t", key=new, payload=b"other", **options)
        await worker.fail(task)
    await scene.store.do(Replay(QUEUE, "t", None, b"more"))
    task = await worker.claim_one()
    assert task.call == call("t", payload=b"more", **options)


async def test_no_key_overtakes_a_task_without_one_that_the_rate_does_not_afford(scene: Scene):
    await scene.declare(max_workers=20, rates=((2, 10_000, 0),))
    worker = await scene.worker()
    await scene.submit("first")
    assert await worker.claim_ids() == ["first"]
    await scene.submit("costly", cost=2)
    await scene.submit("a1", key="a")
    assert await worker.claim_ids() == []
