"""Simulated processes: what runs under one of them can be killed, stalled and given a wrong clock.

A process is found through a context variable, so whatever its code starts belongs to it too. Its
state is here; the loop looks at `is_halted` before each call and sets the call aside if it is.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeVar

from kew.adapters.simulation.errors import SimulationError

if TYPE_CHECKING:
    from kew.adapters.simulation.loop import SimulationLoop
    from kew.adapters.simulation.tasks import Call

T = TypeVar("T")

# The wall clock of the simulation starts at midnight of 1 January 2024, UTC.
EPOCH_S: Final = 1_704_067_200.0

PROCESS: Final[ContextVar[Process | None]] = ContextVar("process", default=None)


def current_process() -> Process | None:
    """The process whose code is running, or None for the world around all processes."""
    return PROCESS.get()


class Process:
    """One incarnation of a simulated operating-system process.

    A restart is a new `Process` with the same name and the next incarnation. `skew_s` is how far
    its wall clock is ahead; assign to it to make the clock jump. `monotonic_offset_s` is where its
    monotonic clock starts, which differs between processes as it does in life.
    """

    def __init__(
        self,
        loop: SimulationLoop,
        name: str,
        incarnation: int = 0,
        *,
        skew_s: float = 0.0,
        monotonic_offset_s: float = 0.0,
    ) -> None:
        self.name = name
        self.incarnation = incarnation
        self.skew_s = skew_s
        self.is_alive = True
        self.is_halted = False
        self.stalled_until = -math.inf
        self.context = Context()
        self.context.run(PROCESS.set, self)
        self._monotonic_offset_s = monotonic_offset_s
        self._loop = loop
        self._parked: list[Call] = []

    def __str__(self) -> str:
        return f"{self.name}.{self.incarnation}"

    def __repr__(self) -> str:
        state = "stalled" if self.is_alive else "killed"
        return f"<Process {self} {state if self.is_halted else 'running'}>"

    def spawn(self, coro: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Start a task in this process, in a copy of `context`: it inherits nothing of the caller."""
        if not self.is_alive:
            coro.close()
            raise SimulationError(f"{self} was killed; start the next incarnation instead")
        return self._loop.create_task(coro, name=f"{self}/{name}", context=self.context.copy())

    def kill(self) -> None:
        """As SIGKILL: none of its code runs again, no `except`, no `finally`.

        A step that is running goes on to its next await; see `crash` for the process's own end.
        """
        self.is_alive = False
        self.is_halted = True
        self._loop.bury([*self._take_parked(), *asyncio.all_tasks(self._loop)])

    def stall(self, seconds: float) -> None:
        """As SIGSTOP, and SIGCONT that much later; `math.inf` waits for `thaw`.

        Its clocks go on, its timers fire late, and messages to it wait. Overlapping stalls last
        until the latest end.
        """
        if not self.is_alive:
            return
        self.is_halted = True
        self.stalled_until = max(self.stalled_until, self._loop.time() + seconds)
        self._loop.call_at(self.stalled_until, self._thaw_if_due, context=Context())

    def thaw(self) -> None:
        """End a stall now. All that became ready meanwhile is ready to run."""
        if not self.is_alive:
            return
        self.is_halted = False
        self.stalled_until = -math.inf
        self._loop.make_ready(self._take_parked())

    def set_aside(self, call: Call) -> None:
        """Keep a call that the loop must not run: until the thaw, or for ever."""
        if self.is_alive:
            self._parked.append(call)
        else:
            self._loop.bury([call])

    def wall_time(self) -> float:
        """Seconds since 1970 by this process's own clock, right or wrong."""
        return EPOCH_S + self._loop.time() + self.skew_s

    def monotonic(self) -> float:
        """Seconds by this process's monotonic clock, which no skew moves and no stall stops."""
        return self._monotonic_offset_s + self._loop.time()

    def _thaw_if_due(self) -> None:
        if self.is_halted and self._loop.time() >= self.stalled_until:
            self.thaw()

    def _take_parked(self) -> list[Call]:
        parked, self._parked = self._parked, []
        return parked


async def crash() -> None:
    """Kill the process that calls this, at once and from within: the await never returns."""
    process = current_process()
    if process is None:
        raise SimulationError("crash() needs a process: start the code with Process.spawn()")
    process.kill()
    await asyncio.get_running_loop().create_future()
