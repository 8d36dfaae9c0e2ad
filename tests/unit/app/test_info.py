"""What a user is told of a task: as JSON whatever the result is, and by a typed error where it can't be read."""

import asyncio
import copy
import json
import pickle
import weakref
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from kew import (
    QueueConfig,
    ResultUnreadableError,
    TaskCheckpoint,
    TaskFailedError,
    TaskInfo,
    TaskProgress,
    TaskQueueManager,
)
from kew.adapters.codecs import PickleCodec
from kew.app.info import retries_of
from kew.domain.config import Settings
from kew.domain.events import Claimed, Event, Failed, Lost, Orphaned, Replayed, Succeeded
from kew.domain.incarnations import place_of
from kew.domain.lifecycle import step
from tests.support.asking import record_of, submit
from tests.support.tasks import LEASE, LEASE_MS, NOW, task

CLAIMED = Claimed(lease=LEASE, lease_ms=LEASE_MS, token=1, epoch=0)


def info(result: object) -> TaskInfo:
    return TaskInfo("t", "test", "q", 1, result=result)


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ({b"a": 1}, {"YQ==": 1}),
        ([{(1, 2): 3}], [{"(1, 2)": 3}]),
        ({1: None, None: 0.5}, {"1": None, "null": 0.5}),
        ({"at": datetime(2030, 1, 1, tzinfo=UTC)}, {"at": "2030-01-01T00:00:00+00:00"}),
    ],
)
def test_any_result_becomes_json(result: object, told: object):
    assert json.loads(info(result).to_json())["result"] == told
    assert TaskInfo.from_json(info(result).to_json()).result == told


def test_an_info_can_be_copied_pickled_and_referred_to_weakly():
    one = info([1, {"a": "b"}])
    assert pickle.loads(pickle.dumps(one)) == copy.deepcopy(one) == one
    assert weakref.ref(one)() is one
    assert msgspec.structs.replace(one, attempt=2).attempt == 2
    with pytest.raises(AttributeError):
        one.attempt = 2  # type: ignore[misc]


def test_progress_survives_json_and_is_text_for_people():
    progress = TaskProgress(value=0.29, message="page 12", time=datetime(2030, 1, 1, tzinfo=UTC))
    one = msgspec.structs.replace(info(None), progress=progress)
    assert TaskInfo.from_json(one.to_json()) == one
    assert one.to_dict()["progress"] == {
        "value": 0.29,
        "message": "page 12",
        "time": "2030-01-01T00:00:00+00:00",
    }
    assert (str(progress), str(TaskProgress(value=1))) == ("29 %: page 12", "100 %")
    assert TaskInfo.from_json(info(None).to_json()).progress is None
    with pytest.raises(ValueError, match="not a TaskInfo"):
        TaskInfo.from_json(one.to_json().replace('"value": 0.29, ', ""))


def test_what_is_said_of_a_checkpoint_survives_json():
    one = msgspec.structs.replace(info(None), checkpoint=TaskCheckpoint(attempt=2, size=1240))
    assert TaskInfo.from_json(one.to_json()) == one
    assert one.to_dict()["checkpoint"] == {"attempt": 2, "size": 1240}
    assert TaskInfo.from_json(info(None).to_json()).checkpoint is None


AGAIN, FINAL = Failed(error="no", retry_after_ms=0), Failed(error="no", retry_after_ms=None)


@pytest.mark.parametrize(
    ("life", "retries"),
    [
        ([CLAIMED, Succeeded(b"")], 0),
        ([CLAIMED, FINAL], 0),
        ([CLAIMED, AGAIN], 1),
        ([CLAIMED, AGAIN, CLAIMED, FINAL], 1),
        ([CLAIMED, AGAIN, CLAIMED, Succeeded(b"")], 1),
        ([CLAIMED, AGAIN, CLAIMED, Lost()], 1),
        ([CLAIMED, Lost()], 0),
        ([CLAIMED, AGAIN, Orphaned()], 1),
        ([CLAIMED, FINAL, Replayed(), CLAIMED, Lost()], 0),
        ([CLAIMED, AGAIN, CLAIMED, FINAL, Replayed(), CLAIMED, AGAIN], 1),
    ],
)
def test_a_retry_is_a_failure_that_another_attempt_followed(life: list[Event], retries: int):
    """Here whoever loses its worker once is given up."""
    one = task()
    for event in life:
        one, _ = step(one, event, NOW, Settings(max_deliveries=0))
    assert retries_of(one) == retries


async def test_a_result_that_is_not_as_annotated_fails_the_task():
    manager = TaskQueueManager("memory://")

    @manager.task(queue="q")
    async def promises_an_id() -> UUID:
        return "no id"  # type: ignore[return-value]  # what users do

    async with manager:
        await manager.create_queue(QueueConfig("q"))
        handle = await promises_an_id.submit()
        with pytest.raises(TaskFailedError, match="annotated as UUID"):
            await handle.result(timeout=30)


async def test_an_info_says_when_its_task_is_due_and_where_it_runs():
    manager = TaskQueueManager("memory://")
    started, finish = asyncio.Event(), asyncio.Event()

    @manager.task(queue="q")
    async def waits() -> None:
        started.set()
        await finish.wait()

    async with manager:
        await manager.create_queue(QueueConfig("q"))
        handle = await waits.submit()
        assert handle.info.due_time == handle.info.queued_time
        await started.wait()
        running = await handle.status()
        assert running.process == place_of(manager._here().incarnation)
        assert running.due_time == running.queued_time
        finish.set()
        await handle.result(timeout=30)
        assert (await handle.status()).process is None


@pytest.mark.parametrize(
    ("options", "seconds"),
    [({"_defer_by": 90}, 90), ({"_defer_until": datetime(2020, 1, 1, tzinfo=UTC)}, 0)],
)
async def test_a_deferred_task_says_when_it_is_due(options: dict[str, Any], seconds: int):
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        submitted = await submit(manager, "t", deferred, **options)
        found = await manager.get_task_status("t")
        assert found.due_time == submitted.due_time
        assert found.due_time is not None
        assert found.queued_time is not None
        assert found.due_time - found.queued_time == timedelta(seconds=seconds)


async def deferred() -> None:
    pass


unread: set[int] = set()


def read_once(number: int) -> "Unreadable":
    unread.remove(number)
    return Unreadable()


class Unreadable:
    """It can be unpickled where it was pickled, and then never again."""

    def __reduce__(self) -> tuple[object, ...]:
        number = len(unread)
        unread.add(number)
        return (read_once, (number,))


async def unreadable() -> Unreadable:
    return Unreadable()


async def test_results_that_the_hooks_cannot_be_told_of_hold_no_lane(
    caplog: pytest.LogCaptureFixture,
):
    manager = TaskQueueManager(
        "memory://", codec=PickleCodec("x" * 16), on_task_complete=lambda info: None
    )
    async with manager:
        await manager.create_queue(QueueConfig("q", max_workers=1))
        for n in range(8):
            await manager.submit_task(f"t{n}", "q", "test", unreadable)
        for n in range(8):
            await record_of(manager, "q", f"t{n}")
        with pytest.raises(ResultUnreadableError):
            await manager.get_task_status("t0")
    assert "hook is not called" in caplog.text


@pytest.mark.parametrize(
    "entry", [{"args": "abc"}, {"args": 5}, {"kwargs": ["a"]}, {"kwargs": {1: 2}}]
)
async def test_arguments_of_a_batch_that_are_none_are_refused(entry: dict[str, object]):
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        task = {"task_id": "t", "task_type": "test", "task_func": unreadable, **entry}
        with pytest.raises(ValueError, match="args"):
            await manager.submit_tasks("q", [task])
