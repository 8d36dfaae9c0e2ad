"""What workers and submitters ask of a queue, and the words they are answered with.

All of it crosses the store port.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence

import attrs

from kew.domain.events import SettleEvent
from kew.domain.task import Life, Submission, Task, TaskStatus
from kew.domain.values import maker


class Word(enum.StrEnum):
    """The closed set of answers; an outcome is a value, never an exception."""

    DONE = "done"  # applied now
    SAME = "same"  # this very request was applied before: its answer again
    DUPLICATE = "duplicate"  # the id is used
    FULL = "full"  # max_size
    KEY_FULL = "key_full"  # max_size of its key
    HELD = "held"  # another task holds its unique key
    LATE = "late"  # it would expire before it is due
    COSTLY = "costly"  # more than a rate can ever give
    DRAINING = "draining"  # the queue accepts nothing
    EARLY = "early"  # what it was to come after is not in
    STALE = "stale"  # the lease named is not current: nothing changed
    CANCEL = "cancel"  # extended, and the task was cancelled
    MISSING = "missing"  # no such task
    ENDED = "ended"  # the task has ended: nothing to cancel
    ILLEGAL = "illegal"  # the lifecycle doesn't allow it: nothing changed
    AHEAD = "ahead"  # a tick that is due later
    BUSY = "busy"  # the task of the tick before has not ended
    NO_QUEUE = "no_queue"  # no process has declared the queue
    NO_WORKER = "no_worker"  # no repeat, and the incarnation hasn't announced itself, or its presence has ended
    NO_LANE = "no_lane"  # the store doesn't know the lane at this sequence: begin a new one


@attrs.frozen
class SubmitRef:
    """One submit of a task."""

    task_id: str
    nonce: str


@attrs.frozen(kw_only=True, weakref_slot=False)
class Group:
    """Submissions that go in together or not at all; others' groups in the same call have outcomes of their own.

    `after`: it goes in only if that one is in, so that the pieces of a batch can be on their way at the same time.
    """

    submissions: tuple[Submission, ...]
    after: SubmitRef | None = None


make_group = maker(Group)


@attrs.frozen
class GroupOutcome:
    """DONE, SAME (all were in already, from this very group), DUPLICATE with its id, EARLY, FULL, DRAINING,
    KEY_FULL with the id of the first task whose key has no place left, LATE with that of the first that could never
    start, COSTLY with that of the first whose cost no rate can give, HELD with that of the task that holds the unique
    key of one of them, or NO_QUEUE.

    `met`: the ids of those that were not stored, each with that of the task that holds its unique key.
    """

    word: Word
    task_id: str = ""
    met: tuple[tuple[str, str], ...] = ()


@attrs.frozen(kw_only=True, weakref_slot=False)
class ClaimRequest:
    """Up to `want` tasks for a lane of `incarnation`, each under a lease of `lease_ms`.

    A lane is strictly serial: `sequence` n+1 is sent only after n was answered; a repeat is
    identical. Sequences begin at 1. `has_room`: the worker has more free slots than it wants tasks
    here, so a claim that is granted whole leaves it among the processes that are notified of new work.
    `holds`: the leases that the process keeps meanwhile, for sharing the queue's limit with others.
    """

    incarnation: str
    lane: int
    sequence: int
    want: int
    lease_ms: int
    has_room: bool = False
    holds: int = 0

    @property
    def lane_key(self) -> str:
        """The lane's name in the store."""
        return f"{self.incarnation}.{self.lane}"

    def lease(self, index: int) -> str:
        """The identity of the claim's lease number `index`: unique forever."""
        return f"{self.incarnation}.{self.lane}.{self.sequence}.{index}"


make_claim_request = maker(ClaimRequest)


def holder_of(lease: str) -> str:
    """The incarnation that a lease was granted to."""
    return lease.partition(".")[0]


@attrs.frozen
class LostWorker:
    """A process that let leases end without a word, and how many of its tasks one operation took back.

    `incarnation` names the process as it does in leases. The count is of this operation alone: a process that held many
    leases may be reported by several operations, to different processes.

    `failed`: the ids of those tasks that thereby failed for good (`max_deliveries`, `at_most_once`), in the order in
    which their leases ended. Each loss of a task is reported by one operation.
    """

    incarnation: str
    tasks: int
    failed: tuple[str, ...] = ()


def lost_workers(losses: Iterable[tuple[str, Task]]) -> tuple[LostWorker, ...]:
    """From the leases that ended, each with its task afterwards: their holders, by name."""
    held: dict[str, list[Task]] = {}
    for lease, after in losses:
        held.setdefault(holder_of(lease), []).append(after)
    return tuple(
        LostWorker(
            who, len(tasks), tuple(task.id for task in tasks if task.status is TaskStatus.FAILED)
        )
        for who, tasks in sorted(held.items())
    )


@attrs.frozen(kw_only=True, weakref_slot=False)
class Grant:
    """The answer to a claim: tasks in order, each PROCESSING under its lease.

    `word` is DONE, SAME (a repeat), NO_QUEUE, NO_WORKER or NO_LANE. `wait_ms`: if fewer were granted than wanted, how
    long until time alone may change that; None: only a notification can. `edition` identifies the queue's settings.
    `functions`: how many of the process's functions the store knows; None: it did not look, since no task waits for a
    process that knows its function. `lost`: the workers whose ended leases this claim took back before it granted
    anything; a repeat doesn't name them again. `expired`: the waiting tasks that it ended, since none was started in
    its time.
    """

    word: Word
    tasks: tuple[Task, ...] = ()
    wait_ms: int | None = None
    edition: str = ""
    functions: int | None = None
    lost: tuple[LostWorker, ...] = ()
    expired: tuple[str, ...] = ()


make_grant = maker(Grant)


@attrs.frozen
class Peeked:
    """`wait_ms`: how long, at least, until something may need a worker (0: now); None: unknown.

    `has_waiting`: whether tasks wait in the queue, deferred tasks and retries included.
    """

    wait_ms: int | None
    has_waiting: bool


@attrs.frozen(kw_only=True, weakref_slot=False)
class Settlement:
    """The outcome of one attempt: `Succeeded`, `Failed` or `Released`, under the identity of its lease."""

    task_id: str
    lease: str
    event: SettleEvent


make_settlement = maker(Settlement)


@attrs.frozen(kw_only=True, weakref_slot=False)
class Along:
    """What a submit takes along: settlements, which are applied before its groups, and a claim, which comes last.

    `submitter`: a process that works on the queue and takes no claim along. If it would be notified of what waits now,
    the answer says so instead. "": it is notified as any other.
    """

    claim: ClaimRequest | None = None
    settlements: Sequence[Settlement] = ()
    submitter: str = ""


ALONE = Along()
make_along = maker(Along)


@attrs.frozen
class SettleOutcome:
    """DONE with the status that the task went to; SAME, for a repeat, with that status again; or STALE."""

    word: Word
    status: TaskStatus | None = None


@attrs.frozen
class LifeRef:
    """A task in one life of it."""

    task_id: str
    life: Life


@attrs.frozen
class LeaseRef:
    """A lease that its holder wants to keep."""

    task_id: str
    lease: str
