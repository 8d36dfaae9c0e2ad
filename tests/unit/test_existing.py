"""Submits whose ids are in use, and ids that are forgotten."""

import pytest

from kew import (
    InvalidTaskError,
    QueueConfig,
    QueueFullError,
    TaskAlreadyExistsError,
    TaskNotEndedError,
    TaskNotFoundError,
    TaskQueueManager,
)


@pytest.fixture
async def manager():
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("q", max_size=3000))
        yield manager


@pytest.fixture
def work(manager):
    @manager.task(queue="q")
    async def work(n: int) -> int:
        return n * 2

    return work


def entries(function, *ids):
    return [{"task_id": task_id, "task_func": function, "args": [7]} for task_id in ids]


async def test_a_submit_of_an_id_in_use_returns_the_task_that_has_it(manager, work):
    once = work.options(task_id="a", if_exists="return")
    first, second = await once.submit(1), await once.submit(2)
    assert (first.created, second.created) == (True, False)
    assert second.task_id == "a"
    assert await second.result(timeout=30) == 2  # of the first arguments
    info = await manager.submit_task("a", "q", "work", work, None, 3, _if_exists="return")
    assert info.status == "completed"


async def test_an_id_in_use_is_an_error_unless_the_caller_wants_the_task(work):
    await work.options(task_id="a").submit(1)
    for if_exists in (None, "raise"):
        with pytest.raises(TaskAlreadyExistsError):
            await work.options(task_id="a", if_exists=if_exists).submit(1)


async def test_what_to_do_about_an_id_in_use_is_checked(manager, work):
    with pytest.raises(InvalidTaskError, match="if_exists is one of 'raise', 'return', not 'skip'"):
        await work.options(if_exists="skip").submit(1)
    with pytest.raises(InvalidTaskError, match="if_exists is one of"):
        await manager.submit_tasks("q", [], if_exists=True)


async def test_a_batch_skips_the_ids_in_use_and_names_them(manager, work):
    await work.options(task_id="b").submit(1)
    infos = await manager.submit_tasks("q", entries(work, "a", "b", "c"), if_exists="return")
    assert [info.task_id for info in infos] == ["a", "b", "c"]
    assert infos.existing == ("b",)
    again = await manager.submit_tasks("q", entries(work, "a", "b", "c"), if_exists="return")
    assert again.existing == ("a", "b", "c")


async def test_pieces_of_a_batch_skip_the_ids_in_use_each_in_its_place(manager, work):
    ids = [f"t{n}" for n in range(2500)]
    taken = {"t0", "t999", "t1000", "t1700", "t2499"}
    for task_id in taken:
        await work.options(task_id=task_id).submit(1)
    infos = await manager.submit_tasks("q", entries(work, *ids), if_exists="return")
    assert [info.task_id for info in infos] == ids
    assert set(infos.existing) == taken


async def test_an_error_of_a_batch_names_only_what_the_batch_stored(manager, work):
    await manager.create_queue(QueueConfig("small", max_size=1500))
    await manager.pause_queue("small")
    await manager.submit_tasks("small", entries(work, "t3"))
    ids = [f"t{n}" for n in range(2500)]
    with pytest.raises(QueueFullError) as caught:
        await manager.submit_tasks("small", entries(work, *ids), if_exists="return")
    assert len(caught.value.accepted) == 999
    assert "t3" not in caught.value.accepted


async def test_the_id_of_an_ended_task_can_be_used_again_once_it_is_forgotten(manager, work):
    handle = await work.options(task_id="a").submit(1)
    await handle.result(timeout=30)
    await handle.forget()
    with pytest.raises(TaskNotFoundError):
        await handle.forget()
    with pytest.raises(TaskNotFoundError):
        await manager.get_task_status("a")
    assert await (await work.options(task_id="a").submit(5)).result(timeout=30) == 10


async def test_a_task_that_waits_is_not_forgotten(manager, work):
    waiting = await work.options(defer_by=60).submit(1)
    with pytest.raises(TaskNotEndedError, match="cancel it first"):
        await manager.forget(waiting)
    assert await waiting.cancel()
    await manager.forget(waiting.task_id)
    with pytest.raises(TaskNotFoundError):
        await waiting.status()
