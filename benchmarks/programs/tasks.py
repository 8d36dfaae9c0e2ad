"""The task that every program runs, and a count of how often it ran."""

import asyncio
import time


class Tally:
    """What the task did in this process."""

    def __init__(self) -> None:
        self.count = 0
        self.first_at = 0.0
        self.last_at = 0.0
        self.goal_at = 0.0
        self._goal = 0
        self._reached = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run_in_threads(self) -> None:
        """The task runs in another thread than the one that waits here."""
        self._loop = asyncio.get_running_loop()

    def expect(self, goal: int) -> None:
        """Begin to count anew."""
        self.count, self._goal = 0, goal
        self.first_at = 0.0
        self._reached.clear()

    def note(self) -> None:
        """The first line of a task."""
        self.last_at = time.perf_counter()
        if not self.count:
            self.first_at = self.last_at
        self.count += 1
        if self.count == self._goal:
            self.goal_at = self.last_at
            if self._loop is None:
                self._reached.set()
            else:
                self._loop.call_soon_threadsafe(self._reached.set)

    async def reached(self) -> None:
        """Return once the task was started as often as expected."""
        await self._reached.wait()


tally = Tally()


async def echo(n: object) -> object:
    """Return the argument."""
    tally.note()
    return n


def echo_in_thread(n: object) -> object:
    """The same for libraries that run their tasks in a thread."""
    tally.note()
    return n


SPIN_SECONDS = 200e-6


async def spin(n: object) -> object:
    """Use the processor for 200 us, and return the argument."""
    tally.note()
    until = time.thread_time() + SPIN_SECONDS
    while time.thread_time() < until:
        pass
    return n
