"""What a full queue's error says of the queue: how many tasks may wait, and when there is room again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import attrs

from kew.app.ports import History, ReadSettings, TaskStore
from kew.app.repeat import ask
from kew.domain.errors import KeyFullError, StoreUnavailableError, StoreUnsuitableError
from kew.domain.history import MINUTE_MS, RECENT, rates_of
from kew.domain.pace import Pace
from kew.domain.task import Submission


@attrs.frozen
class Full:
    """`max_size` 0, `retry_after` None (seconds): not known."""

    max_size: int = 0
    retry_after: float | None = None


UNKNOWN_FULL = Full()


class Fullness:
    """Looks at full queues, and measures their pace from one look to the next. Until then, their history says it."""

    def __init__(self, store: TaskStore) -> None:
        self._store = store
        self._paces: dict[str, Pace] = {}

    async def of(self, queue: str, tasks: int = 1) -> Full:
        """What is known of a queue that refused so many tasks; nothing if the store doesn't answer."""
        try:
            found = await ask(self._store, ReadSettings(queue))
        except (StoreUnavailableError, StoreUnsuitableError):
            return UNKNOWN_FULL
        if found is None:
            return UNKNOWN_FULL
        at, left = asyncio.get_running_loop().time(), found.ticket - found.waiting
        pace = self._paces.get(queue, Pace(at, left)).seen(at, left)
        self._paces[queue] = pace
        if pace.rate is None:
            pace = Pace(at, left, await self._drained_per_second(queue))
        max_size = found.settings.max_size
        return Full(max_size, pace.retry_after(found.waiting + tasks - max_size))

    async def _drained_per_second(self, queue: str) -> float | None:
        """What the queue's history says; None: nothing."""
        try:
            past = await ask(self._store, History(queue, MINUTE_MS, RECENT + 1))
        except (StoreUnavailableError, StoreUnsuitableError):
            return None
        return rates_of(past).drained / 60 or None if past else None


def key_full(
    queue: str, piece: Sequence[Submission], task_id: str, accepted: Sequence[str]
) -> KeyFullError:
    """The key of this task of the piece has no place left."""
    key = next(each.key for each in piece if each.id == task_id)
    return KeyFullError(queue, key, task_id, accepted)
