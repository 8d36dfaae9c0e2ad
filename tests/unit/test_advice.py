"""What a caller did wrong is said in words that lead to the right call."""

import asyncio
import functools
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from kew import (
    Exponential,
    Fixed,
    InvalidConfigError,
    InvalidTaskError,
    Linear,
    QueueConfig,
    TaskQueueError,
    TaskQueueManager,
)
from tests.support import jobs

MINUTE = timedelta(minutes=1)
OWN = TaskQueueManager("memory://", cleanup_on_start=True)


@OWN.task(queue="q")
async def double(number: int) -> int:
    return 2 * number


@pytest.fixture
async def manager() -> AsyncIterator[TaskQueueManager]:
    async with OWN:
        await OWN.create_queue(QueueConfig("q"))
        yield OWN


# --- a submit that is not awaited


async def test_a_submit_that_is_not_awaited_says_so_wherever_it_is_used(manager):
    submit: Any = double.submit(1)
    for use in (submit.result, lambda: submit.result(timeout=5), lambda: submit.task_id):
        with pytest.raises(
            (TaskQueueError, AttributeError), match=r"must be awaited: `handle = await f\.submit"
        ):
            use()
    assert await (await submit).result() == 2
    info: Any = manager.submit_task("t", "q", "test", jobs.echo)
    with pytest.raises(AttributeError, match=r"`info = await manager\.submit_task"):
        _ = info.status
    await info


async def test_a_submit_that_is_not_awaited_still_lacks_what_it_lacks(manager):
    submit = double.submit(1)
    assert not hasattr(submit, "task_id")
    assert not hasattr(submit, "__len__")
    await submit


# --- tokens


async def test_a_token_is_refused_without_the_task_id_that_it_belongs_to(manager):
    with pytest.raises(InvalidConfigError, match=r"task_id=error\.task_id and token=error\.token"):
        await double.options(token="abc").submit(1)
    with pytest.raises(InvalidTaskError, match=r"task_id=error\.task_id and token=error\.token"):
        await manager.submit_tasks("q", [{"task_func": double, "args": [1], "token": "abc"}])
    resumed = double.options(task_id="x", token="abc")
    assert (await resumed.submit(1)).task_id == (await resumed.submit(1)).task_id


# --- batches


async def test_a_batch_needs_no_more_than_the_decorated_function(manager):
    infos = await manager.submit_tasks(
        "q",
        [
            {"task_func": double, "args": [1]},
            {"task_func": double, "args": [2], "task_type": "big"},
            {"task_func": double, "args": [3], "task_id": "own"},
        ],
    )
    assert [info.task_type for info in infos] == ["double", "big", "double"]
    assert infos[0].task_id.startswith("double-")
    assert infos[1].task_id.startswith("big-")
    assert infos[2].task_id == "own"
    assert await manager.handle(infos[1]).result(timeout=30) == 4


async def test_a_batch_says_what_a_mapping_lacks(manager):
    with pytest.raises(InvalidTaskError, match="its mapping lacks 'task_id' and 'task_type'"):
        await manager.submit_tasks("q", [{"task_func": jobs.echo}])
    entry = {"task_id": "a", "task_type": "t", "task_func": jobs.echo}
    with pytest.raises(InvalidTaskError, match="has the unknown keys 'arg', 'timeout'"):
        await manager.submit_tasks("q", [{**entry, "timeout": 3, "arg": 1}])


# --- options among arguments


async def test_an_option_among_the_arguments_is_named_as_submit_task_takes_it(manager):
    with pytest.raises(InvalidTaskError, match=r"write submit_task\(\.\.\., _defer_by=3\)"):
        await manager.submit_task("a", "q", "t", jobs.echo, None, 1, defer_by=3)


async def test_an_option_is_called_as_the_caller_wrote_it(manager):
    with pytest.raises(InvalidTaskError, match="submitted: defer_by takes seconds or a timedelta"):
        await double.options(defer_by="5m").submit(1)  # type: ignore[arg-type]


async def test_a_forgotten_priority_says_that_none_is_the_default(manager):
    with pytest.raises(InvalidTaskError, match=r"not 's'; pass None for the default"):
        await manager.submit_task("a", "q", "t", jobs.echo, "s")


# --- closures


async def test_a_closure_for_a_queue_without_a_worker_here_gets_one_clear_refusal(caplog):
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("orders"), work=False)
        with pytest.raises(InvalidTaskError) as caught:
            await manager.submit_task("a", "orders", "t", lambda: None)
    assert "work on queue 'orders'; submit a module-level function" in str(caught.value)
    assert "did you mean" not in str(caught.value)
    assert "only this process can run it" not in caplog.text


@pytest.mark.parametrize(
    ("function", "called"),
    [
        (functools.partial(jobs.echo, 1), "a partial of echo"),
        ({}.get, "an object of type"),
    ],
)
async def test_the_warning_of_a_closure_says_what_kind_of_callable_it_is(
    manager, caplog, function: Any, called: str
):
    await manager.submit_task("a", "q", "t", function, None, *([] if "partial" in called else [1]))
    assert f"{called}" in caplog.text
    assert "is not a module-level function, so only this process can run it" in caplog.text


# --- a task instead of its id


async def test_a_task_is_named_by_its_id_its_status_or_its_handle(manager):
    handle = await double.submit(1)
    await handle.result()
    for name in (handle, handle.info, handle.task_id):
        assert (await manager.get_task_status(name)).task_id == handle.task_id
        assert not await manager.cancel_task(name)
        assert not await manager.replay_task(name)


# --- durations


async def test_each_duration_may_be_a_timedelta(manager):
    names = (
        "task_timeout",
        "circuit_breaker_reset_timeout",
        "retry_delay",
        "lease",
        "task_ttl",
        "dead_letter_ttl",
    )
    for name in names:
        given: dict[str, Any] = {name: 2 * MINUTE}
        config = QueueConfig("q", **given)
        assert getattr(config, name) == 120
    assert (Fixed(MINUTE).seconds, Exponential(MINUTE).base, Linear(step=MINUTE).step) == (60,) * 3
    OWN.register(jobs.echo)
    limited = OWN.task(task_timeout=MINUTE, retry_delay=MINUTE, name="limited")(jobs.work)
    known = OWN._registry.resolve("limited")
    assert (known.task_timeout, known.retry_delay) == (60, 60)
    assert limited.function is jobs.work
    handle = await double.submit(1)
    assert await handle.result(timeout=MINUTE) == 2
    async with TaskQueueManager("memory://", patience=MINUTE, tick=timedelta(seconds=1)) as other:
        await other.shutdown(timeout=MINUTE)


# --- logs


async def test_a_function_that_a_submit_registered_is_no_warning(manager, caplog):
    caplog.set_level(logging.INFO, logger="kew")
    await manager.submit_task("a", "q", "t", jobs.work)
    await asyncio.sleep(0)
    levels = {each.levelname for each in caplog.records if "by a submit" in each.getMessage()}
    assert levels <= {"INFO"}


async def test_retries_that_open_the_breaker_alone_are_warned_of(caplog):
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("a", max_retries=2))
        await manager.create_queue(
            QueueConfig("b", max_retries=9, max_circuit_breaker_failures=None)
        )
        assert "max_circuit_breaker_failures" not in caplog.text
        await manager.create_queue(QueueConfig("c", max_retries=3))
        assert "queue c: max_retries=3 and max_circuit_breaker_failures=3" in caplog.text


# --- calls that are made twice


async def test_a_queue_that_is_created_again_is_where_the_error_says(manager):
    with pytest.raises(InvalidConfigError, match=r"use manager\.queues\['q'\]"):
        await manager.create_queue(QueueConfig("q"))
    assert manager.queues["q"].name == "q"


async def test_an_inner_block_of_a_manager_does_not_shut_it_down(manager):
    async with manager:
        pass
    handle = await double.submit(4)
    assert await handle.result(timeout=30) == 8


async def test_a_type_error_names_the_class_that_users_know(manager):
    with pytest.raises(TypeError, match=r"^TaskQueueManager\.submit_task\(\) missing"):
        manager.submit_task("a", "q")
    with pytest.raises(TypeError, match=r"^TaskQueueManager\.get_task_status\(\) missing"):
        await manager.get_task_status()
