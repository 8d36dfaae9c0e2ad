"""Who is notified: as few processes as can do what waits, those first that can run it."""

from __future__ import annotations

import attrs
import hypothesis.strategies as st
from hypothesis import given

from kew.domain import waking
from kew.domain.breaker import Breaker, BreakerState
from kew.domain.config import Settings
from kew.domain.sharing import Starved
from kew.domain.snapshot import Snapshot
from kew.domain.task import TaskStatus, pinned_name
from kew.domain.waking import NO_OFFER, Offer
from tests.support.tasks import LEASE_MS, NOW, call, ended, queue, running, task

LATER = NOW + 500


def waiting(
    *functions: str, ready_at: int = NOW, limit: int = 10, held: int = 0, **state: object
) -> Snapshot:
    """A queue in which a task of each of these functions waits, and `held` others run."""
    tasks = [
        task(f"t{n}", call=call(f"t{n}", function=function), ticket=n, ready_at=ready_at)
        for n, function in enumerate(functions, 1)
    ]
    held_tasks = [running(f"h{n}", lease=f"z.0.1.{n}") for n in range(held)]
    known = {who: frozenset({who[0]}) for who in ("f1", "f2", "f3", "g1", "g2")}
    return queue(
        *tasks,
        *held_tasks,
        settings=Settings(max_workers=limit),
        known=known,
        **state,  # type: ignore[arg-type]
    )


# --- what waits


def test_a_task_is_offered_to_the_longest_idle_process_that_can_run_it() -> None:
    offer = waking.offer_waiting(waiting("f"), ["g1", "f2", "f1"], 1, NOW)
    assert offer == Offer(1, ["f2", "f1"])


def test_each_function_that_waits_is_offered_before_a_second_process_is() -> None:
    offer = waking.offer_waiting(waiting("f", "g"), ["f1", "f2", "g1"], 2, NOW)
    assert offer == Offer(2, ["f1", "g1", "f2"])


def test_a_process_that_waits_for_a_later_task_comes_last() -> None:
    both = waiting("f", "g")
    tasks = {**both.tasks, "t1": both.tasks["t1"].moved(ready_at=LATER)}
    offer = waking.offer_waiting(attrs.evolve(both, tasks=tasks), ["f1", "g1"], 2, NOW)
    assert offer == Offer(1, ["g1", "f1"])


def test_the_claimer_is_not_notified() -> None:
    offer = waking.offer_waiting(waiting("f", "f"), ["f1", "f2"], 2, NOW, claimer="f1")
    assert offer == Offer(2, ["f2"])


def test_no_more_are_woken_than_may_be_granted_a_lease() -> None:
    idle = ["f1", "f2", "f3"]
    assert waking.offer_waiting(waiting("f", "f", "f"), idle, 2, NOW).count == 2
    assert waking.offer_waiting(waiting("f", "f", "f", limit=4, held=3), idle, 3, NOW).count == 1


def test_no_more_are_woken_than_tasks_are_due() -> None:
    assert waking.offer_waiting(waiting("f"), ["f1", "f2"], 5, NOW).count == 1


def test_one_sets_a_timer_if_nothing_is_due() -> None:
    later = waiting("f", "f", ready_at=LATER)
    assert waking.offer_waiting(later, ["f1", "f2"], 2, NOW) == Offer(1, ["f1", "f2"])


def test_none_is_woken_without_work_idle_processes_or_waiting_tasks() -> None:
    assert waking.offer_waiting(waiting("f"), ["f1"], 0, NOW) == NO_OFFER
    assert waking.offer_waiting(waiting("f"), [], 1, NOW) == NO_OFFER
    assert waking.offer_waiting(waiting(), ["f1"], 1, NOW) == NO_OFFER


def test_none_is_woken_while_the_limit_is_reached() -> None:
    assert waking.offer_waiting(waiting("f", limit=1, held=1), ["f1"], 1, NOW) == NO_OFFER


def test_none_is_woken_while_the_queue_is_paused() -> None:
    assert waking.offer_waiting(waiting("f", paused=True), ["f1"], 1, NOW) == NO_OFFER


def test_one_sets_a_timer_for_new_tasks_that_time_alone_lets_start() -> None:
    opened = Breaker(state=BreakerState.OPEN, opened_at=NOW)
    closed_for_now = waiting("f", "f", breaker=opened)
    assert waking.offer_waiting(closed_for_now, ["f1", "f2"], 2, NOW).count == 1
    assert waking.offer_waiting(closed_for_now, ["f1", "f2"], 1, NOW) == NO_OFFER


@given(
    functions=st.lists(st.sampled_from("fgh"), max_size=6),
    idle=st.permutations(["f1", "f2", "g1", "g2"]),
    limit=st.integers(0, 8),
    held=st.integers(0, 4),
)
def test_an_offer_never_exceeds_the_work_and_the_room(
    functions: list[str], idle: list[str], limit: int, held: int
) -> None:
    offer = waking.offer_waiting(waiting(*functions, limit=4, held=held), idle, limit, NOW)
    assert offer.count <= min(limit, len(functions), 4 - held)
    assert all(who[0] in functions for who in offer.processes)
    assert len(set(offer.processes)) == len(offer.processes)


# --- a reason opens


def test_all_that_waits_is_offered_when_a_reason_opens() -> None:
    many = waiting("f", "f", "f", limit=2)
    assert waking.offer_all(many, ["f1", "g1", "f2", "f3"], NOW) == Offer(2, ["f1", "f2", "f3"])
    assert waking.offer_all(waiting(), ["f1"], NOW) == NO_OFFER


# --- the limit is reached


def test_a_process_that_could_help_is_invited_when_the_limit_is_reached() -> None:
    full = waiting("f", limit=1, held=1)
    assert waking.invite(full, ["g1", "f1", "f2"], "f1", NOW) == Offer(1, ["f2"])
    starved = attrs.evolve(full, starved={"f2": Starved(0, NOW)})
    assert waking.invite(starved, ["f1", "f2"], "f1", NOW) == Offer(1, [])


def test_none_is_invited_while_there_is_room() -> None:
    assert waking.invite(waiting("f", limit=2, held=1), ["f2"], "f1", NOW) == NO_OFFER


# --- a task has ended


def test_watchers_are_concerned_by_the_end_of_a_task() -> None:
    assert list(waking.concerned(ended(watchers=("a", "b")))) == ["a", "b"]
    assert list(waking.concerned(running(watchers=("a",), lease_until=NOW + LEASE_MS))) == []


def test_the_owner_of_a_closure_is_concerned_once_if_it_did_not_complete() -> None:
    closure = call(function=pinned_name("p", "f"))
    for status, expected in (
        (TaskStatus.COMPLETED, ["a", "p"]),
        (TaskStatus.FAILED, ["a", "p"]),
        (TaskStatus.CANCELLED, ["a", "p"]),
    ):
        watched = ended(status=status, call=closure, watchers=("a", "p"))
        assert list(waking.concerned(watched)) == expected
    assert list(waking.concerned(ended(call=closure))) == []
    assert list(waking.concerned(ended(status=TaskStatus.FAILED, call=closure))) == ["p"]
