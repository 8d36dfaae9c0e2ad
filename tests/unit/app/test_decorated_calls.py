"""Decorators that add, remove or rename arguments, and annotations that can't be resolved: tried with whole tasks."""

from __future__ import annotations

import functools
import inspect
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import pydantic
import pytest
import wrapt

from kew import InvalidTaskError, QueueConfig, TaskQueueManager

if TYPE_CHECKING:
    from decimal import Decimal
    from uuid import UUID

U = uuid.UUID(int=9)
P = ParamSpec("P")
R = TypeVar("R")


@dataclass
class Order:
    id: uuid.UUID
    total: int = 0


class Session: ...


ORDER = Order(U, 1)
Function = Callable[..., Any]


def with_session(function: Function) -> Function:
    @functools.wraps(function)
    async def inner(*args: Any, **kwargs: Any) -> Any:
        return await function(Session(), *args, **kwargs)

    return inner


def with_keyword(function: Function) -> Function:
    @functools.wraps(function)
    async def inner(*args: Any, **kwargs: Any) -> Any:
        return await function(*args, session=Session(), **kwargs)

    return inner


def with_prefix(function: Function) -> Function:
    @functools.wraps(function)
    async def inner(when: datetime, *args: Any) -> Any:
        return when, await function(*args)

    return inner


def parsing(function: Function) -> Function:
    """Its argument has the name of one inside, and another type."""

    @functools.wraps(function)
    async def inner(user: str) -> Any:
        return [await function(uuid.UUID(user))]

    return inner


def stated(function: Function) -> Function:
    @functools.wraps(function)
    async def inner(*args: Any) -> Any:
        return await function(Session(), *args)

    signature = inspect.signature(function)
    rest = list(signature.parameters.values())[1:]
    inner.__signature__ = signature.replace(parameters=rest)  # type: ignore[attr-defined]
    return inner


def passing(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    @functools.wraps(function)
    async def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        return await function(*args, **kwargs)

    return inner


@wrapt.decorator
async def wrapt_session(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    return await wrapped(Session(), *args, **kwargs)


@with_session
async def by_session(session: Session, user: uuid.UUID) -> uuid.UUID:
    return user


@with_session
async def order_by_session(session: Session, order: Order) -> Order:
    return order


@with_session
async def text_second(session: uuid.UUID, text: str) -> str:
    return text


@with_keyword
async def by_keyword(user: uuid.UUID, session: Any = None) -> uuid.UUID:
    return user


@with_prefix
async def prefixed(user: uuid.UUID) -> uuid.UUID:
    return user


@parsing
async def parsed(user: uuid.UUID) -> uuid.UUID:
    return user


@stated
async def by_statement(session: Session, order: Order) -> Order:
    return order


@passing
async def passed(user: uuid.UUID, order: Order) -> Order:
    return order


@wrapt_session
async def by_wrapt(session: Session, user: uuid.UUID) -> uuid.UUID:
    return user


@pydantic.validate_call
async def validated(count: int, user: uuid.UUID) -> tuple[int, uuid.UUID]:
    return count, user


@functools.singledispatch
def dispatched(value: object) -> str:
    return "something"


@dispatched.register
def _(value: uuid.UUID) -> str:
    return "an id"


async def for_checkers(user: UUID, count: int) -> UUID:
    return user


async def priced(amount: Decimal) -> object:
    return amount


@pytest.fixture
async def manager() -> AsyncIterator[TaskQueueManager]:
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q", max_retries=0))
        yield manager


async def result_of(manager: TaskQueueManager, function: Function, *args: object) -> object:
    info = await manager.submit_task(manager.new_task_id("t"), "q", "test", function, None, *args)
    return await manager.handle(info).result(timeout=30)


NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("function", "args", "expected"),
    [
        (by_session, (U,), U),
        (order_by_session, (ORDER,), ORDER),
        (text_second, (str(U),), str(U)),
        (by_keyword, (U,), U),
        (prefixed, (NOW, U), (NOW, U)),
        (parsed, (str(U),), [U]),
        (by_statement, (ORDER,), ORDER),
        (passed, (U, ORDER), ORDER),
        (by_wrapt, (U,), U),
        (validated, ("5", str(U)), (5, U)),
        (dispatched, (U,), "an id"),
        (for_checkers, (U, 1), U),
    ],
)
async def test_arguments_and_results_pass_decorators_as_they_are(
    manager: TaskQueueManager, function: Function, args: tuple[object, ...], expected: object
):
    result = await result_of(manager, function, *args)
    assert result == expected
    assert type(result) is type(expected)


async def test_a_call_that_the_wrapper_does_not_accept_is_refused(manager: TaskQueueManager):
    with pytest.raises(InvalidTaskError, match="too many positional arguments"):
        await result_of(manager, parsed, "a", "b")


async def test_a_class_that_a_decorator_hides_is_refused_with_the_remedy(manager: TaskQueueManager):
    @with_session
    async def anything(session: Session, value: Any) -> Any:
        return value

    with pytest.raises(InvalidTaskError, match="a decorator hides this parameter's annotation"):
        await result_of(manager, anything, ORDER)


async def test_a_local_class_whose_annotation_is_unresolvable_is_refused_and_plain_data_passes(
    manager: TaskQueueManager,
):
    @dataclass
    class Local:
        n: int

    async def ship(order: Local) -> object:
        return order

    with pytest.raises(InvalidTaskError, match="can't be resolved at run time: import its names"):
        await result_of(manager, ship, Local(1))
    assert await result_of(manager, ship, {"n": 1}) == {"n": 1}


async def test_an_annotation_that_cannot_be_resolved_is_warned_about_once(
    caplog: pytest.LogCaptureFixture,
):
    async with TaskQueueManager("memory://") as manager:
        manager.register(priced)
        assert "can't be resolved" not in caplog.text  # its names may be defined later
        await manager.create_queue(QueueConfig("q"), functions=[priced, by_session])
        manager.register(priced)
        for n in range(2):
            await manager.submit_task(f"t{n}", "q", "test", priced, None, 1)
    assert caplog.text.count("can't be resolved at run time") == 1
    assert "priced: the annotation of amount" in caplog.text


async def test_a_pins_result_is_read_by_its_annotation_while_the_function_lives(
    manager: TaskQueueManager,
):
    async def local(order: Order) -> Order:
        return order

    sent = Order
    assert await result_of(manager, local, sent(U)) == Order(U)


async def test_an_option_that_the_wrapper_takes_is_an_argument(manager: TaskQueueManager):
    @manager.task(queue="q")
    @with_session
    async def queued(session: Session, queue: str) -> str:
        return queue

    handle = await queued.submit(queue="the function's own")
    assert await handle.result(timeout=30) == "the function's own"
