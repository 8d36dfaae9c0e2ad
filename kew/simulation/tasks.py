"""Futures, tasks and calls whose identity is a number and not an address.

asyncio keeps futures and tasks in sets, and a set is ordered by hashes. The default hash is the
address, so for instance the order in which a `TaskGroup` cancels its children differs from run to
run. Here the hash is the ordinal of creation, which the seed decides. Nothing here decides when
anything runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextvars import Context, copy_context
from typing import Any, Final, TypeAlias, TypeVar, cast

T = TypeVar("T")

CoroutineLike: TypeAlias = Coroutine[Any, Any, T] | Generator[Any, None, T]

# A task asks its loop for its next step through a method of its own. The one for a first step or
# a bare yield has no name in CPython; the one that follows a future is called this.
_STEP_NAMES: Final = frozenset({None, "task_wakeup"})


class SimulatedFuture(asyncio.Future[T]):
    """A future. The loop that makes it sets its `ordinal` at once."""

    __slots__ = ("ordinal",)

    ordinal: int

    def __hash__(self) -> int:
        return self.ordinal


class SimulatedTask(asyncio.Task[T]):
    """A task. `options` are those of `asyncio.Task`; `priority` is for the policy that picks steps.

    `on_name` gets each name that it is given. asyncio registers a task by its hash while it
    is being made, so the ordinal comes first.
    """

    __slots__ = ("_on_name", "ordinal", "priority")

    def __init__(
        self,
        coro: CoroutineLike[T],
        *,
        ordinal: int,
        loop: asyncio.AbstractEventLoop,
        name: str,
        on_name: Callable[[str], None],
        context: Context | None,
        **options: bool,
    ) -> None:
        self.ordinal = ordinal
        self.priority: float | None = None
        self._on_name = on_name
        on_name(name)
        coroutine = cast("Coroutine[Any, Any, T]", coro)  # a generator is refused by asyncio
        super().__init__(coroutine, loop=loop, name=name, context=context, **options)

    def __hash__(self) -> int:
        return self.ordinal

    def set_name(self, value: object, /) -> None:
        name = str(value)
        self._on_name(name)
        super().set_name(name)


class SoonCall(asyncio.Handle):
    """What `call_soon` gives: a step of `task`, or a plain callback if that is None."""

    __slots__ = ("task",)

    task: SimulatedTask[Any] | None
    _callback: Callable[..., object]
    _context: Context

    def __init__(
        self,
        callback: Callable[..., object],
        args: Sequence[Any],
        loop: asyncio.AbstractEventLoop,
        context: Context | None,
    ) -> None:
        _fill(self, callback, args, loop, context)
        self.task = task_stepped_by(callback)


class TimedCall(asyncio.TimerHandle):
    """What `call_at` and `call_later` give: a plain callback.

    `slept_s` is how long the machine of its process had been suspended when it was last scheduled.
    """

    __slots__ = ("slept_s",)

    task: Final = None
    _callback: Callable[..., object]
    _context: Context
    _when: float
    slept_s: float

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: Sequence[Any],
        loop: asyncio.AbstractEventLoop,
        context: Context | None,
    ) -> None:
        _fill(self, callback, args, loop, context)
        self._when = when
        self._scheduled = False
        self.slept_s = 0.0


LoopCall: TypeAlias = SoonCall | TimedCall


def _fill(
    call: Any,
    callback: Callable[..., object],
    args: Sequence[Any],
    loop: asyncio.AbstractEventLoop,
    context: Context | None,
) -> None:
    """As the constructor of `asyncio.Handle`, which asks for the debug mode each time, a 50th of a run."""
    call._context = copy_context() if context is None else context
    call._loop = loop
    call._callback = callback
    call._args = args
    call._cancelled = False
    call._repr = call._source_traceback = None


def task_stepped_by(callback: Callable[..., object]) -> SimulatedTask[Any] | None:
    """The task of which `callback` is the next step, or None if it is a plain callback."""
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, SimulatedTask) and getattr(callback, "__name__", None) in _STEP_NAMES:
        return owner
    return None
