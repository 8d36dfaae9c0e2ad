"""Looking up the records of tasks: what is asked for in one turn of the event loop shares a round trip."""

from __future__ import annotations

import asyncio
from typing import Final

from kew.app.ports import Find, TaskStore
from kew.app.repeat import ask
from kew.app.spawning import Owned
from kew.domain.config import check_name
from kew.domain.errors import (
    InvalidConfigError,
    QueueNotFoundError,
    StoreUnavailableError,
    StoreUnsuitableError,
    named,
)
from kew.domain.task import Found, Task, Unreadable

MOST_IDS: Final = 250  # in one round trip; how many bytes an answer has is bounded by the store
AT_ONCE: Final = 2  # the store looks for one piece while this process reads the other

Waiting = dict[str, list["asyncio.Future[Task | None]"]]


def known_queue(queue: object) -> str:
    """The name, if there can be a queue of that name, else `QueueNotFoundError`."""
    try:
        return check_name(queue)
    except InvalidConfigError:
        raise QueueNotFoundError(named(queue)) from None


class Lookups:
    """The look-ups of one process."""

    def __init__(self, store: TaskStore) -> None:
        self._store = store
        self._waiting: Waiting = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._pieces = Owned("looking up tasks", lambda: None)

    async def find(self, task_id: str) -> Task | None:
        """The record; None: there is none. Raises `StoreUnavailableError` or `StoreUnsuitableError`."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Task | None] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._begin)
        self._waiting.setdefault(task_id, []).append(answer)
        return await answer

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, {}
        ids = list(waiting)
        for start in range(0, len(ids), MOST_IDS):
            piece = {task_id: waiting[task_id] for task_id in ids[start : start + MOST_IDS]}
            self._pieces.begin(self._look(piece))

    async def _look(self, piece: Waiting) -> None:
        answers = [answer for each in piece.values() for answer in each]
        try:
            async with self._turns:
                found = await ask(self._store, Find(list(piece)))
        except (StoreUnavailableError, StoreUnsuitableError) as error:
            for answer in answers:
                if not answer.done():
                    own = type(error)(str(error))  # each caller adds to its traceback
                    own.__cause__ = error.__cause__
                    answer.set_exception(own)
        except Exception as error:  # noqa: BLE001 - a bug in the store's adapter: it belongs to the callers
            for answer in answers:
                if not answer.done():
                    answer.set_exception(error)
        except BaseException:
            for answer in answers:
                answer.cancel()
            raise
        else:
            for task, each in zip(found, piece.values(), strict=True):
                _give(each, task)


def _give(answers: list[asyncio.Future[Task | None]], found: Found) -> None:
    for answer in answers:
        if answer.done():
            continue
        if isinstance(found, Unreadable):
            answer.set_exception(found.error())
        else:
            answer.set_result(found)
