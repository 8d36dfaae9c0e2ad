"""The effect ledger: what tasks really did, written by whichever process ran them, outside of any store.

A line is appended with one `write` of a file opened for appending, so lines of several processes never mix. `at` is the
monotonic clock of the machine, which its processes share.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import attrs

from kew import TaskContext

ENVIRONMENT = "KEW_TEST_LEDGER"


@attrs.frozen(kw_only=True)
class Entry:
    """Something that an attempt did."""

    what: str
    task: str
    attempt: int
    token: int
    pid: int
    at: float


def note(what: str) -> None:
    """Write down what the running attempt does, in the ledger that the environment names."""
    context = TaskContext.current()
    entry = Entry(
        what=what,
        task=context.task_id,
        attempt=context.attempt,
        token=context.fencing_token,
        pid=os.getpid(),
        at=time.monotonic(),
    )
    line = json.dumps(attrs.asdict(entry)) + "\n"
    file = os.open(os.environ[ENVIRONMENT], os.O_APPEND | os.O_WRONLY | os.O_CREAT)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


@attrs.frozen
class Ledger:
    """Reading it."""

    path: Path

    def entries(self, what: str | None = None, task: str | None = None) -> list[Entry]:
        """What was written so far, oldest first."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        found = [Entry(**json.loads(line)) for line in lines]
        return [
            entry for entry in found if what in (None, entry.what) and task in (None, entry.task)
        ]

    async def until(
        self, what: str, *, task: str | None = None, count: int = 1, seconds: float = 90.0
    ) -> list[Entry]:
        """The entries of that kind, once there are `count`."""
        found: list[Entry] = []

        def enough() -> bool:
            found[:] = self.entries(what, task)
            return len(found) >= count

        await until(enough, f"{count} x {what!r} in the ledger", seconds)
        return found

    def most_at_once(self) -> int:
        """The largest number of attempts that were between "start" and "end" at one instant."""
        steps = [(e.at, 1) for e in self.entries("start")] + [
            (e.at, -1) for e in self.entries("end")
        ]
        running = most = 0
        for _, step in sorted(steps):
            running += step
            most = max(most, running)
        return most


async def until(is_so: Callable[[], object], what: str, seconds: float = 90.0) -> None:
    """Return once `is_so()`, looking often; fail after `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            while not is_so():  # noqa: ASYNC110 - another process decides it, and can't set an event here
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {seconds:g} s: {what}") from None
