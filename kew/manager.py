"""`TaskQueueManager`: the public face. It translates calls into services and keeps no rule of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Any, NoReturn, Self, Unpack, cast

from kew.app.doubts import warn_of_misspelt, warn_of_retries
from kew.app.inspector import purge_all
from kew.app.lookups import known_queue
from kew.app.naming import Decorated, Registration, undecorated
from kew.app.observer import Observer
from kew.app.observing import SafeObserver
from kew.app.ports import Codec, Damaged, StoreError
from kew.app.process import Process
from kew.app.registered import Options, RegisteredFunction
from kew.app.registry import Registry
from kew.app.repeat import answered
from kew.app.spawning import CARRIED
from kew.app.submitting.futures import check_loop
from kew.app.tracing import Tracer
from kew.app.working.admission import Admission
from kew.app.working.capacity import Capacity
from kew.app.working.context import is_inside
from kew.app.working.hooks import FailHook, Hooks, TaskHook
from kew.bootstrap import DEFAULT_NAMESPACE, DEFAULT_URL, Parts, QueueServices, parts_of, serve
from kew.compat import override
from kew.domain.config import PATIENCE, TICK, ManagerConfig, QueueConfig, check_timeout, name_of
from kew.domain.durability import Durability
from kew.domain.errors import (
    InvalidConfigError,
    QueueInUseError,
    StoreUnavailableError,
    StoreUnsuitableError,
    TaskQueueError,
    shown,
)
from kew.domain.suggestions import suggests
from kew.functions import HOW_TO_DECORATE, TaskDecorator, TaskFunction, check_decorated
from kew.log import logging_as
from kew.queues import CREATED, CircuitBreaker, Queue
from kew.resources import Sharing
from kew.scheduling import Scheduling
from kew.shutdown import HAS_ENDED, SHUT_DOWN, begin_after_caller, leave_behind, shut_down
from kew.starting import begin
from kew.version import VERSION
from kew.working import KnownQueues, Working

ALSO_CALLED = {
    **dict.fromkeys(("url", "host", "port", "db", "password"), "redis_url"),
    "prefix": "namespace",
    "max_workers": "max_concurrency",
}
"""What other queues call an argument, if the words are not alike."""
NOT_INITIALIZED = "not initialized: call `await manager.initialize()` first"
INSTEAD: ContextVar[str] = ContextVar("kew_instead", default=NOT_INITIALIZED)
"""What to do where a manager is needed that was never initialized: a simulation has other advice."""
CARRIED.append(INSTEAD)


# Long: the public API: a third of it is docstrings.
@suggests("argument", ALSO_CALLED)
class TaskQueueManager(Scheduling, Working, Sharing):
    """Background task queues inside this asyncio process, kept in a store that other processes may share.

    Use it as `async with TaskQueueManager(...) as manager:`, or call `initialize()` and `shutdown()`.

    - `redis_url`: `redis://`, `rediss://`, `unix://`, `redis+sentinel://`, `redis+cluster://`,
      `sqlite:///path/to/kew.db`, `memory://` (private to this manager) or `memory://name` (shared by the managers of
      one event loop).
    - `cleanup_on_start`: each `initialize()` removes all queues and tasks of the namespace.
    - `on_task_start`, `on_task_complete`, `on_task_fail`: hooks, plain or async callables.
    - `namespace`: keeps independent sets of queues apart in one store.
    - `max_concurrency`: how many tasks of all queues run at once in this process. Queues are then served by priority.
    - `max_loop_lag`: seconds that the event loop may be late before this process starts tasks more slowly; None: any.
    - `trust`: packages whose functions may be imported by name. Importing a module runs its code.
    - `codec`: encodes arguments and results; None: MessagePack.
    - `patience`: how long a submit is repeated (seconds) while the store doesn't answer.
    - `durability`: what an answer of Redis survives. "default": Redis has it in memory. "replicated": a replica has it,
      too, or as many as the URL's `replicas` says. "fsync": it was synced to disk. None: what the URL says.
    - `parts`: your own adapters, instead of `redis_url`, `namespace`, `codec` and `durability`.
    - `tick`: seconds between two polls of an idle queue, in case a notification was lost. Presence and maintenance have
      the same rhythm.
    - `process_name`: what operators call this process; by default "host:pid". Redis lists its connections by it.
    - `queues`: their configurations, for `create_queues()` and `kew worker`.
    - `observer`: sees what happens to this process's tasks, and each operation of the store.
    """

    # Long: each of its options has a line.
    def __init__(
        self,
        redis_url: str = DEFAULT_URL,
        cleanup_on_start: bool = False,
        on_task_start: TaskHook | None = None,
        on_task_complete: TaskHook | None = None,
        on_task_fail: FailHook | None = None,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        max_concurrency: int | None = None,
        max_loop_lag: float | timedelta | None = None,
        trust: Sequence[str] = (),
        codec: Codec | None = None,
        patience: float | timedelta = PATIENCE,
        durability: Durability | None = None,
        parts: Parts | None = None,
        tick: float | timedelta = TICK,
        observer: Observer | None = None,
        process_name: str | None = None,
        queues: Sequence[QueueConfig] = (),
    ) -> None:
        self._config = ManagerConfig(
            max_concurrency=max_concurrency,
            max_loop_lag=max_loop_lag,
            patience=patience,
            tick=tick,
            process_name=process_name,
        )
        self._observer = None if observer is None else SafeObserver(observer)
        self._parts = parts_of(
            redis_url, namespace, codec, parts, self._observer, process_name or "", durability
        )
        self._cleanup_on_start = cleanup_on_start
        self._known = KnownQueues(queues)
        self._tracer: Tracer | None = None  # `kew.tracing.instrument` sets it
        self._hooks = Hooks(
            on_task_start=on_task_start,
            on_task_complete=on_task_complete,
            on_task_fail=on_task_fail,
        )
        self._registry = Registry(
            trust=trust, carries_functions=self._parts.codec.carries_functions
        )
        self._process: Process | None = None
        self._has_lived = False
        self._ending: asyncio.Task[None] | None = None  # a shutdown that a task or a hook began
        self._life = asyncio.Lock()  # it begins or ends, one at a time
        self._loop: asyncio.AbstractEventLoop | None = None
        self._entered = 0  # how many `async with` blocks of this manager are open
        self._served: dict[str, QueueServices] = {}  # a new one for each process, which keeps it
        self.queues: dict[str, Queue] = {}

    def __repr__(self) -> str:
        namespace = self._parts.namespace
        facts = [
            self._parts.address,
            *([] if namespace is None else [f"namespace {namespace!r}"]),
            self._state(),
            *([f"queues {', '.join(self.queues)}"] if self.queues else []),
        ]
        return f"<{type(self).__name__} {', '.join(facts)}>"

    def _state(self) -> str:
        process = self._process
        if process is None:
            return "shut down" if self._has_lived else "not initialized"
        if process.is_forked:
            return "initialized in another process"
        return "shutting down" if process.is_closing else "initialized"

    # --- life

    async def initialize(self) -> None:
        """Connect, check the store, and subscribe to its notifications. A second call does nothing.

        Raises `StoreUnavailableError` or `StoreUnsuitableError`, with advice, if the store can't be used now. It does
        not wait for the store. If the manager's former event loop was closed without a shutdown, this starts over, as
        after a crash.
        """
        async with self._life:
            if self._process is not None and self._process.loop.is_closed():
                self._process.check()
                await leave_behind(self._parts)
                self._has_ended()
            if self._process is None:
                await self._begin()
            self._here()

    async def _begin(self) -> None:
        process = Process(
            self._parts,
            self._hooks,
            self._registry,
            capacity=Capacity(self._config.max_concurrency),
            admission=Admission(self._config.max_loop_lag),
            served=self._served,
            name=self._config.process_name or "",
            version=VERSION,
            patience=self._config.patience,
            handle_of=self._handle_of,
            tick=self._config.tick,
            observer=self._observer,
            tracer=self._tracer,
        )
        with logging_as(process.presence.name):
            await begin(process, self._parts, self._config, clean=self._cleanup_on_start)
        self._entered = 0
        self._process, self._loop = process, asyncio.get_running_loop()

    async def shutdown(self, wait: bool = True, timeout: float | timedelta | None = 5.0) -> None:
        """Start no more tasks, wait up to `timeout` seconds for running ones (if `wait`), then cancel and release them.

        Released tasks run in another process, or when this one starts again. Meanwhile, running tasks and hooks may
        submit tasks and wait for results. `timeout` None waits as long as tasks run. If this call is cancelled, the
        shutdown ends at once, and tasks that still ran run again after their leases have expired. A call during a
        shutdown waits for its end; a call after it does nothing. In a task or hook of this manager, it returns at once
        and shuts down in the background; another call waits for its end.
        """
        seconds = check_timeout(timeout)
        if self._process is not None and is_inside(self._process.incarnation):
            check_loop(self._process.loop)
            served = list(self._served.values())
            self._ending = begin_after_caller(
                served, partial(self._end, wait, seconds), wait=wait, timeout=seconds
            )
        else:
            await self._end(wait, seconds)

    async def _end(self, wait: bool, seconds: float) -> None:
        async with self._life:
            if self._process is None or self._process.is_forked:
                return
            if not self._process.loop.is_closed():
                check_loop(self._process.loop)
            served = list(self._served.values())
            try:
                await shut_down(self._process, self._parts, served, wait=wait, timeout=seconds)
            finally:
                self._has_ended()

    def _has_ended(self) -> None:
        self._process, self._served, self.queues = None, {}, {}
        self._has_lived = True

    async def __aenter__(self) -> Self:
        await self.initialize()
        self._entered += 1
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Shut down, unless another `async with` block of this manager is still open."""
        self._entered -= 1
        if self._entered <= 0:
            await self.shutdown()

    async def cleanup(self) -> None:
        """Remove all queues and tasks of this namespace, and nothing else.

        The queues of this process are created again, empty. Their fencing tokens start again at 1.
        """
        process = self._here()
        await purge_all(self._parts.store)
        self._registry.pins.release_ended()
        for served in self._served.values():
            await answered(served.maintainer.introduce)
            await process.scheduling.declare(served.config.name)
            if served.worker is not None:
                served.worker.wake()

    async def delete_queue(self, queue_name: str) -> None:
        """Remove the queue with all its tasks, also those that run, and nothing else.

        Raises `QueueInUseError` for a queue that this manager created, since it would create the queue again. So would
        other processes that use it: stop them first. The outcomes of tasks that still run are discarded. Raises
        `QueueNotFoundError`. After a `StoreUnavailableError` call it again; a `QueueNotFoundError` then means that
        nothing is left.
        """
        if known_queue(queue_name) in self._served:
            raise QueueInUseError(queue_name)
        await self._here().inspector.remove(queue_name)

    @override
    def _ready(self) -> Process:
        if self._process is None:
            raise TaskQueueError(HAS_ENDED if self._has_lived else INSTEAD.get())
        self._process.check()
        return self._process

    @override
    def _here(self) -> Process:
        process = self._ready()
        check_loop(process.loop)
        return process

    @property
    def loop_lag(self) -> float:
        """How late the event loop was recently, at its worst, in seconds; measured if `max_loop_lag` is set."""
        return self._ready().admission.lag.recent_max

    # --- queues and functions

    async def create_queue(
        self,
        config: QueueConfig,
        *,
        work: bool = True,
        functions: Sequence[Callable[..., object]] = (),
    ) -> Queue:
        """Create the queue for all processes, and start to run its tasks in this one.

        The settings of the latest process that works on the queue hold for all. `work=False` is for a process that
        only submits: it creates the queue if there is none, and otherwise follows the settings in force. `functions`
        are registered first. Raises `InvalidConfigError` if this manager has already created a queue of this name.

        A queue's status can be read, and its tasks can be cancelled and replayed, without creating it here.
        """
        process = self._here()
        if process.is_closing:
            raise TaskQueueError(SHUT_DOWN)
        if not isinstance(config, QueueConfig):
            raise InvalidConfigError(f"give a QueueConfig('mails'), not {shown(config)}")
        if config.name in self._served:
            raise InvalidConfigError(CREATED.format(config.name))
        for function in functions:
            self.register(function)
        with logging_as(process.presence.name):
            served = serve(config, process, tick=self._config.tick, work=work)
            self._served[config.name] = served
            process.presence.renew()
            try:
                await self._introduce(served, process)
            except BaseException:
                if self._served.get(config.name) is served:
                    del self._served[config.name]
                served.abandon()
                raise
            queue = Queue(config, CircuitBreaker(config.name, process.inspector))
            self.queues[config.name] = queue
            for registered in self._registry.functions():
                self._notice_misspelt(registered, [config.name])
            if served.worker is not None:
                process.workers[config.name] = served.worker
                warn_of_retries(config)
                served.worker.start()
                served.maintainer.start(served.worker)
                process.scheduling.start(config.name)
            return queue

    def _notice_misspelt(self, function: RegisteredFunction, created: Iterable[str]) -> None:
        if function.queue not in self._served:
            warn_of_misspelt(function, created)

    async def _introduce(self, served: QueueServices, process: Process) -> None:
        try:
            await served.maintainer.introduce()
            await process.scheduling.declare(served.config.name)
        except StoreError as error:
            kind = StoreUnsuitableError if isinstance(error, Damaged) else StoreUnavailableError
            raise kind(f"the queue was not declared: {error}") from error
        if self._served.get(served.config.name) is not served or process.is_closing:
            raise TaskQueueError(SHUT_DOWN)

    def register(self, function: Callable[..., object], *, name: str | None = None) -> str:
        """Let this process run `function` for tasks of that name (default `module:qualname`); returns the name."""
        if isinstance(function, Decorated):
            name, options = name or function.registration.name, function.registration.options
            return self._registry.register(function.function, name, **options)
        return self._registry.register(function, name)

    def task(
        self,
        *misplaced: NoReturn,
        name: str | None = None,
        task_type: str | None = None,
        **options: Unpack[Options],
    ) -> TaskDecorator:
        """Decorate a function: it is registered, and submits its calls (`await f.submit(...)`).

        `options`: queue (a name or a `QueueConfig`), priority, max_retries, retry_delay, backoff, retry_on, give_up_on,
        circuit_breaker_on, task_timeout (or timeout), max_snoozes, at_most_once, key (an argument's name, a tuple of
        names, or a function of the arguments). The queue's settings apply if one is left out.
        Raises `InvalidConfigError` for an invalid option, a method and a generator.
        """
        if misplaced:
            raise TypeError(HOW_TO_DECORATE)
        registration = Registration(name, options)
        queue = None if options.get("queue") is None else name_of(options["queue"])

        def decorate(function: Callable[..., Any], /) -> TaskFunction[..., Any, Any]:
            function = undecorated(function)
            check_decorated(function)
            registered = self._registry.register(function, name, **options)
            self._notice_misspelt(self._registry.resolve(registered), self._served)
            self._known.add(options.get("queue"))
            label = str(task_type or getattr(function, "__name__", "task"))
            return TaskFunction(
                self, function, queue=queue, task_type=label, registration=registration
            )

        return cast("TaskDecorator", decorate)
