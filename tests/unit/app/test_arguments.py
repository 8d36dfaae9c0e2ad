"""What a task was called with, for people."""

import dataclasses
import uuid

import attrs
import pytest

from kew import PickleCodec, QueueConfig, TaskNotFoundError, TaskQueueManager


@dataclasses.dataclass
class Order:
    number: int


def ship(order: Order, at: uuid.UUID, *, sizes: tuple[int, ...]) -> None:
    """Never runs here."""


async def test_arguments_are_plain_data() -> None:
    at = uuid.UUID(int=7)
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("orders"), work=False)
        await manager.submit_task(
            "order-1", "orders", "ship", ship, None, Order(7), at, sizes=(1, 2)
        )
        found = await manager.get_task_arguments("order-1")
    assert found.args == [{"number": 7}, str(at)]
    assert found.kwargs == {"sizes": [1, 2]}
    assert found.to_dict() == {"args": found.args, "kwargs": found.kwargs, "unreadable": None}


async def test_a_codec_that_would_run_code_shows_no_arguments() -> None:
    codec = PickleCodec("a secret that is long enough")
    async with TaskQueueManager("memory://", codec=codec) as manager:
        await manager.create_queue(QueueConfig("orders"), work=False)
        await manager.submit_task("order-1", "orders", "ship", ship, None, 1, 2, sizes=(1,))
        found = await manager.get_task_arguments("order-1")
    assert found.args is None
    assert found.unreadable == "PickleCodec can't show arguments without running code"


async def test_bytes_that_are_no_call_are_said_to_be_unreadable() -> None:
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("orders"), work=False)
        await manager.submit_task("order-1", "orders", "ship", print)
        here = manager._here()
        here.parts = attrs.evolve(here.parts, codec=Broken(here.parts.codec))  # type: ignore[misc]  # Parts
        found = await manager.get_task_arguments("order-1")
    assert found.args is None
    assert "can't be decoded" in (found.unreadable or "")


class Broken:
    """A codec that finds other bytes."""

    def __init__(self, codec: object) -> None:
        self._codec = codec

    def __getattr__(self, name: str) -> object:
        return getattr(self._codec, name)

    def read_call(self, payload: bytes, binding: tuple[str, str]) -> object:
        return self._codec.read_call(b"\xc1", binding)  # type: ignore[attr-defined]  # MessagePack's


async def test_a_completed_task_keeps_no_arguments() -> None:
    async with TaskQueueManager("memory://") as manager:
        await manager.create_queue(QueueConfig("orders"))
        await manager.submit_task("order-1", "orders", "ship", print)
        await manager.handle("order-1").result(timeout=30)
        found = await manager.get_task_arguments("order-1")
    assert found.unreadable == "a completed task keeps no arguments"


async def test_an_unknown_task_has_none() -> None:
    async with TaskQueueManager("memory://") as manager:
        with pytest.raises(TaskNotFoundError):
            await manager.get_task_arguments("nothing")
