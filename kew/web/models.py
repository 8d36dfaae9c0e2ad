"""The JSON of responses: the `to_dict()` of kew's public values, which these describe."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Who(BaseModel):
    """Who makes the request."""

    name: str
    may_change: bool


class Info(BaseModel):
    """This admin API, and the store that it looks at."""

    version: str
    store: str = Field(description="The store's address, without a password")
    namespace: str | None
    read_only: bool
    who: Who


class Notice(BaseModel):
    """One thing that needs attention."""

    severity: Literal["critical", "warning", "info"]
    code: str = Field(description="The kind of trouble, for programs")
    queue: str
    text: str = Field(description="What is wrong, with its number and its reason")
    action: str = Field(description="What mends it; empty if nothing has to be done")


class OverrideRow(BaseModel):
    """A setting that an operator overrides, and who set it when."""

    value: Any
    declared: Any
    by: str | None
    set_time: datetime | None


class RatesRow(BaseModel):
    """What happens in a queue per minute, recently; and for how many seconds a task has been due, at most."""

    submitted_per_minute: float
    started_per_minute: float
    drained_per_minute: float
    completed_per_minute: float
    failed_per_minute: float
    lost_per_minute: float
    oldest_waiting: float | None


class BusyKey(BaseModel):
    """A key, and how many of its tasks run."""

    key: str
    running: int


class DelayedKey(BaseModel):
    """A key, and for how many seconds its first task has been due."""

    key: str
    delay: float


class KeysRow(BaseModel):
    """The busiest keys of a queue, and the most delayed ones."""

    busiest: list[BusyKey]
    delayed: list[DelayedKey]


class QueueRow(BaseModel):
    """A queue's status. Times are ISO 8601 texts."""

    model_config = ConfigDict(extra="allow")

    name: str
    max_workers: int
    current_workers: int
    queued_tasks: int
    circuit_breaker_status: str
    queued_by_priority: dict[str, int]
    max_size: int
    paused: bool
    pause_note: str
    pause_since: datetime | None
    draining: bool
    drain_note: str
    drain_since: datetime | None
    overrides: dict[str, OverrideRow]
    snoozed_until: datetime | None
    consecutive_failures: int
    processes: list[str]
    stuck_functions: dict[str, int]
    unreadable_tasks: int
    newer_tasks: int
    dead_letters: int
    rates: RatesRow
    keys: KeysRow
    settings_version: int
    notifications: str
    now: datetime
    attention: list[Notice]


class LastHour(BaseModel):
    """What happened in the last hour: a value for every `step` seconds, oldest first. The last step goes on."""

    step: int
    submitted: list[int]
    completed: list[int]
    failed: list[int]
    wait_p95: list[float | None]


class QueueWithHistory(QueueRow):
    """A queue's status, and its last hour."""

    history: LastHour | None


class Queues(BaseModel):
    """All queues of the namespace, by name, and what needs attention, most urgent first."""

    queues: list[QueueWithHistory]
    attention: list[Notice]


class SettingRow(BaseModel):
    """A setting: the value in force, and what the code declares."""

    value: Any
    declared: Any
    overridden: bool


class QueueDetail(QueueRow):
    """A queue's status and its settings, by their names in `QueueConfig`, durations in seconds."""

    settings: dict[str, SettingRow]


class Deleted(BaseModel):
    """The queue that was removed."""

    deleted: str


class Purged(BaseModel):
    """How many waiting tasks were cancelled."""

    cancelled: int


class Counted(BaseModel):
    """How many waiting tasks would be cancelled."""

    count: int


class Cancelled(BaseModel):
    """Whether the task was cancelled, or its run was asked to stop."""

    cancelled: bool


class DueNow(BaseModel):
    """Whether the task is due or runs."""

    due: bool


class Replayed(BaseModel):
    """Whether the task waits again."""

    replayed: bool


class PurgedOne(BaseModel):
    """Whether the dead letter was removed."""

    removed: bool


class BreakerChangeRow(BaseModel):
    """A change of a circuit breaker, and why it changed."""

    time: datetime
    state: Literal["open", "half_open", "closed"]
    cause: str = Field(
        description="failures, reset_timeout, probe_succeeded, probe_failed, operator or turned_off"
    )
    error: str | None
    task_id: str | None
    by: str | None


class BreakerChanges(BaseModel):
    """The last changes of a queue's circuit breaker, the latest first."""

    changes: list[BreakerChangeRow]


class KeyLimitRow(BaseModel):
    """The limits of one key; null: as `per_key` declares."""

    model_config = ConfigDict(extra="allow")

    key: str
    max_workers: int | None
    rate: list[dict[str, Any]] | None
    max_size: int | None
    expires: datetime | None


class KeyLimits(BaseModel):
    """A page of the limits that keys of a queue have of their own, by key."""

    limits: list[KeyLimitRow]
    cursor: str | None


class Unreadable(BaseModel):
    """Tasks whose records can't be read."""

    task_ids: list[str]


class Live(BaseModel):
    """Whether the process lives."""

    live: bool


class Ready(Live):
    """Whether the process can also claim, or answer if it works on no queue."""

    ready: bool


class ReplayedMany(BaseModel):
    """How many dead letters wait again."""

    replayed: int


class PurgedMany(BaseModel):
    """How many dead letters were removed."""

    removed: int


class AttemptRow(BaseModel):
    """A failed attempt."""

    model_config = ConfigDict(extra="allow")

    number: int
    failed_time: datetime | None
    seconds: float
    process: str | None
    how: str
    group: str
    error_type: str | None
    message: str | None
    traceback: str | None


class ProgressRow(BaseModel):
    """How far an attempt has come: from 0 to 1, in words, and when it said so."""

    value: float
    message: str
    time: datetime | None


class CheckpointRow(BaseModel):
    """What the next attempt goes on from: which attempt saved it, and its size in bytes."""

    attempt: int
    size: int


class TaskRow(BaseModel):
    """A task's status."""

    model_config = ConfigDict(extra="allow")

    task_id: str
    task_type: str
    function: str
    key: str | None
    queue_name: str
    priority: int
    status: str
    queued_time: datetime | None
    started_time: datetime | None
    completed_time: datetime | None
    result: Any
    result_unreadable: str | None = Field(
        default=None, description="Why this process can't read the result"
    )
    redacted: bool = Field(default=False, description="Whether the result is hidden")
    error: str | None
    retry_count: int
    attempt: int
    due_time: datetime | None
    process: str | None
    snooze_count: int
    attempts: list[AttemptRow]
    progress: ProgressRow | None
    checkpoint: CheckpointRow | None


class ArgumentsShown(BaseModel):
    """What a task was called with. `unreadable`: why it isn't shown; `args` and `kwargs` are null then."""

    args: list[Any] | None
    kwargs: dict[str, Any] | None
    unreadable: str | None


class HolderRow(BaseModel):
    """A running task that holds a slot."""

    task_id: str
    process: str
    started: datetime | None


class ReasonRow(BaseModel):
    """One reason why a task isn't running."""

    code: str
    text: str
    sure: str
    until: datetime | None
    position: int | None
    holders: list[HolderRow]


class Why(BaseModel):
    """Why a task isn't running, and when it can."""

    task_id: str
    status: str
    now: datetime
    text: str
    sure: str
    earliest: datetime | None
    reasons: list[ReasonRow]


class TaskPage(BaseModel):
    """Some tasks. `cursor`: what to send to get those after them; null: there are no more.

    With filters, a page may have fewer tasks than were asked for, or none, and not be the last.
    """

    tasks: list[TaskRow]
    cursor: str | None


class Preview(BaseModel):
    """How many would be affected. `more`: it counted no further."""

    count: int
    more: bool
    sample: list[TaskRow]


class GroupRow(BaseModel):
    """Dead letters that failed in one way."""

    name: str
    count: int
    first_time: datetime | None
    last_time: datetime | None
    example: str = Field(description="The id of one of them")


class Groups(BaseModel):
    """All groups of a queue."""

    groups: list[GroupRow]
