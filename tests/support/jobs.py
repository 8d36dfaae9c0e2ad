"""Tasks for tests with several processes: module-level functions that all of them can import."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any, TextIO

from kew import TaskContext
from tests.support.ledger import note


async def echo(value: Any = None) -> Any:
    """Return what was given."""
    return value


async def work(seconds: float = 0.0) -> int:
    """Take a while; returns the process id."""
    note("start")
    await asyncio.sleep(seconds)
    note("end")
    return os.getpid()


async def wait_for(path: str) -> int:
    """Run until a file exists; returns the fencing token."""
    note("start")
    try:
        while not Path(path).exists():  # noqa: ASYNC110, ASYNC240 - the test, in another process, makes it
            await asyncio.sleep(0.02)
    finally:
        note("end")
    return TaskContext.current().fencing_token


def wait_in_thread_for(path: str) -> int:
    """The same in a thread, which nothing can cancel."""
    note("start")
    while not Path(path).exists():
        time.sleep(0.02)
    note("end")
    return TaskContext.current().fencing_token


async def hold_the_loop(path: str) -> None:
    """Let nothing else of the process run until a file exists."""
    note("start")
    while not Path(path).exists():  # noqa: ASYNC240 - blocking is the point
        time.sleep(0.02)  # noqa: ASYNC251 - blocking is the point
    note("end")


def never_end() -> None:
    """A plain function that doesn't return."""
    note("start")
    while True:
        time.sleep(3600)


async def fail(message: str = "no luck") -> None:
    """Fail at once."""
    note("fail")
    raise RuntimeError(message)


async def fail_until(path: str) -> str:
    """Fail until a file exists."""
    note("start")
    if not Path(path).exists():  # noqa: ASYNC240 - a look, no reading
        raise RuntimeError("not yet")
    return "at last"


async def fail_until_then_wait(path: str, end: str) -> str:
    """Fail until a file exists, then run until another does."""
    note("start")
    if not Path(path).exists():  # noqa: ASYNC240 - a look, no reading
        raise RuntimeError("not yet")
    note("held")
    while not Path(end).exists():  # noqa: ASYNC110, ASYNC240 - the test, in another process, makes it
        await asyncio.sleep(0.02)
    return "at last"


opened: list[TextIO] = []  # for the test to close


async def open_file() -> TextIO:
    """Return what no codec can carry."""
    note("start")
    opened.append(Path(os.devnull).open())  # noqa: ASYNC230, SIM115 - the point is that it is open
    return opened[-1]


async def only_here() -> str:
    """A function that some processes don't know."""
    note("start")
    return "known after all"


async def die() -> None:
    """Kill this process."""
    note("start")
    os.kill(os.getpid(), signal.SIGKILL)


async def hang(path: str) -> None:
    """Wait for an answer of a socket that never comes."""
    note("start")
    reader, _writer = await asyncio.open_unix_connection(path)
    await reader.read(1)


async def refuse(host: str) -> None:
    """Fail as a call of a server that is down."""
    raise ConnectionError(f"no route to {host}")
