"""Middleware: functions around each run, which see the call go in and its outcome come out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import attrs

from kew.app.working.context import TaskContext


@attrs.frozen
class TaskCall:
    """A run's call, as middleware sees it: `await call()` runs it, and returns or raises its outcome."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    _run: Callable[[], Awaitable[Any]] = attrs.field(repr=False, eq=False)

    def __call__(self) -> Awaitable[Any]:
        """Run what is inside: the middleware that was registered next, and in the end the function."""
        return self._run()


Around = Callable[[TaskCall, TaskContext], Awaitable[Any]]


def surrounded(
    middleware: Sequence[Around],
    call: TaskCall,
    context: TaskContext,
) -> Callable[[], Awaitable[Any]]:
    """The call with middleware around it, the first one outermost."""
    run: Callable[[], Awaitable[Any]] = call
    for each in reversed(middleware):
        run = partial(each, attrs.evolve(call, run=run), context)
    return run
