"""Creating the queues that a manager knows."""

from __future__ import annotations

import pytest

from kew import InvalidConfigError, QueueConfig, TaskQueueManager

ORDERS, MAILS = QueueConfig("orders", max_workers=3), QueueConfig("mails")


async def test_it_creates_the_queues_of_the_manager_and_of_its_functions():
    manager = TaskQueueManager("memory://", queues=[ORDERS])

    @manager.task(queue=MAILS)
    async def send() -> None: ...

    @manager.task(queue="elsewhere")
    async def call() -> None: ...

    async with manager:
        created = await manager.create_queues()
        assert [queue.config for queue in created] == [ORDERS, MAILS]
        assert set(manager.queues) == {"orders", "mails"}
        [process] = await manager.processes()
    assert [one.queue for one in process.queues] == ["mails", "orders"]


async def test_it_creates_only_those_that_are_named_and_works_on_none_if_it_only_submits():
    async with TaskQueueManager("memory://", queues=[ORDERS, MAILS]) as manager:
        await manager.create_queues("mails", work=False)
        assert set(manager.queues) == {"mails"}
        assert await manager.processes() == []


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("order", "knows no queue 'order'; did you mean 'orders'?"),
        ("xyz", "knows no queue 'xyz'; it knows 'orders'"),
        ("mails", "only the name of queue 'mails' is known here: pass it as"),
    ],
)
async def test_an_unknown_queue_is_an_error_that_says_what_to_do(name: str, says: str):
    manager = TaskQueueManager("memory://", queues=[ORDERS])

    @manager.task(queue="mails")
    async def send() -> None: ...

    async with manager:
        with pytest.raises(InvalidConfigError) as raised:
            await manager.create_queues(name)
    assert says in str(raised.value)


async def test_a_manager_that_knows_no_queue_says_how_to_configure_one():
    manager = TaskQueueManager("memory://")

    @manager.task(queue="mails")
    async def send() -> None: ...

    async with manager:
        with pytest.raises(InvalidConfigError, match=r"knows the configuration of no queue.*mails"):
            await manager.create_queues()


async def test_two_configurations_of_one_queue_are_an_error():
    manager = TaskQueueManager("memory://", queues=[ORDERS])

    @manager.task(queue=QueueConfig("orders", max_workers=4))
    async def sell() -> None: ...

    async with manager:
        with pytest.raises(InvalidConfigError, match="configured in two different ways"):
            await manager.create_queues()


def test_queues_of_another_kind_are_refused():
    with pytest.raises(InvalidConfigError, match="list of QueueConfig"):
        TaskQueueManager("memory://", queues=["orders"])  # type: ignore[list-item]
