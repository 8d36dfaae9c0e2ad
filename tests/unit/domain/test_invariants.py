"""Each invariant sees exactly what it is there for, and says it in a sentence."""

from __future__ import annotations

import pytest

from kew.domain.breaker import Breaker, BreakerState
from kew.domain.config import Settings
from kew.domain.invariants import between, violations
from kew.domain.snapshot import Snapshot
from kew.domain.task import TaskStatus
from tests.support.tasks import LEASE, ended, queue, running, task

HALF_OPEN = BreakerState.HALF_OPEN
second = running("u", lease="b.0.1.1", token=2, ticket=2)

SOUND: dict[str, Snapshot] = {
    "retried after a failed start, at_most_once": queue(
        task(status=TaskStatus.RETRY, at_most_once=True, attempt=2, failures=1, losses=1)
    ),
    "nothing at all": queue(),
    "a task in each status": queue(
        task("a", ticket=1),
        running("b", ticket=2, token=1),
        ended("c", ticket=3, token=2),
        ended("d", TaskStatus.FAILED, ticket=4, attempt=2, failures=1, losses=1),
        task("e", status=TaskStatus.RETRY, ticket=5, attempt=1, failures=1),
        ended("f", TaskStatus.CANCELLED, ticket=6, attempt=0, cancel_requested=True),
    ),
    "two leases": queue(running(), second),
    "a lease that ended": queue(running(lease_until=1)),
    "a run that is told to stop": queue(running(cancel_requested=True)),
    "at_most_once, and lost": queue(ended("t", TaskStatus.FAILED, at_most_once=True)),
    "at_most_once, and waiting": queue(task(at_most_once=True)),
    "lost, and waiting": queue(task(losses=1, attempt=1)),
    "over the limit, since it was lowered": queue(
        running(), second, settings=Settings(max_workers=1)
    ),
    "a probe": queue(
        running(epoch=2),
        second.moved(epoch=1),
        breaker=Breaker(state=HALF_OPEN, epoch=2, probes=1),
    ),
    "ended tasks that had one token": queue(ended("a", ticket=1), ended("b", ticket=2)),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_queue_has_no_violations(name: str) -> None:
    assert violations(SOUND[name]) == []
    assert between(SOUND[name], SOUND[name]) == []


BROKEN: dict[str, tuple[Snapshot, list[str]]] = {
    "running without a lease": (queue(running(lease="")), ["t: processing with lease ''"]),
    "waiting with a lease": (queue(task(lease=LEASE)), [f"t: queued with lease '{LEASE}'"]),
    "ended, and kept for ever": (
        queue(ended(expires_at=0)),
        ["t: completed with ended_at=1000000, expires_at=0"],
    ),
    "ended at no time": (
        queue(ended(ended_at=0, expires_at=7)),
        ["t: completed with ended_at=0, expires_at=7"],
    ),
    "waiting, and to expire": (
        queue(task(expires_at=7)),
        ["t: queued with ended_at=0, expires_at=7"],
    ),
    "a ticket of nobody": (
        queue(task(ticket=3), ticket=2),
        ["t: ticket 3 was never given out (last: 2)"],
    ),
    "no ticket": (queue(task(ticket=0)), ["t: ticket 0 was never given out (last: 0)"]),
    "a token of nobody": (
        queue(running(token=3), token=2),
        ["t: token 3 was never given out (last: 2)"],
    ),
    "more ends than beginnings": (
        queue(task(attempt=2, failures=2, losses=1)),
        ["t: 2 failures, 1 losses and 0 snoozes in 2 attempts"],
    ),
    "a success of nobody": (queue(ended(attempt=0)), ["t: completed without an attempt"]),
    "a cancel forgotten": (
        queue(task(cancel_requested=True)),
        ["t: waiting although a cancel was asked for"],
    ),
    "a cancel forgotten in a retry": (
        queue(task(status=TaskStatus.RETRY, cancel_requested=True)),
        ["t: waiting although a cancel was asked for"],
    ),
    "at_most_once, and again": (
        queue(task(at_most_once=True, losses=1, attempt=1)),
        ["t: at_most_once, lost, and waiting to run again"],
    ),
    "one lease for two": (
        queue(running(), second.moved(lease=LEASE)),
        [f"two tasks under one lease: ['{LEASE}', '{LEASE}']"],
    ),
    "one token for two": (
        queue(running(), second.moved(token=1)),
        ["two leases with one fencing token: [1, 1]"],
    ),
    "one ticket for two": (queue(task("a"), task("b")), ["two tasks with one ticket"]),
    "a probe that nobody holds": (
        queue(breaker=Breaker(state=HALF_OPEN, epoch=2, probes=1)),
        ["1 probes counted, 0 leases of this epoch"],
    ),
    "a probe that nobody counted": (
        queue(running(epoch=2), breaker=Breaker(state=HALF_OPEN, epoch=2)),
        ["0 probes counted, 1 leases of this epoch"],
    ),
    "a probe of a closed breaker": (queue(breaker=Breaker(probes=1)), ["1 probes while closed"]),
    "a probe of an open breaker": (
        queue(breaker=Breaker(state=BreakerState.OPEN, probes=2)),
        ["2 probes while open"],
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_queue_is_described(name: str) -> None:
    broken, sentences = BROKEN[name]
    assert violations(broken) == sentences


def test_every_violation_of_a_queue_is_told() -> None:
    broken = queue(running("a", lease=""), task("b", lease=LEASE), breaker=Breaker(probes=1))
    assert len(violations(broken)) == 4


one_worker = Settings(max_workers=1)
dead = ended(status=TaskStatus.FAILED)
STEPS: dict[str, tuple[Snapshot, Snapshot, list[str]]] = {
    "a record that vanished": (queue(task()), queue(ticket=1), ["t: vanished while queued"]),
    "a record that was replaced while it ran": (
        queue(running()),
        queue(running(ticket=2)),
        ["t: vanished while processing"],
    ),
    "an ended record may go": (queue(ended()), queue(ticket=1, token=1), []),
    "an id may be used again after its end": (queue(ended()), queue(task(ticket=2), token=1), []),
    "an attempt that was undone": (
        queue(task(attempt=2)),
        queue(task(attempt=1)),
        ["t: attempt or token fell"],
    ),
    "a token that fell": (
        queue(task(token=2)),
        queue(task(token=1), token=2),
        ["t: attempt or token fell"],
    ),
    "an end that became another": (
        queue(dead),
        queue(ended()),
        ["t: failed became completed"],
    ),
    "an end that runs again unasked": (
        queue(dead, token=2),
        queue(running(token=2)),
        ["t: failed became processing"],
    ),
    "a dead letter may be put back": (queue(dead), queue(task(attempt=1, token=1)), []),
    "a success may not": (
        queue(ended()),
        queue(task(attempt=1, token=1)),
        ["t: a success was undone"],
    ),
    "a grant beyond the limit": (
        queue(running(), task("u", ticket=2), settings=one_worker),
        queue(running(), second, settings=one_worker),
        ["granted ['u'] at the limit: 2 of 1"],
    ),
    "a grant of a new task beyond the limit": (
        queue(running(), settings=one_worker),
        queue(running(), second, settings=one_worker),
        ["granted ['u'] at the limit: 2 of 1"],
    ),
    "a grant up to the limit": (
        queue(task(), settings=one_worker),
        queue(running(), settings=one_worker),
        [],
    ),
    "a lease that goes on while the limit falls": (
        queue(running(), second),
        queue(running(), second, settings=one_worker),
        [],
    ),
    "a token counter that fell": (queue(token=2), queue(token=1), ["a counter fell"]),
    "a ticket counter that fell": (queue(ticket=2), queue(ticket=1), ["a counter fell"]),
    "a probe too many": (
        queue(
            running(epoch=1),
            task("u", ticket=2),
            breaker=Breaker(state=HALF_OPEN, epoch=1, probes=1),
        ),
        queue(
            running(epoch=1),
            second.moved(epoch=1),
            breaker=Breaker(state=HALF_OPEN, epoch=1, probes=2),
        ),
        ["2 probes at once"],
    ),
    "probes up to their number": (
        queue(task(), breaker=Breaker(state=HALF_OPEN, epoch=1)),
        queue(running(epoch=1), breaker=Breaker(state=HALF_OPEN, epoch=1, probes=1)),
        [],
    ),
    "probes in flight while their number falls": (
        queue(breaker=Breaker(state=HALF_OPEN, probes=2), settings=Settings(breaker_probes=2)),
        queue(breaker=Breaker(state=HALF_OPEN, probes=2)),
        [],
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_what_one_step_may_and_may_not_do(name: str) -> None:
    before, after, sentences = STEPS[name]
    assert between(before, after) == sentences
