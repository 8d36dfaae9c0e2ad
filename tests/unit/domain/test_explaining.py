"""Explaining: every reason that holds a task back, and the instant at which it can start."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from kew.domain.breaker import Breaker, BreakerState
from kew.domain.config import Settings
from kew.domain.explaining import Code, Explanation, Holder, Reason, SlotLimit, Sure
from kew.domain.rate import Log, write_logs
from kew.domain.reasons import explained
from kew.domain.sharing import Starved
from kew.domain.situation import (
    CANDIDATES_AT_MOST,
    COUNTED_AT_MOST,
    HOLDERS_AT_MOST,
    situation_of,
)
from kew.domain.snapshot import Snapshot
from kew.domain.task import Task, TaskStatus
from kew.domain.words import lasting
from tests.support.tasks import LEASE_MS, NOW, call, ended, queue, running, task

LATER = NOW + 42_000
ANY = SlotLimit()
ONE = Settings(max_workers=1)
OPEN = Breaker(state=BreakerState.OPEN, opened_at=NOW, epoch=1)
WITH_BREAKER = Settings(breaker_failures=3, breaker_reset_ms=30_000, breaker_probes=1)


def why(
    of: Snapshot,
    task_id: str = "t",
    *,
    present: Collection[str] = ("a", "b"),
    slots: SlotLimit | None = ANY,
    now: int = NOW,
) -> Explanation:
    announced = {} if slots is None else dict.fromkeys(present, slots)
    situation = situation_of(of, of.tasks[task_id], now, present=tuple(present), slots=announced)
    return explained(situation)


def only(explanation: Explanation) -> Reason:
    (reason,) = explanation.reasons
    return reason


def codes(explanation: Explanation) -> list[str]:
    return [reason.code.value for reason in explanation.reasons]


def of_priority(task_id: str, priority: int, **changes: Any) -> Task:
    return task(task_id, call=call(task_id, priority=priority), **changes)


def held_by(who: str, task_id: str, **changes: Any) -> Task:
    return running(task_id, lease=f"{who}.0.1.1", **changes)


def test_without_a_reason_the_next_claim_takes_it() -> None:
    explanation = why(queue(task()))
    assert explanation == Explanation(
        task_id="t",
        status=TaskStatus.QUEUED,
        now=NOW,
        text="nothing holds it back: the next claim takes it",
        sure=Sure.EXACT,
        earliest_at=NOW,
    )


def test_a_deferred_task_starts_when_it_is_due() -> None:
    explanation = why(queue(task(ready_at=LATER)))
    assert only(explanation).code == "deferred"
    assert only(explanation).until == datetime.fromtimestamp(LATER / 1000, UTC)
    assert (explanation.earliest_at, explanation.sure) == (LATER, "exact")
    assert str(explanation) == (
        "it waits: it is deferred, and due in 42 s (at 1970-01-01 00:17:22 UTC)"
    )


def test_a_retry_names_the_error_of_the_last_attempt() -> None:
    explanation = why(queue(task(status=TaskStatus.RETRY, ready_at=LATER, error="E: no\nmore")))
    assert only(explanation).code == "retrying"
    assert "its last attempt failed (E: no), and the next is due in 42 s" in str(explanation)
    assert (explanation.earliest_at, explanation.sure) == (LATER, "exact")


def test_a_paused_queue_waits_for_a_person() -> None:
    explanation = why(queue(task(ready_at=LATER), paused=True))
    assert codes(explanation) == ["paused", "deferred"]
    assert "until resume_queue()" in str(explanation)
    assert (explanation.earliest, explanation.sure) == (None, "never")


def test_an_open_breaker_lets_the_first_task_through_when_it_reopens() -> None:
    other = task("later", ticket=2)
    explanation = why(queue(task(), other, settings=WITH_BREAKER, breaker=OPEN))
    assert only(explanation).code == "breaker_open"
    assert (explanation.earliest_at, explanation.sure) == (NOW + 30_000, "exact")
    assert "open for another 30 s" in str(explanation)


def test_a_half_open_breaker_waits_for_its_probe() -> None:
    probing = Breaker(state=BreakerState.HALF_OPEN, epoch=2, probes=1)
    probe = held_by("a", "p", epoch=2)
    explanation = why(queue(task(), probe, settings=WITH_BREAKER, breaker=probing))
    assert codes(explanation) == ["breaker_open"]
    assert "half open and waits for the outcome of 1 task" in str(explanation)
    assert (explanation.earliest, explanation.sure) == (None, "unknown")


def test_a_probe_under_an_ended_lease_keeps_no_task_waiting() -> None:
    probing = Breaker(state=BreakerState.HALF_OPEN, epoch=2, probes=1)
    probe = of_priority("p", 3).moved(
        status=TaskStatus.PROCESSING, lease="a.0.1.1", lease_until=NOW, epoch=2
    )
    explanation = why(queue(task(), probe, settings=WITH_BREAKER, breaker=probing))
    assert codes(explanation) == []


def test_full_slots_name_the_tasks_that_hold_them() -> None:
    holder = held_by("web-1-4711-0af3", "busy", started_at=NOW - 5)
    explanation = why(queue(task(ready_at=NOW - 1), holder, settings=ONE))
    assert codes(explanation) == ["slots_full"]
    (found,) = only(explanation).holders
    assert (found.task_id, found.process, found.started_at) == ("busy", "web-1:4711", NOW - 5)
    assert found.started == datetime.fromtimestamp((NOW - 5) / 1000, UTC)
    assert "runs 1 task already, as many as max_workers allows: busy in web-1:4711" in str(
        explanation
    )
    assert (explanation.earliest, explanation.sure) == (None, "unknown")


def test_only_some_holders_are_named() -> None:
    holders = [held_by("a", f"r{n:02}", ticket=n, started_at=NOW - n) for n in range(15)]
    settings = Settings(max_workers=15)
    reason = only(why(queue(task(ticket=99), *holders, settings=settings)))
    assert len(reason.holders) == HOLDERS_AT_MOST
    assert reason.holders[0].task_id == "r14"
    assert "r14 in a, r13 in a, r12 in a and 12 more" in reason.text


def test_a_lease_that_has_ended_holds_no_slot_but_its_task_comes_first() -> None:
    lost = held_by("a", "lost", lease_until=NOW, ready_at=NOW - 9)
    explanation = why(queue(task(ticket=2), lost, settings=ONE))
    assert codes(explanation) == ["behind"]


def test_a_lost_task_that_is_not_due_after_the_clock_was_set_back_does_not_come_first() -> None:
    call_of_lost = call("lost", priority=1)
    lost = held_by("a", "lost", lease_until=NOW, ready_at=LATER, call=call_of_lost)
    explanation = why(queue(task(ticket=2), lost))
    assert (codes(explanation), explanation.sure) == ([], "exact")


def test_starts_that_a_clock_will_reach_again_may_use_up_a_rate_by_then() -> None:
    starts = write_logs([Log(per=1000, last=NOW, starts=((LATER + 500, 1),))])
    of = queue(task(ready_at=LATER), settings=Settings(rates=((1, 1000, 0),)))
    of = attrs.evolve(of, state=attrs.evolve(of.state, gates={"rate": starts}))
    explanation = why(of)
    assert codes(explanation) == ["deferred"]
    assert (explanation.earliest_at, explanation.sure) == (LATER, "estimate")


def test_a_task_is_behind_those_that_come_before_it() -> None:
    before = queue(
        of_priority("high", 1, ticket=5),
        task("early", ticket=1, ready_at=NOW - 1),
        task("t", ticket=2),
        task("late", ticket=3),
        of_priority("deferred", 1, ticket=4, ready_at=LATER),
    )
    explanation = why(before)
    assert only(explanation).code == "behind"
    assert only(explanation).position == 2
    assert str(explanation) == "it waits: 2 tasks of its queue come first"
    assert (explanation.earliest, explanation.sure) == (None, "unknown")


def test_what_no_process_for_this_task_can_run_does_not_come_before_it() -> None:
    other = task("g", call=call("g", function="shop:other", priority=1), ticket=2)
    known = {"a": frozenset({"shop:send"}), "b": frozenset({"shop:other"})}
    assert codes(why(queue(task(), other, known=known))) == []
    known = {"a": frozenset({"shop:send", "shop:other"})}
    assert codes(why(queue(task(), other, known=known))) == ["behind"]


def test_a_deferred_task_is_behind_those_that_will_be_due_before_it() -> None:
    high = of_priority("high", 1, ticket=2, ready_at=LATER)
    explanation = why(queue(task(ready_at=LATER), high))
    assert codes(explanation) == ["deferred", "behind"]
    assert (explanation.earliest_at, explanation.sure) == (LATER, "estimate")


def test_a_task_that_starts_before_may_keep_the_slot() -> None:
    low = of_priority("low", 3, ticket=2)
    explanation = why(queue(task(ready_at=LATER), low))
    assert codes(explanation) == ["deferred"]
    assert (explanation.earliest_at, explanation.sure) == (LATER, "estimate")


def test_a_process_for_other_tasks_may_take_the_slot_first() -> None:
    other = task("g", call=call("g", function="shop:other"), ticket=2)
    known = {"a": frozenset({"shop:send"}), "b": frozenset({"shop:other"})}
    explanation = why(queue(task(), other, known=known))
    assert (codes(explanation), explanation.earliest_at, explanation.sure) == ([], NOW, "estimate")


def test_beyond_a_bound_tasks_are_not_counted() -> None:
    before = [task(f"b{n}", ticket=n) for n in range(COUNTED_AT_MOST + 5)]
    reason = only(why(queue(*before, task(ticket=999))))
    assert reason.text == f"at least {COUNTED_AT_MOST} tasks of its queue come first"
    assert reason.position == COUNTED_AT_MOST


def test_without_a_process_nothing_runs() -> None:
    explanation = why(queue(task()), present=())
    assert only(explanation).code == "no_process"
    assert (explanation.earliest, explanation.sure) == (None, "never")
    assert "create_queue()" in str(explanation)


def test_a_function_that_no_process_registered_is_named() -> None:
    unknown = task(call=call(function="shop:gone"))
    explanation = why(queue(unknown))
    assert only(explanation).code == "function_unknown"
    assert explanation.sure == "never"
    assert "no running process has registered its function shop:gone" in str(explanation)


def test_a_closure_waits_for_its_own_process() -> None:
    pinned = task(call=call(function="@web-1-4711-0af3/f"))
    explanation = why(queue(pinned), present=())
    assert codes(explanation) == ["no_process", "function_unknown"]
    assert "only the process web-1:4711 can run this closure" in str(explanation)
    own = ("web-1-4711-0af3",)
    assert codes(why(queue(pinned), present=own)) == []


def test_a_process_that_holds_more_than_its_share_leaves_the_free_slots() -> None:
    held = [held_by("a", f"r{n}", ticket=n) for n in range(3)]
    before = queue(task(ticket=9), *held, settings=Settings(max_workers=4))
    shared = attrs.evolve(before, starved={"b": Starved(0, NOW)})
    explanation = why(shared)
    assert only(explanation).code == "process_share"
    assert str(explanation).endswith("kept for processes that have less than their share: b")
    assert explanation.sure == "unknown"
    assert codes(why(attrs.evolve(shared, starved={}))) == []


def test_a_starved_process_can_take_the_task_itself() -> None:
    before = queue(task(ticket=9), settings=Settings(max_workers=4))
    shared = attrs.evolve(before, starved={"a": Starved(0, NOW)})
    alone, beside = why(shared, present=("a",)), why(shared, present=("a", "b"))
    assert (codes(alone), alone.sure) == ([], "exact")
    assert (codes(beside), beside.sure) == ([], "estimate")


def test_a_starved_process_may_be_absent_and_come_back_for_its_part() -> None:
    before = queue(task(ticket=9), settings=Settings(max_workers=1))
    shared = attrs.evolve(before, starved={"gone": Starved(0, NOW)})
    explanation = why(shared, present=("a",))
    assert (codes(explanation), explanation.sure) == ([], "estimate")
    assert "when its process's turn comes" in str(explanation)


def test_with_too_many_leases_to_count_the_share_is_unknown() -> None:
    many = [held_by("a", f"r{n}", ticket=n) for n in range(COUNTED_AT_MOST + 1)]
    before = queue(task(ticket=999), *many, settings=Settings(max_workers=1000))
    assert codes(why(attrs.evolve(before, starved={"b": Starved(0, NOW)}))) == ["process_share"]
    assert codes(why(before)) == []


def test_busy_processes_are_named() -> None:
    before = queue(task(ticket=9), held_by("a", "r", ticket=1))
    explanation = why(before, present=("a",), slots=SlotLimit(1))
    assert only(explanation).code == "host_busy"
    assert str(explanation).endswith("(max_workers_per_process, max_concurrency): a runs 1")
    assert explanation.sure == "unknown"
    assert codes(why(before, present=("a",), slots=SlotLimit(2))) == []
    assert codes(why(before, slots=SlotLimit(1))) == []


def test_of_many_processes_only_some_are_looked_at() -> None:
    many = tuple(f"p{n:02}" for n in range(CANDIDATES_AT_MOST + 1))
    known = dict.fromkeys(many, frozenset({"shop:send"}))
    held = [held_by(who, f"r{who}", ticket=n) for n, who in enumerate(many)]
    before = queue(task(ticket=999), *held, settings=Settings(max_workers=999), known=known)
    assert codes(why(before, present=many, slots=SlotLimit(1))) == []
    assert codes(why(before, present=many[:-1], slots=SlotLimit(1))) == ["host_busy"]


@pytest.mark.parametrize("slots", [None, SlotLimit(2, is_shared=True)])
def test_a_process_whose_free_slots_are_unknown_may_have_none(slots: SlotLimit | None) -> None:
    explanation = why(queue(task()), slots=slots)
    assert (codes(explanation), explanation.sure) == ([], "estimate")


def test_a_process_that_shares_its_slots_is_busy_with_the_tasks_of_one_queue_alone() -> None:
    before = queue(task(ticket=9), held_by("a", "r", ticket=1))
    shared = SlotLimit(1, is_shared=True)
    assert codes(why(before, present=("a",), slots=shared)) == ["host_busy"]


def test_all_reasons_are_given_at_once() -> None:
    before = queue(
        of_priority("high", 1, ticket=2),
        task(ready_at=LATER),
        held_by("a", "r", ticket=3),
        settings=attrs.evolve(WITH_BREAKER, max_workers=1),
        breaker=OPEN,
        paused=True,
    )
    explanation = why(before, present=("a",), slots=SlotLimit(1))
    expected = ["paused", "breaker_open", "deferred", "slots_full", "host_busy", "behind"]
    assert codes(explanation) == expected
    assert str(explanation).count("; ") == len(expected) - 1


def test_a_running_task_has_no_reason() -> None:
    explanation = why(queue(held_by("a", "t", started_at=NOW - 12_000, attempt=2)))
    assert (codes(explanation), explanation.sure) == ([], "exact")
    assert explanation.earliest_at == NOW - 12_000
    assert str(explanation) == "attempt 2 has been running for 12 s in a"


def test_a_running_task_that_was_asked_to_stop_is_described_so() -> None:
    assert str(why(queue(held_by("a", "t", cancel_requested=True)))).endswith("asked to stop")


def test_a_silent_worker_is_named() -> None:
    explanation = why(queue(held_by("a", "t")), now=NOW + LEASE_MS)
    assert str(explanation).startswith("its worker in a no longer extends its lease")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (TaskStatus.COMPLETED, "it completed 3 s ago, at 1970-01-01 00:16:40 UTC"),
        (TaskStatus.FAILED, "it failed for good 3 s ago, at 1970-01-01 00:16:40 UTC (E: no)"),
        (TaskStatus.CANCELLED, "it was cancelled 3 s ago"),
    ],
)
def test_an_ended_task_never_runs_again_by_itself(status: TaskStatus, words: str) -> None:
    explanation = why(queue(ended(status=status, error="E: no")), now=NOW + 3000)
    assert only(explanation).code is Code.ENDED
    assert explanation.sure == "never"
    assert words in str(explanation)


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (-5, "0 s"),
        (500, "0.5 s"),
        (42_000, "42 s"),
        (150_000, "2 min"),
        (3 * 3_600_000 + 20 * 60_000, "3 h 20 min"),
        (5 * 86_400_000, "5 days"),
    ],
)
def test_a_duration_is_said_as_people_say_it(ms: int, words: str) -> None:
    assert lasting(ms) == words


def test_an_explanation_carries_neither_payload_nor_result() -> None:
    big = task(call=call(payload=b"x" * 1000))
    situation = situation_of(queue(big), big, NOW, present=("a",), slots={})
    assert situation.task.call.payload == b""


def test_a_holder_as_plain_values_has_its_start_as_text() -> None:
    holder = Holder(task_id="t1", process="web-1:4711", started_at=1_704_067_200_000)
    assert holder.to_dict() == {
        "task_id": "t1",
        "process": "web-1:4711",
        "started": "2024-01-01T00:00:00+00:00",
    }
