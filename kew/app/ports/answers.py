"""What a store answers."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from kew.domain.attempts import FailedAttempt
from kew.domain.failures import CountedFailure
from kew.domain.history import NO_RATES, Rates
from kew.domain.key_limits import OwnLimits
from kew.domain.listing import Place
from kew.domain.requests import Grant, GroupOutcome, LostWorker, SettleOutcome
from kew.domain.task import Task
from kew.domain.values import maker
from kew.domain.view import QueueState


@attrs.frozen(kw_only=True, weakref_slot=False)
class Submitted:
    """One outcome per group, and per settlement sent along, in order; the store's instant; what the claim brought.

    `has_work`: work waits that the submitter, which took no claim along, may be able to do.
    """

    outcomes: Sequence[GroupOutcome]
    now_ms: int
    grant: Grant | None = None
    settled: Sequence[SettleOutcome] = ()
    has_work: bool = False


make_submitted = maker(Submitted)


@attrs.frozen(kw_only=True, weakref_slot=False)
class Settled:
    """One outcome per settlement, in order; the store's instant; what the claim sent along brought."""

    outcomes: Sequence[SettleOutcome]
    now_ms: int
    grant: Grant | None = None


make_settled = maker(Settled)


@attrs.frozen(kw_only=True)
class Swept:
    """What one bounded round of maintenance did, at the store's instant `now_ms`.

    `lost`: whose ended leases make up `recovered`. `expired`: the tasks that it cancelled for that. `orphaned`: those
    that it failed because no process is left that could run them, sorted. `more`: a limit was reached, call again soon.
    """

    now_ms: int
    recovered: int = 0
    removed: int = 0
    expired: Sequence[str] = ()
    orphaned: Sequence[str] = ()
    departed: int = 0
    lost: Sequence[LostWorker] = ()
    more: bool = False


@attrs.frozen
class PresentProcess:
    """A process that works on queues. `queues`: when its presence in each ends, as far as it isn't renewed.

    `report`: what it said of itself at the instant `seen_at`; an earlier version says nothing, and that isn't known.
    """

    incarnation: str
    queues: Mapping[str, int]
    seen_at: int | None = None
    report: str = ""


NAMED_KEYS: Final = 5


@attrs.frozen(kw_only=True)
class QueueStatus:
    """One queue at one moment; the breaker is judged at `now_ms`.

    `waiting` counts QUEUED and RETRY by priority, due or not; `stuck` counts, by function, waiting
    tasks known to have met only workers that can't run them; `workers` are the incarnations whose presence lasts;
    `unreadable` counts the records found so far that can't be read; `newer` counts the waiting tasks found so far whose
    records have a version that this process doesn't know; `counted`: the failures that the breaker has counted, or that
    opened it, oldest first; `rates`: what happens in it per minute; `oldest_at`: since when the task has been due that
    has been due for longest (None: none is); `dead` counts dead letters. `busiest_keys`: the keys that run the most
    tasks, and how many; `delayed_keys`: those of which a task has been due for longest, and since when; at most
    `NAMED_KEYS` of each.
    """

    name: str
    now_ms: int
    state: QueueState
    waiting: Mapping[int, int]
    held: int
    workers: Sequence[str]
    stuck: Mapping[str, int]
    unreadable: int = 0
    newer: int = 0
    counted: tuple[CountedFailure, ...] = ()
    rates: Rates = NO_RATES
    oldest_at: int | None = None
    dead: int = 0
    busiest_keys: Mapping[str, int] = attrs.field(factory=dict)
    delayed_keys: Mapping[str, int] = attrs.field(factory=dict)


EXAMINED_PARTS: Final = ("counts", "leases", "waiting1", "waiting2", "waiting3", "parked", "dead")
"""The parts of a queue that are compared with the records of its tasks."""


@attrs.frozen
class IndexFault:
    """An index says something else than the records.

    `kind`: "lease", "waiting" or "dead" (an entry of the task `what`, of which there is `found`), "count" (of the
    priority `what`; `found` is how many are counted, and how many there are), "lined" (the same of those with keys),
    "key" or "held" (the same of the waiting tasks or the leases of the key `what`), "limits" (the same of the limits
    of keys), "keyed" (`found` is what is wrong about the key `what`), or "moved" (the task `what` is indexed for
    another instant than it is due).
    """

    kind: str
    what: str
    found: str


@attrs.frozen
class Examined:
    """What is wrong in a piece of a queue, and where the next piece begins; None: this was the last.

    `longer`: other parts, each with the entry from which on it is to be compared.
    """

    faults: tuple[IndexFault, ...]
    next: int | None = None
    longer: tuple[tuple[str, int], ...] = ()


@attrs.frozen
class SomeKeyLimits:
    """The limits that some keys have of their own. `after`: where the next page begins; None: this is the last."""

    limits: Mapping[str, OwnLimits]
    after: int | None


@attrs.frozen
class Bookmark:
    """How far dead letters were read: down to the one of this ticket and id, whose record ends at this instant."""

    expires_at: int
    ticket: int
    task_id: str


@attrs.frozen(kw_only=True)
class DeadLetters:
    """A page of FAILED tasks, without their payloads. `after`: where the next page begins; None: this is the last.

    `attempts`: the last attempt of each task, in the same order; None: it isn't known.
    """

    tasks: Sequence[Task]
    after: Bookmark | None
    attempts: Sequence[FailedAttempt | None] = ()


@attrs.frozen(kw_only=True)
class WaitingTasks:
    """A page of waiting tasks, without their payloads. `after`: where the next page begins; None: this is the last."""

    tasks: Sequence[Task]
    after: Place | None


@attrs.frozen(kw_only=True)
class FailureGroup:
    """The dead letters of a queue whose last attempts failed in one way. `example` is the id of one of them.

    `last_at` is when the example ended, which is kept longest, `first_at` when that ended which is kept shortest: the
    last and the first end while `dead_letter_ttl` stays as it is (ms; 0: not known).
    """

    name: str
    count: int
    first_at: int
    last_at: int
    example: str


@attrs.frozen(kw_only=True)
class FailureGroups:
    """Groups in the order of their names in UTF-8. `after`: that of the last one; None: these are all."""

    groups: Sequence[FailureGroup]
    after: str | None


class Command(enum.StrEnum):
    """What people do to a queue as a whole."""

    PAUSE = "pause"
    DRAIN = "drain"
    RESUME = "resume"
    RECORD_FAILURE = "record_failure"
    OPEN_BREAKER = "open_breaker"
    RESET_BREAKER = "reset_breaker"
