"""Where plain functions run: daemon threads, so that one which doesn't end can't keep the interpreter alive."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import Awaitable, Callable

from kew.app.ports import Threads
from kew.compat import override

Job = tuple[Callable[[], object], contextvars.Context, "asyncio.Future[object]"]
IDLE_SECONDS = 30.0


class DaemonThreads(Threads):
    """As many threads as calls at once (callers bound them by slots); an idle one ends after a while."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._idle = 0
        self._lock = threading.Lock()

    @override
    def run(self, call: Callable[[], object]) -> Awaitable[object]:
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        with self._lock:
            spawn = self._idle == 0
            self._idle -= not spawn
        if spawn:  # first: if no thread can be started, nothing may be left to run later
            threading.Thread(target=self._serve, name="kew-task", daemon=True).start()
        self._jobs.put((call, contextvars.copy_context(), future))
        return future

    def _serve(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    if self._idle:  # not promised to a caller in this very moment
                        self._idle -= 1
                        return
                continue
            self._work(*job)
            with self._lock:
                self._idle += 1

    def _work(
        self,
        call: Callable[[], object],
        context: contextvars.Context,
        future: asyncio.Future[object],
    ) -> None:
        try:
            value, error = context.run(call), None
        except BaseException as raised:  # noqa: BLE001 - it belongs to the task, not to this thread
            value, error = None, raised
        loop = future.get_loop()
        try:
            loop.call_soon_threadsafe(_deliver, future, value, error)
        except RuntimeError:
            return  # the loop was closed meanwhile, so no caller waits any more


def _deliver(future: asyncio.Future[object], value: object, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is None:
        future.set_result(value)
    elif isinstance(error, StopIteration | GeneratorExit):  # thrown into a coroutine, these end it
        told = RuntimeError(f"the task raised {type(error).__name__}")
        told.__cause__ = error
        future.set_exception(told)
    else:
        future.set_exception(error)
