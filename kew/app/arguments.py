"""The arguments of a task as plain data, for people. Reading them never runs code of the payload."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol, runtime_checkable

from kew.app.json_values import json_value
from kew.app.ports import Arguments, Binding, Codec, CodecError, ReadPayload
from kew.app.process import Process
from kew.app.repeat import ask


@runtime_checkable
class PlainCalls(Protocol):
    """A codec that can show a call's arguments without its function."""

    def read_call(self, payload: bytes, binding: Binding) -> Arguments:
        """The arguments as plain data. Raises `CodecError`."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TaskArguments:
    """What a task was called with, as plain data: a tuple is a list, a dataclass a dict, a UUID text.

    `unreadable` says why they can't be shown (then `args` and `kwargs` are None), or is None.
    """

    args: list[Any] | None
    kwargs: dict[str, Any] | None
    unreadable: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, all of which JSON has."""
        return {name: json_value(getattr(self, name)) for name in ("args", "kwargs", "unreadable")}


async def read_arguments(here: Process, task_id: str) -> TaskArguments:
    """The task's arguments. Raises `TaskNotFoundError`."""
    task = await here.inspector.find(task_id)
    payload = await ask(here.parts.store, ReadPayload(task_id))
    if payload is None:
        return _unreadable("a completed task keeps no arguments")
    return _shown(payload, (task.call.function, task_id), here.parts.codec)


def _shown(payload: bytes, binding: Binding, codec: Codec) -> TaskArguments:
    if not isinstance(codec, PlainCalls):
        return _unreadable(f"{type(codec).__name__} can't show arguments without running code")
    try:
        args, kwargs = codec.read_call(payload, binding)
    except CodecError as error:
        return _unreadable(error.reason)
    return TaskArguments(args=list(args), kwargs=dict(kwargs))


def _unreadable(reason: str) -> TaskArguments:
    return TaskArguments(args=None, kwargs=None, unreadable=reason)
