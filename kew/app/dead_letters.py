"""Dead letters for people: lists with filters, groups, and replays and purges of many. Each request is bounded."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import attrs
import msgspec

from kew.app.info import TaskInfo, info_of, moment
from kew.app.inspector import Inspector
from kew.app.pages import page_size
from kew.app.ports import (
    Bookmark,
    Codec,
    DeadLetters,
    FailureGroup,
    Forget,
    ListFailed,
    ListGroups,
    ReplayAll,
    TaskStore,
)
from kew.app.repeat import ask
from kew.domain.attempts import FailedAttempt
from kew.domain.config import to_ms
from kew.domain.errors import InvalidConfigError, QueueDrainingError, shown
from kew.domain.listing import CallFilter
from kew.domain.requests import LifeRef, Word
from kew.domain.task import Task, TaskStatus

AT_ONCE: Final = 100  # dead letters, in one request
GROUPS_AT_ONCE: Final = 50
MOST_PAGES: Final = (
    50  # that a list looks at, so that a filter which fits nothing doesn't walk them all
)
MOST_SPACING: Final = 86_400  # seconds
CURSOR: Final = re.compile(r"(\d{1,15})\.(\d{1,12})\.(.{1,256})", re.DOTALL)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetterPage:
    """Some dead letters of a queue. `cursor`: what to pass to get those after them; None: there are no more.

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


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetterGroup:
    """Dead letters of a queue that failed in one way: the error's type, and the user's code where it was raised.

    `name` is for `dead_letters(queue, group=name)`, `example` the id of the task that is kept longest. `first_time` and
    `last_time` are when the first and the last of those failed that are kept now.
    """

    name: str
    count: int
    first_time: datetime | None
    last_time: datetime | None
    example: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, times as ISO 8601 text."""
        times = {"first_time": self.first_time, "last_time": self.last_time}
        texts = {name: time.isoformat() if time else None for name, time in times.items()}
        return {**dataclasses.asdict(self), **texts}

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return msgspec.json.encode(self.to_dict()).decode()


def text_or_none(value: object, name: str) -> str | None:
    """A filter's text. Raises `InvalidConfigError`."""
    if value is not None and (not isinstance(value, str) or not value):
        raise InvalidConfigError(f"{name} takes a text or None, not {shown(value)}")
    return value


def instant_or_none(value: object, name: str) -> int | None:
    """A filter's instant (ms). Raises `InvalidConfigError`."""
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise InvalidConfigError(f"{name} takes a datetime or None, not {shown(value)}")
    return round(value.timestamp() * 1000)


@attrs.frozen(kw_only=True)
class Filter:
    """Which dead letters are meant. Instants are those at which they failed for good (ms); None: any."""

    group: str | None = None
    calls: CallFilter = CallFilter()
    since_ms: int | None = None
    until_ms: int | None = None

    @classmethod
    def of(
        cls,
        *,
        group: str | None,
        task_type: str | None,
        function: str | None,
        since: datetime | None,
        until: datetime | None,
    ) -> Filter:
        """Checked. A naive datetime is local time. Raises `InvalidConfigError`."""
        calls = CallFilter(
            function=text_or_none(function, "function"),
            task_type=text_or_none(task_type, "task_type"),
        )
        return cls(
            group=text_or_none(group, "group"),
            calls=calls,
            since_ms=instant_or_none(since, "since"),
            until_ms=instant_or_none(until, "until"),
        )

    @property
    def is_selective(self) -> bool:
        """Whether only some of the group's dead letters are meant."""
        return attrs.evolve(self, group=None) != ANY

    def fits(self, task: Task) -> bool:
        """Whether a dead letter of the group is meant."""
        return (
            self.calls.means(task)
            and (self.since_ms is None or task.ended_at >= self.since_ms)
            and (self.until_ms is None or task.ended_at < self.until_ms)
        )


ANY: Final = Filter()
Letter = tuple[Task, FailedAttempt | None]


class DeadLetterOffice:
    """Reads dead letters for people, and carries out what they ask for many of them."""

    def __init__(self, store: TaskStore, codec: Codec, inspector: Inspector) -> None:
        self._store = store
        self._codec = codec
        self._inspector = inspector

    # --- reading

    async def page(
        self, queue: str, wanted: Filter, *, limit: int, cursor: str | None
    ) -> DeadLetterPage:
        """The next dead letters. Raises `InvalidConfigError` and `QueueNotFoundError`."""
        most, after = page_size(limit), _bookmark(cursor)
        found: list[Letter] = []
        for _ in range(MOST_PAGES):
            left = most - len(found)
            page = await self._read(queue, wanted, after, AT_ONCE if wanted.is_selective else left)
            fitting = [letter for letter in _letters(page) if wanted.fits(letter[0])]
            found += fitting[:left]
            after = page.after if len(fitting) <= left else _bookmark_of(found[-1][0])
            if after is None or len(found) >= most:
                break
        return DeadLetterPage(tasks=tuple(map(self._info, found)), cursor=_cursor(after))

    def _info(self, letter: Letter) -> TaskInfo:
        task, last = letter
        return info_of(task, self._codec, [last] if last else [])

    async def _read(
        self, queue: str, wanted: Filter, after: Bookmark | None, limit: int
    ) -> DeadLetters:
        limit = min(limit, AT_ONCE)
        page = await ask(self._store, ListFailed(queue, after, limit, wanted.group))
        if page is None:
            raise await self._inspector.missing(queue)
        await asyncio.sleep(0)  # others go on, even if the store never waits
        return page

    async def each(self, queue: str, limit: int | None) -> AsyncIterator[TaskInfo]:
        """All of them, at most `limit`. Raises `QueueNotFoundError`."""
        left = limit
        async for page in self._pages(queue, ANY):
            letters = _letters(page)[:left]
            for letter in letters:
                yield self._info(letter)
            left = None if left is None else left - len(letters)
            if left is not None and left <= 0:
                return

    async def _pages(self, queue: str, wanted: Filter) -> AsyncIterator[DeadLetters]:
        after: Bookmark | None = None
        while True:
            page = await self._read(queue, wanted, after, AT_ONCE)
            yield page
            after = page.after
            if after is None:
                return

    async def groups(self, queue: str) -> list[DeadLetterGroup]:
        """All groups, the one that failed last first. Raises `QueueNotFoundError`."""
        found, after = list[FailureGroup](), ""
        while True:
            page = await ask(self._store, ListGroups(queue, after, GROUPS_AT_ONCE))
            if page is None:
                raise await self._inspector.missing(queue)
            found += page.groups
            if page.after is None:
                break
            after = page.after
        found.sort(key=lambda group: (-group.last_at, group.name))
        return [
            DeadLetterGroup(
                name=group.name,
                count=group.count,
                first_time=moment(group.first_at),
                last_time=moment(group.last_at),
                example=group.example,
            )
            for group in found
        ]

    # --- commands

    async def replay(self, queue: str, wanted: Filter, *, limit: int | None, every: float) -> int:
        """Replay those that fit, at most `limit`, one every so many seconds; how many that were.

        Raises `QueueNotFoundError`, `QueueDrainingError`, and `StoreUnavailableError` with some of them replayed: a
        repeat replays the rest.
        """
        loop, every_ms, done = asyncio.get_running_loop(), to_ms(every), 0
        began = loop.time()
        async for tasks in self._fitting(queue, wanted, limit):
            passed_ms = round((loop.time() - began) * 1000)
            first_ms = max(0, done * every_ms - passed_ms)
            refs = [LifeRef(task.id, task.life) for task in tasks]
            words = await ask(self._store, ReplayAll(queue, refs, first_ms, every_ms))
            if Word.DRAINING in words:
                raise QueueDrainingError(queue)
            for task, word in zip(tasks, words, strict=True):
                if word is Word.DONE:
                    done += 1
                    self._inspector.report("replayed", task.moved(status=TaskStatus.QUEUED))
        return done

    async def purge(self, queue: str, wanted: Filter, *, limit: int | None) -> int:
        """Remove those that fit, at most `limit`; how many that were. Raises as `replay` does."""
        done = 0
        async for tasks in self._fitting(queue, wanted, limit):
            done += await self.forget(queue, tasks)
        return done

    async def forget(self, queue: str, tasks: Sequence[Task]) -> int:
        """Remove these dead letters, unless they were replayed meanwhile; how many that were."""
        refs = [LifeRef(task.id, task.life) for task in tasks]
        words = await ask(self._store, Forget(queue, refs))
        return list(words).count(Word.DONE)

    async def _fitting(
        self, queue: str, wanted: Filter, limit: int | None
    ) -> AsyncIterator[list[Task]]:
        left = limit
        async for page in self._pages(queue, wanted):
            tasks = [task for task in page.tasks if wanted.fits(task)][:left]
            if tasks:
                yield tasks
            left = None if left is None else left - len(tasks)
            if left is not None and left <= 0:
                return


def _letters(page: DeadLetters) -> list[Letter]:
    return list(zip(page.tasks, page.attempts, strict=True))


def checked_spacing(every: object) -> float:
    """Seconds between two replays; 0 for None. Raises `InvalidConfigError`."""
    seconds = every.total_seconds() if isinstance(every, timedelta) else every
    if seconds is None:
        return 0.0
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not 0 <= seconds <= MOST_SPACING:  # type: ignore[operator]  # it is a number
        raise InvalidConfigError(
            f"every must be from 0 to {MOST_SPACING} seconds or a timedelta, not {shown(every)}"
        )
    return float(seconds)  # type: ignore[arg-type]  # the same


def _bookmark_of(task: Task) -> Bookmark:
    return Bookmark(task.expires_at, task.ticket, task.id)


def _cursor(after: Bookmark | None) -> str | None:
    return None if after is None else f"{after.expires_at}.{after.ticket}.{after.task_id}"


def check_cursor(cursor: object) -> None:
    """Raises `InvalidConfigError` for what can't be the cursor of a page."""
    _bookmark(cursor)


def _bookmark(cursor: object) -> Bookmark | None:
    if cursor is None:
        return None
    found = CURSOR.fullmatch(cursor) if isinstance(cursor, str) else None
    if found is None:
        raise InvalidConfigError(
            f"cursor must be that of a page of dead letters, or None, not {shown(cursor)}"
        )
    return Bookmark(int(found[1]), int(found[2]), found[3])
