"""Dependencies, resources and middleware: what a run is given, and what surrounds it."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Annotated, Any

import fastapi
import httpx
import pytest
from fastapi import FastAPI
from uncalled_for import CallArgument, Provided, Shared

from kew import (
    Depends,
    InvalidConfigError,
    InvalidTaskError,
    PickleCodec,
    QueueConfig,
    Resource,
    TaskCall,
    TaskCancelledError,
    TaskContext,
    TaskFailedError,
    TaskQueueError,
    TaskQueueManager,
    TaskStatus,
)
from kew.app.working import cleanups
from kew.testing import crash_at_every_await, run, simulated

QUEUE = QueueConfig("q", max_workers=100, max_circuit_breaker_failures=None)


class Log(list[str]):
    """What happened, in order. Its members are dependencies."""

    async def session(self) -> AsyncIterator[str]:
        self.append("open")
        try:
            yield "session"
        except BaseException as error:
            self.append(f"saw {type(error).__name__}")
            raise
        finally:
            self.append("close")

    def plain(self) -> Iterator[str]:
        self.append("open plain")
        yield "plain"
        self.append("close plain")


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
async def manager() -> AsyncIterator[TaskQueueManager]:
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QUEUE)
        yield manager


async def failure(handle: Any) -> str:
    with pytest.raises(TaskFailedError) as caught:
        await handle.result(timeout=10)
    return caught.value.error


# --- dependencies


async def test_each_kind_of_function_provides_a_parameter_and_cleans_up(manager, log):
    @asynccontextmanager
    async def managed() -> AsyncIterator[str]:
        yield "managed"
        log.append("close managed")

    @contextmanager
    def managed_plain() -> Iterator[str]:
        yield "managed plain"
        log.append("close managed plain")

    async def value() -> str:
        return "value"

    @manager.task(queue="q")
    async def task(
        a: str = Depends(log.session),
        b: str = Depends(log.plain),
        c: str = Depends(managed),
        d: str = Depends(managed_plain),
        e: str = Depends(value),
        f: str = Depends(lambda: "f"),
    ) -> list[str]:
        return [a, b, c, d, e, f]

    result = await (await task.submit()).result(timeout=10)
    assert result == ["session", "plain", "managed", "managed plain", "value", "f"]
    assert log[2:] == ["close managed plain", "close managed", "close plain", "close"]


async def test_a_plain_function_has_dependencies_too(manager, log):
    seen: list[int] = []

    def where() -> int:
        return threading.get_ident()

    @manager.task(queue="q")
    def task(a: str, where: int = Depends(where), session: str = Depends(log.session)) -> str:
        seen.append(threading.get_ident())
        return f"{a} {session} {where == threading.main_thread().ident}"

    assert await (await task.submit("a")).result(timeout=10) == "a session True"
    assert seen != [threading.main_thread().ident]
    assert log == ["open", "close"]


async def test_one_run_has_one_instance_and_concurrent_runs_share_none(manager):
    async def own() -> object:
        return object()

    async def user(own: object = Depends(own)) -> object:
        return own

    seen: list[object] = []
    all_run = asyncio.Barrier(20)

    @manager.task(queue="q")
    async def task(a: object = Depends(own), b: object = Depends(user)) -> bool:
        seen.append(a)
        await all_run.wait()
        return a is b

    handles = [await task.submit() for _ in range(20)]
    assert all([await handle.result(timeout=10) for handle in handles])
    assert len({id(each) for each in seen}) == 20


async def test_each_attempt_has_an_instance_of_its_own(manager, log):
    @manager.task(queue="q", max_retries=1, retry_delay=0.01)
    async def task(session: str = Depends(log.session)) -> None:
        if log.count("open") == 1:
            raise ValueError
        assert log == ["open", "saw ValueError", "close", "open"]

    await (await task.submit()).result(timeout=10)


async def test_provided_parameters_are_no_arguments_of_a_task(manager, log):
    @manager.task(queue="q", name="task", key="who")
    async def task(
        who: str, session: str = Depends(log.session), note: str = "", *more: str, last: int = 0
    ) -> str:
        return f"{who} {session} {note} {last}"

    handle = await task.submit("ada", note="n", last=1)
    assert await handle.result(timeout=10) == "ada session n 1"
    assert (await handle.status()).key == "ada"
    later = await task.options(defer_by=3600).submit("ada", note="n", last=1)
    arguments = await manager.get_task_arguments(later.task_id)
    assert (arguments.args, arguments.kwargs) == (["ada"], {"note": "n", "last": 1})
    for args, kwargs in [(("ada", "n"), {}), (("ada",), {"session": "mine"})]:
        with pytest.raises(InvalidTaskError, match="can't be called like this"):
            await task.submit(*args, **kwargs)
    with pytest.raises(InvalidConfigError, match="names no argument"):
        manager.task(key="session")(task.function)
    info = await manager.submit_task("a", "q", "t", task, None, "bob")
    assert await manager.handle(info).result(timeout=10) == "bob session  0"


async def test_what_a_dependency_is_annotated_with_concerns_no_codec(manager, caplog):
    class Unstorable:
        pass

    @manager.task(queue="q")
    async def task(a: int, thing: Unstorable = Depends(Unstorable)) -> bool:
        return isinstance(thing, Unstorable)

    task.function.__annotations__["thing"] = "NotImportedHere"
    assert await (await task.submit(1)).result(timeout=10)
    assert "can't be resolved" not in caplog.text


async def test_a_dependency_knows_the_run_and_its_arguments(manager):
    def greeting(who: str = CallArgument()) -> str:
        return f"hello {who}"

    @manager.task(queue="q")
    async def task(
        who: str,
        context: TaskContext = Depends(TaskContext.current),
        greeting: Annotated[str, Depends(greeting)] = Provided,
    ) -> str:
        return f"{context.task_id} {greeting}"

    handle = await task.options(task_id="one").submit("ada")
    assert await handle.result(timeout=10) == "one hello ada"


async def test_a_dependency_that_fails_fails_the_run_and_what_was_opened_cleans_up(manager, log):
    async def broken(session: str = Depends(log.session)) -> str:
        raise OSError("no database")

    @manager.task(queue="q")
    async def task(broken: str = Depends(broken)) -> None:
        log.append("ran")

    assert await failure(await task.submit()) == "OSError: no database"
    assert log == ["open", "saw OSError", "close"]


async def test_a_function_that_travels_has_dependencies_and_middleware_too(log):
    seen: list[object] = []
    async with TaskQueueManager("memory://", codec=PickleCodec(secret="x" * 32)) as manager:
        await manager.create_queue(QUEUE)

        @manager.around
        async def noting(call: TaskCall, context: TaskContext) -> Any:
            seen.append((call.function.__name__, call.args))
            return await call()

        async def travelling(a: str, number: int = Depends(lambda: 7)) -> str:
            return f"{a} {number}"

        def plainly(a: str, number: int = Depends(lambda: 7)) -> str:
            return f"{a} {number}"

        async def without(a: str) -> str:
            return a

        for function in (travelling, plainly, without):
            await manager.submit_task(function.__name__, "q", "t", function, None, "a")
        results = [await manager.handle(name).result(10) for name in ("travelling", "plainly")]
        assert results == ["a 7", "a 7"]
        assert await manager.handle("without").result(10) == "a"
    assert set(seen) == {("travelling", ("a",)), ("plainly", ("a",)), ("without", ("a",))}


# --- clean-up


@pytest.mark.parametrize("kind", ["raises", "swallows", "exits"])
async def test_a_clean_up_that_fails_changes_no_outcome_and_is_logged(manager, caplog, kind):
    async def session() -> AsyncIterator[None]:
        try:
            yield
        except ValueError:
            if kind != "swallows":
                raise
        if kind != "swallows":
            raise OSError("while closing") if kind == "raises" else SystemExit("while closing")

    async def failing() -> AsyncIterator[None]:
        yield
        raise OSError("while closing")

    @manager.task(queue="q")
    async def good(session: None = Depends(session), other: None = Depends(failing)) -> str:
        return "done"

    @manager.task(queue="q")
    async def bad(session: None = Depends(session), a: None = Depends(failing)) -> None:
        raise ValueError("its own")

    assert await (await good.submit()).result(timeout=10) == "done"
    assert "has a dependency that failed to clean up" in caplog.text
    assert "while closing" in caplog.text
    assert await failure(await bad.submit()) == "ValueError: its own"


async def test_a_slow_clean_up_holds_an_outcome_back_for_a_while_and_no_longer(
    manager, monkeypatch, caplog
):
    monkeypatch.setattr(cleanups, "PATIENCE", 0.05)
    may_close, ended = asyncio.Event(), asyncio.Event()

    async def session() -> AsyncIterator[None]:
        yield
        await may_close.wait()
        ended.set()

    @manager.task(queue="q")
    async def task(session: None = Depends(session)) -> str:
        return "done"

    assert await (await task.submit()).result(timeout=10) == "done"
    assert "take more than 0.05 s to clean up" in caplog.text
    assert not ended.is_set()
    may_close.set()
    await asyncio.wait_for(ended.wait(), 10)


async def test_the_next_attempt_begins_after_the_clean_up_of_the_last(manager):
    order: list[str] = []

    async def session() -> AsyncIterator[None]:
        order.append("open")
        try:
            yield
        finally:
            await asyncio.sleep(0.05)
            order.append("closed")

    @manager.task(queue="q", max_retries=1, retry_delay=0.001)
    async def task(session: None = Depends(session)) -> None:
        if len(order) == 1:
            raise ValueError

    await (await task.submit()).result(timeout=10)
    assert order == ["open", "closed", "open", "closed"]


async def test_a_timeout_during_the_clean_up_is_none_of_the_task(manager):
    closed = asyncio.Event()

    async def session() -> AsyncIterator[None]:
        yield
        await asyncio.sleep(0.3)
        closed.set()

    @manager.task(queue="q", timeout=0.1)
    async def task(session: None = Depends(session)) -> str:
        return "done"

    assert await (await task.submit()).result(timeout=10) == "done"
    assert not closed.is_set()
    await asyncio.wait_for(closed.wait(), 10)


async def test_a_task_that_times_out_cleans_up(manager, log):
    @manager.task(queue="q", timeout=0.05)
    async def task(session: str = Depends(log.session)) -> None:
        await asyncio.sleep(60)

    assert await failure(await task.submit()) == "TimeoutError: timed out after 0.05 s"
    assert log == ["open", "saw CancelledError", "close"]


async def test_a_task_that_is_cancelled_cleans_up(manager, log):
    begun = asyncio.Event()

    @manager.task(queue="q")
    async def task(session: str = Depends(log.session)) -> None:
        begun.set()
        await asyncio.sleep(60)

    handle = await task.submit()
    await begun.wait()
    await handle.cancel()
    with pytest.raises(Exception, match="cancelled"):
        await handle.result(timeout=10)
    assert log == ["open", "saw CancelledError", "close"]


async def test_a_task_that_is_cancelled_while_it_opens_a_dependency_cleans_up_the_others(
    manager, log
):
    begun = asyncio.Event()

    async def slow(session: str = Depends(log.session)) -> None:
        begun.set()
        await asyncio.sleep(60)

    @manager.task(queue="q")
    async def task(slow: None = Depends(slow)) -> None:
        log.append("ran")

    handle = await task.submit()
    await begun.wait()
    await handle.cancel()
    with pytest.raises(Exception, match="cancelled"):
        await handle.result(timeout=10)
    assert log == ["open", "saw CancelledError", "close"]


async def test_a_clean_up_that_fails_while_another_dependency_opens_hides_no_cancellation(
    manager, caplog
):
    begun = asyncio.Event()

    async def failing() -> AsyncIterator[None]:
        try:
            yield
        finally:
            raise OSError("while closing")

    async def slow(failing: None = Depends(failing)) -> None:
        begun.set()
        await asyncio.sleep(60)

    @manager.task(queue="q")
    async def task(slow: None = Depends(slow)) -> None: ...

    handle = await task.submit()
    await begun.wait()
    await handle.cancel()
    with pytest.raises(TaskCancelledError):
        await handle.result(timeout=10)
    assert "while closing" in caplog.text


async def test_a_shutdown_that_is_cancelled_closes_resources_after_the_runs(log):
    manager = TaskQueueManager("memory://")
    begun = asyncio.Event()

    @manager.resource
    async def pool() -> AsyncIterator[None]:
        yield
        log.append("closed")

    @manager.task(queue="q")
    async def task(pool: None = Depends(pool)) -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            log.append("ended")

    await manager.initialize()
    await manager.create_queue(QUEUE)
    await task.submit()
    await begun.wait()
    ending = asyncio.ensure_future(manager.shutdown(timeout=60))
    await asyncio.sleep(0.01)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert log == ["ended", "closed"]


async def test_a_shutdown_reports_what_is_decided_and_lets_the_clean_up_end(log):
    manager = TaskQueueManager("memory://shared-shutdown")
    decided = asyncio.Event()

    async def session() -> AsyncIterator[None]:
        yield
        decided.set()
        await asyncio.sleep(0.2)
        log.append("closed")

    async with manager, TaskQueueManager("memory://shared-shutdown") as other:
        await manager.create_queue(QUEUE)

        @manager.task(queue="q")
        async def task(session: None = Depends(session)) -> str:
            return "done"

        handle = await task.submit()
        await decided.wait()
        await manager.shutdown(wait=False)
        assert log == ["closed"]
        assert (await other.get_task_status(handle.task_id)).status is TaskStatus.COMPLETED


async def test_a_clean_up_that_never_ends_is_cancelled_at_shutdown(monkeypatch, caplog):
    monkeypatch.setattr("kew.app.working.worker.CANCEL_GRACE", 0.05)
    seen: list[str] = []

    async def session() -> AsyncIterator[None]:
        yield
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QUEUE)
        ran = asyncio.Event()

        @manager.task(queue="q")
        async def task(session: None = Depends(session)) -> None:
            ran.set()

        await task.submit()
        await ran.wait()
        await manager.shutdown(timeout=0.05)
    assert seen == ["cancelled"]
    assert "still clean up after" in caplog.text


# --- calls of the function itself


async def test_a_call_opens_dependencies_unless_they_are_given(manager, log):
    @manager.task(queue="q")
    async def task(a: str, session: str = Depends(log.session)) -> str:
        log.append("ran")
        return a + session

    assert await task("a ") == "a session"
    assert log == ["open", "ran", "close"]
    log.clear()
    assert await task("a ", "mine") == "a mine"
    assert await task("a ", session="mine") == "a mine"
    assert log == ["ran", "ran"]


async def test_a_call_raises_its_own_error_whatever_the_clean_up_does(manager, caplog):
    async def session() -> AsyncIterator[None]:
        try:
            yield
        finally:
            raise OSError("while closing")

    @manager.task(queue="q")
    async def task(session: None = Depends(session)) -> None:
        raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        await task()
    assert "failed to clean up" in caplog.text


def test_a_call_of_a_plain_function_needs_no_event_loop_for_plain_dependencies(log):
    manager = TaskQueueManager("memory://")

    async def patient() -> None:
        await asyncio.sleep(0)

    @manager.task(queue="q")
    def task(a: str, plain: str = Depends(log.plain)) -> str:
        return a + plain

    @manager.task(queue="q")
    def waits(patient: None = Depends(patient)) -> str:
        return "called"

    assert task("a ") == "a plain"
    assert log == ["open plain", "close plain"]
    with pytest.raises(InvalidConfigError, match="has to be awaited"):
        waits()
    assert waits(patient=None) == "called"


# --- what is refused


async def refuses(decorated: Callable[[], object]) -> str:
    with pytest.raises(InvalidConfigError) as caught:
        decorated()
    return str(caught.value)


async def test_what_cant_be_provided_is_refused_when_it_is_declared(manager):
    async def value(who: str = CallArgument()) -> str:
        return who

    async def plain() -> None: ...
    async def unnamed(value: str = Depends(value)) -> None: ...
    async def by_place(value: str = Depends(lambda: ""), /) -> None: ...
    async def twice(value: Annotated[str, Depends(value)] = Depends(value)) -> None: ...

    assert "refers to its argument who" in await refuses(lambda: manager.task()(unnamed))
    assert "behind the slash" in await refuses(lambda: manager.task()(by_place))
    assert "more than one" in await refuses(lambda: manager.task()(twice))

    async def foreign(value: str = fastapi.Depends(plain)) -> None: ...
    async def shared(value: None = Shared(plain)) -> None: ...
    async def one(call: TaskCall) -> None: ...

    assert "from kew import Depends" in await refuses(lambda: manager.task()(foreign))
    assert "Depends(manager.resource(...))" in await refuses(lambda: manager.task()(shared))
    assert "with a call and a context" in await refuses(lambda: manager.around(one))
    for declare in (manager.resource, manager.around):
        with pytest.raises(TypeError, match="without parentheses"):
            declare()
    with pytest.raises(TypeError, match=r"TaskQueueManager\.around\(\) takes"):
        manager.around(one, one)
    assert "takes the function itself" in await refuses(lambda: Depends(plain()))  # type: ignore[call-overload]
    assert "takes the function itself" in await refuses(lambda: manager.resource(plain()))
    assert "without arguments" in await refuses(lambda: manager.resource(lambda url: url))
    assert "async function" in await refuses(lambda: manager.around(lambda call, context: None))


def test_without_the_extra_kew_can_be_imported_and_names_what_is_missing():
    program = """
        import sys
        sys.modules["uncalled_for"] = None
        import kew
        manager = kew.TaskQueueManager("memory://")
        @manager.task(queue="q")
        def task(a): return a
        assert task(1) == 1
        try:
            kew.Depends(print)
        except ImportError as error:
            print(error.name, error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("uncalled_for ")
    assert "pip install 'kew[depends]'" in done.stdout


# --- resources


class Pool:
    """A factory of something that is open at most once."""

    def __init__(self) -> None:
        self.opened = self.closed = 0
        self.errors: list[Exception] = []

    async def open(self) -> AsyncIterator[str]:
        await asyncio.sleep(0.02)
        if self.errors:
            raise self.errors.pop()
        self.opened += 1
        yield f"pool {self.opened}"
        self.closed += 1


async def test_a_hundred_first_tasks_open_a_resource_once(manager):
    source = Pool()
    pool = manager.resource(source.open)

    @manager.task(queue="q")
    async def task(pool: str = Depends(pool)) -> str:
        return pool

    handles = [await task.submit() for _ in range(100)]
    assert {await handle.result(timeout=10) for handle in handles} == {"pool 1"}
    assert await pool() == "pool 1"
    await manager.shutdown()
    assert (source.opened, source.closed) == (1, 1)


async def test_a_resource_is_opened_again_by_the_next_life_of_its_manager():
    source = Pool()
    manager = TaskQueueManager("memory://")
    pool = manager.resource(source.open)
    with pytest.raises(TaskQueueError, match="not initialized"):
        await pool()
    async with manager:
        assert await pool() == "pool 1"
    async with manager:
        assert await pool() == "pool 2"
    assert (source.opened, source.closed) == (2, 2)


async def test_a_resource_that_fails_to_open_fails_those_that_wait_and_the_next_try_opens_it(
    manager,
):
    source = Pool()
    source.errors = [OSError("no database")]
    pool = manager.resource(source.open)

    @manager.task(queue="q", max_retries=1, retry_delay=0.01)
    async def task(pool: str = Depends(pool)) -> str:
        return pool

    waiting = [asyncio.ensure_future(pool()) for _ in range(3)]
    failed = await asyncio.gather(*waiting, return_exceptions=True)
    assert [str(each) for each in failed] == ["no database"] * 3
    source.errors = [OSError("no database")]
    assert await (await task.submit()).result(timeout=10) == "pool 1"


async def test_a_caller_that_is_cancelled_stops_no_opening(manager):
    source = Pool()
    pool = manager.resource(source.open)
    first, second = asyncio.ensure_future(pool()), asyncio.ensure_future(pool())
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "pool 1"


async def test_resources_close_in_the_reverse_order_of_their_opening(manager, log):
    def resource(name: str, needs: Callable[[], Awaitable[object]] | None = None) -> Any:
        async def opened() -> AsyncIterator[str]:
            if needs is not None:
                await needs()
            log.append(f"open {name}")
            yield name
            log.append(f"close {name}")

        return manager.resource(opened)

    inner = resource("inner")
    outer = resource("outer", needs=inner)

    @manager.resource
    async def broken(outer: str = Depends(outer)) -> AsyncIterator[str]:
        yield outer
        raise OSError("while closing")

    assert await broken() == "outer"
    await manager.shutdown()
    assert log == ["open inner", "open outer", "close outer", "close inner"]


async def test_resources_that_need_each_other_are_refused(manager):
    resources: dict[str, Resource[str]] = {}

    def resource(name: str, other: str) -> None:
        async def opened() -> Any:
            return await resources[other]()

        opened.__qualname__ = name
        resources[name] = manager.resource(opened)

    resource("a", "b")
    resource("b", "a")
    with pytest.raises(InvalidConfigError, match=r"a -> b -> a|b -> a -> b"):
        await asyncio.wait_for(resources["a"](), 5)


async def test_a_resource_belongs_to_no_task(manager):
    variable: ContextVar[str] = ContextVar("variable", default="none")
    seen: list[object] = []

    @manager.resource
    def pool() -> Iterator[str]:
        with contextlib.suppress(LookupError):
            seen.append(TaskContext.current())
        seen.append(variable.get())
        yield "pool"

    @manager.task(queue="q")
    async def task() -> Any:
        variable.set("a task's")
        return await pool()

    assert await (await task.submit()).result(timeout=10) == "pool"
    assert seen == ["none"]


async def test_a_resource_that_does_not_close_is_cancelled(monkeypatch, caplog):
    monkeypatch.setattr("kew.app.resources.Resources.close.__defaults__", (0.05,))
    seen: list[str] = []
    manager = TaskQueueManager("memory://")

    @manager.resource
    async def stubborn() -> AsyncIterator[None]:
        yield
        try:
            await asyncio.sleep(3600)
        finally:
            seen.append("cancelled")

    @manager.resource
    async def slow() -> None:
        await asyncio.sleep(3600)

    async with manager:
        await stubborn()
        opening = asyncio.ensure_future(slow())
        await asyncio.sleep(0)
    assert seen == ["cancelled"]
    assert "not closed after 0.05 s" in caplog.text
    with pytest.raises(TaskQueueError, match="shutting down"):
        await opening


async def test_a_start_that_fails_closes_what_it_opened():
    source = Pool()
    manager = TaskQueueManager("memory://")
    pool = manager.resource(source.open)
    with pytest.raises(InvalidConfigError):
        async with manager:
            await pool()
            await manager.create_queue("q")  # type: ignore[arg-type]
    assert (source.opened, source.closed) == (1, 1)


WAYS_OUT = {
    "shutdown": "    async with leaving(), manager:\n        await start()",
    "forgotten": "    await manager.initialize()\n    await start()",
    "error": "    async with leaving(), manager:\n        await start()\n        raise SystemExit(3)",
    "interrupt": "    async with leaving(), manager:\n        await start()\n        await asyncio.sleep(60)",
    "interrupted forgotten": "    await manager.initialize()\n    await start()\n    await asyncio.sleep(60)",
}
PROGRAM = """
import asyncio, contextlib
from kew import Depends, QueueConfig, TaskQueueManager
manager = TaskQueueManager("memory://")

@manager.resource
async def pool():
    print("opened", flush=True)
    yield "pool"
    await asyncio.sleep(0)
    print("closed", flush=True)

async def session(pool=Depends(pool)):
    try:
        yield pool
    finally:
        await asyncio.sleep(0)
        print("cleaned up", flush=True)

@manager.task(queue=QueueConfig("q"))
async def task(session=Depends(session)):
    print("runs", flush=True)
    await asyncio.sleep(0.5)

async def start():
    await manager.create_queues()
    await task.submit()
    await asyncio.sleep(0.1)

@contextlib.asynccontextmanager
async def leaving():
    try:
        yield
    finally:
        print("left", flush=True)

async def main():
{body}

asyncio.run(main())
"""


@pytest.mark.parametrize("way", WAYS_OUT)
def test_a_resource_is_closed_once_on_every_way_out(way):
    program = PROGRAM.format(body=WAYS_OUT[way])
    running = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    lines = [running.stdout.readline(), running.stdout.readline()]
    if way.startswith("interrupt"):
        time.sleep(0.2)  # it sleeps by now; if not, it is interrupted sooner
        running.send_signal(signal.SIGINT)
    rest, errors = running.communicate(timeout=30)
    text = "".join(lines) + rest
    expected = ["opened", "runs", "cleaned up", "closed"]
    if "forgotten" in way:  # all asyncio tasks are cancelled at once
        assert sorted(text.split("\n")[:-1]) == sorted(expected), errors
    else:
        assert text.split("\n")[:-1] == [*expected, "left"], errors


async def test_a_resource_may_be_overridden_in_a_block(manager):
    source, fake = Pool(), Pool()
    pool = manager.resource(source.open)
    assert await pool() == "pool 1"
    with pool.override(fake.open):
        assert await pool() == "pool 1"
    with pytest.raises(InvalidConfigError, match="without arguments"), pool.override(len):
        pass
    assert await pool() == "pool 1"
    await manager.shutdown()
    assert (source.opened, source.closed, fake.opened, fake.closed) == (1, 1, 1, 1)


async def test_a_resource_is_a_dependency_of_fastapi_too(manager):
    source = Pool()
    pool = manager.resource(source.open)
    app = FastAPI()

    @app.get("/")
    async def which(pool: Annotated[str, fastapi.Depends(pool)]) -> str:
        return pool

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert [(await client.get("/")).json() for _ in range(2)] == ["pool 1"] * 2
    assert "parameters" not in app.openapi()["paths"]["/"]["get"]


# --- middleware


async def test_middleware_sees_the_call_and_its_outcome_the_first_one_outermost(manager, log):
    @manager.around
    async def outer(call: TaskCall, context: TaskContext) -> Any:
        log.append(f"outer {context.task_type} {call.args} {call.kwargs}")
        try:
            return f"<{await call()}>"
        except ValueError as error:
            log.append(f"saw {error}")
            raise

    @manager.around
    async def inner(call: TaskCall, context: TaskContext) -> Any:
        log.append("inner")
        return f"[{await call()}]"

    @manager.task(queue="q")
    async def task(a: str, b: int = 0, session: str = Depends(log.session)) -> str:
        if a == "bad":
            raise ValueError(a)
        return a

    @manager.task(queue="q")
    def plain(a: str) -> str:
        return a

    assert await (await task.submit("a", b=1)).result(timeout=10) == "<[a]>"
    assert log == ["outer task ('a',) {'b': 1}", "inner", "open", "close"]
    assert await (await plain.submit("a")).result(timeout=10) == "<[a]>"
    log.clear()
    assert await failure(await task.submit("bad")) == "ValueError: bad"
    assert log == ["outer task ('bad',) {}", "inner", "open", "saw bad", "saw ValueError", "close"]


async def test_an_exception_in_middleware_is_the_failure_of_the_task(manager, log):
    @manager.around
    async def broken(call: TaskCall, context: TaskContext) -> Any:
        raise OSError("in the middle")

    @manager.task(queue="q")
    async def task() -> None:
        log.append("ran")

    assert await failure(await task.submit()) == "OSError: in the middle"
    assert log == []


async def test_middleware_may_repeat_a_call_with_the_same_dependencies(manager, log):
    @manager.around
    async def twice(call: TaskCall, context: TaskContext) -> Any:
        with contextlib.suppress(ValueError):
            await call()
        return await call()

    @manager.task(queue="q")
    async def task(session: str = Depends(log.session)) -> str:
        log.append("ran")
        if log.count("ran") == 1:
            raise ValueError
        return session

    assert await (await task.submit()).result(timeout=10) == "session"
    assert log == ["open", "ran", "ran", "close"]


async def test_context_variables_go_through_middleware_both_ways(manager):
    variable: ContextVar[str] = ContextVar("variable", default="none")

    @manager.around
    async def setting(call: TaskCall, context: TaskContext) -> Any:
        variable.set("around")
        return [await call(), variable.get()]

    @manager.task(queue="q")
    def plain() -> Any:
        before = variable.get()
        variable.set("task")
        return before

    assert await (await plain.submit()).result(timeout=10) == ["around", "task"]


# --- kew.testing


MODULE = TaskQueueManager("memory://")
SOURCE = Pool()
pool = MODULE.resource(SOURCE.open)
wrapped: list[str] = []


@MODULE.around
async def noting(call: TaskCall, context: TaskContext) -> Any:
    wrapped.append(context.task_type)
    return await call()


@MODULE.task(queue="q")
async def insert(row: str, pool: Any = Depends(pool)) -> str:
    return f"{row} in {pool.partition(' ')[0]}"


@simulated(instead_of=MODULE)
async def test_a_simulated_manager_has_the_resources_and_middleware_of_the_one_it_stands_for(
    manager,
):
    SOURCE.opened = SOURCE.closed = 0
    wrapped.clear()
    await manager.create_queue(QUEUE)
    handle = await insert.submit("a")
    await manager.drain()
    assert await handle.result() == "a in pool"
    assert (SOURCE.opened, SOURCE.closed) == (1, 0)
    assert wrapped == ["insert"]


def test_a_simulated_manager_closes_its_resources():
    source = Pool()

    async def scenario(manager) -> None:
        assert await manager.resource(source.open)() == "pool 1"

    run(scenario)
    assert (source.opened, source.closed) == (1, 1)


def test_a_crash_between_opening_and_cleaning_up_runs_the_task_again():
    opened: list[str] = []

    async def session() -> AsyncIterator[None]:
        opened.append("open")
        yield
        await asyncio.sleep(1)
        opened.append("closed")

    manager = TaskQueueManager("memory://")

    @manager.task(queue="q")
    async def task(session: None = Depends(session)) -> None:
        await asyncio.sleep(1)

    def check() -> bool:
        return "closed" in opened

    crash_at_every_await(task, setup=opened.clear, check=check)


class Unhashable:
    __hash__ = None  # type: ignore[assignment]

    async def __call__(self, number: int) -> int:
        return number + 1


async def test_an_object_that_cannot_be_hashed_still_runs_as_a_task():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        await manager.submit_task("a", "q", "add", Unhashable(), None, 1)
        async with asyncio.timeout(30):
            while not (await manager.get_task_status("a")).result:  # noqa: ASYNC110 - the manager is asked
                await asyncio.sleep(0.01)
        assert (await manager.get_task_status("a")).result == 2
