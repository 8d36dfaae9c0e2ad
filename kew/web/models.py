"""The JSON of requests and responses. Responses are the `to_dict()` of kew's public values, which these describe."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Body(BaseModel):
    """A request's body, in which an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Note(Body):
    """Who, and why."""

    note: str = Field(default="", description="One line of at most 500 characters", max_length=500)


class Token(Body):
    """What a session begins with."""

    token: str = Field(max_length=4096)


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
    """A setting that an operator overrides."""

    value: Any
    declared: Any


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
    settings_version: int
    notifications: str
    now: datetime
    attention: list[Notice]


class Queues(BaseModel):
    """All queues of the namespace, by name, and what needs attention, most urgent first."""

    queues: list[QueueRow]
    attention: list[Notice]


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


class TaskRow(BaseModel):
    """A task's status."""

    model_config = ConfigDict(extra="allow")

    task_id: str
    task_type: str
    queue_name: str
    priority: int
    status: str
    queued_time: datetime | None
    started_time: datetime | None
    completed_time: datetime | None
    result: Any
    error: str | None
    retry_count: int
    attempt: int
    due_time: datetime | None
    process: str | None
    snooze_count: int
    attempts: list[AttemptRow]


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
