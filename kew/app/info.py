"""`TaskInfo`: a task's status as users see it."""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
import typing
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from kew.app.json_values import json_value
from kew.app.ports import Codec, CodecError
from kew.domain.attempts import FailedAttempt
from kew.domain.errors import ResultUnreadableError
from kew.domain.incarnations import place_of
from kew.domain.outcomes import settled_word
from kew.domain.progress import shown_progress
from kew.domain.requests import holder_of
from kew.domain.task import Task, TaskStatus


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """An attempt of a task that failed. (A dataclass: pydantic and FastAPI know what to do with one.)

    `number` counts the task's runs, and `failed_time` is when the store knew of the failure. `seconds` is the time from
    the claim until then, `process` where it ran ("web-1:4711", or None if it didn't run).
    `how` is "failed", "lost" (its worker went silent), "not-started", "interrupted" (by a shutdown, and it must not run
    again), "orphaned" (the only process that could run it has gone) or "unknown" (an older kew saw it fail).
    `group` is the same for failures of one cause. The last three are the error's, as far as there was one;
    `traceback` is its end, at most 4 KiB.
    """

    number: int
    failed_time: datetime | None
    seconds: float
    process: str | None
    how: str
    group: str
    error_type: str | None = None
    message: str | None = None
    traceback: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the time as ISO 8601 text."""
        when = self.failed_time
        return {**dataclasses.asdict(self), "failed_time": when.isoformat() if when else None}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TaskProgress:
    """How far a task's current or last attempt said it had come.

    `value` is from 0 to 1, `time` when the store received the report.
    """

    value: float
    message: str = ""
    time: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the time as ISO 8601 text."""
        time = self.time.isoformat() if self.time else None
        return {"value": self.value, "message": self.message, "time": time}

    def __str__(self) -> str:
        """ "40 %: page 12 of 30"."""
        percent = f"{math.floor(self.value * 100 + 1e-9)} %"
        return f"{percent}: {self.message}" if self.message else percent


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TaskCheckpoint:
    """The checkpoint that the next attempt of a task goes on from: which attempt saved it, and its size in bytes."""

    attempt: int
    size: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


class TaskInfo(msgspec.Struct, frozen=True, weakref=True):
    """One task at one moment: a value, which `msgspec.structs.replace` copies with changes.

    Times are aware datetimes in UTC, by the store's clock; `result` is plain data.

    `retry_count` counts failed attempts after which another was due, `snooze_count` those that came back later.
    `error` is that of the last attempt that failed or snoozed ("ValueError: ..."), `attempt` the number of runs begun
    so far.
    `due_time` is when the next attempt may start or, of a task that no longer waits, when its last could.
    `process` says where it runs ("web-1:4711": host and pid).
    `function` is the name under which processes know it, `key` the task's key as text.
    `attempts` are the last ten that failed, oldest first, until the task completes: of a status that was asked for. In
    a list of dead letters it is the last one alone; elsewhere it is empty.
    `progress` is what the current attempt reported last, or the last one until another begins; None if it reported
    nothing, or if the task has completed.
    `checkpoint` says what the task saved last; None if it has nothing saved. Its value is for runs alone.
    """

    task_id: str
    task_type: str
    queue_name: str
    priority: int
    status: TaskStatus = TaskStatus.QUEUED
    queued_time: datetime | None = None
    started_time: datetime | None = None
    completed_time: datetime | None = None
    result: Any = None
    error: str | None = None
    retry_count: int = 0
    attempt: int = 0
    due_time: datetime | None = None
    process: str | None = None
    snooze_count: int = 0
    attempts: tuple[Attempt, ...] = ()
    function: str = ""
    key: str | None = None
    progress: TaskProgress | None = None
    checkpoint: TaskCheckpoint | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values: times as ISO 8601 text, the status as text, the result as it is."""
        values = msgspec.structs.asdict(self)
        for name in TIMES:
            values[name] = values[name].isoformat() if values[name] else None
        values["status"] = self.status.value
        values["attempts"] = [attempt.to_dict() for attempt in self.attempts]
        values["progress"] = self.progress.to_dict() if self.progress else None
        values["checkpoint"] = self.checkpoint.to_dict() if self.checkpoint else None
        return values

    def to_json(self) -> str:
        """`to_dict` as valid JSON, whatever the result is: nan becomes null, bytes base64, a set a list, a key text."""
        return json.dumps(dict(self), allow_nan=False)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Names and values as `to_json` writes them. FastAPI takes `dict(info)` if there is no response model."""
        yield from {**self.to_dict(), "result": json_value(self.result)}.items()

    @classmethod
    def from_json(cls, text: str | bytes) -> TaskInfo:
        """The info that `to_json` wrote; unknown keys are ignored. Raises ValueError for anything else."""
        values = json.loads(text)
        names = set(cls.__struct_fields__)
        try:
            known = {name: value for name, value in values.items() if name in names}
            for name in TIMES:
                known[name] = datetime.fromisoformat(known[name]) if known.get(name) else None
            known["status"] = TaskStatus(known.get("status", "queued"))
            known["attempts"] = tuple(map(_attempt_from, known.get("attempts", ())))
            if known.get("progress"):
                known["progress"] = _progress_from(known["progress"])
            if known.get("checkpoint"):
                known["checkpoint"] = _checkpoint_from(known["checkpoint"])
            return cls(**known)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"not a TaskInfo: {error}") from error

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: Any) -> Any:
        """What pydantic asks a class that it doesn't know: a response model of FastAPI, a field of a model."""
        core_schema: Any = importlib.import_module("pydantic_core.core_schema")
        hints = typing.get_type_hints(cls)
        defaults = cls.__struct_defaults__
        required = len(hints) - len(defaults)
        fields = core_schema.typed_dict_schema(
            {
                name: core_schema.typed_dict_field(
                    handler.generate_schema(hint), required=place < required
                )
                for place, (name, hint) in enumerate(hints.items())
            },
            cls_name=cls.__name__,
        )
        made = core_schema.no_info_after_validator_function(lambda values: cls(**values), fields)
        written = core_schema.plain_serializer_function_ser_schema(
            _with_json_result, return_schema=fields, when_used="json"
        )
        return core_schema.json_or_python_schema(
            json_schema=made,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), made]),
            serialization=written,
            ref=f"{cls.__module__}.{cls.__name__}",
        )


def _attempt_from(values: dict[str, Any]) -> Attempt:
    names = {field.name for field in dataclasses.fields(Attempt)}
    known = {name: value for name, value in values.items() if name in names}
    when = known.get("failed_time")
    return Attempt(**{**known, "failed_time": datetime.fromisoformat(when) if when else None})


def _progress_from(values: dict[str, Any]) -> TaskProgress:
    when = values.get("time")
    return TaskProgress(
        value=values["value"],
        message=values.get("message", ""),
        time=datetime.fromisoformat(when) if when else None,
    )


def _checkpoint_from(values: dict[str, Any]) -> TaskCheckpoint:
    return TaskCheckpoint(attempt=values["attempt"], size=values["size"])


def _with_json_result(info: TaskInfo) -> dict[str, Any]:
    return {**msgspec.structs.asdict(info), "result": json_value(info.result)}


TIMES = ("queued_time", "started_time", "completed_time", "due_time")


@lru_cache(maxsize=1024)
def moment(ms: int) -> datetime | None:
    """An instant of the store as an aware datetime; 0: none."""
    return datetime.fromtimestamp(ms / 1000, UTC) if ms else None


def attempt_info(attempt: FailedAttempt) -> Attempt:
    """A failed attempt as users see it."""
    return Attempt(
        number=attempt.number,
        failed_time=moment(attempt.at),
        seconds=attempt.ran_ms / 1000,
        process=place_of(attempt.process) if attempt.process else None,
        how=attempt.how.value,
        group=attempt.group,
        error_type=attempt.kind or None,
        message=attempt.message or None,
        traceback=attempt.traceback or None,
    )


def info_of(task: Task, codec: Codec, attempts: Sequence[FailedAttempt] = ()) -> TaskInfo:
    """A record as users see it. Raises `ResultUnreadableError`."""
    call = task.call
    return TaskInfo(
        call.id,
        call.task_type,
        task.queue,
        call.priority,
        task.status,
        moment(task.queued_at),
        moment(task.started_at),
        moment(task.ended_at),
        result_of(task, codec),
        task.error or None,
        retries_of(task),
        task.attempt,
        moment(task.ready_at),
        place_of(holder_of(task.lease)) if task.lease else None,
        task.snoozes,
        tuple(map(attempt_info, attempts)),
        call.function,
        call.key or None,
        progress_of(task) if task.progress else None,
        checkpoint_of(task) if task.checkpoint else None,
    )


def checkpoint_of(task: Task) -> TaskCheckpoint | None:
    """Its checkpoint as users see it."""
    found = task.checkpoint
    return None if found is None else TaskCheckpoint(attempt=found.attempt, size=found.size)


def progress_of(task: Task) -> TaskProgress | None:
    """Its progress as users see it."""
    found = shown_progress(task)
    if found is None:
        return None
    return TaskProgress(value=found.value, message=found.message, time=moment(found.at))


def result_of(task: Task, codec: Codec, function: Callable[..., object] | None = None) -> Any:
    """The result as the function returned it, or plain data without a function; None if there is no result.

    Raises `ResultUnreadableError`.
    """
    if not task.result:
        return None
    try:
        return codec.decode_result(task.result, function, (task.call.function, task.call.id))
    except CodecError as error:
        raise ResultUnreadableError(task.id, error.reason) from error


def retries_of(task: Task) -> int:
    """Failures after which another attempt was due: that which made a dead letter isn't among them."""
    is_dead = task.status is TaskStatus.FAILED and settled_word(task) in ("fail", "fail_uncounted")
    return max(0, task.failures - is_dead)
