"""The JSON and the parameters of requests."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from kew import Rate
from kew.app.listing import STATES
from kew.domain.backoff import LONGEST_DELAY
from kew.domain.config import MOST_TASKS, MOST_WORKERS
from kew.domain.history import HOUR_MS, HOURS_KEPT
from kew.domain.overrides import check_overridable
from kew.domain.rate import LONGEST_WINDOW, MOST_RATES, MOST_STARTS

LONGEST_TEXT: Final = 1000
MOST_IN_A_PAGE: Final = 500
MOST_NEXT: Final = 50
LONGEST_SPAN: Final = HOURS_KEPT * HOUR_MS // 1000


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


def _instant(value: Any) -> Any:
    """An instant, in the text that JSON has for it. (Pydantic would take numbers as well.)"""
    if isinstance(value, str):
        try:
            if (found := datetime.fromisoformat(value)).tzinfo is not None:
                return found
        except ValueError:
            pass
    raise ValueError("an instant with its offset is needed, such as 2026-11-30T08:00:00+01:00")


Instant = Annotated[datetime, BeforeValidator(_instant)]


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
    max_size: Whole = Field(default=1, ge=1, le=MOST_TASKS)
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
        if "rate" in given:
            given["rate"] = _rates(given["rate"])
        return given


class KeyLimitBody(Body):
    """One or more limits of a key; null: as `per_key` declares. `rate` []: none."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    max_workers: Annotated[Whole, Field(ge=1, le=MOST_WORKERS)] | None = None
    rate: RateBody | Annotated[list[RateBody], Field(max_length=MOST_RATES)] | None = None
    max_size: Failures | None = None
    expires_in: Seconds | None = Field(default=None, description="After so many seconds they end")

    def limits(self) -> dict[str, Any]:
        """They, as the manager takes them. Raises `InvalidConfigError`."""
        return {**self.model_dump(), "rate": _rates(self.rate)}


def _rates(given: RateBody | list[RateBody] | None) -> Rate | tuple[Rate, ...] | None:
    if isinstance(given, list):
        return tuple(each.rate() for each in given)
    return None if given is None else given.rate()


class Arguments(Body):
    """The arguments of a replay, in place of all that the task had; neither: the same ones."""

    args: list[Any] | None = None
    kwargs: dict[str, Any] | None = None


class PurgeWaiting(Body):
    """Which waiting tasks are cancelled; without filters, all."""

    state: Literal["ready", "deferred", "stuck"] | None = None
    function: str | None = Field(default=None, min_length=1, max_length=LONGEST_TEXT)
    key: str | None = Field(default=None, min_length=1, max_length=LONGEST_TEXT)
    dry_run: bool = Field(default=False, description="Only count them")


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


class KeyLimitQuery(BaseModel):
    """Which page of the limits of keys is meant; `limit`: about how many it has."""

    model_config = ConfigDict(extra="forbid")

    key: str | None = Field(default=None, min_length=1, max_length=LONGEST_TEXT)
    limit: int = Field(default=100, ge=1, le=MOST_IN_A_PAGE)
    cursor: str | None = Field(
        default=None, max_length=LONGEST_TEXT, description="That of the page before"
    )


class TaskQuery(BaseModel):
    """Which page of tasks is meant."""

    model_config = ConfigDict(extra="forbid")

    state: Literal[STATES] | None = None  # type: ignore[valid-type]  # they are constants
    function: str | None = Field(default=None, min_length=1, max_length=LONGEST_TEXT)
    key: str | None = Field(default=None, min_length=1, max_length=LONGEST_TEXT)
    task_type: str | None = Field(default=None, min_length=1, max_length=LONGEST_TEXT)
    submitted_since: Instant | None = None
    submitted_until: Instant | None = Field(default=None, description="Before then")
    limit: int = Field(default=100, ge=1, le=MOST_IN_A_PAGE)
    cursor: str | None = Field(
        default=None, max_length=LONGEST_TEXT, description="That of the page before"
    )


class NextQuery(BaseModel):
    """How many of a schedule's next ticks are meant."""

    model_config = ConfigDict(extra="forbid")

    next: int = Field(default=5, ge=0, le=MOST_NEXT, description="Ticks of each, at most")


class ScheduleQuery(NextQuery):
    """Which schedules are meant, and how many of their next ticks."""

    queue: str | None = Field(default=None, min_length=1, max_length=LONGEST_TEXT)


class Backfill(Body):
    """Ticks from `start` on and before `end`."""

    start: Instant
    end: Instant
    dry_run: bool = Field(default=False, description="Only say which")


class HistoryQuery(BaseModel):
    """How far a history goes back."""

    model_config = ConfigDict(extra="forbid")

    span: int = Field(
        default=3600, ge=1, le=LONGEST_SPAN, description="Seconds; a day by the minute"
    )
