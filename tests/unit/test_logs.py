"""What log records say in fields: kew's own, and those of the user's code inside a task."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest

import kew
from kew import QueueConfig, TaskFailedError, TaskQueueManager
from kew.app.labels import label, names_of
from kew.log import TASK
from tests.support.tasks import task

FIELDS = ("task_id", "queue", "function", "attempt", "process_name")
own = logging.getLogger("shop")


def fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in FIELDS}


async def raises() -> None:
    raise ValueError("no room")


def logs_in_a_thread() -> None:
    own.warning("in a thread")


async def logs() -> None:
    own.warning("in a task")
    await asyncio.create_task(logs_below())


async def logs_below() -> None:
    own.warning("in a task of the task")


async def blocks() -> None:
    time.sleep(3.0)  # noqa: ASYNC251 - what is to be seen


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def one(self, text: str) -> logging.LogRecord:
        [found] = [one for one in self.records if text in one.getMessage()]
        return found


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler = Kept()
    handler.addFilter(kew.TaskLogFilter())
    loggers = (logging.getLogger("kew"), own)
    before = [each.level for each in loggers]
    for each in loggers:
        each.addHandler(handler)
        each.setLevel(logging.DEBUG)
    yield handler
    for each, level in zip(loggers, before, strict=True):
        each.removeHandler(handler)
        each.setLevel(level)


async def test_each_line_of_kews_has_fields_for_what_it_is_about(kept: Kept):
    async with TaskQueueManager("memory://", process_name="web-1") as manager:
        await manager.create_queue(QueueConfig("q", max_retries=0), functions=[raises])
        task = await manager.submit_task("bad", "q", "t", raises)
        with pytest.raises(TaskFailedError):
            await manager.handle(task).result()
    nothing = dict.fromkeys(FIELDS)
    assert fields(kept.one("ready as process")) == {**nothing, "process_name": "web-1"}
    of_queue = {**nothing, "queue": "q", "process_name": "web-1"}
    assert fields(kept.one("works on it")) == of_queue
    assert fields(kept.one("failed for good")) == {
        "task_id": "bad",
        "queue": "q",
        "function": f"{__name__}:raises",
        "attempt": 1,
        "process_name": "web-1",
    }
    assert fields(kept.one(": shut down")) == {**nothing, "process_name": "web-1"}


async def test_two_managers_of_a_program_log_under_their_own_names(kept: Kept):
    async with (
        TaskQueueManager("memory://", process_name="a") as first,
        TaskQueueManager("memory://", process_name="b") as second,
    ):
        for manager, queue in ((first, "of-a"), (second, "of-b")):
            await manager.create_queue(QueueConfig(queue), functions=[raises])
        for manager, queue in ((second, "of-b"), (first, "of-a")):
            task = await manager.submit_task(f"in-{queue}", queue, "t", raises)
            with pytest.raises(TaskFailedError):
                await manager.handle(task).result()
    names = {
        (one.queue, one.process_name)  # type: ignore[attr-defined]
        for one in kept.records
        if one.name == "kew" and one.queue is not None  # type: ignore[attr-defined]
    }
    assert names == {("of-a", "a"), ("of-b", "b")}


@pytest.mark.parametrize("place", ["in a task", "in a task of the task", "in a thread"])
async def test_the_users_own_lines_have_the_tasks_id(kept: Kept, place: str):
    function = logs_in_a_thread if place == "in a thread" else logs
    async with TaskQueueManager("memory://", process_name="web-1") as manager:
        await manager.create_queue(QueueConfig("q"))
        handle = await manager.task(queue="q")(function).options(task_id="mine").submit()
        await handle.result()
    [record] = [one for one in kept.records if one.getMessage() == place]
    assert fields(record) == {
        "task_id": "mine",
        "queue": "q",
        "function": f"{__name__}:{function.__name__}",
        "attempt": 1,
        "process_name": "web-1",
    }


def test_outside_of_a_task_the_fields_are_none_and_own_ones_stay(kept: Kept):
    own.warning("outside", extra={"queue": "at the till"})
    assert fields(kept.one("outside")) == {**dict.fromkeys(FIELDS), "queue": "at the till"}


async def test_a_task_can_ask_which_task_it_is():
    assert kew.current_task() is None

    async def asks() -> list[Any]:
        task = kew.current_task()
        return [] if task is None else [task.task_id, task.queue, task.attempt]

    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        task = await manager.submit_task("mine", "q", "t", asks)
        assert await manager.handle(task).result() == ["mine", "q", 1]


async def test_a_blocked_event_loop_is_logged_without_any_option(kept: Kept):
    async with TaskQueueManager("memory://", process_name="web-1") as manager:
        await manager.create_queue(QueueConfig("q"))
        handle = await manager.task(queue="q")(blocks).options(task_id="hog").submit()
        await handle.result()
    record = kept.one("the event loop of web-1 has been blocked")
    assert "in blocks" in record.getMessage()
    assert "time.sleep(3.0)" in record.getMessage()
    assert fields(record) == {
        "task_id": "hog",
        "queue": "q",
        "function": f"{__name__}:blocks",
        "attempt": None,
        "process_name": "web-1",
    }
    assert "was blocked for 3." in kept.one("in all").getMessage()


def test_an_asyncio_task_is_named_as_log_lines_name_its_task():
    assert label(task("order-7")) == TASK % names_of(task("order-7"))
