"""Submits whose ids are in use already: the caller may have the existing task instead of an error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal, Protocol

from kew.app.info import TaskInfo
from kew.domain.errors import InvalidTaskError, TaskNotFoundError, named, shown

IfExists = Literal["raise", "return"]
RAISE: Final = "raise"
RETURN: Final = "return"
IF_EXISTS: Final = (RAISE, RETURN)


class Existing(Protocol):
    """A handle on a task that is there already."""

    async def status(self) -> TaskInfo: ...


class SubmittedTasks(list[TaskInfo]):
    """The statuses of a batch's tasks, in its order.

    `existing`: the ids of those that were there before, which the batch did not store.
    """

    def __init__(self, infos: Iterable[TaskInfo] = (), existing: Sequence[str] = ()) -> None:
        super().__init__(infos)
        self.existing = tuple(existing)

    @property
    def stored(self) -> list[TaskInfo]:
        """Those that the batch did store."""
        existing = set(self.existing)
        return [info for info in self if info.task_id not in existing]


def returns_existing(task_id: object, if_exists: object) -> bool:
    """Whether a submit is to return the task that has its id. Raises `InvalidTaskError` for what can't be said."""
    if if_exists in IF_EXISTS:
        return if_exists == RETURN
    reason = f"if_exists is one of {', '.join(map(repr, IF_EXISTS))}, not {shown(if_exists)}"
    raise InvalidTaskError(named(task_id), reason)


async def statuses(
    task_ids: Iterable[str], handle_of: Callable[[str], Existing]
) -> dict[str, TaskInfo]:
    """Those of the tasks that there are, by id."""
    found = await asyncio.gather(*(_status(handle_of(task_id)) for task_id in task_ids))
    return {info.task_id: info for info in found if info is not None}


async def _status(handle: Existing) -> TaskInfo | None:
    try:
        return await handle.status()
    except TaskNotFoundError:
        return None
