"""Claiming from the pure queue: who is next, under which limits, and how long there will be nothing."""

from __future__ import annotations

import attrs
import pytest

from kew.domain import queue as rules
from kew.domain.breaker import Breaker, BreakerState
from kew.domain.config import Settings
from kew.domain.events import Failed
from kew.domain.invariants import between, violations
from kew.domain.queue import NOTHING
from kew.domain.requests import Grant, Word
from kew.domain.task import Task, TaskStatus
from tests.support.tasks import (
    LEASE_MS,
    NOW,
    call,
    changed,
    queue,
    request,
    running,
    settlement,
    task,
)

LATER = NOW + 500
OPEN = Breaker(state=BreakerState.OPEN, opened_at=NOW, epoch=1)
PROBING = Breaker(state=BreakerState.HALF_OPEN, epoch=2, probes=1)
AGAIN, FINAL = Failed(error="E", retry_after_ms=40), Failed(error="E", retry_after_ms=None)


def ids(grant: Grant) -> list[str]:
    return [one.id for one in grant.tasks]


def test_a_claim_takes_the_next_task_under_a_lease_of_its_own() -> None:
    before = queue(task("t", ticket=2), task("u", ticket=3), token=6)
    change, grant = rules.claim(before, request("a"), LATER)
    assert changed(before, change) == {
        "status": TaskStatus.PROCESSING,
        "attempt": 1,
        "lease": "a.0.1.1",
        "lease_until": LATER + LEASE_MS,
        "token": 7,
        "started_at": LATER,
    }
    assert change.state == attrs.evolve(before.state, token=7, longest_lease_ms=LEASE_MS)
    assert change.lane == ("a.0", 1)
    assert grant == Grant(word=Word.DONE, tasks=tuple(change.tasks), wait_ms=0, functions=1)


def test_a_batch_is_granted_in_order_with_rising_tokens() -> None:
    before = queue(
        task("low", ticket=1).moved(call=call("low", priority=3)),
        task("late", ticket=2, ready_at=NOW - 1),
        task("early", ticket=3, ready_at=NOW - 2),
        task("high", ticket=4).moved(call=call("high", priority=1)),
        task("deferred", ticket=5, ready_at=NOW + 1).moved(call=call("deferred", priority=1)),
    )
    _, grant = rules.claim(before, request(want=9), NOW)
    assert [(one.id, one.lease, one.token) for one in grant.tasks] == [
        ("high", "a.0.1.1", 1),
        ("early", "a.0.1.2", 2),
        ("late", "a.0.1.3", 3),
        ("low", "a.0.1.4", 4),
    ]


@pytest.mark.parametrize(("limit", "want", "granted"), [(1, 5, 0), (2, 5, 1), (3, 5, 2), (9, 2, 2)])
def test_a_claim_never_exceeds_what_is_wanted_or_allowed(
    limit: int, want: int, granted: int
) -> None:
    waiting = [task(f"t{n}", ticket=n) for n in range(2, 6)]
    before = queue(running("r"), *waiting, settings=Settings(max_workers=limit))
    change, grant = rules.claim(before, request("b", want=want), NOW)
    assert len(grant.tasks) == granted
    assert between(before, before.after(change)) == []


def test_a_limit_that_was_lowered_below_what_is_held_grants_nothing() -> None:
    held = [running(f"r{n}", ticket=n, token=n, lease=f"b.0.1.{n}") for n in (1, 2, 3)]
    before = queue(*held, task(ticket=4), settings=Settings(max_workers=1))
    assert rules.claim(before, request(), NOW)[1].tasks == ()


def test_a_claim_of_nothing_is_answered_at_once() -> None:
    change, grant = rules.claim(queue(task()), request(want=0), NOW)
    assert (change.tasks, grant.wait_ms) == ([], 0)


def test_a_paused_queue_grants_nothing() -> None:
    change, grant = rules.claim(queue(task(), paused=True), request(), NOW)
    assert grant == Grant(word=Word.DONE, wait_ms=None, functions=1)
    assert change.lane == ("a.0", 1)


def test_the_edition_of_the_settings_comes_with_every_answer() -> None:
    known = queue(lanes={"a.0": 4}, edition="now")
    for sequence in (3, 4, 5):
        assert rules.claim(known, request(sequence=sequence), NOW)[1].edition == "now"
    assert rules.claim(known, request("b", sequence=2), NOW)[1].edition == "now"


def test_a_repeated_claim_gets_those_of_its_leases_that_are_still_live() -> None:
    leases = {
        "second": ("a.0.4.2", LATER + 1, 12),
        "first": ("a.0.4.1", LATER + 1, 11),
        "ended": ("a.0.4.3", LATER, 13),
        "older": ("a.0.3.1", LATER + 1, 10),
        "longer": ("a.0.41.1", LATER + 1, 14),
        "lane": ("a.1.4.1", LATER + 1, 15),
        "other": ("b.0.4.1", LATER + 1, 16),
    }
    tasks = [
        running(name, ticket=n, lease=lease, lease_until=until, token=token)
        for n, (name, (lease, until, token)) in enumerate(leases.items(), 1)
    ]
    before = queue(*tasks, lanes={"a.0": 4})
    change, grant = rules.claim(before, request(sequence=4, want=9), LATER)
    assert change is NOTHING
    assert (grant.word, ids(grant), grant.wait_ms) == (Word.SAME, ["first", "second"], 0)


def test_a_claim_older_than_the_last_gets_nothing() -> None:
    before = queue(running(lease="a.0.3.1"), task("u", ticket=2), lanes={"a.0": 4})
    answer = rules.claim(before, request(sequence=3), NOW)
    assert answer == (NOTHING, Grant(word=Word.SAME, wait_ms=0))


def test_a_lane_that_the_store_forgot_must_begin_anew() -> None:
    answer = rules.claim(queue(task()), request(sequence=2), NOW)
    assert answer == (NOTHING, Grant(word=Word.NO_LANE))
    assert rules.claim(queue(task()), request(sequence=1), NOW)[1].word is Word.DONE
    assert rules.claim(queue(task(), lanes={"a.0": 1}), request(sequence=2), NOW)[1].tasks


# --- claims and the breaker


def test_an_open_breaker_grants_nothing_and_says_when_it_will() -> None:
    before = queue(task(), breaker=OPEN, settings=Settings(breaker_reset_ms=1000))
    change, grant = rules.claim(before, request(), NOW + 400)
    assert (grant.tasks, grant.wait_ms) == ((), 600)
    assert change.state == attrs.evolve(before.state, longest_lease_ms=LEASE_MS)


def test_a_breaker_in_time_lets_its_probes_through_and_no_more() -> None:
    settings = Settings(breaker_reset_ms=1000, breaker_probes=2)
    before = queue(*[task(f"t{n}", ticket=n) for n in (1, 2, 3)], breaker=OPEN, settings=settings)
    change, grant = rules.claim(before, request(want=3), NOW + 1000)
    assert [one.epoch for one in grant.tasks] == [2, 2]
    assert change.state is not None
    assert change.state.breaker == Breaker(state=BreakerState.HALF_OPEN, epoch=2, probes=2)
    assert grant.wait_ms == LEASE_MS


def test_a_probe_in_flight_is_waited_for() -> None:
    probe = running("p", epoch=2, lease_until=NOW + 70)
    _, grant = rules.claim(queue(probe, task(ticket=2), breaker=PROBING), request("b"), NOW)
    assert (grant.tasks, grant.wait_ms) == ((), 70)


def test_a_lease_remembers_the_epoch_of_its_grant() -> None:
    _, grant = rules.claim(queue(task(), breaker=Breaker(epoch=8)), request(), NOW)
    assert grant.tasks[0].epoch == 8


def test_turning_the_breaker_off_lets_everything_through() -> None:
    stuck = queue(
        *[task(f"t{n}", ticket=n) for n in (1, 2, 3)],
        breaker=PROBING,
        settings=Settings(breaker_failures=0),
    )
    change, grant = rules.claim(stuck, request(want=3), NOW)
    assert len(grant.tasks) == 3
    assert change.state is not None
    assert change.state.breaker == Breaker(epoch=3)


def test_a_probe_that_fails_while_the_breaker_is_turned_off_is_not_counted_for_ever() -> None:
    off = Settings(breaker_failures=0)
    before = queue(running(epoch=2), breaker=PROBING, settings=off)
    after = before.after(rules.settle(before, settlement(AGAIN), NOW)[0])
    assert after.state.breaker == Breaker(epoch=3)
    assert violations(after) == []


# --- how long a claim may wait


@pytest.mark.parametrize(
    ("tasks", "wait_ms"),
    [
        ([], None),
        ([task(ready_at=NOW + 30)], 30),
        ([task(ready_at=NOW + 30), task("u", ticket=2, ready_at=NOW + 20)], 20),
        ([running(lease_until=NOW + 10), task("u", ticket=2, ready_at=NOW + 20)], 10),
        ([running(lease_until=NOW + 40), task("u", ticket=2, ready_at=NOW + 20)], 20),
        ([running(lease_until=NOW - 10)], 0),
        ([task(), task("u", ticket=2, ready_at=NOW + LEASE_MS - 1)], LEASE_MS - 1),
        ([task(), task("u", ticket=2, ready_at=NOW + LEASE_MS + 1)], LEASE_MS),
    ],
)
def test_a_short_claim_says_how_long_time_alone_brings_nothing(
    tasks: list[Task], wait_ms: int | None
) -> None:
    _, grant = rules.claim(queue(*tasks), request(want=5), NOW)
    assert grant.wait_ms == wait_ms


def test_what_becomes_due_matters_only_while_a_lease_is_free() -> None:
    held = running(lease_until=NOW + 70)
    before = queue(held, task("u", ticket=2, ready_at=NOW + 20), settings=Settings(max_workers=1))
    assert rules.claim(before, request(), NOW)[1].wait_ms == 70
    fresh = queue(task(), task("u", ticket=2, ready_at=NOW + 20), settings=Settings(max_workers=1))
    assert rules.claim(fresh, request(want=2), NOW)[1].wait_ms == LEASE_MS


def test_a_claim_that_got_all_it_wanted_needs_no_wait() -> None:
    _, grant = rules.claim(queue(task(), task("u", ticket=2)), request(want=1), NOW)
    assert grant.wait_ms == 0
