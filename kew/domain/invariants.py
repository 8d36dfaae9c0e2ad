"""What must hold of every queue at every moment: a snapshot in, the violations as sentences out.

These are the promises that a single snapshot can show. `between` has those about two snapshots (a token never falls,
an end is final).
"""

from __future__ import annotations

from collections.abc import Iterator

from kew.domain.breaker import BreakerState
from kew.domain.outcomes import NOT_STARTED, RELEASE, SNOOZES, settled_word
from kew.domain.snapshot import Snapshot
from kew.domain.task import Task, TaskStatus


def violations(queue: Snapshot) -> list[str]:
    """Every rule that this moment breaks; an empty list is a sound queue."""
    found = [
        f"{task.id}: {fault}" for task in queue.tasks.values() for fault in _of_task(queue, task)
    ]
    return found + list(_of_leases(queue)) + list(_of_breaker(queue))


def _of_task(queue: Snapshot, task: Task) -> Iterator[str]:
    running = task.status is TaskStatus.PROCESSING
    if running != bool(task.lease):
        yield f"{task.status.value} with lease {task.lease!r}"
    if task.is_terminal != bool(task.expires_at) or task.is_terminal != bool(task.ended_at):
        yield f"{task.status.value} with ended_at={task.ended_at}, expires_at={task.expires_at}"
    if not 0 < task.ticket <= queue.state.ticket:
        yield f"ticket {task.ticket} was never given out (last: {queue.state.ticket})"
    if task.token > queue.state.token:
        yield f"token {task.token} was never given out (last: {queue.state.token})"
    if task.failures + task.losses + task.snoozes > task.attempt:
        counted = f"{task.failures} failures, {task.losses} losses and {task.snoozes} snoozes"
        yield f"{counted} in {task.attempt} attempts"
    if task.status is TaskStatus.COMPLETED and not task.attempt:
        yield "completed without an attempt"
    if task.is_waiting and task.cancel_requested:
        yield "waiting although a cancel was asked for"
    may_wait = settled_word(task) in (NOT_STARTED, RELEASE, *SNOOZES)
    is_queued = (
        task.status is TaskStatus.QUEUED
    )  # not RETRY: then its last run ended, whatever was lost before
    if task.call.at_most_once and is_queued and task.losses and not may_wait:
        yield "at_most_once, lost, and waiting to run again"


def _of_leases(queue: Snapshot) -> Iterator[str]:
    leases = [task.lease for task in queue.tasks.values() if task.lease]
    if len(leases) != len(set(leases)):
        yield f"two tasks under one lease: {sorted(leases)}"
    tokens = [task.token for task in queue.tasks.values() if task.lease]
    if len(tokens) != len(set(tokens)):
        yield f"two leases with one fencing token: {sorted(tokens)}"
    tickets = [task.ticket for task in queue.tasks.values()]
    if len(tickets) != len(set(tickets)):
        yield "two tasks with one ticket"


def _of_breaker(queue: Snapshot) -> Iterator[str]:
    breaker = queue.state.breaker
    probes = sum(task.epoch == breaker.epoch for task in queue.tasks.values() if task.lease)
    if breaker.state is BreakerState.HALF_OPEN and breaker.probes != probes:
        yield f"{breaker.probes} probes counted, {probes} leases of this epoch"
    if breaker.state is not BreakerState.HALF_OPEN and breaker.probes:
        yield f"{breaker.probes} probes while {breaker.state.value}"


def between(before: Snapshot, after: Snapshot) -> list[str]:
    """What one step may never do, whatever it was."""
    found = [fault for task in before.tasks.values() for fault in _of_change(task, after)]
    grants = _granted(before, after)
    held = after.held()
    if grants and held > after.state.settings.max_workers:
        found.append(f"granted {grants} at the limit: {held} of {after.state.settings.max_workers}")
    if after.state.token < before.state.token or after.state.ticket < before.state.ticket:
        found.append("a counter fell")
    if grants and after.state.breaker.probes > after.state.settings.breaker_probes:
        found.append(f"{after.state.breaker.probes} probes at once")
    return found


def _granted(before: Snapshot, after: Snapshot) -> list[str]:
    return [
        task.id
        for task in after.tasks.values()
        if task.lease and (task.id not in before.tasks or before.tasks[task.id].lease != task.lease)
    ]


def _of_change(old: Task, after: Snapshot) -> Iterator[str]:
    new = after.tasks.get(old.id)
    if new is None or new.ticket != old.ticket:
        if not old.is_terminal:
            yield f"{old.id}: vanished while {old.status.value}"
        return
    if new.attempt < old.attempt or new.token < old.token:
        yield f"{old.id}: attempt or token fell"
    if old.is_terminal and new.status not in (old.status, TaskStatus.QUEUED):
        yield f"{old.id}: {old.status.value} became {new.status.value}"
    if old.status is TaskStatus.COMPLETED and new.status is not TaskStatus.COMPLETED:
        yield f"{old.id}: a success was undone"
