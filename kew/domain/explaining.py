"""Why a task isn't running: the situation at one instant, the reasons, and the explanation made of them.

A store reads the `Situation` in one atomic step. `kew.domain.reasons` makes the explanation.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

from kew.domain.key_limits import DECLARED, OwnLimits
from kew.domain.sharing import Starved
from kew.domain.task import Task, TaskStatus
from kew.domain.view import QueueState


class Code(enum.StrEnum):
    """Why a task isn't running. The values are part of the public interface."""

    NO_PROCESS = "no_process"
    FUNCTION_UNKNOWN = "function_unknown"
    PAUSED = "paused"
    QUEUE_SNOOZED = "queue_snoozed"
    DRAINING = "draining"
    BREAKER_OPEN = "breaker_open"
    RATE = "rate"
    DEFERRED = "deferred"
    RETRYING = "retrying"
    SNOOZED = "snoozed"
    SLOTS_FULL = "slots_full"
    KEY_FULL = "key_full"
    KEY_RATE = "key_rate"
    KEY_SNOOZED = "key_snoozed"
    PROCESS_SHARE = "process_share"
    HOST_BUSY = "host_busy"
    BEHIND = "behind"
    EXPIRED = "expired"
    ENDED = "ended"


class Sure(enum.StrEnum):
    """What is known of the instant at which a task can start."""

    EXACT = "exact"  # it starts then, if nothing else happens
    ESTIMATE = "estimate"  # not before, perhaps later
    NEVER = "never"  # not unless a person or another process acts
    UNKNOWN = "unknown"  # as soon as something happens whose time is not known


@attrs.frozen(kw_only=True)
class Holder:
    """A running task that holds a slot; `process` is where it runs ("host:pid")."""

    task_id: str
    process: str
    started_at: int

    @property
    def started(self) -> datetime | None:
        """When its attempt began."""
        return moment(self.started_at)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the time as ISO 8601 text."""
        return {
            "task_id": self.task_id,
            "process": self.process,
            "started": _iso(self.started_at),
        }


@attrs.frozen(kw_only=True)
class Reason:
    """One reason why a task isn't running.

    `until_at`: when time alone ends it (ms); None: it has no known end. `sure`: EXACT if it ends at that instant,
    ESTIMATE if not before, NEVER if it lasts until a person or another process acts. `position`: how many tasks come
    first.
    """

    code: Code
    text: str
    sure: Sure = Sure.UNKNOWN
    until_at: int | None = None
    holders: tuple[Holder, ...] = ()
    position: int | None = None

    @property
    def until(self) -> datetime | None:
        """When time alone ends it."""
        return moment(self.until_at)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the time as ISO 8601 text."""
        return {
            "code": self.code.value,
            "text": self.text,
            "sure": self.sure.value,
            "until": _iso(self.until_at),
            "holders": [holder.to_dict() for holder in self.holders],
            "position": self.position,
        }


@attrs.frozen(kw_only=True)
class Explanation:
    """Why a task isn't running, at the store's instant `now`; `str()` is a sentence for people.

    Without a reason, a waiting task is taken by the next claim of a process that has a free slot for it.
    """

    task_id: str
    status: TaskStatus
    now: int
    text: str
    reasons: tuple[Reason, ...] = ()
    sure: Sure
    earliest_at: int | None = None

    @property
    def earliest(self) -> datetime | None:
        """The earliest instant at which it can start, or did; None: none is known."""
        return moment(self.earliest_at)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, times as ISO 8601 text."""
        return {
            "task_id": self.task_id,
            "status": self.status.value,
            "now": _iso(self.now),
            "text": self.text,
            "reasons": [reason.to_dict() for reason in self.reasons],
            "sure": self.sure.value,
            "earliest": _iso(self.earliest_at),
        }

    def __str__(self) -> str:
        return self.text


def moment(instant: int | None) -> datetime | None:
    """An instant of the store (ms) as an aware datetime."""
    return None if instant is None else datetime.fromtimestamp(instant / 1000, UTC)


def _iso(instant: int | None) -> str | None:
    at = moment(instant)
    return None if at is None else at.isoformat()


# --- what it is made of


@attrs.frozen
class SlotLimit:
    """How many tasks of a queue a process runs at once: `most`, or as many as `max_workers` (0).

    `is_shared`: fewer, while it runs tasks of other queues (`max_concurrency`).
    """

    most: int = 0
    is_shared: bool = False


@attrs.frozen(kw_only=True)
class Candidate:
    """A present process that can run the task. `holds`: its leases in this queue; None: too many to count.

    `slots` None: it has not announced them, as earlier versions don't.
    """

    incarnation: str
    holds: int | None
    slots: SlotLimit | None = None

    @property
    def has_room(self) -> bool | None:
        """Whether it has a free slot, as far as its own limits go; None: the store doesn't know."""
        if self.slots is None or self.holds is None:
            return None
        if 0 < self.slots.most <= self.holds:
            return False
        return None if self.slots.is_shared else True


@attrs.frozen(kw_only=True)
class Situation:
    """What bears on one task at the store's instant `now`.

    `task` has no payload. `state`: the breaker is judged, and without the probes of ended leases. `held` counts the
    leases without those that have ended, which the next claim takes back; `holders` are some of them. `ahead` counts
    waiting tasks that come first and that a process which can run this one can run, too; if `is_counted` is False,
    there may be more. `due` counts the other tasks that will be due by `horizon`,
    the earliest instant at which time alone lets it start.
    `key_held` counts the live leases of the task's key, and `key_holders` are some of them; `key_log` is what its rates
    remember, and `key_limits` are limits of its own. `takes_turns`: tasks with
    keys wait, so what comes first depends on turns and not on `ahead`.
    `processes`: how many serve the queue; `able`: how many of these can run the task; `candidates` are some of them.
    """

    now: int
    horizon: int
    task: Task
    state: QueueState
    held: int
    holders: tuple[Holder, ...] = ()
    ahead: int = 0
    is_counted: bool = True
    due: int = 0
    processes: int = 0
    able: int = 0
    candidates: tuple[Candidate, ...] = ()
    starved: Mapping[str, Starved] = attrs.field(factory=dict)
    key_held: int = 0
    key_holders: tuple[Holder, ...] = ()
    key_log: tuple[int, ...] = ()
    key_limits: OwnLimits = DECLARED
    takes_turns: bool = False
