"""Proof that the exhaustive search sees: each of these breaks one rule, and is found by the promise it breaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import pytest

from kew.domain import breaker as breakers
from kew.domain import (
    breaker_history,
    commands,
    draining,
    extending,
    ordering,
    snapshot,
    task_commands,
)
from kew.domain import queue as rules
from kew.domain.breaker import Breaker
from kew.domain.config import Settings
from kew.domain.events import CancelRequested, Event, Failed, Lost, Replayed, SettleEvent, Snoozed
from kew.domain.gates import fold
from kew.domain.gates.gate import Facts
from kew.domain.gates.limit import Limit
from kew.domain.gates.snoozed import SnoozedQueue
from kew.domain.holding import Hold
from kew.domain.lifecycle import Effect, Step, step
from kew.domain.queue import NOTHING, Change
from kew.domain.requests import (
    ClaimRequest,
    Grant,
    Group,
    GroupOutcome,
    LeaseRef,
    Settlement,
    SettleOutcome,
    Word,
)
from kew.domain.snapshot import Snapshot
from kew.domain.task import Task, TaskStatus
from kew.domain.view import QueueState, View
from tests.support.exhaustive.bounds import BOUNDS
from tests.support.exhaustive.oracles import Violation
from tests.support.exhaustive.search import Search

pytestmark = pytest.mark.no_cover
THREE, ONE, ORDER = "three tasks, two workers", "one lease at a time", "priorities and deferral"
ONCE, PROBE = "at most once", "a breaker with one probe"
TWO_PROBES = "a breaker with two probes, reset and turned off"
LIFE = "submitted, replayed, paused, expired"
SNOOZES = "snoozes of tasks and of the queue"

Patch = Callable[[pytest.MonkeyPatch], None]
PLANTED: dict[str, tuple[str, str, Patch]] = {}
judged, ended = breakers.judged, fold.ended
claim, settle, submit = rules.claim, rules.settle, rules.submit
extend = extending.extend


def planted(bound: str, promise: str, module: Any, name: str) -> Callable[[Any], Any]:
    """The decorated function takes the place of `module.name`; the search of `bound` must say `promise`."""

    def plant(broken: Any) -> Any:
        PLANTED[broken.__name__] = (bound, promise, lambda m: m.setattr(module, name, broken))
        return broken

    return plant


def planted_step(bound: str, promise: str, module: Any = rules) -> Callable[[Any], Any]:
    return planted(bound, promise, module, "step")


@planted(THREE, "a task is settled by its holder alone", rules, "settle")
def settle_is_not_fenced(view: View, one: Settlement, now: int) -> tuple[Change, SettleOutcome]:
    found = view.find(one.task_id)
    current = found.lease if found and found.lease else one.lease
    return settle(view, attrs.evolve(one, lease=current), now)


@planted(THREE, "a task is settled by its holder alone", rules, "settle")
def a_settle_is_accepted_once_more(
    view: View, one: Settlement, now: int
) -> tuple[Change, SettleOutcome]:
    change, outcome = settle(view, one, now)
    found = view.find(one.task_id)
    return (Change((found,)), outcome) if found and outcome.word is Word.SAME else (change, outcome)


@planted(THREE, "a stray settle is told so", rules, "outcome_word")
def a_repeated_failure_is_told_stale(event: SettleEvent) -> str:
    return "fail" if isinstance(event, Failed) else "else"


@planted(ONE, "at the limit", Limit, "room")
def a_claim_goes_over_the_limit(_gate: Limit, facts: Facts, _left: int) -> int:
    return facts.state.settings.max_workers


@planted(SNOOZES, "a claim gets who is next", SnoozedQueue, "room")
def a_snoozed_queue_goes_on(_gate: SnoozedQueue, _facts: Facts, _left: int) -> int | None:
    return None


@planted(SNOOZES, "told to wait", SnoozedQueue, "opens_at")
def a_snoozed_queue_is_overslept(_gate: SnoozedQueue, _facts: Facts) -> int | None:
    return None


@planted_step(SNOOZES, "a failure is counted")
def a_snooze_is_a_failure(task: Task, event: Event, now: int, settings: Settings) -> Step:
    after, effect = step(task, event, now, settings)
    return after.moved(failures=task.failures + isinstance(event, Snoozed)), effect


@planted(THREE, "recovery takes what has ended", rules, "recover")
def recovery_takes_live_leases(view: View, now: int, limit: int = 9) -> Change:
    lost = [step(t, Lost(), now, view.state.settings)[0] for t in view.overdue(now + 1, limit)]
    return Change(lost) if lost else NOTHING


@planted(PROBE, "probes counted", fold, "ended")
def recovery_forgets_the_probe(
    state: QueueState, effect: Effect | None, epoch: int, now: int
) -> QueueState:
    if effect is not Effect.RETURN_PROBE:
        return ended(state, effect, epoch, now)
    return breaker_history.judged(state, now)


@planted(THREE, "an ended lease is not revived", extending, "extend")
def extend_revives(view: View, ref: LeaseRef, lease_ms: int, now: int) -> tuple[Change, Word]:
    found = view.find(ref.task_id)
    if found is None or found.lease != ref.lease or found.lease_until > now:
        return extend(view, ref, lease_ms, now)
    return Change((found.moved(lease_until=now + lease_ms),)), Word.DONE


@planted(THREE, "a lease is extended by its holder alone", extending, "extend")
def extend_is_not_fenced(view: View, ref: LeaseRef, lease_ms: int, now: int) -> tuple[Change, Word]:
    found = view.find(ref.task_id)
    if found is None or found.lease_until <= now:
        return NOTHING, Word.STALE
    return Change((found.moved(lease_until=now + lease_ms),)), Word.DONE


@planted(THREE, "a repeated claim grants nothing new", rules, "claim")
def a_repeated_claim_grants_anew(
    view: View, request: ClaimRequest, now: int
) -> tuple[Change, Grant]:
    return claim(view, attrs.evolve(request, sequence=view.lane(request.lane_key) + 1), now)


@planted(THREE, "a repeated claim gets its own leases", rules, "_granted_before")
def a_repeated_claim_gets_nothing(view: View, request: ClaimRequest, now: int, last: int) -> Grant:
    return Grant(word=Word.SAME)


@planted(THREE, "CancelRequested: queued -> queued", task_commands, "cancel")
def cancel_answers_and_forgets(
    view: View, task_id: str, ticket: int | None, now: int
) -> tuple[Change, Word]:
    found = view.find(task_id)
    return Change((found,) if found else ()), Word.DONE


@planted_step(THREE, "t0: cancelled with lease", task_commands)
def cancel_takes_a_running_task_from_its_holder(task: Task, event: Event, *rest: Any) -> Step:
    after, effect = step(task, event, *rest)
    lost = isinstance(event, CancelRequested) and bool(task.lease)
    return (after.moved(status=TaskStatus.CANCELLED) if lost else after), effect


@planted_step(THREE, "waiting although a cancel was asked for")
def a_loss_forgets_the_cancel(task: Task, event: Event, *rest: Any) -> Step:
    after, effect = step(task, event, *rest)
    if isinstance(event, Lost) and task.cancel_requested:
        after = task.moved(status=TaskStatus.QUEUED, lease="", lease_until=0)
    return after, effect


@planted_step(THREE, "a loss is counted")
def losses_are_not_counted(task: Task, event: Event, *rest: Any) -> Step:
    after, effect = step(task, event, *rest)
    return (after.moved(losses=0) if isinstance(event, Lost) else after), effect


@planted_step(THREE, "what was settled last is remembered")
def a_loss_forgets_what_was_settled(task: Task, event: Event, *rest: Any) -> Step:
    after, effect = step(task, event, *rest)
    return (after.moved(settled="") if isinstance(event, Lost) else after), effect


@planted_step(ONCE, "at_most_once, lost, and waiting to run again")
def at_most_once_runs_again(task: Task, event: Event, *rest: Any) -> Step:
    if isinstance(event, Lost) and not task.cancel_requested:
        again = task.moved(status=TaskStatus.QUEUED, lease="", lease_until=0)
        return again.moved(losses=task.losses + 1), Effect.RETURN_PROBE
    return step(task, event, *rest)


@planted_step(LIFE, "a replay forgets failures and losses", task_commands)
def a_replay_remembers_its_failures(task: Task, event: Event, *rest: Any) -> Step:
    after, effect = step(task, event, *rest)
    return (after.moved(failures=1) if isinstance(event, Replayed) else after), effect


@planted(ORDER, "a claim gets who is next", Snapshot, "ready")
def a_deferred_head_blocks(
    self: Snapshot, incarnation: str, now: int, limit: int
) -> Sequence[Task]:
    waiting = sorted((t for t in self.tasks.values() if t.is_waiting), key=ordering.order_key)
    head = [t for t in waiting[:limit] if t.ready_at <= now]
    return head if waiting and waiting[0].ready_at <= now else []


@planted(ORDER, "a claim gets who is next", snapshot, "order_key")
def priority_is_ignored(task: Task) -> tuple[int, int]:
    return (task.ready_at, task.ticket)


@planted(ORDER, "told to wait", rules, "_wait_ms")
def an_idle_worker_sleeps_past_what_is_due(
    _view: View,
    facts: Facts,
    _request: ClaimRequest,
    _taken: Sequence[Task],
    _next_in_turn: str | None,
) -> int | None:
    return facts.lease_end - facts.now if facts.lease_end else None


@planted(PROBE, "probes counted", breakers, "granted")
def the_breaker_lets_two_probes_through(breaker: Breaker, leases: int) -> Breaker:
    return breaker


@planted(PROBE, "a straggler counts for nothing", breakers, "failed")
def a_straggler_opens_the_breaker(
    breaker: Breaker, settings: Any, now: int, *, epoch: int
) -> Breaker:
    return Breaker(state=breakers.BreakerState.OPEN, opened_at=now, epoch=breaker.epoch + 1)


@planted(PROBE, "a claim gets who is next", breakers, "judged")
def the_breaker_never_lets_a_probe_through(breaker: Breaker, settings: Any, now: int) -> Breaker:
    return breaker


@planted(TWO_PROBES, "a straggler counts for nothing", breakers, "judged")
def a_probe_of_a_breaker_that_was_turned_off_stays(
    breaker: Breaker, settings: Any, now: int
) -> Breaker:
    return judged(breaker, attrs.evolve(settings, breaker_failures=1), now)


@planted(LIFE, "submitting twice is once", rules, "submit")
def a_repeated_submit_is_a_duplicate(
    view: View, group: Group, now: int
) -> tuple[Change, GroupOutcome]:
    change, outcome = submit(view, group, now)
    return change, GroupOutcome(Word.DUPLICATE) if outcome.word is Word.SAME else outcome


@planted(LIFE, "full is an answer", rules, "submit")
def max_size_is_ignored(view: Snapshot, group: Group, now: int) -> tuple[Change, GroupOutcome]:
    settings = attrs.evolve(view.state.settings, max_size=9)
    roomy = attrs.evolve(view, state=attrs.evolve(view.state, settings=settings))
    change, outcome = submit(roomy, group, now)
    if outcome.word is Word.DONE:
        state = attrs.evolve(view.state, ticket=view.state.ticket + 1)
        change = attrs.evolve(change, state=state)
    return change, outcome


@planted(LIFE, "was never given out", commands, "pause")
def a_pause_forgets_the_tickets(view: View, hold: Hold) -> Change:
    return Change((), attrs.evolve(draining.paused(view.state, hold), ticket=0))


@pytest.mark.parametrize("name", PLANTED)
def test_a_broken_rule_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bound, promise, patch = PLANTED[name]
    patch(monkeypatch)
    with pytest.raises(Violation) as raised:
        Search(BOUNDS[bound]).run()
    assert promise in str(raised.value)
    assert 1 <= len(raised.value.path) <= 12, "the first path found is a shortest one"
