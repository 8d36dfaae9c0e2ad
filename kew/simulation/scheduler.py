"""The heart of the simulated event loop: what runs next, and when time moves.

Time moves only when nothing can run, and then straight to the next timer; a step takes none. This
is the bottleneck of every simulation, so each step does as little as it can. `run()`, uncaught errors and the end of
a simulation are handled elsewhere.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections.abc import Callable, Iterable
from contextvars import Context
from random import Random
from typing import Any, Final, TypeVarTuple

from kew.simulation.errors import SimulationDeadlock, SimulationError, SimulationLivelock
from kew.simulation.policies import POLICIES, PolicyName
from kew.simulation.processes import PROCESS, ProcessLoop, SimulatedProcess
from kew.simulation.sealing import THREADS, is_sealed, refuse
from kew.simulation.tasks import (
    LoopCall,
    SimulatedTask,
    SoonCall,
    TimedCall,
)
from kew.simulation.trace import CALLBACK, Trace

Ts = TypeVarTuple("Ts")

# A timer is later by so much if clocks differ, or it might come before its caller's clock shows its time, which rounds.
INSTANT: Final = 1e-9
_CHECK_EVERY_STEPS: Final = 2048
_MANY_CANCELLED_TIMERS: Final = 100
_SHOWN_TASKS: Final = 10


# Wide: small steps of one loop, each of which runs millions of times.
class Scheduler(ProcessLoop):
    """The calls that are due now or later, virtual time, and the loop that takes them in turn."""

    def __init__(
        self,
        seed: int,
        policy: PolicyName,
        *,
        trace: Trace,
        max_steps: int,
        fatal: tuple[type[BaseException], ...],
    ) -> None:
        self.steps = 0
        self.max_steps = max_steps
        self.fatal = fatal
        self._trace = trace
        self._record_step = trace.steps.append
        self._ready = POLICIES[policy](Random(f"schedule:{seed}"))
        self._now = 0.0
        self._timers: list[tuple[float, int, TimedCall]] = []
        self._timers_made = itertools.count()
        self._timers_cancelled = 0
        self._has_suspended = False
        self._next_check = min(_CHECK_EVERY_STEPS, max_steps)
        self._graveyard: list[object] = []
        self._failure: BaseException | None = None
        self._failed_tasks: list[tuple[float, SimulatedTask[Any]]] = []
        self._is_running = False
        self._is_stopping = False
        self._is_closed = False

    def time(self) -> float:
        """Virtual seconds since the loop was made, without those for which the caller's machine was suspended."""
        return self._now - self._slept(PROCESS.get()) if self._has_suspended else self._now

    def world_time(self) -> float:
        """Virtual seconds since the loop was made, whatever machine is suspended."""
        return self._now

    def machine_suspended(self) -> None:
        """From now on clocks of processes may be behind the world's."""
        self._has_suspended = True

    @staticmethod
    def _slept(process: SimulatedProcess | None) -> float:
        return process.slept_s() if process is not None else 0.0

    def call_soon(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> SoonCall:
        self._check_open()
        call = SoonCall(callback, args, self, context)
        if call.task is None:
            self._ready.add_callback(call)
        else:
            self._ready.add_step(call)
        return call

    def call_soon_threadsafe(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> SoonCall:
        """As `call_soon`; from another thread it raises `RealIOForbidden`."""
        if self._is_running and not is_sealed():
            refuse("call_soon_threadsafe from another thread", THREADS)
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> TimedCall:
        return self._call_at(self._now + delay, callback, args, context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> TimedCall:
        """Call back at this instant of the caller's `time()`, or soon if it has passed."""
        if self._has_suspended:
            slept, wanted = self._slept(PROCESS.get()), when
            when += slept
            while (
                when - slept < wanted
            ):  # rounded down: at that instant its `time()` would be just short of it, forever
                when = math.nextafter(when, math.inf)
        return self._call_at(when, callback, args, context)

    def _call_at(
        self, when: float, callback: Callable[..., object], args: Any, context: Context | None
    ) -> TimedCall:
        self._check_open()
        if math.isnan(when):
            raise ValueError("a callback needs an instant, not NaN")
        if self._has_suspended and when > self._now - INSTANT:
            when += INSTANT
        call = TimedCall(when, callback, args, self, context)
        if self._has_suspended:
            call.slept_s = self._slept(call._context.get(PROCESS))
        if when <= self._now:
            self._ready.add_callback(call)
        else:
            heapq.heappush(self._timers, (when, next(self._timers_made), call))
        return call

    def _is_put_off(self, call: TimedCall) -> bool:
        """Put a timer off by as long as the machine of its process has been suspended since it was set."""
        process = call._context.get(PROCESS)
        slept_s = self._slept(process)
        when = call._when + slept_s - call.slept_s
        call._when, call.slept_s = when, slept_s
        if when <= self._now:
            return False
        if process is not None and process.is_suspended:
            process.set_aside(call)  # until it wakes
        else:
            heapq.heappush(self._timers, (when, next(self._timers_made), call))
        return True

    def make_ready(self, calls: Iterable[LoopCall]) -> None:
        """Take calls back that were set aside."""
        for call in calls:
            if self._has_suspended and isinstance(call, TimedCall) and self._is_put_off(call):
                continue
            if call.task is None:
                self._ready.add_callback(call)
            else:
                self._ready.add_step(call)

    def bury(self, dead: Iterable[object]) -> None:
        """Keep what will never run, so that nothing it holds is finalised during the run."""
        self._graveyard.extend(dead)

    def stop(self) -> None:
        """End the run after this step."""
        self._is_stopping = True

    def fail(self, error: BaseException) -> None:
        """End the run after this step; `run()` raises `error`, or the first of several.

        For a violation that must not depend on whether the code under simulation lets it pass.
        """
        if self._failure is None:
            self._failure = error
        self.stop()

    def _spin(self) -> None:
        pick = self._ready.pick
        while not self._is_stopping:
            call = pick()
            if call is None:
                self._move_time()
            elif not call._cancelled:
                process = call._context.get(PROCESS)
                if process is None or not process.is_halted:
                    self._execute(call)
                else:
                    process.set_aside(call)

    def _execute(self, call: LoopCall) -> None:
        self.steps += 1
        if self.steps >= self._next_check:
            self._check_steps()
        task = call.task
        self._record_step(CALLBACK if task is None else task.ordinal)
        try:
            call._context.run(call._callback, *call._args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - reported, as every event loop does
            self._callback_failed(call, error)
        if task is not None and task._exception is not None:
            self._task_failed(task)

    def _move_time(self) -> None:
        """Nothing can run now, so the next timers are due. The only place where time moves."""
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if not timers or timers[0][0] == math.inf:
            raise SimulationDeadlock(self._explain_deadlock())
        self._now = timers[0][0]
        self._trace.move_to(self._now)
        while timers and timers[0][0] <= self._now:
            call = heapq.heappop(timers)[2]
            if not (self._has_suspended and self._is_put_off(call)):
                self._ready.add_callback(call)

    def _check_steps(self) -> None:
        self._trace.flush_if_long()
        self._failed_tasks = self._failed_unseen()
        self._next_check = min(self.steps + _CHECK_EVERY_STEPS, self.max_steps)
        if self.steps >= self.max_steps:
            raise SimulationLivelock(
                f"{self.steps} steps by t={self._now:.6f}; look for a loop that never waits for "
                "time to pass, or allow more with max_steps"
            )

    def _explain_deadlock(self) -> str:
        waiting = [_where(task) for task in sorted(asyncio.all_tasks(self), key=hash)]
        shown = "".join(f"\n  {line}" for line in waiting[:_SHOWN_TASKS])
        return f"nothing is ready and no timer is set at t={self._now:.6f}; waiting forever:{shown}"

    def _timer_handle_cancelled(self, _call: asyncio.TimerHandle) -> None:
        """Drop cancelled timers once most are: a store call sets one that is seldom needed."""
        self._timers_cancelled += 1
        many = max(_MANY_CANCELLED_TIMERS, len(self._timers) // 2)
        if self._timers_cancelled > many:
            self._timers = [timer for timer in self._timers if not timer[2]._cancelled]
            heapq.heapify(self._timers)
            self._timers_cancelled = 0

    def _callback_failed(self, call: LoopCall, error: BaseException) -> None:
        if isinstance(error, self.fatal):
            self.fail(error)
        else:
            message = f"Exception in callback {call._callback!r}"
            self.call_exception_handler({"message": message, "exception": error, "handle": call})

    def _task_failed(self, task: SimulatedTask[Any]) -> None:
        error = task._exception
        if isinstance(error, self.fatal):
            self.fail(error)
        else:
            self._failed_tasks.append((self._now, task))

    def _failed_unseen(self) -> list[tuple[float, SimulatedTask[Any]]]:
        """When each task failed whose error was not retrieved so far."""
        return [(at, task) for at, task in self._failed_tasks if task._log_traceback]

    def _check_open(self) -> None:
        if self._is_closed:
            raise SimulationError("the loop is closed; make a new one for each simulation")


def _where(task: asyncio.Task[Any]) -> str:
    """The task's name and the line where it waits."""
    coro = task.get_coro()
    frame = getattr(coro, "cr_frame", None)
    at = f"{frame.f_code.co_qualname}, line {frame.f_lineno}" if frame else "not started"
    return f"{task.get_name()} in {at}"
