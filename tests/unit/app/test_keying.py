"""The key of a call: what the decorator and the submit may say, and the text that it becomes."""

import enum
import uuid
from datetime import date
from typing import Any

import pytest

from kew import (
    InvalidConfigError,
    InvalidTaskError,
    KeyFullError,
    PerKey,
    QueueConfig,
    TaskQueueManager,
)
from kew.app.ports import Find
from kew.app.submitting.keying import key_finder, key_text
from kew.domain.task import Task


class Plan(enum.Enum):
    GOLD = "gold"


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (None, ""),
        ("acme", "acme"),
        (7, "7"),
        (Plan.GOLD, "gold"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (date(2026, 11, 30), "2026-11-30"),
        (("eu", 7), "eu/7"),
        (("a/b", "c%"), "a%2Fb/c%25"),
        ("é ☃\n,=", "é ☃\n,="),
    ],
)
def test_a_key_is_text(key: object, text: str):
    assert key_text("t", key) == text


@pytest.mark.parametrize("key", [True, 1.5, [], b"x", "", "x" * 257, "\ud800", ("a", None), ()])
def test_what_can_be_no_key_is_refused(key: object):
    with pytest.raises(InvalidTaskError, match="key"):
        key_text("t", key)


def test_a_number_too_long_to_be_written_is_refused():
    with pytest.raises(InvalidTaskError, match="key"):
        key_text("t", 10**5000)


def call(customer: int, *more: str, region: str = "eu", **rest: Any) -> None: ...


@pytest.mark.parametrize(
    ("option", "args", "kwargs", "key"),
    [
        ("customer", (7,), {}, 7),
        ("customer", (), {"customer": 8}, 8),
        ("region", (7,), {}, "eu"),
        (("region", "customer"), (7,), {"region": "us"}, ("us", 7)),
        (lambda customer, **_: f"c{customer}", (7,), {"region": "us"}, "c7"),
    ],
)
def test_the_key_is_found_in_the_arguments(option: Any, args: Any, kwargs: Any, key: object):
    assert key_finder(option, call).of(args, kwargs) == key


@pytest.mark.parametrize("option", ["customr", "more", "rest", (), ("customer", 3), 3])
def test_what_names_no_argument_is_refused_when_the_function_is_decorated(option: Any):
    with pytest.raises(InvalidConfigError, match="key"):
        key_finder(option, call)


def test_a_misspelt_argument_is_suggested():
    with pytest.raises(InvalidConfigError, match="did you mean 'customer'"):
        key_finder("customr", call)


def test_a_callable_without_a_signature_needs_a_function():
    with pytest.raises(InvalidConfigError, match="function of the arguments"):
        key_finder("x", type("C", (), {"__call__": property(lambda self: 1 / 0)})())


# --- through the manager


async def synchronize(customer_id: int, full: bool = False) -> None: ...


async def store(customer: dict[str, int]) -> None: ...


async def greet(customer: str) -> None: ...


async def keyed(manager: TaskQueueManager, task_id: str) -> str:
    (task,) = await manager._parts.store.do(Find([task_id]))
    assert isinstance(task, Task)
    return task.call.key


async def test_keys_arrive_from_the_decorator_the_submit_and_the_batch():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"), work=False)

        sync = manager.task(queue="q", key="customer_id")(synchronize)
        await sync.options(task_id="a").submit(7)
        await sync.options(task_id="b", key=("eu", 1)).submit(7, full=True)
        await manager.submit_task("c", "q", "sync", sync, None, 8)
        await manager.submit_task("d", "q", "sync", sync, None, 8, _key="other")
        await manager.submit_tasks(
            "q",
            [
                {"task_id": "e", "task_func": sync, "args": [9]},
                {"task_id": "f", "task_func": sync, "args": [9], "key": "batch"},
            ],
        )
        keys = {task_id: await keyed(manager, task_id) for task_id in "abcdef"}
        assert keys == {"a": "7", "b": "eu/1", "c": "8", "d": "other", "e": "9", "f": "batch"}


async def test_a_key_that_can_not_be_found_refuses_the_submit():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        sync = manager.task(queue="q", key=lambda customer: customer["id"])(store)
        with pytest.raises(InvalidTaskError, match="its key can't be found: KeyError"):
            await sync.submit({})
        with pytest.raises(InvalidTaskError, match="a key is text"):
            await sync.options(key=1.5).submit({})


async def test_a_closure_can_not_have_a_key():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        with pytest.raises(InvalidTaskError, match="closure"):
            await manager.submit_task("t", "q", "x", lambda: None, _key="a")


async def test_a_full_key_is_an_error_of_its_own():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q", per_key=PerKey(max_size=1)), work=False)
        sync = manager.task(queue="q", key="customer")(greet)
        await sync.submit("a")
        await sync.submit("b")
        with pytest.raises(KeyFullError, match="key 'a'") as caught:
            await sync.options(task_id="t").submit("a")
        assert (caught.value.key, caught.value.task_id, caught.value.queue) == ("a", "t", "q")
        batch = [{"task_id": "u", "task_func": sync, "args": ["c"]}]
        batch += [{"task_id": f"v{n}", "task_func": sync, "args": ["d"]} for n in range(2)]
        with pytest.raises(KeyFullError, match="v1"):
            await manager.submit_tasks("q", batch)
