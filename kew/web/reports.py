"""The JSON of responses about processes and about what happened; see `models.py`."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict


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
