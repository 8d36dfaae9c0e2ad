"""One worker process: run a program's queues until a signal, or until nothing waits."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import attrs

from kew import TaskQueueError, TaskQueueManager
from kew.app.ports import Peek, StoreError
from kew.cli.apps import AppError, manager_of_app
from kew.cli.exits import Exit, code_of
from kew.cli.output import one_line

LINE: Final = "%(asctime)s %(levelname)s %(message)s"
OF_PARENT: Final = "KEW_WORKER_PARENT"
"""Set for a process that ends when its standard input does: its parent has gone."""
LOOK_SECONDS: Final = 0.2
SOON_MS: Final = 60_000  # a task that can't start by then keeps no burst going
logger = logging.getLogger("kew.worker")


@attrs.frozen(kw_only=True)
class Work:
    """What one process is to do."""

    target: str
    folder: str
    queues: tuple[str, ...]
    is_burst: bool
    grace: float
    health_file: Path | None


def work(what: Work) -> int:
    """Do it, and return the exit code. (This is a program; the library never installs signal handlers.)"""
    logging.basicConfig(level=logging.INFO, format=LINE)
    try:
        return asyncio.run(_Worker(what).run())
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


class _Worker:
    """The first signal shuts down, and waits for running tasks; a second one waits no longer."""

    def __init__(self, what: Work) -> None:
        self._what = what
        self._stop = asyncio.Event()
        self._main: asyncio.Task[int] | None = None
        self._hurried_by: int | None = None

    async def run(self) -> int:
        self._main = asyncio.current_task()
        self._listen()
        try:
            return await self._work()
        except asyncio.CancelledError:
            if self._hurried_by is None:
                raise
            return 128 + self._hurried_by
        except AppError as error:
            return fail(error, Exit.USAGE)
        except TaskQueueError as error:
            return fail(error, code_of(error))

    async def _work(self) -> int:
        manager = await manager_of_app(self._what.target, self._what.folder)
        with _silence():
            await manager.initialize()
        try:
            await manager.create_queues(*self._what.queues)
            reporting = asyncio.create_task(self._report_health(manager))
            until = self._until_done(manager) if self._what.is_burst else self._stop.wait()
            await until
            reporting.cancel()
        finally:
            await manager.shutdown(timeout=self._what.grace)
            self._forget_health()
        return Exit.OK

    # --- stopping

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            _on_signal(loop, number, self._asked)
        if os.environ.get(OF_PARENT):
            watching = threading.Thread(target=self._outlive_no_parent, args=(loop,), daemon=True)
            watching.start()

    def _asked(self, number: int) -> None:
        if not self._stop.is_set():
            self._stop.set()
        elif self._main is not None:
            self._hurried_by = number
            self._main.cancel()

    def _outlive_no_parent(self, loop: asyncio.AbstractEventLoop) -> None:
        while os.read(0, 1):  # not by sys.stdin, whose lock this thread would hold at the end
            pass
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(self._stop.set)

    async def _until_done(self, manager: TaskQueueManager) -> None:
        while not self._stop.is_set() and not await _is_done(manager):
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._stop.wait()
            except TimeoutError:
                continue

    # --- health

    async def _report_health(self, manager: TaskQueueManager) -> None:
        """Write the health file once a second: a probe that finds an old one knows enough."""
        path = self._what.health_file
        while path is not None:
            health = await manager.health()
            beside = path.with_name(f".{path.name}.{os.getpid()}")
            try:
                beside.write_text(json.dumps({**health.to_dict(), "at": time.time()}))
                beside.replace(path)
            except OSError as error:
                logger.warning("the health file can't be written: %s", error)
            await asyncio.sleep(1)

    def _forget_health(self) -> None:
        if self._what.health_file is not None:
            self._what.health_file.unlink(missing_ok=True)


async def _is_done(manager: TaskQueueManager) -> bool:
    """Nothing runs here, and nothing waits that can start soon."""
    process = manager._here()
    if any(worker.load() for worker in process.workers.values()):
        return False
    for queue in process.workers:
        try:
            peeked = await process.parts.store.do(Peek(queue))
        except StoreError:  # kew waits for the store, and so does a burst
            return False
        if peeked.has_waiting and peeked.wait_ms is not None and peeked.wait_ms <= SOON_MS:
            return False
    return not any(worker.load() for worker in process.workers.values())


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep back warnings of what is about to be an error, and printed as one."""

    def is_told(record: logging.LogRecord) -> bool:
        return record.levelno < logging.WARNING

    log = logging.getLogger("kew")
    log.addFilter(is_told)
    try:
        yield
    finally:
        log.removeFilter(is_told)


def _on_signal(loop: asyncio.AbstractEventLoop, number: int, act: Callable[[int], None]) -> None:
    try:
        loop.add_signal_handler(number, act, number)
    except NotImplementedError:  # Windows
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(act, number))


def fail(reason: object, code: int) -> int:
    """One line on standard error."""
    sys.stderr.write(f"kew: {one_line(reason)}\n")
    return code
