"""What happened in queues, as people read it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from kew.app.lookups import known_queue
from kew.app.ports import History, Pasts, TaskStore
from kew.app.repeat import ask
from kew.domain.errors import TaskQueueError
from kew.domain.history import QueueHistory, check_span, history_of


class Histories:
    """Asks the store for them. `missing` is the inspector's."""

    def __init__(
        self, store: TaskStore, missing: Callable[[str], Awaitable[TaskQueueError]]
    ) -> None:
        self._store = store
        self._missing = missing

    async def of_all(self, queues: Sequence[str], span: object) -> dict[str, QueueHistory]:
        """Those of these queues, by name, without those that there are not. Raises `InvalidConfigError`."""
        step_ms, steps = check_span(span)
        found = await ask(self._store, Pasts(tuple(queues), step_ms, steps))
        pairs = zip(queues, found, strict=True)
        return {queue: history_of(queue, past) for queue, past in pairs if past is not None}

    async def of(self, queue: str, span: object) -> QueueHistory:
        """A queue's last `span` seconds. Raises `InvalidConfigError` and `QueueNotFoundError`."""
        known_queue(queue)
        step_ms, steps = check_span(span)
        past = await ask(self._store, History(queue, step_ms, steps))
        if past is None:
            raise await self._missing(queue)
        return history_of(queue, past)
