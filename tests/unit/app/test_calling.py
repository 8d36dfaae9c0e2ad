"""Where a task's function is called, and what becomes of an awaitable that the call returns."""

import asyncio
import contextlib
import contextvars
import functools
import gc
import inspect
import logging
import threading
import types
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from kew import (
    InvalidConfigError,
    InvalidTaskError,
    QueueConfig,
    TaskCancelledError,
    TaskFailedError,
    TaskQueueManager,
)
from kew.app.naming import is_coroutine_function
from kew.compat import like_async

QUEUE = QueueConfig("q", max_circuit_breaker_failures=None)
tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")
called_in: list[threading.Thread] = []


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="kew")


@pytest.fixture(autouse=True)
def no_coroutine_is_left() -> Iterator[None]:
    """Every coroutine is awaited or closed, however its task ends."""
    called_in.clear()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert [str(one.message) for one in seen if "never awaited" in str(one.message)] == []


@pytest.fixture
async def manager() -> AsyncIterator[TaskQueueManager]:
    async with TaskQueueManager("memory://") as one:
        await one.create_queue(QUEUE)
        yield one


async def outcome_of(manager: TaskQueueManager, function: Any, *args: Any) -> Any:
    handle = manager.handle(await manager.submit_task("t", "q", "t", function, None, *args))
    return await handle.result(timeout=30)


def hidden(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that isn't async itself, as those which measure or cache are written."""

    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        called_in.append(threading.current_thread())
        return function(*args, **kwargs)

    return inner


@hidden
async def greet(name: str) -> str:
    await asyncio.sleep(0)
    assert threading.current_thread() is threading.main_thread()
    return f"hello {name}"


async def native(name: str) -> str:
    return str(await greet(name))


def unmarked(name: str) -> Any:
    return native(name)


def promises(name: str) -> Awaitable[str]:
    return native(name)


def begins(name: str) -> asyncio.Task[str]:
    return asyncio.create_task(native(name))


class Answer:
    """An awaitable of its own kind."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __await__(self) -> Generator[Any, None, str]:
        return native(self._name).__await__()


class Service:
    @hidden
    async def method(self, name: str) -> str:
        return await native(name)

    def __call__(self, name: str) -> Any:
        return native(name)

    shortcut = functools.partialmethod(method, "ada")


@types.coroutine
def old_style(name: str) -> Generator[Any, None, str]:
    yield
    return f"hello {name}"


@like_async
def sometimes(name: str) -> Any:
    return f"hello {name}"


@functools.wraps(native)
def runs_it_itself(name: str) -> str:
    async def to_the_end() -> str:
        await asyncio.sleep(0)
        return f"hello {name}"

    return asyncio.run(to_the_end())


@pytest.mark.parametrize(
    "function",
    [
        greet,
        unmarked,
        promises,
        begins,
        Answer,
        Service().method,
        Service(),
        old_style,
        sometimes,
        runs_it_itself,
        functools.partial(greet),
        hidden(hidden(greet)),
        lambda name: native(name),
    ],
)
async def test_what_the_call_returns_is_awaited(manager, function):
    assert await outcome_of(manager, function, "ada") == "hello ada"


async def test_a_partial_method_is_awaited_like_any_other(manager):
    assert await outcome_of(manager, Service().shortcut) == "hello ada"


async def test_a_plain_wrapper_is_called_in_a_thread_since_it_may_block(manager):
    await outcome_of(manager, hidden(native), "ada")
    assert called_in[0] is not threading.main_thread()


async def test_what_the_call_sets_in_its_context_holds_where_the_coroutine_runs(manager):
    async def whose() -> str:
        return tenant.get()

    def bound() -> Any:
        tenant.set("ada")
        return whose()

    assert await outcome_of(manager, bound) == "ada"
    assert tenant.get() == "nobody"


@pytest.mark.parametrize("end", ["cancelled", "too late", "shut down"])
async def test_what_is_awaited_can_be_stopped(end):
    stopped = asyncio.Event()
    running = asyncio.Event()

    async def forever() -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    limit = 0.05 if end == "too late" else 60
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q", task_timeout=limit))
        handle = manager.handle(await manager.submit_task("t", "q", "t", hidden(forever)))
        await running.wait()
        if end == "cancelled":
            assert await handle.cancel()
            with pytest.raises(TaskCancelledError):
                await handle.result(timeout=30)
        elif end == "too late":
            with pytest.raises(TaskFailedError, match="timed out"):
                await handle.result(timeout=30)
        else:
            await manager.shutdown(timeout=0)
        await stopped.wait()


async def test_a_coroutine_is_not_started_once_its_task_was_cancelled(manager):
    is_in_thread, may_return, started = asyncio.Event(), threading.Event(), []
    loop = asyncio.get_running_loop()

    async def later() -> None:
        started.append(1)

    def slow() -> Any:
        loop.call_soon_threadsafe(is_in_thread.set)
        may_return.wait(30)
        return later()

    handle = manager.handle(await manager.submit_task("t", "q", "t", slow))
    await is_in_thread.wait()
    assert await handle.cancel()
    may_return.set()
    with pytest.raises(TaskCancelledError):
        await handle.result(timeout=30)
    assert not started


def test_a_coroutine_that_comes_when_the_loop_is_closed_is_closed_too():
    may_return, threads = threading.Event(), []

    def slow() -> Any:
        threads.append(threading.current_thread())
        is_in_thread.set()
        may_return.wait(30)
        return native("ada")

    async def leave() -> None:
        manager = TaskQueueManager("memory://")
        await manager.initialize()
        await manager.create_queue(QUEUE)
        await manager.submit_task("t", "q", "t", slow)
        await asyncio.to_thread(is_in_thread.wait, 5)

    is_in_thread = threading.Event()
    asyncio.run(leave())
    may_return.set()
    with contextlib.suppress(RuntimeError):
        threads[0].join(0.2)


async def test_a_future_of_another_loop_is_refused_with_the_remedy(manager):
    other = asyncio.new_event_loop()
    try:
        with pytest.raises(TaskFailedError, match="another event loop"):
            await outcome_of(manager, lambda: other.create_future())
    finally:
        other.close()


made_tasks: list[bool] = []
made_coroutines: list[Coroutine[Any, Any, Any]] = []


def spawning(make: Callable[..., Any]) -> Callable[..., Any]:
    def decorator(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def inner(*args: Any, **kwargs: Any) -> Any:
            made_tasks.append(threading.current_thread() is threading.main_thread())
            coroutine = function(*args, **kwargs)
            made_coroutines.append(coroutine)
            return make(coroutine)

        return inner

    return decorator


@pytest.mark.parametrize(
    "make",
    [
        asyncio.create_task,
        asyncio.ensure_future,
        lambda coroutine: asyncio.get_running_loop().create_task(coroutine),
        lambda coroutine: asyncio.gather(coroutine),
        lambda coroutine: asyncio.gather(*[coroutine]),
    ],
)
async def test_a_decorator_that_makes_a_task_is_called_on_the_loop(manager, make):
    made_tasks.clear()
    made_coroutines.clear()
    function = spawning(make)(native)
    manager.register(function, name="spawning")
    for n in range(2):
        info = await manager.submit_task(f"t{n}", "q", "t", function, None, "ada")
        assert "hello ada" in await manager.handle(info).result(timeout=30)
    assert made_tasks == [False, True, True]
    assert {inspect.getcoroutinestate(each) for each in made_coroutines} == {inspect.CORO_CLOSED}


async def test_a_plain_function_that_needs_the_loop_fails_with_the_remedy(manager):
    with pytest.raises(TaskFailedError, match=r"async def.*-> asyncio\.Future"):
        await outcome_of(manager, lambda: asyncio.get_running_loop().create_future())


async def test_the_remedy_for_a_plain_function_that_needs_the_loop_helps(manager):
    def begins() -> "asyncio.Future[str]":
        return asyncio.ensure_future(native("ada"))

    assert "hello ada" in await outcome_of(manager, begins)


async def test_no_coroutine_is_left_if_several_were_to_become_tasks(manager):
    with pytest.raises(TaskFailedError, match="async def"):
        await outcome_of(manager, lambda: asyncio.gather(native("ada"), native("bob")))


@pytest.mark.parametrize(
    "collect", [lambda each: [each], lambda each: (each, 1), lambda each: {"a": each}]
)
async def test_awaitables_inside_a_result_are_no_result(manager, collect):
    with pytest.raises(TaskFailedError, match=r"not awaited.*asyncio\.gather"):
        await outcome_of(manager, lambda: collect(native("ada")))


async def test_a_future_of_a_thread_is_no_result(manager):
    with ThreadPoolExecutor() as pool, pytest.raises(TaskFailedError, match="wrap_future"):
        await outcome_of(manager, lambda: pool.submit(len, "ab"))


async def test_a_coroutine_that_is_the_result_of_another_is_no_result(manager):
    async def forgets() -> Coroutine[Any, Any, str]:
        return native("ada")

    with pytest.raises(TaskFailedError, match="return await"):
        await outcome_of(manager, forgets)


async def test_a_generator_is_no_result(manager):
    def collects() -> Any:
        return (one for one in (1, 2))

    with pytest.raises(TaskFailedError, match="return list"):
        await outcome_of(manager, collects)


async def numbers() -> AsyncIterator[int]:
    yield 1


def numerals() -> Iterator[int]:
    yield 1


class Stream:
    def each(self) -> Iterator[int]:
        yield 1

    async def __call__(self) -> AsyncIterator[int]:
        yield 1


@pytest.mark.parametrize(
    "function", [numbers, numerals, functools.partial(numerals), Stream(), Stream().each]
)
async def test_a_generator_function_is_refused_before_anything_is_stored(manager, function):
    with pytest.raises(InvalidTaskError, match="return a list"):
        await manager.submit_task("t", "q", "t", function)
    with pytest.raises(InvalidConfigError, match="return a list"):
        manager.register(function)
    with pytest.raises(InvalidConfigError, match="return a list"):
        manager.task(queue="q")(function)


def test_a_function_that_returns_a_future_says_so_by_its_annotation():
    assert is_coroutine_function(begins)
    assert is_coroutine_function(functools.partial(begins))
    assert not is_coroutine_function(promises)
    assert not is_coroutine_function(greet)
