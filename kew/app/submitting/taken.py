"""Submits whose ids are in use already: the caller may have the existing task instead of an error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal, Protocol

from kew.app.info import TaskInfo
from kew.app.submitting.encoding import Call, submitted_info
from kew.domain.errors import InvalidTaskError, TaskNotFoundError, named, shown
from kew.domain.requests import GroupOutcome, Word
from kew.domain.task import Submission

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

    def __init__(self) -> None:
        super().__init__()
        self.existing: tuple[str, ...] = ()
        self._stored: dict[str, TaskInfo] = {}

    @property
    def stored(self) -> list[TaskInfo]:
        """Those that the batch did store."""
        return list(self._stored.values())

    def add(
        self,
        piece: Sequence[Submission],
        existing: Mapping[str, TaskInfo],
        queue: str,
        now: datetime | None,
    ) -> None:
        """A piece is in: what it stored at `now`, and the `existing` tasks that its other calls met, by their ids."""
        for call in piece:
            info = existing.get(call.id)
            if info is None:
                info = self._stored[call.id] = submitted_info(call, queue, now)
            self.append(info)
        met = dict.fromkeys((*self.existing, *(info.task_id for info in existing.values())))
        self.existing = tuple(task_id for task_id in met if task_id not in self._stored)


def returns_existing(task_id: object, if_exists: object) -> bool:
    """Whether a submit is to return the task that has its id. Raises `InvalidTaskError` for what can't be said."""
    if if_exists in IF_EXISTS:
        return if_exists == RETURN
    reason = f"if_exists is one of {', '.join(map(repr, IF_EXISTS))}, not {shown(if_exists)}"
    raise InvalidTaskError(named(task_id), reason)


def checked_call(call: Call) -> Call:
    """The call of a submit that may meet an existing task. Raises `InvalidTaskError`."""
    if call.if_exists is not None:
        returns_existing(call.task_id, call.if_exists)
    return call


def met_by(outcome: GroupOutcome, call: Call) -> str:
    """The id of the existing task that answers a call; "": none does."""
    if outcome.met:
        return outcome.met[0][1]
    is_wanted = outcome.word is Word.DUPLICATE and call.if_exists == RETURN
    return outcome.task_id if is_wanted else ""


async def met_statuses(
    met: Sequence[tuple[str, str]], handle_of: Callable[[str], Existing]
) -> dict[str, TaskInfo]:
    """Those of the tasks that calls met, by the ids of the calls. Raises `TaskNotFoundError` if one has just gone."""
    found = await statuses(dict.fromkeys(task_id for _, task_id in met), handle_of)
    for _, task_id in met:
        if task_id not in found:
            raise TaskNotFoundError(task_id)
    return {own: found[task_id] for own, task_id in met}


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
