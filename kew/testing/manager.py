"""`SimulatedManager`: a `TaskQueueManager` on simulated time, with additional methods for tests."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn, TypedDict, TypeVar, Unpack

import attrs

from kew.app.info import TaskInfo
from kew.app.naming import Decorated, natural_name, qualname_of, undecorated
from kew.app.observer import Observer
from kew.app.ports import Threads
from kew.app.registered import OPTIONS, Options
from kew.app.spawning import CARRIED
from kew.app.working.hooks import FailHook, TaskHook
from kew.bootstrap import Parts
from kew.compat import override
from kew.domain.config import TICK, QueueConfig
from kew.domain.task import PINNED
from kew.functions import TaskDecorator
from kew.manager import INSTEAD, TaskQueueManager
from kew.queues import Queue
from kew.simulation.server import Server
from kew.testing.draining import Activity, drained

T = TypeVar("T")
App = Callable[["SimulatedManager"], object]
"""A program's start-up, plain or async: creates queues and registers functions."""

YEAR: Final = timedelta(days=366)
INSTANT: Final = 1e-6  # simulated seconds, in which all that takes no time has happened
LONGEST_HOOK: Final = 3600.0

CURRENT: ContextVar[SimulatedManager] = ContextVar("kew_simulated_manager")
CARRIED.append(CURRENT)
NOT_SIMULATED: Final = (
    "this manager isn't part of the simulation: pass instead_of=manager, so that its calls and its decorated functions "
    "reach the simulated manager"
)


class ManagerOptions(TypedDict, total=False):
    """The options of `TaskQueueManager` that a simulated manager takes."""

    on_task_start: TaskHook
    on_task_complete: TaskHook
    on_task_fail: FailHook
    max_concurrency: int
    trust: Sequence[str]
    observer: Observer


class SimulatedClock:
    """The clock of the simulated world: the store's clock."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def now(self) -> datetime:
        """The simulated time as an aware datetime in UTC, to the millisecond."""
        return datetime.fromtimestamp(self._server.clock.now_ms() / 1000, UTC)


@attrs.frozen(kw_only=True)
class Failure:
    """One failed attempt: the task after it, and the exception that it raised."""

    task: TaskInfo
    error: BaseException


class InstantThreads(Threads):
    """Plain functions run inline and take no time."""

    @override
    def run(self, call: Callable[[], object]) -> Awaitable[object]:
        return _soon(call)


async def _soon(call: Callable[[], object]) -> object:
    return call()


class SimulatedManager(TaskQueueManager):
    """A manager on simulated time, which passes only when nothing else is left to do.

    It adds `drain()`, `advance()`, `clock`, `failures` and `tasks()` to a manager. A function registered here has the
    same name in every simulated process, even if it is defined inside another function, as tests do.
    """

    def __init__(
        self,
        parts: Parts,
        server: Server,
        activity: Activity,
        *,
        works: bool = True,
        tick: float = TICK,
        options: ManagerOptions | None = None,
    ) -> None:
        given: ManagerOptions = options or {}
        if unknown := given.keys() - ManagerOptions.__annotations__.keys():
            legal = ", ".join(ManagerOptions.__annotations__)
            raise TypeError(
                f"a simulated manager has no option {min(unknown)!r}; its options are {legal}"
            )
        super().__init__(
            parts=parts,
            on_task_start=given.get("on_task_start"),
            on_task_complete=given.get("on_task_complete"),
            on_task_fail=self._failed,
            max_concurrency=given.get("max_concurrency"),
            trust=given.get("trust", ()),
            observer=given.get("observer"),
        )
        with attrs.validators.disabled():  # idle days must cost nothing: longer than is wise else
            self._config = attrs.evolve(self._config, tick=tick)
        self._on_task_fail = given.get("on_task_fail")
        self._server = server
        self._activity = activity
        self._works = works
        self._instant = -1.0
        self._has_adopted = False
        self._given: dict[str, object] = {}
        self.clock = SimulatedClock(server)
        self.failures: list[Failure] = []

    # --- time

    async def drain(self, within: float | timedelta = YEAR) -> None:
        """Let simulated time pass until every task of the store has ended.

        `within`: the most simulated time to wait, in seconds or as a timedelta. Raises `NotDrainedError`, which says
        which tasks are left and why: at once if no task can make progress (a paused queue, a function that no process
        has registered, a due time that is too far away), otherwise when the time is up.
        """
        seconds = seconds_of(within)
        await drained(self._server, self._activity, seconds, has_adopted=self._has_adopted)
        await asyncio.sleep(INSTANT)
        if self._process is not None:
            await self._process.reporter.drain(LONGEST_HOOK)

    async def advance(self, by: float | timedelta) -> None:
        """Let this much simulated time pass (seconds or a timedelta), including everything due until its end."""
        seconds = seconds_of(by)
        if not seconds >= 0:
            raise ValueError(f"advance() takes 0 or more seconds, not {by!r}")
        now = asyncio.get_running_loop().time()
        is_on_time = self._instant <= now < self._instant + 2 * INSTANT
        self._instant = (self._instant if is_on_time else now) + seconds
        await asyncio.sleep(max(0.0, self._instant - now))
        await asyncio.sleep(INSTANT)

    # --- looking

    def tasks(self) -> dict[str, TaskInfo]:
        """Every task of the store by its id, in the order of submission. This reads the store directly."""
        records = sorted(self._server.namespace.records.values(), key=lambda task: task.ticket)
        return {task.id: self._info_of(task) for task in records}

    async def _failed(self, info: TaskInfo, error: BaseException) -> None:
        self.failures.append(Failure(task=info, error=error))
        if self._on_task_fail is not None:
            await maybe_await(self._on_task_fail(info, error))

    # --- what differs from a manager of the real world

    @override
    async def create_queue(
        self,
        config: QueueConfig,
        *,
        work: bool = True,
        functions: Sequence[Callable[..., object]] = (),
    ) -> Queue:
        for function in functions:
            self.register(function)
        return await super().create_queue(config, work=work and self._works)

    @override
    def register(self, function: Callable[..., object], *, name: str | None = None) -> str:
        if name is None and isinstance(function, Decorated):
            name = function.registration.name
        return super().register(function, name=name or self._durable_name(undecorated(function)))

    @override
    def task(
        self,
        *misplaced: NoReturn,
        name: str | None = None,
        task_type: str | None = None,
        **options: Unpack[Options],
    ) -> TaskDecorator:
        known = super().task
        if misplaced:
            return known(*misplaced)  # which says how it is written

        def decorate(function: Callable[..., Any], /) -> Any:
            durable = name or self._durable_name(undecorated(function))
            return known(name=durable, task_type=task_type, **options)(function)

        return decorate

    def adopt(self, manager: TaskQueueManager) -> None:
        """Register what is registered in another manager, options and all."""
        registry = manager._registry
        self._has_adopted = True
        self._registry.around += registry.around
        for known in registry.functions():
            name = known.name
            given = {option: getattr(known, option) for option in OPTIONS}
            options: Any = {option: value for option, value in given.items() if value is not None}
            own = self._durable_name(known.function) if name.startswith(PINNED) else name
            self._registry.register(known.function, name=own, **options)
        self._registry.schedules.update(registry.schedules)

    def _durable_name(self, function: Callable[..., object]) -> str | None:
        """A name for a function that has none of its own; a second one of one place gets a number."""
        if natural_name(function) is not None:
            return None
        text = f"{getattr(function, '__module__', None)}:{qualname_of(function)}"
        base = "".join(one if one.isprintable() and one != " " else "_" for one in text)[-200:]
        number, name = 1, base
        while self._given.setdefault(name, function) is not function:
            number += 1
            name = f"{base}#{number}"
        return name


def make_current(manager: SimulatedManager) -> None:
    """Let this context belong to the simulated process of `manager`."""
    CURRENT.set(manager)
    INSTEAD.set(NOT_SIMULATED)


def seconds_of(time: float | timedelta) -> float:
    """Seconds, from either."""
    return time.total_seconds() if isinstance(time, timedelta) else float(time)


async def maybe_await(value: object) -> object:
    """The value, awaited if it can be."""
    return await value if inspect.isawaitable(value) else value
