"""When two moments of a queue have the same future: written down as one tuple of small numbers.

What the rules only compare is kept as an order (tokens, past ready times, ended leases), what they only test for
equality as a yes or no (is the lease of this epoch, of its lane's last claim), and time as the distance from now. So
numbers that only ever grow do not make two moments different, and the search ends without a bound on claims. What the
rules never read (attempts, snoozes, errors, results, when it began) is left out here and checked on each step instead.
So is who is starved: each step begins with nobody that is, and tests/unit/domain/test_sharing.py has the rest.

`test_canonical_moments_have_the_same_future` holds this against the rules themselves.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from kew.domain.breaker import Breaker, BreakerState
from kew.domain.config import Settings
from kew.domain.outcomes import NOT_STARTED
from kew.domain.snapshot import Snapshot
from kew.domain.task import Submission, Task, TaskStatus
from kew.domain.view import QueueState
from tests.support.exhaustive.bounds import FAR, FUNCTION, T0

Key = tuple[Any, ...]

EPOCH, LAST = 5, 9
SHORT = 100  # a record that expires later than this outlives the search
NOBODY = "x.0.1.1"  # every task remembers one settled lease that no worker holds any more
KNOWN = {"a": frozenset({FUNCTION}), "b": frozenset({FUNCTION})}
PROCESSING = TaskStatus.PROCESSING


def key_of(queue: Snapshot, now: int, *, keeps_ends: bool, is_symmetric: bool = True) -> Key:
    """The moment as a tuple. Symmetric: two workers that swapped their names are the same.

    `keeps_ends`: how a task ended makes a difference, since it may be replayed; else it is only known to have ended.
    """
    tasks = sorted(queue.tasks.values(), key=lambda task: task.ticket)
    live = [task for task in tasks if not task.is_terminal]
    owners = {task.id: owner_of(queue, task.lease) for task in live if task.lease}
    if is_symmetric:
        owners = _renamed(owners)
    held = sorted((t for t in live if t.lease), key=lambda t: _order_of_lease(owners[t.id], t))
    ready = _ranks(task.ready_at for task in live if task.ready_at < now)
    until = _ranks(task.lease_until for task in held if task.lease_until <= now)
    epoch = queue.state.breaker.epoch
    token = {task.id: n for n, task in enumerate(held, 1)}

    def of_task(task: Task) -> Key:
        if task.is_terminal:
            status = task.status if keeps_ends else TaskStatus.COMPLETED
            remains = task.expires_at - now
            return (task.call, status, max(0, remains) if remains < SHORT else FAR)
        place = ready.get(task.ready_at, task.ready_at - now)
        told = (task.call, task.status, task.losses, task.failures, place)
        if task.status is not PROCESSING:
            return told
        return (
            *told,
            task.cancel_requested,
            owners[task.id],
            until.get(task.lease_until, task.lease_until - now),
            task.epoch == epoch,
            token[task.id],
        )

    return (tuple(map(of_task, tasks)), _key_of_state(queue.state, now), len(held))


def queue_of(key: Key) -> Snapshot:
    """The plainest queue with this key, at the instant T0."""
    tasks, state, held = key
    built = [_task(told, n) for n, told in enumerate(tasks, 1)]
    return Snapshot(
        name="q",
        state=_state(state, len(built), held),
        tasks={task.id: task for task in built},
        lanes={"a.0": LAST, "b.0": LAST},
        known=KNOWN,
    )


def _ranks(past: Iterable[int]) -> dict[int, int]:
    """The latest of the past values is -1, the one before it -2, and so on."""
    return {value: -n for n, value in enumerate(sorted(set(past), reverse=True), 1)}


def owner_of(queue: Snapshot, lease: str) -> str:
    """The worker whose last claim brought this lease; z: nobody can ask for it again."""
    who, lane, sequence, _ = lease.split(".")
    return who if queue.lane(f"{who}.{lane}") == int(sequence) else "z"


def _order_of_lease(owner: str, task: Task) -> tuple[str, int]:
    """Tokens are compared among the leases of one claim alone: its answer is in their order."""
    return (owner, task.ticket if owner == "z" else task.token)


def _renamed(owners: dict[str, str]) -> dict[str, str]:
    """Of two workers, the one that holds the first task is called a."""
    if next((who for who in owners.values() if who != "z"), "a") == "a":
        return owners
    return {task_id: {"a": "b", "b": "a", "z": "z"}[who] for task_id, who in owners.items()}


def _key_of_state(state: QueueState, now: int) -> Key:
    breaker = state.breaker
    remains = max(0, breaker.opened_at + state.settings.breaker_reset_ms - now)
    is_open = breaker.state is BreakerState.OPEN
    told = (breaker.state, breaker.failures, remains if is_open else 0, breaker.probes)
    snooze = max(0, state.gates.get("snoozed", (0, 0))[0] - now)
    return (*told, state.paused, snooze, state.settings)


@cache
def _state(told: Key, ticket: int, token: int) -> QueueState:
    word, failures, remains, probes, paused, snooze, settings = told
    assert isinstance(settings, Settings)
    opened_at = T0 - settings.breaker_reset_ms + remains if word is BreakerState.OPEN else 0
    breaker = Breaker(
        state=word,
        failures=failures,
        opened_at=opened_at,
        epoch=EPOCH,
        probes=probes,
    )
    return QueueState(
        settings=settings,
        breaker=breaker,
        ticket=ticket,
        token=token,
        paused=bool(paused),
        gates={"snoozed": (T0 + snooze, snooze)} if snooze else {},
    )


@cache
def _task(told: Key, ticket: int) -> Task:
    call, status, *rest = told
    assert isinstance(call, Submission)
    assert isinstance(status, TaskStatus)
    task = Task(
        call=call,
        queue="q",
        status=status,
        ready_at=T0,
        ticket=ticket,
        queued_at=T0,
        settled=f"{NOBODY}:retry",
        attempt=1,
    )
    if task.is_terminal:
        return task.moved(ended_at=T0, expires_at=T0 + rest[0])
    losses, failures, place, *lease = rest
    attempt = losses + failures + (status is PROCESSING)
    task = task.moved(losses=losses, failures=failures, ready_at=T0 + place, attempt=attempt)
    if call.at_most_once and losses:  # the only loss after which it may wait for another attempt
        task = task.moved(settled=f"{NOBODY}:{NOT_STARTED}")
    return _under_lease(task, *lease) if lease else task


def _under_lease(task: Task, *lease: Any) -> Task:
    stopping, who, until, is_current, token = lease
    sequence = 1 if who == "z" else LAST
    return task.moved(
        cancel_requested=stopping,
        lease=f"{who}.0.{sequence}.{token}",
        lease_until=T0 + until,
        epoch=EPOCH if is_current else EPOCH - 1,
        token=token,
    )
