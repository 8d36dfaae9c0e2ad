"""Starts that fail: an exception at a step between a task's grant and the first line of its code."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from random import Random
from types import CoroutineType
from typing import Any, Final

from kew.app.working import runner
from kew.app.working.admission import Admission
from kew.app.working.executor import Executor
from kew.app.working.keeper import Keeper
from kew.app.working.reporter import Reporter
from kew.app.working.runner import Runner
from kew.app.working.runs import Run
from kew.domain.task import Task
from kew.simulation.chance import InlineThreads
from kew.simulation.facts import Facts
from kew.simulation.faults import Fault, Tally

STEPS: Final[tuple[tuple[Any, str], ...]] = (
    (Runner, "_start"),
    (Keeper, "watch"),
    (Admission, "start"),
    (Keeper, "watch_one"),
    (Runner, "_attend"),
    (runner, "spawn"),
    (Run, "is_stopped"),
    (Reporter, "started"),
    (Executor, "run"),
    (InlineThreads, "run"),
)
ODDS: Final = 0.004  # of each step, at rate 1


class StartFailed(Exception):
    """What a step raises."""


class FailingStarts:
    """Makes the steps of starts fail now and then, until the faults stop."""

    def __init__(self, facts: Facts, tally: Tally, is_healed: Callable[[], bool]) -> None:
        self._facts = facts
        self._tally = tally
        self._is_healed = is_healed
        self._odds = ODDS * facts.plan.rate
        self._random: Random = facts.plan.random("starting")

    @contextlib.contextmanager
    def planted(self) -> Iterator[None]:
        """Each step may fail within this context."""
        originals = [(owner, name, owner.__dict__[name]) for owner, name in STEPS]
        for owner, name, original in originals:
            setattr(owner, name, self._failing(name, original))
        try:
            yield
        finally:
            for owner, name, original in originals:
                setattr(owner, name, original)

    def _failing(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **named: Any) -> Any:
            if self._random.random() < self._odds and not self._is_healed():
                self._tally.add(Fault.UNSTARTABLE)
                self._note(name, args)
                _close(args)
                raise StartFailed(name)
            return original(*args, **named)

        return step

    def _note(self, name: str, args: tuple[Any, ...]) -> None:
        facts = self._facts
        for task in _tasks_of(args):
            facts.unstarted[task.id, task.lease] = facts.loop.world_time()
            facts.loop.note(task.id, "fails to start at", name)


def _close(args: tuple[Any, ...]) -> None:
    """Close a coroutine that will never be awaited, or Python warns about it."""
    for each in args:
        if isinstance(each, CoroutineType):
            each.close()


def _tasks_of(args: tuple[Any, ...]) -> Iterator[Task]:
    for each in args:
        if isinstance(each, Run):
            yield each.task
        elif isinstance(each, Task):
            yield each
        elif isinstance(each, list):
            yield from (run.task for run in each if isinstance(run, Run))
