"""Answering a store's operations in its place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from kew.app.ports import Operation, TaskStore


def answer_instead(
    store: TaskStore,
    kind: type[Operation[Any]],
    answer: Callable[[Any], Awaitable[Any]],
) -> None:
    """From now on, `answer(operation)` answers the operations of this kind."""
    do = store.do

    async def done(operation: Operation[Any]) -> Any:
        return await (answer(operation) if isinstance(operation, kind) else do(operation))

    store.do = done  # type: ignore[method-assign]
