"""The gates, each alone, and all of them as one."""

from __future__ import annotations

from typing import Any

import pytest

from kew.domain.breaker import Breaker, BreakerState
from kew.domain.config import MOST_WORKERS, Settings
from kew.domain.events import Snoozed
from kew.domain.explaining import Situation
from kew.domain.gates import GATES, fold, functions
from kew.domain.gates.breaker import CircuitBreaker
from kew.domain.gates.functions import Functions
from kew.domain.gates.gate import Facts, Gate
from kew.domain.gates.limit import Limit
from kew.domain.gates.paused import Paused
from kew.domain.gates.sharing import Sharing
from kew.domain.lifecycle import Effect
from kew.domain.sharing import Starved
from kew.domain.task import pinned_name
from kew.domain.view import QueueState
from tests.support.tasks import NOW, request, task

OPEN = Breaker(state=BreakerState.OPEN, opened_at=NOW - 1_000, epoch=1)
HALF_OPEN = Breaker(state=BreakerState.HALF_OPEN, epoch=2, probes=1)
CLAIM = request("a", want=5, holds=1)


def state(*, paused: bool = False, breaker: Breaker | None = None, **settings: Any) -> QueueState:
    return QueueState(settings=Settings(**settings), paused=paused, breaker=breaker or Breaker())


def facts(known: QueueState | None = None, **more: Any) -> Facts:
    return Facts(**{"state": known or state(), "now": NOW, "held": 0, **more})


class Plain(Gate):
    """A gate that defines nothing but its name."""

    name = "plain"


def test_what_a_gate_does_not_define_has_no_effect() -> None:
    gate, known, asked = Plain(), state(), facts()
    with pytest.raises(NotImplementedError):
        gate.is_used(known)
    assert gate.judged(known, NOW) is known
    assert gate.room(asked, 3) is None
    assert gate.next_in_turn(asked, 3) is None
    assert gate.opens_at(asked) is None
    assert gate.parks("a", ("f",), "f") is None
    assert gate.affords(asked, [task()]) is None
    assert gate.granted(known, [task()], NOW) is known
    assert gate.ended(known, None, 0, NOW) is known
    snooze = Snoozed(error="S", after_ms=5, scope="queue")
    assert gate.snoozed(known, task(), snooze, NOW) is known
    assert gate.resumed(known) is known
    situation = Situation(now=NOW, horizon=NOW, task=task(), state=known, held=0)
    assert gate.explain(situation, 1) is None


def test_gates_have_names_of_their_own() -> None:
    names = [gate.name for gate in GATES]
    assert len(set(names)) == len(names)


def test_a_paused_queue_has_no_room_and_time_does_not_change_that() -> None:
    gate = Paused()
    assert not gate.is_used(state())
    assert gate.is_used(state(paused=True))
    assert gate.room(facts(state(paused=True)), 9) == 0
    assert fold.opens_at(facts(state(paused=True))) is None


@pytest.mark.parametrize(("held", "room"), [(0, 4), (3, 1), (4, 0), (7, 0)])
def test_the_limit_leaves_what_is_not_held(held: int, room: int) -> None:
    full = facts(state(max_workers=4), held=held, lease_end=NOW + 7)
    assert Limit().room(full, 99) == room
    assert Limit().opens_at(full) == NOW + 7
    assert Limit().is_used(full.state)


@pytest.mark.parametrize(
    ("breaker", "failures", "is_used"),
    [
        (Breaker(), 3, True),
        (Breaker(), 0, False),
        (OPEN, 0, True),
        (Breaker(failures=1), 0, True),
    ],
)
def test_a_breaker_is_used_until_it_is_off_and_forgotten(
    breaker: Breaker, failures: int, is_used: bool
) -> None:
    assert CircuitBreaker().is_used(state(breaker=breaker, breaker_failures=failures)) is is_used


def test_an_open_breaker_has_no_room_until_its_reset() -> None:
    known = state(breaker=OPEN, breaker_reset_ms=5_000)
    assert CircuitBreaker().room(facts(known), 9) == 0
    assert CircuitBreaker().opens_at(facts(known)) == NOW + 4_000
    assert CircuitBreaker().judged(known, NOW) is known
    later = CircuitBreaker().judged(known, NOW + 4_000)
    assert later.breaker.state is BreakerState.HALF_OPEN
    assert CircuitBreaker().opens_at(facts(later)) is None


def test_a_half_open_breaker_counts_probes() -> None:
    known = state(breaker=HALF_OPEN, breaker_probes=3)
    assert CircuitBreaker().room(facts(known), 9) == 2
    assert CircuitBreaker().granted(known, [task()] * 2, NOW).breaker.probes == 3
    assert CircuitBreaker().ended(known, Effect.RETURN_PROBE, 2, NOW).breaker.probes == 0
    assert CircuitBreaker().ended(known, None, 2, NOW) is known
    closed = CircuitBreaker().ended(known, Effect.COUNT_SUCCESS, 2, NOW)
    assert closed.breaker.state is BreakerState.CLOSED
    failed = CircuitBreaker().ended(known, Effect.COUNT_FAILURE, 2, NOW)
    assert failed.breaker.state is BreakerState.OPEN


def test_sharing_leaves_starved_processes_their_part() -> None:
    starved = {"b": Starved(0, NOW - 900)}
    gate = Sharing()
    assert gate.is_used(state())
    assert gate.room(facts(request=CLAIM), 5) is None
    assert gate.room(facts(starved=starved), 5) is None
    assert gate.room(facts(starved=starved, request=CLAIM), 5) == 2
    assert gate.next_in_turn(facts(starved=starved, request=CLAIM), 5) == "b"
    assert gate.next_in_turn(facts(request=CLAIM), 5) is None


def test_a_task_is_parked_if_this_process_does_not_know_its_function() -> None:
    gate, closure = Functions(), pinned_name("b", "1:closure")
    assert gate.is_used(state())
    assert gate.parks("a", {"shop:send"}, "shop:send") is None
    assert gate.parks("a", (), "shop:send") == "f:shop:send"
    assert gate.parks("a", (), closure) == "f:@b"
    assert gate.parks("b", (), closure) is None


def test_a_parking_reason_opens_to_a_process_that_can_run_the_task() -> None:
    assert functions.opens("f:shop:send", "a", {"shop:send"})
    assert not functions.opens("f:shop:send", "a", ())
    assert functions.opens("f:@a", "a", ())
    assert not functions.opens("f:@b", "a", ())
    assert not functions.opens("k:acme", "a", {"k:acme"})
    assert functions.owner_of("f:@b") == "b"
    assert functions.owner_of("f:shop:send") == ""


# --- all of them


def test_the_least_room_counts() -> None:
    known = state(breaker=HALF_OPEN, breaker_probes=3, max_workers=9)
    assert fold.room(facts(known)) == 2
    assert fold.room(facts(known, held=8)) == 1
    assert fold.room(facts(state(paused=True))) == 0


def test_sharing_divides_what_the_others_leave() -> None:
    asked = facts(state(max_workers=6), held=1, starved={"b": Starved(0, NOW)}, request=CLAIM)
    assert fold.room_and_next(asked) == (2, "b")
    alone = facts(state(max_workers=6), held=1, request=CLAIM)
    assert fold.room_and_next(alone) == (5, None)


def test_the_earliest_opening_counts() -> None:
    known = state(breaker=OPEN, breaker_reset_ms=5_000)
    assert fold.opens_at(facts(known)) == NOW + 4_000
    assert fold.opens_at(facts(known, held=1, lease_end=NOW + 9)) == NOW + 9
    assert fold.opens_at(facts()) is None


def test_every_closed_gate_has_to_open() -> None:
    known = state(breaker=OPEN, breaker_reset_ms=5_000, max_workers=1)
    assert fold.opening(facts()) == NOW
    assert fold.opening(facts(known)) == NOW + 4_000
    assert fold.opening(facts(known, held=1, lease_end=NOW + 9_000)) == NOW + 9_000
    assert fold.opening(facts(known, held=1)) is None
    assert fold.opening(facts(state(paused=True))) is None


def test_the_first_reason_parks() -> None:
    assert fold.parks(state(), "a", (), "shop:send") == "f:shop:send"
    assert fold.parks(state(), "a", {"shop:send"}, "shop:send") is None


def test_a_grant_and_an_end_pass_every_gate_that_is_used() -> None:
    known = state(breaker=HALF_OPEN, breaker_probes=3)
    assert fold.granted(known, [], NOW) is known
    assert fold.granted(known, [task()], NOW).breaker.probes == 2
    assert fold.ended(known, Effect.RETURN_PROBE, 2, NOW).breaker.probes == 0
    off = state(breaker_failures=0)
    assert fold.granted(off, [task()], NOW) is off
    assert fold.ended(off, Effect.COUNT_FAILURE, 0, NOW) is off
    assert fold.judged(off, NOW) is off


def test_without_gates_nothing_is_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold, "GATES", ())
    assert fold.room(facts(state(paused=True))) == MOST_WORKERS


def test_without_a_rate_all_tasks_that_start_together_are_affordable() -> None:
    assert fold.affordable(facts(), [task("t1"), task("t2")]) == 2
