"""The processes of a namespace as people see them, and the report with which each of them describes itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from kew.app import steady
from kew.app.ports import PresentProcess, Processes, TaskStore
from kew.app.repeat import ask
from kew.domain.incarnations import place_of

LONG_SECONDS: Final = 5.0
"""A task that has run for so long is listed with its process."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ProcessQueue:
    """A queue that a process works on. `slots`: how many tasks it runs at most, `running`: how many it ran.

    Both are None for a process of an earlier version.
    """

    queue: str
    slots: int | None = None
    running: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LongTask:
    """A task that had run for at least 5 s at the last heartbeat. `seconds`: for how long, since its claim.

    `where`: the innermost line of the task's own code, or of a library if none of its own is on the stack:
    "/app/shop/mails.py:42 (send)". None: it isn't known, for instance because its thread is about to begin.
    """

    task_id: str
    queue: str
    function: str
    seconds: float
    where: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ProcessInfo:
    """A process that works on queues, as it was at its last heartbeat. Times are aware datetimes in UTC.

    `id`: its unique name, as in the status of a queue. `name`: its `process_name`, by default "host:pid". `pid` is None
    if the id doesn't say it.
    `functions`: names of functions that it can run, at most 100; `function_count`: how many there are.
    `loop_lag`: how late its event loop was, at worst, since the heartbeat before (seconds); None: not measured.
    `long_tasks`: those that had run for 5 s or longer, longest first, at most 20.
    A process of an earlier version of kew reports its presence alone: its `version` is None, and so is what the rest
    would say.
    """

    id: str
    name: str
    host: str
    pid: int | None
    version: str | None
    heartbeat_time: datetime
    started_time: datetime | None
    queues: tuple[ProcessQueue, ...]
    functions: tuple[str, ...] = ()
    function_count: int | None = None
    loop_lag: float | None = None
    long_tasks: tuple[LongTask, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, times as ISO 8601 text."""
        started = self.started_time
        return {
            **dataclasses.asdict(self),
            "heartbeat_time": self.heartbeat_time.isoformat(),
            "started_time": started.isoformat() if started else None,
            "queues": [dataclasses.asdict(each) for each in self.queues],
            "functions": list(self.functions),
            "long_tasks": [dataclasses.asdict(each) for each in self.long_tasks],
        }


class ReportedTask(msgspec.Struct, array_like=True):
    """A running task in a report. `started_at`: the store's instant of its claim (ms)."""

    task_id: str
    queue: str
    function: str
    started_at: int
    where: str | None = None


class ProcessReport(msgspec.Struct, omit_defaults=True):
    """What a process says of itself, as JSON in the store. A newer version may add fields, which are ignored.

    `age_ms`: since it began. `queues`: slots and running tasks, by name. `tasks`: those that began first.
    `schedules`: the names of those that its code declares for these queues.
    """

    name: str = ""
    version: str = ""
    age_ms: int = 0
    queues: dict[str, tuple[int, int]] = {}
    functions: list[str] = []
    function_count: int = 0
    lag: float | None = None
    tasks: list[ReportedTask] = []
    schedules: list[str] = []

    def text(self) -> str:
        """As it is stored."""
        return msgspec.json.encode(self).decode()


def read_report(text: str) -> ProcessReport | None:
    """None: there is none, or another program wrote it."""
    try:
        return msgspec.json.decode(text, type=ProcessReport) if text else None
    except msgspec.MsgspecError:
        return None


async def present_processes(store: TaskStore) -> list[ProcessInfo]:
    """All that work on queues of the namespace, by name."""
    found = [process_info(each) for each in await ask(store, Processes())]
    return sorted(found, key=lambda one: (one.name, one.id))


def process_info(seen: PresentProcess) -> ProcessInfo:
    """A process as people see it."""
    report = read_report(seen.report)
    place = place_of(seen.incarnation)
    host, _, pid = place.rpartition(":")
    instant = seen.seen_at
    if report is None or instant is None:
        # Its last announcement in any queue was so long before the end of that presence.
        instant, report, is_known = (
            max(seen.queues.values()) - steady.PRESENCE_MS,
            ProcessReport(),
            False,
        )
    else:
        is_known = True
    return ProcessInfo(
        id=seen.incarnation,
        name=report.name or place,
        host=host or place,
        pid=int(pid) if host else None,
        version=report.version or None,
        heartbeat_time=_moment(instant),
        started_time=_moment(instant - report.age_ms) if is_known else None,
        queues=_queues(seen, report),
        functions=tuple(report.functions),
        function_count=report.function_count if is_known else None,
        loop_lag=report.lag,
        long_tasks=_long_tasks(report.tasks, instant),
    )


def _queues(seen: PresentProcess, report: ProcessReport) -> tuple[ProcessQueue, ...]:
    """Those in which its presence lasts: the store knows that, whatever the report says."""
    found = []
    for queue in sorted(seen.queues):
        slots, running = report.queues.get(queue, (None, None))
        found.append(ProcessQueue(queue=queue, slots=slots, running=running))
    return tuple(found)


def _long_tasks(tasks: Sequence[ReportedTask], instant: int) -> tuple[LongTask, ...]:
    found = [
        LongTask(
            task_id=each.task_id,
            queue=each.queue,
            function=each.function,
            seconds=(instant - each.started_at) / 1000,
            where=each.where,
        )
        for each in tasks
    ]
    long = [each for each in found if each.seconds >= LONG_SECONDS]
    return tuple(sorted(long, key=lambda each: -each.seconds))


def _moment(instant: int) -> datetime:
    return datetime.fromtimestamp(max(0, instant) / 1000, UTC)
