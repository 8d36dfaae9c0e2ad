"""What type checkers make of dependencies: `make check` runs mypy over this file, pytest the code and pyright."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any, assert_type

from kew import Depends, QueueConfig, Resource, TaskCall, TaskContext, TaskQueueManager
from kew.handles import TaskHandle


async def test_resources_and_dependencies_have_the_type_of_what_they_provide():
    class Pool:
        async def __aenter__(self) -> str:
            return "entered"

        async def __aexit__(self, *_error: object) -> None: ...

    manager = TaskQueueManager("memory://")

    @manager.resource
    async def pool() -> AsyncIterator[Pool]:
        yield Pool()

    @manager.resource
    @asynccontextmanager
    async def managed() -> AsyncIterator[int]:
        yield 1

    @manager.resource
    def plain() -> Iterator[bytes]:
        yield b""

    async def later() -> float:
        return 1.0

    def now() -> bool:
        return True

    assert_type(pool, Resource[Pool])
    assert_type(managed, Resource[int])
    assert_type(plain, Resource[bytes])
    assert_type(manager.resource(Pool), Resource[str])
    assert_type(manager.resource(later), Resource[float])
    assert_type(manager.resource(now), Resource[bool])
    assert_type(Depends(pool), Pool)
    assert_type(Depends(plain), bytes)
    assert_type(Depends(later), float)
    assert_type(Depends(now), bool)
    assert_type(Depends(TaskContext.current), TaskContext)

    @manager.task(queue="q")
    async def count(text: str, pool: Pool = Depends(pool), number: int = Depends(managed)) -> int:
        return len(text) + number

    @manager.around
    async def doubled(call: TaskCall, context: TaskContext) -> object:
        return 2 * await call()

    around: Callable[[TaskCall, TaskContext], Coroutine[Any, Any, object]] = doubled
    assert around is doubled
    async with manager:
        await manager.create_queue(QueueConfig("q"))
        assert_type(await pool(), Pool)
        assert_type(await count("ab"), int)
        handle = await count.submit("ab")
        assert_type(handle, TaskHandle[int])
        assert await handle.result(timeout=5) == 6


def test_pyright_infers_the_same():
    found = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--outputjson", "--level", "error", __file__],
        capture_output=True,
        text=True,
        check=False,
    )
    told = json.loads(found.stdout)
    assert [one["message"] for one in told["generalDiagnostics"]] == []
    assert told["summary"]["filesAnalyzed"] == 1
