"""Tasks, queues and requests for tests of the rules: what a test doesn't name is plain and valid."""

from __future__ import annotations

from typing import Any

import attrs

from kew.domain.breaker import Breaker
from kew.domain.config import Settings
from kew.domain.events import SettleEvent
from kew.domain.queue import Change
from kew.domain.requests import ClaimRequest, Group, LeaseRef, Settlement
from kew.domain.snapshot import Snapshot
from kew.domain.task import Found, Submission, Task, TaskStatus, Unreadable
from kew.domain.view import QueueState

NOW = 1_000_000
LEASE = "a.0.1.1"
LEASE_MS = 15_000


def readable(found: Found) -> Task | None:
    """A store's answer for an id whose record can be read, or is absent."""
    assert not isinstance(found, Unreadable), found
    return found


def call(task_id: str = "t", **changes: Any) -> Submission:
    plain = {
        "nonce": "n",
        "task_type": "mail",
        "function": "shop:send",
        "payload": b"",
        "priority": 2,
    }
    return Submission(id=task_id, **{**plain, **changes})


def task(task_id: str = "t", *, at_most_once: bool = False, **changes: Any) -> Task:
    """A QUEUED task, or one changed to be anything else."""
    plain: dict[str, Any] = {
        "call": call(task_id, at_most_once=at_most_once),
        "queue": "q",
        "status": TaskStatus.QUEUED,
        "ready_at": NOW,
        "ticket": 1,
        "queued_at": NOW,
    }
    return Task(**{**plain, **changes})


def running(task_id: str = "t", **changes: Any) -> Task:
    """A PROCESSING task under `LEASE`."""
    plain: dict[str, Any] = {
        "status": TaskStatus.PROCESSING,
        "attempt": 1,
        "lease": LEASE,
        "lease_until": NOW + LEASE_MS,
        "token": 1,
        "started_at": NOW,
    }
    return task(task_id, **{**plain, **changes})


def ended(task_id: str = "t", status: TaskStatus = TaskStatus.COMPLETED, **changes: Any) -> Task:
    """A task that ended just now."""
    plain: dict[str, Any] = {
        "status": status,
        "attempt": 1,
        "token": 1,
        "ended_at": NOW,
        "expires_at": NOW + 86_400_000,
    }
    return task(task_id, **{**plain, **changes})


def queue(
    *tasks: Task,
    settings: Settings | None = None,
    breaker: Breaker | None = None,
    lanes: dict[str, int] | None = None,
    known: dict[str, frozenset[str]] | None = None,
    **state: Any,
) -> Snapshot:
    """A queue that holds these tasks; the incarnations a and b can run what they call."""
    counters = {
        "ticket": max((t.ticket for t in tasks), default=0),
        "token": max((t.token for t in tasks), default=0),
    }
    functions = frozenset({"shop:send"})
    return Snapshot(
        name="q",
        state=QueueState(
            settings=settings or Settings(), breaker=breaker or Breaker(), **{**counters, **state}
        ),
        tasks={t.id: t for t in tasks},
        lanes=lanes or {},
        known={"a": functions, "b": functions} if known is None else known,
    )


def group(*calls: Submission) -> Group:
    return Group(submissions=calls)


def request(worker: str = "a", sequence: int = 1, want: int = 1, **changes: Any) -> ClaimRequest:
    plain = {"incarnation": worker, "lane": 0, "lease_ms": LEASE_MS}
    return ClaimRequest(sequence=sequence, want=want, **{**plain, **changes})


def settlement(event: SettleEvent, task_id: str = "t", lease: str = LEASE) -> Settlement:
    return Settlement(task_id=task_id, lease=lease, event=event)


def lease_ref(task_id: str = "t", lease: str = LEASE) -> LeaseRef:
    return LeaseRef(task_id, lease)


def changed(before: Snapshot, change: Change) -> dict[str, Any]:
    """What a change of one task writes that was different before: field by field."""
    (after,) = change.tasks
    return differences(before.tasks[after.id], after)


def differences(before: Task, after: Task) -> dict[str, Any]:
    """The fields in which two tasks differ, with the later one's values."""
    names = [field.name for field in attrs.fields(Task)]
    return {n: getattr(after, n) for n in names if getattr(after, n) != getattr(before, n)}
