"""Pages of a queue's tasks, as users see them."""

import asyncio
import logging
from datetime import timedelta
from typing import Any

import pytest

from kew import (
    InvalidConfigError,
    QueueConfig,
    QueueNotFoundError,
    TaskInfo,
    TaskNotFoundError,
    TaskPage,
    TaskQueueManager,
)
from kew.app import listing

SOON = 5.0


async def all_pages(manager: TaskQueueManager, **options: Any) -> list[TaskInfo]:
    queue, found, cursor = manager.queue("q"), list[TaskInfo](), None
    while True:
        page = await queue.tasks(cursor=cursor, **options)
        found += page.tasks
        cursor = page.cursor
        if cursor is None:
            return found


class Shop:
    """A queue with tasks in each state."""

    def __init__(self, manager: TaskQueueManager) -> None:
        self.manager = manager
        self.is_over = asyncio.Event()

    async def open(self) -> None:
        await self.manager.create_queue(QueueConfig("q", max_workers=2, max_retries=0))
        started = asyncio.Semaphore(0)

        @self.manager.task(queue="q", name="sell", key="customer")
        async def sell(customer: str, *, fails: bool = False) -> None:
            if fails:
                raise ValueError("boom")
            started.release()
            await self.is_over.wait()

        for customer in ("a", "b"):
            failing = await sell.submit(customer, fails=True)
            with pytest.raises(Exception, match="boom"):
                await failing.result(timeout=SOON)
        await sell.options(task_id="run a").submit("a")
        await sell.options(task_id="run b").submit("b")
        async with asyncio.timeout(SOON):
            await started.acquire()
            await started.acquire()
        for n in range(3):
            await sell.options(task_id=f"wait a{n}").submit("a")
        await sell.options(task_id="wait b").submit("b")
        await sell.options(task_id="later", defer_by=600).submit("a")


@pytest.fixture
async def manager():
    async with TaskQueueManager("memory://") as made:
        shop = Shop(made)
        await shop.open()
        yield made
        shop.is_over.set()


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_all_tasks_are_listed_running_ones_first_and_failed_ones_last(
    manager: TaskQueueManager, limit: int
):
    found = await all_pages(manager, limit=limit)
    assert [task.task_id for task in found[:2]] == ["run a", "run b"]
    assert {task.task_id for task in found[2:7]} == {
        *("wait a0", "wait a1", "wait a2", "wait b", "later"),
    }
    assert [task.status for task in found[7:]] == ["failed", "failed"]
    assert len(found) == 9


@pytest.mark.parametrize(
    ("state", "count"),
    [("running", 2), ("waiting", 5), ("ready", 4), ("deferred", 1), ("stuck", 0), ("failed", 2)],
)
@pytest.mark.parametrize("limit", [1, 100])
async def test_a_state_chooses(manager: TaskQueueManager, state: str, count: int, limit: int):
    assert len(await all_pages(manager, state=state, limit=limit)) == count


async def test_function_and_key_choose_in_every_state(manager: TaskQueueManager):
    of_b = await all_pages(manager, key="b", limit=1)
    assert [task.status for task in of_b] == ["processing", "queued", "failed"]
    assert {(task.function, task.key) for task in of_b} == {("sell", "b")}
    assert await all_pages(manager, function="other") == []
    assert len(await all_pages(manager, function="sell")) == 9


async def test_type_and_time_of_the_submit_choose_in_every_state(manager: TaskQueueManager):
    found = await all_pages(manager, task_type="sell", limit=2)
    assert len(found) == 9
    assert await all_pages(manager, task_type="other") == []
    times = sorted(task.queued_time for task in found if task.queued_time)
    late = times[-1] + timedelta(milliseconds=1)
    assert len(await all_pages(manager, submitted_since=times[0], submitted_until=late)) == 9
    for options in ({"submitted_since": late}, {"submitted_until": times[0]}):
        assert await all_pages(manager, **options) == []
    failed = await all_pages(manager, state="failed", submitted_until=late)
    assert len(failed) == 2


async def test_a_failed_task_has_its_last_attempt(manager: TaskQueueManager):
    (newest,) = (await manager.get_tasks("q", state="failed", limit=1)).tasks
    assert newest.attempts[0].message == "boom"


async def test_a_page_is_plain_values(manager: TaskQueueManager):
    page = await manager.get_tasks("q", state="deferred")
    assert isinstance(page, TaskPage)
    values = page.to_dict()
    assert (values["tasks"][0]["task_id"], values["tasks"][0]["key"]) == ("later", "a")
    assert values["cursor"] is None
    assert '"function":"sell"' in page.to_json()


async def test_a_filter_that_fits_nothing_ends_a_page_after_a_while(
    manager: TaskQueueManager, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(listing, "MOST_REQUESTS", 1)
    page = await manager.get_tasks("q", function="other")
    assert page.tasks == ()
    assert page.cursor is not None
    assert await all_pages(manager, function="other") == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"state": "runing"}, "did you mean 'running'"),
        ({"state": 3}, "state is one of running"),
        ({"function": ""}, "function takes a text"),
        ({"task_type": 3}, "task_type takes a text"),
        ({"submitted_since": 3}, "submitted_since takes a datetime"),
        ({"key": 1.5}, "a key is text"),
        ({"key": ""}, "1 to 256 bytes"),
        ({"limit": 0}, "limit must be from 1 to 1000"),
        ({"cursor": 7}, "cursor must be"),
        ({"cursor": "x"}, "cursor must be"),
        ({"cursor": "é"}, "cursor must be"),
        ({"cursor": "WyJjb21wbGV0ZWQiLG51bGxd"}, "cursor must be"),  # another stage
        ({"cursor": "WyJ3YWl0aW5nIixbMV1d"}, "cursor must be"),  # a place that is cut
        ({"cursor": "WyJ3YWl0aW5nIixbOSwwLDAsIiIsMCwwLCIiXV0"}, "cursor must be"),  # priority 9
        ({"cursor": "WyJmYWlsZWQiLCJ4Il0"}, "cursor must be"),  # no dead letter's
    ],
)
async def test_what_makes_no_sense_is_refused(
    manager: TaskQueueManager, options: dict[str, Any], message: str
):
    with pytest.raises(InvalidConfigError, match=message):
        await manager.get_tasks("q", **options)


async def test_a_cursor_of_another_state_is_refused(manager: TaskQueueManager):
    page = await manager.get_tasks("q", state="running", limit=1)
    with pytest.raises(InvalidConfigError, match="same state"):
        await manager.get_tasks("q", state="failed", cursor=page.cursor)


@pytest.mark.parametrize("state", [None, "waiting", "failed"])
async def test_a_queue_that_does_not_exist_has_no_list(manager: TaskQueueManager, state: Any):
    with pytest.raises(QueueNotFoundError):
        await manager.queue("nowhere").tasks(state=state)


async def test_a_handle_explains_the_tasks_of_its_queue_alone(manager: TaskQueueManager):
    await manager.create_queue(QueueConfig("other"))
    assert (await manager.queue("q").explain("later")).reasons[0].code == "deferred"
    with pytest.raises(TaskNotFoundError):
        await manager.queue("other").explain("later")


async def test_a_purge_takes_the_same_filters_and_counts_first(manager: TaskQueueManager):
    queue = manager.queue("q")
    assert await queue.purge(dry_run=True) == 5
    assert await queue.purge(key="b", dry_run=True) == 1
    assert await queue.purge(function="other") == 0
    assert await queue.purge(state="deferred") == 1
    assert (await manager.get_task_status("later")).status == "cancelled"
    assert await queue.purge(key="a", function="sell") == 3
    assert [task.task_id for task in await all_pages(manager, state="waiting")] == ["wait b"]
    assert await queue.purge() == 1
    assert await queue.purge(dry_run=True) == 0
    assert len(await all_pages(manager, state="running")) == 2


@pytest.mark.parametrize("state", ["running", "failed", "cancelled"])
async def test_a_purge_is_of_waiting_tasks(manager: TaskQueueManager, state: str):
    with pytest.raises(InvalidConfigError, match="state is one of"):
        await manager.purge_queue("q", state=state)
    with pytest.raises(QueueNotFoundError):
        await manager.purge_queue("nowhere", key="a")


async def test_a_purge_spares_what_is_submitted_after_it_began(
    manager: TaskQueueManager, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("kew.app.steering.LISTED_AT_ONCE", 1)
    purging = asyncio.ensure_future(manager.purge_queue("q", function="sell"))
    await asyncio.sleep(0)
    await manager.submit_task("new", "q", "new", print, None)
    assert await purging <= 5
    assert (await manager.get_task_status("new")).status == "queued"


async def test_a_purge_is_one_line_in_the_log(
    manager: TaskQueueManager, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO, logger="kew"):
        await manager.purge_queue("q", key="other")
        await manager.purge_queue("q", key="b")
        await manager.purge_queue("q")
    assert [text for text in caplog.messages if "purged" in text] == [
        "queue q: purged, 1 waiting task cancelled",
        "queue q: purged, 4 waiting tasks cancelled",
    ]
