"""What this process says of itself with each heartbeat, for people who look at the processes of a namespace."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from kew.app.processes import ProcessReport, ReportedTask
from kew.app.registry import Registry
from kew.app.working.places import place_of_run
from kew.app.working.runs import Run
from kew.app.working.slots import Slots

MOST_FUNCTIONS: Final = 100
MOST_TASKS: Final = 20


class Working(Protocol):
    """What it needs of a worker."""

    @property
    def slots(self) -> Slots: ...


class Presence:
    """Makes this process's report, which one of its queues' announcements carries along every `interval` seconds.

    `workers`: those of its queues by name. `lag`: how late the event loop was since it was asked last; None: unknown.
    `schedules`: the names of those that code declares for these queues.
    """

    def __init__(
        self,
        name: str,
        version: str,
        *,
        registry: Registry,
        workers: Callable[[], Mapping[str, Working]],
        lag: Callable[[], float | None],
        interval: float,
        schedules: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self.name = name
        self._version = version
        self._registry = registry
        self._workers = workers
        self._lag = lag
        self._interval = interval
        self._schedules = schedules
        self._loop = asyncio.get_running_loop()
        self._began_at = self._loop.time()
        self._due_at = self._began_at

    def renew(self) -> None:
        """The last report is outdated, or was not received: the next announcement carries another."""
        self._due_at = self._began_at

    def report(self) -> str:
        """The report if it is due, for an announcement that is about to be sent; else "" ."""
        now = self._loop.time()
        if now < self._due_at:
            return ""
        self._due_at = now + self._interval / 2  # announcements are not quite regular
        return self._report(now).text()

    def _report(self, now: float) -> ProcessReport:
        functions = self._registry.names()
        workers = self._workers()
        return ProcessReport(
            name=self.name,
            version=self._version,
            age_ms=round((now - self._began_at) * 1000),
            queues={name: (each.slots.size, len(each.slots)) for name, each in workers.items()},
            functions=list(functions[:MOST_FUNCTIONS]),
            function_count=len(functions),
            lag=self._lag(),
            tasks=_first(run for each in workers.values() for run in each.slots),
            schedules=list(self._schedules()),
        )


def _first(runs: Iterable[Run]) -> list[ReportedTask]:
    """The tasks that began first."""
    return [
        ReportedTask(
            run.task.call.id,
            run.task.queue,
            run.task.call.function,
            run.task.started_at,
            place_of_run(run),
        )
        for run in heapq.nsmallest(MOST_TASKS, runs, key=lambda run: run.task.started_at)
    ]
