"""The JSON of responses about processes and about what happened; see `models.py`."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class ProcessQueueRow(BaseModel):
    """A queue that a process works on."""

    queue: str
    slots: int | None
    running: int | None


class LongTaskRow(BaseModel):
    """A task that had run for long at the last heartbeat."""

    task_id: str
    queue: str
    function: str
    seconds: float
    where: str | None


class ProcessRow(BaseModel):
    """A process that works on queues, as it was at its last heartbeat."""

    model_config = ConfigDict(extra="allow")

    id: str
    name: str
    host: str
    pid: int | None
    version: str | None
    heartbeat_time: datetime
    started_time: datetime | None
    queues: list[ProcessQueueRow]
    functions: list[str]
    function_count: int | None
    loop_lag: float | None
    long_tasks: list[LongTaskRow]


class Processes(BaseModel):
    """All processes that work on queues, by name."""

    processes: list[ProcessRow]


class ScheduleRow(BaseModel):
    """A schedule. Durations are seconds; times are in its zone. `words`: when its ticks are due."""

    model_config = ConfigDict(extra="allow")

    name: str
    queue: str
    function: str
    cron: str | None
    every: float | None
    words: str
    tz: str
    overlap: str
    missed: str
    catch_up: float
    jitter: float
    start: datetime | None
    end: datetime | None
    source: str
    undeclared: bool
    paused_time: datetime | None
    note: str
    next_time: datetime | None
    next_times: list[datetime] = Field(description="Of its next ticks; none while it is paused")
    last_time: datetime | None
    last_task_id: str | None
    overdue: bool


class Schedules(BaseModel):
    """Schedules, by name."""

    schedules: list[ScheduleRow]


class ScheduleRemoved(BaseModel):
    """The schedule that was removed."""

    removed: str


class ScheduleRun(BaseModel):
    """The task that was submitted."""

    task_id: str


class Backfilled(BaseModel):
    """How many ticks were submitted, or would be, and the ids of the first 1,000."""

    count: int
    task_ids: list[str]


class HistoryPointRow(BaseModel):
    """What happened in one step. Percentiles are seconds; null: there was none."""

    model_config = ConfigDict(extra="allow")

    at: datetime
    waiting: int | None
    submitted: int
    started: int
    completed: int
    failed: int
    retried: int
    lost: int
    wait_p50: float | None
    wait_p95: float | None
    run_p50: float | None
    run_p95: float | None


class History(BaseModel):
    """A queue's history: a point for every `step` seconds, oldest first. The last step goes on."""

    queue: str
    step: int
    points: list[HistoryPointRow]
