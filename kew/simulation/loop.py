"""An asyncio event loop for simulations: one seed decides the order of everything in it.

`scheduler` picks what runs and moves the time, `sealing` refuses what leads out, `tasks` makes
identities ordinals. Here is the rest of what asyncio asks of a loop, and the beginning and end of a
run. Nothing here knows of queues, stores or faults.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import sys
import warnings
from collections.abc import AsyncGenerator, Awaitable, Coroutine, Generator, Iterator
from contextvars import Context
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, cast
from weakref import WeakValueDictionary

import attrs

from kew.simulation.errors import SimulationError
from kew.simulation.policies import PolicyName
from kew.simulation.processes import PROCESS
from kew.simulation.scheduler import Scheduler
from kew.simulation.sealing import sealed
from kew.simulation.tasks import CoroutineLike, SimulatedFuture, SimulatedTask
from kew.simulation.trace import Trace

if TYPE_CHECKING:
    from asyncio.events import _ExceptionHandler, _TaskFactory

T = TypeVar("T")

_EAGER_FACTORY: Final[object] = getattr(asyncio, "eager_task_factory", None)
_CLOSE_ATTEMPTS: Final = 100


@attrs.frozen(kw_only=True)
class Unhandled:
    """An error that asyncio would have logged: of a callback, or of a task that was never awaited."""

    at: float
    message: str
    error: BaseException | None


# Long: asyncio asks an event loop for all of this.
# Wide: for the same reason.
class SimulationLoop(Scheduler):
    """An event loop for one simulation, in one thread.

    `policy` is "uniform" (each ready step is equally likely), "pct" (random priorities, long
    starvation) or "fifo" (asyncio's own order). An error of a `fatal` type that leaves a callback
    or a task ends the run at once and is raised by `run()`. So does taking `max_steps` steps.

    Close it, or use it as a context manager, once nothing of the run is looked at any more: only
    then are the coroutines of killed processes and of tasks that never ended closed.
    """

    is_simulated = True  # for code that would start threads

    def __init__(
        self,
        seed: int = 0,
        policy: PolicyName = "uniform",
        *,
        keep_trace: bool = False,
        max_steps: int = 20_000_000,
        fatal: tuple[type[BaseException], ...] = (),
    ) -> None:
        trace = Trace(keep_lines=keep_trace)
        super().__init__(seed, policy, trace=trace, max_steps=max_steps, fatal=fatal)
        self._unhandled: list[Unhandled] = []
        self._next_ordinal = itertools.count(1).__next__
        self._is_debug = False
        self._task_factory: _TaskFactory | None = None
        self._exception_handler: _ExceptionHandler | None = None
        self._generators: WeakValueDictionary[int, AsyncGenerator[Any, Any]]
        self._generators = WeakValueDictionary()

    # --- Running -----------------------------------------------------------------------------

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run until `main` ends, and return what it returns or raise what it raises.

        Raises the first fatal error instead if there was one, `SimulationDeadlock` if nothing can
        ever happen again, `SimulationLivelock` after `max_steps`, and `RealIOForbidden` if anything
        tried to leave the simulation, even if it caught the error. What still runs when `main`
        ends stays as it is. May be called again: time and trace go on.
        """
        return self.run_until_complete(self.create_task(main, name="main"))

    def run_until_complete(self, future: Generator[Any, None, T] | Awaitable[T]) -> T:
        """As `run`, of any awaitable."""
        main = asyncio.ensure_future(cast("Awaitable[T]", future), loop=self)
        main.add_done_callback(self._stop_after, context=Context())
        try:
            self.run_forever()
        finally:
            main.remove_done_callback(self._stop_after)
        if not main.done():
            raise SimulationError("the loop was stopped before its main task ended")
        return main.result()

    def run_forever(self) -> None:
        """Run until `stop()`, or until one of the errors that `run` names."""
        self._check_open()
        with self._entered():
            self._spin()
        if self._failure is not None:
            raise self._failure

    def is_running(self) -> bool:
        return self._is_running

    def _stop_after(self, _main: asyncio.Future[Any]) -> None:
        self.stop()

    @contextlib.contextmanager
    def _entered(self) -> Iterator[None]:
        """The state of the interpreter during a run, restored afterwards.

        The garbage collector is off: it would run finalisers at moments that depend on how much
        the process has ever allocated.
        """
        if asyncio._get_running_loop() is not None:
            raise SimulationError("an event loop is running already; call this from plain code")
        collects, hooks = gc.isenabled(), sys.get_asyncgen_hooks()
        with sealed(self.fail):
            gc.disable()
            sys.set_asyncgen_hooks(self._generator_started, self._generator_dropped)
            asyncio._set_running_loop(self)
            self._is_running, self._is_stopping = True, self._failure is not None
            try:
                yield
            finally:
                self.bury(asyncio.all_tasks(self))
                self._is_running = False
                asyncio._set_running_loop(None)
                sys.set_asyncgen_hooks(*hooks)
                if collects:
                    gc.enable()

    # --- What asyncio asks of a loop --------------------------------------------------------------

    def create_future(self) -> SimulatedFuture[Any]:
        future: SimulatedFuture[Any] = SimulatedFuture(loop=self)
        future.ordinal = self._next_ordinal()
        return future

    def create_task(
        self,
        coro: CoroutineLike[T],
        *,
        name: object = None,
        context: Context | None = None,
        eager_start: bool | None = None,
    ) -> SimulatedTask[T]:
        """As asyncio's. `eager_start` needs Python 3.12 or later.

        A closed loop closes the coroutine too: code that keeps the error keeps the coroutine, and the garbage
        collector would find it long after the simulation, with a warning that it was never awaited.
        """
        if self._is_closed:
            coro.close()
        self._check_open()
        if eager_start is None:
            eager_start = self._task_factory is not None
        ordinal = self._next_ordinal()
        options = {"eager_start": True} if eager_start else {}
        task = SimulatedTask(
            coro,
            ordinal=ordinal,
            loop=self,
            name=f"task-{ordinal}" if name is None else str(name),
            on_name=self._trace.name,
            context=context,
            **options,
        )
        process = PROCESS.get() if context is None else context.get(PROCESS)
        if process is not None:
            process.owns(task)
        if eager_start and task._exception is not None:
            self._task_failed(task)
        return task

    def set_task_factory(self, factory: _TaskFactory | None) -> None:
        """Only None and `asyncio.eager_task_factory`, since the tasks must be this loop's own."""
        if factory not in (None, _make_task, _EAGER_FACTORY):
            raise SimulationError("a simulation makes its own tasks; set no other task factory")
        self._task_factory = None if factory is _make_task else factory

    def get_task_factory(self) -> _TaskFactory | None:
        """Never None: who would make tasks past the loop, as asyncio's own, must see that it can't."""
        return self._task_factory or _make_task

    def get_debug(self) -> bool:
        return self._is_debug

    def set_debug(self, enabled: bool) -> None:
        self._is_debug = enabled

    # --- Uncaught errors --------------------------------------------------------------------------

    @property
    def unhandled(self) -> list[Unhandled]:
        """Errors of callbacks, and of tasks whose outcome was not retrieved so far.

        asyncio would log the latter whenever the garbage collector finds them; here each is known
        as soon as the task has ended.
        """
        unseen = [
            Unhandled(at=at, message=f"{task.get_name()} failed unseen", error=task._exception)
            for at, task in self._failed_unseen()
        ]
        return [*self._unhandled, *unseen]

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self._is_closed:
            return
        if self._exception_handler is None:
            self.default_exception_handler(context)
        else:
            self._exception_handler(self, context)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Add the error to `unhandled`, instead of logging it as asyncio does, and note its type."""
        error, message = context.get("exception"), str(context.get("message", ""))
        self._unhandled.append(Unhandled(at=self._now, message=message, error=error))
        self.note("unhandled", type(error).__name__)

    def set_exception_handler(self, handler: _ExceptionHandler | None) -> None:
        self._exception_handler = handler

    def get_exception_handler(self) -> _ExceptionHandler | None:
        return self._exception_handler

    # --- Trace ------------------------------------------------------------------------------------

    @property
    def trace(self) -> list[str]:
        """The notes so far, one line each, if the loop was made with `keep_trace`."""
        return self._trace.lines

    def note(self, *words: object) -> None:
        """Put a line into the trace: the time, the process that is running, and these words.

        The words enter the hash as `str()` gives them, so they must not show an address.
        """
        who = PROCESS.get() or "world"
        self._trace.note(f"{self._now:.6f} {who} {' '.join(map(str, words))}")

    def trace_hash(self) -> str:
        """A hash of all that happened: equal for equal seeds, in any process with this Python."""
        return self._trace.digest()

    # --- The end ----------------------------------------------------------------------------------

    def is_closed(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        """End for good. Coroutines that are still suspended are closed, in order and in silence.

        Python runs their `finally` blocks now, whatever they are; the world is still sealed, the
        loop refuses every call, and the trace no longer changes.
        """
        if self._is_running:
            raise SimulationError("the loop is running; close it after run() has returned")
        if self._is_closed:
            return
        with sealed(lambda _breach: None), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._is_closed = True
            self._trace.seal()
            for task in sorted(asyncio.all_tasks(self), key=hash):
                _close_coroutine(task)
        self._graveyard.clear()
        self._timers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Nothing to do: there is no executor."""

    async def shutdown_asyncgens(self) -> None:
        """Close every async generator that is suspended, in the order in which they started."""
        for generator in list(self._generators.values()):
            await generator.aclose()

    def _generator_started(self, generator: AsyncGenerator[Any, Any]) -> None:
        self._generators[self._next_ordinal()] = generator

    def _generator_dropped(self, generator: AsyncGenerator[Any, Any]) -> None:
        if self._is_running:
            self.call_soon(self.create_task, generator.aclose())


def _make_task(
    loop: asyncio.AbstractEventLoop, coro: CoroutineLike[T], **options: Any
) -> SimulatedTask[T]:
    return cast("SimulationLoop", loop).create_task(coro, **options)


def _close_coroutine(task: asyncio.Task[Any]) -> None:
    """Close the task's coroutine, also one that awaits again while it is being closed."""
    coro = task.get_coro()
    for _ in range(_CLOSE_ATTEMPTS):
        with contextlib.suppress(BaseException):
            if coro is not None:
                coro.close()
            return
