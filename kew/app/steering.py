"""What operators do to a queue in more than one request: its overrides, and emptying it."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from typing import Final

from kew.app.lookups import known_queue
from kew.app.observer import Kind
from kew.app.pages import page_size
from kew.app.ports import (
    CancelAll,
    Empty,
    LimitKey,
    ListKeyLimits,
    ListWaiting,
    QueueStatus,
    SetOverrides,
    TaskStore,
)
from kew.app.repeat import ask
from kew.app.submitting.keying import key_text
from kew.domain.config import SettingValue
from kew.domain.draining import is_draining
from kew.domain.errors import InvalidConfigError, InvalidTaskError, TaskQueueError, shown
from kew.domain.holding import check_by
from kew.domain.key_limits import KeyLimitPage, OwnLimits, as_key_limit
from kew.domain.listing import Place, WaitingFilter
from kew.domain.overrides import (
    SETTING_OF,
    Override,
    SettingInForce,
    as_overrides,
    as_settings,
    check_overridable,
    settings_of,
)
from kew.domain.requests import LifeRef, Word
from kew.domain.task import Task, TaskStatus
from kew.log import logger

AT_ONCE: Final = 200  # tasks that one step of emptying a queue looks at
LISTED_AT_ONCE: Final = 100  # tasks that one step of a purge with filters cancels
CURSOR: Final = re.compile(r"\d{1,20}", re.ASCII)
LAST_CURSOR: Final = (1 << 64) - 1  # a store that is given a larger one answers no question
EVERY_WAITING: Final = WaitingFilter()


class Steering:
    """Carries their requests to the store. `status`, `missing` and `report` are the inspector's."""

    def __init__(
        self,
        store: TaskStore,
        incarnation: str,
        status: Callable[[str], Awaitable[QueueStatus]],
        missing: Callable[[str], Awaitable[TaskQueueError]],
        report: Callable[[Kind, Task], None],
    ) -> None:
        self._store = store
        self._incarnation = incarnation
        self._status = status
        self._missing = missing
        self._report = report
        self._numbers = itertools.count(1)

    async def overrides(self, queue: str) -> dict[str, Override]:
        """Those in force, by name. Raises `QueueNotFoundError`."""
        return as_overrides((await self._status(queue)).state)

    async def settings(self, queue: str) -> dict[str, SettingInForce]:
        """Those that all processes share, by name. Raises `QueueNotFoundError`."""
        return settings_of((await self._status(queue)).state)

    async def set_overrides(self, queue: str, values: Mapping[str, object], by: str) -> None:
        """Add these, which `by` sets. Raises `InvalidConfigError` and `QueueNotFoundError`."""
        settings = as_settings(queue, values)
        who = check_by(by)
        if "max_size" in settings and is_draining((await self._status(queue)).state.settings):
            raise InvalidConfigError(
                f"queue {queue!r} is draining, so it accepts nothing: resume it before you change its max_size"
            )
        await self._change(queue, settings, (), who)

    async def remove_overrides(self, queue: str, names: Collection[str]) -> None:
        """Remove these, or all. Raises `InvalidConfigError` and `QueueNotFoundError`."""
        check_overridable(names)
        removed = tuple(SETTING_OF[name] for name in names or SETTING_OF)
        await self._change(queue, {}, removed, "")

    async def empty(self, queue: str) -> int:
        """Cancel what waits; how many that was. Raises `QueueNotFoundError`."""
        upto = (await self._status(queue)).state.ticket  # what comes later is not meant
        cancelled = 0
        while True:
            found, is_all = await self._pass(queue, upto)
            cancelled += found
            if is_all or not found:
                return cancelled

    async def _pass(self, queue: str, upto: int) -> tuple[int, bool]:
        """Look at all that waits: how many it cancelled, and whether none can have been hidden or moved meanwhile."""
        cancelled = skip = kept = steps = 0
        scan, is_more = -1, True
        while is_more:
            emptied = await ask(self._store, Empty(queue, upto, skip, AT_ONCE, scan))
            if emptied is None:
                raise await self._missing(queue)
            for task in emptied.cancelled:
                self._report("cancelled", task)
            skip, scan, is_more = emptied.skip, emptied.scan, emptied.more
            cancelled, kept = cancelled + len(emptied.cancelled), kept + emptied.kept
            steps += 1
            if is_more:
                await asyncio.sleep(0)  # others go on, even if the store never waits
        return cancelled, steps == 1 and not kept

    async def count(self, queue: str, wanted: WaitingFilter) -> int:
        """How many waiting tasks fit. Raises `QueueNotFoundError`."""
        status = await self._status(queue)
        if wanted == EVERY_WAITING:
            return sum(status.waiting.values())
        pages = self._waiting(queue, wanted, status.state.ticket)
        return sum([len(tasks) async for tasks in pages])

    async def purge(self, queue: str, wanted: WaitingFilter) -> int:
        """Cancel the waiting tasks that fit; how many that was. Raises `QueueNotFoundError`."""
        is_all = wanted == EVERY_WAITING
        cancelled = await (self.empty(queue) if is_all else self._purge_some(queue, wanted))
        if cancelled:
            tasks = "1 waiting task" if cancelled == 1 else f"{cancelled} waiting tasks"
            logger.info("queue %s: purged, %s cancelled", queue, tasks)
        return cancelled

    async def _purge_some(self, queue: str, wanted: WaitingFilter) -> int:
        cancelled, upto = 0, (await self._status(queue)).state.ticket
        async for tasks in self._waiting(queue, wanted, upto):
            refs = [LifeRef(task.id, task.life) for task in tasks]
            words = await ask(self._store, CancelAll(queue, refs))
            for task, word in zip(tasks, words, strict=True):
                if word is Word.DONE:
                    cancelled += 1
                    self._report("cancelled", task.moved(status=TaskStatus.CANCELLED))
        return cancelled

    async def _waiting(
        self, queue: str, wanted: WaitingFilter, upto: int
    ) -> AsyncIterator[list[Task]]:
        """Those with tickets up to this one, page by page."""
        after: Place | None = None
        while True:
            page = await ask(self._store, ListWaiting(queue, wanted, after, LISTED_AT_ONCE))
            if page is None:
                raise await self._missing(queue)
            tasks = [task for task in page.tasks if task.ticket <= upto]
            if tasks:
                yield tasks
            after = page.after
            if after is None:
                return
            await asyncio.sleep(0)  # others go on, even if the store never waits

    async def _change(
        self, queue: str, values: Mapping[str, SettingValue], removed: tuple[str, ...], by: str
    ) -> None:
        known_queue(queue)
        edition = f"{self._incarnation}.overrides.{next(self._numbers)}"
        word = await ask(self._store, SetOverrides(queue, values, removed, edition, by))
        if word is Word.NO_QUEUE:
            raise await self._missing(queue)

    # --- limits of keys

    async def limit_key(
        self, queue: str, key: object, own: OwnLimits | None, lasts_ms: int
    ) -> None:
        """Give a key limits of its own; None: none any more. Raises `InvalidConfigError`, `QueueNotFoundError`."""
        known_queue(queue)
        word = await ask(self._store, LimitKey(queue, key_named(key), own, lasts_ms))
        if word is Word.NO_QUEUE:
            raise await self._missing(queue)

    async def key_limits(
        self, queue: str, key: object, *, limit: object, cursor: object
    ) -> KeyLimitPage:
        """A page of those that keys have of their own. Raises `InvalidConfigError` and `QueueNotFoundError`."""
        known_queue(queue)
        name = "" if key is None else key_named(key)
        found = await ask(self._store, ListKeyLimits(queue, name, _scan(cursor), page_size(limit)))
        if found is None:
            raise await self._missing(queue)
        limits, after = found.limits, found.after
        return KeyLimitPage(
            [as_key_limit(key, limits[key]) for key in sorted(limits)],
            None if after is None else str(after),
        )


def _scan(cursor: object) -> int:
    """The place of a cursor. Raises `InvalidConfigError`."""
    if cursor is None:
        return 0
    if isinstance(cursor, str) and CURSOR.fullmatch(cursor) and int(cursor) <= LAST_CURSOR:
        return int(cursor)
    raise InvalidConfigError(
        f"cursor must be that of a page of key_limits, or None, not {shown(cursor)}"
    )


def key_named(key: object) -> str:
    """A key, given as for a submit. Raises `InvalidConfigError`."""
    try:
        text = key_text("", key)
    except InvalidTaskError as error:
        raise InvalidConfigError(error.reason) from None
    if not text:
        raise InvalidConfigError(
            "key takes a key as a submit does; tasks without a key have no limits"
        )
    return text
