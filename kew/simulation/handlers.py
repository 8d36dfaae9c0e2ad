"""The code of simulated tasks: functions that do what their script says, and report it to the oracles.

A script is a task's only argument. Reporting is all that is special about them: kew sees ordinary functions.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Final, TypedDict

from kew.app.spawning import CARRIED
from kew.app.working.context import TaskContext
from kew.domain.errors import GiveUp, RateLimited, Retry, Snooze
from kew.simulation.facts import Attempt
from kew.simulation.hosts import Host
from kew.simulation.processes import crash
from kew.simulation.runs import Runs

RUNS: Final[ContextVar[Runs]] = ContextVar("runs")
CARRIED.append(RUNS)


OWN: Final = 6  # functions of each host
SNOOZE: Final = 2.5  # seconds


class Script(TypedDict, total=False):
    """What a task does: wait once per pause (s), then fail for the first `failures` attempts, then return."""

    pauses: list[float]
    failures: int  # of the first attempts
    raises: str  # "error" (the default), "give up", "retry", "snooze", "rate limited", "key limited", or
    # "snooze and error"
    refuses: bool  # to be cancelled
    crashes: int  # of the first attempts take their process down
    returns: str
    saves: bool  # a checkpoint after each pause, and its progress


class Broken(Exception):
    """An ordinary failure of a task."""


async def perform(script: Script) -> str:
    """A coroutine function, as most tasks are."""
    run, attempt = _begin()
    try:
        saves = script.get("saves", False)
        if saves:
            run.resumed()
        for step, pause in enumerate(script.get("pauses", ())):
            await _pause(run, attempt, pause, refuses=script.get("refuses", False))
            run.goes_on(attempt)
            if saves:
                await run.save(step, len(script["pauses"]))
        if run.number <= script.get("crashes", 0):
            run.note("crashes")
            await crash()
        return _end(run, attempt, script)
    except BaseException:
        run.raised(attempt)
        raise


async def perform_once(script: Script) -> str:
    """As `perform`; registered for tasks that may run once at most."""
    return await perform(script)


async def perform_patiently(script: Script) -> str:
    """As `perform`; registered with retries and a delay of its own."""
    return await perform(script)


async def perform_alone(script: Script) -> str:
    """As `perform`; submitted with unique keys."""
    return await perform(script)


async def perform_in_vain(script: Script) -> str:
    """As `perform`; whether it succeeds matters to no user."""
    return await perform(script)


async def perform_here(script: Script) -> str:
    """As `perform`; each host registers it under names of its own."""
    return await perform(script)


def own_name(host: Host, number: int) -> str:
    """One of the names under which only this host's processes run `perform_here`."""
    return f"only-{host.name}:{number}"


async def perform_in_time(script: Script) -> str:
    """As `perform`; registered with a short timeout."""
    return await perform(script)


def perform_plainly(script: Script) -> str:
    """A plain function, for a thread."""
    run, attempt = _begin(in_thread=True)
    try:
        return _end(run, attempt, script)
    except BaseException:
        run.raised(attempt)
        raise


def _begin(*, in_thread: bool = False) -> tuple[Running, Attempt]:
    run = Running(RUNS.get(), TaskContext.current())
    began = run.runs.began(run.task_id, run.token, run.number, run.queue, in_thread=in_thread)
    return run, began


async def _pause(run: Running, attempt: Attempt, seconds: float, *, refuses: bool) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        try:
            await asyncio.sleep(end - loop.time())
        except asyncio.CancelledError:
            if not refuses:
                raise
            attempt.is_stubborn = True
            run.note("refuses to be cancelled")
        else:
            return


def _end(run: Running, attempt: Attempt, script: Script) -> str:
    if run.number <= script.get("failures", 0):
        match script.get("raises", "error"):
            case "give up":
                raise GiveUp("for good")
            case "retry":
                raise Retry(3.0)
            case "snooze":
                raise Snooze(SNOOZE)
            case "rate limited":
                raise RateLimited(SNOOZE, scope="queue")
            case "key limited":
                raise RateLimited(SNOOZE, scope="key")
            case "snooze and error":
                raise ExceptionGroup("both", [Snooze(SNOOZE), Broken(f"attempt {run.number}")])
            case _:
                raise Broken(f"attempt {run.number}")
    value = script.get("returns", f"{run.task_id}#{run.number}")
    run.runs.finished(attempt, value)
    run.note("finished")
    return value


class Running:
    """The attempt that runs, in the words of the task's own context."""

    def __init__(self, runs: Runs, context: TaskContext) -> None:
        self.runs = runs
        self.task_id = context.task_id
        self.token = context.fencing_token
        self.number = context.attempt
        self.queue = context.queue
        self._context = context

    def note(self, words: str) -> None:
        """A line for the trace."""
        self.runs.facts.loop.note(self.task_id, f"#{self.number}", words)

    def resumed(self) -> None:
        """The code looks at what was saved before."""
        self.runs.resumed(self.task_id, self._context.last_checkpoint)

    async def save(self, step: int, steps: int) -> None:
        """A step is done: report and save it."""
        self._context.progress((step + 1) / (steps + 1), f"step {step}")
        await self._context.checkpoint([self.number, step])
        self.runs.saved(self.task_id, [self.number, step])

    def goes_on(self, attempt: Attempt) -> None:
        """The code went on after a wait."""
        self.runs.goes_on(self.task_id, self.token, attempt)

    def raised(self, attempt: Attempt) -> None:
        """The code is left by an error."""
        self.runs.raised(attempt)
