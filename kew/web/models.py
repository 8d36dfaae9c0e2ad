"""The JSON of requests and responses. Responses are the `to_dict()` of kew's public values, which these describe."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from kew import Rate
from kew.domain.backoff import LONGEST_DELAY
from kew.domain.config import MOST_TASKS, MOST_WORKERS
from kew.domain.overrides import check_overridable
from kew.domain.rate import LONGEST_WINDOW, MOST_RATES, MOST_STARTS

LONGEST_TEXT: Final = 1000
MOST_IN_A_PAGE: Final = 500


class Body(BaseModel):
    """A request's body, in which an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Note(Body):
    """Who, and why."""

    note: str = Field(default="", description="One line of at most 500 characters", max_length=500)


class Token(Body):
    """What a session begins with."""

    token: str = Field(max_length=4096)


def _whole(value: Any) -> Any:
    """A number of JSON that is whole, however it is written."""
    return int(value) if type(value) is float and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
Starts = Annotated[Whole, Field(ge=1, le=MOST_STARTS)]
Failures = Annotated[Whole, Field(ge=1, le=MOST_TASKS)]
Seconds = Annotated[float, Field(ge=0.001, le=LONGEST_DELAY)]


class RateBody(Body):
    """At most `count` starts in `per` seconds; `burst` (at most `count`) of them at the same moment."""

    count: Starts
    per: float = Field(default=1.0, ge=0.001, le=LONGEST_WINDOW)
    burst: Starts | None = None

    def rate(self) -> Rate:
        """It, as kew has it. Raises `InvalidConfigError`."""
        return Rate(self.count, self.per, self.burst)


class OverridesBody(Body):
    """Values in place of what the code declares: one or more of these. Durations are in seconds."""

    model_config = ConfigDict(
        json_schema_extra={
            "minProperties": 1,
            "examples": [{"max_workers": 2, "rate": {"count": 100, "per": 60}}],
        }
    )

    max_workers: Whole = Field(default=1, ge=1, le=MOST_WORKERS)
    rate: RateBody | Annotated[list[RateBody], Field(max_length=MOST_RATES)] | None = None
    max_retries: Whole = Field(default=0, ge=0, le=MOST_TASKS)
    retry_delay: float = Field(default=0.0, ge=0, le=LONGEST_DELAY)
    task_timeout: Seconds = 1.0
    max_circuit_breaker_failures: Failures | None = None
    circuit_breaker_reset_timeout: Seconds = 1.0
    circuit_breaker_probes: Whole = Field(default=1, ge=1, le=MOST_WORKERS)

    @model_validator(mode="before")
    @classmethod
    def _suggest(cls, values: Any) -> Any:
        if isinstance(values, dict):
            check_overridable(values)
        return values

    def overrides(self) -> dict[str, Any]:
        """Those that were given, as the manager takes them. Raises `InvalidConfigError`."""
        given: dict[str, Any] = {name: getattr(self, name) for name in self.model_fields_set}
        rate = given.get("rate")
        if isinstance(rate, RateBody):
            given["rate"] = rate.rate()
        elif rate is not None:
            given["rate"] = tuple(each.rate() for each in rate)
        return given


class Arguments(Body):
    """The arguments of a replay, in place of all that the task had; neither: the same ones."""

    args: list[Any] | None = None
    kwargs: dict[str, Any] | None = None


class Many(Body):
    """Which dead letters are meant."""

    group: str | None = Field(default=None, min_length=1, max_length=LONGEST_TEXT)
    function: str | None = Field(default=None, min_length=1, max_length=LONGEST_TEXT)
    limit: Whole = Field(
        default=1000, ge=1, le=100_000, description="At most so many, the latest first"
    )
    dry_run: bool = Field(default=False, description="Only count them")


class ReplayMany(Many):
    """Which dead letters are meant, and how they are spaced."""

    every: float | None = Field(default=None, ge=0, le=86_400, description="Seconds between two")


class DeadLetterQuery(BaseModel):
    """Which page of dead letters is meant."""

    model_config = ConfigDict(extra="forbid")

    group: str | None = Field(default=None, min_length=1, max_length=LONGEST_TEXT)
    function: str | None = Field(default=None, min_length=1, max_length=LONGEST_TEXT)
    task_type: str | None = Field(default=None, min_length=1, max_length=LONGEST_TEXT)
    limit: int = Field(default=100, ge=1, le=MOST_IN_A_PAGE)
    cursor: str | None = Field(
        default=None, max_length=LONGEST_TEXT, description="That of the page before"
    )


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


class Cancelled(BaseModel):
    """Whether the task was cancelled, or its run was asked to stop."""

    cancelled: bool


class Replayed(BaseModel):
    """Whether the task waits again."""

    replayed: bool


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
