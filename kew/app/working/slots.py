"""The slots of one queue in one process: which runs hold them, and how many are reserved for claims on their way.

A run is granted, begins, settles and leaves; each of these moves is a method here, and nothing else keeps a table of
runs. A shutdown that waits for such moves is woken by each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

from kew.app.spawning import Owned, clean_context
from kew.app.working.runs import Run, Stop
from kew.log import logger


class Slots:
    """The runs of one queue, by lease. `size`: how many there may be; `background`: what else is being done for them.

    `is_closing`: nothing is to begin any more. `is_over`: nothing is to be reported either.
    """

    def __init__(self, queue: str, size: int) -> None:
        self.size = size
        self.is_closing = False
        self.is_over = False
        self._queue = queue
        self._runs: dict[str, Run] = {}
        self._reserved = 0
        self._changed = asyncio.Event()
        self.background = Owned(f"queue {queue}", self._changed.set, clean_context())

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs.values())

    def __len__(self) -> int:
        return len(self._runs)

    # --- the moves of a run

    def granted(self, runs: Sequence[Run]) -> None:
        """These hold slots from now on."""
        for run in runs:
            self._runs[run.task.lease] = run

    def settling(self, run: Run) -> None:
        """Its outcome is on its way to the store, which is to acknowledge it before the slot is free."""
        run.is_settling = True
        if self.is_closing:
            self._changed.set()

    def leave(self, run: Run) -> None:
        """Its slot is free."""
        self._runs.pop(run.task.lease, None)
        self._changed.set()

    # --- reservations

    def load(self) -> int:
        """Slots in use or reserved."""
        return len(self._runs) + self._reserved

    def reserve(self, slots: int) -> None:
        """Keep so many for the answer to a claim."""
        self._reserved += slots

    def release(self, slots: int) -> None:
        """The claim was answered, or given up."""
        self._reserved -= slots
        self._changed.set()

    # --- their end

    def ask_all_to_stop(self) -> None:
        """Cancel what runs, except threads."""
        for run in list(self._runs.values()):
            run.ask_to_stop(Stop.SHUTDOWN)

    @property
    def is_settling(self) -> bool:
        """The outcome of a run is on its way."""
        return any(run.is_settling for run in self)

    async def until(self, is_reached: Callable[[], bool], timeout: float) -> None:
        """Until this is so, at most `timeout` seconds; it is asked again after each move."""
        try:
            async with asyncio.timeout(timeout):
                while not is_reached():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            if timeout:
                left = ", ".join(repr(run.task.id) for run in self) or "(settling)"
                logger.warning(
                    "queue %s: still running after %.3g s, so it is stopped here and will run again, here or in "
                    "another process: %s",
                    self._queue,
                    timeout,
                    left,
                )
