"""Dead letters as users see them: why they failed, groups, pages, replays and purges of many."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from kew import (
    Attempt,
    InvalidConfigError,
    InvalidTaskError,
    QueueConfig,
    QueueDrainingError,
    QueueNotFoundError,
    TaskFailedError,
    TaskHandle,
    TaskInfo,
    TaskNotFoundError,
    TaskQueueManager,
    Unique,
)
from kew.app import dead_letters as office
from tests.support.asking import once

HERE = __name__
SELL, BUY = f"KeyError@{HERE}:sell", f"ValueError@{HERE}:buy"
runs: list[str] = []


def sell(n: str) -> None:
    runs.append(n)
    raise KeyError(n)


def buy(n: str) -> None:
    raise ValueError(n)


@pytest.fixture
async def manager() -> AsyncIterator[TaskQueueManager]:
    runs.clear()
    async with TaskQueueManager("memory://") as made:
        config = QueueConfig("q", max_circuit_breaker_failures=None, max_size=10_000)
        await made.create_queue(config)
        made.register(sell)
        made.register(buy)
        yield made


async def fail(
    manager: TaskQueueManager, *task_ids: str, function: Any = sell, task_type: str = "selling"
) -> None:
    """These fail for good, one after the other."""
    for task_id in task_ids:
        info = await manager.submit_task(task_id, "q", task_type, function, None, task_id)
        with pytest.raises(TaskFailedError):
            await TaskHandle(manager, info).result(timeout=30)


async def ids(manager: TaskQueueManager, **filters: Any) -> list[str]:
    return [info.task_id for info in (await manager.dead_letters("q", **filters)).tasks]


async def counts(manager: TaskQueueManager) -> dict[str, int]:
    return {one.name: one.count for one in await manager.dead_letter_groups("q")}


# --- why


async def test_a_status_says_why_each_attempt_failed(manager: TaskQueueManager):
    await fail(manager, "a")
    info = await manager.get_task_status("a")
    [attempt] = info.attempts
    assert (attempt.number, attempt.how, attempt.group) == (1, "failed", SELL)
    assert (attempt.error_type, attempt.message) == ("KeyError", "'a'")
    assert attempt.traceback is not None
    assert attempt.traceback.splitlines()[0] == "Traceback (most recent call last):"
    assert attempt.traceback.splitlines()[-1] == "KeyError: 'a'"
    assert "/kew/" not in attempt.traceback.replace(__file__, "")
    assert attempt.process is not None
    assert ":" in attempt.process
    assert attempt.failed_time == info.completed_time
    assert attempt.seconds >= 0


async def test_a_status_with_attempts_is_read_back_from_its_json(manager: TaskQueueManager):
    await fail(manager, "a")
    info = await manager.get_task_status("a")
    assert TaskInfo.from_json(info.to_json()) == info
    [values] = json.loads(info.to_json())["attempts"]
    assert values["failed_time"] == info.attempts[0].to_dict()["failed_time"]
    assert TaskInfo.from_json(json.dumps({**json.loads(info.to_json()), "more": 1})) == info
    assert Attempt(**{**info.attempts[0].to_dict(), "failed_time": None}).failed_time is None


async def test_a_task_that_never_failed_has_no_attempts(manager: TaskQueueManager):
    async def fine() -> str:
        return "fine"

    handle = await manager.task(queue="q")(fine).submit()
    await handle.result(timeout=30)
    assert (await handle.status()).attempts == ()


async def test_a_queue_may_keep_no_tracebacks(manager: TaskQueueManager):
    config = QueueConfig("quiet", keep_tracebacks=False, max_circuit_breaker_failures=None)
    await manager.create_queue(config)
    info = await manager.submit_task("a", "quiet", "t", sell, None, "a")
    with pytest.raises(TaskFailedError):
        await TaskHandle(manager, info).result(timeout=30)
    [attempt] = (await manager.get_task_status("a")).attempts
    assert (attempt.traceback, attempt.message, attempt.group) == (None, "'a'", SELL)


# --- groups and pages


async def test_groups_come_with_what_failed_last_first(manager: TaskQueueManager):
    await fail(manager, "a", "b")
    await asyncio.sleep(0.002)
    await fail(manager, "c", function=buy)
    groups = await manager.dead_letter_groups("q")
    assert [(one.name, one.count, one.example) for one in groups] == [
        (BUY, 1, "c"),
        (SELL, 2, "b"),
    ]
    first, last = [(await manager.get_task_status(task_id)).completed_time for task_id in "ab"]
    assert (groups[1].first_time, groups[1].last_time) == (first, last)
    assert json.loads(groups[1].to_json()) == groups[1].to_dict()
    assert groups[1].to_dict()["first_time"] == first.isoformat() if first else None


async def test_pages_go_on_where_the_one_before_ended(manager: TaskQueueManager):
    await fail(manager, *"abcde")
    found, cursor = list[str](), None
    while True:
        page = await manager.dead_letters("q", limit=2, cursor=cursor)
        found += [info.task_id for info in page.tasks]
        if page.cursor is None:
            break
        cursor = page.cursor
    assert found == list("edcba")


async def test_a_page_is_json_for_an_admin_page(manager: TaskQueueManager):
    await fail(manager, "a", "b")
    page = await manager.dead_letters("q", limit=1)
    values = json.loads(page.to_json())
    assert values["cursor"] == page.cursor
    [task] = values["tasks"]
    assert task["task_id"] == "b"
    assert task["attempts"][0]["group"] == SELL


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["c", "b", "a"]),
        ({"group": SELL}, ["b", "a"]),
        ({"group": BUY}, ["c"]),
        ({"group": "none"}, []),
        ({"task_type": "other"}, ["b"]),
        ({"function": f"{HERE}:buy"}, ["c"]),
        ({"group": SELL, "function": f"{HERE}:buy"}, []),
        ({"task_type": "other", "group": SELL}, ["b"]),
    ],
)
async def test_filters_are_combined(
    manager: TaskQueueManager, filters: dict[str, str], expected: list[str]
):
    await fail(manager, "a")
    await fail(manager, "b", task_type="other")
    await fail(manager, "c", function=buy)
    assert await ids(manager, **filters) == expected


async def test_the_time_of_the_end_is_a_filter(manager: TaskQueueManager):
    await fail(manager, "a")
    await asyncio.sleep(0.002)
    await fail(manager, "b")
    end = (await manager.get_task_status("b")).completed_time
    assert end is not None
    assert await ids(manager, since=end) == ["b"]
    assert await ids(manager, until=end) == ["a"]
    assert await ids(manager, since=end - timedelta(days=1), until=end + timedelta(days=1)) == [
        *"ba"
    ]
    assert await ids(manager, since=datetime.now() + timedelta(days=1)) == []


async def test_a_filtered_page_ends_where_its_last_task_is(
    manager: TaskQueueManager, monkeypatch: pytest.MonkeyPatch
):
    for task_id in "abcdef":
        await fail(manager, task_id, task_type="odd" if task_id in "ace" else "even")
    page = await manager.dead_letters("q", task_type="odd", limit=2)
    assert [info.task_id for info in page.tasks] == ["e", "c"]
    rest = await manager.dead_letters("q", task_type="odd", limit=2, cursor=page.cursor)
    assert [info.task_id for info in rest.tasks] == ["a"]
    assert rest.cursor is None
    monkeypatch.setattr(office, "AT_ONCE", 1)
    monkeypatch.setattr(office, "MOST_PAGES", 3)
    page = await manager.dead_letters("q", task_type="none", limit=2)
    assert page.tasks == ()
    assert page.cursor is not None, "three were looked at, and three are left"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"limit": 0}, "limit must be from 1 to 1000 for one page, not 0"),
        ({"limit": None}, "limit must be from 1 to 1000 for one page, not None"),
        ({"limit": 1_001}, "not 1001"),
        ({"cursor": "nonsense"}, "cursor must be that of a page of dead letters, or None"),
        ({"cursor": 7}, "not 7"),
        ({"group": ""}, "group takes a text or None, not ''"),
        ({"function": sell}, "function takes a text or None"),
        ({"since": 5}, "since takes a datetime or None, not 5"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    manager: TaskQueueManager, given: dict[str, Any], message: str
):
    with pytest.raises(InvalidConfigError) as raised:
        await manager.dead_letters("q", **given)
    assert message in str(raised.value)


async def test_a_queue_that_does_not_exist_is_named(manager: TaskQueueManager):
    for ask in (
        manager.dead_letters,
        manager.dead_letter_groups,
        manager.replay_dead_letters,
        manager.purge_dead_letters,
    ):
        with pytest.raises(QueueNotFoundError, match="'nowhere'"):
            await ask("nowhere")
        with pytest.raises(QueueNotFoundError):
            await ask("no such name!")


# --- replays and purges


async def test_a_group_is_replayed(manager: TaskQueueManager):
    await fail(manager, *"abc")
    await fail(manager, "d", function=buy)
    runs.clear()
    assert await manager.replay_dead_letters("q", group=SELL) == 3
    await once(partial(counts, manager), lambda found: found.get(SELL) == 3)
    assert sorted(runs) == ["a", "b", "c"]
    again = await manager.get_task_status("a")
    assert [attempt.number for attempt in again.attempts] == [1, 2]


async def test_a_queue_that_accepts_nothing_replays_nothing(manager: TaskQueueManager):
    await fail(manager, "a")
    await manager.drain_queue("q")
    with pytest.raises(QueueDrainingError):
        await manager.replay_dead_letters("q")
    assert await ids(manager) == ["a"]


async def test_no_more_are_replayed_than_wanted(manager: TaskQueueManager):
    await fail(manager, *"abc")
    await manager.pause_queue("q")
    assert await manager.replay_dead_letters("q", limit=2) == 2
    assert await ids(manager) == ["a"]


async def test_replays_are_spaced(manager: TaskQueueManager, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(office, "AT_ONCE", 2)
    await fail(manager, *"abcde")
    await manager.pause_queue("q")
    before = datetime.now(UTC)
    assert await manager.replay_dead_letters("q", every=timedelta(hours=1)) == 5
    dues = [(await manager.get_task_status(task_id)).due_time for task_id in "edcba"]
    for n, due in enumerate(dues):
        assert due is not None
        assert timedelta(hours=n) <= due - before + timedelta(seconds=1) < timedelta(hours=n + 0.5)


@pytest.mark.parametrize("every", [-1, 86_401, "1", True, float("nan")])
async def test_a_spacing_that_makes_no_sense_is_refused(manager: TaskQueueManager, every: Any):
    with pytest.raises(InvalidConfigError, match="every must be from 0 to 86400 seconds"):
        await manager.replay_dead_letters("q", every=every)


async def test_what_fits_is_purged_and_nothing_else(manager: TaskQueueManager):
    await fail(manager, *"abc")
    await fail(manager, "d", function=buy)
    assert await manager.purge_dead_letters("q", group=SELL, limit=2) == 2
    assert await ids(manager) == ["d", "a"]
    assert await manager.purge_dead_letters("q") == 2
    assert await manager.dead_letter_groups("q") == []
    with pytest.raises(TaskNotFoundError):
        await manager.get_task_status("a")


async def test_one_is_purged(manager: TaskQueueManager):
    await fail(manager, "a", "b")
    assert await manager.purge_dead_letter("a") is True
    await manager.pause_queue("q")
    await manager.replay_task("b")
    assert await manager.purge_dead_letter("b") is False
    with pytest.raises(TaskNotFoundError):
        await manager.purge_dead_letter("a")


# --- other arguments


async def echo(n: int, *, more: str = "") -> list[object]:
    if n < 0:
        raise ValueError(n)
    return [n, more]


@pytest.fixture
async def failed_echo(manager: TaskQueueManager) -> TaskHandle[Any]:
    manager.register(echo)
    info = await manager.submit_task("e", "q", "t", echo, None, -1, more="before")
    handle: TaskHandle[Any] = TaskHandle(manager, info)
    with pytest.raises(TaskFailedError):
        await handle.result(timeout=30)
    return handle


async def test_one_is_replayed_with_other_arguments(
    manager: TaskQueueManager, failed_echo: TaskHandle[Any]
):
    assert await manager.replay_task(failed_echo, args=[1], kwargs={"more": "after"}) is True
    assert await failed_echo.result(timeout=30) == [1, "after"]


async def test_other_arguments_take_the_place_of_all(
    manager: TaskQueueManager, failed_echo: TaskHandle[Any]
):
    await manager.replay_task(failed_echo, args=[1])
    assert await failed_echo.result(timeout=30) == [1, ""]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"args": []}, "can't be called like this: missing a required argument: 'n'"),
        ({"kwargs": {"m": 1}}, "can't be called like this"),
        ({"args": 5}, "its 'args' are a list or tuple, not int"),
        ({"kwargs": [1]}, "its 'kwargs' are a mapping from names"),
        ({"args": [object()]}, "argument 'n'"),
    ],
)
async def test_arguments_that_do_not_fit_leave_the_task_as_it_was(
    manager: TaskQueueManager,
    failed_echo: TaskHandle[Any],
    arguments: dict[str, Any],
    message: str,
):
    with pytest.raises(InvalidTaskError) as raised:
        await manager.replay_task(failed_echo, **arguments)
    assert message in str(raised.value)
    assert await ids(manager) == ["e"]


async def test_a_task_that_has_not_failed_keeps_its_arguments(
    manager: TaskQueueManager, failed_echo: TaskHandle[Any]
):
    await manager.pause_queue("q")
    await manager.replay_task(failed_echo)
    with pytest.raises(InvalidTaskError, match=r"only a failed or cancelled task .* it is queued"):
        await manager.replay_task(failed_echo, args=[1])


async def test_an_unknown_function_takes_no_other_arguments():
    async with (
        TaskQueueManager("memory://arguments") as worker,
        TaskQueueManager("memory://arguments") as admin,
    ):
        await worker.create_queue(QueueConfig("q"))
        worker.register(echo)
        info = await worker.submit_task("e", "q", "t", echo, None, -1)
        with pytest.raises(TaskFailedError):
            await TaskHandle(worker, info).result(timeout=30)
        with pytest.raises(InvalidTaskError, match="its arguments can't be encoded"):
            await admin.replay_task("e", args=[1])
        assert await admin.replay_task("e") is True


async def test_a_replay_with_other_arguments_finds_the_key_in_them():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q", max_retries=0))

        @manager.task(queue="q", key="customer", name="shop:sell_to")
        async def sell(customer: str) -> None:
            if customer == "typo":
                raise ValueError("no such customer")

        handle = await sell.submit("typo")
        with pytest.raises(TaskFailedError):
            await handle.result(timeout=30)
        assert (await handle.status()).key == "typo"
        assert await manager.replay_task(handle, args=["acme"])
        assert (await handle.status()).key == "acme"
        await handle.result(timeout=30)


@pytest.mark.parametrize("finds_key", [True, False])
async def test_a_key_of_the_submit_stays_unless_the_function_finds_one_in_the_new_arguments(
    finds_key: bool,
):
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"), work=False)
        options: dict[str, Any] = {"key": "customer"} if finds_key else {}

        @manager.task(queue="q", name="shop:sell_to", **options)
        async def sell(customer: str) -> None:
            """Never called."""

        handle = await sell.options(key="given").submit("typo")
        await handle.cancel()
        assert await manager.replay_task(handle, args=["acme"])
        assert (await handle.status()).key == ("acme" if finds_key else "given")


async def test_a_replay_with_other_arguments_keeps_the_unique_key():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"), work=False)

        @manager.task(queue="q", name="shop:sell_to", unique=Unique(by="customer"))
        async def sell(customer: str) -> None:
            """Never called."""

        handle = await sell.submit("typo")
        await handle.cancel()
        assert await manager.replay_task(handle, args=["acme"])
        joined, new = await sell.submit("typo"), await sell.submit("acme")
        assert (joined.created, joined.task_id) == (False, handle.task_id)
        assert new.created
