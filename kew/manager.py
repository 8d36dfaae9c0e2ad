"""`TaskQueueManager`: the public face. It translates calls into services and keeps no rule of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar, Unpack, cast

from kew.app.admission import Admission
from kew.app.caller import Call
from kew.app.capacity import Capacity
from kew.app.futures import Awaited, begun, check_loop, itself
from kew.app.hooks import FailHook, Hooks, TaskHook
from kew.app.info import TaskInfo, info_of, result_of
from kew.app.inspector import known_queue
from kew.app.ports import Codec, StoreError
from kew.app.process import Process
from kew.app.registry import Options, Registry
from kew.app.repeat import asked
from kew.app.spawning import running_loop
from kew.bootstrap import DEFAULT_NAMESPACE, DEFAULT_URL, Parts, Served, parts_of, serve
from kew.compat import like_async, override
from kew.domain.config import PATIENCE, TICK, ManagerConfig, QueueConfig, check_timeout
from kew.domain.errors import (
    InvalidConfigError,
    QueueInUseError,
    StoreUnavailableError,
    TaskQueueError,
    shown,
)
from kew.domain.task import QueuePriority, Task, unique_id
from kew.handles import HOW_TO_DECORATE, TaskDecorator, TaskFunction, TaskHandle, handle_on, plain
from kew.questions import Questions
from kew.queues import CircuitBreaker, Queue
from kew.shutdown import HAS_ENDED, leave_behind, shut_down

SHUT_DOWN = "this manager is being shut down: it takes no new queue"
T = TypeVar("T")


class TaskQueueManager(Questions):
    """Background task queues inside this asyncio process, remembered by a store that others may share.

    `redis_url`: redis://, rediss://, unix://, or memory:// (private to this manager) and memory://name (shared within
    the process). `cleanup_on_start`: each `initialize()` removes all that the namespace has. Hooks are plain or async
    callables. `namespace` keeps sets of queues apart in one store. `max_concurrency` bounds the tasks of all queues in
    this process; queues are then served by their priority. `max_loop_lag`: seconds that the event loop may be late
    before this process starts tasks more slowly (the polite host); None: it starts whatever it is granted at once.
    `trust`: packages below which functions may be resolved by import. `codec`: how arguments and results become bytes;
    None: MessagePack. `patience`: seconds for which a submit is repeated while the store doesn't answer. `parts`:
    adapters of your own, instead of a `redis_url`, `namespace` and `codec`. `tick`: seconds between two looks at an
    idle queue, in case a notification was lost; presence and clearing up go by it too.
    """

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
        max_loop_lag: float | None = None,
        trust: Sequence[str] = (),
        codec: Codec | None = None,
        patience: float = PATIENCE,
        parts: Parts | None = None,
        tick: float = TICK,
    ) -> None:
        self._config = ManagerConfig(
            max_concurrency=max_concurrency,
            max_loop_lag=max_loop_lag,
            patience=patience,
            tick=tick,
        )
        self._parts = parts_of(redis_url, namespace, codec, parts)
        self._cleanup_on_start = cleanup_on_start
        self._hooks = Hooks(
            on_task_start=on_task_start,
            on_task_complete=on_task_complete,
            on_task_fail=on_task_fail,
        )
        self._registry = Registry(
            trust=trust, carries_functions=self._parts.codec.carries_functions
        )
        self._process: Process | None = None
        self._why_not_ready = "not initialized: call `await manager.initialize()` first"
        self._life = asyncio.Lock()  # it begins or ends, one at a time
        self._loop: asyncio.AbstractEventLoop | None = None
        self._served: dict[str, Served] = {}  # a new one for each process: its services keep theirs
        self.queues: dict[str, Queue] = {}

    # --- life

    async def initialize(self) -> None:
        """Connect, check the store, and begin to listen. A second call does nothing.

        Raises `StoreUnavailableError` or `StoreUnsuitableError`, with advice; nothing was stored then. Where the event
        loop of an earlier one was closed without a shutdown, it begins anew, as after a crash.
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
            patience=self._config.patience,
        )
        try:
            await self._parts.store.open()
            if self._cleanup_on_start:
                await self._purge()
            await process.listen()
        except BaseException:
            await self._parts.wakeup.close()
            await self._parts.store.close()
            raise
        self._process, self._loop = process, asyncio.get_running_loop()
        if self._config.max_loop_lag is not None:
            self._parts.watchdog.start()

    async def shutdown(self, wait: bool = True, timeout: float | None = 5.0) -> None:
        """Stop claiming, wait up to `timeout` seconds for running tasks (if `wait`), hand back what still runs.

        Meanwhile they, and hooks, may submit, ask and wait for results as ever. Handed-back tasks wait for another
        process, or for this one's next start. `timeout` None waits for as long as they run. Cancelled on its way, it
        lets go of everything at once: what still ran comes back when its lease has ended. A call while another one is
        under way waits for its end; after it, a call does nothing.
        """
        seconds = check_timeout(timeout)
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
        self._why_not_ready = HAS_ENDED

    async def __aenter__(self) -> Self:
        await self.initialize()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.shutdown()

    async def cleanup(self) -> None:
        """Remove all queues and tasks of this namespace alone; this process's queues begin anew, their tokens at 1."""
        self._here()
        await self._purge()
        for served in self._served.values():
            await asked(served.maintainer.introduce)
            if served.worker is not None:
                served.worker.wake()

    async def delete_queue(self, queue_name: str) -> None:
        """Remove the queue with all its tasks, also those that run, and nothing else.

        Not one that this manager created (`QueueInUseError`): it would have to stop what runs in the middle of the
        program. Other processes that serve or fill it declare it anew, empty, so stop them first. What they still run
        counts for nothing then. Raises `QueueNotFoundError`. After a `StoreUnavailableError` call it again: where it
        raises `QueueNotFoundError` then, nothing is left.
        """
        process = self._here()
        if known_queue(queue_name) in self._served:
            raise QueueInUseError(queue_name)
        await process.inspector.remove(queue_name)

    async def _purge(self) -> None:
        store = self._parts.store
        for queue in await asked(store.queues):
            await asked(partial(store.purge, queue))

    def _ready(self) -> Process:
        if self._process is None:
            raise TaskQueueError(self._why_not_ready)
        self._process.check()
        return self._process

    @override
    def _here(self) -> Process:
        process = self._ready()
        check_loop(process.loop)
        return process

    @property
    def loop_lag(self) -> float:
        """How late the event loop was of late, at its worst, seconds; measured where `max_loop_lag` is set."""
        return self._ready().admission.lag.recent_max

    # --- queues and functions

    async def create_queue(
        self,
        config: QueueConfig,
        *,
        work: bool = True,
        functions: Sequence[Callable[..., object]] = (),
    ) -> Queue:
        """Declare the queue for all processes and start its worker in this one.

        `work=False` declares without working, for a process that only submits. `functions` are registered first. The
        same name twice in one manager: `InvalidConfigError`.
        """
        process = self._here()
        if process.is_closing:
            raise TaskQueueError(SHUT_DOWN)
        if not isinstance(config, QueueConfig):
            raise InvalidConfigError(f"give a QueueConfig('mails'), not {shown(config)}")
        if config.name in self._served:
            raise InvalidConfigError(f"queue {config.name!r} already exists in this manager")
        for function in functions:
            self.register(function)
        served = serve(
            config,
            process,
            patience=self._config.patience,
            tick=self._config.tick,
            work=work,
        )
        self._served[config.name] = served
        try:
            await self._introduce(served, process)
        except BaseException:
            if self._served.get(config.name) is served:
                del self._served[config.name]
            served.abandon()
            raise
        queue = Queue(config, CircuitBreaker(config.name, process.inspector))
        self.queues[config.name] = queue
        if served.worker is not None:
            process.workers[config.name] = served.worker
            served.worker.start()
            served.maintainer.start(served.worker)
        return queue

    async def _introduce(self, served: Served, process: Process) -> None:
        try:
            await served.maintainer.introduce()
        except StoreError as error:
            raise StoreUnavailableError(f"the queue was not declared: {error}") from error
        if self._served.get(served.config.name) is not served or process.is_closing:
            raise TaskQueueError(SHUT_DOWN)

    def register(self, function: Callable[..., object], *, name: str | None = None) -> str:
        """Let this process run `function` for tasks of that name (default `module:qualname`); returns the name."""
        return self._registry.register(plain(function), name=name)

    def task(
        self,
        *misplaced: NoReturn,
        name: str | None = None,
        task_type: str | None = None,
        **options: Unpack[Options],
    ) -> TaskDecorator:
        """Decorate a function: registered here, and its calls can be submitted (`await f.submit(...)`).

        `options`: queue, priority, max_retries, retry_delay, backoff, retry_on, give_up_on, timeout, at_most_once.
        None of them: the queue's own.
        """
        if misplaced:
            raise TypeError(HOW_TO_DECORATE)

        def decorate(function: Callable[..., Any], /) -> TaskFunction[..., Any]:
            self._registry.register(function, name=name, **options)
            label = str(task_type or getattr(function, "__name__", "task"))
            return TaskFunction(self, function, queue=options.get("queue"), task_type=label)

        return cast("TaskDecorator", decorate)

    # --- submitting

    @like_async
    def submit_task(
        self,
        task_id: str,
        queue_name: str,
        task_type: str,
        task_func: Callable[..., object],
        priority: QueuePriority | int | None = None,
        *args: Any,
        _defer_until: datetime | None = None,
        _defer_by: float | timedelta | None = None,
        _token: str | None = None,
        **kwargs: Any,
    ) -> Awaited[TaskInfo]:
        """Store a call; from its return on the task will end, whatever crashes.

        `task_func` is a coroutine function, or a plain one (run in a thread). `priority` None is the function's, then
        the queue's. `_defer_by` takes seconds or a timedelta, `_defer_until` a datetime (a naive one is local time).
        Raises `TaskAlreadyExistsError`, `QueueFullError`, `QueueNotFoundError`, `InvalidTaskError`,
        `StoreUnavailableError` (surely not stored) or `SubmitUncertainError` (resume with `_token`). Cancelling the
        caller doesn't cancel the submit.

        It is on its way from the call on; what is wrong is raised where it is awaited.
        """
        return begun(
            self._loop,
            self._submit,
            queue_name,
            Call(
                task_id=task_id,
                task_type=task_type,
                function=plain(task_func),
                args=args,
                kwargs=kwargs,
                priority=priority,
                defer_until=_defer_until,
                defer_by=_defer_by,
                token=_token,
            ),
            itself,
        )

    async def submit_tasks(
        self, queue_name: str, tasks: Sequence[Mapping[str, Any]]
    ) -> list[TaskInfo]:
        """Store many calls, in order: all or nothing up to 1,000 tasks (and 8 MiB), a larger batch in such pieces.

        Two pieces are on their way at a time; what is in is always a beginning. Each task is a mapping with "task_id",
        "task_type", "task_func", and optionally "priority", "args", "kwargs", "_defer_until", "_defer_by", "_token".
        Raises what `submit_task` raises; the error's `accepted` has the ids that are in. After a
        `SubmitUncertainError`, submit what `get_task_status` finds no record of.
        """
        return await self._here().submitter.many(queue_name, tasks, plain)

    def submit_sync(
        self, *args: Any, _wait_seconds: float | None = None, **kwargs: Any
    ) -> TaskInfo:
        """`submit_task` for other threads than the loop's; TimeoutError after `_wait_seconds` leaves it going."""
        self._ready()  # a process that forked has no loop that could serve it
        assert self._loop is not None
        if running_loop() is self._loop:
            raise TaskQueueError(
                "submit_sync would block the event loop: await submit_task instead"
            )
        submit = self.submit_task(*args, **kwargs)
        return asyncio.run_coroutine_threadsafe(submit, self._loop).result(_wait_seconds)

    def submit_call(self, queue: str, call: Call, as_told: Callable[[TaskInfo], T]) -> Awaited[T]:
        """Store a prepared call, and tell its status as `as_told` makes it; for `TaskFunction.submit`."""
        return begun(self._loop, self._submit, queue, call, as_told)

    def _submit(self, queue: str, call: Call, as_told: Callable[[TaskInfo], T]) -> Awaited[T]:
        return self._ready().submitter.one(queue, call, as_told)

    def new_task_id(self, task_type: str) -> str:
        """An id that nobody has used."""
        return unique_id(task_type, self._parts.entropy.identity())

    # --- one task

    def handle(self, info: TaskInfo) -> TaskHandle[Any]:
        """A handle on any task of which a status is at hand: `await manager.handle(info).result(timeout=5)`."""
        return handle_on(self, info)

    def wait_for_end(
        self, queue_name: str, task_id: str, as_told: Callable[[Task], T]
    ) -> Awaited[T]:
        """What `as_told` makes of the record, once the task has ended; for `TaskHandle.result`."""
        return begun(self._loop, self._wait, queue_name, task_id, as_told)

    def _wait(self, queue: str, task_id: str, as_told: Callable[[Task], T]) -> Awaited[T]:
        return self._ready().results.wait(queue, task_id, as_told)

    def info_of(self, task: Task) -> TaskInfo:
        """A record as users see it."""
        return info_of(task, self._parts.codec)

    def result_of(self, task: Task, annotation: object) -> Any:
        """A record's result as a value of the annotated type. Raises `ResultUnreadableError`."""
        return result_of(task, self._parts.codec, annotation)
