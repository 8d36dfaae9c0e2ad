"""Crash points: the places in a user's code at which a process may be killed, and the decision whether it is."""

from __future__ import annotations

import asyncio
import enum
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import attrs

from kew.app.spawning import CARRIED
from kew.app.working.context import TaskContext
from kew.simulation.processes import crash, current_process


class When(enum.StrEnum):
    """The side of a place."""

    BEFORE = "just before"
    AFTER = "just after"
    UNRECORDED = "after the end and before kew recorded it, of"


@attrs.frozen
class Point:
    """One side of one `await` (or `async with`, `async for`). `text` is the source of what is awaited."""

    file: str
    line: int
    text: str
    when: When = When.BEFORE

    def __str__(self) -> str:
        line = f":{self.line}" if self.line else ""
        return f"{_short(self.file)}{line}: {self.when.value} `{self.text}`"


def _short(file: str) -> str:
    """Relative to the current directory if it is inside it."""
    path = Path(file)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


Verdict = float | None
"""What happens to the process at a point: None: nothing; infinity: it is killed; else it stalls for these seconds."""

KILL = float("inf")
JUDGE: ContextVar[Callable[[Point], Verdict]] = ContextVar("kew_judge")
CARRIED.append(JUDGE)


def task_context() -> TaskContext | None:
    """The attempt in which the caller runs; None: outside of a task."""
    try:
        return TaskContext.current()
    except LookupError:
        return None


async def at(place: tuple[str, int, str], when: When) -> None:
    """Pass a point: continue, stall, or be killed."""
    judge = JUDGE.get(None)
    if judge is not None:
        await suffer(judge(Point(*place, when)))


async def suffer(verdict: Verdict) -> None:
    """Apply a verdict to the current process."""
    process = current_process()
    if verdict is None or process is None:
        return
    if verdict == KILL:
        await crash()
    process.stall(verdict)
    await asyncio.sleep(0)


# --- what instrumented code calls


async def awaited(awaitable: Any, place: tuple[str, int, str]) -> Any:
    """In place of `await x`: a point before it and one after it."""
    try:
        await at(place, When.BEFORE)
    except BaseException:
        if inspect.iscoroutine(awaitable):
            awaitable.close()  # it will never be awaited: avoid the warning
        raise
    value = await awaitable
    await at(place, When.AFTER)
    return value


class Entered:
    """In place of the manager in `async with x`."""

    def __init__(self, manager: Any, place: tuple[str, int, str]) -> None:
        self._manager = manager
        self._place = place

    async def __aenter__(self) -> Any:
        return await awaited(type(self._manager).__aenter__(self._manager), self._place)

    async def __aexit__(self, *error: Any) -> Any:
        return await awaited(type(self._manager).__aexit__(self._manager, *error), self._place)


class Iterated:
    """In place of the iterable in `async for`."""

    def __init__(self, iterable: Any, place: tuple[str, int, str]) -> None:
        self._iterator = type(iterable).__aiter__(iterable)
        self._place = place

    def __aiter__(self) -> Iterated:
        return self

    async def __anext__(self) -> Any:
        return await awaited(type(self._iterator).__anext__(self._iterator), self._place)
