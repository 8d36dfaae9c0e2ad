"""Pages of a queue's tasks for people, with filters. Each request to the store is bounded."""

from __future__ import annotations

import asyncio
import base64
import binascii
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any, Final

import attrs
import msgspec

from kew.app.dead_letters import (
    DeadLetterOffice,
    Filter,
    check_cursor,
    instant_or_none,
    text_or_none,
)
from kew.app.info import TaskInfo, info_of
from kew.app.inspector import Inspector
from kew.app.pages import page_size
from kew.app.ports import Codec, ListWaiting, Running, TaskStore
from kew.app.repeat import ask
from kew.app.submitting.keying import key_text
from kew.domain.errors import InvalidConfigError, InvalidTaskError, shown
from kew.domain.listing import CallFilter, Part, Place, WaitingFilter, WaitingState
from kew.domain.suggestions import did_you_mean
from kew.domain.task import Task

RUNNING: Final = "running"
WAITING: Final = "waiting"
FAILED: Final = "failed"
STATES: Final = (RUNNING, WAITING, *map(str, WaitingState), FAILED)
MOST_REQUESTS: Final = 50  # for one page, so that a filter which fits nothing doesn't walk them all


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TaskPage:
    """Some tasks of a queue. `cursor`: what to pass to get those after them; None: there are no more.

    With filters, a page may have fewer than were asked for, or none, and not be the last.
    """

    tasks: tuple[TaskInfo, ...]
    cursor: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `TaskInfo.to_dict` writes each task."""
        return {"tasks": [dict(task) for task in self.tasks], "cursor": self.cursor}

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return msgspec.json.encode(self.to_dict()).decode()


@attrs.frozen(kw_only=True)
class TaskFilter:
    """Which tasks of a queue are meant; `state` None: any that has not completed or been cancelled."""

    state: str | None = None
    calls: CallFilter = CallFilter()

    @classmethod
    def of(
        cls,
        *,
        state: object,
        function: object,
        key: object,
        task_type: object = None,
        submitted_since: object = None,
        submitted_until: object = None,
    ) -> TaskFilter:
        """Checked. A naive datetime is local time. Raises `InvalidConfigError`."""
        if state is not None and state not in STATES:
            hint = did_you_mean(str(state), STATES)
            raise InvalidConfigError(
                f"state is one of {', '.join(STATES)}, or None, not {shown(state)}{hint}"
            )
        calls = CallFilter(
            function=text_or_none(function, "function"),
            key=None if key is None else _key(key),
            task_type=text_or_none(task_type, "task_type"),
            since_ms=instant_or_none(submitted_since, "submitted_since"),
            until_ms=instant_or_none(submitted_until, "submitted_until"),
        )
        return cls(state=None if state is None else str(state), calls=calls)

    @property
    def waiting(self) -> WaitingFilter:
        """Which waiting tasks are meant. Raises `InvalidConfigError` if none can be."""
        if self.state in (RUNNING, FAILED):
            raise InvalidConfigError(
                f"state is one of {', '.join((WAITING, *map(str, WaitingState)))}, or None, "
                f"where only waiting tasks are meant, not {shown(self.state)}"
            )
        is_one = self.state not in (None, WAITING)
        states = (WaitingState(str(self.state)),) if is_one else tuple(WaitingState)
        return WaitingFilter(states=states, **attrs.asdict(self.calls))

    @property
    def stages(self) -> tuple[str, ...]:
        """Where such tasks are, in the order of a list."""
        if self.state is None:
            return (RUNNING, WAITING, FAILED)
        return (self.state if self.state in (RUNNING, FAILED) else WAITING,)


def _key(key: object) -> str:
    try:
        return key_text("", key)
    except InvalidTaskError as error:
        raise InvalidConfigError(error.reason) from None


Position = Any  # how far a stage was read: None at its beginning, else what its reader wrote
Read = tuple[list[TaskInfo], Position]  # a piece of a stage, and where it goes on; None: nowhere


class TaskLists:
    """Reads a queue's tasks, stage by stage."""

    def __init__(
        self, store: TaskStore, codec: Codec, inspector: Inspector, dead_letters: DeadLetterOffice
    ) -> None:
        self._store = store
        self._codec = codec
        self._inspector = inspector
        self._dead_letters = dead_letters
        self._readers: dict[str, Callable[..., Awaitable[Read]]] = {
            RUNNING: self._running,
            WAITING: self._waiting,
            FAILED: self._failed,
        }

    async def page(
        self, queue: str, wanted: TaskFilter, *, limit: object, cursor: object
    ) -> TaskPage:
        """The next tasks. Raises `InvalidConfigError` and `QueueNotFoundError`."""
        most, stages = page_size(limit), wanted.stages
        stage, position = _opened(cursor, stages)
        found = list[TaskInfo]()
        for _ in range(MOST_REQUESTS):
            more, position = await self._readers[stage](queue, wanted, position, most - len(found))
            seen = {info.task_id for info in found}
            found += [info for info in more if info.task_id not in seen]  # it moved meanwhile
            if position is None:
                at = stages.index(stage) + 1
                if at == len(stages):
                    return TaskPage(tasks=tuple(found), cursor=None)
                stage = stages[at]
            if len(found) >= most:
                break
            await asyncio.sleep(0)  # others go on, even if the store never waits
        return TaskPage(tasks=tuple(found), cursor=_sealed(stage, position))

    async def _running(self, queue: str, wanted: TaskFilter, after: Position, limit: int) -> Read:
        """Longest running first: there are no more of them than slots."""
        await self._inspector.status(queue)
        tasks = [
            task for task in await ask(self._store, Running(queue)) if wanted.calls.means(task)
        ]
        left = sorted(place for task in tasks if (place := _running_place(task)) > _tuple(after))
        by_place = {_running_place(task): task for task in tasks}
        found = [info_of(by_place[place], self._codec) for place in left[:limit]]
        return found, left[limit - 1] if len(left) > limit else None

    async def _waiting(self, queue: str, wanted: TaskFilter, after: Position, limit: int) -> Read:
        place = None if after is None else _place(after)
        page = await ask(self._store, ListWaiting(queue, wanted.waiting, place, limit))
        if page is None:
            raise await self._inspector.missing(queue)
        found = [info_of(task, self._codec) for task in page.tasks]
        return found, None if page.after is None else attrs.astuple(page.after)

    async def _failed(self, queue: str, wanted: TaskFilter, after: Position, limit: int) -> Read:
        letters = Filter(calls=wanted.calls)
        page = await self._dead_letters.page(queue, letters, limit=limit, cursor=after)
        return list(page.tasks), page.cursor


def _running_place(task: Task) -> tuple[int, int, str]:
    return task.started_at, task.ticket, task.id


def _tuple(after: Position) -> tuple[int, int, str]:
    if after is None:
        return (-1, 0, "")
    started_at, ticket, task_id = msgspec.convert(after, tuple[int, int, str])
    return started_at, ticket, task_id


def _place(after: Position) -> Place:
    numbers = tuple[int, int, int, str, int, int, str]
    priority, part, scan, name, due_at, ticket, task_id = msgspec.convert(after, numbers)
    if not 1 <= priority <= 3 or min(scan, due_at, ticket) < 0:
        raise ValueError(f"no place: {after!r}")
    return Place(priority, Part(part), scan, name, due_at, ticket, task_id)


CHECKS: Final[dict[str, Callable[[Position], object]]] = {
    RUNNING: _tuple,
    WAITING: _place,
    FAILED: check_cursor,
}


def _sealed(stage: str, position: Position) -> str:
    """A cursor: letters, digits, '-' and '_'."""
    text = base64.urlsafe_b64encode(msgspec.json.encode([stage, position]))
    return text.decode().rstrip("=")


def _opened(cursor: object, stages: tuple[str, ...]) -> tuple[str, Position]:
    """Where a page begins. Raises `InvalidConfigError`."""
    if cursor is None:
        return stages[0], None
    try:
        text = str(cursor) if isinstance(cursor, str) else ""
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        stage, position = msgspec.json.decode(raw, type=tuple[str, Any])
        if stage not in stages:
            raise ValueError("a cursor of another list")
        if position is not None:
            CHECKS[stage](position)
        return stage, position
    except (ValueError, binascii.Error, msgspec.MsgspecError) as error:
        raise InvalidConfigError(
            f"cursor must be that of a page of tasks with the same state, or None, not {shown(cursor)}"
        ) from error
