"""Simulated processes: what runs under one of them can be killed, stalled and given a wrong clock.

A process is found through a context variable, so whatever its code starts belongs to it too. Its
state is here; the loop looks at `is_halted` before each call and sets the call aside if it is.
"""

from __future__ import annotations

import asyncio
import math
from abc import abstractmethod
from collections.abc import Coroutine, Iterable
from contextvars import Context, ContextVar
from typing import Any, Final, TypeVar
from weakref import ReferenceType, ref

from kew.app.spawning import CARRIED
from kew.simulation.errors import SimulationError
from kew.simulation.sealing import SealedLoop
from kew.simulation.tasks import LoopCall

T = TypeVar("T")

# The wall clock of the simulation starts at midnight of 1 January 2024, UTC.
EPOCH_S: Final = 1_704_067_200.0

PROCESS: Final[ContextVar[SimulatedProcess | None]] = ContextVar("process", default=None)

CARRIED.append(PROCESS)


class ProcessLoop(SealedLoop):
    """What a process needs of its loop."""

    @abstractmethod
    def world_time(self) -> float:
        """Seconds of virtual time, whatever machine sleeps."""

    @abstractmethod
    def machine_suspended(self) -> None:
        """A machine sleeps for the first time: clocks differ from now on."""

    @abstractmethod
    def make_ready(self, calls: Iterable[LoopCall]) -> None:
        """Run these calls soon."""

    @abstractmethod
    def bury(self, dead: Iterable[object]) -> None:
        """Keep these until the end, so that they are not finalized meanwhile."""


def current_process() -> SimulatedProcess | None:
    """The process whose code is running, or None for the world around all processes."""
    return PROCESS.get()


class SimulatedProcess:
    """One incarnation of a simulated operating-system process.

    A restart is a new `SimulatedProcess` with the same name and the next incarnation. `skew_s` is how far
    its wall clock is ahead; assign to it to make the clock jump. `monotonic_offset_s` is where its
    monotonic clock starts, which differs between processes as it does in life.
    """

    def __init__(
        self,
        loop: ProcessLoop,
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
        self._slept_s = 0.0  # before the sleep that goes on
        self._suspended_at: float | None = None
        self._text = f"{name}.{incarnation}"  # for every note and call
        self.context = Context()
        self.context.run(PROCESS.set, self)
        self._monotonic_offset_s = monotonic_offset_s
        self._loop = loop
        self._parked: list[LoopCall] = []
        self._tasks: list[ReferenceType[asyncio.Task[Any]]] = []

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        state = "stalled" if self.is_alive else "killed"
        return f"<SimulatedProcess {self} {state if self.is_halted else 'running'}>"

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
        tasks = (task() for task in self._tasks)
        self._loop.bury([*self._take_parked(), *tasks])

    def owns(self, task: asyncio.Task[Any]) -> None:
        """The loop made this task for its code."""
        self._tasks.append(ref(task))

    def stall(self, seconds: float) -> None:
        """As SIGSTOP, and SIGCONT that much later; `math.inf` waits for `thaw`.

        Its clocks go on, its timers fire late, and messages to it wait. Overlapping stalls last
        until the latest end.
        """
        if not self.is_alive:
            return
        self.is_halted = True
        now = self._loop.world_time()
        self.stalled_until = max(self.stalled_until, now + seconds)
        self._loop.call_later(self.stalled_until - now, self._thaw_if_due, context=Context())

    def suspend(self, seconds: float) -> None:
        """As a machine that sleeps: a stall during which the event loop's clock and timers stand still.

        Its wall clock and `uptime` go on. If it is stalled too, it sleeps until the later of both ends.
        """
        if not self.is_alive:
            return
        if self._suspended_at is None:
            self._suspended_at = self._loop.world_time()
            self._loop.machine_suspended()
        self.stall(seconds)

    def thaw(self) -> None:
        """End a stall or a sleep now. All that became ready meanwhile is ready to run."""
        if not self.is_alive:
            return
        self.is_halted = False
        self.stalled_until = -math.inf
        self._slept_s, self._suspended_at = self.slept_s(), None
        self._loop.make_ready(self._take_parked())

    @property
    def is_suspended(self) -> bool:
        """Its machine sleeps."""
        return self._suspended_at is not None

    def slept_s(self) -> float:
        """For how many seconds its machine has been suspended so far."""
        if self._suspended_at is None:
            return self._slept_s
        return self._slept_s + self._loop.world_time() - self._suspended_at

    def set_aside(self, call: LoopCall) -> None:
        """Keep a call that the loop must not run: until the thaw, or forever."""
        if self.is_alive:
            self._parked.append(call)
        else:
            self._loop.bury([call])

    def wall_time(self) -> float:
        """Seconds since 1970 by this process's own clock, right or wrong."""
        return EPOCH_S + self._loop.world_time() + self.skew_s

    def monotonic(self) -> float:
        """Seconds by this process's monotonic clock: no skew moves it, no stall stops it, but a sleep does."""
        return self._monotonic_offset_s + self._loop.world_time() - self.slept_s()

    def uptime(self) -> float:
        """Seconds by the clock of its machine that goes on while that is suspended."""
        return self._monotonic_offset_s + self._loop.world_time()

    def _thaw_if_due(self) -> None:
        if self.is_halted and self._loop.world_time() >= self.stalled_until:
            self.thaw()

    def _take_parked(self) -> list[LoopCall]:
        parked, self._parked = self._parked, []
        return parked


async def crash() -> None:
    """Kill the process that calls this, at once and from within: the await never returns."""
    process = current_process()
    if process is None:
        raise SimulationError(
            "crash() needs a process: start the code with SimulatedProcess.spawn()"
        )
    process.kill()
    await asyncio.get_running_loop().create_future()
