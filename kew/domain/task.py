"""A task as a value: what was submitted (`Submission`, never changed) and how far it has come (`Task`).

Instants are integer milliseconds of the store's clock since 1970; durations are integer milliseconds.
"""

from __future__ import annotations

import enum
from collections.abc import Container
from typing import Any, Final

import attrs

from kew.domain.errors import InvalidTaskError, TaskTooNewError, TaskUnreadableError, shown
from kew.domain.values import maker, mover

MAX_ID_BYTES = 256
MOST_WATCHERS = 32  # processes that are notified of a task's end
PINNED = "@"


class TaskStatus(enum.StrEnum):
    """Where a task is. COMPLETED, FAILED and CANCELLED are ends."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    RETRY = "retry"
    CANCELLED = "cancelled"


# The hot path's: Python 3.11 takes ten times as long to look up a member of an enum as a global.
COMPLETED: Final = TaskStatus.COMPLETED
PROCESSING: Final = TaskStatus.PROCESSING
WAITING = frozenset({TaskStatus.QUEUED, TaskStatus.RETRY})
TERMINAL = frozenset({COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED})


class QueuePriority(enum.IntEnum):
    """Lower numbers go first."""

    HIGH = 1
    MEDIUM = 2
    LOW = 3


def pinned_name(incarnation: str, name: str) -> str:
    """The function name of a closure or lambda: only the process `incarnation` can run it."""
    return f"{PINNED}{incarnation}/{name}"


def shelf_of(function: str) -> str:
    """What a waiting task of this function waits for: a process that knows the function, or a closure's own process."""
    return function.partition("/")[0] if function.startswith(PINNED) else function


def can_run(incarnation: str, known: Container[str], function: str) -> bool:
    """Whether the process `incarnation` may be given the function: its own closure, or one that it announced."""
    shelf = shelf_of(function)
    return shelf in known or shelf == PINNED + incarnation


def check_task_id(task_id: object) -> str:
    """The id itself if it can be one (text, 1 to 256 bytes of UTF-8), else `InvalidTaskError`."""
    if not isinstance(task_id, str):
        raise InvalidTaskError(shown(task_id), f"a task id is text, not {type(task_id).__name__}")
    try:
        size = len(task_id.encode())
    except UnicodeEncodeError as error:
        raise InvalidTaskError(ascii(task_id), "its id is not valid Unicode") from error
    if not 0 < size <= MAX_ID_BYTES:
        raise InvalidTaskError(
            task_id[:40], f"a task id has 1 to {MAX_ID_BYTES} bytes, this one {size}"
        )
    return task_id


def unique_id(label: str, identity: str) -> str:
    """An id for people and machines: the label, cut if both together would be too long for one."""
    room = MAX_ID_BYTES - 1 - len(identity)
    if len(label) > room // 4:  # else it fits, whatever its letters
        label = label.encode("utf-8", "replace")[:room].decode("utf-8", "ignore")
    return f"{label}-{identity}"


@attrs.frozen(kw_only=True, weakref_slot=False)
class Submission:
    """A call to be made, as it crosses the port. Sizes and ids were checked before it was built.

    `nonce` makes repeating the submit safe. A due time is either `due_at` (an instant that a person gave, ms) or
    `delay_ms` from the moment of storing; neither: ready at once. The options of retries and time are None where the
    queue's own settings hold. `key`: whose task it is ("": no key's). `cost`: how many units of each rate its start
    uses. `start_by_ms`: how long after the moment of storing it is still worth starting (0: for ever).
    `trace`: the submitter's trace context (W3C: traceparent, and tracestate after a blank), if it traces.
    `unique`: its unique key, as `kew.domain.unique` writes it ("": none).
    """

    id: str
    nonce: str
    task_type: str
    function: str
    payload: bytes
    priority: int
    due_at: int | None = None
    delay_ms: int = 0
    at_most_once: bool = False
    max_retries: int | None = None
    retry_delay_ms: int | None = None
    timeout_ms: int | None = None
    key: str = ""
    cost: int = 1
    start_by_ms: int = 0
    trace: str = ""
    unique: str = ""

    @property
    def size(self) -> int:
        """The bytes that matter: of the payload and, roughly, of the id."""
        return len(self.payload) + len(self.id)

    @property
    def pinned_to(self) -> str:
        """The incarnation of the only process that can run it, or "" if any may."""
        return self.function[1:].partition("/")[0] if self.function.startswith(PINNED) else ""


@attrs.frozen
class Life:
    """Which task of an id, and which life of it: an id may be used again (another ticket), and a replay begins a life.

    It names what a person saw, so that a request that arrives late, or twice, doesn't touch what came after.
    """

    ticket: int
    replays: int


@attrs.frozen(kw_only=True)
class Progress:
    """How far an attempt of a task said it had come: `parts` of a million, when (`at`), and in words.

    `number` counts the attempt's reports.
    """

    attempt: int
    number: int
    parts: int
    at: int
    message: str = ""

    @property
    def value(self) -> float:
        """From 0 to 1."""
        return self.parts / 1_000_000


@attrs.frozen(kw_only=True)
class Checkpoint:
    """What an attempt of a task saved: `data`, of `size` bytes, which only a run is handed out.

    `number` grows with the checkpoints of the attempt.
    """

    attempt: int
    number: int
    size: int
    data: bytes = b""


@attrs.frozen(kw_only=True, weakref_slot=False)
class Task:
    """One task and how far it has come.

    `attempt` counts claims and is never reused; `failures`, `losses` and `snoozes` count towards `max_retries`,
    `max_deliveries` and `max_snoozes`; a replay, which `replays` counts, resets them. `lease` is the identity of the
    current lease ("" without one), `token` the fencing token of the last one, `epoch` the breaker's epoch at its grant.
    `settled` remembers the last settled lease and its outcome, so that a repeated settle gets its answer. `watchers`
    are the incarnations to notify of the end. `progress` is the last that an attempt reported, maybe an earlier one,
    `checkpoint` what one saved last.
    """

    call: Submission
    queue: str
    status: TaskStatus
    ready_at: int
    ticket: int
    queued_at: int
    attempt: int = 0
    failures: int = 0
    losses: int = 0
    replays: int = 0
    lease: str = ""
    lease_until: int = 0
    token: int = 0
    epoch: int = 0
    started_at: int = 0
    cancel_requested: bool = False
    settled: str = ""
    ended_at: int = 0
    expires_at: int = 0
    result: bytes = b""
    error: str = ""
    watchers: tuple[str, ...] = ()
    snoozes: int = 0
    progress: Progress | None = None
    checkpoint: Checkpoint | None = None

    @property
    def id(self) -> str:
        """The task's id."""
        return self.call.id

    @property
    def life(self) -> Life:
        """The one that it is in now."""
        return Life(self.ticket, self.replays)

    @property
    def is_terminal(self) -> bool:
        """It has ended as COMPLETED, FAILED or CANCELLED."""
        return self.status in TERMINAL

    @property
    def is_waiting(self) -> bool:
        """It is QUEUED or RETRY, due or not."""
        return self.status in WAITING

    def moved(self, **changes: Any) -> Task:
        """A copy with these fields changed. `Any`: the fields have many types."""
        return moved(self, **changes)


make_submission = maker(Submission)
make_task = maker(Task)
moved = mover(Task)
_move_submission = mover(Submission)


def without_payload(task: Task) -> Task:
    """The task as a reader gets it: payload and checkpoint, which may be large, are only handed to a run."""
    if task.checkpoint is not None and task.checkpoint.data:
        task = task.moved(checkpoint=attrs.evolve(task.checkpoint, data=b""))
    return with_payload(task, b"") if task.call.payload else task


def with_payload(task: Task, payload: bytes) -> Task:
    """The task with another payload."""
    return moved(task, call=_move_submission(task.call, payload=payload))


def kept_payload(task: Task) -> bytes | None:
    """Its payload, which a completed task no longer needs (None)."""
    return None if task.status is TaskStatus.COMPLETED else task.call.payload


def unstarted_until(task: Task) -> int | None:
    """When it is no longer worth starting (ms); None: always, or it was taken or replayed."""
    if not task.call.start_by_ms or task.attempt or task.replays or not task.is_waiting:
        return None
    return task.queued_at + task.call.start_by_ms


def has_expired(task: Task, now: int) -> bool:
    """It waits, and is no longer worth starting: the next claim or maintenance cancels it."""
    until = unstarted_until(task)
    return until is not None and until <= now


def is_absent(task: Task, now: int) -> bool:
    """An ended record is absent from `expires_at` on, whether or not maintenance has removed it yet."""
    return 0 < task.expires_at <= now


def watchers_with(watchers: tuple[str, ...], incarnation: str) -> tuple[str, ...]:
    """The processes to notify of a task's end, with one more: those that asked last. The others find it by polling."""
    return (*watchers, incarnation)[-MOST_WATCHERS:]


@attrs.frozen
class Unreadable:
    """What a store has in place of a task: a record that can't be read. `reason` is for logs.

    `is_newer`: a newer version of kew wrote it, and nothing is wrong with it.
    """

    id: str
    reason: str
    is_newer: bool = False

    def error(self) -> TaskUnreadableError:
        """What to raise for those that ask for the task."""
        return (TaskTooNewError if self.is_newer else TaskUnreadableError)(self.id, self.reason)


Found = Task | Unreadable | None  # what a store answers for an id
