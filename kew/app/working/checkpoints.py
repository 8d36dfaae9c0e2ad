"""What running tasks save for their next attempts: encoded as results are, and refused to a run that lost its lease."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from kew.app.ports import Codec, CodecError, SaveCheckpoint, TaskStore
from kew.app.repeat import until_answered
from kew.app.spawning import running_loop
from kew.app.working.runs import Run, Stop
from kew.domain.errors_in_tasks import InvalidCheckpointError, LeaseLostError
from kew.domain.requests import Word
from kew.domain.task import Checkpoint


def anything() -> Any:
    """Its annotation says that a checkpoint may be of any type that a result may be of."""


class Checkpoints:
    """Saves and reads the checkpoints of one worker's runs."""

    def __init__(self, queue: str, store: TaskStore, codec: Codec) -> None:
        self._queue = queue
        self._store = store
        self._codec = codec
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)  # they only have to grow within an attempt

    async def save(self, run: Run, value: object) -> None:
        """Keep a value in place of the last one; once this returns, the store has it.

        Waits for a store that doesn't answer until the run is stopped. Raises `InvalidCheckpointError`, and
        `LeaseLostError` if another run may have begun: then nothing was kept, and this one is stopped.
        """
        number, data = next(self._numbers), self._encoded(run, value)
        request = SaveCheckpoint(self._queue, run.ref, number, data)
        what = f"queue {self._queue}: checkpoint"
        word = await until_answered(what, lambda: self._store.do(request))
        if word is Word.STALE:
            run.ask_to_stop(Stop.LOST)
            raise LeaseLostError(run.task.id)
        kept = run.task.checkpoint
        if kept is None or kept.attempt != run.task.attempt or kept.number < number:
            saved = Checkpoint(attempt=run.task.attempt, number=number, size=len(data), data=data)
            run.task = run.task.moved(checkpoint=saved)
        if word is Word.CANCEL:
            run.ask_to_stop(Stop.CANCEL)

    def save_from_thread(self, run: Run, value: object) -> None:
        """The same, for a thread, which it blocks meanwhile."""
        if running_loop() is not None:
            raise RuntimeError("this blocks the event loop: write `await context.checkpoint(...)`")
        asyncio.run_coroutine_threadsafe(self.save(run, value), self._loop).result()

    def read(self, run: Run) -> Any:
        """What was saved last, decoded again at each call; None: nothing. Raises `InvalidCheckpointError`."""
        checkpoint = run.task.checkpoint
        if checkpoint is None:
            return None
        try:
            return self._codec.decode_result(checkpoint.data, anything, _binding(run))
        except CodecError as error:
            raise InvalidCheckpointError(f"it can't be read here: {error.reason}") from error

    def _encoded(self, run: Run, value: object) -> bytes:
        try:
            return self._codec.encode_result(value, anything, _binding(run))
        except CodecError as error:
            raise InvalidCheckpointError(f"it can't be stored: {error.reason}") from error


def _binding(run: Run) -> tuple[str, str]:
    return run.task.call.function, run.task.call.id
