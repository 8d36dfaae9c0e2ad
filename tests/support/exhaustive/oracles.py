"""What must hold of one step, judged by itself: written again from the promises, not from the rules' own code."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from kew.domain import queue as rules
from kew.domain.breaker import BreakerState
from kew.domain.config import Settings
from kew.domain.events import (
    Claimed,
    Event,
    Failed,
    Lost,
    NotStarted,
    Released,
    Replayed,
    Snoozed,
    Succeeded,
)
from kew.domain.invariants import between, violations
from kew.domain.lifecycle import Row, row_of, verify
from kew.domain.queue import Change
from kew.domain.requests import ClaimRequest, Grant
from kew.domain.snapshot import Snapshot
from kew.domain.task import Task, TaskStatus


class Violation(AssertionError):
    """A promise is broken; `path` tells how it came to it."""

    path: tuple[object, ...] = ()


def insist(holds: bool, promise: str, *seen: object) -> None:
    """A promise, in words."""
    if not holds:
        raise Violation(f"{promise}: {', '.join(map(str, seen))}" if seen else promise)


def check(
    before: Snapshot, change: Change, events: Mapping[str, Event], taken: set[Row]
) -> Snapshot:
    """The queue after a change that may do only these events to these tasks."""
    after = before.after(change)
    for faults in (violations(after), between(before, after)):
        insist(not faults, "; ".join(faults))
    for new in change.tasks:
        old, event = before.tasks.get(new.id), events.get(new.id)
        if event is None:
            insist(old is None or new.ticket != old.ticket, f"{new.id} was changed unasked")
        elif old is not None:
            _check_task(old, event, new, after.state.settings)
            taken.add(row_of(old, event, after.state.settings))
    missed = set(events) - {task.id for task in change.tasks}
    insist(not missed, "was to change and didn't", *missed)
    return after


def _check_task(old: Task, event: Event, new: Task, settings: Settings) -> None:
    verify(old, event, new, settings)
    insist(new.attempt == old.attempt + isinstance(event, Claimed), "attempts are counted at claim")
    is_settled = isinstance(event, Succeeded | Failed | Snoozed | Released | NotStarted)
    insist(is_settled or new.settled == old.settled, "what was settled last is remembered")
    if not new.is_waiting or isinstance(event, Replayed):
        return
    lost, failed = isinstance(event, Lost | NotStarted), isinstance(event, Failed)
    insist(new.losses == old.losses + lost, "a loss is counted", new.losses)
    snoozed = isinstance(event, Snoozed)
    insist(new.failures == old.failures + failed, "a failure is counted", new.failures)
    insist(new.snoozes == old.snoozes + snoozed, "a snooze is counted", new.snoozes)
    insist(new.losses <= settings.max_deliveries, "a task that kills its workers ends", new.losses)
    is_later = failed or snoozed
    insist(is_later or new.ready_at == old.ready_at, "a task handed back keeps its place")
    if old.call.at_most_once:
        insist(
            event == Released(False) or isinstance(event, NotStarted | Snoozed),
            "at_most_once, run, and to be run again",
            event,
        )


def check_breaker(before: Snapshot, task: Task, after: Snapshot, now: int) -> None:
    """What a lease of an earlier epoch comes to counts for nothing; time alone may half open the breaker."""
    old, new = before.state.breaker, after.state.breaker
    if task.epoch == old.epoch and old.state is not BreakerState.OPEN:
        return
    is_over = now >= old.opened_at + before.state.settings.breaker_reset_ms
    expected = old.state
    if not before.state.settings.breaker_failures:
        expected = BreakerState.CLOSED
    elif old.state is BreakerState.OPEN and is_over:
        expected = BreakerState.HALF_OPEN
    insist(new.state is expected, "a straggler counts for nothing", old.state, new.state)
    insist(new.failures == old.failures, "a straggler counts for nothing", new.failures)


def status_after(task: Task, event: Event, settings: Settings) -> TaskStatus:
    """Where a settle must take a task."""
    if isinstance(event, Succeeded):
        return TaskStatus.COMPLETED
    if task.cancel_requested:
        return TaskStatus.CANCELLED
    if isinstance(event, Failed):
        return TaskStatus.FAILED if event.retry_after_ms is None else TaskStatus.RETRY
    if isinstance(event, Snoozed):
        return TaskStatus.QUEUED
    if isinstance(event, NotStarted):
        is_last = task.losses >= settings.max_deliveries
        return TaskStatus.FAILED if is_last else TaskStatus.QUEUED
    once = task.call.at_most_once and event == Released(True)
    return TaskStatus.FAILED if once else TaskStatus.QUEUED


def next_tasks(queue: Snapshot, worker: str, want: int, now: int) -> list[str]:
    """Whom a claim must be given, in order."""
    known = queue.known[worker]
    due = [
        (task.call.priority, task.ready_at, task.ticket, task.id)
        for task in queue.tasks.values()
        if task.status in ("queued", "retry")
        and task.ready_at <= now
        and task.call.function in known
    ]
    return [entry[3] for entry in sorted(due)[: min(want, _room(queue, now))]]


def _room(queue: Snapshot, now: int) -> int:
    state, breaker = queue.state, queue.state.breaker
    leases = [task for task in queue.tasks.values() if task.lease]
    is_snoozed = state.gates.get("snoozed", (0, 0))[0] > now
    room = 0 if state.paused or is_snoozed else max(0, state.settings.max_workers - len(leases))
    if breaker.state is BreakerState.CLOSED or not state.settings.breaker_failures:
        return room
    if breaker.state is BreakerState.OPEN:
        is_over = now >= breaker.opened_at + state.settings.breaker_reset_ms
        return min(room, state.settings.breaker_probes if is_over else 0)
    probes = sum(task.epoch == breaker.epoch for task in leases)
    return min(room, max(0, state.settings.breaker_probes - probes))


def check_grant(
    before: Snapshot, after: Snapshot, request: ClaimRequest, grant: Grant, now: int
) -> None:
    """A claim is given who is next, all it may have, under new leases, and is told when to come again."""
    expected = next_tasks(before, request.incarnation, request.want, now)
    given = [task.id for task in grant.tasks]
    insist(given == expected, "a claim gets who is next, and all that it may have", given, expected)
    leases = [task.lease for task in grant.tasks]
    insist(
        leases == [request.lease(n) for n in range(1, len(leases) + 1)], "leases are new", leases
    )
    tokens = [before.state.token, *(task.token for task in grant.tasks)]
    insist(all(x < y for x, y in pairwise(tokens)), "tokens rise", tokens)
    for task in grant.tasks:
        insist(task.lease_until == now + request.lease_ms, "a lease lasts as long as was asked")
        insist(after.tasks[task.id] == task, "what is answered is what is stored")
    if len(given) < request.want:
        _check_wait(after, request, grant.wait_ms, now)


def _check_wait(after: Snapshot, request: ClaimRequest, wait_ms: int | None, now: int) -> None:
    """Time alone brings nothing before the wait is over, and a wait is never nothing: no oversleeping, no busy loop."""
    insist(wait_ms is None or wait_ms > 0, "a claim that got too little waits", wait_ms)
    end = now + (wait_ms if wait_ms is not None else 6)
    for instant in range(now + 1, end):
        then = after.after(rules.recover(after, instant))
        found = next_tasks(then, request.incarnation, 1, instant)
        insist(not found, f"told to wait {wait_ms}, but {found} can be had at {instant - now}")
