"""`TaskInfo`: a task's status as users see it."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from kew.app.ports import Codec, CodecError
from kew.domain.errors import ResultUnreadableError
from kew.domain.lifecycle import settled_word
from kew.domain.task import Task, TaskStatus


class TaskInfo(msgspec.Struct, frozen=True, weakref=True):
    """One task at one moment: a value, which `msgspec.structs.replace` copies with changes.

    Times are aware datetimes in UTC, by the store's clock; `result` is plain data.

    `retry_count` counts failed attempts after which another was due.
    `error` is that of the last failed attempt ("ValueError: ..."), `attempt` the number of runs begun so far.
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

    def to_dict(self) -> dict[str, Any]:
        """Plain values: times as ISO 8601 text, the status as text, the result as it is."""
        values = msgspec.structs.asdict(self)
        for name in TIMES:
            values[name] = values[name].isoformat() if values[name] else None
        values["status"] = self.status.value
        return values

    def to_json(self) -> str:
        """`to_dict` as JSON; what JSON can't carry (bytes, dates, keys that are tuples) becomes text."""
        return json.dumps(_with_text_keys(self.to_dict()), default=_as_text)

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
            return cls(**known)
        except (AttributeError, TypeError) as error:
            raise ValueError(f"not a TaskInfo: {error}") from error


TIMES = ("queued_time", "started_time", "completed_time")


def _as_text(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _with_text_keys(value: object) -> object:
    if isinstance(value, dict):
        return {_key(key): _with_text_keys(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_text_keys(item) for item in value]
    return value


def _key(key: object) -> object:
    """A key as JSON has them: it writes numbers, booleans and None as text by itself."""
    return key if isinstance(key, str | int | float | None) else _as_text(key)


@lru_cache(maxsize=1024)
def moment(ms: int) -> datetime | None:
    """An instant of the store as an aware datetime; 0: none."""
    return datetime.fromtimestamp(ms / 1000, UTC) if ms else None


def info_of(task: Task, codec: Codec) -> TaskInfo:
    """What a record tells a user. Raises `ResultUnreadableError`."""
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
    )


def result_of(task: Task, codec: Codec, annotation: object = None) -> Any:
    """The result, plain or of the annotated type; None without one. Raises `ResultUnreadableError`."""
    if not task.result:
        return None
    try:
        return codec.decode_result(task.result, annotation)
    except CodecError as error:
        raise ResultUnreadableError(task.id, error.reason) from error


def retries_of(task: Task) -> int:
    """Failures after which another attempt was due: that which made a dead letter isn't among them."""
    is_dead = task.status is TaskStatus.FAILED and settled_word(task) == "fail"
    return max(0, task.failures - is_dead)
