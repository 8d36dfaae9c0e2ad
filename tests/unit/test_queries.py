"""What a manager can be asked, and told, about queues and tasks that may be anybody's."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import attrs
import pytest

from kew import (
    InvalidConfigError,
    InvalidTaskError,
    QueueConfig,
    QueueInUseError,
    QueueNotFoundError,
    TaskInfo,
    TaskNotFoundError,
    TaskQueueError,
    TaskQueueManager,
)
from kew.adapters.clocks import SystemClock
from kew.adapters.codecs import MessagePackCodec
from kew.adapters.memory.hub import MemoryWakeup
from kew.adapters.memory.store import MemoryStore
from kew.app import dead_letters
from kew.app.inspector import Inspector, purged
from kew.app.ports import Declare, ListFailed, Operation, Purge, Refused
from kew.bootstrap import Parts
from kew.compat import override
from kew.domain.config import Settings
from kew.testing import SimulatedManager, run
from tests.support import jobs

HOUR = 3_600.0
NAMES = [f"t{n}" for n in range(8)]


A = TypeVar("A")


class Watched(MemoryStore):
    """A store that counts the pages and purges it is asked for, and refuses the first of these pages."""

    def __init__(self, refusals: int = 0) -> None:
        super().__init__(SystemClock())
        self.refusals = refusals
        self.pages = 0
        self.purged: list[str] = []

    @override
    async def do(self, operation: Operation[A]) -> A:
        if isinstance(operation, ListFailed):
            if self.refusals:
                self.refusals -= 1
                raise Refused("not now")
            self.pages += 1
        if isinstance(operation, Purge):
            self.purged.append(operation.queue)
        return await super().do(operation)


def over(store: MemoryStore) -> TaskQueueManager:
    return TaskQueueManager(parts=Parts(store=store, wakeup=MemoryWakeup(store.namespace.hub)))


async def fail(text: str = "always") -> None:
    raise ValueError(text)


@attrs.define
class Healing:
    """Fails until the day that it is healed."""

    is_healed: bool = False

    async def run(self) -> str:
        if not self.is_healed:
            raise ConnectionError("away")
        return "done"


async def have_failed(manager: TaskQueueManager, *names: str, function: Any = fail) -> None:
    """These are dead letters of the queue "q"."""
    if "q" not in manager.queues:
        await manager.create_queue(QueueConfig("q", max_circuit_breaker_failures=None))
    for name in names:
        info = await manager.submit_task(name, "q", "test", function)
        with pytest.raises(TaskQueueError):
            await manager.handle(info).result(timeout=30)


async def all_failed(manager: TaskQueueManager, limit: int | None = None) -> list[TaskInfo]:
    return [info async for info in manager.failed_tasks("q", limit)]


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "AT_ONCE", 3)


# --- dead letters


async def test_dead_letters_are_told_in_full():
    async with TaskQueueManager("memory://") as manager:
        await have_failed(manager, "t")
        assert await all_failed(manager) == [await manager.get_task_status("t")]


@pytest.mark.usefixtures("small_pages")
async def test_all_dead_letters_are_found_over_all_pages_and_nothing_else():
    async with TaskQueueManager("memory://") as manager:
        await have_failed(manager, *NAMES)
        info = await manager.submit_task("fine", "q", "test", jobs.echo, None, 7)
        await manager.handle(info).result(timeout=30)
        await manager.submit_task("later", "q", "test", fail, None, _defer_by=HOUR)
        found = await all_failed(manager)
        assert sorted(info.task_id for info in found) == NAMES
        ends = [info.completed_time for info in found if info.completed_time]
        assert ends == sorted(ends, reverse=True)


@pytest.mark.usefixtures("small_pages")
async def test_each_dead_letter_can_be_replayed_where_it_is_found():
    async with TaskQueueManager("memory://") as manager:
        healing = Healing()
        await have_failed(manager, *NAMES, function=healing.run)
        healing.is_healed = True
        async for info in manager.failed_tasks("q"):
            assert await manager.replay_task(info.task_id)
        for name in NAMES:
            info = await manager.get_task_status(name)
            assert await manager.handle(info).result(timeout=30) == "done"
        assert await all_failed(manager) == []


@pytest.mark.usefixtures("small_pages")
async def test_what_is_replayed_and_fails_again_is_not_met_twice():
    async with TaskQueueManager("memory://") as manager:
        await have_failed(manager, *NAMES)
        await asyncio.sleep(0.01)  # what fails again does so at a later instant
        met = []
        async for info in manager.failed_tasks("q"):
            met.append(info.task_id)
            await manager.replay_task(info.task_id)
            with pytest.raises(TaskQueueError):
                await manager.handle(info).result(timeout=30)
        assert sorted(met) == NAMES
        assert len(await all_failed(manager)) == len(NAMES)


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize(("limit", "pages"), [(1, 1), (3, 1), (4, 2), (8, 3), (50, 3), (None, 3)])
async def test_a_limit_is_kept_and_no_page_read_beyond_it(limit: int | None, pages: int):
    store = Watched()
    async with over(store) as manager:
        await have_failed(manager, *NAMES)
        assert len(await all_failed(manager, limit)) == min(len(NAMES), limit or 8)
        assert store.pages == pages


@pytest.mark.parametrize("limit", [0, -1, True, 2.0, "3"])
async def test_a_limit_that_is_none_is_refused_at_once(limit: Any):
    async with TaskQueueManager("memory://") as manager:
        with pytest.raises(InvalidConfigError, match="limit must be 1 or more"):
            manager.failed_tasks("q", limit)


async def test_a_store_that_is_away_for_a_moment_is_asked_again():
    store = Watched(refusals=2)
    async with over(store) as manager:
        await have_failed(manager, "t")
        assert [info.task_id for info in await all_failed(manager)] == ["t"]


@pytest.mark.parametrize("name", ["nowhere", "no{name}", "", 7])
async def test_an_unknown_queue_has_no_dead_letters(name: Any):
    async with TaskQueueManager("memory://") as manager:
        with pytest.raises(QueueNotFoundError):
            _ = [info async for info in manager.failed_tasks(name)]


@pytest.mark.usefixtures("small_pages")
async def test_a_queue_that_is_deleted_meanwhile_is_told_of():
    async with (
        TaskQueueManager("memory://shared-d") as ours,
        TaskQueueManager("memory://shared-d") as other,
    ):
        await have_failed(ours, *NAMES)
        with pytest.raises(QueueNotFoundError):
            async for _ in ours.failed_tasks("q"):
                await purged(other._parts.store, "q")


@pytest.mark.usefixtures("small_pages")
async def test_reading_on_and_on_lets_others_run():
    async with TaskQueueManager("memory://") as manager:
        await have_failed(manager, *NAMES)
        ran = asyncio.create_task(asyncio.sleep(0))
        await all_failed(manager)
        assert ran.done()


async def test_a_manager_that_has_not_begun_says_so():
    manager = TaskQueueManager("memory://")
    with pytest.raises(TaskQueueError, match="initialize"):
        manager.failed_tasks("q")


def test_a_simulated_manager_tells_its_dead_letters_too():
    async def scenario(manager: SimulatedManager) -> None:
        await have_failed(manager, "first")
        await manager.advance(HOUR)
        await have_failed(manager, "second")
        assert [info.task_id for info in await all_failed(manager)] == ["second", "first"]
        assert await manager.get_queue_names() == ["q"]

    run(scenario)


# --- queues


async def test_the_names_of_all_queues_are_told_whoever_declared_them():
    async with (
        TaskQueueManager("memory://shared-n") as ours,
        TaskQueueManager("memory://shared-n") as other,
    ):
        assert await ours.get_queue_names() == []
        await ours.create_queue(QueueConfig("b"))
        await other.create_queue(QueueConfig("c"), work=False)
        await other.create_queue(QueueConfig("a"))
        assert await ours.get_queue_names() == ["a", "b", "c"]


async def test_a_deleted_queue_is_gone_with_its_tasks_and_no_other():
    store = Watched()
    async with over(store) as before:
        for name in ("old", "kept"):
            await before.create_queue(QueueConfig(name), work=False)
            await before.submit_task(name, name, "test", fail)
    async with over(store) as manager:
        await manager.delete_queue("old")
        assert await manager.get_queue_names() == ["kept"]
        with pytest.raises(TaskNotFoundError):
            await manager.get_task_status("old")
        assert (await manager.get_task_status("kept")).status == "queued"
        with pytest.raises(QueueNotFoundError):
            await manager.submit_task("again", "old", "test", fail)


@pytest.mark.parametrize("works", [True, False])
async def test_a_queue_of_this_manager_is_not_deleted_until_it_was_shut_down(works: bool):
    store = Watched()
    manager = over(store)
    async with manager:
        await manager.create_queue(QueueConfig("q"), work=works)
        await manager.submit_task("t", "q", "test", fail, None, _defer_by=HOUR)
        with pytest.raises(QueueInUseError, match="shut this manager down"):
            await manager.delete_queue("q")
        assert store.purged == []
        assert (await manager.get_task_status("t")).status == "queued"
    async with manager:
        await manager.delete_queue("q")
        assert await manager.get_queue_names() == []
        await manager.create_queue(QueueConfig("q"))
        assert (await manager.get_queue_status("q"))["queued_tasks"] == 0


@pytest.mark.parametrize("name", ["nowhere", "no{name}", "", 7, ["q"]])
async def test_deleting_an_unknown_queue_says_so(name: Any):
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        with pytest.raises(QueueNotFoundError):
            await manager.delete_queue(name)
        assert await manager.get_queue_names() == ["q"]


async def test_what_an_interrupted_deletion_left_is_removed_by_the_next_one():
    """The queue goes first: it is unknown then, and its tasks may be there."""
    store = Watched()
    await store.do(Declare("other", Settings(), "one"))
    asking = Inspector(store, MessagePackCodec(), "person")
    with pytest.raises(QueueNotFoundError):
        await asking.remove("q")
    assert store.purged == ["q"]


async def test_what_another_process_runs_of_a_deleted_queue_counts_for_nothing():
    store, began, end = Watched(), asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        began.set()
        await end.wait()

    async with over(store) as ours, over(store) as other:
        await ours.create_queue(QueueConfig("q", max_workers=1))
        info = await ours.submit_task("t", "q", "test", wait)
        await began.wait()
        await other.delete_queue("q")
        waiting = asyncio.create_task(other.handle(info).result(timeout=30))
        end.set()
        with pytest.raises(TaskNotFoundError):
            await waiting
        info = await ours.submit_task("next", "q", "test", jobs.echo, None, 7)
        assert await ours.handle(info).result(timeout=30) == 7
        with pytest.raises(TaskNotFoundError):
            await ours.get_task_status("t")


@pytest.mark.parametrize("works", [True, False])
async def test_a_process_whose_queue_another_one_deletes_declares_it_anew_empty(works: bool):
    store = Watched()
    async with over(store) as ours, over(store) as other:
        await ours.create_queue(QueueConfig("q"), work=works)
        await ours.submit_task("t", "q", "test", fail, None, _defer_by=HOUR)
        await other.delete_queue("q")
        await asyncio.wait_for(ours.submit_task("u", "q", "test", jobs.echo, None, 7), 30)
        assert await other.get_queue_names() == ["q"]
        with pytest.raises(TaskNotFoundError):
            await other.get_task_status("t")
        if works:
            info = await other.get_task_status("u")
            assert await other.handle(info).result(timeout=30) == 7


class Mute:
    """What can't even be quoted."""

    def __repr__(self) -> str:
        raise ValueError("no text")

    __str__ = __repr__


@pytest.mark.parametrize("odd", [Mute(), "x" * 1_000_000, 10**5000], ids=["mute", "long", "huge"])
async def test_what_cannot_be_quoted_is_refused_like_anything_else(odd: Any):
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q"))
        entry = {"task_id": odd, "task_type": "t", "task_func": print}
        mistaken: list[tuple[Callable[[], Any], type[Exception]]] = [
            (lambda: manager.get_task_status(odd), TaskNotFoundError),
            (lambda: manager.get_queue_status(odd), QueueNotFoundError),
            (lambda: manager.submit_task("t", odd, "t", print), QueueNotFoundError),
            (lambda: manager.submit_task(odd, "q", "t", print), InvalidTaskError),
            (lambda: manager.submit_task("t", "q", "t", odd), InvalidTaskError),
            (lambda: manager.submit_task("t", "q", "t", print, _defer_by=odd), InvalidTaskError),
            (lambda: manager.submit_task("t", "q", "t", print, _defer_until=odd), InvalidTaskError),
            (lambda: manager.submit_tasks("q", [{**entry, odd: 1}]), InvalidTaskError),
            (lambda: manager.submit_tasks("q", [{**entry, "args": 1}]), InvalidTaskError),
        ]
        for calling, expected in mistaken:
            with pytest.raises(expected) as told:
                await calling()
            assert len(str(told.value)) < 1000
